"""What has been simulated is never paid for twice: an append-only file of responses.

`<directory>/responses.jsonl` holds one line per response, `<checksum> <JSON>`; the first line names the schema. Lines
are written whole, under a lock, and synced to disk before `append` returns. A process that is killed while writing
leaves at most one torn line at the end, which its checksum betrays: readers ignore it, the next `append` cuts it off.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from surrogate3d.direct.simulator import Simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import StoreError
from surrogate3d.physics.cell_line import CellLine

SCHEMA = "surrogate3d.ledger/1"
FILE_NAME = "responses.jsonl"


def response_key(task: VoxelTask, line: CellLine, backend: Simulator, seed: int, target_se: float) -> str:
    """SHA-256 of all that decides a response: spectrum, axes, cell line, back end with settings, seed, target.

    Where the voxel lies and what dose it has do not decide it, so equal spectra are simulated once.
    """
    parts = {
        "schema": SCHEMA,
        "spectrum": task.spectrum_key,
        "cell_line": [line.name, line.alpha_x, line.beta_x, backend.parameters(line)],
        "backend": backend.settings(),
        "seed": seed,
        "target_se": target_se,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _line(content: object) -> bytes:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return f"{_checksum(text.encode())} {text}\n".encode()


def _checksum(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


_HEADER = _line({"schema": SCHEMA})


class Ledger:
    """The responses of one directory. Several processes may append at once.

    Raises:
        StoreError: the directory cannot be made or the file read, it is not a ledger, or it is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self.path = Path(directory) / FILE_NAME
        self._responses: dict[str, VoxelResponse] = {}
        self._end = 0  # everything before is read and whole
        with _clear_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                _create(self.path)
            self._read_new()

    def __len__(self) -> int:
        return len(self._responses)

    def get(self, key: str) -> VoxelResponse | None:
        """The response of a key, also if another process has appended it meanwhile; None if there is none.

        Raises:
            StoreError: the file cannot be read, or is damaged.
        """
        if key not in self._responses:
            with _clear_errors(self.path):
                self._read_new()
        return self._responses.get(key)

    def append(self, responses: Mapping[str, VoxelResponse]) -> None:
        """Write responses by key; they are on disk when this returns. Keys that are known already are left out.

        Raises:
            StoreError: the disk is full or not writable (the file then holds what it held before), or is damaged.
        """
        with _clear_errors(self.path), _locked(self.path) as file:
            self._read_new()
            new = {key: value for key, value in responses.items() if key not in self._responses}
            lines = [_line({"key": key, "response": value.to_json()}) for key, value in new.items()]
            os.ftruncate(file, self._end)  # a torn line of a killed process
            block = b"".join(lines if self._end else [_HEADER, *lines])
            _write_whole(file, block, self._end)
            self._end += len(block)
            self._responses |= new

    def _read_new(self) -> None:
        """Take in what was appended since the last reading; stop before a torn line at the end."""
        size = self.path.stat().st_size
        if size == self._end:
            return
        if size < self._end:  # another process found the disk full, and took back lines that were seen already
            self._responses, self._end = {}, 0
        with self.path.open("rb") as file:
            file.seek(self._end)
            lines = [line + b"\n" for line in file.read().split(b"\n")]
        lines[-1] = lines[-1][:-1]  # what follows the last line end, mostly nothing
        for number, line in enumerate(lines):
            text = line[17:-1]
            whole = line.endswith(b"\n") and line[:17] == _checksum(text).encode() + b" "
            if not whole and not any(lines[number + 1 :]) and (self._end or _HEADER.startswith(line)):
                return
            if not whole or (self._end == 0 and line != _HEADER):
                raise StoreError(self._complaint(line))
            if self._end:
                key, response = self._parsed(text)
                self._responses[key] = response
            self._end += len(line)

    def _parsed(self, text: bytes) -> tuple[str, VoxelResponse]:
        try:
            content = json.loads(text)
            return content["key"], VoxelResponse.from_json(content["response"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(self._complaint(text)) from error

    def _complaint(self, line: bytes) -> str:
        if self._end == 0:
            return f"{self.path} is not a ledger of schema {SCHEMA!r}: it begins with {line[:60]!r}; use another path"
        return f"{self.path} is damaged at byte {self._end}: not a line of a ledger; restore it, or move it away"


def _create(path: Path) -> None:
    """An empty file whose name survives a loss of power."""
    path.touch()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """File descriptor for writing, with an exclusive lock until the end of the block."""
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _write_whole(file: int, block: bytes, start: int) -> None:
    """Write and sync, or leave the file as long as it was."""
    try:
        done = 0
        while done < len(block):
            done += os.pwrite(file, block[done:], start + done)
        os.fsync(file)
    except OSError:
        os.ftruncate(file, start)
        raise


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors into one line that says what to do."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        remedy = "free some space and run again" if error.errno == errno.ENOSPC else "check path and permissions"
        raise StoreError(
            f"ledger {path}: {error.strerror}; what was written before is kept, {remedy}; nothing is simulated twice"
        ) from error
