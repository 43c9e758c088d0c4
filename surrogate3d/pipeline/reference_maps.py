"""The map that others are judged against, on their grid: two grids are never taken for one, nor resampled unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid import Grid, Volume, turned_to
from surrogate3d.grid.carry import carried
from surrogate3d.pipeline.any_map import ReferenceMap as ReferenceMap
from surrogate3d.pipeline.any_map import read_any_map


def read_reference(path: Path, name: str, grid: Grid, resample: bool = False) -> ReferenceMap:
    """Read a map, and lay it on a grid.

    Args:
        path: as of `read_any_map`.
        name: of the quantity.
        grid: of the judged maps.
        resample: whether a map on another grid is carried over: linear interpolation, or means over the voxels of
            `grid` where those are larger; NaN outside the map's own grid. The origin then says so.

    Raises:
        GridMismatchError: the map is on another grid and is not to be resampled, or does not touch it.
        Surrogate3dError: as of `read_any_map`.
    """
    return on_grid(read_any_map(path, name), grid, path.name, resample)


def on_grid(
    found: ReferenceMap, grid: Grid, what: str, resample: bool = False, of: str = "the judged map"
) -> ReferenceMap:
    """A map on a grid; `what` is its name in messages, `of` what the grid is of. The rest is as of `read_reference`."""
    volume = turned_to(found.volume, grid)
    try:
        grid.require_same(volume.grid, what)
    except GridMismatchError as error:
        if not resample:
            hint = ", or resample (--resample)" if of == "the judged map" else ""
            raise GridMismatchError(
                f"{what} is not on the grid of {of}: {_differences(volume.grid, grid)}; found "
                f"{_words(volume.grid)}, expected {_words(grid)}; export both on one grid{hint}"
            ) from error
    else:
        return replace(found, volume=replace(volume, grid=grid))
    values = carried(volume.values, volume.grid, grid).astype(np.float32)
    missing = int(np.isnan(values).sum())
    said = f"resampled onto the judged grid ({_differences(volume.grid, grid)}): linear interpolation, means over "
    said += f"larger voxels; {missing} of {grid.n_voxels} voxels have no value"
    return replace(found, volume=Volume(grid, values, volume.quantity), origin=f"{found.origin}; {said}")


def _words(grid: Grid) -> str:
    return f"{_by(grid.shape)} voxels of {_by(grid.spacing_mm)} mm from ({_listed(grid.origin_mm)}) mm"


def _differences(one: Grid, other: Grid) -> str:
    """Which numbers of two grids differ, and by how much."""
    found = []
    if one.shape != other.shape:
        found.append(f"shape {_by(one.shape)} against {_by(other.shape)}")
    if not np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-6):
        found.append(f"spacing {_by(one.spacing_mm)} mm against {_by(other.spacing_mm)} mm")
    apart = float(np.linalg.norm(np.subtract(one.origin_mm, other.origin_mm)))
    if apart > 1e-6:
        found.append(f"origin by {apart:.4g} mm")
    turned = float(np.abs(np.subtract(one.direction, other.direction)).max())
    if turned > 1e-6:
        found.append(f"direction cosines by up to {turned:.3g}")
    return "they differ in " + ", ".join(found)


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
