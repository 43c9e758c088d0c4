"""The protocol of a direct simulation, and the one table of its back ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from surrogate3d.direct.gsm2_cuda import Gsm2Cuda
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.let_backends import LetModel
from surrogate3d.direct.osmk import Osmk
from surrogate3d.direct.smkm_mc import SmkMonteCarlo
from surrogate3d.direct.table_backends import LemOne, Mkm, Smk, ZaiderRossiTable
from surrogate3d.direct.tabulated import tabulated
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.direct.topas_job import TopasJob
from surrogate3d.direct.zr_over import zr_over
from surrogate3d.errors import UnknownNameError
from surrogate3d.physics.cell_line import CellLine

__all__ = ["BACKENDS", "Simulator", "VoxelResponse", "VoxelTask", "simulator"]


class Simulator(Protocol):
    """Survival of cells in the radiation of voxels.

    A back end may have two more attributes that campaigns look for: `voxels_at_once`, the size of a batch for a worker
    where one voxel takes long, and `voxels_in_one_call`, how many it likes to be given together. An exception with a
    true attribute `of_all_lines` says that another cell line of the voxel would fail like the first, an
    `UnusableError` that any other voxel would, which ends a campaign.
    """

    @property
    def name(self) -> str:
        """Of the back end, as in `BACKENDS`."""

    @property
    def version(self) -> int:
        """Raised whenever numbers change."""

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, name and version included, as plain data."""

    def parameters(self, line: CellLine) -> Any:
        """What of the cell line decides the numbers, beside its name and photon pair, as plain data.

        Raises:
            UnknownNameError, UnsupportedError: the cell line lacks what the back end needs.
        """

    def simulate(self, tasks: Sequence[VoxelTask], seed: int, target_se: float = 0.01) -> list[VoxelResponse]:
        """Answers task by task, cell line by cell line. A voxel outside the validity of the back end is flagged.

        A result depends on the task, the settings, `seed` and `target_se` (relative standard error of survival) only.
        """


BACKENDS: dict[str, Simulator] = {
    "gsm2_mc": Gsm2MonteCarlo(),
    "gsm2_cuda": Gsm2Cuda(),
    "gsm2_fft": Gsm2Fft(),
    "topas_job": TopasJob(),
    "smkm_mc": SmkMonteCarlo(),
    "zr_table": ZaiderRossiTable(),
    "smk": Smk(),
    "osmk": Osmk(),
    "mkm": Mkm(),
    "lem1": LemOne(),
    "constant": LetModel(name="constant"),
    "mcnamara": LetModel(name="mcnamara"),
    "wedenberg": LetModel(name="wedenberg"),
    "carabe": LetModel(name="carabe"),
    "rorvik": LetModel(name="rorvik"),
    "mairani": LetModel(name="mairani"),
    "wilkens": LetModel(name="wilkens"),
    "chen": LetModel(name="chen"),
    "unkelbach": LetModel(name="unkelbach"),
}
"""Back ends with their default settings; `dataclasses.replace` changes them. Source, validity and cost are in the
docstring of each class."""


def simulator(name: str) -> Simulator:
    """Look a back end up.

    Args:
        name: in the table; "zr_table:NAME" for `zr_table` over another back end; or the path of a user's own table of
            alpha and beta, as of `tabulated.tabulated`.

    Raises:
        UnknownNameError: the name is not in the table, nor is there such a file.
        StoreError, FormatError, QuantityError, ValueRangeError: the file is no such table.
        UnusableError: as `zr_over.zr_over`.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    if name.startswith("zr_table:"):
        return zr_over(simulator(name.removeprefix("zr_table:")))
    if Path(name).is_file() or Path(name.partition("#")[0]).is_file():
        return tabulated(name)
    raise UnknownNameError(f"unknown back end {name!r}, nor a file; known: {', '.join(BACKENDS)}")
