"""The rule of Zaider and Rossi over what any back end says of ions of one energy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from surrogate3d.direct.closed_form import WEAK_AT_LOW_LET
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.table_backends import ZaiderRossiTable
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.direct.validity import ALL_SPECIES
from surrogate3d.errors import UnsupportedError, UnusableError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable

WEAK = 0.97
"""Alpha over alpha_x below which it is told; above, it may be the noise of a table."""

TARGET_SE = 0.005
"""Relative standard error of survival of each ion and energy, for back ends that have one."""


@dataclass(frozen=True)
class ZaiderRossiOver(ZaiderRossiTable):
    """The back ends `zr_table:NAME`, such as `zr_table:smkm_mc`: `zr_table` with the table of another back end.

    Source: Zaider and Rossi, Radiat. Res. 1980. Ions of one energy are answered by the back end NAME on the standard
    bins, H to Ne at 0.1 to 500 MeV/u, and alpha and beta of those answers are mixed by dose. Valid where NAME knows at
    least most of the dose; each ion's own validity is not looked at. It serves cell lines that have no shipped table,
    and shows what mixing alone costs a model. Cost: the table is made once in each process (under a second for closed
    forms, a minute or two for Monte Carlo), then about 1 ms a voxel.

    Attributes:
        base: the back end.
    """

    base: Simulator | None = None
    version: int = 2

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, for the ledger's key."""
        own = {"name": self.name, "version": self.version, "doses": self.doses, "target_se": TARGET_SE}
        return own | {"base": self._base.settings()}

    def parameters(self, line: CellLine) -> Any:
        """What of the cell line decides the numbers of the base."""
        return self._base.parameters(line)

    def table(self, task: VoxelTask, line: CellLine) -> MonoTable:
        """Ions of one energy, by the base."""
        name = next(name for name in task.cell_lines if known_line(name) == line)
        base: Any = self._base  # frozen, and so hashable, as all back ends are
        return _made(base, name, line)

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """As `zr_table`; moreover an alpha below that of photons."""
        alpha, _ = self.mixed(task, line)
        weak = WEAK_AT_LOW_LET if alpha < WEAK * line.alpha_x else ""
        return "; ".join(filter(None, [super().outside(task, line), weak]))

    @property
    def _base(self) -> Simulator:
        if self.base is None:
            raise UnusableError(f"{self.name} needs the name of a back end, such as zr_table:smk")
        return self.base


def zr_over(base: Simulator) -> ZaiderRossiOver:
    """`zr_table` over another back end.

    Raises:
        UnusableError: an external program, which would take weeks, or a table, which is mixed already.
    """
    if getattr(base, "voxels_at_once", 0) or isinstance(base, ZaiderRossiTable) or base.name.startswith("table:"):
        raise UnusableError(
            f"zr_table is over a back end that answers ions of one energy at once, not over {base.name}"
        )
    return replace(ZaiderRossiOver(base=base), name=f"zr_table:{base.name}")


@lru_cache(maxsize=16)
def _made(base: Simulator, name: str, line: CellLine) -> MonoTable:
    """The table of one back end and cell line, of the ions that it answers."""
    axes = SpectrumAxes.logarithmic(ALL_SPECIES)
    rows = {species: _row(base, axes, s, name) for s, species in enumerate(ALL_SPECIES)}
    known = {species: row for species, row in rows.items() if row}
    if not known:
        raise UnusableError(f"{base.name} answers no ion of one energy for {line.name}")
    numbers = {
        key: np.array([[max(float(getattr(answer, key)), 0.0) for answer in row] for row in known.values()])
        for key in ("alpha", "alpha_se", "beta", "beta_se")
    }
    energy = axes.energy_mev_u[[ALL_SPECIES.index(species) for species in known]]
    return MonoTable(line.name, tuple(known), energy, **numbers, source={"backend": base.name})


def _row(base: Simulator, axes: SpectrumAxes, s: int, name: str) -> list[VoxelResponse]:
    """Answers bin by bin; none for an ion that the back end does not answer."""
    tasks = []
    for n in range(axes.n_bins):
        fluence = np.zeros(axes.energy_mev_u.shape)
        fluence[s, n] = 1.0
        tasks.append(VoxelTask(fluence, axes, float("nan"), (name,)))
    try:
        return base.simulate(tasks, 0, TARGET_SE)
    except UnsupportedError:
        return []
