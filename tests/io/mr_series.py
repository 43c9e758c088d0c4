"""Series of MR slices for tests: stored values without rescaling, which MR slices need not have."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dicom_objects import ct_slice
from pydicom import dcmread
from pydicom.uid import MRImageStorage


def mr_series(folder: Path, shape: tuple[int, int, int], **elements: Any) -> npt.NDArray[np.uint16]:
    """Slices 3 mm apart; the (slice, row, column) values that are stored."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.random.default_rng(11).integers(1, 900, shape).astype(np.uint16)
    plain = {"Modality": "MR", "RescaleSlope": None, "RescaleIntercept": None, "SeriesInstanceUID": "1.2.77"}
    for k in range(shape[0]):
        path = ct_slice(folder / f"{k:02d}.dcm", stored[k], (-10.0, 20.0, 30.0 + 3 * k), **{**plain, **elements})
        dataset = dcmread(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
        dataset.save_as(path, enforce_file_format=True)
    return stored
