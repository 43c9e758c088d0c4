"""Ways to choose the voxels that are simulated: plain functions on arrays, all of one form, and one table of them.

Each takes a `Pool`, the rows chosen so far, and a number, and returns further rows in order of choice. All randomness
is in the pool's lots ("permanent random numbers"), so a choice is a function of its arguments; asking for a and then b
rows is asking for a + b, and smaller budgets are prefixes of larger ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.sampling.allocation import allocation_order
from surrogate3d.sampling.covering import Covering
from surrogate3d.sampling.points import PackedPoints, pack
from surrogate3d.sampling.similarity import FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pool:
    """What can be chosen, as arrays with one row a voxel.

    Attributes:
        points: (n, m) features whose Euclidean distance is the dissimilarity, such as those of `similarity.embed` or
            the last layer of a network; `PackedPoints` where millions of rows are to fit.
        lot: (n,) independent uniform random numbers; the source of all randomness.
        strata: (n,) stratum of each row, 0, 1, ...; needed by `stratified` and `stratified_farthest`.
        members: (members, n) predictions of an ensemble of at least 2; needed by `disagreement`.
        barred: (n,) rows that must not be chosen (failed, held out), and need not be covered; none if None.
        plan: (n,) plan of each row, 0, 1, ...; `largest_cluster` lets plans count alike. All of one plan if None.

    Raises:
        GridMismatchError: a length differs.
        ValueRangeError: a stratum or plan is negative, a prediction not finite, or the ensemble has fewer than 2
            members.
    """

    points: FloatArray | PackedPoints
    lot: FloatArray
    strata: IntArray | None = None
    members: FloatArray | None = None
    barred: npt.NDArray[np.bool_] | None = None
    plan: IntArray | None = None

    def __post_init__(self) -> None:
        n = len(self.points)
        columns = {"lot": self.lot, "strata": self.strata, "barred": self.barred, "plan": self.plan}
        for name, column in columns.items():
            if column is not None and column.shape != (n,):
                raise GridMismatchError(f"{name} of a pool of {n} voxels must be ({n},), found {column.shape}")
        if self.members is not None and (self.members.ndim != 2 or self.members.shape[1] != n):
            raise GridMismatchError(f"members of a pool must be (members, {n}), found {self.members.shape}")
        if self.members is not None and (len(self.members) < 2 or not np.isfinite(self.members).all()):
            raise ValueRangeError("an ensemble needs at least 2 members with finite predictions")
        if any(column is not None and n and column.min() < 0 for column in (self.strata, self.plan)):
            raise ValueRangeError("strata and plans are numbered from 0")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def packed(self) -> PackedPoints:
        """The points as whole numbers."""
        return self.points if isinstance(self.points, PackedPoints) else pack(self.points)

    def is_open(self, taken: IntArray) -> npt.NDArray[np.bool_]:
        """(n,) rows that may still be chosen."""
        is_open = np.ones(len(self), dtype=bool) if self.barred is None else ~self.barred
        is_open[taken] = False
        return is_open

    def take(self, rows: IntArray) -> Pool:
        """The pool of some of its rows."""
        return Pool(
            self.points.take(rows) if isinstance(self.points, PackedPoints) else self.points[rows],
            self.lot[rows],
            None if self.strata is None else self.strata[rows],
            None if self.members is None else self.members[:, rows],
            None if self.barred is None else self.barred[rows],
            None if self.plan is None else self.plan[rows],
        )


Acquire = Callable[[Pool, IntArray, int], IntArray]
"""The form of all ways: pool, rows taken before, how many more -> rows in order of choice, fewer when they run out."""


def at_random(pool: Pool, taken: IntArray, n: int) -> IntArray:
    """A simple random sample of the rows that are not taken: those with the smallest lots."""
    left = np.flatnonzero(pool.is_open(taken))
    return left[np.argsort(pool.lot[left], kind="stable")[: max(n, 0)]]


def stratified(pool: Pool, taken: IntArray, n: int) -> IntArray:
    """At random within each stratum, strata in proportion to their size (`allocation_order`)."""
    return _by_stratum(pool, taken, n, at_random)


def farthest_first(pool: Pool, taken: IntArray, n: int) -> IntArray:
    """Again and again the voxel that is least like all chosen ones; the first is the nearest to the mean.

    Gonzalez 1985, doi 10.1016/0304-3975(85)90224-5: the covering radius is at most twice the least possible.
    """
    return _greedy(pool, taken, n, Covering.farthest)


def stratified_farthest(pool: Pool, taken: IntArray, n: int) -> IntArray:
    """Farthest-first within each stratum, strata in proportion to their size (`allocation_order`)."""
    return _by_stratum(pool, taken, n, farthest_first)


def largest_cluster(pool: Pool, taken: IntArray, n: int) -> IntArray:
    """Again and again the voxel farthest from its nearest chosen one, within the largest cluster (LCMD).

    A cluster is what is nearest to one chosen voxel, its size the sum of squared distances: dense regions count, which
    farthest-first ignores. Where the pool knows its plans, each voxel counts as one over the voxels of its plan: errors
    are judged plan by plan, and a small plan of another ion is not outvoted. Holzmuller et al., J. Mach. Learn. Res.
    2023;24(164) (arXiv 2203.09410), whose first voxel is that of the largest norm; norms of spectra say nothing here,
    so the first is that nearest to the mean.
    """
    return _greedy(pool, taken, n, lambda covering: covering.largest_cluster(pool.plan))


def disagreement(pool: Pool, taken: IntArray, n: int) -> IntArray:
    """Again and again the voxel with the largest product of the ensemble's deviation and distance to all chosen ones.

    The distance keeps a batch from being one clump, as all its neighbours share the doubt about a voxel. With an
    ensemble that doubts all voxels alike this is farthest-first; without chosen voxels it starts with the largest
    deviation. The scales of predictions and of points do not matter.

    Raises:
        QuantityError: the pool has no ensemble.
    """
    if pool.members is None:
        raise QuantityError("choosing by disagreement needs the predictions of an ensemble")
    deviation = np.std(pool.members, axis=0, dtype=float)
    if not deviation.any():
        return farthest_first(pool, taken, n)

    def doubtful(covering: Covering) -> int:
        if len(covering) or not covering.is_open.any():
            return covering.farthest()
        return int(np.where(covering.is_open, deviation, -1.0).argmax())

    return _greedy(pool, taken, n, doubtful, (deviation / deviation.max()) ** 2)


def _greedy(
    pool: Pool, taken: IntArray, n: int, following: Callable[[Covering], int], weight: FloatArray | None = None
) -> IntArray:
    covering = Covering(pool.packed, pool.is_open(taken), weight)
    for row in taken:
        covering.add(int(row))
    chosen: list[int] = []
    while len(chosen) < n and (row := following(covering)) >= 0:
        covering.add(row)
        chosen.append(row)
    return np.array(chosen, dtype=np.int64)


def _by_stratum(pool: Pool, taken: IntArray, n: int, acquire: Acquire) -> IntArray:
    """`acquire` within every stratum, in the order in which strata have their turn."""
    if pool.strata is None:
        raise QuantityError("choosing by strata needs the stratum of every voxel")
    is_open = pool.is_open(taken)
    if not len(pool) or not is_open.any():
        return np.empty(0, dtype=np.int64)
    sizes = np.bincount(pool.strata[is_open], minlength=int(pool.strata.max()) + 1)
    before = np.bincount(pool.strata[taken], minlength=len(sizes))
    turns = allocation_order(sizes + before, np.ones(len(sizes)), n, before)
    chosen = np.empty(len(turns), dtype=np.int64)
    for h in np.unique(turns):
        rows = np.flatnonzero(pool.strata == h)
        place = {int(row): at for at, row in enumerate(rows)}
        within = np.array([place[int(row)] for row in taken if pool.strata[row] == h], dtype=np.int64)
        chosen[turns == h] = rows[acquire(replace(pool.take(rows), strata=None), within, int((turns == h).sum()))]
    return chosen


@dataclass(frozen=True)
class Strategy:
    """A way to choose, and from what.

    Attributes:
        acquire: the function.
        one_per_cube: whether it chooses among one candidate per coarse cube, or among all masked voxels.
        needs: what of the pool it needs beside points and lots: "", "strata" or "members".
    """

    acquire: Acquire
    one_per_cube: bool
    needs: str = ""


STRATEGIES: dict[str, Strategy] = {
    "adaptive": Strategy(farthest_first, True),
    "random": Strategy(at_random, False),
    "stratified": Strategy(stratified, False, "strata"),
    "both": Strategy(stratified_farthest, True, "strata"),
    "k_centre": Strategy(farthest_first, False),
    "lcmd": Strategy(largest_cluster, False),
    "ensemble": Strategy(disagreement, False, "members"),
}
"""All ways by name. "adaptive" is that of Zhang et al. 2025, doi 10.1007/s10237-025-02034-6."""


def strategy(name: str) -> Strategy:
    """A way by name.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in STRATEGIES:
        raise UnknownNameError(f"no way to choose voxels is called {name!r}; there are {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
