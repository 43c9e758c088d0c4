"""Values scored in the bins of a TOPAS cylinder or sphere, put onto a box of voxels.

Bins are those of Geant4's G4Tubs and G4Sphere in the component's own frame: R from RMin to RMax, Phi from SPhi over
DPhi about +Z, starting at +X; Z from -HL to HL, or Theta from STheta over DTheta, starting at +Z. The header prints the
widths of the bins but neither RMin nor the starting angles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, GridMismatchError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.topas_geometry import CurvedShape, Placement
from surrogate3d.io.topas_header import AxisBins, ScorerHeader

Array = npt.NDArray[np.float64]

SAMPLES_ACROSS = 200
"""Sampling points across the component along each axis: then the integral over a disc is right to 1e-3."""

_MM = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0}
_PRINTED = 6e-6  # widths have six significant digits
_CHUNK = 2_000_000  # sampling points at a time


@dataclass(frozen=True)
class CurvedBins:
    """Bins of a cylinder or sphere in its own frame.

    Attributes:
        kind: which of the two.
        shape: number of bins of R, Phi, and Z or Theta.
        r_mm: RMin and RMax, mm.
        phi_rad: start and span, rad.
        third: start and span of Z (mm) or Theta (rad).

    Raises:
        GeometryError: limits that no cylinder or sphere has.
    """

    kind: Literal["cylinder", "sphere"]
    shape: tuple[int, int, int]
    r_mm: tuple[float, float]
    phi_rad: tuple[float, float]
    third: tuple[float, float]

    def __post_init__(self) -> None:
        full = 1 + _PRINTED
        if not 0 <= self.r_mm[0] < self.r_mm[1]:
            raise GeometryError(f"expected 0 <= RMin < RMax, found {self.r_mm[0]:g} and {self.r_mm[1]:g} mm")
        if not 0 < self.phi_rad[1] <= 2 * math.pi * full:
            raise GeometryError(f"expected Phi to span up to 360 deg, found {math.degrees(self.phi_rad[1]):g}")
        end = sum(self.third)
        if self.kind == "sphere" and not (self.third[0] >= 0 and self.third[1] > 0 and end <= math.pi * full):
            raise GeometryError(
                f"expected Theta within 0 to 180 deg, found {math.degrees(self.third[0]):g} to {math.degrees(end):g}"
            )

    @property
    def half_extent_mm(self) -> tuple[float, float, float]:
        """Half lengths of the box about the component's centre that holds all bins, mm."""
        r = self.r_mm[1]
        return (r, r, self.third[1] / 2 if self.kind == "cylinder" else r)

    @property
    def volumes_mm3(self) -> Array:
        """(R, Phi, Z or Theta) volumes of the bins, mm^3."""
        r = np.linspace(*self.r_mm, self.shape[0] + 1)
        third = np.linspace(self.third[0], sum(self.third), self.shape[2] + 1)
        power = 2 if self.kind == "cylinder" else 3
        radial = np.diff(r**power) / power
        axial = np.diff(third) if self.kind == "cylinder" else -np.diff(np.cos(third))
        per_phi = np.full(self.shape[1], self.phi_rad[1] / self.shape[1])
        return np.asarray(radial[:, None, None] * per_phi[:, None] * axial)


def curved_bins(
    header: ScorerHeader,
    shape: CurvedShape | None = None,
    *,
    r_min_mm: float | None = None,
    phi_start_deg: float | None = None,
    theta_start_deg: float | None = None,
) -> CurvedBins:
    """Bins of a cylinder or sphere scorer, from its header and what the header does not say.

    Args:
        header: of the scorer.
        shape: the component by the parameter file; then nothing need be given, and what is given must agree.
        r_min_mm: RMin, mm.
        phi_start_deg: SPhi, deg; needed when there are several bins of Phi, or less than a whole turn.
        theta_start_deg: STheta, deg; needed for less than a whole sphere.

    Raises:
        UnsupportedError: neither cylinder nor sphere, or a surface.
        GeometryError: RMin or an angle is not known, or header, parameter file and what is given disagree.
    """
    kind = header.shape_kind
    if kind not in ("cylinder", "sphere"):
        raise UnsupportedError(f"{header.scorer}: bins in R, Phi, Z or R, Phi, Theta are expected, found a {kind}")
    r, phi, third = (_length(bins) for bins in header.axes)
    found = _stated(header, shape, (r, phi, third)) if shape else {}
    given = {"RMin": r_min_mm, "SPhi": phi_start_deg, "STheta": theta_start_deg}
    for name, value in given.items():
        if value is not None and name in found and not math.isclose(value, found[name], abs_tol=1e-9):
            raise GeometryError(
                f"{header.scorer}: {name} is given as {value:g}, the parameter file has {found[name]:g}"
            )
        if value is not None:
            found[name] = value
    if math.isclose(phi, 360, rel_tol=_PRINTED) and header.axes[1].n == 1:
        found.setdefault("SPhi", 0.0)
    if kind == "sphere" and math.isclose(third, 180, rel_tol=_PRINTED):
        found.setdefault("STheta", 0.0)
    r_min, start = (_needed(header, found, name) for name in ("RMin", "SPhi"))
    angles = (math.radians(start), math.radians(phi))
    if kind == "cylinder":
        return CurvedBins(kind, header.shape, (r_min, r_min + r), angles, (-third / 2, third))
    theta = (math.radians(_needed(header, found, "STheta")), math.radians(third))
    return CurvedBins(kind, header.shape, (r_min, r_min + r), angles, theta)


def enclosing_grid(bins: CurvedBins, placed: Placement, spacing_mm: float) -> Grid:
    """The box around a component, along its own axes, of voxels of at most `spacing_mm` that fill it exactly.

    Raises:
        GeometryError: the spacing is not positive.
    """
    if not spacing_mm > 0:
        raise GeometryError(f"expected a voxel spacing above 0 mm, found {spacing_mm:g}")
    half = np.array(bins.half_extent_mm)
    n = np.ceil(2 * half / spacing_mm * (1 - 1e-9)).astype(int)
    spacing = 2 * half / n
    x, y, z = (float(v) for v in placed.centre_mm + placed.axes @ (-half + spacing / 2))
    dx, dy, dz = (float(v) for v in spacing)
    rows = tuple((float(a), float(b), float(c)) for a, b, c in placed.axes)
    return Grid((int(n[0]), int(n[1]), int(n[2])), (dx, dy, dz), (x, y, z), rows)


def onto_box(
    values: Array, bins: CurvedBins, grid: Grid, placed: Placement, samples: int | None = None
) -> tuple[Array, Array]:
    """Put a density (dose, fluence: a value a volume or mass) onto a box, by its mean over each voxel.

    Every voxel is sampled at the mids of a regular lattice. What lies outside all bins counts as 0, so a voxel that is
    partly outside gets its share, and the integral over the volume is kept.

    Args:
        values: (R, Phi, Z or Theta).
        bins: where they are, in the component's frame.
        grid: the box.
        placed: the component in space.
        samples: points a voxel along each axis; by default so many that the component has `SAMPLES_ACROSS`.

    Returns:
        (i, j, k) values, and the covered fraction of every voxel, 0 to 1. Values over fractions are the means over the
        covered parts.

    Raises:
        GridMismatchError: `values` does not have the shape of `bins`.
        GeometryError: less than one sample.
    """
    if values.shape != bins.shape:
        raise GridMismatchError(f"values have shape {values.shape}, the bins {bins.shape}")
    if samples is not None and samples < 1:
        raise GeometryError(f"expected at least one sample a voxel and axis, found {samples}")
    per_axis = [samples or _samples(bins, spacing) for spacing in grid.spacing_mm]
    lattice = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in per_axis), indexing="ij"), axis=-1)
    into = placed.axes.T @ np.asarray(grid.direction)
    offsets = (lattice.reshape(-1, 3) * grid.spacing_mm) @ into.T
    padded = np.append(values.ravel(), 0.0)  # the last is outside
    result, coverage = np.empty(grid.n_voxels), np.empty(grid.n_voxels)
    step = max(1, _CHUNK // len(offsets))
    for first in range(0, grid.n_voxels, step):
        chosen = np.arange(first, min(first + step, grid.n_voxels))
        index = np.stack(np.unravel_index(chosen, grid.shape), axis=-1)
        centres = (grid.position_mm(index) - placed.centre_mm) @ placed.axes
        cell = _cells(centres[:, None, :] + offsets, bins)
        result[chosen] = padded[cell].mean(axis=1)
        coverage[chosen] = (cell < values.size).mean(axis=1)
    return result.reshape(grid.shape), coverage.reshape(grid.shape)


def _samples(bins: CurvedBins, spacing_mm: float) -> int:
    return max(2, math.ceil(SAMPLES_ACROSS * spacing_mm / (2 * min(bins.half_extent_mm))))


def _cells(position: Array, bins: CurvedBins) -> npt.NDArray[np.int64]:
    """C-order index of the bin of (..., 3) positions in the component's frame; the number of bins where there is none.

    Lower limits belong to a bin, upper ones to the next; the last limit of Z and Theta belongs to the last bin.
    """
    x, y, z = position[..., 0], position[..., 1], position[..., 2]
    radius = np.hypot(x, y) if bins.kind == "cylinder" else np.sqrt(x * x + y * y + z * z)
    if bins.kind == "cylinder":
        third = z
    else:
        third = np.arccos(np.clip(np.divide(z, radius, out=np.ones_like(z), where=radius > 0), -1, 1))
    turned = np.mod(np.arctan2(y, x) - bins.phi_rad[0], 2 * math.pi)
    outside = np.zeros(radius.shape, dtype=bool)
    cell = np.zeros(radius.shape, dtype=np.int64)
    spans = ((bins.r_mm[0], bins.r_mm[1] - bins.r_mm[0]), (0.0, bins.phi_rad[1]), bins.third)
    for value, (start, span), n in zip((radius, turned, third), spans, bins.shape, strict=True):
        part = np.floor((value - start) / span * n).astype(np.int64)
        # A whole turn of six printed digits may end just before or after 360 deg.
        part = np.where((part == n) & (value <= (start + span) * (1 + _PRINTED)), n - 1, part)
        outside |= (part < 0) | (part >= n)
        cell = cell * n + part
    return np.where(outside, int(np.prod(bins.shape)), cell)


def _length(bins: AxisBins) -> float:
    """Whole length of an axis: mm or deg."""
    if bins.name in ("R", "Z"):
        return bins.n * bins.width * _MM[bins.unit]
    if bins.unit != "deg":
        raise GeometryError(f"expected {bins.name} in deg, found {bins.unit!r}")
    return bins.n * bins.width


def _needed(header: ScorerHeader, found: dict[str, float], name: str) -> float:
    if name not in found:
        what = "the inner radius in mm" if name == "RMin" else "the starting angle in deg"
        raise GeometryError(
            f"{header.scorer}: {name} of the {header.shape_kind} {header.component} is not in the header; give {what}, "
            "or the parameter file"
        )
    return found[name]


def _stated(header: ScorerHeader, shape: CurvedShape, printed: tuple[float, float, float]) -> dict[str, float]:
    """RMin (mm), SPhi and STheta (deg) of the parameter file, if its lengths are those of the header."""
    if shape.kind != header.shape_kind:
        raise GeometryError(
            f"{header.scorer}: a {header.shape_kind} by the header, a {shape.kind} by the parameter file"
        )
    third = 2 * shape.half_length_mm if shape.kind == "cylinder" else math.degrees(shape.theta_span_rad)
    stated = (shape.r_max_mm - shape.r_min_mm, math.degrees(shape.phi_span_rad), third)
    for bins, by_header, length in zip(header.axes, printed, stated, strict=True):
        if not math.isclose(by_header, length, rel_tol=_PRINTED):
            raise GeometryError(
                f"{header.scorer}: {bins.name} spans {by_header:g} by the header, {length:g} by the parameter file; "
                "they are not of the same run"
            )
    found = {"RMin": shape.r_min_mm, "SPhi": math.degrees(shape.phi_start_rad)}
    return found if shape.kind == "cylinder" else found | {"STheta": math.degrees(shape.theta_start_rad)}
