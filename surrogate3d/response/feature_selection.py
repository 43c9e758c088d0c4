"""What a classifier learns about its features first: scale, what takes the place of gaps, and which few to take.

All is fitted on the rows that are learnt from. Sixty lesions cannot carry three hundred features, most of which say the
same; so features are taken one by one, each for what it tells of the class over what it shares with those before
(minimum redundancy, maximum relevance: F statistic over mean absolute correlation, FCQ of Zhao et al., DSAA 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

KNOWN_SHARE = 0.5
"""Of the rows in which a feature must be defined."""
EXTREME = 4.0
"""Standard deviations beyond which a value counts as that many: texture features have long tails."""
CORRELATION_LIMIT = 0.9
"""Features that are correlated more than so with a chosen one are left out."""


@dataclass(frozen=True, eq=False)
class Scale:
    """Scales of the features that are of use.

    Attributes:
        columns: (m,) features that are known and vary in the rows that were learnt from.
        median: (m,) takes the place of what is not defined.
        mean: (m,) after that.
        deviation: (m,) standard deviation after that.
    """

    columns: Indices
    median: Floats
    mean: Floats
    deviation: Floats

    def __call__(self, values: Floats) -> Floats:
        """(n, f) features to (n, m) in standard deviations from the mean."""
        own = values[:, self.columns]
        filled = np.where(np.isnan(own), self.median, own)
        return np.clip((filled - self.mean) / self.deviation, -EXTREME, EXTREME)


def fit_scale(values: Floats) -> Scale:
    """Learn scales from rows (n, f), of which some values may be NaN.

    Raises:
        ValueRangeError: no feature is known in half of the rows and varies.
    """
    known = np.flatnonzero(np.isfinite(values).mean(axis=0) >= KNOWN_SHARE)
    median = np.nanmedian(values[:, known], axis=0)
    filled = np.where(np.isnan(values[:, known]), median, values[:, known])
    mean, deviation = filled.mean(axis=0), filled.std(axis=0)
    vary = deviation > 1e-9 * np.abs(mean) + 1e-300
    if not vary.any():
        raise ValueRangeError(
            f"none of {values.shape[1]} features varies over the {len(values)} lesions that are learnt from and is "
            "known in half of them; compute other features or add lesions"
        )
    return Scale(known[vary], median[vary], mean[vary], deviation[vary])


def ranked_features(scaled: Floats, label: npt.NDArray[np.bool_], n_features: int) -> Indices:
    """The features to take, the first first.

    Args:
        scaled: (n, m) features.
        label: (n,) the class, both there.
        n_features: how many at most.

    Returns:
        (k,) columns of `scaled`, k <= n_features: fewer where the others are correlated too much with those.
    """
    correlation = _correlation(np.column_stack([label.astype(np.float64), scaled]))
    with_class, among = correlation[0, 1:], correlation[1:, 1:]
    relevance = with_class**2 / np.maximum(1.0 - with_class**2, 1e-9)  # F statistic over its degrees of freedom
    shared, left = np.zeros(len(relevance)), np.ones(len(relevance), dtype=np.bool_)
    chosen: list[int] = []
    while len(chosen) < n_features and left.any():
        score = relevance / (shared / len(chosen) + 1e-3) if chosen else relevance
        best = int(np.where(left, score, -1.0).argmax())
        chosen.append(best)
        shared += among[best]
        left &= among[best] <= CORRELATION_LIMIT
        left[best] = False
    return np.array(chosen, dtype=np.int64)


def _correlation(columns: Floats) -> Floats:
    """Absolute correlations of columns; 0 with one that does not vary."""
    centred = columns - columns.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(length > 0, length, 1.0)
    return np.asarray(np.minimum(np.abs(unit.T @ unit), 1.0))
