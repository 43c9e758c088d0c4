"""DICOM CT series: CT numbers on one grid, and density by a table that the user gives."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.config import IGNORE

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.dicom_dataset import CT, MAX_VOXELS, DicomFile, even_spacing, open_dicom, orientation_of, pixels_of

FloatArray = npt.NDArray[np.float64]

SHIFT_MM = 0.01
"""How far slices may be shifted across the normal; a tilted gantry shifts them by millimetres."""

_MUST_AGREE = ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID")


@dataclass(frozen=True, eq=False)
class Ct:
    """A CT series.

    Attributes:
        volume: (i, j, k) CT numbers in HU, NaN where the scanner marks padding.
        series_uid: SeriesInstanceUID.
        frame_of_reference_uid: which patient coordinate system the positions are in.
        description: SeriesDescription.
        n_slices: files of the series.
        notes: what a user should know, one sentence each.
    """

    volume: Volume
    series_uid: str
    frame_of_reference_uid: str
    description: str
    n_slices: int
    notes: tuple[str, ...]


def read_ct_series(folder: str | Path, series_uid: str | None = None) -> Ct:
    """Read the CT series of a folder.

    Args:
        folder: its files; those that are no CT slices are left out and counted.
        series_uid: which series, where the folder holds several.

    Raises:
        StoreError: there is no such folder.
        FormatError: no CT slices, or damaged ones.
        UnsupportedError: several series, or values that are no Hounsfield units.
        GeometryError: slices differ in size, orientation or frame, are missing or doubled, or the gantry was tilted.
    """
    slices, notes = _slices(Path(folder), series_uid)
    _require_alike(slices)
    grid, order = _placed(slices)
    if grid.n_voxels > MAX_VOXELS:
        raise UnsupportedError(f"{folder}: {grid.shape} are more than {MAX_VOXELS} voxels")
    values = np.empty(grid.shape, dtype=np.float32)
    for k, number in enumerate(order):
        values[:, :, k] = _hounsfield(slices[number])
    padded = int(np.isnan(values).sum())
    if padded:
        notes.append(f"{padded} voxels are padding and have no value")
    first = slices[0]
    return Ct(
        volume=Volume(grid, values, quantity("HU")),
        series_uid=first.text("SeriesInstanceUID"),
        frame_of_reference_uid=first.text("FrameOfReferenceUID"),
        description=first.text("SeriesDescription"),
        n_slices=len(slices),
        notes=tuple(notes),
    )


def density_from_HU(volume: Volume, table: Sequence[tuple[float, float]]) -> Volume:
    """Mass density by linear interpolation between the points of a table; NaN stays NaN.

    Args:
        volume: CT numbers, HU.
        table: (HU, g/cm3) in ascending order of HU, of the scanner and protocol that made the CT.

    Returns:
        Density, g/cm3, on the same grid.

    Raises:
        FormatError: the table is no table.
        ValueRangeError: CT numbers outside the table.
    """
    points = _checked(np.asarray(table, dtype=float), "the density table")
    values = volume.values
    finite = values[np.isfinite(values)]
    if finite.size and (finite.min() < points[0, 0] or finite.max() > points[-1, 0]):
        raise ValueRangeError(
            f"CT numbers run from {finite.min():g} to {finite.max():g} HU, the density table from {points[0, 0]:g} to "
            f"{points[-1, 0]:g}; extend the table"
        )
    density = np.interp(values, points[:, 0], points[:, 1]).astype(np.float32)
    return Volume(volume.grid, np.where(np.isnan(values), np.float32(np.nan), density), quantity("density"))


def read_density_table(path: str | Path) -> list[tuple[float, float]]:
    """Read (HU, g/cm3) from a CSV file with the header `HU,density_g_cm3`, or a JSON list of pairs.

    Raises:
        StoreError: there is no such file.
        FormatError: it is no such table, or not in ascending order.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"no density table at {path}; check the path")
    try:
        text = path.read_text(encoding="utf-8")
        points = np.array(json.loads(text) if path.suffix == ".json" else _rows(text), dtype=float)
    except (ValueError, TypeError) as error:
        raise FormatError(
            f"{path} is no density table: {error}; expected rows under 'HU,density_g_cm3', or JSON pairs"
        ) from error
    return [(float(hu), float(density)) for hu, density in _checked(points, str(path))]


def _rows(text: str) -> list[list[str]]:
    header, *rows = [row for row in csv.reader(text.splitlines()) if row]
    if [name.strip() for name in header] != ["HU", "density_g_cm3"]:
        raise ValueError(f"its header is {','.join(header)}")
    return rows


def _checked(points: FloatArray, where: str) -> FloatArray:
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or not np.isfinite(points).all():
        raise FormatError(f"{where}: expected at least two pairs of HU and g/cm3, found an array of {points.shape}")
    if (np.diff(points[:, 0]) <= 0).any() or (points[:, 1] < 0).any():
        raise FormatError(f"{where}: HU must ascend and densities must not be negative")
    return points


def _slices(folder: Path, series_uid: str | None) -> tuple[list[DicomFile], list[str]]:
    """The slices of the one series, by file name, and what was left out."""
    if not folder.is_dir():
        raise StoreError(f"no folder at {folder}; give the folder of a CT series")
    by_series: dict[str, list[DicomFile]] = {}
    others = 0
    for path in sorted(each for each in folder.iterdir() if each.is_file()):
        file = _slice(path)
        if file is None:
            others += 1
        else:
            by_series.setdefault(file.text("SeriesInstanceUID"), []).append(file)
    wanted = [series_uid] if series_uid is not None else list(by_series)
    if len(wanted) > 1:
        raise UnsupportedError(f"{folder} holds {len(wanted)} CT series: {', '.join(wanted)}; keep one, or name it")
    if not wanted or wanted[0] not in by_series:
        raise FormatError(f"{folder} holds no CT slices{' of series ' + series_uid if series_uid else ''}")
    return by_series[wanted[0]], [f"{others} file(s) of the folder are no CT slices"] if others else []


def _slice(path: Path) -> DicomFile | None:
    """A CT slice; None for another kind of file. A damaged DICOM file is refused, since a slice may be missing."""
    with path.open("rb") as stream:
        start = stream.read(132)
    if start[128:] != b"DICM":
        if path.suffix.lower() == ".dcm" or not start:
            raise FormatError(f"{path} is empty or damaged (no DICM prefix), perhaps a CT slice; copy it again")
        return None
    file = open_dicom(path)
    found, promised = file.text("SOPClassUID"), DicomFile(path, file.dataset.file_meta).text("MediaStorageSOPClassUID")
    unknown = uid.UID(found, validation_mode=IGNORE).name == found and file.text("Modality") == "CT"
    if found != CT and (promised in (CT, "") or unknown):
        raise FormatError(f"{path} is damaged: it does not say what it holds, perhaps a CT slice; copy it again")
    return file if found == CT else None


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


def _placed(slices: Sequence[DicomFile]) -> tuple[Grid, npt.NDArray[np.intp]]:
    """The grid, and the order of the slices along row x column."""
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
    return Grid(shape, (between_columns, between_rows, step), (x, y, z), rows), order


def _hounsfield(file: DicomFile) -> FloatArray:
    """(i, j) CT numbers of one slice, NaN where it is padding."""
    if file.text("RescaleType") not in ("", "HU"):
        raise UnsupportedError(f"{file.path}: RescaleType is {file.text('RescaleType')!r}, expected HU")
    slope, intercept = (float(file.numbers(keyword, 1)[0]) for keyword in ("RescaleSlope", "RescaleIntercept"))
    frames = pixels_of(file)
    if len(frames) != 1:
        raise UnsupportedError(f"{file.path}: several frames in a CT slice; export one slice a file")
    stored = frames[0].T
    values = np.asarray(stored * slope + intercept, dtype=np.float64)
    if file.has("PixelPaddingValue"):
        padding = file.whole("PixelPaddingValue")
        low, high = sorted((padding, file.whole("PixelPaddingRangeLimit", padding)))
        values[(stored >= low) & (stored <= high)] = np.nan
    return values
