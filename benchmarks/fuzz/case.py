"""What fuzzing speaks of: seeds, damage, readings and targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Files = dict[str, bytes]
"""A folder: content by relative name."""

Reading = dict[str, Any]
"""What a reader gave: arrays and plain descriptions by name. Equal readings are equal in every name, bit for bit."""

GONE = b"(this file is not there)"
"""Stands for the content of a file that was deleted, where contents are compared."""

Mutation = Callable[[Files, str, np.random.Generator], str]
"""Damages one file of a folder in place and says how in a few words."""


@dataclass(frozen=True, eq=False)
class Seed:
    """An undamaged folder.

    Attributes:
        name: unique in its target.
        files: content by relative name.
        victims: names of the files that are damaged; all when empty.
        options: what its reader and its `places` need to know.
    """

    name: str
    files: Files
    victims: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Target:
    """One reader under test.

    Attributes:
        name: on the command line.
        seeds: what is damaged.
        read: the public entry point, on a folder.
        mutations: damages one file; drawn with equal chance.
        may_change: names of the reading that may differ, given how one file changed (name, old, new).
        literal: values that a damaged folder states, by a reader without any checks; names that it leaves out are not
            compared.
        close: largest difference by name that rounding in the file explains.
        share: of all cases, relative to other targets.
        sealed: whether the manifest of a store is written again after the damage.
    """

    name: str
    seeds: Callable[[], list[Seed]]
    read: Callable[[Path, Seed], Reading]
    mutations: tuple[Mutation, ...]
    may_change: Callable[[Seed, str, bytes, bytes], Iterable[str]]
    literal: Callable[[Seed, Files], Reading] | None = None
    close: Mapping[str, float] = field(default_factory=dict)
    share: int = 1
    sealed: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of a case: "refused", "unchanged", "valid payload" or "failure", with the reason for the last."""

    kind: str
    words: str = ""
    peak_bytes: int = 0
