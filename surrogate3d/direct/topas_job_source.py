"""From a voxel's spectrum to the runs of a TOPAS job: which ions are shot, how many, at which energies and seeds."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.validity import dose_share
from surrogate3d.grid.spectrum import SPECIES_A, SPECIES_Z
from surrogate3d.io.topas_job import Counter, IonRun, TopasRuns
from surrogate3d.physics.stopping_power import stopping_power

Floats = npt.NDArray[np.float64]

N_BATCHES = 20
"""Batches of the jackknife; the histories of every run are a multiple of it."""

LEAST_HISTORIES = 1000
"""Of a run, however rare its ions are."""

_STEPS = 64


def runs_of(task: VoxelTask, counter: Counter, histories: int, least_share: float, seed: int) -> TopasRuns:
    """The runs of a voxel.

    Each kind of ion has a run of its own, so that its fluence enters as an exact weight of the counted events and not
    as a rounded number of histories. Half of the histories go by fluence, which is where the events are, half by dose,
    which is where the effect is; rare ions get 1000. Kinds that bring less than `least_share` of the dose are left out,
    and their dose is treated like the rest.

    Args:
        task: the voxel.
        counter: geometry and physics.
        histories: of all runs together, about.
        least_share: of the dose, below which a kind of ion is left out.
        seed: of the campaign.
    """
    fluence = task.fluence_per_gy.astype(float)
    by_dose = dose_share(task).sum(axis=1)
    kept = (by_dose >= min(least_share, float(by_dose.max()))) & (by_dose > 0)
    share = 0.5 * (fluence.sum(axis=1) / fluence[kept].sum() + by_dose / by_dose[kept].sum())
    shot = np.maximum(np.ceil(histories * share / N_BATCHES) * N_BATCHES, LEAST_HISTORIES).astype(int)
    runs = [_run(task, n, fluence[n], int(shot[n]), counter, seed) for n in np.flatnonzero(kept).tolist()]
    return TopasRuns(counter, tuple(runs), task.spectrum_key)


def _run(task: VoxelTask, n: int, fluence: Floats, histories: int, counter: Counter, seed: int) -> IonRun:
    species = task.axes.species[n]
    met = fluence > 0
    energy = upstream_energy(SPECIES_Z[species], SPECIES_A[species], task.axes.energy_mev_u[n, met], counter.buildup_um)
    return IonRun(
        species=species,
        Z=SPECIES_Z[species],
        A=SPECIES_A[species],
        energies_mev=tuple((energy * SPECIES_A[species]).tolist()),
        weights=tuple((fluence[met] / fluence.sum()).tolist()),
        fluence_um2_gy=float(fluence.sum()),
        histories=histories,
        seed=run_seed(seed, task.spectrum_key, species),
    )


def upstream_energy(Z: int, A: int, energy_mev_u: npt.ArrayLike, depth_um: float) -> Floats:
    """Energy, MeV/u, with which ions start so that they have `energy_mev_u` after `depth_um` of water, on average.

    Continuous slowing down, backwards, by the midpoint rule.
    """
    energy, step = np.asarray(energy_mev_u, dtype=float), 1e-3 * depth_um / _STEPS / A  # keV to MeV per nucleon
    for _ in range(_STEPS if depth_um else 0):
        half = energy + 0.5 * step * stopping_power(Z, energy)
        energy = energy + step * stopping_power(Z, half)
    return energy


def run_seed(seed: int, spectrum_key: str, species: str) -> int:
    """Seed of a run, 1 to 2^31 - 2: from the campaign's seed, the voxel's spectrum and the kind of ion."""
    digest = hashlib.sha256(f"topas_job {seed} {spectrum_key} {species}".encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % (2**31 - 2)
