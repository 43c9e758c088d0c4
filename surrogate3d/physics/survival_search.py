"""Nonlinear least squares on ln S for models with bounded parameters, with 95 % intervals by profile likelihood.

Parameters are searched as their logarithm, but `alpha0`, which may be 0. Several starting points are tried, so that a
local minimum is not taken for the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeResult, least_squares

from surrogate3d.physics.survival_fit import Estimate, Goodness, Observed, increase, interval

Floats = npt.NDArray[np.float64]
Range = tuple[float, float]
Effects = Callable[[Floats], Floats]

LINEAR = "alpha0"
"""The parameter that is searched as it is, and may be 0."""

_STARTS = 4
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class ModelFit:
    """A model fitted to survival data.

    Attributes:
        parameters: by name, with intervals.
        goodness: of the fit.
        undetermined: why the data do not determine the parameters; empty when they do.
    """

    parameters: dict[str, Estimate]
    goodness: Goodness
    undetermined: str


def search(observed: Observed, effects: Effects, ranges: Mapping[str, Range]) -> ModelFit:
    """Fit a model.

    Args:
        observed: the points.
        effects: (n,) -ln S of the points, from the searched parameters in the order of `ranges`: `alpha0` as it is, all
            others as their logarithm.
        ranges: lowest and highest value of each parameter.

    Raises:
        ValueRangeError: too few points.
    """
    names = list(ranges)
    bounds = [ends if name == LINEAR else (math.log(ends[0]), math.log(ends[1])) for name, ends in ranges.items()]
    inner = [np.linspace(low, high, _STARTS + 2)[1:-1].tolist() for low, high in bounds]
    starts = list(product(*([0.2] if name == LINEAR else values for name, values in zip(names, inner, strict=True))))
    smallest, found = _least_squares(observed, effects, bounds, {}, [np.array(start) for start in starts])
    goodness = observed.goodness(smallest, len(names))
    limit = smallest + increase(smallest, goodness)

    def profile(k: int) -> Callable[[float], float]:
        return lambda value: _least_squares(observed, effects, bounds, {k: value}, [found])[0]

    parameters: dict[str, Estimate] = {}
    for k, name in enumerate(names):
        here = interval(profile(k), float(found[k]), limit, bounds[k], natural=name == LINEAR)
        ends = (here.value, here.low, here.high)
        parameters[name] = here if name == LINEAR else Estimate(*(math.exp(end) for end in ends))
    return ModelFit(parameters, goodness, _undetermined(parameters, ranges))


def _least_squares(
    observed: Observed, effects: Effects, bounds: Sequence[Range], held: Mapping[int, float], starts: Sequence[Floats]
) -> tuple[float, Floats]:
    """Smallest sum of squares and where it is, some parameters held."""
    free = [k for k in range(len(bounds)) if k not in held]
    base = np.array([held.get(k, 0.0) for k in range(len(bounds))])

    def whole(x: Floats) -> Floats:
        p = base.copy()
        p[free] = x
        return p

    def residuals(x: Floats) -> Floats:
        return observed.residuals(effects(whole(x)))

    if not free:
        return float(np.sum(residuals(np.array([])) ** 2)), base
    low, high = (np.array([bounds[k][end] for k in free]) for end in (0, 1))

    def solve(start: Floats) -> OptimizeResult:
        x, ends = np.clip(start[free], low, high), (low, high)
        return least_squares(residuals, x, bounds=ends, xtol=_TOLERANCE, ftol=_TOLERANCE, gtol=_TOLERANCE)

    best = min(map(solve, starts), key=lambda each: float(each.cost))
    return 2 * float(best.cost), whole(best.x)


def _undetermined(parameters: Mapping[str, Estimate], ranges: Mapping[str, Range]) -> str:
    for name, found in parameters.items():
        if math.isnan(found.low) or math.isnan(found.high):
            low, high = ranges[name]
            return (
                f"the data do not determine {name}: its interval reaches the end of the range searched, {low:g} to "
                f"{high:g}"
            )
    return ""
