"""Simulate many voxels, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from surrogate3d.direct.ledger import Ledger, response_key
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.simulator import Simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import StoreError

Progress = Callable[[int, int], None]


def run(
    tasks: Sequence[VoxelTask],
    backend: Simulator,
    ledger: Ledger,
    seed: int,
    target_se: float = 0.01,
    progress: Progress | None = None,
) -> list[VoxelResponse]:
    """Answer all tasks, from the ledger where it can.

    The random numbers of a voxel come from `seed` and its spectrum alone, and every voxel is in the ledger before the
    next one starts: order, interruption and the number of threads change no result.

    Args:
        tasks: the voxels.
        backend: from `simulator`.
        ledger: what is known already; every new response is appended at once.
        seed: of the campaign.
        target_se: relative standard error of survival.
        progress: called after every voxel with the number done and the number of all.

    Returns:
        Responses task by task, cell line by cell line.

    Raises:
        UnknownNameError: a cell line is not known.
        StoreError: the ledger cannot be read or written.
    """
    lines = {name: known_line(name) for task in tasks for name in task.cell_lines}
    responses: list[VoxelResponse] = []
    for done, task in enumerate(tasks, start=1):
        keys = {name: response_key(task, lines[name], backend, seed, target_se) for name in task.cell_lines}
        missing = tuple(name for name in task.cell_lines if ledger.get(keys[name]) is None)
        if missing:
            answers = backend.simulate([replace(task, cell_lines=missing)], seed, target_se)
            ledger.append({keys[name]: answer for name, answer in zip(missing, answers, strict=True)})
        responses += _known(task, keys, ledger)
        if progress is not None:
            progress(done, len(tasks))
    return responses


def _known(task: VoxelTask, keys: Mapping[str, str], ledger: Ledger) -> list[VoxelResponse]:
    """The task's responses from the ledger, which may have met the same spectrum in another voxel."""
    found = [ledger.get(key) for key in keys.values()]
    return [
        replace(response, voxel=task.voxel, field_id=task.field_id, explained=task.explained)
        for response in found
        if response is not None
    ]


def collect(
    tasks: Sequence[VoxelTask], backend: Simulator, ledger: Ledger, seed: int, target_se: float = 0.01
) -> list[VoxelResponse]:
    """Responses that the ledger has already, task by task; nothing is simulated. Arguments as in `run`.

    Raises:
        StoreError: some are missing.
    """
    lines = {name: known_line(name) for task in tasks for name in task.cell_lines}
    responses: list[VoxelResponse] = []
    for task in tasks:
        keys = {name: response_key(task, lines[name], backend, seed, target_se) for name in task.cell_lines}
        responses += _known(task, keys, ledger)
    expected = sum(len(task.cell_lines) for task in tasks)
    if len(responses) < expected:
        raise StoreError(
            f"the ledger has {len(responses)} of {expected} responses for {backend.name}, seed {seed} and target "
            f"{target_se:g}; run `surrogate3d simulate` with these settings first"
        )
    return responses
