"""The events of a job: from results that are there, or by running what is missing, each run on its own."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from surrogate3d.direct.topas_job_run import filled_in, run_command
from surrogate3d.errors import FormatError, StoreError, Surrogate3dError
from surrogate3d.io import topas_job_folder as store
from surrogate3d.io.topas_job import TopasRuns
from surrogate3d.io.topas_job_results import CountedEvents


def run_job(job: Path, asked: TopasRuns, where: str, command: str, limit_s: float) -> list[CountedEvents]:
    """The events of every run of a job; what is finished is not run again.

    Args:
        job: its folder.
        asked: its runs.
        where: which voxel, for messages.
        command: e.g. "topas {parameters}"; empty to use finished runs alone.
        limit_s: of one run, s; also how long to wait, per run, for another process that has the job.

    Raises:
        StoreError: a run failed, or is missing and there is no command; a file was changed.
        FormatError: what it wrote is no whole result.
        UnusableError: there is no such program.
    """
    with store.locked(job, limit_s * len(asked.runs)):
        return [
            _events(store.run_folder(job, run, asked), f"{where}, {run.species}", command, limit_s, run.histories)
            for run in asked.runs
        ]


def _events(folder: Path, where: str, command: str, limit_s: float, histories: int) -> CountedEvents:
    known = store.finished_events(folder) or _by_hand(folder, where, command, histories)
    if known is not None:
        return known
    if command:
        return _run(folder, where, command, limit_s, histories)
    told = store.last_failure(folder)
    raise StoreError(
        f"{where}: no finished spectrum in {folder}; run TOPAS on its {store.PARAMETER_FILE} there, or give "
        f'--command "topas {{parameters}}"' + (f"; the last attempt: {told}" if told else "")
    )


def _by_hand(folder: Path, where: str, command: str, histories: int) -> CountedEvents | None:
    """A result beside the parameters; a broken one matters only where nothing else can be done."""
    try:
        return store.done_by_hand(folder, histories)
    except FormatError as error:
        if command:
            return None
        raise FormatError(f"{where}: {error}; run it again") from error


def _run(folder: Path, where: str, command: str, limit_s: float, histories: int) -> CountedEvents:
    words = filled_in(command, folder / store.PARAMETER_FILE, folder / "attempt-N")  # refuses before a folder is made
    attempt = store.next_attempt(folder)
    words = filled_in(command, folder / store.PARAMETER_FILE, attempt)
    try:
        run_command(words, attempt, limit_s)
        return store.finish(folder, attempt, histories)
    except Surrogate3dError as error:
        note = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {error}\n"
        with suppress(OSError):  # a full disk must not hide the reason
            (attempt / store.FAILURE_FILE).write_text(note, encoding="utf-8")
        raise type(error)(f"{where}: {error}; logs in {attempt}") from error
