"""What the tests of the slices do with a page: wait, move, read values, look at pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Voxel = tuple[int, int, int]
MINIMUM_CONTRAST = 4.5  # WCAG 2.2 AA, text
VIEWER = "document.querySelector('[data-s3d-root]').s3d"


# Contrast of every piece of text with what lies behind it, by the formula of WCAG 2.2.
_CONTRASTS = """(selector) => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const share = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * share(r) + 0.7152 * share(g) + 0.0722 * share(b);
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll(selector)) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!(own || ["text", "number"].includes(e.type)) || !e.getClientRects().length) continue;
    found.push([e.tagName + "." + e.className, ratio(light(parse(getComputedStyle(e).color)), light(behind(e)))]);
  }
  return found;
}"""


def contrasts(page: Any, selector: str) -> list[tuple[str, float]]:
    """Every element that shows text, and its contrast with what lies behind it."""
    return [(name, ratio) for name, ratio in page.evaluate(_CONTRASTS, selector)]


def settle(page: Any) -> Any:
    """Wait until everything that was asked for is on the screen; the page again."""
    page.wait_for_function(f"() => {VIEWER}")
    page.evaluate(f"() => {VIEWER}.settled()")
    return page


def do(page: Any, javascript: str) -> Any:
    """Call the viewer, `viewer`, and wait for the screen."""
    answer = page.evaluate(f"() => {{ const viewer = {VIEWER}; return {javascript}; }}")
    settle(page)
    return answer


def at(page: Any) -> Voxel:
    """Where the cross-hair is."""
    settle(page)
    i, j, k = page.evaluate(f"() => {VIEWER}.state.voxel")
    return i, j, k


def values(page: Any) -> dict[str, float | None]:
    """The table at the cross-hair, by key; None is no value."""
    name = ",".join(str(index) for index in at(page))
    page.wait_for_selector(f'.s3d-values-table[data-voxel="{name}"]')
    cells = page.eval_on_selector_all(
        ".s3d-values-table tr", "rows => rows.map(row => [row.dataset.key, row.cells[1].dataset.value])"
    )
    return {key: float(value) if value else None for key, value in cells}


def texts(page: Any) -> dict[str, str]:
    """The table's printed values with what stands beside them, by key."""
    values(page)
    cells = page.eval_on_selector_all(
        ".s3d-values-table tr",
        "rows => rows.map(row => [row.dataset.key, row.cells[1].innerText + row.cells[2].innerText])",
    )
    return {key: text.replace("\u2212", "-") for key, text in cells}


def canvas(page: Any, axis: int) -> Any:
    return page.locator(f'.s3d-plane[data-axis="{axis}"] canvas')


def centres(page: Any, axis: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places (x, y) of all voxel centres on the plane across an axis, each in the rows and columns of `np.take`.

    For the long scenes of the tests, in which z runs to the right, and x and y run down; x runs right where z does not.
    """
    box = page.evaluate(f"axis => {VIEWER}.planes.find(p => p.view.axis === axis).box", axis)
    shape = page.evaluate(f"() => {VIEWER}.scene.grid.shape")
    across, down = {0: (2, 1), 1: (2, 0), 2: (0, 1)}[axis]
    x = box["x"] + (np.arange(shape[across]) + 0.5) * box["width"] / shape[across]
    y = box["y"] + (np.arange(shape[down]) + 0.5) * box["height"] / shape[down]
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    return (grid_x, grid_y) if down < across else (grid_x.T, grid_y.T)


def click(page: Any, axis: int, voxel: Voxel) -> None:
    """Click where a voxel lies on the plane across an axis."""
    row, col = (index for other, index in enumerate(voxel) if other != axis)
    x, y = centres(page, axis)
    canvas(page, axis).click(position={"x": float(x[row, col]), "y": float(y[row, col])})


def bare(page: Any) -> None:
    """Only images: no lines, no marks, the cross-hair in a corner."""
    do(page, "viewer.set({ isodose: false, points: false, structures: new Set() })")


def pixels(page: Any, axis: int) -> npt.NDArray[np.int64]:
    """(row, column, 3) colours of a plane's canvas, from a screenshot."""
    shot = canvas(page, axis).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=np.int64)
