"""Made-up oxygen pressures of a tumour with a hypoxic core, and the voxels of a plan that are simulated under them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from surrogate3d.grid import Field
from surrogate3d.grid.regions import regions

Floats = npt.NDArray[np.float64]
Voxels = npt.NDArray[np.int64]

RANGE_MMHG = (0.5, 60.0)
"""Pressures that occur: nearly none, and well-oxygenated normal tissue."""

RIM_MMHG, CORE_MMHG = 40.0, 1.5
"""Typical pressures of normal tissue and in the middle of the tumour."""

SPREAD, LENGTH_MM = 0.7, 5.0
"""Standard deviation of ln(pressure) about the trend, and the length over which it changes."""


def tumour_oxygen(field: Field, seed: int) -> Floats:
    """(i, j, k) oxygen pressures in mmHg: a trend from rim to core of the target, and a smooth random field on it.

    The tumour is an ellipsoid as large as the target of the dose (`grid.regions`).
    """
    target = np.argwhere(regions(field.dose, field.beam_axis, field.beam_sign, field.grid.spacing_mm)["target"])
    middle, half = target.mean(axis=0), np.sqrt(5) * target.std(axis=0)  # semi-axes of an even ellipsoid
    index = np.moveaxis(np.indices(field.grid.shape), 0, -1)
    radius = np.sqrt((((index - middle) / half) ** 2).sum(axis=-1))
    core = 1 / (1 + np.exp((radius - 0.7) / 0.12))
    noise = np.random.default_rng(seed).standard_normal(field.grid.shape)
    smooth = gaussian_filter(noise, [LENGTH_MM / step for step in field.grid.spacing_mm], mode="wrap")
    log_p = np.log(RIM_MMHG) + core * np.log(CORE_MMHG / RIM_MMHG) + SPREAD * smooth / smooth.std()
    return np.asarray(np.exp(np.clip(log_p, *np.log(RANGE_MMHG))))


def drawn(field: Field, pO2: Floats, n: int, seed: int, within: npt.NDArray[np.bool_] | None = None) -> Voxels:
    """(n, 3) voxels above 5 % of the largest dose, every other one with less than 10 mmHg, in random order.

    The first m of them are such a choice of m. Fewer where there are not as many of both kinds.
    """
    possible = (field.dose > 0.05 * field.dose.max()) & (field.spectra.fluence.sum(axis=(0, 1)) > 0)
    possible &= True if within is None else within
    rng = np.random.default_rng(seed)
    hypoxic, rest = (rng.permutation(np.argwhere(possible & part)) for part in (pO2 < 10, pO2 >= 10))
    m = min(n // 2, len(hypoxic), len(rest))
    return np.asarray(np.stack([hypoxic[:m], rest[:m]], axis=1).reshape(-1, 3))


def moved_deeper(pO2: Floats, voxels: int) -> Floats:
    """The same map with the tumour so many voxels further along the last axis."""
    return np.roll(pO2, voxels, axis=2)
