"""Tracks through a nucleus in time, and the lesions that they leave: protracted and split delivery at any LET.

Tracks, nucleus and yields are those of `gsm2_mc`; each track comes at its own time and leaves Poisson-distributed
lesions in the domains near it. Until the last track has come, their arrival and repair are simulated exactly, as in
`gillespie`. That none turns lethal meanwhile, alone or in a pair, is not left to chance: with lethal events at rate
k(t), a course of arrivals and repairs survives with probability exp(-Int k dt) (Feynman-Kac), which is averaged instead
of zeros and ones. What then remains is decided in closed form. Acute delivery has the survival of `gsm2_mc`. Tracks
beyond reach are a mean there and come here as single lesions of random domains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit, prange, uint64

from surrogate3d.direct.counter_rng import GOLDEN, mix, poisson, stream, unit
from surrogate3d.direct.lookup import N_RINGS, track_table
from surrogate3d.direct.nucleus import RASTER, raster
from surrogate3d.direct.nucleus_sampler import GUIDE, beam
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.gsm2 import Gsm2Parameters, log_domain_survival
from surrogate3d.physics.protraction import Exposures, disjoint

Floats = npt.NDArray[np.float64]

LARGEST = 65_535
"""Lesions in a domain beyond which survival is taken as that of so many, which is 0."""

_KEY = np.uint64(0x747261636B73)  # apart from the streams of acute simulations


@njit(cache=True)
def _add(x, d, counts):  # type: ignore[no-untyped-def]  # compiled
    """One more lesion in domain d; counts are all lesions, all ordered pairs of one domain, and all that ever came."""
    counts[0] += 1
    counts[1] += 2 * x[d]
    counts[2] += 1
    x[d] += 1


@njit(cache=True)
def _hit(px, py, d, i, lut, reach2, axes_um):  # type: ignore[no-untyped-def]  # compiled
    """What q a track of row i at (px, py) gives to axis d."""
    b2 = (px - axes_um[d, 0]) ** 2 + (py - axes_um[d, 1]) ** 2
    return lut[i, int(b2 / reach2 * (1.0 - 1e-12) * N_RINGS)] if b2 < reach2 else 0.0


@njit(cache=True)
def _track(x, counts, layers, rays, area, scale, state):  # type: ignore[no-untyped-def]  # compiled
    """A track at random: it adds lesions; returns their expected number and the advanced stream."""
    lut, cdf, guide = rays
    r_source, reach2, axes_um, first, members = area
    state += GOLDEN
    u = unit(mix(state))
    i = guide[int(u * GUIDE)]
    while cdf[i] <= u:
        i += 1
    state += GOLDEN
    radius = r_source * math.sqrt(unit(mix(state)))
    state += GOLDEN
    angle = 2.0 * math.pi * unit(mix(state))
    px, py = radius * math.cos(angle), radius * math.sin(angle)
    to_cell = RASTER / (2.0 * r_source) * (1.0 - 1e-12)  # rounding must not reach past the last cell
    cell = int((px + r_source) * to_cell) * RASTER + int((py + r_source) * to_cell)
    q = 0.0
    for c in range(first[cell], first[cell + 1]):
        q += _hit(px, py, members[c], i, lut, reach2, axes_um)
    expected = q * scale * layers
    more, state = poisson(expected, state)
    for _ in range(more):  # each lesion in a domain by its share
        state += GOLDEN
        left = q * unit(mix(state))
        c = first[cell]
        left -= _hit(px, py, members[c], i, lut, reach2, axes_um)
        while left >= 0.0 and c + 1 < first[cell + 1]:
            c += 1
            left -= _hit(px, py, members[c], i, lut, reach2, axes_um)
        state += GOLDEN
        _add(x, members[c] * layers + int(unit(mix(state)) * layers), counts)
    return expected, state


@njit(cache=True)
def _repair(x, counts, state):  # type: ignore[no-untyped-def]  # compiled
    """Any one of the lesions, all being alike, is repaired."""
    state += GOLDEN
    left = int(unit(mix(state)) * counts[0])
    d = 0
    while left >= x[d]:
        left -= x[d]
        d += 1
    x[d] -= 1
    counts[0] -= 1
    counts[1] -= 2 * x[d]
    return state


@njit(cache=True)
def _pass(x, counts, layers, time, tracks, singles, rates, rays, area, scale, state):  # type: ignore[no-untyped-def]  # compiled
    """`time` hours with so many tracks and single lesions an hour: ln S so far, lesions expected, the stream."""
    a, b, r = rates
    log_S, expected = 0.0, 0.0
    while True:
        lethal = a * counts[0] + b * counts[1]
        total = tracks + singles + r * counts[0]
        if total == 0.0:
            return log_S, expected, state
        state += GOLDEN
        step = -math.log(1.0 - unit(mix(state))) / total
        log_S -= lethal * min(step, time)
        time -= step
        if time <= 0.0:
            return log_S, expected, state
        state += GOLDEN
        which = unit(mix(state)) * total
        if which < tracks:
            more, state = _track(x, counts, layers, rays, area, scale, state)
            expected += more
        elif which < tracks + singles:
            state += GOLDEN
            _add(x, int(unit(mix(state)) * x.size), counts)
        else:
            state = _repair(x, counts, state)


@njit(cache=True)
def _instant(x, counts, layers, tracks, singles, rays, area, scale, state):  # type: ignore[no-untyped-def]  # compiled
    """Tracks and single lesions that come together; lesions expected from the tracks, and the stream."""
    expected = 0.0
    count, state = poisson(tracks, state)
    for _ in range(count):
        more, state = _track(x, counts, layers, rays, area, scale, state)
        expected += more
    count, state = poisson(singles, state)
    for _ in range(count):
        state += GOLDEN
        _add(x, int(unit(mix(state)) * x.size), counts)
    return expected, state


@njit(cache=True, parallel=True)
def _nuclei(  # type: ignore[no-untyped-def]  # compiled
    first, n, seed, key, start, duration, tracks, singles, layers, rates, lambda_ratio, log_C, rays, area, scale
):
    """Survival of nuclei first ... first + n - 1, given what came and was repaired, and how many lesions each had."""
    survival, lesions = np.empty(n), np.empty(n)
    for nucleus in prange(n):
        state = stream(seed, key, uint64(first + nucleus))
        x = np.zeros(area[2].shape[0] * layers, dtype=np.int64)
        counts = np.zeros(3, dtype=np.int64)
        log_S, expected, now = 0.0, 0.0, start[0]
        for k in range(start.size):
            gap = start[k] - now
            more_S, more, state = _pass(x, counts, layers, gap, 0.0, 0.0, rates, rays, area, scale, state)
            log_S += more_S
            if duration[k] > 0.0:
                rate = tracks[k] / duration[k]
                single = singles[k] / duration[k]
                more_S, more, state = _pass(
                    x, counts, layers, duration[k], rate, single, rates, rays, area, scale, state
                )
                log_S += more_S
            else:
                more, state = _instant(x, counts, layers, tracks[k], singles[k], rays, area, scale, state)
            expected += more + singles[k]
            now = start[k] + duration[k]
        log_S -= lambda_ratio * expected
        for d in range(x.size):
            log_S += log_C[min(x[d], log_C.size - 1)]
        survival[nucleus] = math.exp(log_S)
        lesions[nucleus] = counts[2]
    return survival, lesions


@lru_cache(maxsize=64)
def _log_C(parameters: Gsm2Parameters) -> Floats:
    return log_domain_survival(LARGEST, parameters)


class NucleiInTime:
    """The kernel bound to one voxel, geometry and course of delivery: nuclei on demand.

    Attributes:
        q_per_gy: exact mean of q, lesions per Gbp, per Gy.
    """

    def __init__(
        self,
        task: VoxelTask,
        site: tuple[float, float],
        when: Exposures,
        shares: npt.ArrayLike,
        seed: int,
        b_near: float = 1.0,
        yields: Floats | None = None,
    ) -> None:
        """Prepare the tables.

        Args:
            task: the voxel; its cell lines and conditions are not used.
            site: radii of domain and nucleus, um.
            when: the exposures; they may overlap.
            shares: (exposure,) share of the dose that each brings.
            seed: non-negative; random numbers depend on it and on the spectrum.
            b_near: tracks further than r_d + b_near from a domain axis come as single lesions, um.
            yields: (species, bin) lesions per Gy per Gbp, as changed by oxygen (`oxygen.relative_yield`); those of
                `gsm2.lesion_yield` when not given.
        """
        table = track_table(task.axes, site[0], b_near)
        self._place = raster(*site, b_near)
        self._ray = beam(task, table, table.yields if yields is None else yields)
        self._pieces, matrix = disjoint(when)
        self._shares = matrix @ np.asarray(shares, dtype=float)
        self._seed = np.uint64(seed)
        self.q_per_gy = self._ray.q_per_gy

    def __call__(self, first: int, n: int, cell: Gsm2Parameters, dose: float) -> tuple[Floats, Floats]:
        """Survival (nucleus,) of nuclei first ... first + n - 1 after a dose in Gy, and the lesions per Gbp of each.

        Args:
            first: number of the first nucleus; each has its own random numbers.
            n: nuclei.
            cell: the cell line, with the radii of the sampler.
            dose: of all exposures together, Gy.
        """
        place, ray, doses = self._place, self._ray, dose * self._shares
        survival, lesions = _nuclei(
            first, n, self._seed, ray.key ^ _KEY, self._pieces.start_h, self._pieces.duration_h,
            ray.fluence_per_gy * math.pi * place.source_radius**2 * doses, ray.far_per_gy * cell.genome_gbp * doses,
            cell.n_layers, (cell.a, cell.b, cell.r), cell.lambda_ratio,
            _log_C(cell), (ray.lut, ray.cdf, ray.guide),
            (place.source_radius, place.reach**2, place.axes_um, place.first, place.members),
            cell.genome_gbp / cell.N,
        )  # fmt: skip
        return survival, lesions / cell.genome_gbp


@dataclass(frozen=True)
class NucleusSurvival:
    """Surviving fraction of simulated nuclei.

    Attributes:
        survival: mean.
        se: its standard error.
        n: nuclei.
    """

    survival: float
    se: float
    n: int


def survival_in_time(
    task: VoxelTask,
    doses: npt.ArrayLike,
    when: Exposures,
    parameters: Gsm2Parameters,
    n: int,
    seed: int,
    b_near: float = 1.0,
    yields: Floats | None = None,
) -> NucleusSurvival:
    """Survival of a cell whose dose, of the voxel's spectrum, is delivered in time; plain mean over n nuclei.

    Args:
        task: the voxel; its cell lines and conditions are not used.
        doses: (exposure,) Gy.
        when: the exposures; they may overlap.
        parameters: the cell line.
        n: nuclei to simulate.
        seed: non-negative; random numbers depend on it and on the spectrum.
        b_near: see `NucleiInTime`.
        yields: see `NucleiInTime`.

    Raises:
        ValueRangeError: a dose is negative or not finite, there is not one for each exposure, the seed is negative, or
            there is no nucleus.
    """
    D = np.asarray(doses, dtype=float)
    if D.shape != when.start_h.shape or not (np.isfinite(D) & (D >= 0)).all():
        raise ValueRangeError(f"expected doses >= 0 in Gy for {len(when.start_h)} exposures, found {D.tolist()}")
    if n < 1 or seed < 0:
        raise ValueRangeError(f"a simulation needs at least one nucleus and a seed >= 0, found {n} and {seed}")
    nuclei = NucleiInTime(task, (parameters.r_d, parameters.R_n), when, D, seed, b_near, yields)
    values, _ = nuclei(0, n, parameters, 1.0)
    return NucleusSurvival(float(values.mean()), float(values.std() / math.sqrt(n)), n)
