"""Seeds: small real files where they are there, and small folders written from the specification."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.fuzz.case import Files, Seed

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
SHARED = ROOT.parent / "shared" / "data"


def files_of(folder: Path) -> Files:
    """Everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def made(write: Callable[[Path], object]) -> Files:
    """What a function writes into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return files_of(Path(folder))


def single(name: str, path: Path, *beside: Path, **options: object) -> list[Seed]:
    """One file, with those that belong to it; nothing where it is not there."""
    if not path.is_file():
        return []
    files = {each.name: each.read_bytes() for each in (path, *beside)}
    return [Seed(name, files, options={"file": path.name, **options})]
