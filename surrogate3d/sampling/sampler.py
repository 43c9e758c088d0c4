"""Ask for the voxels whose spectra are least like those already chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.sampling.candidates import PlanFeatures, candidates
from surrogate3d.sampling.similarity import FloatArray, distance_to, embed


class VoxelKey(NamedTuple):
    """One voxel of one plan.

    Attributes:
        field_id: name of the plan's field.
        voxel: (i, j, k).
    """

    field_id: str
    voxel: tuple[int, int, int]


class Sampler:
    """Farthest-first choice among the candidates, one per coarse cube.

    `ask` hands out the candidate that is least similar to all that are pending, answered or told; the first one is the
    candidate nearest to the mean of all. This is a similarity threshold without the search for it: walking the
    candidates in this order and keeping those that differ by more than a threshold from all kept gives the first n
    voxels for every threshold between the n-th and the (n+1)-th distance (Gonzalez 1985,
    doi 10.1016/0304-3975(85)90224-5, where also: the covering radius is at most twice the best possible for n
    voxels). Smaller budgets are prefixes of larger ones. Neither the order of plans nor that of rows matters.

    Args:
        plans: masked voxels by plan.
        budget: voxels to choose in all, at least 1.
        cube_mm: edge of the coarse cubes, mm.
        seed: seed of the candidates' lots; the walk itself has no randomness.

    Attributes:
        budget: as given; more than `n_candidates` means that all candidates are taken.
        n_candidates: number of coarse cubes with a masked voxel.

    Raises:
        ValueRangeError: the budget is below 1.
        QuantityError: see `candidates`.
    """

    def __init__(self, plans: Sequence[PlanFeatures], budget: int, cube_mm: float, seed: int) -> None:
        if budget < 1:
            raise ValueRangeError(f"the budget must be at least 1 voxel, found {budget}")
        drawn = candidates(plans, cube_mm, seed)
        self.budget = budget
        self.n_candidates = len(drawn)
        self._pending: set[VoxelKey] = set()
        self._keys = [key_of(plans[p], row) for p, row in zip(drawn.plan, drawn.row, strict=True)]
        self._index = {key: n for n, key in enumerate(self._keys)}
        self._probability = drawn.probability
        order = dict.fromkeys(int(p) for p in drawn.plan)
        self._points = np.concatenate([points_of(plans[p], drawn.row[drawn.plan == p]) for p in order])
        self._kept: list[int] = []
        self._failed: set[int] = set()
        self._distance = np.full(len(drawn), np.inf)

    @property
    def pending(self) -> frozenset[VoxelKey]:
        """Asked and not yet told."""
        return frozenset(self._pending)

    @property
    def chosen(self) -> list[VoxelKey]:
        """Everything pending or answered, in the order of choice."""
        return [self._keys[n] for n in self._kept]

    @property
    def threshold(self) -> float:
        """Largest dissimilarity of a left-out candidate to its nearest chosen one; 0 when none is left out.

        This is also the similarity threshold of the choice: with it, the walk keeps exactly the chosen voxels.
        """
        left = self._left()
        return float(self._distance[left].max()) if left.size else 0.0

    def inclusion_probability(self, key: VoxelKey) -> float | None:
        """Probability that a design like this one contains the voxel, or None where it is not known.

        It is known when every candidate is taken: then only the lot within the cube is random.
        """
        return float(self._probability[self._index[key]]) if len(self._kept) == self.n_candidates else None

    def ask(self, n: int) -> list[VoxelKey]:
        """The next voxels to simulate: at most `n`, fewer when the budget or the candidates end.

        Never a voxel that was asked or told before. Asking for a and then b gives the same as asking for a + b.
        """
        asked: list[VoxelKey] = []
        while len(asked) < n and len(self._kept) < self.budget and (left := self._left()).size:
            key = self._keys[self._farthest(left)]
            self._keep(self._index[key])
            self._pending.add(key)
            asked.append(key)
        return asked

    def tell(self, answered: Iterable[VoxelKey], failed: Iterable[VoxelKey] = ()) -> None:
        """Report voxels that have been simulated; telling twice changes nothing.

        A candidate that was never asked (from an earlier campaign) counts towards the budget as if it had been. A
        failed voxel is neither chosen nor asked again, and frees its place.

        Raises:
            UnknownNameError: a voxel is not a candidate.
        """
        for key in answered:
            self._keep(self._require(key))
            self._pending.discard(key)
        lost = {self._require(key) for key in failed} - self._failed
        if lost:
            self._failed |= lost
            self._pending -= {self._keys[n] for n in lost}
            self._rebuild([n for n in self._kept if n not in lost])

    def done(self) -> bool:
        """Whether nothing is pending and nothing is left to ask."""
        return not self._pending and (len(self._kept) >= self.budget or not self._left().size)

    def _require(self, key: VoxelKey) -> int:
        if key not in self._index:
            raise UnknownNameError(
                f"voxel {key.voxel} of field {key.field_id!r} is no candidate; tell only voxels of this design"
            )
        return self._index[key]

    def _left(self) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        free = np.ones(len(self._keys), dtype=bool)
        free[[*self._kept, *self._failed]] = False
        return np.flatnonzero(free)

    def _farthest(self, left: np.ndarray[tuple[int], np.dtype[np.intp]]) -> int:
        if not self._kept:
            return int(left[distance_to(self._points[left], self._points.mean(axis=0)).argmin()])
        return int(left[self._distance[left].argmax()])

    def _keep(self, n: int) -> None:
        if n not in self._failed and n not in self._kept:
            self._kept.append(n)
            self._distance = np.minimum(self._distance, distance_to(self._points, self._points[n]))

    def _rebuild(self, kept: list[int]) -> None:
        self._kept = []
        self._distance = np.full(len(self._keys), np.inf)
        for n in kept:
            self._keep(n)


def key_of(plan: PlanFeatures, row: int) -> VoxelKey:
    """The key of one row of a plan."""
    i, j, k = (int(x) for x in plan.voxels[row])
    return VoxelKey(plan.field_id, (i, j, k))


def points_of(plan: PlanFeatures, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
    """Embedded rows of a plan: (n, channels + 1)."""
    return embed(plan.dose_fractions[rows], plan.dose[rows] / plan.dose.max())
