"""Small DICOM objects for tests, written with pydicom from plain arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTDoseStorage, RTStructureSetStorage, generate_uid

FRAME = "1.2.3.4"
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def rtdose(path: Path, stored: npt.NDArray[Any], **elements: Any) -> Path:
    """An RT Dose of (frame, row, column) values; an element that is None is left out, `syntax` is the encoding."""
    frames = len(stored)
    usual = {
        "Modality": "RTDOSE",
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "DoseGridScaling": "0.001",
        "NumberOfFrames": frames,
        "GridFrameOffsetVector": [3.0 * n for n in range(frames)],
        "ImagePositionPatient": [-10.0, 20.0, 30.0],
        "ImageOrientationPatient": list(IDENTITY),
        "PixelSpacing": [2.0, 1.5],
        "FrameOfReferenceUID": FRAME,
    }
    return _write(path, RTDoseStorage, {**usual, **_pixels(stored), **elements})


def beam_dose(path: Path, stored: npt.NDArray[Any], number: int, **elements: Any) -> Path:
    """An RT Dose of one beam of the plan 1.2.9."""
    beam, group, plan = Dataset(), Dataset(), Dataset()
    beam.ReferencedBeamNumber = number
    group.ReferencedBeamSequence = Sequence([beam])
    plan.ReferencedSOPInstanceUID = "1.2.9"
    plan.ReferencedFractionGroupSequence = Sequence([group])
    sequence = {"DoseSummationType": "BEAM", "ReferencedRTPlanSequence": Sequence([plan])}
    return rtdose(path, stored, **{**sequence, **elements})


def ct_slice(path: Path, stored: npt.NDArray[Any], position: npt.ArrayLike, **elements: Any) -> Path:
    """A CT slice of (row, column) stored values."""
    usual = {
        "Modality": "CT",
        "SeriesInstanceUID": "1.2.5",
        "FrameOfReferenceUID": FRAME,
        "ImagePositionPatient": [round(float(x), 9) for x in np.asarray(position)],
        "ImageOrientationPatient": list(IDENTITY),
        "PixelSpacing": [2.0, 1.5],
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
        "SliceThickness": "3",
    }
    return _write(path, CTImageStorage, {**usual, **_pixels(stored[None]), **elements})


def rtstruct(path: Path, structures: dict[str, list[npt.NDArray[Any]]], kind: str = "CLOSED_PLANAR") -> Path:
    """A structure set of (n, 3) contours by name of structure."""
    rois, contours, observations = [], [], []
    for number, (name, rings) in enumerate(structures.items(), start=1):
        roi, outline, observation = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, FRAME
        outline.ReferencedROINumber = number
        outline.ContourSequence = Sequence([_contour(ring, kind) for ring in rings])
        observation.ReferencedROINumber, observation.RTROIInterpretedType = number, "ORGAN"
        rois.append(roi)
        contours.append(outline)
        observations.append(observation)
    elements = {
        "Modality": "RTSTRUCT",
        "StructureSetROISequence": Sequence(rois),
        "ROIContourSequence": Sequence(contours),
        "RTROIObservationsSequence": Sequence(observations),
    }
    return _write(path, RTStructureSetStorage, elements)


def _contour(ring: npt.NDArray[Any], kind: str) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(ring)
    item.ContourData = [f"{x:.10g}" for x in ring.ravel()]
    return item


def _pixels(stored: npt.NDArray[Any]) -> dict[str, Any]:
    bits = 8 * stored.dtype.itemsize
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[1],
        "Columns": stored.shape[2],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": np.ascontiguousarray(stored).tobytes(),
    }


def _write(path: Path, sop_class: str, elements: dict[str, Any]) -> Path:
    syntax = elements.pop("syntax", ExplicitVRLittleEndian)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = syntax
    kind = {"is_implicit_VR": syntax.is_implicit_VR, "is_little_endian": syntax.is_little_endian}
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, **kind)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path
