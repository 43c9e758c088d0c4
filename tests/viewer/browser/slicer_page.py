"""What the tests of the slices do with a page: wait, move, read values, look at pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Voxel = tuple[int, int, int]
VIEWER = "document.querySelector('[data-s3d-root]').s3d"


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
