"""Regions of a field as far as its own noisy dose can tell them.

`grid.regions` asks for the most precise dose there is. At prediction that is the dose of the run with few histories,
and voxel noise of some ten per cent tears the target apart. So the dose is averaged across the beam before, over about
`TRACKS` tracks and never wider than `WIDEST` voxels: wider, the averaging moves more voxels over a border of the field
than noise does. Dose noise is nearly the same along the beam, so nothing is gained there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field
from surrogate3d.grid.regions import region_names, regions

TRACKS = 500.0
"""Tracks over which the dose is averaged: with so many in a voxel few regions are wrong."""

WIDEST = 0.75
"""Largest standard deviation of the average across the beam, in voxels."""

Floats = npt.NDArray[np.float64]


def steady_regions(field: Field) -> npt.NDArray[np.str_]:
    """(i, j, k) name of the region of each voxel; "" where it is in none, and everywhere if beams cross."""
    masks = steady_masks(field, field.tracks)
    return region_names(masks) if masks else np.full(field.grid.shape, "", dtype="<U1")


def steady_masks(field: Field, tracks: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[np.bool_]]:
    """(i, j, k) masks of the regions by name, which do not overlap; none if beams cross.

    Args:
        field: for its dose.
        tracks: (i, j, k) `Field.tracks`, which are slow to find.
    """
    if field.several_directions:
        return {}
    dose = np.nan_to_num(np.asarray(field.dose, dtype=float))
    enough = dose > 0.05 * dose.max()
    steady = averaged_across(dose, field.beam_axis, averaging_width(float(np.median(tracks[enough]))))
    return regions(steady, field.beam_axis, field.beam_sign, field.grid.spacing_mm)


def averaging_width(tracks: float) -> float:
    """Standard deviation of the average, in voxels: a Gaussian of s voxels averages over 4 pi s^2 of them.

    Args:
        tracks: in a typical voxel; with none the widest average is taken.
    """
    return float(min(WIDEST, np.sqrt(TRACKS / (4 * np.pi * tracks)))) if tracks > 0 else WIDEST


def averaged_across(dose: Floats, beam_axis: int, width: float) -> Floats:
    """(i, j, k) dose averaged over `width` voxels along both axes across the beam."""
    sigma = [0.0 if axis == beam_axis else width for axis in range(3)]
    from scipy.ndimage import gaussian_filter  # here, as it is slow to load

    return np.asarray(gaussian_filter(dose, sigma, mode="nearest"))
