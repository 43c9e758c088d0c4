"""What a campaign hands out, and what it gets back: a voxel with its keys, and responses or failures by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from surrogate3d.direct.ledger_lines import Records
from surrogate3d.direct.ledger_records import VoxelFailure, pack
from surrogate3d.direct.simulator import Simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask


@dataclass(frozen=True, eq=False)
class Work:
    """A voxel to be simulated.

    Attributes:
        task: with the cell lines that are missing.
        keys: of the ledger, one per cell line.
    """

    task: VoxelTask
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """How a campaign simulates.

    Attributes:
        backend: from `simulator`.
        seed: of the campaign.
        target_se: relative standard error of survival.
    """

    backend: Simulator
    seed: int
    target_se: float

    def answer(self, work: Work) -> Records:
        """Responses and failures of one voxel. What its simulation raises is a failure; only lack of memory passes."""
        names = work.task.cell_lines
        try:
            return dict(zip(work.keys, self._simulated(work.task), strict=True)), {}
        except MemoryError:
            raise
        except Exception as error:  # one bad voxel must not stop a campaign, however it is bad
            if len(names) == 1:
                return {}, {work.keys[0]: failure(work.task, names[0], error)}
        responses: dict[str, VoxelResponse] = {}
        failures: dict[str, VoxelFailure] = {}
        for name, key in zip(names, work.keys, strict=True):
            good, bad = self.answer(Work(replace(work.task, cell_lines=(name,)), (key,)))
            responses |= good
            failures |= bad
        return responses, failures

    def _simulated(self, task: VoxelTask) -> Sequence[VoxelResponse]:
        answers = self.backend.simulate([task], self.seed, self.target_se)
        for answer in answers:
            pack(answer)  # refuses numbers that are not finite
        return answers


def failure(task: VoxelTask, cell_line: str, reason: BaseException | str) -> VoxelFailure:
    """The note of a voxel that failed; an exception of another kind than ours is named."""
    text = reason if isinstance(reason, str) else f"{type(reason).__name__}: {reason}"
    return VoxelFailure(cell_line, task.voxel, task.field_id, " ".join(text.split()))


def unscalable(task: VoxelTask) -> str:
    """Why the spectrum of a voxel cannot be scaled to the doses of a ladder; empty if it can."""
    with np.errstate(all="ignore"):
        if task.spectrum_dose > 0 and np.isfinite(task.fluence_per_gy).all():
            return ""
    return f"the spectrum explains a dose of {task.spectrum_dose:g} Gy and cannot be scaled to others"


def without_spectrum(
    field_id: str, voxel: tuple[int, int, int], cell_lines: Sequence[str], reason: str
) -> dict[str, VoxelFailure]:
    """Notes of a voxel that has no spectrum to be known by, under keys of its place."""
    return {f"{field_id} {voxel} {name}": VoxelFailure(name, voxel, field_id, reason) for name in cell_lines}
