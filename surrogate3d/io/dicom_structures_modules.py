"""The modules of the RT Structure Set IOD (DICOM PS3.3 A.19, C.8.8.5, C.8.8.6, C.8.8.8), which fill its attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

import surrogate3d
from surrogate3d.io.dicom_modules import Identity, date_text, decimal, patient_and_study, time_text
from surrogate3d.io.dicom_reference import DicomReference
from surrogate3d.io.dicom_referenced_series import ReferencedSeries

DETACHED_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"
"""Retired, but what systems write as the class of a referenced study, which may not be empty."""

SAME_PLANE_MM = 0.05
"""Contours this near to a slice are drawn on it."""


@dataclass(frozen=True, eq=False)
class DrawnRoi:
    """One region, as it is written.

    Attributes:
        name: ROI Name.
        description: ROI Description and what the observation says.
        contours_mm: (n, 3) closed outlines in planes of equal z, LPS.
        slab_mm: thickness of a region in a single plane, which nothing else says; else None (the attribute is retired).
        volume_mm3: volume of the region.
        color: RGB, 0 to 255.
    """

    name: str
    description: str
    contours_mm: Sequence[npt.NDArray[np.float64]]
    slab_mm: float | None
    volume_mm3: float
    color: tuple[int, int, int]


@dataclass(frozen=True)
class StructureSetWords:
    """How the set is called.

    Attributes:
        label: Structure Set Label, at most 16 characters.
        description: Series Description and Structure Set Description.
    """

    label: str
    description: str


def structure_set(
    rois: Sequence[DrawnRoi],
    words: StructureSetWords,
    reference: DicomReference | None,
    series: ReferencedSeries | None,
    identity: Identity,
    content: str,
) -> Dataset:
    """The whole object, unapproved.

    Args:
        rois: in the order of their numbers, from 1.
        words: how the set is called.
        reference: patient, study and frame of reference; None makes an anonymous patient and a new study.
        series: the image that the regions were drawn on.
        identity: time and UIDs.
        content: digest of the regions, so that sets with other regions never share an instance UID.
    """
    file = Dataset()
    file.SpecificCharacterSet = "ISO_IR 192"
    patient_and_study(file, reference, identity)
    _series_and_equipment(file, words, identity, content)
    _structure_set(file, rois, words, series, identity)
    file.ROIContourSequence = [_roi_contours(number, roi, series) for number, roi in enumerate(rois, start=1)]
    file.RTROIObservationsSequence = [_observation(number, roi) for number, roi in enumerate(rois, start=1)]
    file.ApprovalStatus = "UNAPPROVED"
    return file


def _series_and_equipment(file: Dataset, words: StructureSetWords, identity: Identity, content: str) -> None:
    """RT Series, General Equipment and SOP Common."""
    related = str(file.StudyInstanceUID), str(file.FrameOfReferenceUID), content
    file.Modality, file.SOPClassUID = "RTSTRUCT", RTStructureSetStorage
    file.SeriesInstanceUID = identity.uid("structure series", *related)
    file.SOPInstanceUID = identity.uid("structure set", *related)
    file.SeriesNumber, file.InstanceNumber, file.OperatorsName = 1, 1, ""
    file.SeriesDescription = words.description
    file.Manufacturer = file.ManufacturerModelName = "surrogate3d"
    file.SoftwareVersions = surrogate3d.__version__
    file.InstanceCreationDate = file.SeriesDate = date_text(identity.when)
    file.InstanceCreationTime = file.SeriesTime = time_text(identity.when)


def _structure_set(
    file: Dataset,
    rois: Sequence[DrawnRoi],
    words: StructureSetWords,
    series: ReferencedSeries | None,
    identity: Identity,
) -> None:
    file.StructureSetLabel, file.StructureSetDescription = words.label, words.description
    file.StructureSetDate, file.StructureSetTime = date_text(identity.when), time_text(identity.when)
    frame = Dataset()
    frame.FrameOfReferenceUID = file.FrameOfReferenceUID
    if series is not None:
        frame.RTReferencedStudySequence = [_referenced_study(series)]
    file.ReferencedFrameOfReferenceSequence = [frame]
    file.StructureSetROISequence = [_roi(number, roi, frame) for number, roi in enumerate(rois, start=1)]


def _referenced_study(series: ReferencedSeries) -> Dataset:
    study, item = Dataset(), Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = DETACHED_STUDY_MANAGEMENT, series.study_uid
    item.SeriesInstanceUID = series.series_uid
    item.ContourImageSequence = [_referenced(*each) for each in series.instances]
    study.RTReferencedSeriesSequence = [item]
    return study


def _referenced(class_uid: str, instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
    return item


def _roi(number: int, roi: DrawnRoi, frame: Dataset) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ReferencedFrameOfReferenceUID = number, frame.FrameOfReferenceUID
    item.ROIName, item.ROIDescription = roi.name, roi.description
    item.ROIVolume = decimal(roi.volume_mm3 / 1000)  # cm3 (C.8.8.5)
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _roi_contours(number: int, roi: DrawnRoi, series: ReferencedSeries | None) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber, item.ROIDisplayColor = number, list(roi.color)
    item.ContourSequence = [_contour(n, ring, roi, series) for n, ring in enumerate(roi.contours_mm, start=1)]
    return item


def _contour(number: int, ring: npt.NDArray[np.float64], roi: DrawnRoi, series: ReferencedSeries | None) -> Dataset:
    item = Dataset()
    item.ContourNumber, item.ContourGeometricType, item.NumberOfContourPoints = number, "CLOSED_PLANAR", len(ring)
    if roi.slab_mm is not None:
        item.ContourSlabThickness = decimal(roi.slab_mm)
    item.ContourData = [decimal(x) for x in ring.ravel()]
    image = None if series is None else series.slice_at(float(ring[0, 2]), SAME_PLANE_MM)
    if image is not None:
        item.ContourImageSequence = [_referenced(*image)]
    return item


def _observation(number: int, roi: DrawnRoi) -> Dataset:
    """The type is left empty: a target by name could be planned on."""
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationDescription = roi.description
    item.RTROIInterpretedType, item.ROIInterpreter = "", ""
    return item
