"""Field stores: with the manifest that tells every damage, and with one that was written again after the damage."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.fuzz.case import Files, Reading, Seed, Target
from benchmarks.fuzz.corpus import files_of, made
from benchmarks.fuzz.mutate import BYTES, FOLDER, TEXT
from benchmarks.fuzz.mutate_formats import json_value
from benchmarks.fuzz.targets_run import field_reading
from surrogate3d.io.convert import convert
from surrogate3d.io.field_store import describe, read_dose_field, write_field
from surrogate3d.io.manifest import MANIFEST_NAME, write_manifest
from tests.io.topas_writer import three_runs

_ATTRIBUTES = {  # what a description may change when the manifest says that it is as written
    "grid": "corners",
    "primary": "primary",
    "beams": "beam",
    "let_definitions": "let_definitions",
    "prescription": "prescription",
    "provenance": "",
    "histories": "histories",
    "n_halves": "half* spectra?half*",
    "beam_axis": "axis",
    "beam_sign": "axis",
    "axes": "edges species",
}


def store_seeds() -> list[Seed]:
    """Two merged runs with halves, and a plan without spectra."""
    shape = (2, 3, 4)
    with tempfile.TemporaryDirectory() as folder:
        field, _ = convert(three_runs(Path(folder), shape))
    whole = made(lambda folder: write_field(field, folder / "a.field.zarr"))
    return [Seed("field", {name.removeprefix("a.field.zarr/"): content for name, content in whole.items()})]


def _manifest_seeds() -> list[Seed]:
    return [Seed(seed.name, seed.files, (MANIFEST_NAME,)) for seed in store_seeds()]


def _description_seeds() -> list[Seed]:
    """Descriptions alone are damaged: nothing but the manifest could tell damage to a chunk."""
    return [
        Seed(seed.name, seed.files, tuple(name for name in sorted(seed.files) if name.endswith("zarr.json")))
        for seed in store_seeds()
    ]


def _read_store(folder: Path, seed: Seed) -> Reading:
    reading = field_reading(read_dose_field(folder))
    about = describe(folder)
    return reading | {"described": {name: about[name] for name in ("histories", "volumes", "n_halves")}}


def seal(files: Files) -> Files:
    """With a manifest that fits the files as they are."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            if name != MANIFEST_NAME:
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / name).write_bytes(content)
        write_manifest(folder)
        return files_of(Path(folder))


def _nothing(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    return set()


def _sealed_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    if name == MANIFEST_NAME:
        return set()
    if name.endswith("zarr.json"):
        return _attributes(name, old, new)
    return set()


def _attributes(name: str, old: bytes, new: bytes) -> set[str]:
    try:
        ours, theirs = json.loads(old), json.loads(new)
    except ValueError:
        return set()
    if name != "zarr.json":
        differ = _different(ours.get("attributes"), theirs.get("attributes")) if isinstance(theirs, dict) else []
        return {f"unit {Path(name).parent.name}", "described"} if differ else set()
    a, b = (tree.get("attributes", {}) if isinstance(tree, dict) else {} for tree in (ours, theirs))
    keys = _different(a.get("surrogate3d"), b.get("surrogate3d") if isinstance(b, dict) else None)
    return {"described", *(pattern for key in keys for pattern in _ATTRIBUTES.get(key, "").split())}


def _different(one: Any, other: Any) -> list[str]:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return []
    return [key for key in set(one) | set(other) if repr(one.get(key)) != repr(other.get(key))]


TARGETS = (
    Target("store", store_seeds, _read_store, (*TEXT, *BYTES, *(json_value,) * 4, *FOLDER), _nothing),
    Target("manifest", _manifest_seeds, _read_store, (*TEXT, *BYTES, *(json_value,) * 8), _nothing),
    Target(
        "resealed",
        _description_seeds,
        _read_store,
        (*BYTES, *(json_value,) * 12, *FOLDER),
        _sealed_may_change,
        share=2,
        sealed=True,
    ),
)
