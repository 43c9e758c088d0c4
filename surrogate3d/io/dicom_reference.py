"""Whose dose it is: patient, study, frame of reference and plan, taken over from a DICOM file of the same patient."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.config import RAISE
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import RTDoseStorage, RTIonPlanStorage, RTPlanStorage
from pydicom.valuerep import validate_value

from surrogate3d.errors import FormatError, GeometryError, QuantityError, StoreError, Surrogate3dError

PLANS = (RTPlanStorage, RTIonPlanStorage)

_PATIENT = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
)
_STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
)
_FRAME = ("FrameOfReferenceUID", "PositionReferenceIndicator")


@dataclass(frozen=True)
class PlanReference:
    """The plan that a dose belongs to, by its SOP class and instance UID."""

    class_uid: str
    instance_uid: str


@dataclass(frozen=True, eq=False)
class DicomReference:
    """What a new object has in common with the files of its patient.

    Attributes:
        attributes: attributes of the Patient, General Study and Frame of Reference modules.
        plan: the plan, None when the files name none.
        notes: what a reader of the new object should know.
        box_mm: (2, 3) least and greatest position of the voxel centres of a reference that is a dose; else None.
    """

    attributes: Dataset
    plan: PlanReference | None = None
    notes: tuple[str, ...] = ()
    box_mm: npt.NDArray[np.float64] | None = None


def read_reference(reference: str | Path | None, plan: str | Path | None = None) -> DicomReference | None:
    """Read what a new RT Dose takes over from other files.

    Args:
        reference: a CT slice, RT Dose, RT Structure Set or RT Plan of the patient.
        plan: the RT Plan or RT Ion Plan that the dose belongs to; else the one that `reference` is or names.

    Returns:
        Patient, study, frame of reference and plan; None when no file is given.

    Raises:
        StoreError: a file is missing.
        FormatError: it is not DICOM, or has no study, or what is needed of it is missing or invalid.
        GeometryError: there is no frame of reference, or the two files have different ones.
        QuantityError: `plan` is not a plan, the two are of different patients, or `reference` names several plans.
    """
    if reference is None and plan is None:
        return None
    try:
        with _quietly():
            return _joined(reference, plan)
    except Surrogate3dError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        files = " and ".join(str(file) for file in (reference, plan) if file is not None)
        raise FormatError(f"{files}: an attribute is missing or invalid: {_one_line(error)}; export again") from error


def _joined(reference: str | Path | None, plan: str | Path | None) -> DicomReference:
    plan_file = None if plan is None else _read(Path(plan))
    if plan_file is not None and plan_file.get("SOPClassUID") not in PLANS:
        raise QuantityError(f"{plan} is not an RT Plan or RT Ion Plan but {_class_name(plan_file)}; give the plan")
    if plan_file is None:
        file = _read(Path(str(reference)))
        return DicomReference(_attributes(file, Path(str(reference))), *_named_plan(file, str(reference)), _box(file))
    itself = PlanReference(str(plan_file.SOPClassUID), str(plan_file.SOPInstanceUID))
    if reference is None:
        return DicomReference(_attributes(plan_file, Path(str(plan))), itself)
    file = _read(Path(reference))
    _require_one_patient(file, plan_file, f"{reference} and {plan}")
    return DicomReference(_attributes(file, Path(reference)), itself, box_mm=_box(file))


def _read(path: Path) -> Dataset:
    if not path.is_file():
        raise StoreError(f"no DICOM file at {path}; give one file, not a folder")
    try:
        with _quietly():
            return pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, EOFError, OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read as DICOM: {_one_line(error)}") from error


def _attributes(file: Dataset, path: Path) -> Dataset:
    """Copies, as text: the new object has a character set of its own."""
    taken = Dataset()
    with _quietly():
        for name in (*_PATIENT, *_STUDY, *_FRAME):
            if name in file and file[name].VR == "SQ":
                setattr(taken, name, deepcopy(file[name].value))
            elif name in file and (text := str(file.get(name) or "")):
                _require_valid(file[name].VR, text, f"{path}: {name}")
                setattr(taken, name, text)
    if "StudyInstanceUID" not in taken:
        raise FormatError(f"{path} has no Study Instance UID; give another file of the patient")
    taken.FrameOfReferenceUID = taken.get("FrameOfReferenceUID") or _only_frame(file, path)
    return taken


def _only_frame(file: Dataset, path: Path) -> str:
    """Structure sets may say their frame of reference only in a sequence."""
    frames = {str(item.FrameOfReferenceUID) for item in file.get("ReferencedFrameOfReferenceSequence") or []}
    if len(frames) != 1:
        raise GeometryError(
            f"{path} names {len(frames)} frames of reference, expected one; give a CT slice or dose of the patient"
        )
    return frames.pop()


def _named_plan(file: Dataset, path: str) -> tuple[PlanReference | None, tuple[str, ...]]:
    """The plan that a file is or, being a dose, belongs to."""
    if file.get("SOPClassUID") in PLANS:
        return PlanReference(str(file.SOPClassUID), str(file.SOPInstanceUID)), ()
    if file.get("SOPClassUID") != RTDoseStorage:
        return None, ()
    plans = {(str(p.ReferencedSOPClassUID), str(p.ReferencedSOPInstanceUID)) for p in file.get(_PLANS_OF_DOSE) or []}
    if len(plans) > 1:
        raise QuantityError(f"{path} is a dose of {len(plans)} plans; say with --plan which one this dose belongs to")
    summation = str(file.get("DoseSummationType", ""))
    if not plans or summation == "PLAN":
        return (PlanReference(*plans.pop()) if plans else None), ()
    note = f"the reference is the dose of a {summation}; this dose is written as that of the whole plan"
    return PlanReference(*plans.pop()), (note,)


def _box(file: Dataset) -> npt.NDArray[np.float64] | None:
    """Where a dose is; None for what is no dose, or a dose without a grid of several frames."""
    if file.get("SOPClassUID") != RTDoseStorage or "GridFrameOffsetVector" not in file:
        return None
    row, column = np.reshape(np.array(file.ImageOrientationPatient, dtype=float), (2, 3))
    between_rows, between_columns = (float(x) for x in file.PixelSpacing)
    offsets = np.array(file.GridFrameOffsetVector, dtype=float)
    first = np.array(file.ImagePositionPatient, dtype=float)
    if offsets[0] != 0:  # the offsets are then positions along the normal (C.8.8.3.2)
        offsets = offsets - offsets[0]
    edges = (
        row * between_columns * (file.Columns - 1),
        column * between_rows * (file.Rows - 1),
        np.cross(row, column) * offsets[-1],
    )
    corners = np.array([first + np.array(sides) @ np.array(edges) for sides in product((0, 1), repeat=3)])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


_PLANS_OF_DOSE = "ReferencedRTPlanSequence"


def _require_one_patient(file: Dataset, plan: Dataset, which: str) -> None:
    for name, error in (("PatientID", QuantityError), ("FrameOfReferenceUID", GeometryError)):
        ours, theirs = (str(each.get(name) or "") for each in (file, plan))
        if ours and theirs and ours != theirs:
            raise error(
                f"{which} have different {name}, {ours!r} and {theirs!r}, so they are not of one patient and position; "
                "give files that belong together, or only one of them"
            )


def _require_valid(vr: str, text: str, what: str) -> None:
    try:
        validate_value(vr, text, RAISE)
    except ValueError as error:
        raise FormatError(f"{what} is not valid DICOM: {_one_line(error)}; give another file") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _class_name(file: Dataset) -> str:
    return str(getattr(file.get("SOPClassUID"), "name", "of unknown class"))


@contextmanager
def _quietly() -> Iterator[Any]:
    """Without the warnings of pydicom about elements that are not taken over; those that are, are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
