"""Regions of a grid as a DICOM RT Structure Set, which lays on the same grid as the very same voxels.

Outlines run along the edges of voxels in axial planes (`io.outlines`). Runs of planes with a gap between them become
regions of their own, since a contour does not say whether the gap before the next is to be filled.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

from surrogate3d.errors import GeometryError, GridMismatchError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.dicom_modules import LO_LENGTH, Identity
from surrogate3d.io.dicom_reference import DicomReference
from surrogate3d.io.dicom_referenced_series import ReferencedSeries
from surrogate3d.io.dicom_structures_modules import DrawnRoi, StructureSetWords, structure_set
from surrogate3d.io.outlines import outlines

AXIAL = 1e-5
"""Largest direction cosine between the planes of a grid and z that counts as none: 0.005 mm over half a metre."""

LABEL_LENGTH = 16
"""Characters in a Short String."""

_ANONYMOUS = (
    "no reference: an anonymous patient, a new study and a new frame of reference, so no system can place these "
    "regions in a patient; give a slice of the image that they were drawn on"
)
_NO_IMAGES = "the reference is no slice of a CT or MR, so the regions name no image that they were drawn on"
_COLORS = ((255, 0, 0), (255, 128, 0), (255, 0, 255), (128, 0, 255), (0, 128, 255), (0, 192, 96))


@dataclass(frozen=True, eq=False)
class Roi:
    """A region to write.

    Attributes:
        name: ROI Name, at most 64 characters; " part n" is added where planes of the region have gaps.
        mask: (i, j, k) which voxels are inside.
        description: ROI Description.
    """

    name: str
    mask: npt.NDArray[np.bool_]
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class RtStructOptions:
    """What regions do not say.

    Attributes:
        reference: patient, study and frame of reference, of `io.dicom_reference.read_reference`.
        series: the image that the regions were drawn on, of `io.dicom_referenced_series.referenced_series`.
        label: Structure Set Label.
        description: of the series and the set.
        seed: makes the UIDs reproducible, together with `when`.
        when: time of writing; None is now.
    """

    reference: DicomReference | None = None
    series: ReferencedSeries | None = None
    label: str = "surrogate3d"
    description: str = "surrogate3d regions"
    seed: str | None = None
    when: datetime | None = None


def write_rtstruct(
    rois: Sequence[Roi], grid: Grid, path: str | Path, options: RtStructOptions | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Write regions of one grid as an RT Structure Set, unapproved, implicit VR little endian.

    Implicit VR, since explicit VR has no room for the points of an outline beyond 64 KiB.

    Args:
        rois: at least one, none empty, with names of their own.
        grid: of their masks; one index axis runs along z, the others may be turned about it.
        path: ends in `.dcm`.
        options: patient, image and names.
        overwrite: replace the file.

    Returns:
        Plain data: SHA-256 and UIDs, number and name of each region written with its volume in cm3, and notes.

    Raises:
        UnsupportedError: another suffix, or a grid whose planes are oblique, so that no axial contours represent it.
        ValueRangeError: no region, an empty one, equal names, or names that are too long for DICOM.
        GridMismatchError: a mask does not have the shape of the grid.
        GeometryError: the image is in another frame of reference than the patient, or regions lie beyond it.
        StoreError: the file exists and is not to be replaced, or the disk is full.
    """
    path, options = Path(path), options or RtStructOptions()
    if path.suffix != ".dcm":
        raise UnsupportedError(f"{path}: structure sets are written to .dcm")
    _require_words(rois, options, path.name)
    axis = _axis_of_z(grid, path.name)
    drawn = [part for number, roi in enumerate(rois) for part in _drawn(roi, grid, axis, _COLORS[number % 6])]
    names = [part.name for part in drawn]
    if len(set(names)) < len(names):
        raise ValueRangeError(f"{path.name}: regions need names of their own, found {', '.join(sorted(names))}")
    _require_fit(drawn, grid, options, path.name)
    words = StructureSetWords(options.label, options.description)
    identity = Identity(options.when or datetime.now(), options.seed)
    file = structure_set(drawn, words, options.reference, options.series, identity, _digest(drawn, words))
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, file, enforce_file_format=True)
    with atomic_file(path, overwrite, len(stream.getvalue())) as scratch:
        scratch.write_bytes(stream.getvalue())
    return {
        "file": path.name,
        "sha256": hashlib.sha256(stream.getvalue()).hexdigest(),
        "rois": [_about(number, roi) for number, roi in enumerate(drawn, start=1)],
        "sop_instance_uid": str(file.SOPInstanceUID),
        "study_instance_uid": str(file.StudyInstanceUID),
        "frame_of_reference_uid": str(file.FrameOfReferenceUID),
        "notes": _notes(options),
    }


def _about(number: int, roi: DrawnRoi) -> dict[str, Any]:
    return {
        "number": number,
        "name": roi.name,
        "volume_cm3": roi.volume_mm3 / 1000,
        "contours": len(roi.contours_mm),
    }


def _notes(options: RtStructOptions) -> list[str]:
    if options.reference is None:
        return [_ANONYMOUS]
    return [] if options.series is not None else [_NO_IMAGES]


def _require_words(rois: Sequence[Roi], options: RtStructOptions, file: str) -> None:
    if not rois:
        raise ValueRangeError(f"{file}: a structure set needs at least one region, found none")
    texts = [("the description", options.description, LO_LENGTH), ("the label", options.label, LABEL_LENGTH)]
    for what, text, length in [
        *texts,
        *((f"the name of a region, {roi.name!r},", roi.name, LO_LENGTH) for roi in rois),
    ]:
        if not 0 < len(text.strip()) <= len(text) <= length or not text.isprintable() or "\\" in text:
            raise ValueRangeError(
                f"{file}: {what} must have 1 to {length} printable characters without backslash, found {len(text)}"
            )


def _axis_of_z(grid: Grid, file: str) -> int:
    """The index axis that runs along z, so that the planes across it are axial."""
    cosines = np.asarray(grid.direction, dtype=float)
    axis = int(np.abs(cosines[2]).argmax())
    tilt = float(np.hypot(cosines[0, axis], cosines[1, axis]))
    if tilt > AXIAL:
        raise UnsupportedError(
            f"{file}: the grid is oblique, its nearest axis is {np.degrees(np.arcsin(tilt)):.3g} degrees off z, so "
            "no axial contours represent its voxels; resample to an axial grid, or write NIfTI only"
        )
    return axis


def _drawn(roi: Roi, grid: Grid, axis: int, color: tuple[int, int, int]) -> list[DrawnRoi]:
    """A region, or its parts where planes between them are empty."""
    if roi.mask.shape != grid.shape:
        raise GridMismatchError(f"region {roi.name!r} has shape {roi.mask.shape}, its grid {grid.shape}")
    filled = np.flatnonzero(roi.mask.any(axis=tuple(a for a in range(3) if a != axis)))
    if not filled.size:
        raise ValueRangeError(f"region {roi.name!r} is empty; leave it out")
    runs = np.split(filled, np.flatnonzero(np.diff(filled) > 1) + 1)
    names = [roi.name] if len(runs) == 1 else [f"{roi.name} part {n}" for n in range(1, len(runs) + 1)]
    if len(names[-1]) > LO_LENGTH:
        raise ValueRangeError(f"{names[-1]!r} has {len(names[-1])} characters, DICOM allows {LO_LENGTH}; shorten it")
    return [
        DrawnRoi(
            name=name,
            description=roi.description,
            contours_mm=[ring for plane in run for ring in _rings(roi.mask, grid, axis, int(plane))],
            slab_mm=grid.spacing_mm[axis] if len(run) == 1 else None,
            volume_mm3=float(np.take(roi.mask, run, axis).sum()) * grid.voxel_volume_mm3,
            color=color,
        )
        for name, run in zip(names, runs, strict=True)
    ]


def _rings(mask: npt.NDArray[np.bool_], grid: Grid, axis: int, plane: int) -> list[npt.NDArray[np.float64]]:
    rings = []
    for ring in outlines(np.take(mask, plane, axis)):
        points = grid.position_mm(np.insert(ring, axis, plane, axis=1))
        points[:, 2] = points[0, 2]  # the planes of a grid within the tolerance are flat to some micrometres
        rings.append(points)
    return rings


def _require_fit(rois: Sequence[DrawnRoi], grid: Grid, options: RtStructOptions, file: str) -> None:
    """Regions in coordinates of another image would be placed wrongly without a word."""
    if options.series is None:
        return
    frame = None if options.reference is None else str(options.reference.attributes.FrameOfReferenceUID)
    if frame != options.series.frame_of_reference_uid:
        raise GeometryError(
            f"{file}: the patient's frame of reference is {frame}, that of the image "
            f"{options.series.frame_of_reference_uid}; give a slice of the image as the reference"
        )
    for roi in rois:
        beyond = options.series.beyond_mm(np.concatenate(list(roi.contours_mm)))
        if beyond > max(grid.spacing_mm):
            raise GeometryError(
                f"{file}: region {roi.name!r} reaches {beyond:.4g} mm beyond the image series that it is to be drawn "
                "on, so it is not in the coordinates of that image; give a slice of the image it was found on"
            )


def _digest(rois: Sequence[DrawnRoi], words: StructureSetWords) -> str:
    content = hashlib.sha256(str(words).encode())
    for roi in rois:
        content.update(f"{roi.name}|{roi.description}|{roi.slab_mm}".encode())
        for ring in roi.contours_mm:
            content.update(np.ascontiguousarray(ring).tobytes())
    return content.hexdigest()
