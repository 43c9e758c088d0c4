"""One map, from whatever holds it: image, folder of maps, field store, RT Dose, TOPAS scorer, plan of pyRadPlan.

What a file says about itself is held against what is asked for: a physical dose is no D_RBE, a map of RBE no dose, a
dose in the scale of a simulation no dose in Gy. What it leaves open is what the user says it is, and stands in words
in `ReferenceMap.origin`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from surrogate3d.errors import FormatError, GeometryError, QuantityError, StoreError, UnknownNameError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.dicom_dose import DoseHeader, RtDose, read_dose_header, read_rtdose
from surrogate3d.io.field_store import field_id, read_dose_field
from surrogate3d.io.images import MAPS_SCHEMA, image_notes, read_image, read_map
from surrogate3d.io.itk_images import data_file
from surrogate3d.io.manifest import MANIFEST_NAME, sha256_file
from surrogate3d.io.map_files import SUFFIX, ZARR_NAME
from surrogate3d.io.topas_header import ScorerHeader, read_header
from surrogate3d.io.topas_quantity import Meaning
from surrogate3d.pipeline.topas_images import ImageRequest, topas_image

MAPS_JSON = "maps.json"
IMAGES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
DOSES = ("dose_to_water", "dose_to_medium")
SIMULATED = "in the scale of the simulated histories"

_SCORERS = (".csv", ".binheader", ".bin")
_KINDS = ("mha", "nrrd", "nifti", "nii", "zarr")  # float32 with positions in double precision first
_UNITLESS: dict[str, Meaning] = {"RBE": "rbe", "survival": "survivalfraction"}
_WEIGHTED = ("D_RBE", "BED", "EQD2")
_PYRADPLAN = {
    "rbe_x_dose": ("D_RBE",),
    "rbe": ("RBE",),
    "let": ("LET_d",),
    "physical_dose": DOSES,
    "effect": ("effect",),
}
_DOSEGRID = "_dosegrid_"


@dataclass(frozen=True, eq=False)
class ReferenceMap:
    """A map with what is known about it.

    Attributes:
        volume: values on their grid; NaN where there are none.
        origin: what it was read from, and what was taken for granted, in words.
        sha256: of the file that holds it; of several files, of their lines "digest  name", as `sha256sum` prints them;
            of a field store, its id.
        absolute: whether a dose is in Gy, and not in the scale of a simulation.
        frame: UID of the frame of reference of an RT Dose; empty where it is not known.
    """

    volume: Volume
    origin: str
    sha256: str
    absolute: bool = True
    frame: str = ""


def read_any_map(path: Path, name: str) -> ReferenceMap:
    """Read a map where it is.

    Args:
        path: an image (NIfTI, MetaImage, NRRD); a folder of maps of `predict`, `direct` or `let`; a field store; an RT
            Dose; a scorer of TOPAS (`.csv`, `.binheader` or `.bin`, beside its parameter file); a folder of one plan
            of pyRadPlan, or one of its images.
        name: of the quantity that it holds, by `grid.QUANTITIES`.

    Raises:
        UnknownNameError: there is no such quantity, or the folder does not hold it.
        StoreError: there is nothing at the path.
        QuantityError: the file says that it holds something else, or in another unit.
        GeometryError: where the values lie is not known.
        Surrogate3dError: the file is damaged, or of a kind that is not read.
    """
    quantity(name)
    if not path.exists():
        raise StoreError(f"there is no map at {path}; check the path")
    if path.is_dir():
        return _of_folder(path, name)
    if path.name.endswith(IMAGES):
        return _of_image(path, name)
    return _of_scorer(path, name) if path.suffix.lower() in _SCORERS else _of_rtdose(path, name)


def maps_json(folder: Path) -> dict[str, Any]:
    """What `maps.json` of a folder of maps says.

    Raises:
        FormatError: it is damaged, or not ours.
    """
    try:
        about = json.loads((folder / MAPS_JSON).read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{folder / MAPS_JSON} is not JSON: {error}; predict the maps again") from error
    if not isinstance(about, dict) or about.get("schema") != MAPS_SCHEMA:
        raise FormatError(f"{folder / MAPS_JSON} does not describe our maps, expected schema {MAPS_SCHEMA}")
    return about


def require_map_unit(about: Mapping[str, Any], name: str, where: Path) -> None:
    """Refuse maps that do not hold a quantity in its unit.

    Args:
        about: of `maps_json`.
        name: of the quantity.
        where: for the message.

    Raises:
        UnknownNameError: there is no such map.
        QuantityError: it is in another unit.
    """
    if name not in about["maps"]:
        raise UnknownNameError(f"{where} has no map {name!r}; it has {', '.join(about['maps'])}")
    found, expected = about["maps"][name]["unit"], quantity(name).unit
    if found != expected:
        raise QuantityError(f"{where}: {name} is in {found}, expected {expected}; predict the maps again")


def _of_folder(path: Path, name: str) -> ReferenceMap:
    if (path / MAPS_JSON).is_file():
        return _of_maps(path, name)
    if (path / MANIFEST_NAME).is_file():
        return _of_field(path, name)
    if any(path.glob(f"*{_DOSEGRID}*.mha")):
        return _of_image(_pyradplan_file(path, name), name)
    raise FormatError(
        f"{path} is no folder of maps ({MAPS_JSON}), no field store ({MANIFEST_NAME}) and no plan of pyRadPlan "
        f"(NAME{_DOSEGRID}rbe_x_dose.mha); give the file that holds the map"
    )


def _of_maps(folder: Path, name: str) -> ReferenceMap:
    about = maps_json(folder)
    require_map_unit(about, name, folder)
    kind = next((kind for kind in _KINDS if name + SUFFIX.get(kind, "") in _files(about, kind, name)), None)
    if kind is None:
        raise StoreError(f"{folder / MAPS_JSON} lists no file of {name}; predict the maps again")
    volume = Volume(Grid.from_json(about["grid"]), read_map(folder, name, kind), quantity(name))
    return _of_files(volume, _said_of_maps(about, name, kind, folder), _parts(folder, name, kind))


def _files(about: dict[str, Any], kind: str, name: str) -> list[str]:
    """Files of maps as listed; the group of all maps stands for each of them."""
    listed = list(about["files"])
    return [*listed, name] if kind == "zarr" and ZARR_NAME in listed else listed


def _parts(folder: Path, name: str, kind: str) -> list[Path]:
    if kind != "zarr":
        return [folder / (name + SUFFIX[kind])]
    return sorted(file for file in (folder / ZARR_NAME / name).rglob("*") if file.is_file())


def _said_of_maps(about: dict[str, Any], name: str, kind: str, folder: Path) -> str:
    words, metadata = [f"map {name} of {folder.name}"], about["metadata"]
    if line := metadata.get("cell_line"):
        words.append(f"cell line {line['name']}")
    if metadata.get("fraction_dose_gy"):
        words.append(f"{metadata.get('fractions', 1)} x {metadata['fraction_dose_gy']:g} Gy")
    stored = about["maps"][name].get("int16", {}) if kind in ("nifti", "nii") else {}
    if stored.get("nan_stored_as") is not None:
        words.append(f"voxels without an answer were stored as {stored['nan_stored_as']:g} and count as that")
    return ", ".join(words)


def _of_field(path: Path, name: str) -> ReferenceMap:
    field = read_dose_field(path)
    if name not in field.volumes:
        raise UnknownNameError(f"{path} has no {name!r}; it has {', '.join(field.volumes)}")
    absolute = field.prescription is not None or quantity(name).unit != "Gy"
    scale = "" if absolute else ", in arbitrary scale"
    return ReferenceMap(field.volumes[name], f"{name} of the field store {path.name}{scale}", field_id(path), absolute)


def _pyradplan_file(folder: Path, name: str) -> Path:
    """The one image of a folder of pyRadPlan that holds a quantity."""
    word = next((word for word, names in _PYRADPLAN.items() if name in names), "")
    found = sorted(folder.glob(f"*{_DOSEGRID}{word}.mha")) if word else []
    if len(found) != 1:
        have = ", ".join(sorted(file.name for file in folder.glob(f"*{_DOSEGRID}*.mha")))
        raise StoreError(f"{folder} holds {len(found)} maps of {name}; it has {have}: give one of them by its path")
    return found[0]


def _of_image(path: Path, name: str) -> ReferenceMap:
    words = [path.name]
    if (path.parent / MAPS_JSON).is_file() and path.name in maps_json(path.parent)["files"]:
        own = path.name.split(".")[0]
        if own != name:
            raise QuantityError(f"{path} is the map of {own}, not of {name}; name that quantity")
        require_map_unit(maps_json(path.parent), name, path)
    elif _DOSEGRID in path.name:
        said = path.name.split(".")[0].rpartition(_DOSEGRID)[2]
        if name not in _PYRADPLAN.get(said, (name,)):
            raise QuantityError(f"{path} is pyRadPlan's {said!r}, not {name}; name that quantity")
        words.append("by pyRadPlan, which does not state of how many fractions")
    else:
        words.append(f"taken as {name} in {quantity(name).unit}, as given; an image does not say what it holds")
    volume = read_image(path, quantity(name))  # before its header is asked: a damaged file is refused here
    words[1:1] = image_notes(path)
    values = data_file(path) if path.suffix in (".mha", ".mhd") else None
    return _of_files(volume, "; ".join(words), [path, *([values] if values else [])])


def _of_rtdose(path: Path, name: str) -> ReferenceMap:
    header = read_dose_header(path)
    _require_agreement(header, name)
    dose = _read_as(path, header, name)
    if dose.volume.quantity.name != name:
        raise QuantityError(f"{path} holds {dose.volume.quantity.name}, not {name}; name that quantity")
    simulated = header.manufacturer.startswith("TOPAS") and name in DOSES
    words = [f"RT Dose {path.name}", f"DoseType {header.dose_type or 'not said'}", *dose.notes]
    found = _of_files(dose.volume, "; ".join([*words, *([SIMULATED] if simulated else [])]), [path])
    absolute = dose.dose_units != "RELATIVE" and not simulated
    return replace(found, absolute=absolute, frame=header.frame_of_reference_uid)


def _read_as(path: Path, header: DoseHeader, name: str) -> RtDose:
    """Of a dose DICOM leaves the medium open, of anything else all but an RBE-weighted dose; the user says it."""
    if name in DOSES:
        return read_rtdose(path, medium="water" if name == DOSES[0] else "medium")
    if name == "D_RBE" and header.dose_type == "EFFECTIVE":
        return read_rtdose(path)
    return read_rtdose(path, as_quantity=name)


def _require_agreement(header: DoseHeader, name: str) -> None:
    """Refuse what the type of the dose, or our own series description, contradicts."""
    own = header.series_description.split()
    if len(own) > 1 and own[0] == "surrogate3d" and own[1] != name:
        raise QuantityError(f"{header.path} was written here as {own[1]}, not as {name}; name that quantity")
    kind = {"PHYSICAL": "physical dose", "EFFECTIVE": "dose weighted by a biological model"}.get(header.dose_type)
    if (header.dose_type == "PHYSICAL" and name in _WEIGHTED) or (header.dose_type == "EFFECTIVE" and name in DOSES):
        raise QuantityError(
            f"{header.path}: DoseType {header.dose_type} is a {kind}, not {name}; export the one that is meant, or "
            "name the quantity that it holds"
        )


def _of_scorer(path: Path, name: str) -> ReferenceMap:
    header_path = path.with_suffix(".binheader") if path.suffix.lower() == ".bin" else path
    header = read_header(header_path)
    parameters = path.parent / Path(header.parameter_file or "parameters").name
    if not parameters.is_file():
        raise GeometryError(
            f"{path}: where the scorer lies stands in its parameter file {parameters.name}, which is not beside it; "
            "copy it there, or place the scorer with `surrogate3d topas image --origin` and give that image"
        )
    request = ImageRequest(parameters=parameters, meaning=_meaning(header, name, path))
    with TemporaryDirectory() as scratch:  # TOPAS scorers become images in one way only
        image = Path(scratch) / "scorer.nii"
        about = topas_image(path, image, request)
        volume = read_image(image, quantity(name))
    if about["quantity"] != name:
        raise QuantityError(f"{path}: {header.quantity} is {about['quantity']}, not {name}; name that quantity")
    absolute = name not in DOSES
    scale = () if absolute else (SIMULATED,)
    words = (f"TOPAS scorer {header.scorer} ({header.quantity}) of {path.name}", *scale, *about["notes"])
    files = [header_path, *([header_path.with_suffix(".bin")] if header_path.suffix.lower() == ".binheader" else [])]
    return replace(_of_files(volume, "; ".join(words), files), absolute=absolute)


def _meaning(header: ScorerHeader, name: str, path: Path) -> Meaning | None:
    """What an RBE scorer without unit holds: its header does not tell, what is asked for does."""
    if not header.quantity.startswith("RBE_") or header.unit != "1":
        return None
    if name not in _UNITLESS:
        raise QuantityError(
            f"{path}: {header.quantity} without unit is RBE or surviving fraction, not {name}; have TOPAS score "
            "rbe_x_dose for D_RBE"
        )
    return _UNITLESS[name]


def _of_files(volume: Volume, origin: str, files: Sequence[Path]) -> ReferenceMap:
    digests = [sha256_file(file) for file in files]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(digests, files, strict=True))
    return ReferenceMap(volume, origin, digests[0] if len(digests) == 1 else sha256(lines.encode()).hexdigest())
