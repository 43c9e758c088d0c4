"""Where TOPAS components lie: through all their parents, in the world or in a patient.

Placement follows OpenTOPAS geometry/TsVGeometryComponent.cc: M = R_Z R_Y R_X takes a direction from the parent's frame
to the component's, so the component's own axes lie in the parent along the columns of M^-1, and its centre at Trans.
Whether a component is a group, or in a parallel world of whatever name, changes how it is simulated, not where it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError
from surrogate3d.grid import Grid
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_parameters import Parameters
from surrogate3d.io.topas_units import UNITS

Array = npt.NDArray[np.float64]

# A width is printed with six significant digits, so it may be off by five in the seventh.
PRINTED = 6e-6
_MM = {unit: factor for unit, (kind, factor) in UNITS.items() if kind == "length"}
_DOSE_GRID = "/rtdosegrid"


@dataclass(frozen=True, eq=False)
class Placement:
    """A component in a frame.

    Attributes:
        centre_mm: (3,) its origin.
        axes: (3, 3); column `a` is the component's own axis `a`.
    """

    centre_mm: Array
    axes: Array


def placement(parameters: Parameters, component: str, within: str = "World") -> Placement:
    """Position and orientation of a component in the frame of one that holds it, through all parents between.

    Raises:
        GeometryError: the component is not defined, or its parents form a circle.
    """
    centre, axes = np.zeros(3), np.eye(3)
    for name in ancestry(parameters, component, within):
        rotation = _rotation(parameters, name)
        centre = _translation(parameters, name) + rotation @ centre
        axes = rotation @ axes
    return Placement(centre, axes)


def orientation(parameters: Parameters, component: str) -> Array:
    """(3, 3) axes of a component in the world, as columns; positions on the way need not be known."""
    axes = np.eye(3)
    for name in ancestry(parameters, component):
        axes = _rotation(parameters, name) @ axes
    return axes


def ancestry(parameters: Parameters, component: str, within: str = "World") -> Iterator[str]:
    """The component, its parent, and so on, up to but without `within`.

    Raises:
        GeometryError: one is not defined, or they form a circle.
    """
    where, seen = parameters.files[0].name, list[str]()
    while component.lower() != within.lower():
        if component.lower() in seen:
            raise GeometryError(f"{where}: parents of {component} form a circle: {', '.join(seen)}")
        seen.append(component.lower())
        yield component
        if f"Ge/{component}/Parent" in parameters:
            component = parameters.string(f"Ge/{component}/Parent")
        elif component.lower().endswith(_DOSE_GRID):
            component = component[: -len(_DOSE_GRID)]
        elif f"Ge/{component}/Type" in parameters:
            component = "World"
        else:
            raise GeometryError(f"{where}: component {component} is not defined (no Ge/{component}/)")


def box_grid(shape: tuple[int, int, int], full_mm: Array, placed: Placement) -> Grid:
    """Grid of a box of full lengths `full_mm` (3,), divided into `shape` voxels along its own axes."""
    spacing = full_mm / np.array(shape)
    x, y, z = (float(v) for v in placed.centre_mm + placed.axes @ (-0.5 * full_mm + 0.5 * spacing))
    dx, dy, dz = (float(v) for v in spacing)
    rows = tuple((float(a), float(b), float(c)) for a, b, c in _clean(placed.axes))
    return Grid(shape, (dx, dy, dz), (x, y, z), rows)


def check_bins(
    parameters: Parameters,
    header: ScorerHeader,
    own_bins: tuple[int, ...],
    full_mm: Array,
    source: str = "",
    tolerance: tuple[float, float, float] = (PRINTED, PRINTED, PRINTED),
) -> None:
    """Refuse a header that is not of this geometry.

    Args:
        parameters: of the run; bins of the scorer itself come before those of its component.
        header: of the scorer.
        own_bins: bins of the component along X, Y, Z.
        full_mm: (3,) its full lengths.
        source: what states them, for messages.
        tolerance: relative, of the printed length along each axis.

    Raises:
        GeometryError: other bins or other lengths.
    """
    source = source or parameters.files[0].name
    for axis, name in enumerate("XYZ"):
        stated = parameters.integer(f"Sc/{header.scorer}/{name}Bins", own_bins[axis])
        if stated != header.shape[axis]:
            raise GeometryError(
                f"{header.scorer}: {name} has {header.shape[axis]} bins in the header, {stated} in {source}"
            )
    for bins, length, near in zip(header.axes, full_mm, tolerance, strict=bool(header.axes)):
        printed = bins.n * bins.width * _MM[bins.unit]
        if not math.isclose(printed, length, rel_tol=near):
            raise GeometryError(
                f"{header.scorer}: {bins.name} is {printed:g} mm long by the header, {length:g} mm by {source}; they "
                "are not of the same run"
            )


def printed_spacing_mm(header: ScorerHeader) -> tuple[float, float, float]:
    """Voxel size by the header alone, with its six digits, mm.

    Raises:
        GeometryError: a single voxel, of which the header says nothing, or bins that are not X, Y, Z.
    """
    if tuple(bins.name for bins in header.axes) != ("X", "Y", "Z"):
        found = ", ".join(bins.name for bins in header.axes) or "none"
        raise GeometryError(f"{header.scorer}: expected bins in X, Y, Z in the header, found {found}")
    dx, dy, dz = (bins.width * _MM[bins.unit] for bins in header.axes)
    return (dx, dy, dz)


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
