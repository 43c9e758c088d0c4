"""The back end `osmk`: the stochastic microdosimetric kinetic model with oxygen effect, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.closed_form import required
from surrogate3d.direct.table_backends import Smk
from surrogate3d.direct.task import VoxelTask
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.oxygen import AIR_MMHG, OsmkParameters, osmk_coefficients
from surrogate3d.physics.smk import SmkMoments

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Osmk(Smk):
    """The back end `osmk`.

    Source: Inaniwa et al., Phys. Med. Biol. 2021, doi 10.1088/1361-6560/ac29cc, with the cell line's `[osmk]` set:
    the SMK (`smk`) with alpha_S / R and beta0 / R^2, where the radioresistance R falls with oxygen pressure and with
    z_D of the voxel's spectrum. Without a pressure the cells have that of air, 160 mmHg, as the oxic cells of the
    published curves: R is then up to 1.012, not 1. RBE is against the cell line's alpha_x and beta_x, of photons at
    full oxygen. Validity and cost as of `smk`: the same series, the same mixing, H to Ne, doses up to 6 Gy, about 1 ms.
    Delivery in time is refused, as by `smk`.
    """

    name: str = "osmk"

    follows: ClassVar[dict[str, bool]] = {"oxygen": True, "time": False}

    def parameter_set(self, line: CellLine) -> OsmkParameters:
        """The `[osmk]` set."""
        return required(line.osmk, line, "osmk")

    def coefficients(self, moments: SmkMoments, task: VoxelTask, line: CellLine) -> tuple[Floats, Floats]:
        """Coefficients a and b of -ln S before the nuclear correction, with the radioresistance of the moments' z_D."""
        pO2 = task.conditions.pO2_mmHg
        return osmk_coefficients(
            moments.z_star, moments.z_D, AIR_MMHG if pO2 is None else pO2, self.parameter_set(line)
        )
