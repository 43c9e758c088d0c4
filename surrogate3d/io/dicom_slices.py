"""DICOM series of single-frame slices: which files belong to one, and the grid that they lie on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.config import IGNORE

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.dicom_dataset import CT, MAX_VOXELS, DicomFile, even_spacing, open_dicom, orientation_of, pixels_of

SOP_CLASSES = {"CT": CT, "MR": str(uid.MRImageStorage)}
"""Slices that are read, by modality."""

SHIFT_MM = 0.01
"""How far slices may be shifted across the normal; a tilted gantry shifts them by millimetres."""

_MUST_AGREE = ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID")


def slices_of(
    folder: Path, series_uid: str | None, modalities: Collection[str]
) -> tuple[list[DicomFile], tuple[str, ...]]:
    """The slices of the one series of a folder, by file name, and a note on what was left out.

    Args:
        folder: its files; those that are no such slices are left out and counted.
        series_uid: which series, where the folder holds several.
        modalities: of `SOP_CLASSES`.

    Raises:
        StoreError: there is no such folder.
        FormatError: no slices, or damaged ones.
        UnsupportedError: several series.
        GeometryError: slices differ in size, orientation or frame.
    """
    if not folder.is_dir():
        raise StoreError(f"no folder at {folder}; give the folder of {_kind(modalities)} series")
    by_series: dict[str, list[DicomFile]] = {}
    others = 0
    for path in sorted(each for each in folder.iterdir() if each.is_file()):
        file = _slice(path, modalities)
        if file is None:
            others += 1
        else:
            by_series.setdefault(file.text("SeriesInstanceUID"), []).append(file)
    wanted, kind = [series_uid] if series_uid is not None else list(by_series), _name(modalities)
    if len(wanted) > 1:
        raise UnsupportedError(f"{folder} holds {len(wanted)} {kind} series: {', '.join(wanted)}; keep one, or name it")
    if not wanted or wanted[0] not in by_series:
        raise FormatError(f"{folder} holds no {kind} slices{' of series ' + series_uid if series_uid else ''}")
    _require_alike(by_series[wanted[0]])
    notes = (f"{others} file(s) of the folder are no {kind} slices",) if others else ()
    return by_series[wanted[0]], notes


def placed(slices: Sequence[DicomFile]) -> tuple[Grid, npt.NDArray[np.intp]]:
    """The grid, and the order of the slices along row x column.

    Raises:
        GeometryError: slices are missing, doubled or shifted, or one slice does not say how thick it is.
        UnsupportedError: more voxels than any image has.
    """
    first = slices[0]
    cosines = orientation_of(first)
    positions = np.array([each.numbers("ImagePositionPatient", 3) for each in slices])
    along = positions @ cosines
    order = np.argsort(along[:, 2], kind="stable")
    shift = np.ptp(along[:, :2], axis=0).max()
    if shift > SHIFT_MM:
        raise GeometryError(
            f"{first.path.parent}: slices are shifted by up to {shift:.3g} mm in their plane, as with a tilted gantry; "
            "export a series without tilt"
        )
    if len(slices) > 1:
        step = even_spacing(along[order, 2], first.path.parent, "slices")
    elif first.has("SliceThickness"):
        step = float(first.numbers("SliceThickness", 1)[0])
    else:
        raise GeometryError(f"{first.path}: one slice without SliceThickness has no extent; give the whole series")
    between_rows, between_columns = (float(n) for n in first.numbers("PixelSpacing", 2))
    x, y, z = (float(n) for n in positions[order[0]])
    rows = tuple((float(a), float(b), float(c)) for a, b, c in cosines)
    shape = (first.whole("Columns"), first.whole("Rows"), len(slices))
    grid = Grid(shape, (between_columns, between_rows, step), (x, y, z), rows)
    if grid.n_voxels > MAX_VOXELS:
        raise UnsupportedError(f"{first.path.parent}: {grid.shape} are more than {MAX_VOXELS} voxels")
    return grid, order


def stored_values(file: DicomFile) -> npt.NDArray[np.integer[Any]]:
    """(i, j) stored values of one slice.

    Raises:
        FormatError, UnsupportedError: as `pixels_of`, or several frames.
    """
    frames = pixels_of(file)
    if len(frames) != 1:
        kind = file.text("Modality") or "DICOM"
        raise UnsupportedError(f"{file.path}: several frames in a {kind} slice; export one slice a file")
    return np.asarray(frames[0].T)


def padded(file: DicomFile, stored: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """(i, j) where the scanner marks stored values as padding."""
    if not file.has("PixelPaddingValue"):
        return np.zeros(stored.shape, dtype=bool)
    padding = file.whole("PixelPaddingValue")
    low, high = sorted((padding, file.whole("PixelPaddingRangeLimit", padding)))
    return np.asarray((stored >= low) & (stored <= high))


def _slice(path: Path, modalities: Collection[str]) -> DicomFile | None:
    """A slice; None for another kind of file. A damaged DICOM file is refused, since a slice may be missing."""
    with path.open("rb") as stream:
        start = stream.read(132)
    perhaps = f"perhaps {_kind(modalities)} slice; copy it again"
    if start[128:] != b"DICM":
        if path.suffix.lower() == ".dcm" or not start:
            raise FormatError(f"{path} is empty or damaged (no DICM prefix), {perhaps}")
        return None
    file = open_dicom(path)
    found, promised = file.text("SOPClassUID"), DicomFile(path, file.dataset.file_meta).text("MediaStorageSOPClassUID")
    unknown = uid.UID(found, validation_mode=IGNORE).name == found and file.text("Modality") in modalities
    is_slice = found in [SOP_CLASSES[modality] for modality in modalities]
    if not is_slice and (found != promised or not found or unknown):
        raise FormatError(f"{path} is damaged: it does not say what it holds, {perhaps}")
    return file if is_slice else None


def _require_alike(slices: Sequence[DicomFile]) -> None:
    first = slices[0]
    for each in slices[1:]:
        for keyword in _MUST_AGREE:
            if each.text(keyword) != first.text(keyword) and not _close(each, first, keyword):
                raise GeometryError(
                    f"{each.path}: {keyword} is {each.text(keyword)}, in {first.path.name} {first.text(keyword)}; "
                    "the slices of one series must agree"
                )


def _close(one: DicomFile, other: DicomFile, keyword: str) -> bool:
    if keyword == "FrameOfReferenceUID":
        return False
    a, b = one.numbers(keyword), other.numbers(keyword)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=1e-4))


def _name(modalities: Collection[str]) -> str:
    return " or ".join(modalities)


def _kind(modalities: Collection[str]) -> str:
    """With its article: a CT, an MR."""
    return f"{'an' if _name(modalities)[0] in 'AM' else 'a'} {_name(modalities)}"
