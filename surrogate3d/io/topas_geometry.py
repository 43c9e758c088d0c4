"""Where a TOPAS scoring box lies, where the beam goes, and how many histories there were: from the parameter file.

Placement follows OpenTOPAS geometry/TsVGeometryComponent.cc: M = R_Z R_Y R_X takes a direction from the parent's frame
to the component's, so the component's own axes lie in the parent along the columns of M^-1, and its centre at Trans.
The axes of the TOPAS world are taken as those of the patient frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.topas_header import Binning, ScorerHeader
from surrogate3d.io.topas_parameters import Parameters

Array = npt.NDArray[np.float64]

# A width is printed with six significant digits, so it may be off by five in the seventh.
_PRINTED = 6e-6
_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3}


@dataclass(frozen=True, eq=False)
class Placement:
    """A component in the world.

    Attributes:
        centre_mm: (3,) its origin.
        axes: (3, 3); column `a` is the component's own axis `a`.
    """

    centre_mm: Array
    axes: Array


def placement(parameters: Parameters, component: str) -> Placement:
    """Position and orientation of a component in the world, through all its parents.

    Raises:
        GeometryError: the component is not defined, or its parents form a circle.
    """
    centre, axes = np.zeros(3), np.eye(3)
    seen: list[str] = []
    while component.lower() != "world":
        if f"Ge/{component}/Parent" not in parameters and f"Ge/{component}/Type" not in parameters:
            raise GeometryError(
                f"{parameters.files[0].name}: component {component} is not defined (no Ge/{component}/)"
            )
        if component.lower() in seen:
            raise GeometryError(f"{parameters.files[0].name}: parents of {component} form a circle: {', '.join(seen)}")
        seen.append(component.lower())
        rotation = _rotation(parameters, component)
        centre = _translation(parameters, component) + rotation @ centre
        axes = rotation @ axes
        component = parameters.string(f"Ge/{component}/Parent", "World")
    return Placement(centre, axes)


def component_grid(parameters: Parameters, header: ScorerHeader) -> Grid:
    """Grid of a scored box.

    Lengths come from the parameter file, whose digits are all there; the header's must agree within its six.

    Raises:
        GeometryError: not a TsBox, not defined, or header and parameter file disagree.
    """
    component, where = header.component, parameters.files[0].name
    kind = parameters.string(f"Ge/{component}/Type", "")
    if kind.lower() != "tsbox":
        raise GeometryError(
            f"{where}: scored component {component} has Type {kind or 'none'!r}; only a TsBox is placed"
        )
    full = np.array([2 * parameters.number(f"Ge/{component}/HL{axis}", "length") for axis in "XYZ"])
    _check_bins(parameters, header, full)
    spacing = full / np.array(header.shape)
    placed = placement(parameters, component)
    origin = placed.centre_mm + placed.axes @ (-0.5 * full + 0.5 * spacing)
    x, y, z = (float(v) for v in origin)
    dx, dy, dz = (float(v) for v in spacing)
    rows = tuple((float(a), float(b), float(c)) for a, b, c in _clean(placed.axes))
    return Grid(header.shape, (dx, dy, dz), (x, y, z), rows)


def beam_direction(parameters: Parameters) -> Array:
    """(3,) unit vector of travel in the world: +Z of the component of each source that has histories.

    Raises:
        GeometryError: no source with histories.
        UnsupportedError: a source that is not a beam, or sources more than a degree apart.
    """
    directions = []
    for source in sources(parameters):
        kind = parameters.string(f"So/{source}/Type")
        if kind.lower() not in ("beam", "emittance"):
            raise UnsupportedError(
                f"{parameters.files[0].name}: source {source} has Type {kind!r}; only Beam and Emittance are read"
            )
        directions.append(placement(parameters, parameters.string(f"So/{source}/Component")).axes[:, 2])
    if not directions:
        raise GeometryError(f"{parameters.files[0].name}: no source has NumberOfHistoriesInRun above 0")
    if any(float(d @ directions[0]) < math.cos(math.radians(1.0)) for d in directions):
        raise UnsupportedError(
            f"{parameters.files[0].name}: sources shoot in different directions; convert each beam alone"
        )
    return np.asarray(directions[0], dtype=float)


def beam_axis(grid: Grid, direction: Array) -> tuple[int, int]:
    """Index axis nearest to a direction in space, and +1 when travel is towards larger indices, else -1."""
    along = np.asarray(grid.direction).T @ direction
    axis = int(np.argmax(np.abs(along)))
    return axis, 1 if along[axis] > 0 else -1


def sources(parameters: Parameters) -> list[str]:
    """Names of the sources with NumberOfHistoriesInRun above 0."""
    names = []
    for parameter in parameters:
        parts = parameter.name.split("/")
        is_count = len(parts) == 3 and parts[0].lower() == "so" and parts[2].lower() == "numberofhistoriesinrun"
        if is_count and parameters.integer(parameter.name) > 0:
            names.append(parts[1])
    return names


def histories(parameters: Parameters) -> int:
    """Simulated primary histories: sum over sources, times the number of sequential times."""
    per_run = sum(parameters.integer(f"So/{source}/NumberOfHistoriesInRun") for source in sources(parameters))
    return per_run * parameters.integer("Tf/NumberOfSequentialTimes", 1)


def seed(parameters: Parameters) -> int:
    """Random seed; TOPAS takes 1 when none is set."""
    return parameters.integer("Ts/Seed", 1)


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
        and math.isclose(stated.low, binning.low, rel_tol=_PRINTED)
        and math.isclose(stated.high, binning.high, rel_tol=_PRINTED)
    )
    if not same:
        raise FormatError(
            f"{header.scorer}: header has {_words(binning, binning.is_logarithmic)}, "
            f"{where} has {_words(stated, is_log)}; they are not of the same run"
        )
    return stated.edges


def _words(binning: Binning, is_log: bool) -> str:
    kind = "logarithmic" if is_log else "linear"
    return f"{binning.n} {kind} {binning.mode} bins from {binning.low:g} to {binning.high:g} MeV"


def _check_bins(parameters: Parameters, header: ScorerHeader, full_mm: Array) -> None:
    for axis, name in enumerate("XYZ"):
        own = f"Sc/{header.scorer}/{name}Bins"
        stated = parameters.integer(own if own in parameters else f"Ge/{header.component}/{name}Bins", 1)
        if stated != header.shape[axis]:
            raise GeometryError(
                f"{header.scorer}: {name} has {header.shape[axis]} bins in the header, {stated} in "
                f"{parameters.files[0].name}"
            )
    for bins, length in zip(header.axes, full_mm, strict=bool(header.axes)):
        printed = bins.n * bins.width * _MM[bins.unit]
        if not math.isclose(printed, length, rel_tol=_PRINTED):
            raise GeometryError(
                f"{header.scorer}: {bins.name} is {printed:g} mm long by the header, {length:g} mm by "
                f"{parameters.files[0].name}; they are not of the same run"
            )


def _translation(parameters: Parameters, component: str) -> Array:
    return np.array([parameters.number(f"Ge/{component}/Trans{axis}", "length", 0.0) for axis in "XYZ"])


def _rotation(parameters: Parameters, component: str) -> Array:
    """(3, 3) matrix from the component's frame to its parent's: (R_Z R_Y R_X)^-1."""
    to_component = np.eye(3)
    for axis, name in enumerate("XYZ"):
        angle = parameters.number(f"Ge/{component}/Rot{name}", "angle", 0.0)
        to_component = _about(axis, angle) @ to_component
    return np.asarray(to_component.T)


def _about(axis: int, angle: float) -> Array:
    """(3, 3) right-handed rotation by `angle` about a coordinate axis."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
    return matrix


def _clean(axes: Array) -> Array:
    """Without the rounding noise of sin(180 deg), which would spoil equality of grids and readability."""
    return np.where(np.abs(axes) < 1e-12, 0.0, np.where(np.abs(np.abs(axes) - 1) < 1e-12, np.sign(axes), axes))
