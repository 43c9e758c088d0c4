"""DICOM RT Dose (PS3.3 C.8.8.3): a dose grid with its place, its unit and what kind of dose it is.

Columns run fastest, then rows, then frames, so stored values are (frame, row, column) and ours (column, row, frame).
DICOM does not say to which medium a dose is; the reader is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.dicom_dataset import RTDOSE, DicomFile, even_spacing, open_dicom, orientation_of, pixels_of

Medium = Literal["water", "medium"]
DoseUnit = Literal["GY", "RELATIVE"]

QUANTITIES_IN_RTDOSE = ("dose_to_water", "dose_to_medium", "D_RBE", "BED", "EQD2", "LET_d", "LET_t", "RBE")
"""What an RT Dose object may be said to hold; all but the first two are not absorbed dose."""

# No standard object carries LET or biological quantities, so they travel in RT Dose with a word in a comment.
_NO_DOSE = re.compile(
    r"(?<![A-Z])LET(?![A-Z])|(?i:(?<![a-z])(?:let[_ ]?[dt]?|rbe|rbexd|bed|eqd2)(?![a-z])|linear energy transfer)"
)
_MEDIUM = re.compile(r"dose[ _-]?to[ _-]?(water|medium)", re.IGNORECASE)
_TOPAS_UNIT = re.compile(r"\[(.*)\]$")  # SeriesDescription of TOPAS: "<scorer> [<unit>]"


@dataclass(frozen=True, eq=False)
class DoseHeader:
    """What an RT Dose object says about itself; empty texts where it says nothing.

    Attributes:
        path: the file.
        grid: where its voxels are.
        units: "GY", "RELATIVE" or "".
        dose_type: "PHYSICAL", "EFFECTIVE", "ERROR" or "".
        summation_type: "PLAN", "BEAM", "FRACTION" and others, or "".
        comment: DoseComment.
        series_description: SeriesDescription.
        frame_of_reference_uid: which patient coordinate system the positions are in.
        sop_instance_uid: of the object.
        plan_uids: SOP instance UIDs of the referenced plans.
        beam_numbers: referenced beams, of a dose of beams.
        manufacturer: who wrote it, with the model.
    """

    path: Path
    grid: Grid
    units: str
    dose_type: str
    summation_type: str
    comment: str
    series_description: str
    frame_of_reference_uid: str
    sop_instance_uid: str
    plan_uids: tuple[str, ...]
    beam_numbers: tuple[int, ...]
    manufacturer: str


@dataclass(frozen=True, eq=False)
class RtDose:
    """An RT Dose object with its values.

    Attributes:
        header: what it says about itself.
        volume: (i, j, k) values, with the quantity that they are.
        dose_units: "GY", "RELATIVE" (arbitrary scale), or "" for a quantity that is no dose.
        notes: what a user should know, one sentence each.
    """

    header: DoseHeader
    volume: Volume
    dose_units: str
    notes: tuple[str, ...]


def read_rtdose(
    path: str | Path,
    *,
    medium: Medium | None = None,
    as_quantity: str | None = None,
    unit_given: DoseUnit | None = None,
) -> RtDose:
    """Read an RT Dose object.

    Args:
        path: the file.
        medium: what a physical dose is absorbed in, "water" or "medium"; the file does not say it.
        as_quantity: says what the values are, one of `QUANTITIES_IN_RTDOSE`, against what the file says.
        unit_given: the dose unit, for files that have none (TOPAS before 4.2.1).

    Raises:
        StoreError, FormatError: no such file, or it is damaged.
        UnsupportedError: another object, no voxel doses (only histograms), or a compression that is not read.
        GeometryError: the planes are irregular, or their positions are contradictory.
        QuantityError: the file leaves open what it holds, or holds something else than is asked for.
        ValueRangeError: negative doses.
    """
    file, header = _open(path)
    name, notes = _quantity_name(header, medium, as_quantity)
    units, more = _units(header, name, unit_given)
    values = _values(file)
    if values.min() < 0:
        at = tuple(int(n) for n in np.unravel_index(int(values.argmin()), values.shape))
        raise ValueRangeError(f"{path}: negative {name} {values.min():g} at voxel {at}; expected none below 0")
    return RtDose(header, Volume(header.grid, values, quantity(name)), units, (*notes, *more))


def read_dose_header(path: str | Path) -> DoseHeader:
    """What an RT Dose object says about itself, without its values.

    Raises:
        StoreError, FormatError, UnsupportedError, GeometryError: as `read_rtdose`.
    """
    return _open(path)[1]


def taken_for(header: DoseHeader) -> str:
    """What `read_rtdose` takes the values for when nothing else is said, in words."""
    said = _MEDIUM.search(f"{header.comment} | {header.series_description}")
    try:
        name, _ = _quantity_name(header, said[1].lower() if said else "water", None)
    except QuantityError as error:
        return f"nothing until you say what it is: {error}"
    return "D_RBE" if name == "D_RBE" else "physical dose"


def largest_value(path: str | Path) -> float:
    """The largest value of an RT Dose object, in its own unit.

    Raises:
        StoreError, FormatError, UnsupportedError, GeometryError: as `read_rtdose`.
    """
    return float(_values(_open(path)[0]).max())


def _open(path: str | Path) -> tuple[DicomFile, DoseHeader]:
    file = open_dicom(path, (RTDOSE,))
    if not file.has("Rows") or "PixelData" not in file.dataset:
        raise UnsupportedError(f"{path} holds no doses of voxels (perhaps only histograms); export the dose grid")
    plans = file.items("ReferencedRTPlanSequence")
    groups = [group for plan in plans for group in plan.items("ReferencedFractionGroupSequence")]
    beams = {beam.whole("ReferencedBeamNumber") for group in groups for beam in group.items("ReferencedBeamSequence")}
    header = DoseHeader(
        path=file.path,
        grid=_grid(file),
        units=file.text("DoseUnits").upper(),
        dose_type=file.text("DoseType").upper(),
        summation_type=file.text("DoseSummationType").upper(),
        comment=file.text("DoseComment"),
        series_description=file.text("SeriesDescription"),
        frame_of_reference_uid=file.text("FrameOfReferenceUID"),
        sop_instance_uid=file.text("SOPInstanceUID"),
        plan_uids=tuple(plan.text("ReferencedSOPInstanceUID") for plan in plans),
        beam_numbers=tuple(sorted(beams)),
        manufacturer=f"{file.text('Manufacturer')} {file.text('ManufacturerModelName')}".strip(),
    )
    return file, header


def _quantity_name(header: DoseHeader, medium: str | None, as_quantity: str | None) -> tuple[str, list[str]]:
    """Name of the quantity, and what there is to say about it."""
    if header.dose_type == "ERROR":
        raise QuantityError(
            f"{header.path}: DoseType ERROR is an uncertainty of dose, not a dose; give the dose itself"
        )
    if header.dose_type not in ("PHYSICAL", "EFFECTIVE", ""):
        raise QuantityError(f"{header.path}: unknown DoseType {header.dose_type!r}; expected PHYSICAL or EFFECTIVE")
    if as_quantity is not None:
        return _as_told(header, as_quantity)
    unit = _TOPAS_UNIT.search(header.series_description)
    if header.manufacturer.startswith("TOPAS") and unit and unit[1] != "Gy":
        raise QuantityError(f"{header.path}: TOPAS scored it in {unit[1]!r}, so it is no dose; say what it is")
    word = _NO_DOSE.search(f"{header.comment} | {header.series_description}")
    if word and not (header.dose_type == "EFFECTIVE" and word[0].upper().startswith("RBE")):
        raise QuantityError(
            f"{header.path}: its comment or series description says {word[0]!r} ({header.comment or '-'} | "
            f"{header.series_description or '-'}), so it may be no dose; say what it is "
            f"({', '.join(QUANTITIES_IN_RTDOSE)})"
        )
    if header.dose_type == "EFFECTIVE":
        return "D_RBE", ["DoseType EFFECTIVE: the dose is weighted by a biological model that the file does not name"]
    if medium is None:
        raise QuantityError(
            f"{header.path}: DICOM does not say whether a dose is to water or to medium; say which (water or medium)"
        )
    if medium not in ("water", "medium"):
        raise QuantityError(f"a dose is to 'water' or to 'medium', found {medium!r}")
    said = _MEDIUM.search(f"{header.comment} | {header.series_description}")
    if said and said[1].lower() != medium:
        raise QuantityError(f"{header.path} says {said[0]!r}, given was {medium}; say what it is if the file is wrong")
    untold = "the file has no DoseType; it is taken as physical dose, as given"
    return f"dose_to_{medium}", [] if header.dose_type else [untold]


def _as_told(header: DoseHeader, name: str) -> tuple[str, list[str]]:
    if name not in QUANTITIES_IN_RTDOSE:
        raise QuantityError(f"an RTDOSE cannot be read as {name!r}; known: {', '.join(QUANTITIES_IN_RTDOSE)}")
    if name.startswith("dose_to") and header.dose_type == "EFFECTIVE":
        raise QuantityError(
            f"{header.path}: DoseType EFFECTIVE is an RBE-weighted dose, not {name}; export the physical dose"
        )
    return name, [f"read as {name}, as given; the file says DoseType {header.dose_type or 'nothing'}"]


def _units(header: DoseHeader, name: str, unit_given: str | None) -> tuple[str, list[str]]:
    if name in ("LET_d", "LET_t", "RBE"):
        return "", [f"values are taken in {quantity(name).unit}, whatever DoseUnits say ({header.units or 'nothing'})"]
    if header.units and unit_given and header.units != unit_given:
        raise QuantityError(f"{header.path}: DoseUnits are {header.units}, given was {unit_given}; leave it out")
    units = header.units or unit_given or ""
    if units not in ("GY", "RELATIVE"):
        raise QuantityError(
            f"{header.path}: DoseUnits should be GY or RELATIVE, found {units or 'nothing'}; give it if you know it"
        )
    notes = [] if header.units else [f"the file has no DoseUnits; {units} as given"]
    return units, notes + (["DoseUnits RELATIVE: the dose is in arbitrary scale"] if units == "RELATIVE" else [])


def _values(file: DicomFile) -> npt.NDArray[np.floating[Any]]:
    """(i, j, k) stored values times DoseGridScaling; 32-bit values do not fit into float32."""
    scaling = float(file.numbers("DoseGridScaling", 1)[0])
    if scaling <= 0:
        raise FormatError(f"{file.path}: DoseGridScaling must be positive, found {scaling:g}; export it again")
    stored = pixels_of(file).transpose(2, 1, 0)
    bits = file.whole("BitsAllocated")
    if file.whole("BitsStored", bits) != bits:
        raise FormatError(
            f"{file.path}: a dose uses all bits that are allocated (PS3.3, C.8.8.3), found "
            f"{file.whole('BitsStored')} of {bits}; export it again"
        )
    kind = np.float64 if stored.dtype.itemsize > 2 else np.float32
    return np.ascontiguousarray(stored * scaling, dtype=kind)


def _grid(file: DicomFile) -> Grid:
    cosines = orientation_of(file)
    between_rows, between_columns = (float(n) for n in file.numbers("PixelSpacing", 2))
    offsets = _offsets(file)
    step = even_spacing(offsets, file.path, "frames") if offsets.size > 1 else _thickness(file)
    cosines[:, 2] *= np.sign(step)
    x, y, z = (float(n) for n in file.numbers("ImagePositionPatient", 3))
    rows = tuple((float(a), float(b), float(c)) for a, b, c in cosines)
    shape = (file.whole("Columns"), file.whole("Rows"), offsets.size)
    return Grid(shape, (between_columns, between_rows, abs(step)), (x, y, z), rows)


def _offsets(file: DicomFile) -> npt.NDArray[np.float64]:
    """Offsets of the frames from the first, mm along row x column (C.8.8.3.2, options a and b)."""
    frames = file.whole("NumberOfFrames", 1)
    if frames < 1:
        raise FormatError(f"{file.path}: NumberOfFrames must be positive, found {frames}; export it again")
    if frames == 1:
        return np.zeros(1)
    offsets = file.numbers("GridFrameOffsetVector")
    if offsets.size != frames:
        raise FormatError(f"{file.path}: {frames} frames, but {offsets.size} GridFrameOffsetVector; export it again")
    z = file.numbers("ImagePositionPatient", 3)[2]
    transverse = np.allclose(file.numbers("ImageOrientationPatient", 6), (1, 0, 0, 0, 1, 0), atol=1e-6)
    if offsets[0] == 0:
        return offsets
    if transverse and abs(offsets[0] - z) <= 1e-3:
        return np.asarray(offsets - offsets[0], dtype=np.float64)
    raise GeometryError(
        f"{file.path}: GridFrameOffsetVector begins with {offsets[0]:g}; expected 0, or the z of ImagePositionPatient "
        f"({z:g}) with orientation 1,0,0,0,1,0: the place of the frames is not certain; export it again"
    )


def _thickness(file: DicomFile) -> float:
    """Thickness of a single frame."""
    if not file.has("SliceThickness"):
        raise GeometryError(
            f"{file.path}: one frame without SliceThickness has no extent; export a three-dimensional grid"
        )
    return float(file.numbers("SliceThickness", 1)[0])
