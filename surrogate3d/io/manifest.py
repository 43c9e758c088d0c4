"""The list of what belongs to a store, with sizes and SHA-256: written last, so that its presence means complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surrogate3d.errors import StoreError

FIELD_SCHEMA = "surrogate3d.field/1"
MANIFEST_NAME = "manifest.json"


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(
    directory: str | Path, schema: str = FIELD_SCHEMA, known: Mapping[str, tuple[str, int]] | None = None
) -> str:
    """List every file of a store in its `manifest.json`.

    Args:
        directory: the store, complete but for the manifest.
        schema: name and version of the store's layout.
        known: SHA-256 and size by relative name of files that need not be read again.

    Returns:
        SHA-256 of the manifest, which identifies the store's whole content.
    """
    directory = Path(directory)
    known = known or {}
    files = {}
    for name in _content(directory):
        size = (directory / name).stat().st_size
        digest, expected = known.get(name) or (sha256_file(directory / name), size)
        if size != expected:
            raise StoreError(f"{directory / name} has {size} bytes, {expected} were written; the disk may be failing")
        files[name] = {"sha256": digest, "size": size}
    manifest = directory / MANIFEST_NAME
    manifest.write_text(json.dumps({"schema": schema, "files": files}, indent=1, sort_keys=True) + "\n")
    return sha256_file(manifest)


def verify(path: str | Path, schema: str = FIELD_SCHEMA, hashes: bool = True) -> str:
    """Check that a store is complete and unchanged.

    Args:
        path: the store.
        schema: the layout that the caller reads.
        hashes: compare SHA-256 too; else only names and sizes.

    Returns:
        SHA-256 of the manifest.

    Raises:
        StoreError: no store, no manifest, another schema, or a file that is missing, changed or not listed.
    """
    path = Path(path)
    listed = _read_manifest(path, schema)["files"]
    content = set(_content(path))
    for name in sorted(content | set(listed)):
        if name not in content:
            raise StoreError(f"{path} is incomplete: {name} is missing; make the store again or copy it whole")
        if name not in listed:
            raise StoreError(f"{path} holds {name}, which its {MANIFEST_NAME} does not list; make the store again")
        _verify_file(path, name, listed[name], hashes)
    return sha256_file(path / MANIFEST_NAME)


def has_schema(path: str | Path, schema: str) -> bool:
    """Whether a JSON file (manifest or sidecar) is of a schema, whatever its version: only then may it be replaced."""
    try:
        found = json.loads(Path(path).read_text())["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return str(found).split("/")[0] == schema.split("/")[0]


def _verify_file(path: Path, name: str, entry: dict[str, Any], hashes: bool) -> None:
    size = (path / name).stat().st_size
    if size != entry["size"]:
        raise StoreError(f"{path} is damaged: {name} has {size} bytes, expected {entry['size']}; make the store again")
    if hashes and sha256_file(path / name) != entry["sha256"]:
        raise StoreError(f"{path} is damaged: {name} differs from its SHA-256 in {MANIFEST_NAME}; make the store again")


def _read_manifest(path: Path, schema: str) -> dict[str, Any]:
    if not path.is_dir():
        raise StoreError(f"no store at {path}: expected a directory with {MANIFEST_NAME}; check the path")
    if not (path / MANIFEST_NAME).is_file():
        raise StoreError(f"{path} has no {MANIFEST_NAME}: not a store, or not written to its end; make it again")
    try:
        manifest = json.loads((path / MANIFEST_NAME).read_text())
        found, files = manifest["schema"], manifest["files"]
        well_formed = all({"size", "sha256"} <= set(entry) for entry in files.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path / MANIFEST_NAME} is not a manifest ({error!r}); make the store again") from error
    if found != schema or not well_formed:
        raise StoreError(f"{path / MANIFEST_NAME} has schema {found!r}, expected {schema!r}; convert the input again")
    return dict(manifest)


def _content(directory: Path) -> list[str]:
    """Relative names of the store's files. Hidden ones (.DS_Store, .nfs...) are the system's: no store reads them."""
    names = (entry.relative_to(directory) for entry in directory.rglob("*") if entry.is_file())
    hidden_free = (name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
    return sorted(name for name in hidden_free if name != MANIFEST_NAME)
