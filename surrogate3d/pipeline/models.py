"""Models by path or by the name under which they are shipped."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from surrogate3d.errors import UnknownNameError


def shipped() -> tuple[str, ...]:
    """Names of the shipped models."""
    folder = _folder()
    if not folder.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in folder.iterdir() if (entry / "manifest.json").is_file()))


def resolve(name_or_path: str | Path) -> Path:
    """Path of a model bundle.

    Args:
        name_or_path: a path, or a name of `shipped()`. A name wins over a path of the same name; write ./NAME for that.

    Raises:
        UnknownNameError: neither a shipped name nor an existing path.
    """
    if str(name_or_path) in shipped():
        return _folder() / str(name_or_path)
    path = Path(name_or_path)
    if not path.exists():
        known = ", ".join(shipped()) or "none"
        raise UnknownNameError(
            f"no model bundle at {path}, nor a shipped one of that name; shipped: {known}; "
            f"check the path or make one with `surrogate3d train`"
        )
    return path


def _folder() -> Path:
    return Path(str(files("surrogate3d.model"))) / "data"
