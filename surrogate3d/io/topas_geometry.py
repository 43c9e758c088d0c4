"""Where a scored TOPAS component lies, and what its bins are: from the parameter file, or as given.

Positions are in the frame of the component (see `topas_patient.frame_of`): of DICOM in a patient, else of the TOPAS
world, whose axes are then taken as those of the patient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError
from surrogate3d.grid import Grid
from surrogate3d.grid.geometry import IDENTITY
from surrogate3d.io.given import Given
from surrogate3d.io.topas_header import Binning, ScorerHeader
from surrogate3d.io.topas_parameters import Parameters
from surrogate3d.io.topas_patient import dicom_origin_mm, frame_of, patient_grid, patient_of
from surrogate3d.io.topas_placement import PRINTED, Placement, box_grid, check_bins, placement, printed_spacing_mm
from surrogate3d.io.topas_sources import beam_direction, histories, seed, sources

__all__ = [
    "CurvedShape",
    "Placement",
    "beam_axis",
    "beam_direction",
    "component_grid",
    "curved_shape",
    "energy_edges",
    "frame_of",
    "given_grid",
    "histories",
    "patient_grid",
    "placement",
    "seed",
    "sources",
]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CurvedShape:
    """A cylinder or a sphere as TOPAS divides it; headers print neither its inner radius nor where its angles start.

    Attributes:
        kind: "cylinder" (bins R, Phi, Z) or "sphere" (R, Phi, Theta).
        r_min_mm: inner radius.
        r_max_mm: outer radius.
        half_length_mm: of the cylinder along its Z; 0 for a sphere.
        phi_start_rad: where Phi begins, from X towards Y of the component.
        phi_span_rad: what Phi covers.
        theta_start_rad: where Theta begins, from Z of the component; 0 for a cylinder.
        theta_span_rad: what Theta covers; 0 for a cylinder.
        placed: centre and own axes in the frame of the component.
    """

    kind: str
    r_min_mm: float
    r_max_mm: float
    half_length_mm: float
    phi_start_rad: float
    phi_span_rad: float
    theta_start_rad: float
    theta_span_rad: float
    placed: Placement


def component_grid(parameters: Parameters, header: ScorerHeader, dicom_dir: Path | None = None) -> Grid:
    """Grid of a scored box.

    Lengths come from the parameter file or the CT, whose digits are all there; the header's must agree within its six.

    Args:
        parameters: of the run.
        header: of the scorer.
        dicom_dir: folder of the CT of a TsDicomPatient, where the path of the parameter file does not lead to it.

    Raises:
        GeometryError: not a box, not defined, its CT not found, or header and parameter file disagree.
        UnsupportedError: a CT that is not placed (see `patient_grid`), or a place that changes with time.
    """
    component, where = header.component, parameters.files[0].name
    kind = parameters.string(f"Ge/{component}/Type", "")
    patient = patient_of(parameters, component) if kind or component.lower().endswith("/rtdosegrid") else None
    if patient and (not kind or patient.lower() == component.lower()):
        return patient_grid(parameters, header, dicom_dir)
    size = _SIZES.get(kind.lower())
    if size is None:
        raise GeometryError(
            f"{where}: scored component {component} has Type {kind or 'none'!r}; only boxes are placed "
            "(TsBox, TsImageCube, TsDicomPatient)"
        )
    bins, full = size(parameters, component)
    check_bins(parameters, header, bins, full)
    return box_grid(header.shape, full, _placed(parameters, component, dicom_dir))


def given_grid(header: ScorerHeader, given: Given) -> Grid:
    """Grid of a scored box without parameter file: voxels by the header, position and orientation as given.

    Raises:
        GeometryError: no position was given, or the header has no bins in X, Y, Z.
    """
    if given.origin_mm is None:
        raise GeometryError(
            f"{header.scorer}: without the parameter file its position is unknown; give the centre of the first voxel "
            "with --origin, and --direction if its axes are turned, or copy the parameter file beside the outputs"
        )
    if given.direction is not None and np.linalg.det(np.array(given.direction)) < 0:
        raise GeometryError(f"axes of TOPAS are right-handed; the given direction is not: {given.direction}")
    return Grid(header.shape, printed_spacing_mm(header), given.origin_mm, given.direction or IDENTITY)


def curved_shape(parameters: Parameters, component: str, dicom_dir: Path | None = None) -> CurvedShape:
    """A scored TsCylinder or TsSphere.

    Raises:
        GeometryError: neither of them, not defined, or empty.
    """
    prefix = f"Ge/{component}"
    kind = parameters.string(f"{prefix}/Type", "").lower()
    if kind not in ("tscylinder", "tssphere"):
        raise GeometryError(
            f"{parameters.files[0].name}: expected TsCylinder or TsSphere, found {component} of Type {kind or 'none'!r}"
        )
    sphere = kind == "tssphere"
    shape = CurvedShape(
        kind=kind.removeprefix("ts"),
        r_min_mm=parameters.number(f"{prefix}/RMin", "length", 0.0),
        r_max_mm=parameters.number(f"{prefix}/RMax", "length"),
        half_length_mm=0.0 if sphere else parameters.number(f"{prefix}/HL", "length"),
        phi_start_rad=parameters.number(f"{prefix}/SPhi", "angle", 0.0),
        phi_span_rad=parameters.number(f"{prefix}/DPhi", "angle", 2 * math.pi),
        theta_start_rad=parameters.number(f"{prefix}/STheta", "angle", 0.0) if sphere else 0.0,
        theta_span_rad=parameters.number(f"{prefix}/DTheta", "angle", math.pi) if sphere else 0.0,
        placed=_placed(parameters, component, dicom_dir),
    )
    if not 0 <= shape.r_min_mm < shape.r_max_mm or (not sphere and shape.half_length_mm <= 0):
        raise GeometryError(
            f"{parameters.files[0].name}: {component} is empty, with radii {shape.r_min_mm:g} to {shape.r_max_mm:g} mm "
            f"and half length {shape.half_length_mm:g} mm"
        )
    return shape


def beam_axis(grid: Grid, direction: Array) -> tuple[int, int]:
    """Index axis nearest to a direction in space, and +1 when travel is towards larger indices, else -1."""
    along = np.asarray(grid.direction).T @ direction
    axis = int(np.argmax(np.abs(along)))
    return axis, 1 if along[axis] > 0 else -1


def energy_edges(parameters: Parameters, header: ScorerHeader) -> Array:
    """(n + 1,) edges of total kinetic energy, MeV, with all the digits of the parameter file.

    Raises:
        FormatError: header and parameter file disagree, or the scorer is not binned in energy.
    """
    binning = header.binning
    if binning is None:
        raise FormatError(f"{header.scorer}: expected energy bins, found none")
    prefix, where = f"Sc/{header.scorer}", parameters.files[0].name
    if f"{prefix}/EBins" not in parameters:
        raise FormatError(f"{where}: {prefix}/EBins is not set, but the output of {header.scorer} has energy bins")
    stated = Binning(
        mode=parameters.string(f"{prefix}/EBinEnergy", "IncidentTrack"),
        n=parameters.integer(f"{prefix}/EBins"),
        width=binning.width,
        low=parameters.number(f"{prefix}/EBinMin", "energy", 0.0),
        high=parameters.number(f"{prefix}/EBinMax", "energy"),
    )
    is_log = parameters.boolean(f"{prefix}/EBinLog", False)
    same = (
        stated.mode.lower() == binning.mode.lower()
        and (stated.n, is_log) == (binning.n, binning.is_logarithmic)
        and math.isclose(stated.low, binning.low, rel_tol=PRINTED)
        and math.isclose(stated.high, binning.high, rel_tol=PRINTED)
    )
    if not same:
        raise FormatError(
            f"{header.scorer}: header has {_words(binning, binning.is_logarithmic)}, "
            f"{where} has {_words(stated, is_log)}; they are not of the same run"
        )
    return stated.edges


def _placed(parameters: Parameters, component: str, dicom_dir: Path | None) -> Placement:
    """A component in its frame: in the world, or in the DICOM positions of the patient that holds it."""
    patient = patient_of(parameters, component)
    if patient is None:
        return placement(parameters, component)
    placed = placement(parameters, component, within=patient)
    return Placement(placed.centre_mm + dicom_origin_mm(parameters, patient, dicom_dir), placed.axes)


def _box_size(parameters: Parameters, component: str) -> tuple[tuple[int, ...], Array]:
    bins = tuple(parameters.integer(f"Ge/{component}/{axis}Bins", 1) for axis in "XYZ")
    return bins, np.array([2 * parameters.number(f"Ge/{component}/HL{axis}", "length") for axis in "XYZ"])


def _image_cube_size(parameters: Parameters, component: str) -> tuple[tuple[int, ...], Array]:
    """Voxels of an image cube, where the parameters say them (TsVImagingToMaterial.cc)."""
    where = parameters.files[0].name
    for name in ("MetaDataFile", *(f"RestrictVoxels{axis}{end}" for axis in "XYZ" for end in ("Min", "Max"))):
        if f"Ge/{component}/{name}" in parameters:
            raise GeometryError(
                f"{where}: {component} is an image cube with {name}, which is not read; score on a TsBox"
            )
    bins, lengths = [], []
    for axis in "XYZ":
        count, size = f"Ge/{component}/NumberOfVoxels{axis}", f"Ge/{component}/VoxelSize{axis}"
        is_vector = count in parameters and parameters.by_name[count.lower()].type == "iv"
        counts = parameters.counts(count) if is_vector else (parameters.integer(count),)
        sizes = parameters.numbers(size, "length") if is_vector else (parameters.number(size, "length"),)
        if len(counts) != 1 or len(sizes) != 1:
            raise GeometryError(f"{where}: {component} has {len(counts)} sections of slices; only even ones are placed")
        bins.append(counts[0])
        lengths.append(counts[0] * sizes[0])
    return tuple(bins), np.array(lengths)


_SIZES: dict[str, Callable[[Parameters, str], tuple[tuple[int, ...], Array]]] = {
    "tsbox": _box_size,
    "tsimagecube": _image_cube_size,
}


def _words(binning: Binning, is_log: bool) -> str:
    kind = "logarithmic" if is_log else "linear"
    return f"{binning.n} {kind} {binning.mode} bins from {binning.low:g} to {binning.high:g} MeV"
