"""What a campaign hands out, and what it gets back: a voxel with its keys, and responses or failures by key."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np

from surrogate3d.direct.ledger_lines import Records, part_path, read_part, write_part
from surrogate3d.direct.ledger_records import VoxelFailure, pack
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import Surrogate3dError, UnusableError, ValueRangeError

LONGEST_S = 30.0
"""Time after which a batch ends with the voxel at hand; the rest of it is handed out again."""


@dataclass(frozen=True, eq=False)
class Work:
    """A voxel to be simulated.

    Attributes:
        task: with the cell lines that are missing.
        keys: of the ledger, one per cell line.
    """

    task: VoxelTask
    keys: tuple[str, ...]

    def given_up(self, reason: BaseException | str) -> Records:
        """The records of a voxel that has no answer, for that reason."""
        names = zip(self.keys, self.task.cell_lines, strict=True)
        return {}, {key: failure(self.task, name, reason) for key, name in names}


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

    def portions(self, works: Sequence[Work]) -> Iterator[Sequence[Work]]:
        """Voxels that the back end is given in one call: one, unless it has an attribute `voxels_in_one_call`."""
        n = int(getattr(self.backend, "voxels_in_one_call", 1))
        return (works[k : k + n] for k in range(0, len(works), n))

    def answer_all(self, works: Sequence[Work]) -> Records:
        """As `answer`, of several voxels in one call; one by one when one of them fails."""
        if len(works) > 1:
            try:
                answers = self._simulated([work.task for work in works])
                return dict(zip((key for work in works for key in work.keys), answers, strict=True)), {}
            except (MemoryError, UnusableError):
                raise
            except Exception:  # whose it was, and why, is noted below, where each is tried alone
                pass
        responses: dict[str, VoxelResponse] = {}
        failures: dict[str, VoxelFailure] = {}
        for work in works:
            good, bad = self.answer(work)
            responses |= good
            failures |= bad
        return responses, failures

    def answer(self, work: Work) -> Records:
        """Responses and failures of one voxel. What its simulation raises is a failure.

        Only lack of memory passes, and `UnusableError`, by which a back end says that no other voxel would fare better.

        Where one cell line of several fails, each is tried alone; not so after an exception that has a true attribute
        `of_all_lines`, by which a back end says that it would be in vain.
        """
        names = work.task.cell_lines
        try:
            return dict(zip(work.keys, self._simulated([work.task]), strict=True)), {}
        except (MemoryError, UnusableError):
            raise
        except Exception as error:  # one bad voxel must not stop a campaign, however it is bad
            if len(names) == 1 or getattr(error, "of_all_lines", False):
                return work.given_up(error)
        responses: dict[str, VoxelResponse] = {}
        failures: dict[str, VoxelFailure] = {}
        for name, key in zip(names, work.keys, strict=True):
            good, bad = self.answer(Work(replace(work.task, cell_lines=(name,)), (key,)))
            responses |= good
            failures |= bad
        return responses, failures

    def _simulated(self, tasks: Sequence[VoxelTask]) -> Sequence[VoxelResponse]:
        with _interruptible():
            answers = self.backend.simulate(tasks, self.seed, self.target_se)
        found = [(answer.cell_line, answer.voxel, answer.field_id) for answer in answers]
        if found != [(known_line(name).name, t.voxel, t.field_id) for t in tasks for name in t.cell_lines]:
            raise ValueRangeError(
                f"{tasks[0].where}: {self.backend.name} was asked for {', '.join(tasks[0].cell_lines)} and answered "
                f"for {', '.join(f'{name} in voxel {voxel}' for name, voxel, _ in found[:5]) or 'nothing'}"
            )
        for answer in answers:
            pack(answer)  # refuses numbers that are not finite
        return answers


@dataclass(frozen=True)
class Receipt:
    """What a worker says of a batch whose answers it has left in a part.

    Attributes:
        voxels: how many of the batch are done, from its first.
        failed: keys of those that have no response.
        seconds: that it took; 0 if the part was there already.
        core_seconds: CPU time that it cost.
    """

    voxels: int
    failed: tuple[str, ...]
    seconds: float = 0.0
    core_seconds: float = 0.0


def simulate_batch(directory: str, name: str, works: Sequence[Work], job: Job) -> Receipt:
    """What a worker does: answer a batch, or as much of it as there is time for, and leave the part.

    Args:
        directory: of the ledger.
        name: of the part, made of the keys.
        works: the voxels.
        job: how they are simulated.

    Raises:
        StoreError: the part cannot be written, or the one that is there is damaged.
    """
    path, start, spent = part_path(Path(directory), name), time.perf_counter(), core_seconds()
    try:
        responses, failures = read_part(path)  # of a worker that died before it could say so
        done = responses.keys() | failures.keys()
        return Receipt(sum(done.issuperset(work.keys) for work in works), tuple(failures))
    except FileNotFoundError:
        responses, failures = {}, {}
    n = 0
    with _one_thread():
        for some in job.portions(works):
            good, bad = job.answer_all(some)
            responses |= good
            failures |= bad
            n += len(some)
            if time.perf_counter() - start >= LONGEST_S:
                break
    write_part(path, responses, failures)
    return Receipt(n, tuple(failures), time.perf_counter() - start, core_seconds() - spent)


def core_seconds() -> float:
    """CPU time of this process, all threads, and of the external programs that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C in a compiled kernel comes out of numba as the cause of SystemErrors; it is no failure of the voxel."""
    try:
        yield
    except SystemError as error:
        cause: BaseException | None = error
        while isinstance(cause, SystemError):
            cause = cause.__cause__
        if isinstance(cause, KeyboardInterrupt):
            raise cause from None
        raise


@contextmanager
def _one_thread() -> Iterator[None]:
    """Workers share the machine: each is one thread of numba."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(threads)


def failure(task: VoxelTask, cell_line: str, reason: BaseException | str) -> VoxelFailure:
    """The note of a voxel that failed; an exception is named."""
    ours = isinstance(reason, str | Surrogate3dError)
    text = " ".join((str(reason) if ours else f"{type(reason).__name__}: {reason}").split())
    return VoxelFailure(cell_line, task.voxel, task.field_id, text.removeprefix(task.where).lstrip(" :,"))


def unscalable(task: VoxelTask) -> str:
    """Why the spectrum of a voxel cannot be scaled to the doses of a ladder; empty if it can."""
    try:
        with np.errstate(all="ignore"):
            if task.spectrum_dose > 0 and np.isfinite(task.fluence_per_gy).all():
                return ""
    except Exception as error:  # one bad voxel must not stop a campaign, however it is bad
        return failure(task, "", error).reason
    return f"the spectrum explains a dose of {task.spectrum_dose:g} Gy and cannot be scaled to others"


def without_spectrum(
    field_id: str, voxel: tuple[int, int, int], cell_lines: Sequence[str], reason: str
) -> dict[str, VoxelFailure]:
    """Notes of a voxel that has no spectrum to be known by, under keys of its place."""
    return {f"{field_id} {voxel} {name}": VoxelFailure(name, voxel, field_id, reason) for name in cell_lines}
