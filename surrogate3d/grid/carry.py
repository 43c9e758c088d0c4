"""Values and masks of one grid on another that a stated rigid transform relates to it.

Nothing is registered here: two grids share a space, or somebody says how one lies in the other. Values are carried by
linear interpolation; where the target is coarser they are means over its voxels, so that nothing between its centres is
missed. What is not known stays so: NaN in a value, or a place outside, gives NaN.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.lesion import require_rigid
from surrogate3d.grid.overlap import COVERED, overlap

Floats = npt.NDArray[np.float64]
Window = tuple[slice, slice, slice]

_SAME = 1e-3  # voxels: grids that differ by less have one spacing


def moved(grid: Grid, transform: npt.ArrayLike | None) -> Grid:
    """The same voxels where a rigid transform takes them; None leaves them.

    Raises:
        GeometryError: the transform is not rigid.
    """
    if transform is None:
        return grid
    matrix = np.asarray(transform, dtype=np.float64)
    require_rigid(matrix, "the transform between two grids")
    left, _, right = np.linalg.svd(matrix[:3, :3])  # the nearest rotation, free of the rounding of what was stated
    x, y, z = (matrix @ [*grid.origin_mm, 1.0])[:3].tolist()
    rows = tuple((float(a), float(b), float(c)) for a, b, c in left @ right @ np.asarray(grid.direction, dtype=float))
    return replace(grid, origin_mm=(x, y, z), direction=rows)


def carried(
    values: npt.NDArray[np.floating], source: Grid, target: Grid, transform: npt.ArrayLike | None = None
) -> Floats:
    """Values of one grid on another.

    Args:
        values: (i, j, k) on the source, NaN where not known.
        source: grid of the values.
        target: grid that is wanted.
        transform: (4, 4) from the space of the source to that of the target, rigid, LPS mm; None: they share one.

    Returns:
        (i, j, k) on the target. Where no axis of the target is coarser, linear interpolation at the centres; where
        none is finer, the volume-weighted mean of the source voxels, exact between parallel axes; else the mean of
        interpolated points. NaN outside the source, and where an unknown value counts by a thousandth or more.

    Raises:
        GridMismatchError: the values do not have the shape of the source, or the grids do not touch.
        GeometryError: the transform is not rigid.
    """
    place, window = _met(values, source, target, transform)
    part = _part(target, window)
    steps = _steps(place, part)
    if (steps >= 1 - _SAME).all() and (steps > 1 + _SAME).any():
        way = overlap(place, part)
        known, total = way.mean(np.isfinite(values).astype(float)), way.mean(_filled(values))
    else:
        pieces = np.maximum(np.ceil(steps - _SAME), 1).astype(int)
        known, total = _interpolated(values, place, _divided(part, pieces))
        known, total = _block_mean(known, pieces), _block_mean(total, pieces)
    found = np.full(target.shape, np.nan)
    found[window] = np.where(known >= COVERED, total / np.maximum(known, COVERED), np.nan)
    return found


def fraction_inside(
    mask: npt.NDArray[np.bool_], source: Grid, target: Grid, transform: npt.ArrayLike | None = None
) -> Floats:
    """How much of every target voxel lies in the voxels of a mask: exact between parallel axes.

    Args:
        mask: (i, j, k) on the source.
        source: grid of the mask.
        target: grid that is wanted.
        transform: as in `carried`.

    Returns:
        (i, j, k) 0 to 1 on the target; times the voxel volume they add up to that of the mask, as far as the target
        covers it.

    Raises:
        GridMismatchError, GeometryError: as `carried`.
    """
    place, window = _met(mask, source, target, transform)
    fractions = np.zeros(target.shape)
    fractions[window] = overlap(place, _part(target, window)).mean(mask.astype(float))
    return fractions


def _met(
    values: npt.NDArray[np.generic], source: Grid, target: Grid, transform: npt.ArrayLike | None
) -> tuple[Grid, Window]:
    """The source where it lies in the space of the target, and the target's voxels around it."""
    if values.shape != source.shape:
        raise GridMismatchError(f"values to carry have shape {values.shape}, their grid {source.shape}")
    place = moved(source, transform)
    corners = target.index(place.position_mm(list(product(*((-0.5, n - 0.5) for n in place.shape)))))
    low = np.maximum(np.floor(corners.min(axis=0) + 0.5 - _SAME).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0) + 0.5 + _SAME).astype(int), target.shape)
    if (low >= high).any():
        raise GridMismatchError(
            "the grids do not touch: the values to carry lie wholly outside the grid that is wanted; check both "
            "positions (LPS, mm) and the transform between them"
        )
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return place, (i, j, k)


def _part(grid: Grid, window: Window) -> Grid:
    x, y, z = grid.position_mm([each.start for each in window]).tolist()
    i, j, k = (each.stop - each.start for each in window)
    return replace(grid, shape=(i, j, k), origin_mm=(x, y, z))


def _steps(source: Grid, target: Grid) -> Floats:
    """(3,) farthest that one step along each axis of the target leads along an axis of the source, in its voxels."""
    turn = np.asarray(source.direction, dtype=float).T @ np.asarray(target.direction, dtype=float)  # source x target
    return np.asarray(np.abs(turn / np.array(source.spacing_mm)[:, None]).max(axis=0) * np.array(target.spacing_mm))


def _divided(grid: Grid, pieces: npt.NDArray[np.intp]) -> Grid:
    """The same box of finer voxels."""
    x, y, z = grid.position_mm((1 / pieces - 1) / 2).tolist()
    i, j, k = (int(n * p) for n, p in zip(grid.shape, pieces, strict=True))
    a, b, c = (float(s / p) for s, p in zip(grid.spacing_mm, pieces, strict=True))
    return replace(grid, shape=(i, j, k), spacing_mm=(a, b, c), origin_mm=(x, y, z))


def _interpolated(values: npt.NDArray[np.floating], source: Grid, target: Grid) -> tuple[Floats, Floats]:
    """Weight of what is known, and values times weight, at the centres of the target, one plane `i` at a time."""
    filled, finite = _filled(values), np.isfinite(values).astype(float)
    known, total = np.zeros(target.shape), np.zeros(target.shape)
    beyond = np.array(source.shape) - 0.5
    across = np.stack(np.meshgrid(*map(np.arange, target.shape[1:]), indexing="ij"), axis=-1)
    for i in range(target.shape[0]):
        plane = np.concatenate([np.full((*across.shape[:2], 1), i), across], axis=-1)
        at = source.index(target.position_mm(plane))
        inside = ((at >= -0.5 - _SAME) & (at <= beyond + _SAME)).all(axis=-1)
        # within the outer half of the outer voxels there is nothing to interpolate with: their own value holds
        points = np.moveaxis(at, -1, 0)
        known[i] = np.where(inside, map_coordinates(finite, points, order=1, mode="nearest"), 0.0)
        total[i] = np.where(inside, map_coordinates(filled, points, order=1, mode="nearest"), 0.0)
    return known, total


def _filled(values: npt.NDArray[np.floating]) -> Floats:
    return np.where(np.isfinite(values), values, 0.0).astype(np.float64)


def _block_mean(values: Floats, pieces: npt.NDArray[np.intp]) -> Floats:
    """Mean over blocks of `pieces` voxels."""
    i, j, k = (n // p for n, p in zip(values.shape, pieces, strict=True))
    return np.asarray(values.reshape(i, pieces[0], j, pieces[1], k, pieces[2]).mean(axis=(1, 3, 5)))
