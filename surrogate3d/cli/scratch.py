"""Where simulated voxels go when they are not kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surrogate3d.cli.console import warn


@contextmanager
def ledger_directory(wanted: Path | None, needed: bool) -> Iterator[Path]:
    """The wanted directory, or a temporary one, which is said if voxels will be simulated."""
    if wanted is not None:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="surrogate3d-") as folder:
        if needed:
            warn("the simulated voxels go to a temporary ledger and are not kept; give --ledger DIR to keep them")
        yield Path(folder)
