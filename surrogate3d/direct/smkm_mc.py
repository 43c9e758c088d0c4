"""The Monte Carlo kernel of `gsm2_mc` with the response of the stochastic microdosimetric kinetic model.

Given the tracks, each of the N axes of the lattice has the specific energy z, and

    -ln S = (1/N) sum_axes [ alpha0 z + beta0 z0^2 (1 - exp(-(z/z0)^2)) ],

averaged over nuclei: Inaniwa and Kanematsu, Phys. Med. Biol. 2018;63:095011, doi 10.1088/1361-6560/aabede, of which the
back end `smk` is the closed form. Nothing is cut off here in the spread of dose over nuclei.

The model knows no lesions whose yield oxygen or whose number time could change, and its nucleus radius is a parameter
fitted together with the others: conditions and a spread of nucleus sizes are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.closed_form import WEAK_AT_LOW_LET, bin_moments, required
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.direct.validity import ALL_SPECIES, Validity, dose_share
from surrogate3d.errors import UnusableError
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.gsm2 import n_domains
from surrogate3d.physics.mkm import MkmParameters

Floats = npt.NDArray[np.float64]

VALIDITY = Validity(ALL_SPECIES)
"""H to Ne from 0.1 MeV/u on: no lesion yields enter."""

LARGEST_Z = 5000.0
"""End of the response table, Gy; a track through a domain leaves some hundred."""

N_TABLE = 16_384


@dataclass(frozen=True)
class SmkMonteCarlo(Gsm2MonteCarlo):
    """The back end `smkm_mc`.

    Source: the module's docstring; radii, z0 and coefficients are the cell line's `[smk]` set. Valid for H to Ne
    from 0.1 MeV/u on, doses up to 6 Gy. Cost: 0.1 to 1 s a voxel at 1 % standard error; a nucleus takes longer than in
    `gsm2_mc`, as its domains are small and many, but fewer nuclei do.
    """

    name: str = "smkm_mc"
    version: int = 2

    follows: ClassVar[dict[str, bool]] = {"oxygen": False, "time": False}

    def simulate(self, tasks: Sequence[VoxelTask], seed: int, target_se: float = 0.01) -> list[VoxelResponse]:
        """As `Gsm2MonteCarlo.simulate`.

        Raises:
            UnusableError: moreover, a spread of nucleus sizes.
        """
        if self.nucleus_spread:
            raise UnusableError(
                f"{self.name} has one nucleus radius, that of its parameter set; found a spread of "
                f"{self.nucleus_spread:g}; use gsm2_mc"
            )
        return super().simulate(tasks, seed, target_se)

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """The `[smk]` set.

        Raises:
            UnsupportedError: the cell line has none.
        """
        return asdict(required(line.smk, line, "smk"))

    def site(self, line: CellLine) -> tuple[float, float]:
        """Radii of domain and nucleus, um."""
        parameters = required(line.smk, line, "smk")
        return parameters.r_d, parameters.R_n

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Ions or energies without a stopping power; an initial slope, alpha0 + beta0 z*, below that of photons."""
        parameters = required(line.smk, line, "smk")
        z_star = bin_moments(task.axes, parameters.r_d, parameters.z0).z_star
        slope = parameters.alpha0 + parameters.beta0 * float((dose_share(task) * z_star).sum())
        weak = WEAK_AT_LOW_LET if slope < line.alpha_x else ""
        return "; ".join(filter(None, [VALIDITY.outside(task, self.doses), weak]))

    def weight(self, task: VoxelTask) -> Floats | None:
        """(species, bin) 1: q is specific energy."""
        return np.ones(task.axes.energy_mev_u.shape)

    def axis_response(self, line: CellLine, R_n: float) -> tuple[Floats, float]:
        """As `Gsm2MonteCarlo.axis_response`."""
        return _axis_response(required(line.smk, line, "smk"))


@lru_cache(maxsize=16)
def _axis_response(parameters: MkmParameters) -> tuple[Floats, float]:
    sqrt_z = np.linspace(0.0, np.sqrt(LARGEST_Z), N_TABLE)
    z = sqrt_z**2
    saturated = -(parameters.z0**2) * np.expm1(-((z / parameters.z0) ** 2))
    n_lateral, _ = n_domains(parameters.r_d, parameters.R_n)
    return -(parameters.alpha0 * z + parameters.beta0 * saturated) / n_lateral, 1 / float(sqrt_z[1])
