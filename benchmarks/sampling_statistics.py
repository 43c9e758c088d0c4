"""What is said of learning curves: labels to reach an accuracy, and ratios to random choice with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Statistic = Callable[..., npt.ArrayLike]

DRAWS = 2000
_LEVELS = (2.5, 97.5)


def labels_to_reach(budgets: Sequence[int], R2: Sequence[float], target: float) -> float:
    """Labels from which on a curve stays above a target: a curve that falls back has not arrived.

    Args:
        budgets: ascending numbers of labels.
        R2: at each of them, below 1.
        target: of R2.

    Returns:
        Interpolated between budgets, ln(1 - R2) over ln(labels), straight where the error is a power of the labels; the
        first budget if the curve is above from there on (so that fewer may do), infinite if its end is not above.
    """
    left = np.log1p(-np.asarray(R2, dtype=float)) - math.log1p(-target)
    below = np.flatnonzero(left > 0)
    if not below.size:
        return float(budgets[0])
    n = int(below[-1])
    if n + 1 == len(budgets):
        return math.inf
    share = left[n] / (left[n] - left[n + 1])
    return float(budgets[n] * (budgets[n + 1] / budgets[n]) ** share)


def interval(values: npt.ArrayLike, statistic: Statistic = np.median) -> tuple[float, float, float]:
    """A statistic over seeds with its 95 % bootstrap interval; seeds are resampled."""
    of = np.asarray(values, dtype=float)
    drawn = np.asarray(statistic(of[_draws(len(of))], axis=1))
    low, high = np.percentile(drawn, _LEVELS)
    return float(np.asarray(statistic(of))), float(low), float(high)


def ratio(
    values: npt.ArrayLike, reference: npt.ArrayLike, statistic: Statistic = np.mean
) -> tuple[float, float, float]:
    """Ratio of a statistic of two strategies with its 95 % bootstrap interval.

    Args:
        values: (seeds,) of one strategy.
        reference: (seeds,) of the other; the same seeds, which are resampled together.
        statistic: of each.
    """
    of, to = np.asarray(values, dtype=float), np.asarray(reference, dtype=float)
    rows = _draws(len(of))
    drawn = np.asarray(statistic(of[rows], axis=1)) / np.asarray(statistic(to[rows], axis=1))
    low, high = np.percentile(drawn, _LEVELS)
    return float(np.asarray(statistic(of)) / np.asarray(statistic(to))), float(low), float(high)


@cache
def _draws(n: int) -> npt.NDArray[np.int64]:
    """(draw, n) rows, the same for every strategy."""
    return np.random.default_rng(n).integers(n, size=(DRAWS, n))
