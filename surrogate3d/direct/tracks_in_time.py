"""Tracks through a nucleus in time, and the lesions that they leave: protracted and split delivery at any LET.

Tracks, nucleus and yields are those of `gsm2_mc`; each track comes at its own time and leaves Poisson-distributed
lesions in the domains near it. Until the last track has come they are repaired, or turn lethal alone or in pairs (exact
stochastic simulation, see `gillespie`); what then remains is decided in closed form. Acute delivery has the survival of
`gsm2_mc`. Tracks beyond reach are a mean there and come here as single lesions of random domains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange, uint64

from surrogate3d.direct.counter_rng import GOLDEN, mix, poisson, stream, unit
from surrogate3d.direct.gsm2_mc import GUIDE, beam
from surrogate3d.direct.lookup import track_table
from surrogate3d.direct.nucleus import RASTER, raster
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
    """One more lesion in domain d; counts are all lesions, and all ordered pairs of one domain."""
    counts[0] += 1
    counts[1] += 2 * x[d]
    x[d] += 1


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
    expected = 0.0
    for c in range(first[cell], first[cell + 1]):
        d = members[c]
        b2 = (px - axes_um[d, 0]) ** 2 + (py - axes_um[d, 1]) ** 2
        if b2 < reach2:
            m = lut[i, int(b2 / reach2 * (1.0 - 1e-12) * lut.shape[1])] * scale * layers
            expected += m
            more, state = poisson(m, state)
            for _ in range(more):
                state += GOLDEN
                _add(x, d * layers + int(unit(mix(state)) * layers), counts)
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
    """`time` hours with so many tracks and single lesions an hour: alive or not, lesions expected, the stream."""
    a, b, r = rates
    expected = 0.0
    while True:
        lethal = a * counts[0] + b * counts[1]
        total = tracks + singles + r * counts[0] + lethal
        if total == 0.0:
            return True, expected, state
        state += GOLDEN
        time += math.log(1.0 - unit(mix(state))) / total
        if time <= 0.0:
            return True, expected, state
        state += GOLDEN
        which = unit(mix(state)) * total
        if which < tracks:
            more, state = _track(x, counts, layers, rays, area, scale, state)
            expected += more
        elif which < tracks + singles:
            state += GOLDEN
            _add(x, int(unit(mix(state)) * x.size), counts)
        elif which < tracks + singles + lethal:
            return False, expected, state
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
    n, seed, key, start, duration, tracks, singles, layers, rates, lambda_ratio, log_C, rays, area, scale
):
    """Survival of n nuclei, given their tracks and what happened until the last one."""
    survival = np.zeros(n)
    for nucleus in prange(n):
        state = stream(seed, key, uint64(nucleus))
        x = np.zeros(area[2].shape[0] * layers, dtype=np.int64)
        counts = np.zeros(2, dtype=np.int64)
        alive, expected, now = True, 0.0, start[0]
        for k in range(start.size):
            alive, more, state = _pass(x, counts, layers, start[k] - now, 0.0, 0.0, rates, rays, area, scale, state)
            if alive and duration[k] > 0.0:
                per_hour = 1.0 / duration[k]
                alive, more, state = _pass(
                    x,
                    counts,
                    layers,
                    duration[k],
                    tracks[k] * per_hour,
                    singles[k] * per_hour,
                    rates,
                    rays,
                    area,
                    scale,
                    state,
                )
                expected += more + singles[k]
            elif alive:
                more, state = _instant(x, counts, layers, tracks[k], singles[k], rays, area, scale, state)
                expected += more + singles[k]
            if not alive:
                break
            now = start[k] + duration[k]
        if alive:
            log_S = -lambda_ratio * expected
            for d in range(x.size):
                log_S += log_C[min(x[d], log_C.size - 1)]
            survival[nucleus] = math.exp(log_S)
    return survival


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
    """Survival of a cell whose dose, of the voxel's spectrum, is delivered in time.

    Args:
        task: the voxel; its cell lines are not used.
        doses: (exposure,) Gy.
        when: the exposures; they may overlap.
        parameters: the cell line.
        n: nuclei to simulate.
        seed: non-negative; random numbers depend on it and on the spectrum.
        b_near: tracks further than r_d + b_near from a domain axis come as single lesions, um.
        yields: (species, bin) lesions per Gy per Gbp, as changed by oxygen (`oxygen.relative_yield`); those of
            `gsm2.lesion_yield` when not given.

    Raises:
        ValueRangeError: a dose is negative or not finite, there is not one for each exposure, the seed is negative, or
            there is no nucleus.
    """
    D = np.asarray(doses, dtype=float)
    if D.shape != when.start_h.shape or not (np.isfinite(D) & (D >= 0)).all():
        raise ValueRangeError(f"expected doses >= 0 in Gy for {len(when.start_h)} exposures, found {D.tolist()}")
    if n < 1 or seed < 0:
        raise ValueRangeError(f"a simulation needs at least one nucleus and a seed >= 0, found {n} and {seed}")
    pieces, shares = disjoint(when)
    piece_doses = shares @ D
    table = track_table(task.axes, parameters.r_d, b_near)
    place = raster(parameters.r_d, parameters.R_n, b_near)
    ray = beam(task, table, place.source_radius, table.yields if yields is None else yields)
    values = _nuclei(
        n, np.uint64(seed), ray.key ^ _KEY, pieces.start_h, pieces.duration_h,
        ray.tracks_per_gy * piece_doses, ray.far_per_gy * parameters.genome_gbp * piece_doses,
        parameters.n_layers, (parameters.a, parameters.b, parameters.r), parameters.lambda_ratio,
        log_domain_survival(LARGEST, parameters), (ray.lut, ray.cdf, ray.guide),
        (place.source_radius, place.reach**2, place.axes_um, place.first, place.members),
        parameters.genome_gbp / parameters.N,
    )  # fmt: skip
    return NucleusSurvival(float(values.mean()), float(values.std() / math.sqrt(n)), n)
