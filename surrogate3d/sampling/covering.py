"""Which point is farthest from all centres, for millions of points and thousands of centres.

Farthest-first choice compares every point with every centre, 2e10 distances for 10 million voxels and 2,000 centres.
Nearly all can be left out without changing the answer:

* The stored distance of a point to its nearest centre never grows, so it may be out of date as long as it is below the
  largest: only points that could be the farthest are compared with the centres that they have not met.
* A centre twice as far from the point's nearest centre as the point is cannot be nearer (triangle inequality).

All numbers are integers below 2^53 (`points`), so the answer is that of comparing all with all, bit by bit, whatever
the number of threads; equal distances go to the first point.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from surrogate3d.sampling.points import PackedPoints
from surrogate3d.sampling.similarity import FloatArray

BLOCK = 64
"""Points whose largest distance is kept as one number."""

_PRUNED = 4096  # centres between which distances are kept
_UNKNOWN = 1e200  # squared distance before any centre was met
_TRIES = 8  # blocks brought up to date one by one, to learn how far the farthest point is at least
_CHUNK = 64  # blocks that one thread takes at a time
_WORTH_THREADS = 512  # blocks out of date below which waking the other threads costs more than they do


@njit(cache=True, inline="always")
def _squared(codes, p, q):  # type: ignore[no-untyped-def]  # compiled
    total = np.int64(0)
    for i in range(codes.shape[1]):
        difference = np.int64(codes[p, i]) - np.int64(codes[q, i])
        total += difference * difference
    return total


@njit(cache=True, parallel=True)
def _squared_to(codes, other):  # type: ignore[no-untyped-def]  # compiled
    out = np.empty(codes.shape[0])
    for p in prange(codes.shape[0]):
        total = np.int64(0)
        for i in range(codes.shape[1]):
            difference = codes[p, i] - other[i]
            total += difference * difference
        out[p] = total
    return out


@njit(cache=True)
def _refresh(codes, centres, quarter, weight, is_open, squared, label, seen, floor, b):  # type: ignore[no-untyped-def]  # compiled
    """Bring the points of a block up to date whose score is at least `floor`; the largest score of the block."""
    best = -1.0
    for p in range(b * BLOCK, min(codes.shape[0], (b + 1) * BLOCK)):
        if not is_open[p]:
            continue
        w = weight[p] if weight.size else 1.0
        n = seen[p]
        while n < centres.shape[0] and w * squared[p] >= floor:
            near = label[p]
            if n >= quarter.shape[0] or near >= quarter.shape[0] or quarter[near, n] < squared[p]:
                found = _squared(codes, p, centres[n])
                if found < squared[p]:
                    squared[p] = found
                    label[p] = n
            n += 1
        seen[p] = n
        best = max(best, w * squared[p])
    return best


@njit(cache=True)
def _refresh_run(codes, centres, quarter, weight, is_open, squared, label, seen, floor, top, first, last):  # type: ignore[no-untyped-def]  # compiled
    for b in range(first, last):
        if top[b] >= floor:
            top[b] = _refresh(codes, centres, quarter, weight, is_open, squared, label, seen, floor, b)


@njit(cache=True, parallel=True)
def _refresh_parallel(codes, centres, quarter, weight, is_open, squared, label, seen, floor, top):  # type: ignore[no-untyped-def]  # compiled
    for chunk in prange((top.size + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min(top.size, (chunk + 1) * _CHUNK)
        _refresh_run(codes, centres, quarter, weight, is_open, squared, label, seen, floor, top, first, last)


class Covering:
    """Points, centres chosen among them, and the distance of every point to the nearest centre.

    Args:
        points: the points.
        is_open: (n,) rows that may become centres and count as uncovered; all if None.
        weight: (n,) non-negative factor on the squared distance in `farthest`; 1 if None.
    """

    def __init__(
        self,
        points: PackedPoints,
        is_open: npt.NDArray[np.bool_] | None = None,
        weight: FloatArray | None = None,
    ) -> None:
        n = len(points)
        self.points = points
        self.is_open = np.ones(n, dtype=bool) if is_open is None else is_open.copy()
        self._weight = np.empty(0) if weight is None else np.asarray(weight, dtype=float)
        self._centres = np.empty(0, dtype=np.int64)
        self._quarter = np.empty((0, 0))
        self._squared = np.full(n, _UNKNOWN)
        self._label, self._seen = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
        self._top = np.full(-(-n // BLOCK), np.inf)

    def __len__(self) -> int:
        return len(self._centres)

    def add(self, row: int) -> None:
        """Make a point a centre; it is no longer open."""
        self._centres = np.append(self._centres, row)
        self.is_open[row] = False
        n = len(self._centres)
        if n > _PRUNED:
            return
        if n > len(self._quarter):
            self._quarter = np.ascontiguousarray(np.pad(self._quarter, (0, max(64, n)))[:_PRUNED, :_PRUNED])
        codes = self.points.codes
        difference = codes[self._centres].astype(np.int64) - codes[row]
        apart = 0.25 * np.einsum("nm,nm->n", difference, difference)
        self._quarter[:n, n - 1] = self._quarter[n - 1, :n] = apart

    def farthest(self) -> int:
        """The open point with the largest (weighted) distance to its nearest centre; -1 if none is open.

        Without centres it is the open point nearest to the mean of the open ones.
        """
        if not self.is_open.any():
            return -1
        if not len(self):
            return self._central()
        self._learn(self._lower_bound())
        b = int(self._top.argmax())
        rows = slice(b * BLOCK, (b + 1) * BLOCK)
        score = self._squared[rows] * (self._weight[rows] if self._weight.size else 1.0)
        return b * BLOCK + int(np.where(self.is_open[rows], score, -1.0).argmax())

    def radius(self) -> float:
        """Largest distance of an open point to its nearest centre; 0 if none is open, infinite without centres."""
        if not self.is_open.any():
            return 0.0
        return float(self.distance()[self.is_open].max()) if self._weight.size or not len(self) else self._far()

    def distance(self) -> FloatArray:
        """(n,) distances to the nearest centre; 0 for centres, NaN for others that are not open."""
        self._learn(0.0)
        distance = np.where(self.is_open, self.points.step * np.sqrt(self._squared), np.nan)
        distance[self._centres] = 0.0
        return distance if len(self) else np.where(self.is_open, np.inf, np.nan)

    def largest_cluster(self, plan: npt.NDArray[np.int64] | None = None) -> int:
        """The farthest open point of the centre whose open points have the largest sum of squared distances; -1.

        Args:
            plan: (n,) plan of each point, 0, 1, ...; then the mean over the points of each plan takes the place of the
                sum, and plans count alike, however many points they have.
        """
        if not len(self) or not self.is_open.any():
            return self.farthest()
        self._learn(0.0)
        squared = np.where(self.is_open, self._squared, 0.0)
        largest = self._sizes(squared, np.zeros_like(self._label) if plan is None else plan).argmax()
        inside = np.where(self.is_open & (self._label == largest), squared, -1.0)
        # Where all distances are zero, the largest cluster can have no open point.
        return int(inside.argmax()) if inside.max() >= 0 else self.farthest()

    def _sizes(self, squared: FloatArray, plan: npt.NDArray[np.integer]) -> FloatArray:
        """(centre,) sums over plans; within a plan the sums are of whole numbers, so no order of rows matters."""
        points = np.bincount(plan)
        by_plan = np.bincount(self._label * len(points) + plan, weights=squared, minlength=len(self) * len(points))
        return np.asarray((by_plan.reshape(len(self), -1) / np.maximum(points, 1)).sum(axis=1))

    def _far(self) -> float:
        self._learn(self._lower_bound())
        return self.points.step * float(np.sqrt(self._top.max()))

    def _central(self) -> int:
        codes, total = self.points.codes, np.zeros(self.points.codes.shape[1], dtype=np.int64)
        for start in range(0, len(codes), 65_536):
            part = slice(start, start + 65_536)
            total += codes[part][self.is_open[part]].sum(axis=0, dtype=np.int64)
        mean = np.rint(total / self.is_open.sum()).astype(np.int64)
        return int(np.where(self.is_open, _squared_to(codes, mean), np.inf).argmin())

    def _lower_bound(self) -> float:
        """A score that the farthest point has at least: the best of a few blocks that were brought up to date."""
        bound = 0.0
        for _ in range(_TRIES):
            b = int(self._top.argmax())
            before = self._top[b]
            self._top[b] = _refresh(*self._state(), bound, b)  # type: ignore[call-arg]  # compiled
            bound = max(bound, float(self._top[b]))
            if self._top[b] == before:
                break
        return bound

    def _learn(self, floor: float) -> None:
        if np.count_nonzero(self._top >= floor) > _WORTH_THREADS:
            _refresh_parallel(*self._state(), floor, self._top)  # type: ignore[call-arg]  # compiled
        else:
            _refresh_run(*self._state(), floor, self._top, 0, len(self._top))  # type: ignore[call-arg]  # compiled

    def _state(self) -> tuple[npt.NDArray[np.generic], ...]:
        return (
            self.points.codes,
            self._centres,
            self._quarter,
            self._weight,
            self.is_open,
            self._squared,
            self._label,
            self._seen,
        )
