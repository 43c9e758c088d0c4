"""First windows and ranges of layers, from a few planes where a volume is large."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.viewer.scene import Sliceable, planes_of

WHOLE_VOXELS = 1 << 24
"""Up to so many voxels in memory are looked at one and all."""

_PLANES = 9
_TAILS = (1.0, 99.0)


def known_values(values: Sliceable) -> npt.NDArray[np.float32]:
    """(n,) values that are known: all of a volume in memory, else those of planes evenly spaced along k."""
    if isinstance(values, np.ndarray) and values.size <= WHOLE_VOXELS:
        found = np.asarray(values, dtype=np.float32).ravel()
    else:
        ends = values.shape[2]
        at = np.unique(np.linspace(0, ends - 1, min(_PLANES, ends)).round().astype(int))
        found = np.concatenate([planes_of(values, 2, slice(int(k), int(k) + 1)).ravel() for k in at])
    return found[np.isfinite(found)]


def window_of(known: npt.NDArray[np.floating], symmetric: bool = False, from_zero: bool = False) -> tuple[float, float]:
    """Lowest and highest value of the colours.

    Args:
        known: (n,) values that are known.
        symmetric: about 0, as of errors.
        from_zero: from 0 to the largest, as of doses.

    Returns:
        The 1st and 99th percentile, so that few extreme voxels do not take all colours; 0 to 1 where nothing is known.
    """
    if not known.size:
        return (-1.0, 1.0) if symmetric else (0.0, 1.0)
    low, high = (float(x) for x in np.percentile(known, _TAILS))
    if symmetric:
        most = max(abs(low), abs(high)) or 1.0
        return -most, most
    if from_zero:
        low, high = 0.0, float(known.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)
