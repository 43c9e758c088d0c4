"""The files of one lesion: image, masks and what was delivered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    QuantityError,
    UnknownNameError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import Grid, Volume, quantity, turned_to
from surrogate3d.io.cohort_table import Source
from surrogate3d.io.dicom_dose import read_rtdose
from surrogate3d.io.dicom_image import read_image_series
from surrogate3d.io.dicom_masks import mask_of, volume_of
from surrogate3d.io.dicom_structures import Structure, read_rtstruct, structure_named
from surrogate3d.io.images import image_notes, read_image

BoolArray = npt.NDArray[np.bool_]

SAME_GRID = 0.01
"""Corners of one grid may lie this part of a voxel apart: what rounding of headers explains."""


@dataclass(frozen=True, eq=False)
class Scan:
    """An image or a delivered volume.

    Attributes:
        volume: its values.
        frame: DICOM's frame of reference UID; empty where the file does not say it.
        notes: what a user should know.
    """

    volume: Volume
    frame: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Region:
    """Voxels of an image.

    Attributes:
        voxels: (i, j, k) of the image.
        volume_mm3: of the contours where there are contours, else of the voxels.
        notes: what a user should know.
    """

    voxels: BoolArray
    volume_mm3: float
    notes: tuple[str, ...]


def read_scan(source: Source) -> Scan:
    """Read an image: a file, or a folder of a DICOM series.

    Raises:
        Surrogate3dError: as `images.read_image` and `dicom_image.read_image_series`.
    """
    if source.path.is_dir():
        series = read_image_series(source.path, source.part or None)
        return Scan(series.volume, series.frame_of_reference_uid, series.notes)
    _require_no_part(source)
    return Scan(read_image(source.path, quantity("image_signal")), "", image_notes(source.path))


def read_delivered(source: Source, quantity_name: str) -> Scan:
    """Read a delivered volume: an image file, or an RT Dose.

    Raises:
        Surrogate3dError: as `images.read_image` and `dicom_dose.read_rtdose`.
        QuantityError: a dose in arbitrary scale.
        ValueRangeError: negative values.
    """
    _require_no_part(source)
    if source.path.suffix.lower() == ".dcm":
        found = read_rtdose(source.path, as_quantity=quantity_name)
        if found.dose_units == "RELATIVE":
            raise QuantityError(f"{source.path}: the dose is in arbitrary scale; expected {found.volume.quantity.unit}")
        return Scan(found.volume, found.header.frame_of_reference_uid, ())
    volume = read_image(source.path, quantity(quantity_name))
    if (volume.values < 0).any():
        raise ValueRangeError(
            f"{source.path}: {quantity_name} is down to {np.nanmin(volume.values):g}; none may be < 0"
        )
    return Scan(volume, "", image_notes(source.path))


def read_region(source: Source, image: Scan) -> Region:
    """Read a mask onto the grid of its image.

    Args:
        source: an image on the grid of `image`, up to order and sense of its axes, or `file.dcm#ROI name`.
        image: where the voxels are wanted.

    Raises:
        GridMismatchError: the mask is on another grid, or its contours are in another frame of reference.
        UnknownNameError: no such label or ROI, or several and none is named.
        GeometryError: all of it lies outside the image.
        Surrogate3dError: as the readers of images and structures.
    """
    grid = image.volume.grid
    if _has_contours(source):
        structure = _structure(source)
        _require_frame(structure.frame_of_reference_uid, image.frame, f"{source.path}: {structure.name!r}")
        mask = mask_of(structure, grid)
        return Region(mask.binary, mask.volume_mm3, mask.notes)
    own = _labelled(source)
    turned = turned_to(own, grid)
    _require_same(turned, grid, source.path)
    voxels = turned.values > 0
    return Region(voxels, float(voxels.sum()) * grid.voxel_volume_mm3, image_notes(source.path))


def read_volume_mm3(source: Source) -> float:
    """Volume of a mask on a grid of its own, mm^3.

    Raises:
        Surrogate3dError: as `read_region`.
    """
    if _has_contours(source):
        return volume_of(_structure(source))
    mask = _labelled(source)
    return float((mask.values > 0).sum()) * mask.grid.voxel_volume_mm3


def require_frames(delivered: Scan, image: Scan, what: str) -> None:
    """Refuse volumes of two frames of reference between which no transform is stated.

    Raises:
        GridMismatchError: the frames differ.
    """
    _require_frame(delivered.frame, image.frame, what)


def _require_frame(frame: str, other: str, what: str) -> None:
    if frame and other and frame != other:
        raise GridMismatchError(
            f"{what} is in frame of reference {frame}, the image in {other}; take the files of one frame, or for "
            "delivered volumes state the transform in image_to_dose"
        )


def _has_contours(source: Source) -> bool:
    return source.path.suffix.lower() == ".dcm"


def _structure(source: Source) -> Structure:
    structures = read_rtstruct(source.path)
    if not source.part:
        known = ", ".join(each.name for each in structures)
        raise UnknownNameError(f"{source.path}: name the ROI, as in {source.path.name}#GTV; there are: {known}")
    return structure_named(structures, source.part)


def _labelled(source: Source) -> Volume:
    """1 at the wanted labels of a mask, else 0."""
    volume = read_image(source.path, quantity("mask"))
    values = volume.values
    if not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise FormatError(f"{source.path}: a mask holds 0 and 1, or whole numbers as labels; found other values")
    found = [int(label) for label in np.unique(values[values != 0])]
    wanted = _labels(source) if source.part else [1]
    missing = [label for label in wanted if label not in found]
    if (missing and source.part) or (not source.part and set(found) - {1}):
        asked = f"no label {', '.join(map(str, missing))}" if source.part else "several labels, or another one than 1"
        raise UnknownNameError(
            f"{source.path}: {asked}; it has {', '.join(map(str, found)) or 'none'}; name those of the lesion, as in "
            f"{source.path.name}#{found[0] if found else 1} or #1+2 for both"
        )
    return Volume(volume.grid, np.isin(values, wanted).astype(np.float32), volume.quantity)


def _labels(source: Source) -> list[int]:
    try:
        return [int(text) for text in source.part.split("+")]
    except ValueError as error:
        raise UnknownNameError(
            f"{source.path}: labels are whole numbers, as in #3 or #1+2, found #{source.part}"
        ) from error


def _require_same(turned: Volume, grid: Grid, path: Path) -> None:
    own = turned.grid
    shift = np.abs(own.position_mm(_corners(own)) - grid.position_mm(_corners(grid))).max()
    if own.shape == grid.shape and shift <= SAME_GRID * min(grid.spacing_mm):
        return
    if turned.values.any() and not _reaches(turned, grid):
        raise GeometryError(f"{path}: the lesion lies outside its image; give the mask of the same scan")
    if own.shape != grid.shape:
        what = f"its shape is {own.shape}, that of the image {grid.shape}, axes in the same order"
    else:
        spacing = "" if np.allclose(own.spacing_mm, grid.spacing_mm) else f", spacing {own.spacing_mm} mm"
        what = f"its corners lie up to {shift:.4g} mm from those of the image ({grid.spacing_mm} mm{spacing})"
    raise GridMismatchError(f"{path}: the mask is not on the grid of its image: {what}; resample it onto the image")


def _corners(grid: Grid) -> npt.NDArray[np.float64]:
    """(8, 3) indices of the outer corners."""
    ends = np.array(list(np.ndindex(2, 2, 2)), dtype=np.float64)
    return ends * grid.shape - 0.5


def _reaches(mask: Volume, grid: Grid) -> bool:
    """Whether any voxel of a mask lies in a grid."""
    index = grid.index(mask.grid.position_mm(np.argwhere(mask.values > 0)))
    return bool(((index >= -0.5) & (index <= np.array(grid.shape) - 0.5)).all(axis=1).any())


def _require_no_part(source: Source) -> None:
    if source.part:
        raise UnsupportedError(f"{source.path}: nothing follows a '#' here, found {source.part!r}; name the file alone")
