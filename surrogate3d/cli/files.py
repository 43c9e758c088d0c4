"""Small files of the command line: selections and JSON results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogate3d.errors import FormatError, StoreError

if TYPE_CHECKING:
    from surrogate3d.sampling import Selection


def require_free(path: Path | None, overwrite: bool) -> None:
    """Refuse an output that exists before anything is computed for it.

    Raises:
        StoreError: `path` exists and is not to be replaced.
    """
    if path is not None and os.path.lexists(path) and not overwrite:
        raise StoreError(f"{path} exists already and is not overwritten; choose another name or give --overwrite")


def write_json(path: Path, data: Mapping[str, Any], overwrite: bool) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
    """
    from surrogate3d.io.atomic import atomic_file

    with atomic_file(path, overwrite) as scratch:
        scratch.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_selection(path: Path) -> Selection:
    """Read what `sample` wrote.

    Raises:
        StoreError: there is no such file.
        FormatError: it is not a selection.
    """
    from surrogate3d.sampling import Selection

    if not path.is_file():
        raise StoreError(f"no selection at {path}; make one with `surrogate3d sample`")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is not a selection: {error}; make it again with `surrogate3d sample`") from error
    if not isinstance(data, dict):
        raise FormatError(f"{path} is not a selection: expected a JSON object; make it with `surrogate3d sample`")
    return Selection.from_json(data)
