"""The back end `gsm2_mc` on a GPU: the same model and the same nuclei, many voxels in flight at once.

The kernel is in `cuda_transport`; numba's CUDA support is looked for when voxels are simulated, and nothing else in the
package needs it. How many nuclei a voxel gets is decided here, from the sums of its own nuclei, so that a result does
not depend on which voxels share a launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

from surrogate3d.direct.allotment import Allotment
from surrogate3d.direct.conditions import require_known
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.lookup import TrackTable, track_table
from surrogate3d.direct.nucleus import known_line, raster
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import UnusableError
from surrogate3d.physics.cell_line import CellLine

Answers = dict[CellLine, VoxelResponse]
Site = tuple[float, float]

VOXELS_AT_ONCE = 4096
"""Voxels in flight; no result depends on it."""

INSTALL = "pip install 'surrogate3d[gpu]', or use the back end gsm2_mc"


def transport() -> ModuleType:
    """The module of the kernel.

    Raises:
        UnusableError: numba cannot use a GPU here.
    """
    try:
        cuda = import_module("numba.cuda")
    except ImportError as error:
        raise UnusableError(f"gsm2_cuda needs numba-cuda, found none ({error}); {INSTALL}") from None
    if not cuda.is_available():
        raise UnusableError(f"gsm2_cuda needs an NVIDIA GPU with its driver, and numba finds none; {INSTALL}")
    return import_module("surrogate3d.direct.cuda_transport")


@dataclass(frozen=True)
class Gsm2Cuda(Gsm2MonteCarlo):
    """The back end `gsm2_cuda`.

    Source, validity and settings as `gsm2_mc`, whose nuclei it simulates on an NVIDIA GPU: the same random numbers in
    the same order, so that a response differs from that of `gsm2_mc` by rounding, far inside its standard error.
    Oxygen is followed as there; delivery in time and a spread of nucleus sizes are not. Cost: not measured. A GPU is
    full with some thousand voxels in one call of `simulate`, and mostly idle with one.
    """

    name: str = "gsm2_cuda"
    version: int = 1

    follows: ClassVar[dict[str, bool]] = {"oxygen": True, "time": False}

    voxels_in_one_call: ClassVar[int] = 1024
    """What a campaign hands over at once."""

    def simulate(self, tasks: Sequence[VoxelTask], seed: int, target_se: float = 0.01) -> list[VoxelResponse]:
        """As `Gsm2MonteCarlo.simulate`.

        Raises:
            UnusableError: moreover, a spread of nucleus sizes, more domains across a nucleus than fit, or no GPU.
        """
        if self.nucleus_spread:
            raise UnusableError(
                f"{self.name} has one nucleus radius, found a spread of {self.nucleus_spread:g}; use gsm2_mc"
            )
        super().simulate([], seed, target_se)  # for what it refuses
        for task in tasks:
            require_known(task.where, task.conditions, self.name, **self.follows)
        kernel = transport()
        answers: list[Answers] = [{} for _ in tasks]
        for (table, site), members in self._alike(tasks).items():
            for some in (members[k : k + VOXELS_AT_ONCE] for k in range(0, len(members), VOXELS_AT_ONCE)):
                found = self._together([tasks[n] for n in some], table, site, kernel, seed, target_se)
                for n, answer in zip(some, found, strict=True):
                    answers[n] |= answer
        return [answers[n][known_line(name)] for n, task in enumerate(tasks) for name in task.cell_lines]

    def _alike(self, tasks: Sequence[VoxelTask]) -> dict[tuple[TrackTable, Site], list[int]]:
        """Which tasks share a table of tracks and a nucleus."""
        groups: dict[tuple[TrackTable, Site], list[int]] = {}
        for n, task in enumerate(tasks):
            for site in dict.fromkeys(self.site(known_line(name)) for name in task.cell_lines):
                groups.setdefault((track_table(task.axes, site[0], self.b_near), site), []).append(n)
        return groups

    def _together(
        self, tasks: Sequence[VoxelTask], table: TrackTable, site: Site, kernel: Any, seed: int, target_se: float
    ) -> list[Answers]:
        """Voxels that share all tables, with the cell lines of one geometry; round by round, all in one launch."""
        area = raster(*site, self.b_near)
        if len(area.axes_um) > kernel.MOST_AXES:
            raise UnusableError(
                f"{self.name} has room for {kernel.MOST_AXES} domains across a nucleus, found {len(area.axes_um)} for "
                f"r_d {site[0]:g} and R_n {site[1]:g} um; use gsm2_mc"
            )
        lines = [
            dict.fromkeys(line for line in map(known_line, t.cell_lines) if self.site(line) == site) for t in tasks
        ]
        rows = {line: row for row, line in enumerate(dict.fromkeys(line for each in lines for line in each))}
        weights = [table.yields if (weight := self.weight(task)) is None else weight for task in tasks]
        rays = [kernel.ray(t, table, area.area, w, self.doses) for t, w in zip(tasks, weights, strict=True)]
        sample = kernel.CudaSampler(rays, table, area, [self.axis_response(line, site[1]) for line in rows], seed)
        lots = [
            Allotment(list(each), self.doses, [ray.expected_q], target_se, self.max_nuclei)
            for each, ray in zip(lines, rays, strict=True)
        ]
        answers: list[Answers] = [{} for _ in tasks]
        while active := [n for n, lot in enumerate(lots) if lot.active]:
            nuclei = sample([(n, lots[n].done, lots[n].more) for n in active])
            for n, (survival, mean_q) in zip(active, nuclei, strict=True):
                lots[n].add(0, survival[[rows[line] for line in lots[n].active]], mean_q)
                for line, (S, left_out) in lots[n].settle().items():
                    answers[n][line] = self._response(tasks[n], line, S, left_out, lots[n].done, seed)
        return answers
