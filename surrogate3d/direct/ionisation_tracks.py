"""Ionisation cluster sizes in nanometre sites: a compact Monte Carlo of ion tracks with their delta electrons.

The ion goes straight, at constant energy, along a segment of track; its ionisations are a Poisson process with the
rates of `physics.ionisation`. Every ejected electron is followed collision by collision (`electron_tracks`) until it
can no longer ionise or reach a site. Electrons of 100 eV and more start at the angle of a binary collision, slower
ones in any direction. Sites lie in rows along the segment, and each counts the ionisations inside it, whoever made
them.

A `SiteRow` says how far from the ion its sites lie. 0: the ion passes through the centre, as in the ion counters.
Its own radius: the ion crosses at random, uniformly over the cross-section. Larger: sites near the track too, where
electrons alone count; there only the distribution of sites that were hit has a meaning.

Neighbouring sites of a row share electrons, so standard errors come from batches of whole tracks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange, uint64

from surrogate3d.direct.counter_rng import stream
from surrogate3d.direct.electron_tracks import (
    ISOTROPIC_BELOW_EV,
    LOWEST_BINDING_EV,
    draw,
    follow,
    pick,
    place,
    quantile,
    record,
    turn,
)
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.ionisation import ELECTRON_EV, IonRates, ion_rates, largest_transfer_ev
from surrogate3d.physics.nano_electrons import HIGHEST_EV, electron_tables, quantile_levels

Floats = npt.NDArray[np.float64]

N_BATCHES = 20
LARGEST_CLUSTER = 2047
GAP_NM = 2.0
"""Free distance between neighbouring sites of a row."""
MARGIN_NM = 20.0
"""The ion's track goes on by so much on both sides of the sites."""
_STACK = 1024


@dataclass(frozen=True)
class SiteRow:
    """Equal sites along the track.

    Attributes:
        radius_nm: of the sphere, or of the cylinder.
        largest_impact_nm: centres lie uniformly over a disc of this radius about the ion's path; 0 for its centre.
        half_length_nm: half the length of a cylinder; 0 for a sphere.
        turned: the cylinders lie in random directions; else across the track.
    """

    radius_nm: float
    largest_impact_nm: float = 0.0
    half_length_nm: float = 0.0
    turned: bool = False

    @property
    def reach_nm(self) -> float:
        """Largest distance of a point of a site from its centre."""
        return math.hypot(self.radius_nm, self.half_length_nm)


@dataclass(frozen=True)
class ClusterSizes:
    """Distribution of the cluster size nu of one row of sites.

    Attributes:
        counts: (batch, LARGEST_CLUSTER + 1) number of sites by nu.
    """

    counts: npt.NDArray[np.int64]

    @property
    def probability(self) -> Floats:
        """P(nu), of all sites of the row."""
        total = self.counts.sum(axis=0)
        return np.asarray(total / total.sum())

    def value(self, name: str, conditional: bool = False) -> tuple[float, float]:
        """M1, F1, F2 or F3 and its standard error.

        Args:
            name: "M1", the mean of nu, or "F1", "F2", "F3", the probability of nu >= k.
            conditional: given nu >= 1, not over all sites.
        """
        weight = _weight(name)
        top = self.counts @ weight
        bottom = self.counts[:, 1:].sum(axis=1) if conditional else self.counts.sum(axis=1)
        if not bottom.sum():
            return 0.0, 0.0
        mean = top.sum() / bottom.sum()
        n = len(top)
        spread = np.sum((top - mean * bottom) ** 2) * n / (n - 1)  # ratio estimator
        return float(mean), float(math.sqrt(spread) / bottom.sum())


def _weight(name: str) -> Floats:
    nu = np.arange(LARGEST_CLUSTER + 1)
    return nu.astype(float) if name == "M1" else (nu >= int(name[1:])).astype(float)


def simulate_clusters(
    Z: int,
    energy_mev_u: float,
    rows: Sequence[SiteRow],
    *,
    n_tracks: int,
    seed: int,
    length_nm: float = 200.0,
    electrons: bool = True,
) -> list[ClusterSizes]:
    """Cluster sizes in rows of sites about the track of one ion.

    Args:
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u, held constant along the segment.
        rows: kinds of sites; all see the same tracks.
        n_tracks: number of segments, rounded up to a multiple of the 20 batches.
        seed: equal seeds give equal counts, whatever the number of threads.
        length_nm: length of the segment that holds sites.
        electrons: False for the ionisations by the ion alone, which are a Poisson process.

    Returns:
        One distribution per row.

    Raises:
        ValueRangeError: a site without size, or a segment shorter than a site, no tracks; a cluster beyond 2047; as
            `physics.ionisation.ion_rates`.
    """
    for row in rows:
        if not (row.radius_nm > 0 and row.largest_impact_nm >= 0 and row.half_length_nm >= 0):
            raise ValueRangeError(f"a site needs a positive radius and no negative length in nm, found {row}")
        if length_nm < _spacing(row):
            raise ValueRangeError(f"a segment of {length_nm:g} nm cannot hold a site of {row}; make it longer")
    if n_tracks < 1:
        raise ValueRangeError(f"at least one track is needed, found {n_tracks}")
    per_batch = -(-n_tracks // N_BATCHES)
    shape = np.array([[r.radius_nm, r.half_length_nm, r.largest_impact_nm, _spacing(r), r.turned] for r in rows], float)
    bound = max(r.largest_impact_nm + r.reach_nm for r in rows)
    top = min(largest_transfer_ev(energy_mev_u), HIGHEST_EV)
    ion = _ion_arrays(ion_rates(Z, energy_mev_u), top)
    arguments = (uint64(seed), per_batch, length_nm, MARGIN_NM, shape, bound, *ion, top, electrons)
    counts = _tracks(*arguments, *_electron_arrays())
    if counts[:, :, LARGEST_CLUSTER].any():
        raise ValueRangeError(
            f"a cluster of {LARGEST_CLUSTER} or more ionisations cannot be counted; use smaller sites"
        )
    return [ClusterSizes(counts[:, f]) for f in range(len(rows))]


def electron_yield(electron_ev: float, n_electrons: int, seed: int) -> tuple[float, float]:
    """Mean number of ionisations by an electron that is stopped in water, and its standard error.

    The energy per ionisation, W = T / yield, is what the model is compared with.
    """
    counts = _stopped(uint64(seed), n_electrons, float(electron_ev), *_electron_arrays())
    return float(counts.mean()), float(counts.std(ddof=1) / math.sqrt(n_electrons))


def _spacing(row: SiteRow) -> float:
    return 2.0 * row.reach_nm + GAP_NM


def _ion_arrays(rates: IonRates, top_ev: float) -> tuple[Any, ...]:
    """Rate per nm, cumulative shares of the shells, and energies of ejected electrons by quantile, eV."""
    levels = quantile_levels()
    step = np.diff(rates.electron_ev) * 0.5 * (rates.spectrum[:, 1:] + rates.spectrum[:, :-1])
    total = np.concatenate([np.zeros((len(step), 1)), np.cumsum(step, axis=1)], axis=1)
    energies = np.stack([np.interp(levels, row / row[-1], rates.electron_ev) for row in total])
    share = np.cumsum(rates.ionisations)
    return float(share[-1]), share / share[-1], np.ascontiguousarray(np.minimum(energies, top_ev))


def _electron_arrays() -> tuple[Any, ...]:
    t = electron_tables()
    step = math.log(t.energy_ev[1] / t.energy_ev[0])
    cumulative = np.stack([t.elastic, t.elastic + t.ionisation, t.elastic + t.ionisation + t.excitation])
    return (math.log(t.energy_ev[0]), step, cumulative, t.screening, t.shell, t.state, t.ejected)


@njit(cache=True, parallel=True, error_model="numpy")
def _tracks(  # type: ignore[no-untyped-def]  # compiled
    seed, per_batch, length, margin, shape, bound, rate, shares, quantiles, top, electrons, log_low, log_step,
    cumulative, eta, shells, states, ejected,
):  # fmt: skip
    """(batch, row, nu) number of sites."""
    n_rows = shape.shape[0]
    most = int(length / shape[:, 3].min())
    out = np.zeros((N_BATCHES, n_rows, LARGEST_CLUSTER + 1), np.int64)
    for batch in prange(N_BATCHES):
        rng = np.empty(1, np.uint64)
        stack, direction = np.empty((_STACK, 7)), np.empty(3)
        sites, counts = np.empty((n_rows, most, 5)), np.zeros((n_rows, most), np.int64)
        for track in range(per_batch):
            rng[0] = stream(seed, uint64(batch), uint64(track))
            place(rng, shape, length, sites)
            counts[:] = 0
            z = -margin
            while True:
                z -= math.log(1.0 - draw(rng)) / rate
                if z > length + margin:
                    break
                shell = pick(shares, draw(rng))
                W = quantile(quantiles[shell], draw(rng))
                record(0.0, 0.0, z, shape, length, sites, counts)
                if electrons and W > LOWEST_BINDING_EV:
                    m = 2.0 * ELECTRON_EV
                    binary = W >= ISOTROPIC_BELOW_EV
                    cosine = math.sqrt(W / (W + m) * (top + m) / top) if binary else 2.0 * draw(rng) - 1.0
                    direction[0], direction[1], direction[2] = 0.0, 0.0, 1.0
                    turn(direction, min(cosine, 1.0), 2.0 * math.pi * draw(rng))
                    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 6] = 0.0, 0.0, z, W
                    stack[0, 3:6] = direction
                    follow(
                        rng, stack, length, bound, shape, sites, counts, log_low, log_step, cumulative, eta, shells,
                        states, ejected,
                    )  # fmt: skip
            for f in range(n_rows):
                for j in range(int(length / shape[f, 3])):
                    out[batch, f, min(counts[f, j], LARGEST_CLUSTER)] += 1
    return out


@njit(cache=True, parallel=True, error_model="numpy")
def _stopped(  # type: ignore[no-untyped-def]  # compiled
    seed, n, energy, log_low, log_step, cumulative, eta, shells, states, ejected
):  # fmt: skip
    """(electron,) number of ionisations by electrons of one energy."""
    out = np.zeros(n)
    for i in prange(n):
        rng = np.empty(1, np.uint64)
        rng[0] = stream(seed, uint64(0), uint64(i))
        stack = np.zeros((_STACK, 7))
        stack[0, 5], stack[0, 6] = 1.0, energy
        out[i] = follow(
            rng, stack, 0.0, -1.0, np.zeros((0, 5)), np.zeros((0, 0, 5)), np.zeros((0, 0), np.int64), log_low, log_step,
            cumulative, eta, shells, states, ejected,
        )  # fmt: skip
    return out
