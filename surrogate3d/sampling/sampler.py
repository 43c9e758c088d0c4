"""Ask for the voxels that are worth a simulation, and tell which have been simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.sampling.acquisition import Pool, strategy
from surrogate3d.sampling.candidates import CHOICE, PlanFeatures, in_order, one_per_cube
from surrogate3d.sampling.covering import Covering
from surrogate3d.sampling.points import pack
from surrogate3d.sampling.similarity import FloatArray, embed
from surrogate3d.sampling.strata import plan_strata

IntArray = npt.NDArray[np.int64]


class VoxelKey(NamedTuple):
    """One voxel of one plan.

    Attributes:
        field_id: name of the plan's field.
        voxel: (i, j, k).
    """

    field_id: str
    voxel: tuple[int, int, int]


class Sampler:
    """Hands out voxels by one of the strategies of `acquisition`, never one that was asked or told before.

    With `adaptive`, the seed's method, `ask` hands out the candidate (one per coarse cube) that is least similar to all
    that are pending, answered or told; the first one is the candidate nearest to the mean of all. This is a similarity
    threshold without the search for it: walking the candidates in this order and keeping those that differ by more than
    a threshold from all kept gives the first n voxels for every threshold between the n-th and the (n+1)-th distance
    (Gonzalez 1985, doi 10.1016/0304-3975(85)90224-5).

    Smaller budgets are prefixes of larger ones. Neither the order of plans nor that of rows matters, nor what the
    fields are called: all lots follow from `PlanFeatures.content`.

    Args:
        plans: masked voxels by plan.
        budget: voxels to choose in all, at least 1.
        cube_mm: edge of the coarse cubes, mm.
        seed: seed of all lots.
        strategy: of `acquisition.STRATEGIES`.
        bins: quantile bins of the strata by quantity, see `strata.BINS`.
        members: (members, n_masked) predictions of an ensemble by field name, rows as of `PlanFeatures.voxels`; for
            the strategy `ensemble`.

    Attributes:
        budget: as given; more than `n_candidates` means that all candidates are taken.
        n_candidates: voxels that can be chosen: coarse cubes with a masked voxel, or all masked voxels, by strategy.
        strategy: as given.

    Raises:
        ValueRangeError: the budget is below 1.
        QuantityError: see `candidates`; or the predictions of an ensemble are needed and lack.
        UnknownNameError: there is no such strategy.
    """

    def __init__(
        self,
        plans: Sequence[PlanFeatures],
        budget: int,
        cube_mm: float,
        seed: int,
        strategy: str = "adaptive",
        bins: dict[str, int] | None = None,
        members: Mapping[str, FloatArray] | None = None,
    ) -> None:
        if budget < 1:
            raise ValueRangeError(f"the budget must be at least 1 voxel, found {budget}")
        self.budget, self.strategy = budget, strategy
        self._acquire, parts = _way(strategy).acquire, in_order(plans)
        drawn = [_rows(plan, cube_mm, seed, strategy) for plan in parts]
        rows, self._in_cube = [r for r, _ in drawn], np.concatenate([p for _, p in drawn])
        self._keys = [key_of(plan, row) for plan, part in zip(parts, rows, strict=True) for row in part]
        self._index = {key: n for n, key in enumerate(self._keys)}
        self.n_candidates = len(self._keys)
        self._pool = _pool(parts, rows, seed, strategy, bins, members)
        self._taken: list[int] = []
        self._pending: set[VoxelKey] = set()
        self._failed: set[int] = set()

    @property
    def pending(self) -> frozenset[VoxelKey]:
        """Asked and not yet told."""
        return frozenset(self._pending)

    @property
    def chosen(self) -> list[VoxelKey]:
        """Everything pending or answered, in the order of choice."""
        return [self._keys[n] for n in self._taken]

    @property
    def threshold(self) -> float:
        """Largest dissimilarity of a left-out candidate to its nearest chosen one; 0 when none is left out.

        With `adaptive` this is also the similarity threshold of the choice: with it, the walk keeps exactly the chosen
        voxels. It is known within `PackedPoints.error`.
        """
        covering = Covering(self._pool.packed, self._open().is_open(self._rows()))
        for row in self._taken:
            covering.add(row)
        return covering.radius()

    def inclusion_probability(self, key: VoxelKey) -> float | None:
        """Probability that a design of this strategy and size contains the voxel, or None where it is not known.

        Known when every candidate is taken (then only the lot within the cube is random), for `random` (chosen over
        all) and for `stratified` (chosen over all of the stratum), the latter two as long as nothing was told that had
        not been asked.
        """
        n = self._require(key)
        if len(self._taken) == self.n_candidates:
            return float(self._in_cube[n])
        if self.strategy not in ("random", "stratified") or n not in self._taken:
            return None
        strata = self._pool.strata if self.strategy == "stratified" else np.zeros(self.n_candidates, dtype=np.int64)
        assert strata is not None  # the pool of this strategy has them
        lost = list(self._failed)
        chosen = int((strata[self._taken] == strata[n]).sum() + (strata[lost] == strata[n]).sum())
        return chosen / int((strata == strata[n]).sum())

    def ask(self, n: int) -> list[VoxelKey]:
        """The next voxels to simulate: at most `n`, fewer when the budget or the candidates end.

        Never a voxel that was asked or told before. Asking for a and then b gives the same as asking for a + b.
        """
        room = min(n, self.budget - len(self._taken))
        rows = self._acquire(self._open(), self._rows(), max(room, 0))
        asked = [self._keys[row] for row in rows]
        self._taken += [int(row) for row in rows]
        self._pending |= set(asked)
        return asked

    def tell(self, answered: Iterable[VoxelKey], failed: Iterable[VoxelKey] = ()) -> None:
        """Report voxels that have been simulated; telling twice changes nothing.

        A candidate that was never asked (from an earlier campaign) counts towards the budget as if it had been. A
        failed voxel is neither chosen nor asked again, and frees its place.

        Raises:
            UnknownNameError: a voxel is not a candidate.
        """
        done, lost = [self._require(key) for key in answered], {self._require(key) for key in failed}
        known = set(self._taken) | self._failed
        self._taken += [n for n in dict.fromkeys(done) if n not in known]
        self._failed |= lost
        self._taken = [n for n in self._taken if n not in self._failed]
        self._pending -= {self._keys[n] for n in (*done, *lost)}

    def done(self) -> bool:
        """Whether nothing is pending and nothing is left to ask."""
        everything = len(self._taken) + len(self._failed) >= self.n_candidates
        return not self._pending and (len(self._taken) >= self.budget or everything)

    def _require(self, key: VoxelKey) -> int:
        if key not in self._index:
            raise UnknownNameError(
                f"voxel {key.voxel} of field {key.field_id!r} is no candidate; tell only voxels of this design"
            )
        return self._index[key]

    def _rows(self) -> IntArray:
        return np.array(self._taken, dtype=np.int64)

    def _open(self) -> Pool:
        """The pool without the voxels that failed."""
        barred = np.zeros(self.n_candidates, dtype=bool)
        barred[list(self._failed)] = True
        return replace(self._pool, barred=barred)


_way = strategy  # `Sampler` has an argument of that name


def _rows(plan: PlanFeatures, cube_mm: float, seed: int, name: str) -> tuple[IntArray, FloatArray]:
    """Rows of a plan that can be chosen, by place in the grid, and the probability that they can."""
    if strategy(name).one_per_cube:
        return one_per_cube(plan, cube_mm, seed)
    return np.argsort(plan.flat_index), np.ones(len(plan.voxels))


def _pool(
    plans: Sequence[PlanFeatures],
    rows: Sequence[IntArray],
    seed: int,
    name: str,
    bins: dict[str, int] | None,
    members: Mapping[str, FloatArray] | None,
) -> Pool:
    pairs = list(zip(plans, rows, strict=True))
    needs = strategy(name).needs
    strata = None
    if needs == "strata":
        start = np.cumsum([0, *(len(plan.voxels) for plan in plans)])
        strata = plan_strata(plans, bins)[np.concatenate([n + r for n, r in zip(start[:-1], rows, strict=True)])]
        strata = np.unique(strata, return_inverse=True)[1].astype(np.int64)
    predicted = [_members_of(plan, members or {})[:, r] for plan, r in pairs] if needs == "members" else []
    return Pool(
        pack(np.concatenate([points_of(plan, r) for plan, r in pairs])),
        np.concatenate([plan.lots(seed, CHOICE)[r] for plan, r in pairs]),
        strata,
        np.concatenate(predicted, axis=1) if predicted else None,
        plan=np.repeat(np.arange(len(rows)), [len(part) for part in rows]),
    )


def _members_of(plan: PlanFeatures, members: Mapping[str, FloatArray]) -> FloatArray:
    if plan.field_id not in members:
        raise QuantityError(f"{plan.field_id}: choosing by disagreement needs the predictions of an ensemble")
    found = members[plan.field_id]
    if found.ndim != 2 or found.shape[1] != len(plan.voxels):
        raise GridMismatchError(
            f"{plan.field_id}: expected predictions (members, {len(plan.voxels)}), found {found.shape}"
        )
    return found


def key_of(plan: PlanFeatures, row: int) -> VoxelKey:
    """The key of one row of a plan."""
    i, j, k = (int(x) for x in plan.voxels[row])
    return VoxelKey(plan.field_id, (i, j, k))


def points_of(plan: PlanFeatures, rows: IntArray) -> FloatArray:
    """Embedded rows of a plan: (n, channels + 1)."""
    return embed(plan.dose_fractions[rows], plan.dose[rows] / plan.dose.max())
