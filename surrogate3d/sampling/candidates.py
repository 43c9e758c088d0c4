"""Which voxels may be simulated: one per coarse cube and plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import Grid

IntArray = npt.NDArray[np.int64]

CUBE, CHOICE, HELD_OUT = 0, 1, 2
"""What lots are drawn for; those of one purpose say nothing of another's."""

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class PlanFeatures:
    """What the choice of voxels is based on, for one plan.

    Of low-statistics plans pass pooled fractions (`physics.pooling.pool_grouped`): the noise of single voxels looks
    like dissimilarity, and half the budget would go to the low-dose halo.

    Attributes:
        field_id: name of the plan's field, unique among the plans.
        grid: geometry of the field.
        dose_fractions: (n_masked, channels) share of the voxel's dose in each channel (species x energy bin); every
            row is non-negative and is normalised to 1 here.
        dose: (n_masked,) dose, any scale per plan, positive.
        voxels: (n_masked, 3) indices (i, j, k) of the masked voxels, each once.
        traits: (n_masked,) further quantities by name, for strata: `LET_d`, `LET_gradient`, `dose_gradient`, `density`
            (see `strata.plan_strata`).

    Raises:
        GridMismatchError: shapes do not fit each other, or a voxel lies outside the grid.
        ValueRangeError: no voxels, a voxel twice, a dose that is not positive, or a row without any dose fraction.
    """

    field_id: str
    grid: Grid
    dose_fractions: npt.NDArray[np.floating]
    dose: npt.NDArray[np.floating]
    voxels: npt.NDArray[np.integer]
    traits: Mapping[str, npt.NDArray[np.floating]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.voxels)
        if self.voxels.shape != (n, 3) or self.dose.shape != (n,) or self.dose_fractions.shape[:-1] != (n,):
            raise GridMismatchError(
                f"{self.field_id}: expected dose_fractions (n, channels), dose (n,) and voxels (n, 3), found "
                f"{self.dose_fractions.shape}, {self.dose.shape} and {self.voxels.shape}"
            )
        if n == 0:
            raise ValueRangeError(f"{self.field_id}: the mask has no voxels; lower the dose threshold")
        if (self.voxels < 0).any() or (self.voxels >= self.grid.shape).any():
            raise GridMismatchError(f"{self.field_id}: a voxel index lies outside the grid {self.grid.shape}")
        if len(np.unique(self.flat_index)) != n:
            raise ValueRangeError(f"{self.field_id}: a masked voxel is listed twice")
        self._require_values()
        if any(trait.shape != (n,) for trait in self.traits.values()):
            raise GridMismatchError(f"{self.field_id}: every trait must be ({n},)")

    def _require_values(self) -> None:
        if not np.isfinite(self.dose).all() or self.dose.min() <= 0:
            raise ValueRangeError(f"{self.field_id}: the dose of masked voxels must be finite and positive")
        if not np.isfinite(self.dose_fractions).all() or self.dose_fractions.min() < 0:
            raise ValueRangeError(f"{self.field_id}: dose fractions must be finite and not negative")
        empty = np.flatnonzero(self.dose_fractions.sum(axis=1) <= 0)
        if empty.size:
            raise ValueRangeError(
                f"{self.field_id}: {empty.size} masked voxels have no spectrum, the first is "
                f"{tuple(int(x) for x in self.voxels[empty[0]])}; leave them out of the mask"
            )

    @cached_property
    def flat_index(self) -> IntArray:
        """(n_masked,) index of each voxel in the raveled grid."""
        return np.asarray(np.ravel_multi_index(tuple(self.voxels.T), self.grid.shape), dtype=np.int64)

    @property
    def relative_dose(self) -> npt.NDArray[np.float64]:
        """(n_masked,) dose over the plan's largest."""
        return np.asarray(self.dose / self.dose.max(), dtype=float)

    @cached_property
    def content(self) -> str:
        """SHA-256 of what decides the choice, whatever the plan is called and in whatever order its rows come.

        The masked voxels enter exactly; relative dose and dose fractions as their means over these voxels, rounded to
        0.001. Values of single voxels would not do: one of millions always lies at an edge of rounding, and the last
        digit of a rescaled dose would make another plan of it.
        """
        digest = hashlib.sha256(np.asarray(self.grid.shape, dtype="<i8").tobytes())
        digest.update(np.sort(self.flat_index).astype("<i8").tobytes())
        digest.update(np.rint(1000.0 * self._means()).astype("<i8").tobytes())
        return digest.hexdigest()

    def _means(self) -> npt.NDArray[np.float64]:
        order = np.argsort(self.flat_index)  # so that the sums do not depend on the order of rows either
        total = np.zeros(self.dose_fractions.shape[1])
        for start in range(0, len(order), _ROWS_AT_ONCE):
            rows = self.dose_fractions[order[start : start + _ROWS_AT_ONCE]].astype(float)
            total += (rows / rows.sum(axis=1, keepdims=True)).sum(axis=0)
        return np.append(total / len(order), self.relative_dose[order].mean())

    def lots(self, seed: int, purpose: int) -> npt.NDArray[np.float64]:
        """(n_masked,) uniform random numbers of the voxels, which depend on `content`, seed and purpose alone."""
        key = int.from_bytes(bytes.fromhex(self.content)[:8], "little")
        drawn = np.empty(len(self.voxels))
        drawn[np.argsort(self.flat_index)] = np.random.default_rng([seed, purpose, key]).random(len(drawn))
        return drawn


@dataclass(frozen=True, eq=False)
class Candidates:
    """One voxel per coarse cube.

    Attributes:
        plan: (n,) index of the plan.
        row: (n,) row of the plan's `voxels`.
        probability: (n,) probability with which the cube's lot fell on this voxel, 1 / masked voxels of the cube.
    """

    plan: IntArray
    row: IntArray
    probability: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.plan)


def cube_index(grid: Grid, voxels: npt.NDArray[np.integer], cube_mm: float) -> IntArray:
    """Number of the coarse cube in which each voxel's centre lies; cubes start at the grid's first voxel face.

    Args:
        grid: geometry.
        voxels: (n, 3) indices.
        cube_mm: edge of the cubes, mm. A cube smaller than the voxels holds one voxel at most.

    Returns:
        (n,) cube numbers, unique per cube.

    Raises:
        QuantityError: the edge is not positive.
    """
    if not cube_mm > 0:
        raise QuantityError(f"the edge of the coarse cubes must be positive, found {cube_mm} mm")
    # A millionth of a cube keeps centres on a cube's face in the upper cube in spite of rounding.
    cube = np.floor((voxels + 0.5) * np.asarray(grid.spacing_mm) / cube_mm + 1e-6).astype(np.int64)
    per_axis = cube.max(axis=0, initial=0) + 1
    return np.asarray(np.ravel_multi_index(tuple(cube.T), tuple(per_axis)), dtype=np.int64)


def in_order(plans: Sequence[PlanFeatures]) -> list[PlanFeatures]:
    """The plans in an order that depends on their content, not on how they are called or given.

    Raises:
        QuantityError: two plans have one field name.
        GridMismatchError: the plans differ in channels.
        ValueRangeError: there are no plans.
    """
    names = [plan.field_id for plan in plans]
    if len(set(names)) != len(names):
        raise QuantityError(f"every plan needs its own field name, found {names}")
    if len({plan.dose_fractions.shape[1] for plan in plans}) > 1:
        raise GridMismatchError("the plans' dose fractions differ in channels; bring all spectra to the same axes")
    if not plans:
        raise ValueRangeError("no plans to choose voxels from")
    return sorted(plans, key=lambda plan: (plan.content, plan.field_id))


def candidates(plans: Sequence[PlanFeatures], cube_mm: float, seed: int) -> Candidates:
    """Draw one masked voxel at random from every coarse cube of every plan.

    A lot rather than the central voxel: it has a known probability (what a design-weighted mean needs) and does not
    prefer the middle of the cube, where a threshold mask is never cut. One candidate per cube is the stratified step
    of the sampling of Zhang et al. 2025, doi 10.1007/s10237-025-02034-6. Lots depend on the seed and on
    `PlanFeatures.content` only: not on the field's name, on the order of plans or rows, nor on other plans.

    Args:
        plans: masked voxels by plan.
        cube_mm: edge of the cubes, mm.
        seed: seed of the lots.

    Returns:
        The candidates, ordered as `in_order` and by place in the grid; `plan` counts the plans as given.

    Raises:
        QuantityError: `cube_mm` is not positive, or two plans have one field name.
        GridMismatchError: the plans differ in channels.
        ValueRangeError: there are no plans.
    """
    position = {plan.field_id: p for p, plan in enumerate(plans)}
    parts = []
    for plan in in_order(plans):
        row, probability = one_per_cube(plan, cube_mm, seed)
        parts.append((np.full(len(row), position[plan.field_id]), row, probability))
    return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def one_per_cube(plan: PlanFeatures, cube_mm: float, seed: int) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Rows of the voxels drawn in the cubes of one plan, by place in the grid, and their probabilities."""
    cube = cube_index(plan.grid, plan.voxels, cube_mm)
    order = np.lexsort((plan.lots(seed, CUBE), cube))
    _, first, count = np.unique(cube[order], return_index=True, return_counts=True)
    drawn = order[first]
    in_place_order = np.argsort(plan.flat_index[drawn])
    return drawn[in_place_order], (1.0 / count)[in_place_order]
