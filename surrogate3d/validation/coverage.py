"""How often intervals cover a truth that is itself noisy.

The share of voxels whose error is within the interval is too small when the truth has noise of its own. So two shares
are given: as observed, and with the truth's noise subtracted from the errors in quadrature, voxel by voxel
(`inference.calibration.without_noise`), which is the coverage of the true value. Its interval is Wilson's for a
binomial share and takes the voxels as independent: neighbours share noise, and where most of a region is judged the
true interval is wider.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.inference.calibration import WHOLE, without_noise
from surrogate3d.training.bootstrap import wilson


@dataclass(frozen=True)
class Coverage:
    """Coverage in one region.

    Attributes:
        region: its name; "all" for all voxels.
        voxels: how many were judged.
        level: what the intervals promise.
        observed: share of errors within the interval, the truth's noise in them.
        covered: the same with the truth's noise subtracted: the coverage of the true value.
        low: lower end of Wilson's 95 % interval of `covered`.
        high: its upper end.
    """

    region: str
    voxels: int
    level: float
    observed: float
    covered: float
    low: float
    high: float


def coverage(
    error: npt.NDArray[np.floating],
    half_width: npt.NDArray[np.floating],
    truth_se: npt.NDArray[np.floating],
    region: npt.NDArray[np.str_],
    level: float,
) -> tuple[Coverage, ...]:
    """Coverage of all voxels, then of each region in alphabetical order.

    Args:
        error: (voxel,) relative error, predicted / truth - 1.
        half_width: (voxel,) of the relative interval, such as `Calibration.half_width`.
        truth_se: (voxel,) relative standard error of the truth.
        region: (voxel,) name of each voxel's region.
        level: what the intervals promise.

    Raises:
        GridMismatchError: the arguments differ in length.
        QuantityError: a region is called as the whole is.
        ValueRangeError: no voxels, an error that is not finite, a width or a standard error without meaning.
    """
    shapes = {array.shape for array in (error, half_width, truth_se, region)}
    if len(shapes) != 1 or error.ndim != 1:
        raise GridMismatchError(f"error, half_width, truth_se, region must be (voxel,) alike, found {sorted(shapes)}")
    if (region == WHOLE).any():
        raise QuantityError(f"no region may be called {WHOLE!r}; that name is kept for all voxels together")
    if not len(error) or not np.isfinite(error).all():
        raise ValueRangeError("coverage needs voxels with finite errors; leave those without an answer out")
    if not (np.isfinite(half_width) & (half_width > 0)).all() or not (np.isfinite(truth_se) & (truth_se >= 0)).all():
        raise ValueRangeError("half widths must be finite and positive, standard errors finite and not negative")
    masks = {WHOLE: np.ones(len(error), dtype=bool)} | {str(name): region == name for name in np.unique(region)}
    inside, clean = np.abs(error) <= half_width, np.zeros(len(error), dtype=bool)
    for name, mask in masks.items():
        if name != WHOLE:  # errors have another variance in each region
            scores = without_noise(error[mask] / half_width[mask], truth_se[mask] / half_width[mask])
            clean[mask] = np.abs(scores) <= 1
    return tuple(_row(name, level, inside[mask], clean[mask]) for name, mask in masks.items())


def _row(name: str, level: float, inside: npt.NDArray[np.bool_], clean: npt.NDArray[np.bool_]) -> Coverage:
    covered = float(clean.mean())
    return Coverage(name, len(clean), level, float(inside.mean()), covered, *wilson(covered, len(clean)))
