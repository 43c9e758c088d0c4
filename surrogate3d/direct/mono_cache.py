"""Mono-energetic tables that were made before, kept in the user's cache folder.

One JSON file a table, named by the digest of all that decides it, with the digest of its content. What is damaged, of
another version or of other parameters is not used: it is told, and the table made again. Nothing depends on the cache:
where it cannot be read or written, that is told, too, and the table is made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.io.atomic import atomic_file
from surrogate3d.physics.mixing import MonoTable

SCHEMA = "surrogate3d.mono_cache/1"

Tell = Callable[[str], None]


def user_cache() -> Path:
    """The user's cache folder of this program: in XDG_CACHE_HOME if that is absolute, as its specification asks.

    Otherwise in .cache of the home directory.

    Raises:
        StoreError: neither is known.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / "surrogate3d"
    try:
        return Path.home() / ".cache" / "surrogate3d"
    except RuntimeError as error:
        raise StoreError("the user has no home directory; set XDG_CACHE_HOME to keep tables") from error


def digest(data: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, allow_nan=False).encode()).hexdigest()


@dataclass(frozen=True)
class MonoCache:
    """Tables by what decides them.

    Attributes:
        folder: where the files lie; None for `mono` in `user_cache`, looked up at every use.
    """

    folder: Path | None = None

    def path(self, key: dict[str, Any]) -> Path:
        """Where the table of a key lies."""
        return (self.folder or user_cache() / "mono") / f"{digest(key)}.json"

    def load(self, key: dict[str, Any], cell_line: str, tell: Tell) -> MonoTable | None:
        """The table of a key, under the name of a cell line; None where there is none that can be trusted.

        Args:
            key: all that decides the table, as plain data.
            cell_line: name to be given to it.
            tell: hears why an entry is not used.
        """
        try:
            path = self.path(key)
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        except (StoreError, OSError) as error:
            tell(f"the cache of mono-energetic tables cannot be read ({error}); the table is made again")
            return None
        try:
            return replace(_understood(text, key), cell_line=cell_line)
        except FormatError as error:
            tell(f"{path} is damaged ({error}); the table is made again")
            return None

    def save(self, key: dict[str, Any], table: MonoTable, tell: Tell) -> None:
        """Keep a table; an entry that is there is replaced.

        Args:
            key: all that decides the table.
            table: the table.
            tell: hears why it could not be kept.
        """
        content = table.to_json()
        entry = {"schema": SCHEMA, "key": key, "sha256": digest(content), "table": content}
        try:
            with atomic_file(self.path(key), overwrite=True) as scratch:
                scratch.write_text(json.dumps(entry, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:  # a StoreError is one
            tell(f"the mono-energetic table of {table.cell_line} could not be kept for the next time: {error}")


USER_CACHE = MonoCache()
"""That of the user who runs the program."""


def _understood(text: bytes, key: dict[str, Any]) -> MonoTable:
    """The table of an entry.

    Raises:
        FormatError: it is no entry, of another key, or not what was written.
    """
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise FormatError(f"not JSON: {error}") from error
    if (
        not isinstance(entry, dict)
        or entry.get("schema") != SCHEMA
        or set(entry) != {"schema", "key", "sha256", "table"}
    ):
        raise FormatError(f"expected an entry of schema {SCHEMA!r}")
    if entry["key"] != json.loads(json.dumps(key)):
        raise FormatError("it is of other parameters than its name says")
    try:
        same = isinstance(entry["table"], dict) and digest(entry["table"]) == entry["sha256"]
    except ValueError as error:
        raise FormatError(f"its content is no standard JSON: {error}") from error
    if not same:
        raise FormatError("its content is not what was written")
    return MonoTable.from_json(entry["table"])
