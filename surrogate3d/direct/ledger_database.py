"""The SQLite file of a ledger: opened with a write-ahead log, every commit synced, errors in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surrogate3d.errors import StoreError, ValueRangeError

SCHEMA_VERSION = 2
_APPLICATION = 0x53334C47  # "S3LG", in the header of the file
_PATIENCE_S = 600.0  # for another process's transaction
_PAGE_BYTES = 16_384  # large: rows are only appended, and the heads of many keys are read at once
_LOG_PAGES = 4096  # 64 MB of log before it is copied into the file
_CACHE_KB = 65_536

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE meta (name TEXT PRIMARY KEY, value);
CREATE TABLE shared (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE response (id INTEGER PRIMARY KEY, key TEXT NOT NULL, shared INTEGER NOT NULL, record BLOB NOT NULL,
    checksum BLOB NOT NULL);
CREATE TABLE block (last INTEGER PRIMARY KEY, heads BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE failure (key TEXT PRIMARY KEY, cell_line TEXT NOT NULL, i INTEGER, j INTEGER, k INTEGER,
    field_id TEXT NOT NULL, reason TEXT NOT NULL);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


def opened(path: Path) -> sqlite3.Connection:
    """A connection to the ledger's file, which is made if it is missing.

    Raises:
        StoreError: the file cannot be made or read, or is not a ledger of this schema.
    """
    with understood(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
            try:
                _set_up(database, path)
            except BaseException:
                database.close()
                raise
        return database


def _set_up(database: sqlite3.Connection, path: Path) -> None:
    application, version = (_pragma(database, name) for name in ("application_id", "user_version"))
    empty = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if (application, version) != (_APPLICATION, SCHEMA_VERSION) and not (empty and application == version == 0):
        raise StoreError(f"{path} is not a ledger of schema 'surrogate3d.ledger/{SCHEMA_VERSION}'; use another path")
    database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    database.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    if empty:
        database.executescript(_TABLES)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that the block writes, or nothing; no other process writes meanwhile."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time: SQLite does not wait where the mode of the log is chosen."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the system into one line that says what to do."""
    try:
        yield
    except (StoreError, ValueRangeError):
        raise
    except sqlite3.DatabaseError as error:
        raise StoreError(f"ledger {path}: {error}; {_remedy(getattr(error, 'sqlite_errorcode', 0))}") from error
    except OSError as error:
        code = sqlite3.SQLITE_FULL if error.errno == errno.ENOSPC else sqlite3.SQLITE_CANTOPEN
        raise StoreError(f"ledger {path}: {error.strerror}; {_remedy(code)}") from error


def _remedy(code: int) -> str:
    kept = "what was written before is kept and nothing is simulated twice"
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return f"free some space and run again; {kept}"
        case sqlite3.SQLITE_NOTADB:
            return "it is not a ledger; use another path"
        case sqlite3.SQLITE_CORRUPT:
            return "it is damaged; restore it, or move it away"
        case sqlite3.SQLITE_BUSY:
            return f"another process holds it; wait for that; {kept}"
        case _:
            return f"check path and permissions; {kept}"
