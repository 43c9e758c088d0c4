"""Stochastic simulation of GSM2's lesions in time: split and protracted delivery, where survival has no closed form.

Every domain holds X sub-lethal lesions. New ones come one by one at the rate of delivery, or at an instant; each ends
by repair at rate r or turns lethal at rate a, and every ordered pair turns lethal at rate b (Cordoni et al., Phys. Rev.
E 2021;103:012412). The simulation is exact (Gillespie, J. Phys. Chem. 1977;81:2340): the time to the next change is
exponential, and which change it is goes by the rates. A domain dies with its first lethal lesion; directly lethal
lesions do not depend on time and are added in closed form.

The lesions of a domain are a Poisson process here: radiation of low LET, whose tracks each leave much less than one
lesion in a domain. Where a track leaves many, `tracks_in_time` simulates the tracks too.

Random numbers are counter-based, one stream for each domain: a result depends on its arguments only, not on threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange, uint64

from surrogate3d.direct.counter_rng import GOLDEN, mix, poisson, stream, unit
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.gsm2 import Gsm2Parameters
from surrogate3d.physics.protraction import Exposures, disjoint

Floats = npt.NDArray[np.float64]

DEAD = -1
_KEY = np.uint64(0x6C6573696F6E73)  # apart from the streams of tracks


@njit(cache=True)
def _evolve(x, time, arrivals, a, b, r, state):  # type: ignore[no-untyped-def]  # compiled
    """Lesions after `time` hours with `arrivals` new ones per hour, or DEAD; and the advanced stream."""
    while True:
        lethal = x * (a + b * (x - 1))
        total = arrivals + x * r + lethal
        if total == 0.0:
            return x, state
        state += GOLDEN
        time += math.log(1.0 - unit(mix(state))) / total
        if time <= 0.0:
            return x, state
        state += GOLDEN
        which = unit(mix(state)) * total
        if which < arrivals:
            x += 1
        elif which < arrivals + lethal:
            return DEAD, state
        else:
            x -= 1


@njit(cache=True, parallel=True)
def _survivors(n, initial, start, duration, lesions, a, b, r, seed, key):  # type: ignore[no-untyped-def]  # compiled
    """Which of n domains, with `initial` lesions and more to come, end without a lethal one."""
    alive = np.zeros(n, dtype=np.bool_)
    for d in prange(n):
        state = stream(seed, key, uint64(d))
        x = initial
        now = start[0] if start.size else 0.0
        for k in range(start.size):
            x, state = _evolve(x, start[k] - now, 0.0, a, b, r, state)
            if x != DEAD:
                if duration[k] > 0.0:
                    x, state = _evolve(x, duration[k], lesions[k] / duration[k], a, b, r, state)
                else:
                    more, state = poisson(lesions[k], state)
                    x += more
            if x == DEAD:
                break
            now = start[k] + duration[k]
        if x != DEAD:
            x, state = _evolve(x, math.inf, 0.0, a, b, r, state)
        alive[d] = x != DEAD
    return alive


@dataclass(frozen=True)
class DomainSurvival:
    """How many domains ended without a lethal lesion.

    Attributes:
        survivors: their number.
        n: all simulated domains.
    """

    survivors: int
    n: int

    @property
    def survival(self) -> float:
        """Surviving fraction."""
        return self.survivors / self.n

    @property
    def se(self) -> float:
        """Binomial standard error of `survival`; with no or all survivors, that of a half one less or more."""
        p = min(max(self.survivors, 0.5), self.n - 0.5) / self.n
        return math.sqrt(p * (1 - p) / self.n)


def repair_survival(lesions: int, parameters: Gsm2Parameters, n: int, seed: int) -> DomainSurvival:
    """Domains that start with a number of sub-lethal lesions and get no more; in closed form `gsm2.domain_survival`.

    Args:
        lesions: X at the beginning.
        parameters: the cell line.
        n: domains to simulate.
        seed: non-negative.

    Raises:
        ValueRangeError: a negative number of lesions or seed, or no domain.
    """
    _check(n, seed)
    if lesions < 0:
        raise ValueRangeError(f"a domain starts with 0 or more lesions, found {lesions}")
    none = np.zeros(0)
    alive = _survivors(n, lesions, none, none, none, parameters.a, parameters.b, parameters.r, np.uint64(seed), _KEY)
    return DomainSurvival(int(alive.sum()), n)


def domain_survival(
    lesions: npt.ArrayLike, when: Exposures, parameters: Gsm2Parameters, n: int, seed: int
) -> DomainSurvival:
    """Domains that get sub-lethal lesions one by one during exposures, without the directly lethal ones.

    Args:
        lesions: (exposure,) expected sub-lethal lesions in a domain.
        when: the exposures; they may overlap.
        parameters: the cell line.
        n: domains to simulate.
        seed: non-negative.

    Raises:
        ValueRangeError: a negative or non-finite number of lesions, not one for each exposure, a negative seed, or no
            domain.
    """
    _check(n, seed)
    mean = np.asarray(lesions, dtype=float)
    if mean.shape != when.start_h.shape or not (np.isfinite(mean) & (mean >= 0)).all():
        raise ValueRangeError(f"expected lesions >= 0 for {len(when.start_h)} exposures, found {mean.tolist()}")
    pieces, shares = disjoint(when)
    alive = _survivors(
        n, 0, pieces.start_h, pieces.duration_h, shares @ mean, parameters.a, parameters.b, parameters.r,
        np.uint64(seed), _KEY,
    )  # fmt: skip
    return DomainSurvival(int(alive.sum()), n)


def photon_effect_in_time(
    doses: npt.ArrayLike, when: Exposures, parameters: Gsm2Parameters, n: int, seed: int
) -> tuple[float, float]:
    """-ln S of a cell after photons that are delivered in time; acute, it is `gsm2.photon_effect`.

    All N domains of a nucleus are alike and independent: -ln S = N (lambda_ratio m - ln S_domain), m = kappa_x D / N.

    Args:
        doses: (exposure,) Gy.
        when: the exposures.
        parameters: the cell line.
        n: domains to simulate.
        seed: non-negative.

    Returns:
        -ln S and its standard error.

    Raises:
        ValueRangeError: as for `domain_survival`, or no domain survived: then there is no estimate.
    """
    mean = parameters.kappa_x / parameters.N * np.asarray(doses, dtype=float)
    found = domain_survival(mean, when, parameters, n, seed)
    if not found.survivors:
        raise ValueRangeError(f"none of {n} domains survived {np.sum(doses):g} Gy; simulate more domains or less dose")
    effect = parameters.N * (parameters.lambda_ratio * float(mean.sum()) - math.log(found.survival))
    return effect, parameters.N * found.se / found.survival


def _check(n: int, seed: int) -> None:
    if n < 1 or seed < 0:
        raise ValueRangeError(f"a simulation needs at least one domain and a seed >= 0, found {n} and {seed}")
