"""What has been simulated is never paid for twice: a store of responses, safe from kills and made for millions.

`<directory>/responses.sqlite` is an SQLite database with a write-ahead log: one file, any number of processes on one
machine, and an `append` that is on disk when it returns or never was. Every row has its own checksum. SQLite is in the
standard library. Parquet parts would need a file per append and merging, zarr has no transactions, DuckDB lets one
process in. What SQLite does badly is an index of random keys: measured, 84,000 rows a second fell to 40,000 at ten
million rows, as every append touches pages all over the index. So the table has no such index. It grows at its end
only, the heads of the keys are kept beside it in blocks, and each process searches them in memory (`KeyIndex`).
Measured on two cores that others began to use (`benchmarks/ledger.py`, batches of 20,000, each synced), million after
million: 84,000 rows a second by the clock at a load of 1.2, 56,000 at last at a load of 2.9, median 76,000; per second
of CPU time 95,000 to 76,000. 574 bytes a row. Ten million rows were opened in 0.5 to 0.7 s, and in 1.4 s when the file
was not in the page cache.

Workers of a cluster do not write here: the log needs a shared memory that machines do not have. They leave parts
(`ledger_lines`), which `Ledger` takes in when it is opened or told so. A ledger of the first schema in the same
directory, `responses.jsonl`, is taken in too, and left as it is.
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.direct.ledger_database import opened, transaction, understood
from surrogate3d.direct.ledger_index import Heads, KeyIndex, heads_of
from surrogate3d.direct.ledger_lines import LEDGER_SCHEMA, PART_PATTERN, read_ledger_lines, read_part
from surrogate3d.direct.ledger_records import Shared, VoxelFailure, pack, parsed_shared, shared, shared_text, unpack
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import StoreError
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.protraction import repair_rate_of

FILE_NAME = "responses.sqlite"
OLD_FILE_NAME = "responses.jsonl"

_BLOCK = 16_384  # rows whose heads are read one by one at opening, at most
_AT_ONCE = 10_000  # rows of an old ledger taken in by one transaction
_ABANDONED_S = 86_400.0  # age at which what a killed worker left half-written is removed

_Row = tuple[int, str, int, bytes, bytes]


def response_key(task: VoxelTask, line: CellLine, backend: Simulator, seed: int, target_se: float) -> str:
    """SHA-256 of all that decides a response: spectrum, axes, conditions, cell line, back end, settings, seed, target.

    Where the voxel lies and what dose it has do not decide it, so equal spectra are simulated once.
    """
    parts = {
        "schema": LEDGER_SCHEMA,  # of the keys, which have not changed since
        "spectrum": task.spectrum_key,
        "cell_line": [line.name, line.alpha_x, line.beta_x, backend.parameters(line)],
        "backend": backend.settings(),
        "seed": seed,
        "target_se": target_se,
    }
    if other := task.conditions.settings():  # left out otherwise: keys are those of versions that did not have them
        parts["conditions"] = other
    if task.conditions.in_time:  # closed forms take the repair rate of GSM2 for theirs
        parts["repair_rate"] = repair_rate_of(line.gsm2)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Ledger:
    """The responses of one directory. Several processes of one machine may append at once.

    Raises:
        StoreError: the directory cannot be made or the file read, it is not a ledger, or it is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.path = self.directory / FILE_NAME
        self._index = KeyIndex()
        self._last = self._covered = 0  # rows that the index has; rows whose heads are in blocks
        self._tail: list[Heads] = []  # heads of the rows in between
        self._shared: dict[Shared, tuple[int, bytes]] = {}
        self._shared_by_id: dict[int, tuple[dict[str, Any], bytes]] = {}
        self._database = opened(self.path)
        weakref.finalize(self, self._database.close)
        with understood(self.path):
            self._read_blocks()
            self._read_new()
        self._take_in_old()
        self.take_in_parts()

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: str) -> bool:
        return self.known([key])[0]

    def known(self, keys: Sequence[str]) -> list[bool]:
        """Which keys have a response, also those that another process has appended meanwhile.

        Raises:
            StoreError: the file cannot be read.
        """
        with understood(self.path):
            self._read_new()
        return [bool(at >= 0) for at in self._index.find(heads_of(keys))]

    def get(self, key: str) -> VoxelResponse | None:
        """The response of a key, also if another process has appended it meanwhile; None if there is none.

        Raises:
            StoreError: the file cannot be read, or is damaged.
        """
        heads = heads_of([key])
        with understood(self.path):
            if self._index.find(heads)[0] < 0:
                self._read_new()
            position = int(self._index.find(heads)[0]) + 1
            if position == 0:
                return None
            row = self._database.execute("SELECT * FROM response WHERE id = ?", (position,)).fetchone()
            if row is None:
                raise StoreError(self._damage(position))
            if row[1] != key:
                raise StoreError(f"ledger {self.path}: {key} and {row[1]} share 64 bits; begin another ledger")
            return self._response(row)

    def items(self) -> Iterator[tuple[str, VoxelResponse]]:
        """Keys and responses in the order of the keys, each checked.

        Raises:
            StoreError: the file cannot be read, or is damaged.
        """
        with understood(self.path):
            for row in self._database.execute("SELECT * FROM response ORDER BY key"):
                yield row[1], self._response(row)

    def digest(self) -> str:
        """SHA-256 of all keys and responses, whatever the order in which they came."""
        total = hashlib.sha256()
        for key, response in self.items():
            total.update(key.encode() + shared_text(shared(response)).encode() + pack(response))
        return total.hexdigest()

    def append(self, responses: Mapping[str, VoxelResponse]) -> None:
        """Write responses by key; they are on disk when this returns. Keys that are known already are left out.

        Raises:
            StoreError: the disk is full or not writable (the file then holds what it held before), or is damaged.
            ValueRangeError: a response has a number that is not finite.
        """
        self.record(responses, {})

    def record(self, responses: Mapping[str, VoxelResponse], failures: Mapping[str, VoxelFailure]) -> None:
        """As `append`; failures by key are noted too, each in place of an older one, until there is a response."""
        keys = list(responses)
        with understood(self.path), self._writing():
            self._read_new()
            heads = heads_of(keys)
            new = np.flatnonzero(self._index.find(heads) < 0)
            if len(np.unique(heads[new])) < len(new):
                raise StoreError(f"ledger {self.path}: two new keys share 64 bits; append them to different ledgers")
            self._insert([(keys[n], responses[keys[n]]) for n in new])
            covered = self._write_block(heads[new])
            self._note(failures, keys)
        self._took(heads[new])
        if covered > self._covered:
            self._covered, self._tail = covered, []

    def failures(self, keys: Sequence[str] | None = None) -> dict[str, VoxelFailure]:
        """Voxels that failed and have no response, by key: all, or those of the keys given."""
        query = "SELECT key, cell_line, i, j, k, field_id, reason FROM failure"
        with understood(self.path):
            if keys is None:
                rows = self._database.execute(f"{query} ORDER BY key").fetchall()
            else:
                found = (self._database.execute(f"{query} WHERE key = ?", (key,)).fetchone() for key in keys)
                rows = [row for row in found if row]
            return {key: VoxelFailure(line, (i, j, k), field, why) for key, line, i, j, k, field, why in rows}

    def take_in_parts(self) -> int:
        """Take in, and remove, what workers have left; the number of parts.

        Raises:
            StoreError: a part is damaged, or the disk is full.
        """
        done = 0
        for path in sorted(self.directory.glob(PART_PATTERN)):
            try:
                self.record(*read_part(path))
            except FileNotFoundError:  # another process was faster
                continue
            path.unlink(missing_ok=True)
            done += 1
        for path in self.directory.glob(f".partial-*-{PART_PATTERN}"):
            try:
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink()
            except FileNotFoundError:
                continue
        return done

    def _take_in_old(self) -> None:
        """Append what a ledger of the first schema in the same directory holds, if that has grown since."""
        path = self.directory / OLD_FILE_NAME
        with understood(path):
            size = path.stat().st_size if path.exists() else 0
            row = self._database.execute("SELECT value FROM meta WHERE name = 'taken in'").fetchone()
            if size == (row[0] if row else 0):
                return
            batch: dict[str, VoxelResponse] = {}
            for key, response in read_ledger_lines(path):
                batch[key] = response
                if len(batch) == _AT_ONCE:
                    self.append(batch)
                    batch = {}
            self.append(batch)
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('taken in', ?)", (size,))

    def _read_blocks(self) -> None:
        """Index the heads that are kept in blocks."""
        blocks = self._database.execute("SELECT last, heads, checksum FROM block ORDER BY last").fetchall()
        for _, heads, checksum in blocks:
            if _checksum(heads) != checksum:
                raise StoreError(f"ledger {self.path} is damaged: the heads of its keys; restore it, or move it away")
        if blocks:
            self._index.add(np.frombuffer(b"".join([heads for _, heads, _ in blocks]), dtype="<u8"))
            self._last = self._covered = blocks[-1][0]

    def _read_new(self) -> None:
        """Index the rows that were appended since the last reading."""
        rows = self._database.execute("SELECT key FROM response WHERE id > ? ORDER BY id", (self._last,)).fetchall()
        if rows:
            self._took(heads_of([key for (key,) in rows]))

    def _took(self, heads: Heads) -> None:
        if len(heads):
            self._index.add(heads)
            self._last += len(heads)
            self._tail.append(heads)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction; numbers that it gave to texts are forgotten with it."""
        try:
            with transaction(self._database):
                yield
        except BaseException:
            self._shared.clear()
            raise

    def _insert(self, new: Iterable[tuple[str, VoxelResponse]]) -> None:
        rows: list[_Row] = []
        for position, (key, response) in enumerate(new, start=self._last + 1):
            source, text = self._id_of(shared(response))
            record = pack(response)
            rows.append((position, key, source, record, _checksum(key.encode(), text, record)))
        self._database.executemany("INSERT INTO response VALUES (?, ?, ?, ?, ?)", rows)

    def _write_block(self, new: Heads) -> int:
        """Keep the heads of all rows that are in no block, if there are many; the last row that is in one."""
        (covered,) = self._database.execute("SELECT coalesce(max(last), 0) FROM block").fetchone()
        last = self._last + len(new)
        if last - covered < _BLOCK:
            return self._covered
        tail = np.concatenate([*self._tail, new])[covered - self._covered :].tobytes()
        self._database.execute("INSERT INTO block VALUES (?, ?, ?)", (last, tail, _checksum(tail)))
        return last

    def _note(self, failures: Mapping[str, VoxelFailure], answered: Sequence[str]) -> None:
        if self._database.execute("SELECT EXISTS (SELECT 1 FROM failure)").fetchone()[0]:
            self._database.executemany("DELETE FROM failure WHERE key = ?", [(key,) for key in answered])
        rows = [(key, f.cell_line, *f.voxel, f.field_id, f.reason) for key, f in failures.items()]
        self._database.executemany("INSERT OR REPLACE INTO failure VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _id_of(self, values: Shared) -> tuple[int, bytes]:
        """Number and text of what responses have in common, written when it is new."""
        if values not in self._shared:
            text = shared_text(values)
            self._database.execute("INSERT OR IGNORE INTO shared (text) VALUES (?)", (text,))
            (number,) = self._database.execute("SELECT id FROM shared WHERE text = ?", (text,)).fetchone()
            self._shared[values] = number, text.encode()
        return self._shared[values]

    def _response(self, row: _Row) -> VoxelResponse:
        position, key, source, record, checksum = row
        if source not in self._shared_by_id:
            found = self._database.execute("SELECT text FROM shared WHERE id = ?", (source,)).fetchone()
            if found is None:
                raise StoreError(self._damage(position))
            self._shared_by_id[source] = parsed_shared(found[0]), found[0].encode()
        common, text = self._shared_by_id[source]
        if _checksum(key.encode(), text, record) != checksum:
            raise StoreError(self._damage(position))
        try:
            return unpack(common, record)
        except struct.error as error:
            raise StoreError(self._damage(position)) from error

    def _damage(self, position: int) -> str:
        return f"ledger {self.path} is damaged at row {position}; restore it, or move it away"


def _checksum(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=8).digest()
