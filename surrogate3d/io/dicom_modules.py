"""The modules of the RT Dose IOD (DICOM PS3.3 A.18, C.8.8.3), each as a function that fills its attributes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import UID, RTDoseStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

import surrogate3d
from surrogate3d.grid import Grid
from surrogate3d.io.dicom_reference import DicomReference

LO_LENGTH = 64
"""Characters in a Long String."""

_OFFSETS = Tag("GridFrameOffsetVector")


@dataclass(frozen=True)
class DoseWords:
    """How the numbers of a quantity are declared.

    Attributes:
        units: Dose Units, GY or RELATIVE.
        dose_type: PHYSICAL or EFFECTIVE.
        description: Series Description.
        comment: Dose Comment.
    """

    units: str
    dose_type: str
    description: str
    comment: str


@dataclass(frozen=True)
class Identity:
    """Time and source of the new UIDs.

    Attributes:
        when: time of writing.
        seed: same seed, time and content give the same UIDs; None draws them at random.
    """

    when: datetime
    seed: str | None = None

    def uid(self, *purpose: str) -> UID:
        """A new UID under pydicom's root."""
        return generate_uid(entropy_srcs=None if self.seed is None else [self.seed, self.when.isoformat(), *purpose])


def rt_dose(
    pixels: npt.NDArray[np.uint32],
    scaling: str,
    grid: Grid,
    words: DoseWords,
    reference: DicomReference | None,
    identity: Identity,
) -> Dataset:
    """The whole object but for its summation.

    Args:
        pixels: (i, j, k) stored values; `i` runs along a row, `j` down a column, `k` through the frames.
        scaling: Dose Grid Scaling, as it is written.
        grid: right-handed.
        words: what the numbers are.
        reference: patient, study and frame of reference; None makes an anonymous patient and a new study.
        identity: time and UIDs.
    """
    file = Dataset()
    file.SpecificCharacterSet = "ISO_IR 192"
    patient_and_study(file, reference, identity)
    _series_and_equipment(file, words, identity, _digest(pixels, scaling, grid, words))
    _image_plane(file, grid)
    _image_pixel(file, pixels)
    file.DoseUnits, file.DoseType, file.DoseComment = words.units, words.dose_type, words.comment
    file.DoseGridScaling = scaling
    if words.dose_type == "EFFECTIVE":
        file.DerivationCodeSequence = [_code(codes.cid7220.ComposedWithRadiobiologicalEffects)]
    return file


def sum_over_plan(file: Dataset, reference: DicomReference) -> None:
    """The dose of a whole plan, which Dose Summation Type PLAN has to name."""
    assert reference.plan is not None
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.plan.class_uid, reference.plan.instance_uid
    file.DoseSummationType, file.ReferencedRTPlanSequence = "PLAN", [item]


def sum_without_plan(file: Dataset, parameters: Mapping[str, Any]) -> None:
    """The dose of a plan that is no DICOM object: the one Dose Summation Type that names no other object."""
    item = Dataset()
    item.PlanOverviewIndex, item.RTPlanLabel = 1, "UNKNOWN"
    item.TreatmentSite, item.PrescriptionOverviewSequence = "", []
    if parameters.get("fractions"):
        item.NumberOfFractionsIncluded = int(parameters["fractions"])
    file.DoseSummationType, file.PlanOverviewSequence = "PLAN_OVERVIEW", [item]


def patient_and_study(file: Dataset, reference: DicomReference | None, identity: Identity) -> None:
    """Fill the Patient, General Study and Frame of Reference modules; what is type 2 and unknown stays empty.

    Args:
        file: the object that is written.
        reference: whose patient, study and frame of reference it shares; None: an anonymous patient and a new study.
        identity: time and UIDs of a new study.
    """
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PositionReferenceIndicator"):
        setattr(file, name, "")
    for name in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        setattr(file, name, "")
    if reference is not None:
        file.update(reference.attributes)
        return
    file.PatientName, file.PatientID, file.StudyID = "Anonymous^Patient", "ANONYMOUS", "surrogate3d"
    file.StudyDate, file.StudyTime = date_text(identity.when), time_text(identity.when)
    file.StudyInstanceUID, file.FrameOfReferenceUID = identity.uid("study"), identity.uid("frame of reference")


def _series_and_equipment(file: Dataset, words: DoseWords, identity: Identity, content: str) -> None:
    """RT Series, General Equipment, SOP Common and the times of General Image."""
    related = str(file.StudyInstanceUID), str(file.FrameOfReferenceUID), content
    file.Modality, file.SOPClassUID = "RTDOSE", RTDoseStorage
    file.SeriesInstanceUID, file.SOPInstanceUID = identity.uid("series", *related), identity.uid("instance", *related)
    file.SeriesNumber, file.InstanceNumber, file.OperatorsName = 1, 1, ""
    file.SeriesDescription = words.description
    file.Manufacturer = file.ManufacturerModelName = "surrogate3d"
    file.SoftwareVersions = surrogate3d.__version__
    file.InstanceCreationDate = file.SeriesDate = file.ContentDate = date_text(identity.when)
    file.InstanceCreationTime = file.SeriesTime = file.ContentTime = time_text(identity.when)


def _image_plane(file: Dataset, grid: Grid) -> None:
    """Image Plane and, for several frames, Multi-frame; one frame has no offsets (their multiplicity is 2-n)."""
    columns = np.asarray(grid.direction, dtype=float).T
    file.ImageOrientationPatient = [decimal(cosine) for axis in columns[:2] for cosine in axis]
    file.ImagePositionPatient = [decimal(x) for x in grid.origin_mm]
    file.PixelSpacing = [decimal(grid.spacing_mm[1]), decimal(grid.spacing_mm[0])]  # between rows, between columns
    file.SliceThickness = decimal(grid.spacing_mm[2])
    if grid.shape[2] > 1:
        file.NumberOfFrames, file.FrameIncrementPointer = grid.shape[2], _OFFSETS
        file.GridFrameOffsetVector = [decimal(frame * grid.spacing_mm[2]) for frame in range(grid.shape[2])]


def _image_pixel(file: Dataset, pixels: npt.NDArray[np.uint32]) -> None:
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.Columns, file.Rows = pixels.shape[:2]
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 32, 32, 31, 0
    file.add_new("PixelData", "OW", pixels.transpose(2, 1, 0).astype("<u4").tobytes())


def decimal(number: float) -> str:
    """Decimal String of at most 16 characters; no negative zero."""
    return str(format_number_as_ds(float(number) + 0.0))


def _code(code: Any) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _digest(pixels: npt.NDArray[np.uint32], scaling: str, grid: Grid, words: DoseWords) -> str:
    """Two objects with other content never share an instance UID, whatever the seed."""
    content = hashlib.sha256(f"{scaling} {grid} {words}".encode())
    content.update(pixels.tobytes())
    return content.hexdigest()


def date_text(when: datetime) -> str:
    """A DICOM Date (DA, PS3.5 6.2)."""
    return when.strftime("%Y%m%d")


def time_text(when: datetime) -> str:
    """A DICOM Time (TM, PS3.5 6.2), in whole seconds."""
    return when.strftime("%H%M%S")
