"""What stands beside files that are handed over: each with its checksum and meaning, for programs and for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import surrogate3d
from surrogate3d.grid import Grid, quantity
from surrogate3d.io.manifest import sha256_file
from surrogate3d.io.map_writer import MAPS_NAME
from surrogate3d.io.segmentation import Place
from surrogate3d.pipeline.handover_segments import Part, Parts

SCHEMA = "surrogate3d.handover/1"
INDEX_NAME, LABELS, MAPS, PLAN = "index.json", "labels.seg.nrrd", "maps", "plan"

_KINDS = {
    ".nrrd": "image of float32 in LPS",
    ".dcm": "DICOM RT Dose",
    ".json": "what DICOM has no place for",
}


def index_of(
    folder: Path, grid: Grid, about: Mapping[str, Any], found: Parts, places: Sequence[Place]
) -> dict[str, Any]:
    """What `index.json` says of the files that are in a folder.

    Args:
        folder: with all files but the index and the readme.
        grid: of all images.
        about: field id, name of the plan, what voxels without an answer are, and what the maps stand under.
        found: segments, problems and notes.
        places: of the segments in their file.
    """
    dicoms = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))]
    notes = dict.fromkeys(note for each in dicoms for note in each.get("notes", ()))  # each once, in their order
    return {
        "schema": SCHEMA,
        "software": f"surrogate3d {surrogate3d.__version__}",
        **about,
        "grid": grid.to_json(),
        "files": list(_files(folder)),
        "segments": [_segment(part, place, grid) for part, place in zip(found.parts, places, strict=True)],
        "problems": [problem.to_json() for problem in found.problems],
        "notes": [*found.notes, *notes],
    }


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        yield {"file": name, "sha256": sha256_file(path), "bytes": path.stat().st_size, **_meaning(name)}


def _meaning(name: str) -> dict[str, str]:
    if name == LABELS:
        return {"kind": "segmentation of 3D Slicer", "what": "regions, structures and masks, listed under segments"}
    where, _, file = name.partition("/")
    if file == MAPS_NAME:
        return {"kind": "description", "what": "units, definitions and ranges, and what the values stand under"}
    stem, _, suffix = file.rpartition(".")
    known = quantity(stem)
    what = known.definition if where == MAPS else f"{known.definition}; of the plan, as it was simulated"
    return {"kind": _KINDS[f".{suffix}"], "quantity": stem, "symbol": known.symbol, "unit": known.unit, "what": what}


def _segment(part: Part, place: Place, grid: Grid) -> dict[str, Any]:
    voxels = int(np.count_nonzero(part.segment.mask))
    return {
        "name": part.segment.name,
        "kind": part.kind,
        "layer": place.layer,
        "label": place.label,
        "colour": part.segment.colour,
        "voxels": voxels,
        "volume_cm3": voxels * grid.voxel_volume_mm3 / 1000,
        "what": part.meaning,
    }


def readme_of(index: Mapping[str, Any]) -> str:
    """The same for people."""
    line = index["parameters"].get("cell_line") or {}
    stands = [f"plan {index['plan']}, field {index['field_id'][:12]}"]
    if line:
        stands.append(
            f"cell line {line['name']}, alpha_x {line['alpha_x']:.4g} 1/Gy, beta_x {line['beta_x']:.4g} 1/Gy^2"
        )
    if index["parameters"].get("fraction_dose_gy"):
        fractions = index["parameters"].get("fractions", 1)
        stands.append(f"{fractions} x {index['parameters']['fraction_dose_gy']:g} Gy")
    return "\n".join(
        (
            "Maps of a radiation field, for 3D Slicer and planning systems. For research only.",
            "",
            *(f"  {words}" for words in stands),
            f"  written by {index['software']}; all images are on one grid, in LPS, mm",
            f"  voxels without an answer are {index['outside']} in NRRD, and 0 in RT Dose",
            "",
            "Files (SHA-256 in index.json)",
            *(f"  {each['file']:<28}{_described(each)}" for each in index["files"]),
            "",
            f"Segments of {LABELS}",
            *(f"  {each['name']:<28}{each['volume_cm3']:.3f} cm3; {each['what']}" for each in index["segments"]),
            "",
            "Problems",
            *([f"  {each['sentence']}" for each in index["problems"]] or ["  none"]),
            "",
            "Notes",
            *(f"  {note}" for note in index["notes"]),
            "",
            "How to load them: 3D Slicer opens NRRD and the segmentation with Add Data, RT Dose with the DICOM module",
            "and the extension SlicerRT. docs/slicer.md of surrogate3d says more.",
            "",
        )
    )


def _described(file: Mapping[str, Any]) -> str:
    if "quantity" not in file:
        return f"{file['kind']}: {file['what']}"
    unit = "" if file["unit"] == "1" else f", {file['unit']}"
    return f"{file['kind']}: {file['symbol']}{unit}" + ("" if file["file"].endswith(".json") else f"; {file['what']}")
