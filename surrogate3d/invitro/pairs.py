"""The linear-quadratic pairs of an experiment that are used, and the RBE that they measure.

PIDE has two pairs a curve: a fit to the points, and what the authors printed. Photons and ions are taken from the
same of the two where possible, the fits first, so that one way of fitting is compared with itself. A photon curve that
bends upwards (beta < 0, which noise makes) has no dose for a large effect; it is replaced by the straight line through
its dose for 10 % survival, which leaves RBE10 as it was measured.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surrogate3d.io.pide_experiment import Experiment, LqPair
from surrogate3d.physics.linear_quadratic import D10, LN10


class Pairs(NamedTuple):
    """What is used of an experiment; NaN where not known.

    Attributes:
        alpha_x: photon alpha, 1/Gy, never negative.
        beta_x: photon beta, 1/Gy^2, never negative.
        alpha: ion alpha as fitted or printed, 1/Gy.
        beta: ion beta as fitted or printed, 1/Gy^2; it may be negative.
        RBE10: photon over ion dose for 10 % survival.
    """

    alpha_x: float
    beta_x: float
    alpha: float
    beta: float
    RBE10: float


def pairs_of(experiment: Experiment) -> Pairs:
    """Choose the pairs of an experiment: both fits, else both printed, else on each side the fit, or what was printed.

    A pair is usable if alpha and beta are known and lead to 10 % survival; that of photons needs alpha >= 0, too.
    """
    nothing = (np.nan, np.nan)
    photon = [_usable(pair, 0.0) for pair in (experiment.photon_fit, experiment.photon_paper)]
    ion = [_usable(pair) for pair in (experiment.ion_fit, experiment.ion_paper)]
    alike = [(x, i) for x, i in zip(photon, ion, strict=True) if x and i]
    x, i = alike[0] if alike else (photon[0] or photon[1] or nothing, ion[0] or ion[1] or nothing)
    D10_x = float(D10(*x))
    alpha_x, beta_x = x if not x[1] < 0 else (LN10 / D10_x, 0.0)
    return Pairs(alpha_x, beta_x, *i, D10_x / float(D10(*i)))


def _usable(pair: LqPair | None, least_alpha: float = -np.inf) -> tuple[float, float] | None:
    """Alpha and beta, if both are known and 10 % survival is reached."""
    if pair is None or pair.alpha is None or pair.beta is None or pair.alpha < least_alpha:
        return None
    reached = pair.alpha**2 + 4.0 * pair.beta * LN10 >= 0 and (pair.alpha > 0 or pair.beta > 0)
    return (pair.alpha, pair.beta) if reached else None
