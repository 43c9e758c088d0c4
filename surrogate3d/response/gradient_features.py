"""Gradient features of lesions: how steep the signal is, and whether it falls outwards, by region.

After Peng et al. (gradient-based features for brain metastases, same group as arXiv:2506.17536): gradient magnitude,
radial gradient and radial deviation, in core, margin and eight octants, each by mean, standard deviation and
coefficient of variation: 90 features. Only that list was at hand. The definitions below are ours:

* gradient: central differences of the normalised image between voxel centres, per mm, in the patient's LPS frame;
* radial gradient: its component along the outward direction, from the lesion's centroid to the voxel;
* radial deviation: angle between both, rad; 0 where the signal rises straight outwards, pi where it falls so;
* core: voxels whose distance to the surface is more than half the largest in the lesion; margin: the others;
* octants: by the signs of the offset from the centroid along left, posterior and superior (0 counts as positive);
* standard deviation: of the voxels (not of a sample), of at least two; coefficient of variation: SD / |mean|.

A direction that does not exist (at the centroid, or where the signal is flat) is left out of the averages. What is not
defined, as in an octant without voxels, is NaN.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from surrogate3d.errors import GeometryError
from surrogate3d.grid import Cohort, Grid, Lesion
from surrogate3d.response.feature_table import Table, table_of
from surrogate3d.response.normalisation import cropped, delivered_on_image, normalised_image

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MAPS = ("gradient magnitude", "radial gradient", "radial deviation")
STATISTICS = ("mean", "SD", "CV")
OCTANTS = tuple("".join(letters) for letters in product("LR", "PA", "SI"))
"""Each by the sides it lies on: left or right, posterior or anterior, superior or inferior."""
REGIONS = ("core", "margin", *(f"octant {name}" for name in OCTANTS))

MARGIN_MM = 8.0
"""Of the image around a lesion that is looked at: beyond the shell of the normalisation."""


def gradient_features(cohort: Cohort, channels: tuple[str, ...] = ("image",)) -> Table:
    """90 features of each lesion and channel.

    Args:
        cohort: n lesions.
        channels: "image" (normalised), and names of what was delivered, in their own units.

    Returns:
        (n, 90 x channels); see the module for the definitions.

    Raises:
        UnknownNameError: a lesion lacks a channel.
        ValueRangeError: an image that cannot be normalised, or a dose that is not known in a part of a lesion.
        GeometryError: an image of a single slice.
    """
    return table_of([_of_lesion(cropped(each, MARGIN_MM), channels) for each in cohort])


def _of_lesion(lesion: Lesion, channels: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    grid, mask = lesion.image.grid, lesion.mask
    if min(grid.shape) < 2:
        raise GeometryError(f"{lesion.name}: a gradient needs 2 voxels along each axis, found {grid.shape}")
    parts = regions(mask, grid)
    for channel in channels:
        values = normalised_image(lesion) if channel == "image" else delivered_on_image(lesion, channel)
        for name, map_ in gradient_maps(values, mask, grid).items():
            for region, inside in parts.items():
                for statistic, value in zip(STATISTICS, _statistics(map_[inside]), strict=True):
                    found[f"{channel} {name} {region} {statistic}"] = value
    return found


def gradient_maps(values: Floats, mask: Bools, grid: Grid) -> dict[str, Floats]:
    """The three maps of a lesion.

    Args:
        values: (i, j, k) signal.
        mask: (i, j, k) the lesion.
        grid: of both.

    Returns:
        By name (`MAPS`), (i, j, k): magnitude and radial gradient in the unit of the values per mm, deviation in rad;
        NaN where not defined.
    """
    steps = np.stack([np.gradient(values, step, axis=axis) for axis, step in enumerate(grid.spacing_mm)], axis=-1)
    gradient = steps @ np.asarray(grid.direction, dtype=np.float64).T
    offset = _offset(mask, grid)
    magnitude, radius = np.linalg.norm(gradient, axis=-1), np.linalg.norm(offset, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        radial = np.where(radius > 1e-6, (gradient * offset).sum(axis=-1) / radius, np.nan)
        cosine = np.where(magnitude > 0, radial / magnitude, np.nan)
    return dict(zip(MAPS, (magnitude, radial, np.arccos(np.clip(cosine, -1.0, 1.0))), strict=True))


def regions(mask: Bools, grid: Grid) -> dict[str, Bools]:
    """Core, margin and octants of a lesion, by name (`REGIONS`), each (i, j, k)."""
    depth = distance_transform_edt(np.pad(mask, 1), sampling=grid.spacing_mm)[1:-1, 1:-1, 1:-1]
    core = mask & (depth > depth.max() / 2)
    side = _offset(mask, grid) > -1e-6
    octants = [mask & (side == np.array([letter in "LPS" for letter in name])).all(axis=-1) for name in OCTANTS]
    return dict(zip(REGIONS, (core, mask & ~core, *octants), strict=True))


def _offset(mask: Bools, grid: Grid) -> Floats:
    """(i, j, k, 3) from the centroid of a lesion to each voxel, LPS, mm."""
    positions = grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.asarray(positions - positions[mask].mean(axis=0))


def _statistics(values: Floats) -> tuple[float, float, float]:
    """Mean, standard deviation and coefficient of variation of the values that are known."""
    known = values[np.isfinite(values)]
    if not known.size:
        return np.nan, np.nan, np.nan
    mean = float(known.mean())
    if known.size < 2:
        return mean, np.nan, np.nan
    deviation = float(known.std())
    return mean, deviation, deviation / abs(mean) if mean else np.nan
