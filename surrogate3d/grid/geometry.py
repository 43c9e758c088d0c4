"""Where voxels are: a rectilinear grid with direction cosines, in the LPS frame of DICOM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, GridMismatchError

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Grid:
    """A box of voxels in space.

    Attributes:
        shape: number of voxels along `i`, `j`, `k` (the x, y, z axes of the scoring component).
        spacing_mm: distance between voxel centres along each axis, mm.
        origin_mm: position of the centre of voxel (0, 0, 0), mm.
        direction: direction cosines; column `a` is the unit vector of index axis `a` in space (ITK convention).

    Raises:
        GeometryError: a shape or spacing is not positive, the origin is not finite, or `direction` is not orthonormal.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[tuple[float, float, float], ...] = field(default=IDENTITY)

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"grid shape must be three positive integers, found {self.shape}")
        if len(self.spacing_mm) != 3 or not all(np.isfinite(self.spacing_mm)) or min(self.spacing_mm) <= 0:
            raise GeometryError(f"grid spacing must be three positive lengths in mm, found {self.spacing_mm}")
        if len(self.origin_mm) != 3 or not all(np.isfinite(self.origin_mm)):
            raise GeometryError(f"grid origin must be three finite positions in mm, found {self.origin_mm}")
        cosines = np.asarray(self.direction, dtype=float)
        if cosines.shape != (3, 3) or not np.allclose(cosines @ cosines.T, np.eye(3), atol=1e-6):
            raise GeometryError(f"grid direction must be an orthonormal 3 x 3 matrix, found {self.direction}")

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm^3."""
        return float(np.prod(self.spacing_mm))

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """4 x 4 matrix that takes (i, j, k, 1) to the LPS position in mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction, dtype=float) * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    def position_mm(self, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Positions of voxel centres.

        Args:
            index: (..., 3) voxel indices, fractions allowed.

        Returns:
            (..., 3) positions, mm.
        """
        affine = self.affine
        return np.asarray(np.asarray(index, dtype=float) @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)

    def index(self, position_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Fractional voxel indices of positions: the inverse of `position_mm`. (..., 3) mm to (..., 3)."""
        affine = self.affine
        offset = np.asarray(position_mm, dtype=float) - affine[:3, 3]
        return np.asarray(offset @ np.linalg.inv(affine[:3, :3]).T, dtype=np.float64)

    def axis_mm(self, axis: int) -> npt.NDArray[np.float64]:
        """Distance of the voxel centres from voxel 0 along one index axis, mm."""
        return np.arange(self.shape[axis], dtype=np.float64) * self.spacing_mm[axis]

    def face_area_mm2(self, axis: int) -> float:
        """Area of the voxel face that is crossed by a beam along `axis`, mm^2."""
        return self.voxel_volume_mm3 / self.spacing_mm[axis]

    def require_same(self, other: Grid, what: str) -> None:
        """Refuse to combine things on different grids.

        Raises:
            GridMismatchError: shape differs, or geometry differs by more than a thousandth of a voxel.
        """
        if self.shape != other.shape:
            raise GridMismatchError(f"{what}: grids differ in shape, {self.shape} against {other.shape}")
        tolerance = 1e-3 * min(self.spacing_mm)
        corners = [(0, 0, 0), self.shape, (self.shape[0], 0, 0), (0, self.shape[1], 0)]
        shift = np.abs(self.position_mm(corners) - other.position_mm(corners)).max()
        if shift > tolerance:
            raise GridMismatchError(f"{what}: grids differ in position by up to {shift:.4g} mm")

    def to_json(self) -> dict[str, Any]:
        """Plain data for manifests and attributes."""
        return {
            "shape": list(self.shape),
            "spacing_mm": list(self.spacing_mm),
            "origin_mm": list(self.origin_mm),
            "direction": [list(row) for row in self.direction],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Grid:
        """The inverse of `to_json`."""
        i, j, k = (int(n) for n in data["shape"])
        dx, dy, dz = (float(x) for x in data["spacing_mm"])
        x, y, z = (float(x) for x in data["origin_mm"])
        rows = tuple((float(a), float(b), float(c)) for a, b, c in data["direction"])
        return Grid((i, j, k), (dx, dy, dz), (x, y, z), rows)
