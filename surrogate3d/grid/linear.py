"""Values of a volume between its voxel centres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.grid.volume import Volume


def sample_linear(volume: Volume, position_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Trilinear interpolation.

    Args:
        volume: values at voxel centres.
        position_mm: (..., 3) positions, mm.

    Returns:
        (...) values; NaN outside of the outermost voxel centres, and where a voxel that counts is NaN.
    """
    from scipy import ndimage  # here, as it is slow to load

    index = np.moveaxis(volume.grid.index(position_mm), -1, 0)
    last = np.array(volume.grid.shape).reshape((3,) + (1,) * (index.ndim - 1)) - 1
    # A position on the outermost centres is inside, whatever the rounding of the affine says.
    near = np.where(np.abs(index - np.round(index)) < 1e-9, np.round(index), index)
    values = ndimage.map_coordinates(volume.values, np.clip(near, 0, last), output=np.float64, order=1)
    return np.where(((near >= 0) & (near <= last)).all(axis=0), values, np.nan)
