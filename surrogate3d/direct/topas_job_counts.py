"""Counted events of all runs of a job, and the same without each batch of histories: what the folding starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.topas_job_source import N_BATCHES
from surrogate3d.errors import ValueRangeError
from surrogate3d.io.topas_job import TopasRuns
from surrogate3d.io.topas_job_results import CountedEvents
from surrogate3d.physics.lineal_response import event_specific_energy

Floats = npt.NDArray[np.float64]

LEAST_EVENTS = 100
"""Events of a whole job below which there is no answer: the jackknife would not be honest."""


@dataclass(frozen=True, eq=False)
class JobCounts:
    """What the runs of a job counted.

    Attributes:
        asked: the runs.
        y_kev_um: (bin,) lineal energy.
        counts: (ion, bin) events.
    """

    asked: TopasRuns
    y_kev_um: Floats
    counts: npt.NDArray[np.int64]

    @property
    def histories(self) -> npt.NDArray[np.int64]:
        """(ion,) ions shot."""
        return np.array([run.histories for run in self.asked.runs])

    @property
    def fluence(self) -> Floats:
        """(ion,) fluence of each kind of ion at 1 Gy, 1/um^2."""
        return np.array([run.fluence_um2_gy for run in self.asked.runs])

    @property
    def dose_per_gy(self) -> float:
        """Dose in the counter over the dose that the whole spectrum has by stopping power; 1 in equilibrium."""
        z = event_specific_energy(self.y_kev_um, self.asked.counter.radius_um)
        return float(self.fluence @ (self._per_fluence(self.counts, self.histories) @ z))

    def replicas(self) -> Floats:
        """(1 + batch, ion, bin) events per unit fluence, um^2: of all histories, then without each batch of them.

        Every history is independent, and which of them belong together does not matter: so dealing out the events
        and the misses of a run at random, without putting back, gives batches as good as those of the run itself.
        """
        whole = self._per_fluence(self.counts, self.histories)
        left = self.histories * (N_BATCHES - 1) // N_BATCHES
        return np.concatenate([whole[None], self._per_fluence(self.counts - self._batches(), left)])

    def _per_fluence(self, counts: npt.NDArray[np.int64], histories: npt.NDArray[np.int64]) -> Floats:
        """Events per unit fluence, um^2."""
        return np.asarray(counts * (self.asked.counter.beam_area_um2 / histories[:, None]))

    def _batches(self) -> npt.NDArray[np.int64]:
        """(batch, ion, bin) events of each batch; equal jobs are dealt equally."""
        seed = hashlib.sha256(f"batches of {self.asked.key}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
        dealt = np.empty((N_BATCHES, *self.counts.shape), dtype=np.int64)
        for n, (counts, histories) in enumerate(zip(self.counts, self.histories, strict=True)):
            left = np.append(counts, histories - counts.sum())
            for batch in range(N_BATCHES):
                drawn = rng.multivariate_hypergeometric(left, histories // N_BATCHES, method="marginals")
                dealt[batch, n], left = drawn[:-1], left - drawn
        return dealt


def job_counts(asked: TopasRuns, events: Sequence[CountedEvents]) -> JobCounts:
    """Put the runs together.

    Args:
        asked: the runs.
        events: of each of them.

    Raises:
        ValueRangeError: too few events in all.
    """
    n = sum(counted.n_events for counted in events)
    if n < LEAST_EVENTS:
        raise ValueRangeError(f"only {n} events were counted, expected {LEAST_EVENTS} or more; give more histories")
    return JobCounts(asked, events[0].y_kev_um, np.array([counted.counts for counted in events]))
