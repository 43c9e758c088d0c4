"""How many voxels of each stratum, the lot among them, and the design-weighted mean that follows.

Cochran, Sampling Techniques, 3rd ed. 1977 (ISBN 0-471-16240-X): proportional allocation (5.5), Neyman allocation
eq. 5.26, stratified mean and its variance eqs. 5.1 and 5.7.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError

IntArray = npt.NDArray[np.int64]


def proportional(sizes: npt.NDArray[np.integer], n: int) -> IntArray:
    """Voxels per stratum in proportion to its size, see `neyman`."""
    return neyman(sizes, np.ones(len(sizes)), n)


def neyman(sizes: npt.NDArray[np.integer], spread: npt.NDArray[np.floating], n: int) -> IntArray:
    """Voxels per stratum in proportion to size times spread, which makes the variance of the mean least.

    Every stratum gets 2 voxels if it has them and `n` allows (a variance needs two), none more than its size; what a
    full stratum cannot take goes to the others. With more voxels asked than there are, all are taken.

    Args:
        sizes: (strata,) voxels in each stratum, at least 1.
        spread: (strata,) standard deviation of the response within each stratum, any scale, not negative.
        n: voxels in all.

    Returns:
        (strata,) voxels of each stratum, adding up to min(n, sum of sizes).

    Raises:
        GridMismatchError: shapes differ.
        ValueRangeError: a size below 1, a spread that is negative or not finite, or a negative n.
    """
    if sizes.ndim != 1 or sizes.shape != spread.shape:
        raise GridMismatchError(f"sizes and spread must be (strata,), found {sizes.shape} and {spread.shape}")
    if n < 0 or (sizes < 1).any() or not np.isfinite(spread).all() or (spread < 0).any():
        raise ValueRangeError("allocation needs n >= 0, sizes >= 1 and finite spreads >= 0")
    weight = sizes * spread if (spread > 0).any() else sizes.astype(float)
    counts = np.zeros(len(sizes), dtype=np.int64)
    floor = np.minimum(sizes, 2)
    if floor.sum() <= n:
        counts += floor
    for _ in range(min(n, int(sizes.sum())) - int(counts.sum())):
        counts[_neediest(weight, counts, sizes)] += 1
    return counts


def _neediest(weight: npt.NDArray[np.floating], counts: IntArray, sizes: npt.NDArray[np.integer]) -> int:
    """The stratum that lags most behind its share (Sainte-Lague's rule); strata without weight come last."""
    priority = np.where(counts < sizes, weight / (2.0 * counts + 1.0), -1.0)
    return int(priority.argmax())


def stratified_lot(
    strata: npt.NDArray[np.integer], counts: IntArray, rng: np.random.Generator
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Draw without replacement within each stratum.

    Args:
        strata: (n,) stratum of each voxel, 0 to len(counts) - 1.
        counts: (strata,) voxels to draw from each.
        rng: source of the lot.

    Returns:
        Rows of the drawn voxels, ascending, and the inclusion probability of each, counts / size of its stratum.

    Raises:
        ValueRangeError: a stratum has fewer voxels than are to be drawn.
    """
    sizes = np.bincount(strata, minlength=len(counts))
    if len(sizes) != len(counts) or (counts > sizes).any():
        raise ValueRangeError(f"cannot draw {counts.tolist()} voxels from strata of {sizes.tolist()}")
    drawn = [rng.permutation(np.flatnonzero(strata == h))[:count] for h, count in enumerate(counts)]
    rows = np.sort(np.concatenate([*drawn, np.empty(0, dtype=np.intp)]))
    return rows.astype(np.int64), (counts / np.maximum(sizes, 1))[strata[rows]]


def stratified_mean(
    response: npt.NDArray[np.floating],
    stratum: npt.NDArray[np.integer],
    sizes: npt.NDArray[np.integer],
) -> tuple[float, float]:
    """Mean over all voxels of all strata, estimated from a stratified lot, with its standard error.

    Args:
        response: (n,) responses of the drawn voxels.
        stratum: (n,) their strata.
        sizes: (strata,) voxels of each stratum in the whole.

    Returns:
        Mean and standard error, the latter with finite-population correction; NaN when a stratum that is not fully
        drawn has fewer than 2 voxels in the lot.

    Raises:
        ValueRangeError: a stratum has no voxel in the lot.
    """
    count = np.bincount(stratum, minlength=len(sizes))
    if len(count) != len(sizes) or (count < 1).any():
        raise ValueRangeError(f"every stratum needs a voxel in the lot, found {count.tolist()} of {sizes.tolist()}")
    share = sizes / sizes.sum()
    mean = np.bincount(stratum, weights=response, minlength=len(sizes)) / count
    squares = np.bincount(stratum, weights=(response - mean[stratum]) ** 2, minlength=len(sizes))
    fully_drawn = count >= sizes
    within = np.where(fully_drawn, 0.0, squares / np.where(count > 1, count - 1.0, np.nan))
    variance = share**2 * (1.0 - count / sizes) * within / count
    return float(share @ mean), float(np.sqrt(variance.sum()))
