"""The protocol of a direct simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.physics.cell_line import CellLine


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
