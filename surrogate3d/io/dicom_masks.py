"""Structures on a grid: which fraction of every voxel is inside.

The contours of a plane combine by even-odd: what lies in an even number of them is outside, so holes may be contours of
their own or keyholes. A plane stands for the slab half-way to its neighbours, at the ends half the usual spacing.
Area fractions are exact, by Green's theorem; along the normal a voxel takes its overlap with each slab.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from surrogate3d.errors import GeometryError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.dicom_structures import Structure
from surrogate3d.io.polygon_coverage import coverage

FloatArray = npt.NDArray[np.float64]

FLAT_MM = 0.1
"""How far points may be from their plane, and planes apart that are one: what planning systems round to."""

GAP = 1.5
"""Planes further apart than this many usual spacings have a gap between them, which is not filled."""

SELF_CROSSING = 0.05
"""Largest part of an outline's area that may depend on how its own crossings are read."""

SAME = 1e-3
"""Contours that differ by less than this part of their area are one contour, written twice."""


@dataclass(frozen=True, eq=False)
class StructureMask:
    """A structure on a grid.

    Attributes:
        volume: (i, j, k) fraction of each voxel that is inside, 0 to 1.
        volume_mm3: volume of the structure itself, also of what lies outside the grid.
        notes: what was left out, repaired or noticed.
    """

    volume: Volume
    volume_mm3: float
    notes: tuple[str, ...]

    @property
    def binary(self) -> npt.NDArray[np.bool_]:
        """(i, j, k) whether at least half of the voxel is inside."""
        return np.asarray(self.volume.values >= 0.5)


@dataclass(frozen=True, eq=False)
class _Plane:
    """The closed contours of one plane, as areas in index coordinates (u, v) of the grid, and the plane's place."""

    at_mm: float
    areas: list[BaseGeometry]


def mask_of(structure: Structure, grid: Grid, slab_mm: float | None = None) -> StructureMask:
    """Lay a structure on a grid.

    Args:
        structure: its contours lie in planes across one index axis of the grid, which may be permuted or flipped.
        grid: where the fractions are wanted.
        slab_mm: thickness of the slab of a structure in a single plane, where the file does not say it.

    Raises:
        UnsupportedError: no closed contours; planes oblique to the grid or to each other; one plane without thickness.
        GeometryError: all of it lies outside the grid.
        ValueRangeError: a contour crosses itself so that its area is uncertain.
    """
    notes = list(structure.skipped)
    axis = _normal_axis(structure, grid)
    planes = _planes(structure, grid, axis, notes)
    bounds = _slabs(structure, np.array([plane.at_mm for plane in planes]), slab_mm, notes)
    fractions = np.zeros(grid.shape)
    stacked = np.moveaxis(fractions, axis, 2)
    whole = 0.0
    for plane, (lower, upper) in zip(planes, bounds, strict=True):
        area = _even_odd(plane.areas)
        whole += area.area * (upper - lower)
        _add(stacked, area, lower / grid.spacing_mm[axis], upper / grid.spacing_mm[axis])
    whole *= grid.voxel_volume_mm3 / grid.spacing_mm[axis]
    inside = float(fractions.sum()) * grid.voxel_volume_mm3
    if not inside:
        raise GeometryError(f"structure {structure.name!r} lies outside the grid; give the grid of the same patient")
    if inside < whole * (1 - 1e-6):
        notes.append(f"{100 * (1 - inside / whole):.3g} % of the structure lies outside the grid")
    fractions = np.round(fractions, 12) + 0.0  # what rounding leaves of 0 and 1
    return StructureMask(Volume(grid, fractions.astype(np.float32), quantity("structure")), whole, tuple(notes))


def volume_of(structure: Structure, slab_mm: float | None = None) -> float:
    """Volume of a structure, mm^3: area of every plane times its slab, for contours across one axis of the patient.

    Raises:
        UnsupportedError, ValueRangeError: as `mask_of`.
    """
    grid = Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    planes = _planes(structure, grid, _normal_axis(structure, grid), [])
    bounds = _slabs(structure, np.array([plane.at_mm for plane in planes]), slab_mm, [])
    return float(sum(_even_odd(p.areas).area * (b - a) for p, (a, b) in zip(planes, bounds, strict=True)))


def _normal_axis(structure: Structure, grid: Grid) -> int:
    """Index axis of the grid across which all contours lie flat."""
    if not structure.closed:
        raise UnsupportedError(f"structure {structure.name!r} has no closed contours, so it encloses nothing")
    spreads = [np.ptp(grid.index(c.points_mm) * grid.spacing_mm, axis=0) for c in structure.closed]
    worst = np.max(spreads, axis=0)
    axis = int(np.argmin(worst))
    if worst[axis] > FLAT_MM:
        raise UnsupportedError(
            f"structure {structure.name!r}: {_skew(structure)} (they deviate by {worst[axis]:.3g} mm); "
            "expected contours in planes across one axis of the grid: resample the structure or the grid"
        )
    return axis


def _skew(structure: Structure) -> str:
    """Whether planes are oblique to each other, or all to the grid."""
    rings = [contour.points_mm - contour.points_mm.mean(axis=0) for contour in structure.closed]
    normals = [np.cross(ring, np.roll(ring, -1, axis=0)).sum(axis=0) for ring in rings]
    units = np.array([n / length for n in normals if (length := np.linalg.norm(n)) > 0]).reshape(-1, 3)
    parallel = units.size and np.abs(units @ units[0]).min() > 0.999
    return "its planes are oblique to the grid" if parallel else "its contours lie in planes of several orientations"


def _planes(structure: Structure, grid: Grid, axis: int, notes: list[str]) -> list[_Plane]:
    """Contours as areas, gathered by plane, in order of place along the axis."""
    across = [a for a in range(3) if a != axis]
    outlines = sorted(
        ((float(index[:, axis].mean()) * grid.spacing_mm[axis], index[:, across])
         for index in (grid.index(contour.points_mm) for contour in structure.closed)),
        key=lambda outline: outline[0],
    )  # fmt: skip
    planes: list[_Plane] = []
    counts = {"repaired": 0, "empty": 0, "doubled": 0, "crossing": 0}
    for at_mm, ring in outlines:
        area = _area(ring, structure.name, counts)
        if area.is_empty:
            continue
        if not planes or at_mm - planes[-1].at_mm > FLAT_MM:
            planes.append(_Plane(at_mm, []))
        if any(_same(area, other) for other in planes[-1].areas):
            counts["doubled"] += 1
            continue
        counts["crossing"] += any(bool(area.overlaps(other)) for other in planes[-1].areas)
        planes[-1].areas.append(area)
    notes += [f"{counts[key]} {text}" for key, text in _NOTES.items() if counts[key]]
    if not planes:
        raise UnsupportedError(f"structure {structure.name!r}: no contour encloses an area")
    return planes


_NOTES = {
    "repaired": "contour(s) touch or cross themselves (keyholes, for instance); read by even-odd",
    "empty": "contour(s) without area left out",
    "doubled": "contour(s) written twice, taken once",
    "crossing": "contour(s) cross another of their plane; what lies in both is outside, by even-odd",
}


def _area(ring: FloatArray, name: str, counts: dict[str, int]) -> BaseGeometry:
    """The area of one outline, empty when there is none."""
    polygon: BaseGeometry = shapely.Polygon(ring)
    if not polygon.is_valid:
        signed = abs(_shoelace(ring))
        polygon = _polygonal(shapely.make_valid(polygon))
        if abs(polygon.area - signed) > SELF_CROSSING * max(polygon.area, signed):
            raise ValueRangeError(
                f"structure {name!r}: a contour near {ring[0].round(2).tolist()} (voxels in its plane) crosses itself, "
                f"and encloses {polygon.area:.3g} or {signed:.3g} pixels by how that is read; redraw it"
            )
        counts["repaired"] += not polygon.is_empty
    counts["empty"] += polygon.is_empty or polygon.area == 0
    return polygon if polygon.area > 0 else shapely.Polygon()


def _shoelace(ring: FloatArray) -> float:
    x, y = (ring - ring.mean(axis=0)).T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _polygonal(geometry: BaseGeometry) -> BaseGeometry:
    """The part of a geometry that has area; lines and points that a repair leaves have none."""
    parts = shapely.get_parts(geometry)
    if geometry.geom_type == "GeometryCollection":
        parts = shapely.get_parts(parts)
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])


def _same(one: BaseGeometry, other: BaseGeometry) -> bool:
    if abs(one.area - other.area) > SAME * one.area:
        return False
    return bool(one.symmetric_difference(other).area <= SAME * one.area)


def _even_odd(areas: Sequence[BaseGeometry]) -> BaseGeometry:
    """What lies in an odd number of the areas."""
    found = areas[0]
    for area in areas[1:]:
        found = found.symmetric_difference(area)
    return _polygonal(found)


def _slabs(structure: Structure, at_mm: FloatArray, slab_mm: float | None, notes: list[str]) -> FloatArray:
    """(plane, 2) lower and upper end of the slab of every plane, mm."""
    if at_mm.size == 1:
        thickness = structure.slab_mm or slab_mm
        if thickness is None or not 0 < thickness < np.inf:
            raise UnsupportedError(
                f"structure {structure.name!r} lies in one plane and the file does not say how thick; give the slab"
            )
        return np.array([[at_mm[0] - thickness / 2, at_mm[0] + thickness / 2]])
    steps = np.diff(at_mm)
    usual = float(np.median(steps))
    gaps = steps > GAP * usual
    if gaps.any():
        notes.append(
            f"{int(gaps.sum())} gap(s) between planes, up to {steps.max():g} mm (usual: {usual:g} mm); not filled"
        )
    half = np.where(gaps, usual, steps) / 2
    lower, upper = np.concatenate([[usual / 2], half]), np.concatenate([half, [usual / 2]])
    return np.stack([at_mm - lower, at_mm + upper], axis=1)


def _add(fractions: FloatArray, area: BaseGeometry, lower: float, upper: float) -> None:
    """Add a slab between two index coordinates along the last axis to the fractions of the voxels."""
    edges = np.arange(fractions.shape[2] + 1) - 0.5
    overlap = np.clip(np.minimum(edges[1:], upper) - np.maximum(edges[:-1], lower), 0, None)
    layers = np.flatnonzero(overlap)
    if not layers.size or area.is_empty:
        return
    (u0, v0), part = coverage(area, fractions.shape[:2])
    block = fractions[u0 : u0 + part.shape[0], v0 : v0 + part.shape[1], layers[0] : layers[-1] + 1]
    block += part[:, :, None] * overlap[layers[0] : layers[-1] + 1]
