"""Logits whose probabilities are true on average (Platt 1999, "Probabilistic outputs for support vector machines").

A straight line through the log odds: calibrated = slope x logit + intercept, by maximum likelihood on lesions that the
networks did not learn from. Those are few, and of few the likelihood may ask for any slope, even one that turns good
into bad. So the logarithm of the slope has a Gaussian prior about 0 of deviation 1: a slope stays positive, and near
1 where lesions cannot tell. With many lesions the prior fades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from surrogate3d.errors import GridMismatchError, ValueRangeError

Floats = npt.NDArray[np.float64]

PRIOR_STD = 1.0
"""Deviation of the logarithm of the slope that is thought likely before."""


@dataclass(frozen=True)
class Platt:
    """A line through log odds.

    Attributes:
        slope: above 0.
        intercept: of the calibrated log odds.

    Raises:
        ValueRangeError: a slope that is not positive, or numbers that are not finite.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.slope < float("inf") or not np.isfinite(self.intercept):
            raise ValueRangeError(
                f"a calibration needs a finite slope above 0 and a finite intercept, found {self.slope:g} and "
                f"{self.intercept:g}"
            )

    def __call__(self, logit: npt.ArrayLike) -> Floats:
        """Calibrated log odds, of the shape of `logit`."""
        return self.slope * np.asarray(logit, dtype=np.float64) + self.intercept


def fit_platt(logit: npt.ArrayLike, outcome: npt.ArrayLike) -> Platt:
    """Calibrate logits on lesions that were not learnt from.

    Args:
        logit: (n,) log odds of the outcome.
        outcome: (n,) 1 where it came about, 0 where not.

    Raises:
        GridMismatchError: shapes that do not fit.
        ValueRangeError: a logit that is not finite, or an outcome of one class only.
    """
    x, y = np.asarray(logit, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise GridMismatchError(f"expected as many logits as outcomes, found shapes {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise ValueRangeError(
            f"a logit must be finite, found {x[~np.isfinite(x)][0]} in row {(~np.isfinite(x)).argmax()}"
        )
    if set(np.unique(y)) != {0.0, 1.0}:
        raise ValueRangeError(f"calibrating needs outcomes 0 and 1, both of them, found {np.unique(y)}")

    def loss(line: Floats) -> tuple[float, Floats]:
        slope = np.exp(line[0])
        odds = slope * x + line[1]
        error = expit(odds) - y
        value = np.logaddexp(0, odds).sum() - y @ odds + 0.5 * (line[0] / PRIOR_STD) ** 2
        return float(value), np.array([slope * (error @ x) + line[0] / PRIOR_STD**2, error.sum()])

    base = np.log(y.mean() / (1 - y.mean()))
    found = minimize(loss, np.array([0.0, base]), jac=True, method="L-BFGS-B", bounds=[(-10, 10), (None, None)])
    return Platt(float(np.exp(found.x[0])), float(found.x[1]))
