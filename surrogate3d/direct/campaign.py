"""Simulate many voxels, each once; none that fails stops the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from surrogate3d.direct.campaign_work import Job, Work, core_seconds, unscalable, without_spectrum
from surrogate3d.direct.ledger import Ledger, response_key
from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import StoreError, ValueRangeError

Progress = Callable[[int, int], None]
Told = Callable[[int, float], None]
Engine = Callable[[Sequence[Work], Job, Ledger, Told], None]
"""Does all the work: every answer goes into the ledger, then the number of voxels done so far is told, and the CPU time
that they took, s."""

_Keys = Mapping[str, str]


@runtime_checkable
class CostedProgress(Protocol):
    """A `Progress` that is also told what a campaign costs: at its start, and before each call."""

    def __call__(self, done: int, total: int) -> None:
        """Voxels done, and all."""

    def cost(self, core_seconds: float, free: int) -> None:
        """CPU time of this run so far, s; and how many of the voxels done were in the ledger before."""


_ON_DISK_S = 0.5


@dataclass(frozen=True)
class Campaign:
    """What became of a campaign.

    Attributes:
        responses: task by task, cell line by cell line, without those that failed.
        failures: first those that have no spectrum to simulate; then in the order of the tasks.
        core_seconds: CPU time that this run took for its answers, on all cores and with external programs; that of
            killed workers is not known.
    """

    responses: list[VoxelResponse]
    failures: list[VoxelFailure]
    core_seconds: float = field(default=0.0, compare=False)

    def complete(self) -> list[VoxelResponse]:
        """The responses, if none is missing.

        Raises:
            ValueRangeError: some voxels failed; the others are in the ledger.
        """
        if self.failures:
            raise ValueRangeError(f"{failed(self.failures)}; the other responses are in the ledger")
        return self.responses


def failed(failures: Sequence[VoxelFailure], shown: int = 3) -> str:
    """How many simulations failed, and the first of them, in one line."""
    more = f"; and {len(failures) - shown} more" if len(failures) > shown else ""
    return f"{len(failures)} simulations failed: {'; '.join(map(str, failures[:shown]))}{more}"


def in_process(works: Sequence[Work], job: Job, ledger: Ledger, told: Told) -> None:
    """The engine without a cluster. What is done is on disk half a second later, dear voxels before the next begins."""
    start, done, written = core_seconds(), 0, time.monotonic()
    responses: dict[str, VoxelResponse] = {}
    failures: dict[str, VoxelFailure] = {}
    try:
        for some in job.portions(works):
            try:
                good, bad = job.answer_all(some)
            except MemoryError as error:
                good, bad = {}, {key: note for work in some for key, note in work.given_up(error)[1].items()}
            responses |= good
            failures |= bad
            done += len(some)
            if time.monotonic() - written >= _ON_DISK_S:
                ledger.record(responses, failures)
                responses, failures, written = {}, {}, time.monotonic()
            told(done, core_seconds() - start)
    finally:
        if responses or failures:
            ledger.record(responses, failures)


def conduct(
    tasks: Sequence[VoxelTask],
    backend: Simulator,
    ledger: Ledger,
    seed: int,
    target_se: float = 0.01,
    progress: Progress | None = None,
    engine: Engine = in_process,
) -> Campaign:
    """Answer all tasks, from the ledger where it can.

    The random numbers of a voxel come from `seed` and its spectrum alone. Of several voxels with equal spectra the
    first one (by field and index) is simulated. So neither order, nor interruption, nor the number of threads and
    workers changes a result or what the ledger holds in the end.

    Args:
        tasks: the voxels.
        backend: from `simulator`.
        ledger: what is known already; every new response is added at once.
        seed: of the campaign.
        target_se: relative standard error of survival.
        progress: called with the number of voxels done and the number of all; a `CostedProgress` is told the cost, too.
        engine: who does the work.

    Raises:
        UnknownNameError: a cell line is not known.
        StoreError: the ledger cannot be read or written, or the cluster is lost; what was done is in the ledger.
    """
    unfit, fit = _without_spectrum(tasks), [task for task in tasks if not unscalable(task)]
    keys = _keys(fit, backend, seed, target_se)
    ledger.record({}, unfit)
    works = _missing(fit, keys, ledger)

    free, spent = len(tasks) - len(works), 0.0

    def told(done: int, core_s: float) -> None:
        nonlocal spent
        spent = core_s
        if isinstance(progress, CostedProgress):
            progress.cost(core_s, free)
        if progress is not None and done:
            progress(free + done, len(tasks))

    told(0, 0.0)
    engine(works, Job(backend, seed, target_se), ledger, told)
    return Campaign(_known(fit, keys, ledger), [*unfit.values(), *_failed(fit, keys, ledger)], spent)


def run(
    tasks: Sequence[VoxelTask],
    backend: Simulator,
    ledger: Ledger,
    seed: int,
    target_se: float = 0.01,
    progress: Progress | None = None,
) -> list[VoxelResponse]:
    """As `conduct`, for those who need every response: a voxel that fails is refused, after all the others are done.

    Raises:
        ValueRangeError: some voxels failed.
    """
    return conduct(tasks, backend, ledger, seed, target_se, progress).complete()


def collect(
    tasks: Sequence[VoxelTask], backend: Simulator, ledger: Ledger, seed: int, target_se: float = 0.01
) -> list[VoxelResponse]:
    """Responses that the ledger has already, task by task; nothing is simulated. Arguments as in `conduct`.

    Raises:
        StoreError: some are missing.
    """
    responses = _known(tasks, _keys(tasks, backend, seed, target_se), ledger)
    expected = sum(len(task.cell_lines) for task in tasks)
    if len(responses) < expected:
        raise StoreError(
            f"the ledger has {len(responses)} of {expected} responses for {backend.name}, seed {seed} and target "
            f"{target_se:g}; run `surrogate3d simulate` with these settings first"
        )
    return responses


def _keys(tasks: Sequence[VoxelTask], backend: Simulator, seed: int, target_se: float) -> list[_Keys]:
    """Keys of the ledger by cell line, task by task."""
    lines = {name: known_line(name) for task in tasks for name in task.cell_lines}
    return [{n: response_key(task, lines[n], backend, seed, target_se) for n in task.cell_lines} for task in tasks]


def _missing(tasks: Sequence[VoxelTask], keys: Sequence[_Keys], ledger: Ledger) -> list[Work]:
    """What has to be simulated, in the order of the tasks, every key once: where it is met first by field and index."""
    wanted = sorted({key for by_line in keys for key in by_line.values()})
    todo = {key for key, known in zip(wanted, ledger.known(wanted), strict=True) if not known}
    lines: dict[int, list[str]] = {}
    for n in sorted(range(len(tasks)), key=lambda n: (tasks[n].field_id, tasks[n].voxel)):
        lines[n] = [name for name, key in keys[n].items() if key in todo]
        todo -= set(keys[n].values())
    return [
        Work(replace(task, cell_lines=tuple(lines[n])), tuple(keys[n][name] for name in lines[n]))
        for n, task in enumerate(tasks)
        if lines[n]
    ]


def _without_spectrum(tasks: Sequence[VoxelTask]) -> dict[str, VoxelFailure]:
    notes = {task: unscalable(task) for task in tasks}
    found = [without_spectrum(t.field_id, t.voxel, t.cell_lines, reason) for t, reason in notes.items() if reason]
    return {key: note for each in found for key, note in each.items()}


def _failed(tasks: Sequence[VoxelTask], keys: Sequence[_Keys], ledger: Ledger) -> list[VoxelFailure]:
    """What the ledger notes of these tasks, each at its own place."""
    noted = ledger.failures()
    return [
        replace(noted[key], voxel=task.voxel, field_id=task.field_id)
        for task, by_line in zip(tasks, keys, strict=True)
        for key in by_line.values()
        if key in noted
    ]


def _known(tasks: Sequence[VoxelTask], keys: Sequence[_Keys], ledger: Ledger) -> list[VoxelResponse]:
    """The tasks' responses from the ledger, which may have met the same spectrum in another voxel."""
    return [
        replace(response, voxel=task.voxel, field_id=task.field_id, explained=task.explained)
        for task, by_line in zip(tasks, keys, strict=True)
        for key in by_line.values()
        if (response := ledger.get(key)) is not None
    ]
