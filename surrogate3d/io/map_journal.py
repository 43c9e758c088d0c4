"""What of an unfinished folder of maps is finished: one line a slab, each with the checksums of what it wrote.

Nothing is waited for before a line is written. A slab counts when its line is whole and every byte that the line tells
of is in the files as it was, so a journal that reached the disk before the values, after a loss of power, does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from surrogate3d.io.fast_gzip import Mark
from surrogate3d.io.map_range import MapRange

JOURNAL_NAME = "journal.jsonl"


class Put(NamedTuple):
    """What the caller gave at once; `done` is always the end of one, so that counts are those of whole puts."""

    end: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Slab:
    """One finished slab.

    Attributes:
        end: planes that are finished with it.
        puts: that ended with it or within it.
        files: the piece of each image file, by file name.
        chunks: SHA-256 and size of each file of the zarr group, by relative name.
        ranges: of the values, by map.
    """

    end: int
    puts: Sequence[Put]
    files: Mapping[str, Mark]
    chunks: Mapping[str, tuple[str, int]]
    ranges: Mapping[str, MapRange]


class Journal:
    """The journal of a folder, opened for the lines to come."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], slabs: Sequence[Slab]) -> None:
        new = folder / f"{JOURNAL_NAME}.new"
        self._file = new.open("w", encoding="utf-8")
        self._line(identity)
        for slab in slabs:
            self.add(slab)
        new.replace(folder / JOURNAL_NAME)

    def add(self, slab: Slab) -> None:
        """Write a line, out of this process."""
        self._line(vars(slab))

    def close(self) -> None:
        """Close; the file stays."""
        self._file.close()

    def _line(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()


def read_journal(folder: Path) -> tuple[dict[str, Any], list[Slab]]:
    """Identity and slabs of a folder; nothing of it where there is no journal, and no more than its whole lines."""
    try:
        lines = (folder / JOURNAL_NAME).read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    except OSError:
        return {}, []
    identity = _whole(lines[:1], dict)
    return (identity[0] if identity else {}), _whole(lines[1:], _slab)


def _whole(lines: Sequence[str], made: Callable[[Any], Any]) -> list[Any]:
    found = []
    for line in lines:
        try:
            found.append(made(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError):
            break
    return found


def _slab(content: dict[str, Any]) -> Slab:
    return Slab(
        int(content["end"]),
        [Put(int(end), {name: int(n) for name, n in counts.items()}) for end, counts in content["puts"]],
        {name: Mark(*mark) for name, mark in content["files"].items()},
        {name: (str(digest), int(size)) for name, (digest, size) in content["chunks"].items()},
        {name: MapRange(*found) for name, found in content["ranges"].items()},
    )
