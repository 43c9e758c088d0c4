"""What a back end was made for, and in what a voxel lies outside of it.

Only the shape of the spectrum and the doses of the ladder are judged: a response is kept by them, so that two voxels of
the same spectrum share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import SPECIES_Z
from surrogate3d.physics.gsm2 import LESION_COEFFICIENTS
from surrogate3d.physics.let import LET_d, bin_LET
from surrogate3d.physics.stopping_power import LOWEST_ENERGY_MEV_U

Floats = npt.NDArray[np.float64]

ALL_SPECIES = tuple(SPECIES_Z)
"""Every species that a spectrum can have, H to Ne."""

LESION_SPECIES = tuple(species for species, Z in SPECIES_Z.items() if max(LESION_COEFFICIENTS["DSB_site"]) >= Z)
"""Ions whose lesion yields are fitted, or lie between those that are: H to O."""


@dataclass(frozen=True)
class Validity:
    """Range of a back end.

    Attributes:
        species: ions that it was made for; unless others are named, those whose lesion yields are known.
        energy_mev_u: lowest and highest energy, MeV/u.
        largest_LET_d: of those ions together, keV/um.
        largest_dose: Gy.
        tolerated: share of the dose that other ions or energies may have before a voxel is outside.
    """

    species: tuple[str, ...] = LESION_SPECIES
    energy_mev_u: tuple[float, float] = (LOWEST_ENERGY_MEV_U, 1000.0)
    largest_LET_d: float = float("inf")
    largest_dose: float = float("inf")
    tolerated: float = 0.05

    def outside(self, task: VoxelTask, doses: Sequence[float]) -> str:
        """Why a voxel lies outside, in words; empty when it lies inside. Of equal reasons the words are equal, too.

        Args:
            task: the voxel.
            doses: the ladder, Gy.
        """
        share, energy = dose_share(task), task.axes.energy_mev_u
        counted = np.isin(task.axes.species, self.species)
        low, high = self.energy_mev_u
        other = float(share[~counted].sum())
        wrong = float(share[counted][(energy[counted] < low) | (energy[counted] > high)].sum())
        LET = LET_d_of(task, self.species)
        more = f"more than {100 * self.tolerated:g} % of the dose from ions"
        reasons = {
            f"{more} other than {', '.join(self.species)}": other > self.tolerated,
            f"{more} outside {low:g}-{high:g} MeV/u": wrong > self.tolerated,
            f"LET_d above {self.largest_LET_d:g} keV/um": self.largest_LET_d < LET,
            f"doses above {self.largest_dose:g} Gy": doses[-1] > self.largest_dose,
        }
        return "; ".join(reason for reason, holds in reasons.items() if holds)


def dose_share(task: VoxelTask) -> Floats:
    """(species, bin) share of the spectrum's own dose."""
    dose = task.fluence_per_gy.astype(float) * bin_LET(task.axes)
    return np.asarray(dose / dose.sum())


def LET_d_of(task: VoxelTask, species: tuple[str, ...]) -> float:
    """LET_d of some species of a voxel, keV/um; NaN where they have no fluence."""
    counted = np.isin(task.axes.species, species)
    return float(LET_d(task.axes, task.fluence_per_gy.astype(float) * counted[:, None]))
