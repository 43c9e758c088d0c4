"""Run a command for one attempt of a TOPAS job: no shell, a time limit, logs, and nothing left behind."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from surrogate3d.direct import topas_job_guard
from surrogate3d.errors import ConfigError, StoreError, UnusableError

STDOUT_FILE, STDERR_FILE = "stdout.log", "stderr.log"

LARGEST_LOG = 1_000_000
"""Bytes of each log that are kept: its end."""

_PLACES = ("{parameters}", "{folder}")


def split_command(command: str) -> list[str]:
    """The words of a command, as a shell would split them.

    Args:
        command: e.g. "topas {parameters}"; {parameters} is the parameter file, {folder} the working directory.

    Raises:
        ConfigError: quotes that do not close, no {parameters}, or an unknown place.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"command {command!r} cannot be split into words: {error}") from error
    unknown = [place for place in re.findall(r"\{\w*\}", command) if place not in _PLACES]
    if unknown or not any(_PLACES[0] in word for word in words[1:]):
        raise ConfigError(
            f"command {command!r}: expected a program and {{parameters}} for the parameter file, with {{folder}} if "
            f"the working directory is needed; found {', '.join(unknown) or 'no {parameters}'}; "
            f'for example "topas {{parameters}}"'
        )
    return words


def filled_in(command: str, parameters: Path, folder: Path) -> list[str]:
    """The words of a command with its places filled in.

    Args:
        command: as for `split_command`.
        parameters: the parameter file.
        folder: the working directory.

    Raises:
        ConfigError: as `split_command`.
        UnusableError: there is no such program on this machine.
    """
    values = dict(zip(_PLACES, (str(parameters), str(folder)), strict=True))
    words = [re.sub(r"\{\w+\}", lambda place: values[place[0]], word) for word in split_command(command)]
    if shutil.which(words[0]) is None:
        raise UnusableError(f"command {command!r}: no program {words[0]!r} on this machine; give its whole path")
    return words


def run_command(words: list[str], folder: Path, limit_s: float) -> None:
    """Run to the end in `folder`, with stdout and stderr in logs there.

    The command and all that it starts are one group of processes: it is killed at the time limit, on any error here,
    when this process dies, and when the command ends and leaves something behind.

    Raises:
        StoreError: it took too long, or did not end with status 0; with the end of what it said.
    """
    with (folder / STDOUT_FILE).open("wb") as out, (folder / STDERR_FILE).open("wb") as err:
        guard = subprocess.Popen(
            [sys.executable, "-I", topas_job_guard.__file__, *words],
            stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            in_time = _ended(guard.pid, limit_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(guard.pid, signal.SIGKILL)  # before the guard is reaped: its number is still its own
            status = guard.wait()
            guard.stdin.close()  # type: ignore[union-attr]  # it is a pipe
    for name in (STDOUT_FILE, STDERR_FILE):
        _keep_end(folder / name)
    if not in_time:
        raise StoreError(f"stopped at the time limit of {limit_s:g} s; {_last_words(folder)}")
    if status:
        raise StoreError(f"ended with status {status}; {_last_words(folder)}")


def _ended(pid: int, limit_s: float) -> bool:
    """Wait for a child without reaping it; False when it is still there at the limit."""
    until, pause = time.monotonic() + limit_s, 0.01
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(2 * pause, 0.5)
    return True


def _keep_end(path: Path) -> None:
    """Cut a log to its last part."""
    size = path.stat().st_size
    if size > LARGEST_LOG:
        kept = _end_of(path, LARGEST_LOG)
        path.write_bytes(b"[the first %d bytes were cut]\n" % (size - len(kept)) + kept)


def _end_of(path: Path, n_bytes: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - n_bytes))
        return stream.read()


def _last_words(folder: Path) -> str:
    """The last line of either log, for a reason in one line."""
    for name in (STDERR_FILE, STDOUT_FILE):
        lines = _end_of(folder / name, 2000).decode("utf-8", errors="replace").split("\n")
        said = [" ".join(line.split()) for line in lines if line.strip()]
        if said:
            return f"{name} ends with {said[-1][:160]!r}"
    return "it said nothing"
