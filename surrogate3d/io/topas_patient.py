"""The frame of a patient: grids that TOPAS scored on a CT series, in the positions of DICOM.

TOPAS reads a CT as a box of voxels and turns and shifts it into its world (OpenTOPAS geometry/TsDicomPatient.cc). What
is scored in it belongs to the CT, so its voxels get their DICOM positions (LPS, mm) and not those of the world, and
directions of beams are turned back with `frame_of`. The centre of the box in DICOM is what TOPAS calls DicomOrigin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import InvalidDicomError

from surrogate3d.errors import FormatError, GeometryError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_parameters import Parameters
from surrogate3d.io.topas_placement import PRINTED, Placement, ancestry, box_grid, check_bins, orientation

Array = npt.NDArray[np.float64]

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_TAGS = ["Modality", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"]
_DOSE_TAGS = ["ImagePositionPatient", "PixelSpacing", "Rows", "Columns", "GridFrameOffsetVector"]
# TOPAS opens a new section of slices when the distance changes by more than this.
_SECTION_MM = 0.002


@dataclass(frozen=True, eq=False)
class _Box:
    """Voxels in the frame of DICOM, axes along it: bins, full lengths (3,) and centre (3,), mm."""

    bins: tuple[int, int, int]
    full_mm: Array
    centre_mm: Array


def patient_of(parameters: Parameters, component: str) -> str | None:
    """The TsDicomPatient that a component is, or lies in; None when there is none."""
    for name in ancestry(parameters, component):
        if parameters.string(f"Ge/{name}/Type", "").lower() == "tsdicompatient":
            return name
    return None


def frame_of(parameters: Parameters, component: str) -> Array:
    """(3, 3) axes, as columns in the TOPAS world, of the frame that positions of a component are given in.

    That of DICOM for a patient and what lies in it; else that of the world itself.
    """
    patient = patient_of(parameters, component)
    return np.eye(3) if patient is None else orientation(parameters, patient)


def patient_grid(parameters: Parameters, header: ScorerHeader, dicom_dir: Path | None = None) -> Grid:
    """Grid of a scorer on the CT itself, or on the dose grid that TOPAS made for it (Patient/RTDoseGrid).

    Args:
        parameters: of the run.
        header: of the scorer.
        dicom_dir: folder of the CT, where the path of the parameter file does not lead to it.

    Raises:
        GeometryError: no CT found, or it is not that of the run.
        FormatError: damaged or mixed DICOM files.
        UnsupportedError: a CT that is turned, tilted, unevenly spaced, or of several energies.
    """
    patient = patient_of(parameters, header.component)
    if patient is None:
        raise GeometryError(f"{parameters.files[0].name}: {header.component} lies in no TsDicomPatient")
    folder = _ct_folder(parameters, patient, dicom_dir)
    box = _ct_box(parameters, patient, folder)
    # Positions of slices are often rounded: their distance is known no better than TOPAS tells sections apart.
    tolerance = (PRINTED, PRINTED, max(PRINTED, _SECTION_MM * box.bins[2] / float(box.full_mm[2])))
    if header.component.lower() != patient.lower():
        box = _dose_box(parameters, patient, box, folder)
        tolerance = (2 * PRINTED,) * 3  # TOPAS prints its lengths once more before it uses them
    check_bins(parameters, header, box.bins, box.full_mm, f"the CT in {folder.name}", tolerance)
    return box_grid(header.shape, box.full_mm, Placement(box.centre_mm, np.eye(3)))


def dicom_origin_mm(parameters: Parameters, patient: str, dicom_dir: Path | None = None) -> Array:
    """(3,) position in DICOM of the centre of a patient's box: the DicomOrigin of TOPAS. Raises: as `patient_grid`."""
    return _ct_box(parameters, patient, _ct_folder(parameters, patient, dicom_dir)).centre_mm


def _ct_folder(parameters: Parameters, patient: str, given: Path | None) -> Path:
    if parameters.integer(f"Ge/{patient}/NumberOfEnergies", 1) != 1:
        raise UnsupportedError(f"{parameters.files[0].name}: {patient} is a CT of several energies; one is read")
    written = parameters.string(f"Ge/{patient}/DicomDirectory", "")
    top = parameters.files[0].parent
    candidates = [given] if given else [top / written, top / Path(written).name] if written else []
    for folder in candidates:
        if folder.is_dir():
            return folder
    if given:
        raise GeometryError(f"{given}: expected the folder of the CT of {patient} (--dicom-dir), found none")
    raise GeometryError(
        f"{parameters.files[0].name}: the CT of {patient} (DicomDirectory {written or 'not set'!r}) is not there; give "
        "its folder with --dicom-dir, or copy it beside the parameter file"
    )


def _ct_box(parameters: Parameters, patient: str, folder: Path) -> _Box:
    modalities = (
        parameters.strings(f"Ge/{patient}/DicomModalityTags")
        if f"Ge/{patient}/DicomModalityTags" in parameters
        else ("CT",)
    )
    slices = _slices(folder, modalities)
    (i0, i1), (j0, j1), (k0, k1) = (
        _kept(parameters, patient, axis, n)
        for axis, n in zip("XYZ", (int(slices[0].Columns), int(slices[0].Rows), len(slices)), strict=True)
    )
    # PixelSpacing is (between rows, between columns): y, then x.
    dy, dx = (float(v) for v in slices[0].PixelSpacing)
    kept = slices[k0:k1]
    spacing = np.array([dx, dy, _slice_distance(kept, folder)])
    bins = (i1 - i0, j1 - j0, k1 - k0)
    first = np.array([float(v) for v in kept[0].ImagePositionPatient]) + spacing * (i0, j0, 0)
    full = spacing * bins
    return _Box(bins, full, first - 0.5 * spacing + 0.5 * full)


def _slices(folder: Path, modalities: tuple[str, ...]) -> list[Any]:
    """Headers of the slices of one series, ascending in z."""
    found = [data for data in _headers(folder) if data.get("Modality") in modalities]
    if not found:
        raise GeometryError(f"{folder.name}: expected DICOM images of modality {', '.join(modalities)}, found none")
    for data in found:
        _require(data, _TAGS, f"{folder.name}: a slice of the CT")
        if not np.allclose([float(v) for v in data.ImageOrientationPatient], _IDENTITY, atol=1e-5):
            raise UnsupportedError(
                f"{folder.name}: orientation {list(data.ImageOrientationPatient)} of the CT; TOPAS takes its axes as "
                "those of DICOM, so only 1, 0, 0, 0, 1, 0 is placed"
            )
    for tag in ("Rows", "Columns", "PixelSpacing"):
        if len({str(data.get(tag)) for data in found}) > 1:
            raise FormatError(f"{folder.name}: slices of the CT differ in {tag}; leave one series in the folder")
    if not np.allclose(np.ptp([[float(v) for v in d.ImagePositionPatient[:2]] for d in found], axis=0), 0, atol=1e-3):
        raise UnsupportedError(f"{folder.name}: slices of the CT are shifted against each other (tilted gantry)")
    return sorted(found, key=lambda data: float(data.ImagePositionPatient[2]))


def _require(data: Any, tags: list[str], what: str) -> None:
    missing = [tag for tag in tags if data.get(tag) in (None, "")]
    if missing:
        raise FormatError(f"{what} has no {', '.join(missing)}")


def _headers(folder: Path) -> Iterator[Any]:
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            yield pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_TAGS, "SliceThickness"])
        except InvalidDicomError:
            continue  # other files may lie beside the slices


def _slice_distance(slices: list[Any], folder: Path) -> float:
    """As TOPAS takes it: the last distance, when none differs from the one before; the thickness of a single slice."""
    if len(slices) == 1:
        thickness = slices[0].get("SliceThickness")
        if not thickness:
            raise FormatError(f"{folder.name}: a single slice without SliceThickness")
        return float(thickness)
    distances = np.diff([float(data.ImagePositionPatient[2]) for data in slices])
    if distances.min() <= 0:
        raise FormatError(f"{folder.name}: two slices of the CT at one position; leave one series in the folder")
    if np.ptp(distances) > _SECTION_MM:
        raise UnsupportedError(
            f"{folder.name}: slices are {distances.min():g} to {distances.max():g} mm apart; TOPAS scores such a CT in "
            "sections, which are not read: score on a parallel TsBox or on CloneRTDoseGridSize"
        )
    return float(distances[-1])


def _kept(parameters: Parameters, patient: str, axis: str, n: int) -> tuple[int, int]:
    """First and behind-last index along an axis that RestrictVoxels leaves (it counts from 1)."""
    low = parameters.integer(f"Ge/{patient}/RestrictVoxels{axis}Min", 1)
    high = min(parameters.integer(f"Ge/{patient}/RestrictVoxels{axis}Max", n), n)
    if not 1 <= low <= high:
        raise GeometryError(f"{parameters.files[0].name}: RestrictVoxels{axis} keeps none of the {n} voxels of the CT")
    return low - 1, high


def _dose_box(parameters: Parameters, patient: str, ct: _Box, folder: Path) -> _Box:
    """The grid that TOPAS makes of CloneRTDoseGridFrom and CloneRTDoseGridSize (TsDicomPatient::CreateDoseGrid)."""
    source, size = (f"Ge/{patient}/CloneRTDoseGrid{what}" for what in ("From", "Size"))
    if source not in parameters and size not in parameters:
        raise GeometryError(f"{parameters.files[0].name}: {patient}/RTDoseGrid without {source} or {size}")
    box = ct
    if source in parameters:
        box = _rtdose_box(_beside(parameters, parameters.string(source), folder))
    if size not in parameters:
        return box
    spacing = parameters.numbers(size, "length")
    if len(spacing) != 3 or min(spacing) <= 0:
        raise GeometryError(f"{parameters.files[0].name}: {size} must be three lengths above 0, found {spacing}")
    i, j, k = (math.ceil(length / step) for length, step in zip(box.full_mm, spacing, strict=True))
    return _Box((i, j, k), np.array(spacing) * (i, j, k), box.centre_mm)


def _beside(parameters: Parameters, written: str, folder: Path) -> Path:
    top = parameters.files[0].parent
    for path in (top / written, folder / Path(written).name, top / Path(written).name):
        if path.is_file():
            return path
    raise GeometryError(
        f"{parameters.files[0].name}: dose file {written} of CloneRTDoseGridFrom is not there; copy it to the CT"
    )


def _rtdose_box(path: Path) -> _Box:
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError as error:
        raise FormatError(f"{path.name}: expected a DICOM dose file") from error
    _require(data, _DOSE_TAGS, f"{path.name}: a dose file")
    offsets = np.atleast_1d(np.array(data.GridFrameOffsetVector, dtype=float))
    steps = np.abs(np.diff(offsets))
    if len(offsets) < 2 or offsets[0] != 0 or np.ptp(steps) > 0.02 * steps[0]:
        raise UnsupportedError(f"{path.name}: frames must start at offset 0 and be evenly spaced, found {offsets[:4]}")
    if not np.allclose([float(v) for v in data.get("ImageOrientationPatient", _IDENTITY)], _IDENTITY, atol=1e-5):
        raise UnsupportedError(f"{path.name}: the dose grid is turned against DICOM's axes, which TOPAS ignores")
    dy, dx = (float(v) for v in data.PixelSpacing)
    bins = (int(data.Columns), int(data.Rows), len(offsets))
    spacing = np.array([dx, dy, steps[0]])
    last = np.array([dx * (bins[0] - 1), dy * (bins[1] - 1), offsets[-1]])
    centre = np.array([float(v) for v in data.ImagePositionPatient]) + 0.5 * last
    return _Box(bins, spacing * bins, centre)
