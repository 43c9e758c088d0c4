"""The image series that a structure set is drawn on: which files it has, and where their slices are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError
from surrogate3d.grid import Grid
from surrogate3d.io.dicom_dataset import open_dicom
from surrogate3d.io.dicom_slices import SOP_CLASSES, placed, slices_of

AXIAL = 1e-3
"""Largest direction cosine between slices and z that counts as none."""


@dataclass(frozen=True)
class ReferencedSeries:
    """A series of one study and frame of reference.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        frame_of_reference_uid: which patient coordinate system the slices are in.
        grid: of the slices; `k` runs through them.
        instances: SOP class and instance UID of each slice.
    """

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    grid: Grid
    instances: tuple[tuple[str, str], ...]

    def slice_at(self, z_mm: float, tolerance_mm: float) -> tuple[str, str] | None:
        """SOP class and instance of the axial slice at a position; None where none is, or slices are not axial."""
        along = np.asarray(self.grid.direction, dtype=float)[:, 2]
        if np.hypot(along[0], along[1]) > AXIAL:
            return None
        offset_mm = (z_mm - self.grid.origin_mm[2]) / float(along[2])
        k = round(offset_mm / self.grid.spacing_mm[2])
        near = abs(offset_mm - k * self.grid.spacing_mm[2]) <= tolerance_mm
        return self.instances[k] if near and 0 <= k < len(self.instances) else None

    def beyond_mm(self, points_mm: npt.NDArray[np.float64]) -> float:
        """How far the farthest of some points lies outside the voxels of the series, 0 where none does."""
        index = self.grid.index(points_mm)
        outside = np.maximum(-0.5 - index, index - np.array(self.grid.shape) + 0.5)
        return float(np.maximum(outside * self.grid.spacing_mm, 0.0).max())


def referenced_series(path: str | Path) -> ReferencedSeries | None:
    """The series of a slice, gathered from the files of its folder.

    Args:
        path: a DICOM file.

    Returns:
        The series; None when the file is no slice of a CT or MR.

    Raises:
        StoreError: there is no such file.
        FormatError: it or another of its series is damaged, or it says no series.
        GeometryError: slices differ in size, orientation or frame of reference, or are missing or doubled.
    """
    path = Path(path)
    first = open_dicom(path)
    if first.text("SOPClassUID") not in SOP_CLASSES.values():
        return None
    series_uid = first.text("SeriesInstanceUID")
    if not series_uid:
        raise FormatError(f"{path} has no Series Instance UID; give another slice of the image")
    slices, _ = slices_of(path.parent, series_uid, tuple(SOP_CLASSES))
    grid, order = placed(slices)
    instances = tuple((slices[n].text("SOPClassUID"), slices[n].text("SOPInstanceUID")) for n in order)
    frame = first.text("FrameOfReferenceUID")
    return ReferencedSeries(first.text("StudyInstanceUID"), series_uid, frame, grid, instances)
