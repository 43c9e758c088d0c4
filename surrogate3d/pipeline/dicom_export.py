"""A predicted map, an image or a field's dose as DICOM RT Dose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from surrogate3d.errors import PrescriptionError, QuantityError, StoreError, UnknownNameError
from surrogate3d.grid import Volume, quantity
from surrogate3d.io.dicom_write import RtDoseOptions, write_rtdose
from surrogate3d.io.field_store import field_id, read_dose_field
from surrogate3d.io.images import read_image, read_maps
from surrogate3d.pipeline.any_map import MAPS_JSON, maps_json, require_map_unit
from surrogate3d.pipeline.map_summary import comment


def export_dose(
    source: Path, output: Path, name: str, options: RtDoseOptions | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Write one quantity as RT Dose.

    Args:
        source: a directory of maps, one of its images, another image (`.nii.gz`, `.mha`, `.nrrd`), or a field store.
        output: a `.dcm` file, or the directory in which `<name>.dcm` is written.
        name: which quantity; of an image that is not one of our maps, what its values mean.
        options: as for `io.dicom_write.write_rtdose`; comment and parameters are added from `source`.
        overwrite: replace an older output.

    Returns:
        What the JSON file beside the DICOM file says, with `output` and `source`.

    Raises:
        UnknownNameError: `source` has no such quantity.
        QuantityError: an image of our maps is of another quantity, or in another unit.
        PrescriptionError: a dose in arbitrary scale.
        Surrogate3dError: as for `io.dicom_write.write_rtdose`.
    """
    volume, comment, parameters = _load(source, name)
    path = output if output.suffix == ".dcm" else output / f"{name}.dcm"
    given = options or RtDoseOptions()
    how = replace(given, comment=(*comment, *given.comment), parameters={**parameters, **given.parameters})
    about = write_rtdose(volume, path, how, overwrite)
    return {**{key: value for key, value in about.items() if key != "schema"}, "output": path, "source": source}


def _load(source: Path, name: str) -> tuple[Volume, tuple[str, ...], dict[str, Any]]:
    """Volume, words for the comment by importance, and parameters."""
    if (source / MAPS_JSON).is_file():
        about = maps_json(source)
        return _of_maps(source, name, about), comment(about["metadata"]), about["metadata"]
    if source.is_dir():
        return _of_field(source, name)
    listed = maps_json(source.parent) if (source.parent / MAPS_JSON).is_file() else {}
    if source.name not in listed.get("files", []):
        return read_image(source, quantity(name)), (), {"image": source.name}
    if source.name.split(".")[0] != name:
        raise QuantityError(f"{source} is the map of {source.name.split('.')[0]}, not of {name}; name that quantity")
    require_map_unit(listed, name, source)
    return read_image(source, quantity(name)), comment(listed["metadata"]), listed["metadata"]


def _of_maps(folder: Path, name: str, about: Mapping[str, Any]) -> Volume:
    require_map_unit(about, name, folder)
    # MetaImage before NIfTI: it keeps positions in double precision
    files = [f"{name}.mha", f"{name}.nrrd", f"{name}.nii.gz", f"{name}.nii"]
    for file in files:
        if file in about["files"]:
            return read_image(folder / file, quantity(name))
    if "maps.zarr" in about["files"]:
        return read_maps(folder)[name]
    raise StoreError(f"{folder / MAPS_JSON} lists no file of {name}; predict the maps again")


def _of_field(path: Path, name: str) -> tuple[Volume, tuple[str, ...], dict[str, Any]]:
    field = read_dose_field(path)
    if name not in field.volumes:
        raise UnknownNameError(f"{path} has no {name!r}; it has {', '.join(field.volumes)}")
    if field.prescription is None and quantity(name).unit == "Gy":
        raise PrescriptionError(
            f'{path}: its dose is in arbitrary scale, not in Gy; convert again with --prescribe "2 Gy" --at p50 '
            "--box ... or with --dose-scale"
        )
    definition = field.let_definitions.get(name)
    identifier = field_id(path)
    parameters = {
        "field_id": identifier,
        "prescription": asdict(field.prescription) if field.prescription else None,
        "let_definition": asdict(definition) if definition else None,
        "beams": [asdict(beam) for beam in field.beams],
    }
    prescribed = field.prescription.dose_gy if field.prescription else None
    words = (f"{prescribed:g} Gy prescribed",) if prescribed is not None else ()
    return field.volumes[name], (*words, f"field {identifier[:8]}"), parameters
