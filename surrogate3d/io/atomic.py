"""Outputs that are whole or absent: written beside the target, synced to disk, then renamed onto it."""

from __future__ import annotations

import errno
import fcntl
import glob
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from surrogate3d.errors import StoreError

_SYNCING = 8
"""Files that are flushed at a time."""

_NO_ROOM = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota used up",
    errno.EFBIG: "file-size limit of the system or session (ulimit -f) reached",
}


@contextmanager
def atomic_directory(target: str | Path, overwrite: bool = False, expected_bytes: int = 0) -> Iterator[Path]:
    """Write a directory so that it appears complete or not at all.

    Args:
        target: where the directory shall be.
        overwrite: replace whatever is at `target`, once the new one is complete.
        expected_bytes: estimate of the final size, for the message about a full disk; 0 if unknown.

    Yields:
        An empty directory beside `target`. It is renamed onto `target` when the block ends well, and removed with all
        that is in it on any error, also on KeyboardInterrupt.

    Raises:
        StoreError: `target` exists and `overwrite` is False, the parent cannot be written, or there is no room.
    """
    with _scratch(Path(target), overwrite, expected_bytes) as scratch:
        scratch.mkdir()
        yield scratch


@contextmanager
def resumable_directory(
    target: str | Path, fingerprint: str, overwrite: bool = False, expected_bytes: int = 0
) -> Iterator[Path]:
    """As `atomic_directory`, but an interrupted block (Ctrl-C, a kill, a lost machine) can be taken up again.

    Args:
        target: where the directory shall be.
        fingerprint: hexadecimal digest of all that decides the content; only a block with the same one is taken up.
        overwrite: replace whatever is at `target`, once the new one is complete.
        expected_bytes: estimate of the final size.

    Yields:
        A hidden directory beside `target`: empty, or as an interrupted block left it. It is removed on errors, but not
        when the block is interrupted.

    Raises:
        StoreError: `target` exists and `overwrite` is False, the parent cannot be written, there is no room, or another
            process is writing the same target.
    """
    target = Path(target)
    _require_free(target, overwrite)
    _make_parent(target)
    scratch = target.parent / f".partial-{fingerprint[:16]}-{target.name}"
    scratch.mkdir(exist_ok=True)
    with _locked(scratch, target):
        try:
            yield scratch
            _sync_tree(scratch)
            _require_free(target, overwrite)
            _move_onto(scratch, target)
            _remove_abandoned(target)
        except Exception as error:
            written = _bytes_of(scratch)
            _remove(scratch)
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise StoreError(_no_room(error.errno, written, target, expected_bytes)) from error
            raise


def _remove_abandoned(target: Path) -> None:
    """What interrupted conversions to the same target left, of other inputs or settings, and nobody is writing."""
    for left in target.parent.glob(f".partial-{'[0-9a-f]' * 16}-{glob.escape(target.name)}"):
        try:
            with _locked(left, target):
                _remove(left)
        except StoreError:
            continue


@contextmanager
def _locked(scratch: Path, target: Path) -> Iterator[None]:
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StoreError(f"{target} is being written by another process; wait for it") from error
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(target: str | Path, overwrite: bool = False, expected_bytes: int = 0) -> Iterator[Path]:
    """Write one file so that it appears complete or not at all.

    Args:
        target: where the file shall be.
        overwrite: replace the file at `target`, once the new one is complete.
        expected_bytes: estimate of the final size, for the message about a full disk; 0 if unknown.

    Yields:
        A path beside `target`, with the same suffixes, to which the block writes the file.

    Raises:
        StoreError: `target` exists and `overwrite` is False, the parent cannot be written, or there is no room.
    """
    with _scratch(Path(target), overwrite, expected_bytes) as scratch:
        yield scratch


@contextmanager
def _scratch(target: Path, overwrite: bool, expected_bytes: int) -> Iterator[Path]:
    """Yield an unused path beside `target`; sync and rename what is there at success, remove it in any case."""
    _require_free(target, overwrite)
    # The suffixes are kept at the end of the name: image writers choose the format by them.
    scratch = target.parent / f".partial-{secrets.token_hex(4)}-{target.name}"
    _make_parent(target)
    try:
        yield scratch
        _sync_tree(scratch)
        _require_free(target, overwrite)
        _move_onto(scratch, target)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreError(_no_room(error.errno, _bytes_of(scratch), target, expected_bytes)) from error
        raise
    finally:
        _remove(scratch)


def _require_free(target: Path, overwrite: bool) -> None:
    if os.path.lexists(target) and not overwrite:
        raise StoreError(f"{target} exists already and is not overwritten; choose another name or give --overwrite")


def _make_parent(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write {target}: {error.strerror} ({error.filename}); choose another folder"
        ) from error
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StoreError(f"cannot write {target}: no permission to write into {target.parent}; choose another folder")


def _sync_tree(path: Path) -> None:
    """Flush a file, or a directory with all that is in it, to the disk."""
    with ThreadPoolExecutor(_SYNCING) as pool:  # each waits for the disk, which takes many at once
        list(pool.map(sync, (path, *path.rglob("*"))))


def sync(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_onto(scratch: Path, target: Path) -> None:
    """Rename; an old directory steps aside first and comes back if the new one cannot take its place."""
    if target.is_dir() and not target.is_symlink():
        aside = scratch.with_name(f"{scratch.name}.old")
        target.rename(aside)
        try:
            scratch.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        _remove(aside)
    else:
        scratch.replace(target)
    sync(target.parent)  # makes the rename itself last


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _bytes_of(scratch: Path) -> int:
    return sum(entry.stat().st_size for entry in (scratch, *scratch.rglob("*")) if entry.is_file())


def _no_room(code: int, written: int, target: Path, expected_bytes: int) -> str:
    # Without an estimate the best guess is that as much again as was written is still to come.
    missing = (expected_bytes or 2 * written) - written - shutil.disk_usage(target.parent).free
    remedy = "raise it" if code == errno.EFBIG else f"free {max(1, math.ceil(missing / 1e6))} MB"
    return f"{_NO_ROOM[code]} while writing {target}: {remedy} and run again; nothing was kept"
