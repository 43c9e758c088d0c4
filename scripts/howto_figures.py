"""Run the how-tos of docs/ as they stand and make their pictures: `python scripts/howto_figures.py WORK [PAGE ...]`.

WORK is a new folder; pages are rbe-map, compare-models, cluster. It takes about four minutes on two cores. The pictures
are those that `surrogate3d figures` drew and screenshots of the report and of `surrogate3d view` in headless
Chromium (Playwright), as PNG of at most 300 kB in docs/figures.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from howto_blocks import blocks, run_blocks
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "figures"
LARGEST_BYTES = 300_000
LARGEST_WIDTH = 1500
"""Pixels."""

DRAWN = {
    "rbe-map": {},
    "compare-models": {
        "howto-compare-maps": "figures/comparison_RBE_ref.png",
        "howto-compare-parity": "figures/parity_RBE_ref.png",
        "howto-compare-dvh": "dvh.png",
    },
    "cluster": {
        "howto-cluster-errors": "figures/errors_RBE.png",
        "howto-cluster-learning": "figures/learning.png",
    },
}
"""What each page leaves in its folder, by name of the picture."""


def main(work: Path, names: list[str]) -> None:
    """Run the pages and write their pictures."""
    for name in names or list(DRAWN):
        folder = work / name
        folder.mkdir(parents=True)
        run_blocks(blocks(DOCS / f"howto-{name}.md"), folder, _served)
        for picture, source in DRAWN[name].items():
            _small(folder / source, picture)
        if name == "rbe-map":
            _report(folder / "report.html")


def _small(source: Path, name: str) -> None:
    """A copy reduced by a whole number, until it is small enough; all colours are kept, as maps are read by them."""
    with Image.open(source) as image:
        whole = image.convert("RGB")
    target = FIGURES / f"{name}.png"
    for factor in range(-(-whole.width // LARGEST_WIDTH), 6):
        whole.reduce(factor).save(target, optimize=True)
        if target.stat().st_size < LARGEST_BYTES:
            return
    raise SystemExit(f"{target.name} is too large")


@contextmanager
def _page(address: str, height: int) -> Iterator[Any]:
    """A page of 1200 pixels in the system's Chromium, when its viewer is drawn."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": height}, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("[data-s3d-root] canvas")
        page.wait_for_load_state("networkidle")
        yield page
        browser.close()


def _shot(address: str, name: str, height: int, layer: str, top: str) -> None:
    """The window from an element `top` on, with one layer shown."""
    with _page(address, height) as page:
        page.get_by_label("Layer", exact=True).select_option(layer)
        page.locator(top).first.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(1500)  # the last planes are drawn
        scratch = FIGURES / f".{name}.png"
        page.screenshot(path=scratch)
        _small(scratch, name)
        scratch.unlink()


def _served(address: str) -> None:
    """`view`, as it opens, but for the layer."""
    _shot(address, "howto-view", 850, "D_RBE", "body")


def _report(path: Path) -> None:
    """The report's viewer."""
    _shot(path.resolve().as_uri(), "howto-report-viewer", 850, "RBE", ".s3d-viewer")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
