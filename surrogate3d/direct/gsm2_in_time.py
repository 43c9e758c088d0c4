"""The dose ladder of `gsm2_mc` for a delivery in time: every dose is simulated from its first track to its last.

Acutely, one nucleus serves all doses by adding tracks, and all cell lines by reading the same tracks. In time neither
holds: what a track does depends on the lesions that are there, and their number is the cost. So each dose and each
cell line has nuclei of its own. The number of lesions of a nucleus, whose mean is known exactly, takes the place of the
mean q as control variate of `tally.SurvivalTally`.

Cost, measured on one core for HSG: 3 to 15 us a nucleus and Gy for the lesions, and 0.12 us for each track, which is
130 us a Gy for protons of 100 MeV. At 1 % standard error a voxel with the whole ladder takes 0.2 to 1.5 s in proton
fields and in front of and behind the peak of carbon ions, 0.5 s in their SOBP and 5 to 10 s at its distal edge, where
55,000 nuclei are needed: 10 to 40 times the cost of acute delivery (`benchmarks/protraction.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.tracks_in_time import NucleiInTime
from surrogate3d.physics.gsm2 import Gsm2Parameters

Floats = npt.NDArray[np.float64]


class LadderInTime:
    """The dose ladder bound to one voxel with its times of delivery, and one geometry; as `NucleusSampler`.

    Attributes:
        doses: (dose,) ladder, Gy.
        expected_q: (dose,) exact mean of q, lesions per Gbp.
    """

    def __init__(
        self,
        task: VoxelTask,
        site: tuple[float, float],
        doses: Sequence[float],
        seed: int,
        b_near: float,
        yields: Floats | None,
    ) -> None:
        """Prepare the tables.

        Args:
            task: the voxel; every dose of the ladder comes by the exposures and shares of its conditions.
            site: radii of domain and nucleus, um.
            doses: ladder, Gy.
            seed: of the campaign.
            b_near: see `Gsm2MonteCarlo`.
            yields: (species, bin) lesions per Gy per Gbp; those of full oxygen when not given.
        """
        share = task.conditions.dose_share
        self._nuclei = NucleiInTime(task, site, task.conditions.when, share, seed, b_near, yields)
        self.doses = np.array(doses, dtype=float)
        self.expected_q = self.doses * self._nuclei.q_per_gy

    def __call__(self, first: int, n: int, cells: Sequence[Gsm2Parameters]) -> tuple[Floats, Floats]:
        """Survival (cell line, nucleus, dose) of nuclei first ... first + n - 1, and their q, of the same shape."""
        values = [[self._nuclei(first, n, cell, dose) for dose in self.doses.tolist()] for cell in cells]
        survival, q = np.moveaxis(np.array(values), (2, 3), (0, 2))
        return survival, q
