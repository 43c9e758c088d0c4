"""A lesion close up, in the patient's axes: slices, their colours as PNG, and outlines along the edges of voxels."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.colors import Normalize, to_rgb
from matplotlib.image import imsave

from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.volume import Volume, turned_to
from surrogate3d.report.content import BoolArray, FloatArray
from surrogate3d.report.response_content import LesionPage
from surrogate3d.report.style import NO_ANSWER

MARGIN_MM = 6.0
"""What is shown about a lesion."""

_PATIENT = Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
Value = TypeVar("Value", bound=np.generic)
_Box = tuple[slice, slice, slice]
_Vertex = tuple[int, int]


@dataclass(frozen=True)
class Plane:
    """A way to cut, as radiologists look at it: the patient's right, or front, is on the left.

    Attributes:
        name: of the plane.
        across: axis that runs to the right of the page.
        up: axis that runs up or down the page.
        cut: axis across the plane.
        upwards: whether `up` runs up.
        sides: of the patient, at the left, right, top and bottom of the page.
    """

    name: str
    across: int
    up: int
    cut: int
    upwards: bool
    sides: tuple[str, str, str, str]


PLANES = (
    Plane("axial", 0, 1, 2, False, ("R", "L", "A", "P")),
    Plane("coronal", 0, 2, 1, True, ("R", "L", "S", "I")),
    Plane("sagittal", 1, 2, 0, True, ("A", "P", "S", "I")),
)


def close_up(page: LesionPage) -> LesionPage:
    """The lesion with `MARGIN_MM` about it, index axes nearest to those of the patient (LPS); nothing is resampled."""
    box, grid = _box(page.mask, page.image.grid), page.image.grid

    def cut(values: FloatArray | BoolArray) -> Volume:
        here = np.asarray(values[box], dtype=np.float32)
        first = tuple(float(x) for x in grid.position_mm([each.start for each in box]))
        shape = here.shape[0], here.shape[1], here.shape[2]
        window = Grid(shape, grid.spacing_mm, (first[0], first[1], first[2]), grid.direction)
        return turned_to(Volume(window, here, page.image.quantity), _PATIENT)

    return replace(
        page,
        image=cut(page.image.values),
        mask=cut(page.mask).values > 0,
        resistance=cut(page.resistance).values,
        region=cut(page.region).values > 0,
        truth=None if page.truth is None else cut(page.truth).values > 0,
        boost_region=None if page.boost_region is None else cut(page.boost_region).values > 0,
        delivered={name: replace(cut(each.values), quantity=each.quantity) for name, each in page.delivered.items()},
    )


def _box(mask: BoolArray, grid: Grid) -> _Box:
    """Voxels of the mask and of the margin, as far as the image goes."""
    sides = []
    for axis, spacing in enumerate(grid.spacing_mm):
        occupied = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        more = int(np.ceil(MARGIN_MM / spacing))
        sides.append(slice(max(0, int(occupied[0]) - more), int(occupied[-1]) + more + 1))
    return sides[0], sides[1], sides[2]


def section(values: npt.NDArray[Value], plane: Plane, focus: tuple[int, int, int]) -> npt.NDArray[Value]:
    """(row, column) values of a slice through the focus, the top row first."""
    here = np.asarray(np.take(values, focus[plane.cut], axis=plane.cut).T)
    return here[::-1] if plane.upwards else here


def png_address(values: FloatArray, norm: Normalize, cmap: str) -> str:
    """(row, column) values in colours, as a data address; NaN is grey."""
    colours = colormaps[cmap](norm(np.nan_to_num(values)))[..., :3]
    colours[~np.isfinite(values)] = to_rgb(NO_ANSWER)
    buffer, silent = io.BytesIO(), dict[str, Any](Software=None)  # the version would change the bytes
    imsave(buffer, np.rint(255 * colours).astype(np.uint8), format="png", metadata=silent)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def outline(region: BoolArray) -> str:
    """Closed loops along the edges of the voxels of a (row, column) region, as path data in voxels."""
    ends: dict[_Vertex, list[_Vertex]] = {}
    padded = np.pad(region, 1)
    # The region is on the right of each edge; both ends as (column, row) from the voxel's upper left corner.
    for (down, right), start, end in (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (1, 1)),
        ((1, 0), (1, 1), (0, 1)),
        ((0, -1), (0, 1), (0, 0)),
    ):
        beyond = np.roll(padded, (-down, -right), axis=(0, 1))[1:-1, 1:-1]
        for row, column in np.argwhere(region & ~beyond).tolist():
            first, last = ((column + x, row + y) for x, y in (start, end))
            ends.setdefault(first, []).append(last)
    loops = []
    while ends:
        loops.append(_path(_loop(ends)))
    return "".join(loops)


def _loop(ends: dict[_Vertex, list[_Vertex]]) -> list[_Vertex]:
    """Take one loop out of the edges that are left."""
    first = here = next(iter(ends))
    walked = [first]
    while True:
        following = ends[here].pop()
        if not ends[here]:
            del ends[here]
        if following == first:
            return walked
        walked.append(following)
        here = following


def _path(loop: list[_Vertex]) -> str:
    """Corners only, as the voxels between them add nothing."""
    before, after = [loop[-1], *loop[:-1]], [*loop[1:], loop[0]]
    corners = [
        (x, y) for (x, y), (a, b), (c, d) in zip(loop, before, after, strict=True) if (a, b) != (2 * x - c, 2 * y - d)
    ]
    return "M" + "L".join(f"{x} {y}" for x, y in corners) + "Z"
