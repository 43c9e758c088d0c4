"""What all back ends without Monte Carlo and without tracks have in common: -ln S from the spectrum in one formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.conditions import require_known
from surrogate3d.direct.curve import response
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.task import DOSE_LADDER, VoxelResponse, VoxelTask
from surrogate3d.errors import UnsupportedError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.microdosimetry import SiteMoments, site_moments
from surrogate3d.physics.protraction import protraction_factor, repair_rate_of

Floats = npt.NDArray[np.float64]
Parameters = TypeVar("Parameters")

LEAST_SHARE = 0.5
"""Of a voxel's dose that a model must know to answer at all; with less than nearly all, the voxel is flagged."""

WEAK_AT_LOW_LET = "alpha below that of photons: the parameter set is weaker at low LET than alpha_x"
"""Why a voxel is outside where RBE would fall below 1 for that reason alone."""


@dataclass(frozen=True)
class ClosedForm(ABC):
    """Base of the deterministic back ends: seed and target are ignored, and all standard errors are 0.

    A voxel outside the model's validity is answered and flagged. One without any answer raises, which a campaign notes
    as that voxel's failure. RBE is against photons of full oxygen and acute delivery, those of the cell line's
    calibration, under any conditions.

    Attributes:
        doses: ladder, Gy, ascending, positive.
        name: of the back end.
        version: raised whenever numbers change.
    """

    doses: tuple[float, ...] = DOSE_LADDER
    name: str = ""
    version: int = 1

    follows: ClassVar[dict[str, bool]] = {"oxygen": False, "time": False}
    """What of a voxel's conditions enters."""

    def simulate(self, tasks: Sequence[VoxelTask], seed: int = 0, target_se: float = 0.01) -> list[VoxelResponse]:
        """Compute voxels; see `Gsm2MonteCarlo.simulate` for the arguments.

        Raises:
            UnknownNameError: a cell line is not known, or nothing is known of it that the model needs.
            UnsupportedError: the cell line has no parameters of this model, or not its photon reference; or a voxel has
                none of the ions that the model knows, or conditions that the model cannot follow.
        """
        for task in tasks:
            require_known(task.where, task.conditions, self.name, **self.follows)
        for name in dict.fromkeys(name for task in tasks for name in task.cell_lines):
            self.parameters(known_line(name))
        return [self._answer(task, known_line(name), seed) for task in tasks for name in task.cell_lines]

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, for the ledger's key."""
        return asdict(self)

    @abstractmethod
    def parameters(self, line: CellLine) -> Any:
        """What of the cell line decides the numbers, beside its name and photon pair, as plain data.

        Raises:
            UnknownNameError, UnsupportedError: as `simulate`.
        """

    @abstractmethod
    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """(dose,) -ln S at each dose of the ladder.

        Raises:
            UnsupportedError: the voxel has none of the ions that the model knows.
        """

    @abstractmethod
    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Why the voxel lies outside the model's validity; empty when it does not."""

    def _answer(self, task: VoxelTask, line: CellLine, seed: int) -> VoxelResponse:
        survival, backend = np.exp(-self.effects(task, line)), f"{self.name}/{self.version}"
        outside = self.outside(task, line)
        return response(task, line, self.doses, survival, survival[None], 0, seed, backend, outside)


def protraction(task: VoxelTask, line: CellLine) -> float:
    """Factor on the quadratic coefficient for a delivery in time, G of Lea and Catcheside; 1 for acute delivery.

    Every exposure brings its share of the dose with the voxel's own spectrum. The repair rate is r + a of the cell
    line's `[gsm2]` set, also for models that have none of their own. `physics.protraction` says where G is exact: for a
    quadratic term that is made of pairs of tracks alone, and one repair rate.
    """
    conditions = task.conditions
    if not conditions.in_time:
        return 1.0
    return float(protraction_factor(conditions.dose_share, conditions.when, repair_rate_of(line.gsm2)))


def required(values: Parameters | None, line: CellLine, model: str) -> Parameters:
    """The parameter set of a model.

    Raises:
        UnsupportedError: the cell line has none.
    """
    if values is None:
        raise UnsupportedError(
            f"cell line {line.name} has no [{model}] parameters; add them, with their source, to a file of your own, "
            f"or choose another back end"
        )
    return values


def require_most(task: VoxelTask, share: float, model: str, species: Sequence[str]) -> None:
    """Refuse a voxel whose dose is mostly of ions, or energies, that a model does not know.

    Args:
        task: the voxel.
        share: of its dose that the model knows.
        model: in words.
        species: that it is for.

    Raises:
        UnsupportedError: less than `LEAST_SHARE` is known.
    """
    if not share >= LEAST_SHARE:
        raise UnsupportedError(
            f"{task.where}: {model} is for {', '.join(species)}, and only {100 * share:.2g} % of the dose is of that; "
            "choose another back end"
        )


def bin_moments(axes: SpectrumAxes, radius_um: float, z0: float | None = None) -> SiteMoments:
    """(species, bin) moments of the ions of a spectrum in a site, built once in each process; see `site_moments`."""
    return _bin_moments(axes.species, axes.edges_mev_u.tobytes(), radius_um, z0)


@lru_cache(maxsize=32)
def _bin_moments(species: tuple[str, ...], edges: bytes, radius_um: float, z0: float | None) -> SiteMoments:
    axes = SpectrumAxes(species, np.frombuffer(edges).reshape(len(species), -1))
    return site_moments(radius_um, axes.Z[:, None], axes.energy_mev_u, z0)
