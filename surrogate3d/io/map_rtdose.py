"""Maps of dose as DICOM RT Dose, in flat memory: what `dicom_write` writes of a volume, of values in a file.

Dose Grid Scaling follows from the largest value of the whole map, which is known only at its end, and frames need not
run along the slabs. Values are therefore kept as float32 in a file beside the others until then, as for int16: a killed
writer loses nothing. The object bears no time, and its UIDs follow from what is written, so that the same maps are the
same bytes. RT Dose has no number that stands for NaN: voxels without an answer are 0, and are counted in Dose Comment.

It loads pydicom, so it is imported only where RT Dose is asked for.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Grid, Quantity, Volume
from surrogate3d.grid.volume import turned_to
from surrogate3d.io.dicom_dose import read_rtdose
from surrogate3d.io.dicom_modules import DoseWords, Identity, rt_dose, sum_over_plan, sum_without_plan
from surrogate3d.io.dicom_reference import DicomReference
from surrogate3d.io.dicom_write import (
    RtDoseOptions,
    about_dose,
    dose_grid_scaling,
    dose_words,
    encoded,
    require_overlap,
    require_representable,
    turned_axial,
)
from surrogate3d.io.map_range import MapRange
from surrogate3d.io.map_scaled import KEPT_SUFFIX

_NO_TIME = datetime(2000, 1, 1)
"""It does not stay in the object: a time would make other bytes of the same maps."""

_TIMES = ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime")
"""Optional in RT Dose."""

_BLOCK_VOXELS, _MOST_BLOCKS = 1 << 20, 64
"""Where frames do not run along the slabs, every block reads all of the file, so there are not many of them."""


def require_grid(grid: Grid, reference: DicomReference | None, folder: Path) -> None:
    """Refuse a grid that RT Dose does not hold, or that is not in the patient, before anything is computed.

    Raises:
        GeometryError: too many voxels, or all of them outside the dose that is the reference.
    """
    require_representable(grid, folder)
    if reference is not None:
        require_overlap(grid, reference, folder)


def write_dose(
    folder: Path, name: str, grid: Grid, quantity: Quantity, found: MapRange, options: RtDoseOptions
) -> dict[str, Any]:
    """Write the kept values of a map as RT Dose, with its JSON file.

    Args:
        folder: of the maps, with the file of kept values.
        name: of the map, and of its files.
        grid: of the map.
        quantity: of its values, of a dose.
        found: range of the whole map.
        options: comment, parameters and seed; maps of one seed share study and frame of reference.

    Returns:
        For `maps.json`: Dose Grid Scaling, the largest error, and what became of NaN.

    Raises:
        ValueRangeError: values are infinite or negative, or too small for a dose.
    """
    _require_storable(name, found)
    kept = Volume(grid, np.broadcast_to(found.maximum or 0.0, grid.shape), quantity)  # as the map, and of no size
    axial, scaling = turned_axial(kept), dose_grid_scaling(found.maximum or 0.0)
    content = _digest(folder / (name + KEPT_SUFFIX))
    file = _header(axial.grid, scaling, dose_words(axial, found.n_nan, options), options, content)
    dicom, beside = f"{name}.dcm", f"{name}.json"
    digest = _write(folder / dicom, file, _frames(kept, folder / (name + KEPT_SUFFIX), float(scaling)))
    told = about_dose(file, axial, found.n_nan, options, b"") | {"sha256": digest, "file": dicom}
    (folder / beside).write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    how = {"dose_grid_scaling": float(scaling), "largest_error": float(scaling) / 2}
    return how | {"nan_stored_as": 0.0} if found.n_nan else how


def read_dose(folder: Path, name: str, grid: Grid, n_nan: int) -> npt.NDArray[np.float64]:
    """(i, j, k) values of a map, in steps of its Dose Grid Scaling.

    Args:
        folder: of the maps.
        name: of the map.
        grid: that it was written on; frames may run along another axis.
        n_nan: voxels without an answer, as `maps.json` counts them. They are NaN again if no others are 0.

    Raises:
        Surrogate3dError: as of `dicom_dose.read_rtdose`.
    """
    volume = read_rtdose(folder / f"{name}.dcm", as_quantity=name).volume
    values = np.asarray(turned_to(volume, grid).values, dtype=np.float64)
    if n_nan and np.count_nonzero(values == 0) == n_nan:
        values[values == 0] = np.nan
    return values


def _require_storable(name: str, found: MapRange) -> None:
    if found.n_infinite or (found.minimum or 0.0) < 0:
        what = f"{found.n_infinite} voxels are infinite" if found.n_infinite else f"values go down to {found.minimum:g}"
        raise ValueRangeError(f"{name}: {what}, which RT Dose does not hold; write another format")


def _header(grid: Grid, scaling: str, words: DoseWords, options: RtDoseOptions, content: str) -> pydicom.Dataset:
    """The object without its pixels, which follow all else; the same maps make the same one."""
    identity = Identity(_NO_TIME, options.seed)
    one_frame = np.broadcast_to(np.uint32(0), (*grid.shape[:2], 1))
    file = rt_dose(one_frame, scaling, grid, words, options.reference, identity)
    if options.reference is not None and options.reference.plan is not None:
        sum_over_plan(file, options.reference)
    else:
        sum_without_plan(file, options.parameters)
    own = str(words), content
    file.SeriesInstanceUID, file.SOPInstanceUID = identity.uid("series", *own), identity.uid("instance", *own)
    if options.reference is None:
        file.StudyDate = file.StudyTime = ""
    for absent in (*_TIMES, "PixelData"):
        delattr(file, absent)
    return file


def _write(path: Path, file: pydicom.Dataset, frames: Iterable[bytes]) -> str:
    """Write header and frames; returns the SHA-256 of the file."""
    n_bytes = 4 * file.Rows * file.Columns * int(file.get("NumberOfFrames", 1))
    element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, n_bytes)  # Pixel Data, PS3.5 7.1.2
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for block in chain((encoded(file), element), frames):
            stream.write(block)
            digest.update(block)
    return digest.hexdigest()


def _frames(volume: Volume, kept: Path, step: float) -> Iterator[bytes]:
    """Stored values, some frames at a time, rounded as `dicom_write` does."""
    nx, ny, nz = volume.grid.shape
    columns, rows, n_frames = turned_axial(volume).grid.shape
    depth = max(1, _BLOCK_VOXELS // (columns * rows), n_frames // _MOST_BLOCKS)
    for first in range(0, n_frames, depth):
        # Mapped anew for each block: pages that were read do not stay in this process.
        values = np.memmap(kept, "<f4", "r", shape=(nz, ny, nx)).T
        frames = turned_axial(Volume(volume.grid, values, volume.quantity)).values[:, :, first : first + depth]
        block = np.nan_to_num(frames.T.astype(np.float64, order="C"), copy=False)
        block /= step
        yield np.rint(block, out=block).astype("<u4").tobytes()


def _digest(kept: Path) -> str:
    with kept.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
