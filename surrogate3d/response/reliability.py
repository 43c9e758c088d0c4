"""Whether probabilities of response are what they say: calibration error in bins, slope and intercept.

The expected calibration error (ECE; Naeini et al. 2015, AAAI 29; Guo et al. 2017, arXiv:1706.04599) of a perfect model
is not zero where lesions are few. So its expectation for labels drawn from the same probabilities is subtracted. Over
repeats of a cross-validation all (repeat, lesion) probabilities are pooled. A lesion has one outcome in all repeats, so
one number is drawn per lesion, uniform in 0 to 1, and in each repeat the label is whether it lies below the probability
there: each repeat is perfect, and repeats that agree share the label. Independent labels would make the expectation too
small, labels from a lesion's mean probability too large, as they count what repeats differ by as allowed.

Intervals are bootstraps of whole patients. A bootstrap inflates the ECE, as it adds noise of its own; so the
expectation is found anew for each draw, with the lesions as often as they were drawn.

Slope and intercept are those of Cox (1958, Biometrika 45:562): of the logistic regression of the response on the
predicted log odds, the intercept with the slope held at 1 (Van Calster et al. 2019, BMC Medicine 17:230). A perfect
model has 1 and 0; a slope below 1 says that the probabilities are too extreme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from surrogate3d.training.bootstrap import CONFIDENCE, Estimate, estimate

Floats = npt.NDArray[np.float64]

BINS = 10
PERFECT_DRAWS = 1000
"""Labels of a perfect model, drawn for its expectation."""

_NEWTON_STEPS = 50
_CONVERGED = 1e-9


@dataclass(frozen=True)
class BinnedError:
    """Expected calibration error in bins of the probability.

    Attributes:
        observed: mean over bins of |share of responders - mean probability|, by the lesions in the bin.
        perfect: that of a perfect model with the same probabilities: expectation and the middle 95 % of its draws.
        excess: `observed` less the expectation, with its bootstrap interval.
    """

    observed: float
    perfect: Estimate
    excess: Estimate


@dataclass(frozen=True)
class Reliability:
    """See the head of this module.

    Attributes:
        equal_width: `BINS` bins of equal width.
        adaptive: `BINS` bins with equally many probabilities.
        slope: NaN where the classes are separated, as no slope is the likeliest; draws where they are do not count.
        intercept: with the slope at 1, in log odds; positive where responses are more frequent than predicted.
    """

    equal_width: BinnedError
    adaptive: BinnedError
    slope: Estimate
    intercept: Estimate


def reliability(log_odds: Floats, response: Floats, draws: Floats, seed: int = 0) -> Reliability:
    """Reliability of predicted log odds.

    Args:
        log_odds: (repeat, n) of response.
        response: (n,) 1 or 0, both present.
        draws: (1 + draw, n) how often each lesion counts, from `training.bootstrap.resampled`.
        seed: of the labels of a perfect model.
    """
    probability = expit(log_odds)
    drawn = np.random.default_rng(seed).random((PERFECT_DRAWS, 1, len(response)))
    even = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
    full = np.quantile(probability, even)
    slope, intercept = _cox(log_odds, response, draws)
    return Reliability(
        equal_width=_binned(probability, response, draws, drawn, even),
        adaptive=_binned(probability, response, draws, drawn, full),
        slope=slope,
        intercept=intercept,
    )


def _binned(probability: Floats, response: Floats, draws: Floats, drawn: Floats, edges: Floats) -> BinnedError:
    """The error with bins that end at edges, upper ends inside; `drawn` are (perfect draw, 1, n) in 0 to 1.

    A bin adds |sum of its labels - sum of its probabilities|, and both sums are linear in how often lesions count.
    """
    which = np.searchsorted(edges, probability, side="left")
    member = (which[:, :, None] == np.arange(len(edges) + 1)).astype(np.float64)
    total = len(probability) * draws.sum(axis=1)

    def error(label: Floats) -> Floats:
        """(draw,) errors if the lesions had (repeat, n) labels."""
        sums = np.einsum("rnk,rn->nk", member, label - probability)
        return np.asarray(np.abs(draws @ sums).sum(axis=1) / total)

    observed = error(np.broadcast_to(response, probability.shape))
    expected, perfect = np.zeros(len(draws)), []
    for one in drawn:
        found = error((one < probability).astype(np.float64))
        expected += found / len(drawn)
        perfect.append(found[0])
    low, high = np.quantile(perfect, [0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE])
    return BinnedError(
        observed=float(observed[0]),
        perfect=Estimate(float(expected[0]), float(low), float(high)),
        excess=estimate(observed - expected),
    )


def _cox(log_odds: Floats, response: Floats, draws: Floats) -> tuple[Estimate, Estimate]:
    """Slope, and intercept with the slope at 1, pooled over repeats."""
    x, y = log_odds.ravel(), np.tile(response, len(log_odds))
    drawn = np.tile(draws, (1, len(log_odds)))
    ones = np.ones((len(x), 1))
    both = ((drawn * y).sum(axis=1) > 0) & ((drawn * (1 - y)).sum(axis=1) > 0)
    slope, intercept = np.full((2, len(draws)), np.nan)
    overlap = both & _overlapping(x, y, drawn)
    slope[overlap] = _logistic(np.column_stack([ones, x]), np.zeros(len(x)), y, drawn[overlap])[:, 1]
    intercept[both] = _logistic(ones, x, y, drawn[both])[:, 0]
    return _or_nan(slope), _or_nan(intercept)


def _or_nan(values: Floats) -> Estimate:
    return estimate(values) if np.isfinite(values[1:]).any() else Estimate(float(values[0]), np.nan, np.nan)


def _overlapping(x: Floats, y: Floats, drawn: Floats) -> npt.NDArray[np.bool_]:
    """(draw,) whether no threshold of x separates the classes: else the likelihood has no maximum."""
    ends = []
    for label in (1.0, 0.0):
        there = (drawn > 0) & (y == label)
        ends.append((np.where(there, x, np.inf).min(axis=1), np.where(there, x, -np.inf).max(axis=1)))
    (low1, high1), (low0, high0) = ends
    return np.asarray((low1 < high0) & (low0 < high1))


def _logistic(design: Floats, offset: Floats, y: Floats, drawn: Floats) -> Floats:
    """(draw, k) coefficients of logistic regressions by Newton's method; NaN where it does not converge.

    Args:
        design: (row, k).
        offset: (row,) added with coefficient 1.
        y: (row,) 1 or 0.
        drawn: (draw, row) weights.
    """
    k = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), k * k)
    found, step = np.zeros((len(drawn), k)), np.full((len(drawn), k), np.inf)
    for _ in range(_NEWTON_STEPS):
        going = np.flatnonzero(np.abs(step).max(axis=1) > _CONVERGED)
        if not len(going):
            break
        mean = expit(found[going] @ design.T + offset)
        gradient = (drawn[going] * (y - mean)) @ design
        curvature = ((drawn[going] * mean * (1 - mean)) @ products).reshape(-1, k, k)
        step[going] = (np.linalg.pinv(curvature, hermitian=True) @ gradient[:, :, None])[:, :, 0]
        found[going] += step[going]
    found[np.abs(step).max(axis=1) > _CONVERGED] = np.nan
    return found
