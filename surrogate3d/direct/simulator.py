"""The protocol of a direct simulation, and the one table of its back ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import UnknownNameError

__all__ = ["BACKENDS", "Simulator", "VoxelResponse", "VoxelTask", "simulator"]


class Simulator(Protocol):
    """Survival of cells in the radiation of voxels."""

    @property
    def name(self) -> str:
        """Of the back end, as in `BACKENDS`."""

    @property
    def version(self) -> int:
        """Raised whenever numbers change."""

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, name and version included, as plain data."""

    def simulate(self, tasks: Sequence[VoxelTask], seed: int, target_se: float = 0.01) -> list[VoxelResponse]:
        """Answers task by task, cell line by cell line.

        A result depends on the task, the settings, `seed` and `target_se` (relative standard error of survival) only.
        """


BACKENDS: dict[str, Simulator] = {
    "gsm2_mc": Gsm2MonteCarlo(),
    "gsm2_fft": Gsm2Fft(),
}
"""Back ends with their default settings; `dataclasses.replace` changes them."""


def simulator(name: str) -> Simulator:
    """Look a back end up.

    Raises:
        UnknownNameError: the name is not in the table.
    """
    if name not in BACKENDS:
        raise UnknownNameError(f"unknown back end {name!r}; known: {', '.join(BACKENDS)}")
    return BACKENDS[name]
