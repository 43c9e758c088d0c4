"""When the surrogate is good enough: an upper confidence bound of its error on voxels that it has not seen.

The target is on the root of a mean of squares, and squared errors are skewed: the plain one-sided t bound of their mean
is too low. Its skewness is removed by the monotone cubic transformation of Hall, J. R. Stat. Soc. B 1992;54:221,

    g(W) = W + c W^2 + c^2 W^3 / 3 + c / (2 n),    c = skewness / 3,  W = (mean - true mean) / s,

which has the inverse g^-1(x) = ((1 + 3 c (x - c / (2 n)))^(1/3) - 1) / c, with Student's t for the normal quantile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from surrogate3d.errors import ValueRangeError

FEWEST = 20
"""Held-out voxels below which no bound is given: skewness cannot be told from fewer."""


@dataclass(frozen=True)
class Verdict:
    """Whether to stop.

    Attributes:
        met: whether the bound is not above the target.
        rms: root mean square of the errors.
        bound: upper confidence bound of it.
        target: what was asked for.
        confidence: of this one look, after sharing the risk among all looks.
    """

    met: bool
    rms: float
    bound: float
    target: float
    confidence: float


def rms_bound(errors: npt.NDArray[np.floating], confidence: float) -> float:
    """One-sided upper confidence bound of the root mean square of the population that errors were drawn from.

    Monte Carlo noise of the labels is in the errors and makes the bound larger, so that it errs to the safe side. On
    the worst-case held-out voxels, which are not drawn at random, it speaks of voxels as bad as these.

    Args:
        errors: (n,) errors of held-out voxels, any unit, at least `FEWEST`.
        confidence: between 0.5 and 1.

    Raises:
        ValueRangeError: too few errors, one that is not finite, or another confidence.
    """
    n = errors.size
    if errors.ndim != 1 or n < FEWEST or not np.isfinite(errors).all():
        raise ValueRangeError(f"a bound needs at least {FEWEST} finite errors, found {errors.shape}")
    if not 0.5 <= confidence < 1:
        raise ValueRangeError(f"confidence must be between 0.5 and 1, found {confidence}")
    squares = np.asarray(errors, dtype=float) ** 2
    mean, deviation = float(squares.mean()), float(squares.std(ddof=1))
    if deviation == 0:
        return float(np.sqrt(mean))
    c = max(float(stats.skew(squares)), 0.0) / 3.0
    x = float(stats.t.ppf(1.0 - confidence, n - 1)) / np.sqrt(n)
    W = (np.cbrt(1.0 + 3.0 * c * (x - c / (2.0 * n))) - 1.0) / c if c > 1e-6 else x
    return float(np.sqrt(mean - deviation * W))


def verdict(errors: npt.NDArray[np.floating], target: float, confidence: float = 0.95, looks: int = 1) -> Verdict:
    """Whether training may stop: the bound of the RMS error on the held-out voxels is at most the target.

    Args:
        errors: (n,) errors of the worst-case held-out voxels, in the unit of the target (over the range of the truth
            for an NRMSE).
        target: largest RMS error, positive.
        confidence: with which the error is at most the target when the loop stops.
        looks: how often the question is asked at most; the risk is shared among them (Bonferroni), since who looks
            often enough meets any target once.

    Raises:
        ValueRangeError: see `rms_bound`; a target that is not positive, or fewer than 1 look.
    """
    if not (np.isfinite(target) and target > 0) or looks < 1:
        raise ValueRangeError(f"expected a positive target and at least 1 look, found {target} and {looks}")
    each = 1.0 - (1.0 - confidence) / looks
    bound = rms_bound(errors, each)
    return Verdict(bound <= target, float(np.sqrt(np.mean(np.square(errors)))), bound, target, each)
