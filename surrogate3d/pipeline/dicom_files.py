"""DICOM in: what files are, doses and CT as images, structures as masks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, QuantityError, StoreError, Surrogate3dError, UnsupportedError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.dicom_ct import density_from_HU, read_ct_series, read_density_table
from surrogate3d.io.dicom_dataset import CT, RTDOSE, RTPLANS, RTSTRUCT, DicomFile, open_dicom
from surrogate3d.io.dicom_dose import largest_value, read_dose_header, taken_for
from surrogate3d.io.dicom_masks import StructureMask, mask_of, volume_of
from surrogate3d.io.dicom_plan import read_rtplan
from surrogate3d.io.dicom_structures import Structure, read_rtstruct, structure_named
from surrogate3d.io.field_store import describe
from surrogate3d.io.images import read_image, write_image
from surrogate3d.io.manifest import has_schema
from surrogate3d.pipeline.dicom_field import DoseAsked, dose_asked, read_asked

MASKS_SCHEMA = "surrogate3d.masks/1"


def info(paths: Sequence[Path]) -> dict[str, Any]:
    """What DICOM files are, and what they would be read as.

    Raises:
        StoreError, FormatError: a file is missing, no DICOM, or damaged.
    """
    return {"files": [_about(path) for path in paths]}


def masks(
    structures: Path,
    output: Path,
    *,
    like: Path,
    names: Sequence[str] = (),
    partial: bool = False,
    slab_mm: float | None = None,
    suffix: str = ".nii.gz",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write one image per structure, whole or not at all.

    Args:
        structures: RT Structure Set.
        output: new folder; it also gets `masks.json`, which says what is returned.
        like: what has the grid: an image, a field store, an RT Dose or the folder of a CT series.
        names: structures wanted; all when empty, and then those that cannot be laid on the grid are reported.
        partial: fractions of voxels instead of 0 and 1 (at least half inside).
        slab_mm: thickness of structures in a single plane.
        suffix: `.nii.gz`, `.nii` or `.mha`.
        overwrite: replace the folder.

    Returns:
        "masks" with name, file, volumes and notes, and "skipped" with name and reason.

    Raises:
        Surrogate3dError: an input cannot be read, a named structure cannot be laid on the grid, or the output exists.
    """
    if overwrite and output.exists() and not has_schema(output / "masks.json", MASKS_SCHEMA):
        raise StoreError(
            f"{output} exists and is not a folder of our masks, so it is not replaced; choose another name"
        )
    grid, frame = grid_like(like)
    found = read_rtstruct(structures)
    wanted = [structure_named(found, name) for name in names] or found
    files = _file_names(wanted, suffix)
    done: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    with atomic_directory(output, overwrite, expected_bytes=4 * grid.n_voxels * len(wanted)) as scratch:
        for structure in wanted:
            try:
                _require_frame(structure, frame, like)
                mask = mask_of(structure, grid, slab_mm)
            except Surrogate3dError as error:
                if names:
                    raise
                skipped.append({"name": structure.name, "reason": str(error)})
                continue
            write_image(_image(mask, partial), scratch / files[structure.number])
            done.append(_written(structure, mask, output / files[structure.number]))
        if not done:
            raise UnsupportedError(f"{structures}: no structure encloses a volume on this grid: {skipped[:3]}")
        found_out = {"grid": grid.to_json(), "partial": partial, "masks": done, "skipped": skipped}
        about = json.dumps({"schema": MASKS_SCHEMA, **found_out}, indent=1, allow_nan=False)
        (scratch / "masks.json").write_text(about + "\n", encoding="utf-8")
    return found_out


def image(
    source: Path,
    output: Path,
    *,
    asked: DoseAsked | None = None,
    density_table: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write an RT Dose, or the CT series of a folder, as one image.

    Args:
        source: RT Dose file, or folder of CT slices.
        output: `.nii.gz`, `.nii`, `.mha` or `.nrrd`.
        asked: what the RT Dose leaves open.
        density_table: file of HU and g/cm3; a CT becomes density by it.
        overwrite: replace the image.

    Returns:
        Quantity, unit, grid, largest value and notes.

    Raises:
        Surrogate3dError: the source cannot be read, or the output exists.
    """
    if source.is_dir():
        ct = read_ct_series(source)
        volume, notes = ct.volume, ct.notes
        if density_table is not None:
            volume = density_from_HU(volume, read_density_table(density_table))
    else:
        if density_table is not None:
            raise QuantityError("a density table goes with a CT series; give the folder of one")
        asked = asked or DoseAsked()
        volume, notes = dose_asked(read_asked(source, asked), asked)
    write_image(volume, output, overwrite)
    return {
        "quantity": volume.quantity.name,
        "unit": volume.quantity.unit,
        "grid": volume.grid.to_json(),
        "maximum": float(np.nanmax(volume.values)),
        "notes": list(notes),
    }


def grid_like(source: Path) -> tuple[Grid, str]:
    """The grid of an image, a field store, an RT Dose or the folder of a CT series, with its frame of reference UID.

    Returns:
        The grid, and the UID; empty where the source does not say it.

    Raises:
        Surrogate3dError: the source cannot be read.
    """
    if source.name.endswith(".zarr") or (source / "manifest.json").is_file():
        return _grid_of_store(source)
    if source.is_dir():
        ct = read_ct_series(source)
        return ct.volume.grid, ct.frame_of_reference_uid
    if source.name.endswith((".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")):
        return read_image(source, quantity("structure")).grid, ""
    header = read_dose_header(source)
    return header.grid, header.frame_of_reference_uid


def _grid_of_store(path: Path) -> tuple[Grid, str]:
    """Grid of a field store, and the frame of reference of the RT Dose that it was converted from."""
    about = describe(path)
    files = about["provenance"].get("files", [])
    frames = {str(file["frame_of_reference_uid"]) for file in files if file.get("frame_of_reference_uid")}
    return Grid.from_json(about["grid"]), frames.pop() if len(frames) == 1 else ""


def _about(path: Path) -> dict[str, Any]:
    file = open_dicom(path)
    kind = file.text("SOPClassUID")
    common = {"file": str(path), "modality": file.text("Modality"), "description": file.text("SeriesDescription")}
    return {**common, **_READERS.get(kind, _about_other)(file)}


def _about_dose(file: DicomFile) -> dict[str, Any]:
    try:
        header = read_dose_header(file.path)
        largest = largest_value(file.path)
    except UnsupportedError as error:
        return {"read_as": f"nothing: {error}"}
    untold = "nothing until you say what it is (no DoseType)"
    return {
        "read_as": taken_for(header) if header.dose_type else untold,
        "grid": header.grid.to_json(),
        "units": header.units or None,
        "dose_type": header.dose_type or None,
        "summation_type": header.summation_type or None,
        "comment": header.comment,
        "beam_numbers": list(header.beam_numbers),
        "maximum": largest,
        "plans": list(header.plan_uids),
    }


def _about_structures(file: DicomFile) -> dict[str, Any]:
    return {"read_as": "structures", "structures": [_about_structure(each) for each in read_rtstruct(file.path)]}


def _about_structure(structure: Structure) -> dict[str, Any]:
    volume: float | None = None
    notes = list(structure.skipped)
    try:
        volume = volume_of(structure) / 1000
    except Surrogate3dError as error:
        notes.append(str(error))
    return {
        "name": structure.name,
        "number": structure.number,
        "type": structure.interpreted_type,
        "contours": len(structure.closed),
        "volume_cm3": volume,
        "notes": notes,
    }


def _about_slice(file: DicomFile) -> dict[str, Any]:
    return {"read_as": "a slice of a CT series (give its folder)", "series_uid": file.text("SeriesInstanceUID")}


def _about_plan(file: DicomFile) -> dict[str, Any]:
    return {"read_as": "plan", **read_rtplan(file.path)}


def _about_other(file: DicomFile) -> dict[str, Any]:
    return {"read_as": "nothing: this kind of object is not read"}


_READERS: dict[str, Callable[[DicomFile], dict[str, Any]]] = {
    RTDOSE: _about_dose,
    RTSTRUCT: _about_structures,
    CT: _about_slice,
    **dict.fromkeys(RTPLANS, _about_plan),
}


def _file_names(structures: Sequence[Structure], suffix: str) -> dict[int, str]:
    """A file name by structure number; names that would be one file get their number."""
    plain = {s.number: re.sub(r"[^\w.+-]+", "_", s.name).strip("._") or "structure" for s in structures}
    folded = [name.casefold() for name in plain.values()]
    return {
        number: (name if folded.count(name.casefold()) == 1 else f"{name}-{number}") + suffix
        for number, name in plain.items()
    }


def _require_frame(structure: Structure, frame: str, like: Path) -> None:
    if frame and structure.frame_of_reference_uid and frame != structure.frame_of_reference_uid:
        raise GeometryError(
            f"structure {structure.name!r} and {like} are in different frames of reference; register them first"
        )


def _image(mask: StructureMask, partial: bool) -> Volume:
    values: npt.NDArray[np.floating[Any]] = mask.volume.values if partial else mask.binary.astype(np.float32)
    return replace(mask.volume, values=values)


def _written(structure: Structure, mask: StructureMask, file: Path) -> dict[str, Any]:
    voxel_cm3 = mask.volume.grid.voxel_volume_mm3 / 1000
    return {
        "name": structure.name,
        "number": structure.number,
        "type": structure.interpreted_type,
        "file": str(file),
        "volume_cm3": mask.volume_mm3 / 1000,
        "on_grid_cm3": float(mask.volume.values.sum(dtype=float)) * voxel_cm3,
        "binary_cm3": float(mask.binary.sum()) * voxel_cm3,
        "notes": list(mask.notes),
    }
