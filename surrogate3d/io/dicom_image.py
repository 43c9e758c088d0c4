"""DICOM series of MR or CT slices as images, of which only the signal matters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Volume, quantity
from surrogate3d.io.dicom_dataset import DicomFile
from surrogate3d.io.dicom_slices import SOP_CLASSES, padded, placed, slices_of, stored_values


@dataclass(frozen=True, eq=False)
class ImageSeries:
    """An image.

    Attributes:
        volume: (i, j, k) signal, NaN where the scanner marks padding.
        frame_of_reference_uid: which patient coordinate system the positions are in; empty where it is not said.
        notes: what a user should know, one sentence each.
    """

    volume: Volume
    frame_of_reference_uid: str
    notes: tuple[str, ...]


def read_image_series(folder: str | Path, series_uid: str | None = None) -> ImageSeries:
    """Read the MR or CT series of a folder.

    Args:
        folder: its files; those that are no slices are left out and counted.
        series_uid: which series, where the folder holds several.

    Raises:
        StoreError: there is no such folder.
        FormatError: no slices, or damaged ones.
        UnsupportedError: several series, several frames a file, or pixels that are not read.
        GeometryError: slices differ in size, orientation or frame, are missing or doubled, or shifted in their plane.
    """
    slices, notes = slices_of(Path(folder), series_uid, tuple(SOP_CLASSES))
    grid, order = placed(slices)
    values = np.empty(grid.shape, dtype=np.float32)
    for k, number in enumerate(order):
        values[:, :, k] = _signal(slices[number])
    return ImageSeries(Volume(grid, values, quantity("image_signal")), slices[0].text("FrameOfReferenceUID"), notes)


def _signal(file: DicomFile) -> npt.NDArray[np.float64]:
    """(i, j) rescaled values; MR slices need not say slope and intercept, CT slices must (PS3.3 C.8.2.1)."""
    stored = stored_values(file)
    slope, intercept = 1.0, 0.0
    if file.has("RescaleSlope") or file.text("Modality") == "CT":
        slope, intercept = (float(file.numbers(keyword, 1)[0]) for keyword in ("RescaleSlope", "RescaleIntercept"))
    values = np.asarray(stored * slope + intercept, dtype=np.float64)
    values[padded(file, stored)] = np.nan
    return values
