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


def neyman(
    sizes: npt.NDArray[np.integer],
    spread: npt.NDArray[np.floating],
    n: int,
    cost: npt.NDArray[np.floating] | None = None,
) -> IntArray:
    """Voxels per stratum in proportion to size times spread, which makes the variance of the mean least.

    Every stratum gets 2 voxels if it has them and `n` allows (a variance needs two), none more than its size; what a
    full stratum cannot take goes to the others. With more voxels asked than there are, all are taken.

    Args:
        sizes: (strata,) voxels in each stratum, at least 1.
        spread: (strata,) standard deviation of the response within each stratum, any scale, not negative.
        n: voxels in all.
        cost: (strata,) mean cost of a voxel of each stratum, any unit, positive; voxels then go in proportion to size
            times spread over the root of the cost (Cochran eq. 5.23), the most precise mean that the cost can buy.

    Returns:
        (strata,) voxels of each stratum, adding up to min(n, sum of sizes).

    Raises:
        GridMismatchError: shapes differ.
        ValueRangeError: a size below 1, a spread that is negative or not finite, a cost that is not positive, or a
            negative n.
    """
    weight = _weight(sizes, spread, n, cost)
    if (sizes < 1).any():
        raise ValueRangeError("allocation needs sizes >= 1")
    counts = np.zeros(len(sizes), dtype=np.int64)
    floor = np.minimum(sizes, 2)
    if floor.sum() <= n:
        counts += floor
    for _ in range(min(n, int(sizes.sum())) - int(counts.sum())):
        counts[_neediest(weight, counts, sizes)] += 1
    return counts


def neyman_for_cost(
    sizes: npt.NDArray[np.integer],
    spread: npt.NDArray[np.floating],
    cost: npt.NDArray[np.floating],
    budget: float,
) -> IntArray:
    """The largest `neyman` allocation with costs whose expected cost does not exceed a budget, such as CPU hours.

    Args:
        sizes: as of `neyman`.
        spread: as of `neyman`.
        cost: (strata,) mean cost of a voxel of each stratum, in the unit of the budget.
        budget: not negative. The cost of the lot itself scatters about its expectation.
    """
    if not budget >= 0:
        raise ValueRangeError(f"a budget must not be negative, found {budget}")
    low, high = 0, int(sizes.sum())
    while low < high:
        middle = (low + high + 1) // 2
        affordable = float(neyman(sizes, spread, middle, cost) @ cost) <= budget
        low, high = (middle, high) if affordable else (low, middle - 1)
    return neyman(sizes, spread, low, cost)


def allocation_order(
    sizes: npt.NDArray[np.integer],
    spread: npt.NDArray[np.floating],
    n: int,
    before: npt.NDArray[np.integer] | None = None,
) -> IntArray:
    """The same shares one voxel at a time, so that smaller budgets are prefixes of larger ones.

    Every stratum has its first turn before any has its second, then its second before any has its third (a variance
    needs two); then the turn is with the stratum that lags most behind its share. From 2 voxels per stratum on the
    counts are those of `neyman`.

    Args:
        sizes: (strata,) voxels in each stratum; may be 0.
        spread: as of `neyman`.
        n: turns.
        before: (strata,) voxels taken before; none if None.

    Returns:
        (at most n,) strata in turn; fewer when the voxels run out.
    """
    weight = _weight(sizes, spread, n, None)
    counts = np.zeros(len(sizes), dtype=np.int64) if before is None else before.astype(np.int64)
    turns = np.empty(min(n, int((sizes - counts).sum())), dtype=np.int64)
    for turn in range(len(turns)):
        fewest = int(np.min(counts[counts < sizes], initial=2))
        reach = sizes if fewest >= 2 else np.where(counts == fewest, sizes, 0)
        turns[turn] = _neediest(weight, counts, reach)
        counts[turns[turn]] += 1
    return turns


def _weight(
    sizes: npt.NDArray[np.integer],
    spread: npt.NDArray[np.floating],
    n: int,
    cost: npt.NDArray[np.floating] | None,
) -> npt.NDArray[np.float64]:
    price = np.ones(sizes.shape) if cost is None else cost
    if sizes.ndim != 1 or sizes.shape != spread.shape or sizes.shape != price.shape:
        raise GridMismatchError(f"sizes, spread and cost must be (strata,), found {sizes.shape} and {spread.shape}")
    if n < 0 or (sizes < 0).any() or not np.isfinite(spread).all() or (spread < 0).any() or not (price > 0).all():
        raise ValueRangeError("allocation needs n >= 0, sizes, finite spreads >= 0 and costs > 0")
    return np.asarray((sizes * spread if (spread > 0).any() else sizes.astype(float)) / np.sqrt(price))


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


def weighted_mean(response: npt.NDArray[np.floating], probability: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Mean over all voxels from those in a design of known inclusion probabilities, with its standard error.

    Hajek's ratio, sum(y / pi) / sum(1 / pi), with the linearised variance of a Poisson sample (Sarndal, Swensson and
    Wretman, Model Assisted Survey Sampling, 1992, ISBN 0-387-97528-4, sections 5.7 and 3.5). Where the number per
    stratum is fixed this overstates the error, and `stratified_mean` is sharper.

    Args:
        response: (n,) responses of the voxels in the design.
        probability: (n,) inclusion probabilities, above 0 and at most 1.

    Raises:
        GridMismatchError: the lengths differ.
        ValueRangeError: there are no voxels, or a probability is not above 0 and at most 1.
    """
    if response.ndim != 1 or response.shape != probability.shape:
        raise GridMismatchError(f"one probability per response: found {response.shape} and {probability.shape}")
    if not response.size or not ((probability > 0) & (probability <= 1)).all():
        raise ValueRangeError("inclusion probabilities must be above 0 and at most 1, and there must be some")
    weight = 1.0 / probability
    mean = float(weight @ response / weight.sum())
    variance = float(((1.0 - probability) * (weight * (response - mean)) ** 2).sum())
    return mean, float(np.sqrt(variance) / weight.sum())
