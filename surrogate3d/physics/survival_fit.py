"""Least squares on ln S of survival curves: estimates, 95 % intervals by profile likelihood, goodness of fit.

ln S = c_e - effect(D). Every experiment e with a control (a row of 0 Gy) has its own c_e, the error of its plating
efficiency, which is fitted with the rest; an experiment without control counts as normalised exactly. Other differences
between experiments are no part of the model, and show as a poor fit.

Two error models. *Known* standard errors of ln S: chi squared says how good the fit is; when it is improbable (p below
5 %), the errors are taken to be too small all by one factor, sqrt(chi2 / ndf), and the intervals grow with it.
*Unknown* ones: one standard deviation of ln S for all points is estimated from the scatter about the fit. An interval
holds the values for which the best fit of everything else is not worse than chi2_min + s^2 q: s^2 q is 3.84 for known
errors, else s^2 = chi2_min / ndf and q is the 95 % point of F(1, ndf): for a linear model, Student's interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import f as f_distribution

from surrogate3d.errors import ValueRangeError

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
POOR_FIT = 0.05
"""Probability of a chi squared as large as found, below which errors are scaled."""

HOPELESS_FIT = 0.001
"""The same, below which the model does not describe the data, and larger errors do not help."""

LEAST_DOSES = 3
"""Different doses above 0 that a survival curve needs."""

_MOST_STEPS = 200


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; an end is NaN where the data do not bound it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Goodness:
    """How well a model fits.

    Attributes:
        n_points: points, controls with them.
        n_offsets: experiments whose plating efficiency is fitted.
        ndf: degrees of freedom.
        chi2: of known errors; NaN where they are unknown.
        p_value: probability of a larger one; NaN where errors are unknown.
        common_sd: standard deviation of ln S, estimated from the scatter; NaN where errors are known.
        scale: factor by which known errors were enlarged; 1 where they were not.
    """

    n_points: int
    n_offsets: int
    ndf: int
    chi2: float
    p_value: float
    common_sd: float
    scale: float

    @property
    def hopeless(self) -> bool:
        """Whether the model does not describe the data; never where errors are unknown, as nothing then tells."""
        return self.p_value < HOPELESS_FIT


@dataclass(frozen=True, eq=False)
class Observed:
    """Points of survival curves.

    Attributes:
        dose: (n,) Gy.
        log_survival: (n,) ln S, or ln of what is proportional to it within an experiment.
        sd: (n,) standard error of `log_survival`, above 0; None where it is unknown.
        experiment: (n,) index of the experiment.

    Raises:
        ValueRangeError: shapes differ, a value is not finite, a dose is negative or an error not above 0.
    """

    dose: Floats
    log_survival: Floats
    sd: Floats | None
    experiment: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        sd = np.ones_like(self.dose) if self.sd is None else self.sd
        same = self.dose.shape == self.log_survival.shape == sd.shape == self.experiment.shape
        if not same or self.dose.ndim != 1:
            raise ValueRangeError(f"survival points need one value each in every column, found {self.dose.shape}")
        if not (np.isfinite(self.dose) & np.isfinite(self.log_survival) & (self.dose >= 0) & (sd > 0)).all():
            raise ValueRangeError("survival points need finite values, doses >= 0 Gy and standard errors above 0")

    @cached_property
    def controlled(self) -> npt.NDArray[np.int64]:
        """Experiments that have a control, and with it an offset."""
        return np.unique(self.experiment[self.dose == 0])

    @cached_property
    def _offsets(self) -> Floats:
        """(n, offset) orthonormal columns, weighted."""
        columns = (self.experiment[:, None] == self.controlled) * self._weight[:, None]
        return np.asarray(columns / np.sqrt((columns**2).sum(axis=0)))

    @property
    def _weight(self) -> Floats:
        return np.ones_like(self.dose) if self.sd is None else 1 / self.sd

    def free(self, values: Floats) -> Floats:
        """(n,) values in units of their errors, without what the offsets can take up."""
        weighted = values * self._weight
        return np.asarray(weighted - self._offsets @ (self._offsets.T @ weighted))

    def residuals(self, effects: Floats) -> Floats:
        """(n,) of a model with these -ln S, in units of their errors, at the best offsets."""
        return self.free(self.log_survival + effects)

    def goodness(self, chi2: float, n_parameters: int) -> Goodness:
        """From the smallest sum of squares.

        Raises:
            ValueRangeError: no degree of freedom is left.
        """
        n, offsets = len(self.dose), len(self.controlled)
        ndf = n - offsets - n_parameters
        if ndf < 1:
            raise ValueRangeError(
                f"{n} points are too few for {n_parameters} parameters and {offsets} plating efficiencies; measure more"
            )
        if self.sd is None:
            return Goodness(n, offsets, ndf, math.nan, math.nan, math.sqrt(chi2 / ndf), 1.0)
        p_value = float(chi2_distribution.sf(chi2, ndf))
        return Goodness(n, offsets, ndf, chi2, p_value, math.nan, math.sqrt(chi2 / ndf) if p_value < POOR_FIT else 1.0)


@dataclass(frozen=True)
class LinearQuadraticFit:
    """Alpha and beta of one radiation.

    Attributes:
        alpha: 1/Gy.
        beta: 1/Gy^2, not negative.
        goodness: of the fit.
        largest_dose: Gy.
    """

    alpha: Estimate
    beta: Estimate
    goodness: Goodness
    largest_dose: float

    @property
    def beta_is_seen(self) -> bool:
        """Whether the interval of beta excludes 0."""
        return self.beta.low > 0


def increase(chi2: float, goodness: Goodness) -> float:
    """By how much the sum of squares may grow inside a 95 % interval."""
    if math.isnan(goodness.common_sd) and goodness.scale == 1:
        return float(chi2_distribution.ppf(CONFIDENCE, 1))
    return chi2 / goodness.ndf * float(f_distribution.ppf(CONFIDENCE, 1, goodness.ndf))


def interval(
    profile: Callable[[float], float], best: float, limit: float, bounds: tuple[float, float], natural: bool = False
) -> Estimate:
    """Where a profile of sums of squares crosses its limit, on both sides of the best value.

    Args:
        profile: smallest sum of squares with the parameter held at a value.
        best: value of the parameter where it is smallest.
        limit: from `increase`, added to the smallest.
        bounds: between which the parameter is sought.
        natural: whether the lower bound is a limit of the parameter itself, such as 0, and thus an end of the interval;
            a bound that is none makes an open end, NaN.
    """
    low = _crossing(profile, best, limit, bounds[0])
    high = _crossing(profile, best, limit, bounds[1])
    return Estimate(best, bounds[0] if natural and math.isnan(low) else low, high)


def fit_linear_quadratic_curve(observed: Observed) -> LinearQuadraticFit:
    """Alpha >= 0 and beta >= 0 of the points of one radiation; the controls of its experiments go with them.

    Raises:
        ValueRangeError: fewer than three different doses above 0, too few points, or survival that rises with dose.
    """
    doses = np.unique(observed.dose[observed.dose > 0])
    if len(doses) < LEAST_DOSES:
        raise ValueRangeError(
            f"a survival curve needs {LEAST_DOSES} different doses above 0 Gy, found {len(doses)}: "
            f"{', '.join(f'{dose:g}' for dose in doses) or 'none'}"
        )
    y, a, b = observed.free(-observed.log_survival), observed.free(observed.dose), observed.free(observed.dose**2)

    def squares(alpha: float, beta: float) -> float:
        return float(np.sum((y - alpha * a - beta * b) ** 2))

    def at_alpha(alpha: float) -> float:
        return squares(alpha, max(0.0, float(b @ (y - alpha * a) / (b @ b))))

    def at_beta(beta: float) -> float:
        return squares(max(0.0, float(a @ (y - beta * b) / (a @ a))), beta)

    alpha, beta = _two_not_negative(y, a, b)
    if alpha == 0 and beta == 0:
        raise ValueRangeError("survival does not fall with dose, so there is no alpha and beta; check the columns")
    smallest = squares(alpha, beta)
    goodness = observed.goodness(smallest, 2)
    limit = smallest + increase(smallest, goodness)
    return LinearQuadraticFit(
        interval(at_alpha, alpha, limit, (0.0, math.inf), natural=True),
        interval(at_beta, beta, limit, (0.0, math.inf), natural=True),
        goodness,
        float(doses[-1]),
    )


def _two_not_negative(y: Floats, a: Floats, b: Floats) -> tuple[float, float]:
    """Least squares of y on a and b with coefficients >= 0: free, or else the better one of the two edges."""
    free = np.linalg.lstsq(np.stack([a, b], axis=1), y, rcond=None)[0]
    if (free >= 0).all():
        return float(free[0]), float(free[1])
    edges = [(max(0.0, float(a @ y / (a @ a))), 0.0), (0.0, max(0.0, float(b @ y / (b @ b))))]
    return min(edges, key=lambda pair: float(np.sum((y - pair[0] * a - pair[1] * b) ** 2)))


def _crossing(profile: Callable[[float], float], best: float, limit: float, bound: float) -> float:
    """The first crossing from the best value towards a bound; NaN where there is none before it."""
    sign = 1.0 if bound > best else -1.0
    step, inside = 1e-6 * max(abs(best), 1e-3), best
    if bound == best:
        return math.nan
    for _ in range(_MOST_STEPS):
        outside = min(inside + step, bound) if sign > 0 else max(inside - step, bound)
        if profile(outside) > limit:
            return float(brentq(lambda x: profile(x) - limit, inside, outside, xtol=1e-12, rtol=1e-10))
        if outside == bound:
            return math.nan
        inside, step = outside, 2 * step
    return math.nan
