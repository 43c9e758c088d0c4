"""Intervals of scores: a bootstrap that draws whole clusters, and Wilson's interval of a share.

Rows of one cluster (publication, patient) err together, so a cluster is drawn with all its rows, or not. A score is
computed of all draws at once, from how often each row counts (`resampled`), and becomes an `Estimate`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its `CONFIDENCE` interval."""

    value: float
    low: float
    high: float


def resampled(cluster: npt.NDArray[np.str_], seed: int, draws: int = RESAMPLES) -> Floats:
    """(1 + draws, n) how often each row counts: once, then as often as its cluster was drawn with replacement."""
    names, which = np.unique(cluster, return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.vstack([np.ones(len(names)), drawn])[:, which]


def estimate(values: Floats) -> Estimate:
    """(1 + draws,) scores to an estimate: the first is of all rows, the others are the bootstrap's; NaN is none."""
    ends = np.nanquantile(values[1:], [0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE])
    return Estimate(float(values[0]), float(ends[0]), float(ends[1]))


def wilson(share: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a binomial share (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    Args:
        share: that was found.
        n: of so many, taken as independent.
        confidence: of the interval.
    """
    from scipy.stats import norm  # here, as it is slow to load

    z2 = float(norm.ppf(0.5 * (1 + confidence))) ** 2
    centre = (share + 0.5 * z2 / n) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + 0.25 * z2 / n**2)) / (1 + z2 / n)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))
