"""A volume as DICOM RT Dose, complete enough for a planning system, with a JSON file of what DICOM has no place for.

The object is the first-generation RT Dose (PS3.3 A.18). It cannot say how an effective dose was calculated (CP-2379),
so cell line, model and fractionation stand in words in Dose Comment, in full in `<name>.json` beside it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Context, Decimal
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from surrogate3d.errors import GeometryError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Volume
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.dicom_modules import LO_LENGTH, DoseWords, Identity, rt_dose, sum_over_plan, sum_without_plan
from surrogate3d.io.dicom_reference import DicomReference

RTDOSE_SCHEMA = "surrogate3d.rtdose/1"

PHYSICAL = {"dose_to_water": "dose to water", "dose_to_medium": "dose to medium"}
EFFECTIVE = {"D_RBE": "D_RBE", "BED": "BED", "EQD2": "EQD2"}
LET = {"LET_d": "LETd keV/um, NOT A DOSE", "LET_t": "LETt keV/um, NOT A DOSE"}

LARGEST_STORED = 2**31 - 1
"""Unsigned 32-bit values stay below the sign bit, so that readers that take them as signed are right too."""

_MOST_FRAMES, _MOST_BYTES = 3855, 2**32 - 2  # offsets of 16 characters and "\" in 64 KiB; Pixel Data's length field

_ANONYMOUS = (
    "no reference: an anonymous patient, a new study and a new frame of reference, so no system can place this dose "
    "in a patient; give a CT slice, dose, structure set or plan of the patient"
)
_NO_PLAN = "no plan: Dose Summation Type is PLAN_OVERVIEW, which older planning systems do not import; give the RT Plan"


@dataclass(frozen=True, kw_only=True)
class RtDoseOptions:
    """What a volume does not say.

    Attributes:
        reference: patient, study, frame of reference and plan, of `io.dicom_reference.read_reference`.
        nan_as: 0.0 stores voxels without an answer as 0, and says so; None refuses them.
        let: write a LET, which is not a dose, as RELATIVE values.
        let_as_gy: with `let`, declare its keV/um as GY, as some programs expect.
        comment: words for Dose Comment, the most important first; those that do not fit are only in the JSON file.
        parameters: plain data for the JSON file: cell line, model, fractions.
        seed: makes the UIDs reproducible, together with `when`.
        when: time of writing; None is now.
    """

    reference: DicomReference | None = None
    nan_as: float | None = None
    let: bool = False
    let_as_gy: bool = False
    comment: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: str | None = None
    when: datetime | None = None


def write_rtdose(
    volume: Volume, path: str | Path, options: RtDoseOptions | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Write a dose as RT Dose: 32-bit unsigned, rounded to the nearest step, explicit VR little endian.

    The index axes are permuted and turned, never resampled, so that columns, rows and frames run as nearly as possible
    along +x, +y, +z: an axis-aligned grid becomes axial. Doses to water and medium are PHYSICAL, D_RBE, BED and EQD2
    EFFECTIVE, both in GY.

    Args:
        volume: an absolute dose in Gy, or a LET.
        path: ends in `.dcm`; `<name>.json` is written beside it.
        options: patient, treatment of NaN and comment.
        overwrite: replace both files.

    Returns:
        What the JSON file says: units, type, scaling, notes, parameters and the SHA-256 of the DICOM file.

    Raises:
        UnsupportedError: another suffix, or a quantity that RT Dose has no place for.
        QuantityError: a LET without `let`.
        ValueRangeError: values are NaN without `nan_as`, infinite or negative.
        GeometryError: the grid is too large, or lies wholly outside the dose that is the reference.
        StoreError: a file exists and is not to be replaced, or the disk is full.
    """
    path, options = Path(path), options or RtDoseOptions()
    if path.suffix != ".dcm":
        raise UnsupportedError(f"{path}: RT Dose is written to .dcm")
    dose_words(volume, 0, options)  # what is no dose needs no advice about its voxels
    require_representable(volume.grid, path)
    if options.reference is not None:
        require_overlap(volume.grid, options.reference, path)
    dose, unanswered = _answered(turned_axial(volume), options.nan_as)
    words = dose_words(dose, unanswered, options)
    scaling = dose_grid_scaling(float(dose.values.max()))
    stored = np.rint(dose.values / float(scaling)).astype(np.uint32)
    identity = Identity(options.when or datetime.now(), options.seed)
    file = rt_dose(stored, scaling, dose.grid, words, options.reference, identity)
    if options.reference is not None and options.reference.plan is not None:
        sum_over_plan(file, options.reference)
    else:
        sum_without_plan(file, options.parameters)
    content = encoded(file)
    about = about_dose(file, dose, unanswered, options, content) | {"file": path.name}
    sidecar = path.with_suffix(".json")
    with atomic_file(path, overwrite, len(content)) as dicom, atomic_file(sidecar, overwrite) as beside:
        dicom.write_bytes(content)
        beside.write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return about


def require_representable(grid: Grid, path: Path) -> None:
    """Refuse a grid that RT Dose does not hold.

    Raises:
        GeometryError: too many voxels along an axis or in all.
    """
    across = max(grid.shape)
    if across > _MOST_FRAMES or 4 * grid.n_voxels > _MOST_BYTES:
        raise GeometryError(
            f"{path}: RT Dose holds up to {_MOST_FRAMES} voxels along an axis and {_MOST_BYTES // 4} in all, found "
            f"{grid.shape}; crop the volume"
        )


def require_overlap(grid: Grid, reference: DicomReference, path: Path) -> None:
    """Refuse a simulation in coordinates of its own, not the patient's: it would be placed wrongly without a word.

    Raises:
        GeometryError: the grid lies wholly outside the dose that is the reference.
    """
    if reference.box_mm is None:
        return
    corners = grid.position_mm(list(product(*((0, n - 1) for n in grid.shape))))
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (low > reference.box_mm[1]).any() or (high < reference.box_mm[0]).any():
        raise GeometryError(
            f"{path}: the volume lies at {_box(low, high)} mm, the reference dose at {_box(*reference.box_mm)} mm, so "
            "it is not in the patient's coordinates; convert with the origin in the patient"
        )


def _box(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> str:
    return " x ".join(f"{a:.4g}..{b:.4g}" for a, b in zip(low, high, strict=True))


def turned_axial(volume: Volume) -> Volume:
    """The same voxels with index axes in the order and sense nearest to x, y, z, right-handed."""
    grid = volume.grid
    cosines = np.asarray(grid.direction, dtype=float)
    order = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[s, axes[s]]) for s in range(3)))
    turned = np.array([cosines[s, order[s]] < 0 for s in range(3)])
    direction = cosines[:, order] * np.where(turned, -1.0, 1.0)
    if np.linalg.det(direction) < 0:  # the normal of the frames must be row x column
        turned[2] = not turned[2]
        direction[:, 2] *= -1
    first = np.zeros(3)
    first[list(order)] = np.where(turned, np.array(grid.shape)[list(order)] - 1, 0)
    values = np.flip(volume.values.transpose(order), tuple(np.flatnonzero(turned)))
    a, b, c = order
    shape = grid.shape[a], grid.shape[b], grid.shape[c]
    spacing = grid.spacing_mm[a], grid.spacing_mm[b], grid.spacing_mm[c]
    x, y, z = (float(n) for n in grid.position_mm(first))
    # 1e-12 is far below a micrometre over any patient, and turns rounding noise of rotations into exact axes
    rows = tuple((float(u), float(v), float(w)) for u, v, w in np.round(direction, 12) + 0.0)
    return Volume(Grid(shape, spacing, (x, y, z), rows), values, volume.quantity)


def _answered(volume: Volume, nan_as: float | None) -> tuple[Volume, int]:
    """The volume without NaN, and how many there were."""
    values = np.asarray(volume.values, dtype=float)
    name, missing = volume.quantity.name, np.isnan(volume.values)
    if nan_as not in (None, 0.0):
        raise ValueRangeError(f"{name}: voxels without an answer can be stored as 0 or refused, not as {nan_as}")
    if missing.any() and nan_as is None:
        raise ValueRangeError(
            f"{name}: {int(missing.sum())} of {missing.size} voxels are NaN, which RT Dose cannot store; "
            "store them as 0 with --outside zero, or write NIfTI"
        )
    filled = np.where(missing, 0.0, values)
    for fault, voxels in (("infinite", np.isinf(filled)), ("negative", filled < 0)):
        if voxels.any():
            raise ValueRangeError(f"{name}: {int(voxels.sum())} voxels are {fault}, which RT Dose cannot store")
    return Volume(volume.grid, filled, volume.quantity), int(missing.sum())


def dose_words(volume: Volume, unanswered: int, options: RtDoseOptions) -> DoseWords:
    """What RT Dose says of a quantity, and how many of its voxels have no answer.

    Raises:
        UnsupportedError: the quantity is no dose.
        QuantityError: a LET without `let`.
    """
    quantity, units = volume.quantity, "GY"
    what = (PHYSICAL | EFFECTIVE | LET).get(quantity.name)
    if what is None:
        known = ", ".join((*PHYSICAL, *EFFECTIVE, *LET))
        raise UnsupportedError(f"{quantity.name} is not a dose; RT Dose is written of {known}; write NIfTI")
    if quantity.name in LET:
        if not options.let:
            raise QuantityError(
                f"{quantity.name} is not a dose, and other systems may take it for one; write it as NIfTI, or ask for "
                "it with --let"
            )
        units = "GY" if options.let_as_gy else "RELATIVE"
        description = f"surrogate3d {what}"
    else:
        description = f"surrogate3d {what} [{quantity.unit}]"
    outside = [f"outside=0 ({unanswered} voxels)"] if unanswered else []
    comment = _fitting([what, *outside, *options.comment])
    return DoseWords(units, "EFFECTIVE" if quantity.name in EFFECTIVE else "PHYSICAL", description, comment)


def _fitting(words: Sequence[str]) -> str:
    """The first words that fit into a Long String, separated by blanks; printable ASCII without backslash."""
    text = ""
    for word in words:
        clean = "".join(c if c.isascii() and c.isprintable() and c != "\\" else "?" for c in word)
        if len(longer := f"{text} {clean}".strip()) > LO_LENGTH:
            break
        text = longer
    return text


def dose_grid_scaling(maximum: float) -> str:
    """Gy per stored step, at most 16 characters, rounded up so that the largest value is never clipped."""
    if maximum == 0:
        return "1"
    step = Context(prec=11, rounding=ROUND_CEILING).divide(Decimal(maximum), Decimal(LARGEST_STORED))
    text = f"{step:.10E}"
    if len(text) > 16:
        raise ValueRangeError(f"the largest value is {maximum:g}, which is no dose in Gy; check its unit")
    return text


def encoded(file: pydicom.Dataset) -> bytes:
    """The object as a file of PS3.10, explicit VR little endian."""
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, file, enforce_file_format=True)
    return stream.getvalue()


def about_dose(
    file: pydicom.Dataset, dose: Volume, unanswered: int, options: RtDoseOptions, content: bytes
) -> dict[str, Any]:
    """What the JSON file beside an object says, with the SHA-256 of its content."""
    notes = [_ANONYMOUS] if options.reference is None else list(options.reference.notes)
    if file.DoseSummationType != "PLAN":
        notes.append(_NO_PLAN)
    if unanswered:
        notes.append(
            f"{unanswered} voxels without an answer are stored as 0, which does not mean that they have no dose"
        )
    quantity = dose.quantity
    if quantity.name in LET:
        notes.append(f"these are LET in keV/um, not a dose, although Dose Units say {file.DoseUnits}")
    return {
        "schema": RTDOSE_SCHEMA,
        "sha256": hashlib.sha256(content).hexdigest(),
        "quantity": {"name": quantity.name, "unit": quantity.unit, "definition": quantity.definition},
        "dose_type": str(file.DoseType),
        "dose_units": str(file.DoseUnits),
        "dose_summation_type": str(file.DoseSummationType),
        "dose_comment": str(file.DoseComment),
        "dose_grid_scaling": float(file.DoseGridScaling),
        "maximum": float(dose.values.max()),
        "voxels_stored_as_zero_without_answer": unanswered,
        "grid": dose.grid.to_json(),
        "sop_instance_uid": str(file.SOPInstanceUID),
        "series_instance_uid": str(file.SeriesInstanceUID),
        "study_instance_uid": str(file.StudyInstanceUID),
        "frame_of_reference_uid": str(file.FrameOfReferenceUID),
        "software": f"surrogate3d {file.SoftwareVersions}",
        "notes": notes,
        "parameters": dict(options.parameters),
    }
