"""What every image format has in common: a `Grid` from an affine, and one number a voxel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, UnsupportedError
from surrogate3d.grid import Grid

MAX_SHEAR = 1e-3
"""Largest cosine between two axes that rounding of an affine (float32, six digits) explains."""


def grid_of(affine: npt.NDArray[np.float64], shape: tuple[int, ...], path: Path) -> Grid:
    """Grid of a 4 x 4 voxel-to-LPS affine. Cosines that were rounded become the nearest rotation.

    Raises:
        GeometryError: the affine is singular, not finite, or sheared.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and spacing.min() > 0):
        raise GeometryError(f"{path}: the affine is singular or not finite, {affine.tolist()}; export the image again")
    cosines = affine[:3, :3] / spacing
    if np.abs(cosines.T @ cosines - np.eye(3)).max() > MAX_SHEAR:
        raise GeometryError(f"{path}: the axes are sheared, not a rectilinear grid; resample the image")
    left, _, right = np.linalg.svd(cosines)
    i, j, k = shape
    rows = tuple((float(a), float(b), float(c)) for a, b, c in left @ right)
    dx, dy, dz = (float(n) for n in spacing)
    x, y, z = (float(n) for n in affine[:3, 3])
    return Grid((i, j, k), (dx, dy, dz), (x, y, z), rows)


def scalar_values(values: npt.NDArray[Any], path: Path) -> npt.NDArray[np.floating]:
    """(i, j, k) numbers as float32, or as float64 where float32 cannot hold the file's type; NaN and infinity stay.

    Raises:
        UnsupportedError: not one real number a voxel in three dimensions.
    """
    if values.ndim != 3 or values.dtype.kind not in "biuf":
        raise UnsupportedError(
            f"{path}: expected one number a voxel in three dimensions, found shape {values.shape} of {values.dtype}; "
            "extract one"
        )
    return np.ascontiguousarray(values, dtype=np.result_type(values.dtype.newbyteorder("="), np.float32))


def one_line(error: Exception) -> str:
    """The message of another library without its line breaks."""
    return " ".join(str(error).split())
