"""Pictures of reports for docs/validation.md: their beginning, the slices, and the panel of one voxel.

    python scripts/report_pictures.py proton.html carbon.html -o docs/figures

The reports are those of `surrogate3d validate` that docs/validation.md names, with its commands. Needs Playwright (the
`test` extra) and a Chromium on the path.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

PARTS = {"slices": ".s3d-viewer", "voxel": ".s3d-panel"}
VIEWER = "document.querySelector('[data-s3d-root]').s3d"
WINDOW: Mapping[str, Any] = {"viewport": {"width": 1180, "height": 980}, "color_scheme": "light"}


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--layer", default="RBE", help="that the slices show")
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for report in given.reports:
            page = browser.new_page(**WINDOW)
            page.goto(report.resolve().as_uri())
            take(page, given.layer, given.output / f"report-{report.stem}")
        browser.close()


def take(page: Page, layer: str, stem: Path) -> None:
    """The pictures of one report."""
    page.wait_for_function(f"() => {VIEWER}")
    page.screenshot(path=f"{stem}-top.png")
    page.evaluate(f"async layer => {{ {VIEWER}.set({{ base: layer }}); await {VIEWER}.settled(); }}", layer)
    page.wait_for_selector(PARTS["voxel"])
    page.wait_for_timeout(500)  # what follows the cross-hair waits until it rests
    for name, element in PARTS.items():
        page.locator(element).screenshot(path=f"{stem}-{name}.png")
        print(f"{stem}-{name}.png")


if __name__ == "__main__":
    main()
