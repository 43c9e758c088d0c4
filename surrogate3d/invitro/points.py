"""The survival points of an ion experiment that a model learns from, and how much each counts.

*Points.* The ion survival points above dose 0 as published, S above 1 included. Where the authors gave none, six points
of the ion pair stand for them, evenly spaced between the doses of 80 % and 2 % survival, and `is_raw` is False.

*Weights.* An experiment's weights add up to 1, so that all count alike. Within it a point counts by the inverse
variance of ln S at the effect E = -ln S: 0.1^2 + 0.015 E + (0.12 E)^2. The first two terms are the scatter of the
points of PIDE 3.4 about its fits to them (1003 curves of at least four points: rms 0.10 near S = 1, 0.18 at E = 1, 0.23
at 3, 0.35 at 6), the third is what repeated experiments differ by (17 % between two of them in RBE10). So what a point
says of the slope, E^2 times its weight, vanishes towards S = 1 and hardly grows below 1 % survival. E comes from the
ion pair where there is one, as weights from the points themselves would favour those that came out high.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.invitro.pairs import Pairs
from surrogate3d.io.pide_experiment import Experiment
from surrogate3d.physics.linear_quadratic import D10, effect, isoeffective_dose

Floats = npt.NDArray[np.float64]

N_DERIVED = 6
"""Points that stand for a curve without any."""

DERIVED_SURVIVAL = (0.8, 0.02)

VARIANCE = (0.01, 0.015, 0.0144)
"""Of ln S: constant, times the effect, times its square; see above."""


class SurvivalPoints(NamedTuple):
    """Points of one ion curve.

    Attributes:
        dose: (point,) Gy, positive.
        log_survival: (point,) ln S.
        weight: (point,) of sum 1.
        is_raw: whether they are published points.
    """

    dose: Floats
    log_survival: Floats
    weight: Floats
    is_raw: bool


def points_of(experiment: Experiment, pairs: Pairs) -> SurvivalPoints | None:
    """The points of an experiment; None where there are neither points nor an ion pair."""
    has_pair = bool(np.isfinite(pairs.alpha) and np.isfinite(pairs.beta))
    raw = [(dose, survival) for dose, survival in experiment.ion_points if dose > 0 and survival > 0]
    if raw:
        dose, survival = np.array(raw).T
        log_survival = np.log(survival)
        expected = effect(dose, pairs.alpha, pairs.beta) if has_pair else -log_survival
    elif has_pair:
        dose = _derived_doses(pairs)
        expected = effect(dose, pairs.alpha, pairs.beta)
        log_survival = -expected
    else:
        return None
    return SurvivalPoints(dose, log_survival, _weights(expected), bool(raw))


def _derived_doses(pairs: Pairs) -> Floats:
    """Evenly spaced; up to D10 where the pair bends up before 2 % survival."""
    first, last = isoeffective_dose(-np.log(DERIVED_SURVIVAL), pairs.alpha, pairs.beta)
    return np.linspace(first, last if np.isfinite(last) else D10(pairs.alpha, pairs.beta), N_DERIVED)


def _weights(expected_effect: Floats) -> Floats:
    size = np.maximum(expected_effect, 0.0)
    weight = 1.0 / np.polynomial.polynomial.polyval(size, VARIANCE)
    return np.asarray(weight / weight.sum())
