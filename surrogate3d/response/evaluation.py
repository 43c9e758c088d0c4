"""Judgement of predicted responses from repeated cross-validation, with intervals that take a patient as the unit.

All methods and the oracle of a synthetic cohort are judged by the same functions, from the log odds of *no response*
that they gave to lesions while these were held out. Positive is a response. In each repeat the held-out lesions of all
folds are judged together; scores are means over repeats. Lesions of one patient resemble each other, so intervals come
from a bootstrap of whole patients: a patient brings all lesions in all repeats, or none. Repeats share the lesions and
make no interval narrower; what they spread by is given apart.

* AUC: share of (responder, non-responder) pairs in the right order, ties by half (Hanley and McNeil 1982, Radiology
  143:29).
* Accuracy, sensitivity, specificity, F1: a response is predicted where its probability is above 0.5. Beside the
  bootstrap, accuracy has Wilson's interval, which takes all lesions as independent.
* Brier score: mean squared difference of probability and response.
* Reliability: see `response.reliability`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.folds import require_classes
from surrogate3d.response.reliability import Reliability, reliability
from surrogate3d.training.bootstrap import Estimate, estimate, resampled, wilson

Names = npt.NDArray[np.str_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """Scores of a method, see the head of this module.

    Attributes:
        lesions: how many were judged.
        patients: how many these belong to.
        responders: how many lesions responded.
        AUC: mean over repeats.
        AUC_of_repeats: one by one.
        AUC_spread: standard deviation over repeats; NaN for one repeat.
        accuracy: share of lesions told rightly.
        accuracy_wilson: ends of Wilson's 95 % interval of the accuracy.
        sensitivity: share of responders told rightly.
        specificity: share of the others told rightly.
        F1: harmonic mean of sensitivity and the share of predicted responses that came, from the counts of all repeats.
        brier: 0 is perfect; always saying 0.5 has 0.25.
        reliability: calibration error, slope and intercept.
    """

    lesions: int
    patients: int
    responders: int
    AUC: Estimate
    AUC_of_repeats: tuple[float, ...]
    AUC_spread: float
    accuracy: Estimate
    accuracy_wilson: tuple[float, float]
    sensitivity: Estimate
    specificity: Estimate
    F1: Estimate
    brier: Estimate
    reliability: Reliability

    @property
    def note(self) -> str:
        """What so few lesions can tell, in a sentence."""
        sharp, wide = (50 * (high - low) for low, high in (wilson(share, self.lesions) for share in (0.95, 0.5)))
        low, high = (100 * end for end in self.accuracy_wilson)
        return (
            f"With {self.lesions} lesions the accuracy of {100 * self.accuracy.value:.1f} % has a Wilson 95 % interval "
            f"of {low:.0f} to {high:.0f} %; at this number it is +-{sharp:.0f} % at an accuracy of 95 % and "
            f"+-{wide:.0f} % at 50 %, so a few per cent between two methods mean nothing."
        )


@dataclass(frozen=True)
class Difference:
    """Scores of one method less those of another, with the same patients drawn for both.

    Attributes:
        AUC: positive where the first is better.
        AUC_of_repeats: one by one.
        accuracy: positive where the first is better.
        brier: negative where the first is better.
    """

    AUC: Estimate
    AUC_of_repeats: tuple[float, ...]
    accuracy: Estimate
    brier: Estimate


def judge(logit: Floats, response: Floats, patient: Names, seed: int = 0) -> Judgement:
    """Judge what a method said of held-out lesions.

    Args:
        logit: (repeat, n) or (n,) log odds of no response.
        response: (n,) 1 where the lesion responded, 0 where not.
        patient: (n,) names.
        seed: of the bootstrap and of a perfect model's labels.

    Raises:
        GridMismatchError: shapes that do not fit.
        ValueRangeError: log odds that are not finite, an unknown response, a class that is not in two patients.
    """
    log_odds, response, patient = _checked(logit, response, patient)
    draws = resampled(patient, seed)
    pairs, said = _in_order(log_odds, response), (log_odds > 0).astype(np.float64)
    right, predicted = (said == response).mean(axis=0), said.mean(axis=0)
    accuracy = _mean(right, draws)
    each = pairs.mean(axis=(1, 2))
    return Judgement(
        lesions=len(response),
        patients=len(np.unique(patient)),
        responders=int(response.sum()),
        AUC=estimate(_AUC(pairs, response, draws)),
        AUC_of_repeats=tuple(each.tolist()),
        AUC_spread=float(each.std(ddof=1)) if len(each) > 1 else float("nan"),
        accuracy=estimate(accuracy),
        accuracy_wilson=wilson(float(accuracy[0]), len(response)),
        sensitivity=estimate(_mean(right, draws * response)),
        specificity=estimate(_mean(right, draws * (1 - response))),
        F1=estimate(_ratio(2 * (draws @ (right * response)), draws @ (predicted + response))),
        brier=estimate(_mean(_squared(log_odds, response), draws)),
        reliability=reliability(log_odds, response, draws, seed),
    )


def difference(one: Floats, other: Floats, response: Floats, patient: Names, seed: int = 0) -> Difference:
    """How much better `one` is than `other` on the same lesions.

    Args:
        one: (repeat, n) or (n,) log odds of no response.
        other: of another method, with as many repeats, on the same folds; a score without folds has one for all.
        response: (n,) 1 or 0.
        patient: (n,) names.
        seed: of the bootstrap.

    Raises:
        GridMismatchError: as `judge`, or other repeats.
        ValueRangeError: as `judge`.
    """
    first, response, patient = _checked(one, response, patient)
    second, *_ = _checked(other, response, patient)
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        raise GridMismatchError(f"the methods have {len(first)} and {len(second)} repeats; give them the same folds")
    draws = resampled(patient, seed)
    pairs = _in_order(first, response) - _in_order(second, response)
    right = ((first > 0) == response).mean(axis=0) - ((second > 0) == response).mean(axis=0)
    return Difference(
        AUC=estimate(_AUC(pairs, response, draws)),
        AUC_of_repeats=tuple(pairs.mean(axis=(1, 2)).tolist()),
        accuracy=estimate(_mean(right, draws)),
        brier=estimate(_mean(_squared(first, response) - _squared(second, response), draws)),
    )


def _checked(logit: Floats, response: Floats, patient: Names) -> tuple[Floats, Floats, Names]:
    """(repeat, n) log odds of response, responses and patients."""
    logit = np.atleast_2d(np.asarray(logit, dtype=np.float64))
    response, patient = np.asarray(response, dtype=np.float64), np.asarray(patient, dtype=np.str_)
    require_classes(response, patient)
    if logit.ndim != 2 or not len(logit) or logit.shape[1] != len(response):
        raise GridMismatchError(f"expected log odds of {len(response)} lesions in each repeat, found {logit.shape}")
    bad = np.argwhere(~np.isfinite(logit))
    if len(bad):
        repeat, row = bad[0]
        raise ValueRangeError(
            f"{len(bad)} log odds are not finite, the first in repeat {repeat} for lesion {row} of patient "
            f"{patient[row]}; a method must answer for every lesion that is judged"
        )
    return -logit, response, patient


def _in_order(log_odds: Floats, response: Floats) -> Floats:
    """(repeat, responder, other) 1 where the responder has the greater log odds, 1/2 where both are alike, else 0."""
    yes, no = log_odds[:, response == 1, None], log_odds[:, None, response == 0]
    return np.asarray((yes > no) + 0.5 * (yes == no))


def _AUC(pairs: Floats, response: Floats, draws: Floats) -> Floats:
    """(draw,) mean over repeats; NaN where a draw has one class only.

    A pair counts by the product of how often its lesions were drawn, in all repeats alike.
    """
    yes, no = draws[:, response == 1], draws[:, response == 0]
    return _ratio(((yes @ pairs.mean(axis=0)) * no).sum(axis=1), yes.sum(axis=1) * no.sum(axis=1))


def _squared(log_odds: Floats, response: Floats) -> Floats:
    """(n,) squared error of the probability, mean over repeats."""
    return np.asarray(((expit(log_odds) - response) ** 2).mean(axis=0))


def _mean(values: Floats, weights: Floats) -> Floats:
    """(draw,) weighted means; NaN without weight."""
    return _ratio(weights @ values, weights.sum(axis=1))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0))
