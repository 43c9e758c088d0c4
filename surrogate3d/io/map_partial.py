"""The hidden directory in which maps grow, and what an interrupted writer left in it."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surrogate3d.errors import StoreError
from surrogate3d.io.atomic import resumable_directory
from surrogate3d.io.map_journal import Slab, read_journal


@contextmanager
def partial_maps(
    target: Path, identity: Mapping[str, Any], overwrite: bool, resume: bool, expected_bytes: int
) -> Iterator[tuple[Path, list[Slab]]]:
    """As `atomic.resumable_directory`.

    Args:
        target: where the directory shall be.
        identity: plain data, all that decides the bytes of the files; only what has the same one is gone on with.
        overwrite: replace what is at `target`, once the new directory is complete.
        resume: keep what an interrupted writer left; else it is removed.
        expected_bytes: estimate of the final size.

    Yields:
        The directory, and the slabs that its journal tells of.

    Raises:
        StoreError: as of `resumable_directory`, or `resume` finds only what is left of other maps.
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    left = {_digits(path, target): path for path in _interrupted(target)}
    if resume and left and digest[:16] not in left:
        raise StoreError(_other(target, identity, next(iter(left.values()))))
    with resumable_directory(target, digest, overwrite, expected_bytes) as folder:
        if not resume:
            _clear(folder)
        yield folder, read_journal(folder)[1]


def _interrupted(target: Path) -> Iterator[Path]:
    return target.parent.glob(f".partial-{'[0-9a-f]' * 16}-{glob.escape(target.name)}")


def _digits(path: Path, target: Path) -> str:
    return path.name.removeprefix(".partial-").removesuffix(f"-{target.name}")


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _other(target: Path, own: Mapping[str, Any], left: Path) -> str:
    found = read_journal(left)[0]
    differing = [name for name, value in own.items() if found.get(name) != value]
    return (
        f"{left} is an interrupted writing of {target.name} with other {', '.join(differing)} than now; resume it with "
        "what it was begun with, or begin anew without --resume"
    )
