"""Layers of voxels with similar dose and LET."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError


def quantile_strata(values: Sequence[npt.NDArray[np.floating]], bins: Sequence[int]) -> npt.NDArray[np.int64]:
    """Cross the quantile bins of several quantities, such as dose and LET_d.

    Equal values never part, so quantities with ties can fill fewer bins.

    Args:
        values: (n,) finite arrays, one per quantity.
        bins: number of quantile bins of each quantity, at least 1.

    Returns:
        (n,) stratum numbers 0, 1, ... without gaps.

    Raises:
        GridMismatchError: the arrays differ in length, or `bins` in number.
        ValueRangeError: no quantity, a value that is not finite, or fewer than 1 bin.
    """
    if not values or len(values) != len(bins) or any(v.shape != (len(values[0]),) for v in values):
        raise GridMismatchError("strata need one (n,) array of equal length per number of bins")
    if min(bins) < 1 or not all(np.isfinite(v).all() for v in values):
        raise ValueRangeError("strata need finite values and at least 1 bin per quantity")
    per_quantity = [_quantile_bin(v, n) for v, n in zip(values, bins, strict=True)]
    crossed = np.ravel_multi_index(tuple(per_quantity), tuple(bins))
    return np.asarray(np.unique(crossed, return_inverse=True)[1], dtype=np.int64)


def _quantile_bin(values: npt.NDArray[np.floating], n_bins: int) -> npt.NDArray[np.intp]:
    inner = np.quantile(values, np.arange(1, n_bins) / n_bins) if len(values) else np.empty(0)
    return np.asarray(np.searchsorted(inner, values, side="left"))
