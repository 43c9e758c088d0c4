"""Where damage lies: lines of text, and the corners by which two grids are compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Grid

Rules = Sequence[tuple[re.Pattern[str], tuple[str, ...]]]
"""Which names of a reading a line may change, by what it matches; the first rule that matches counts."""


def rules(*pairs: tuple[str, str]) -> Rules:
    """Rules from patterns and names that are separated by blanks."""
    return [(re.compile(pattern), tuple(names.split())) for pattern, names in pairs]


def touched_lines(old: bytes, new: bytes) -> list[str]:
    """The lines that differ, as they were and as they are; every line between the first and the last such one where
    lines came or went.
    """
    ours, theirs = (c.replace(b"\r\n", b"\n").decode("latin-1").split("\n") for c in (old, new))
    if len(ours) == len(theirs):
        return [line for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1] for line in pair]
    start = 0
    while start < min(len(ours), len(theirs)) and ours[start] == theirs[start]:
        start += 1
    end = 0
    while end < min(len(ours), len(theirs)) - start and ours[-1 - end] == theirs[-1 - end]:
        end += 1
    return ours[start : len(ours) - end] + theirs[start : len(theirs) - end]


def by_lines(table: Rules) -> Callable[[bytes, bytes], set[str]]:
    """Names that may change, from the lines that differ."""

    def names(old: bytes, new: bytes) -> set[str]:
        found: set[str] = set()
        for line in touched_lines(old, new):
            found.update(next((names for pattern, names in table if pattern.search(line)), ()))
        return found

    return names


def by_offset(old: bytes, new: bytes, regions: Iterable[tuple[int, int, str]]) -> set[str]:
    """Names of the regions [start, end) in which two contents of equal length differ; none for another length."""
    if len(old) != len(new):
        return set()
    at = np.flatnonzero(np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8))
    found: set[str] = set()
    for start, end, names in regions:
        inside = (at >= start) & (at < end)
        if inside.any():
            found.update(names.split())
    return found


def corners(grid: Grid) -> npt.NDArray[np.float64]:
    """(8, 3) positions of the outer corners, mm."""
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    return grid.position_mm([[i, j, k] for i in ends[0] for j in ends[1] for k in ends[2]])
