"""The folder of a TOPAS job: parameter files of its runs, their attempts, and which of them is the result.

    <jobs>/<key>/job.json                 what was asked for, and for which voxel first
    <jobs>/<key>/C/parameters.txt         the run with carbon ions; likewise the other species
    <jobs>/<key>/C/attempt-1/             working directory of the first try: logs, ySpecfile.txt, Scorer.header ...
    <jobs>/<key>/C/done.json              which attempt is the result, with the SHA-256 of its files

Names of results are fixed in TsYScorer, so every attempt has a directory of its own: what an earlier one left behind
is never taken for a result. A user who runs a job by hand may do so in the directory of `parameters.txt` itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.io.atomic import atomic_directory, atomic_file
from surrogate3d.io.topas_job import IonRun, TopasRuns, parameter_text
from surrogate3d.io.topas_job_results import HEADER_FILE, SPECTRUM_FILE, CountedEvents, read_events
from surrogate3d.io.topas_parameters import sha256

JOB_FILE, PARAMETER_FILE, DONE_FILE, FAILURE_FILE = "job.json", "parameters.txt", "done.json", "failure.txt"
DONE_SCHEMA = "surrogate3d.topas_run/1"

_POLL_S = 0.2


def write_job(jobs: Path, asked: TopasRuns, about: dict[str, Any]) -> tuple[Path, bool]:
    """Write the folder of a job, whole or not at all; one that is there already stays as it is.

    Args:
        jobs: directory of all jobs.
        asked: the runs; they decide the folder's name.
        about: for the reader of `job.json`, e.g. the voxel.

    Returns:
        The folder, and whether it is new.

    Raises:
        StoreError: it cannot be written.
    """
    folder = jobs / asked.key
    if folder.is_dir():
        return folder, False
    try:
        with atomic_directory(folder) as scratch:
            for run in asked.runs:
                (scratch / run.species).mkdir()
                text = parameter_text(run, asked.counter)
                (scratch / run.species / PARAMETER_FILE).write_text(text, encoding="utf-8")
            text = json.dumps(about | asked.to_json(), indent=1, allow_nan=False) + "\n"
            (scratch / JOB_FILE).write_text(text, encoding="utf-8")
    except StoreError:
        if folder.is_dir():  # another process was faster; the same key has the same content
            return folder, False
        raise
    return folder, True


def run_folder(job: Path, run: IonRun, asked: TopasRuns) -> Path:
    """The folder of one run.

    Raises:
        StoreError: its parameter file is missing, or was changed after it was written.
    """
    path = job / run.species / PARAMETER_FILE
    if not path.is_file() or path.read_text(encoding="utf-8") != parameter_text(run, asked.counter):
        raise StoreError(f"{path} is missing or was changed; remove {job} and write the jobs again")
    return path.parent


def is_finished(folder: Path) -> bool:
    """Whether a run has a result."""
    return (folder / DONE_FILE).is_file()


def finished_events(folder: Path) -> CountedEvents | None:
    """The events of a finished run; None when it is still to be done.

    Raises:
        FormatError, StoreError: the files are not those that were marked as the result.
    """
    path = folder / DONE_FILE
    if not path.is_file():
        return None
    try:
        done = json.loads(path.read_text(encoding="utf-8"))
        found = {name: sha256(folder / done["attempt"] / name) for name in (SPECTRUM_FILE, HEADER_FILE)}
        is_same = done["schema"] == DONE_SCHEMA and found == done["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: cannot be followed ({error}); remove it to run the job again") from error
    if not is_same:
        raise StoreError(f"{path}: the result was changed after it was marked; remove {path.name} to run the job again")
    return read_events(folder / done["attempt"])


def finish(folder: Path, attempt: Path, histories: int) -> CountedEvents:
    """Check what an attempt wrote, and mark it as the run's result.

    Args:
        folder: of the run.
        attempt: where its result is.
        histories: ions that were to be shot.

    Raises:
        FormatError: it is no whole result, or that of another run.
        StoreError: the mark cannot be written.
    """
    events = read_events(attempt)
    if events.n_events > histories:
        raise FormatError(
            f"{attempt / SPECTRUM_FILE}: {events.n_events} events from {histories} histories, and every history is one "
            f"event at most: the spectrum is not of this job; remove it and run {PARAMETER_FILE} again"
        )
    done = {
        "schema": DONE_SCHEMA,
        "attempt": attempt.relative_to(folder).as_posix(),
        "n_events": events.n_events,
        "sha256": {name: sha256(attempt / name) for name in (SPECTRUM_FILE, HEADER_FILE)},
    }
    with atomic_file(folder / DONE_FILE, overwrite=True) as scratch:
        scratch.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    return events


def done_by_hand(folder: Path, histories: int) -> CountedEvents | None:
    """Take up the result of a user who ran `parameters.txt` in its own directory; None where there is none.

    Raises:
        FormatError: there is one, and it is not whole or not of this run.
    """
    return finish(folder, folder, histories) if (folder / SPECTRUM_FILE).exists() else None


def next_attempt(folder: Path) -> Path:
    """A new, empty working directory, `attempt-N`.

    Raises:
        StoreError: it cannot be made.
    """
    numbers = [int(path.name[8:]) for path in folder.glob("attempt-*") if path.name[8:].isdigit()]
    attempt = folder / f"attempt-{1 + max(numbers, default=0)}"
    try:
        attempt.mkdir()
    except OSError as error:
        raise StoreError(f"cannot make {attempt}: {error.strerror}") from error
    return attempt


def last_failure(folder: Path) -> str:
    """Why the last attempt failed; empty where none is noted."""
    notes = sorted(folder.glob(f"attempt-*/{FAILURE_FILE}"), key=lambda path: int(path.parent.name[8:]))
    return notes[-1].read_text(encoding="utf-8").strip() if notes else ""


@contextmanager
def locked(job: Path, wait_s: float) -> Iterator[None]:
    """Hold a job against other processes; the system releases it when the holder ends, however it ends.

    Raises:
        StoreError: another process held it for longer than `wait_s`, or there is no such folder.
    """
    try:
        descriptor = os.open(job, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"cannot open {job}: {error.strerror}") from error
    try:
        _wait_for(descriptor, job, time.monotonic() + wait_s)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, job: Path, until: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise StoreError(f"{job} is being run by another process; wait for it") from error
            time.sleep(_POLL_S)
