"""DICOM CT series: CT numbers on one grid, and density by a table that the user gives."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Volume, quantity
from surrogate3d.io.dicom_dataset import DicomFile
from surrogate3d.io.dicom_slices import padded, placed, slices_of, stored_values

FloatArray = npt.NDArray[np.float64]


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
    slices, notes = slices_of(Path(folder), series_uid, ("CT",))
    grid, order = placed(slices)
    values = np.empty(grid.shape, dtype=np.float32)
    for k, number in enumerate(order):
        values[:, :, k] = _hounsfield(slices[number])
    without = int(np.isnan(values).sum())
    if without:
        notes += (f"{without} voxels are padding and have no value",)
    first = slices[0]
    return Ct(
        volume=Volume(grid, values, quantity("HU")),
        series_uid=first.text("SeriesInstanceUID"),
        frame_of_reference_uid=first.text("FrameOfReferenceUID"),
        description=first.text("SeriesDescription"),
        n_slices=len(slices),
        notes=notes,
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


def _hounsfield(file: DicomFile) -> FloatArray:
    """(i, j) CT numbers of one slice, NaN where it is padding."""
    if file.text("RescaleType") not in ("", "HU"):
        raise UnsupportedError(f"{file.path}: RescaleType is {file.text('RescaleType')!r}, expected HU")
    slope, intercept = (float(file.numbers(keyword, 1)[0]) for keyword in ("RescaleSlope", "RescaleIntercept"))
    stored = stored_values(file)
    values = np.asarray(stored * slope + intercept, dtype=np.float64)
    values[padded(file, stored)] = np.nan
    return values
