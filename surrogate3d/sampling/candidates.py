"""Which voxels may be simulated: one per coarse cube and plan."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import Grid

IntArray = npt.NDArray[np.int64]


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

    Raises:
        GridMismatchError: shapes do not fit each other, or a voxel lies outside the grid.
        ValueRangeError: no voxels, a voxel twice, a dose that is not positive, or a row without any dose fraction.
    """

    field_id: str
    grid: Grid
    dose_fractions: npt.NDArray[np.floating]
    dose: npt.NDArray[np.floating]
    voxels: npt.NDArray[np.integer]

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

    @property
    def flat_index(self) -> IntArray:
        """(n_masked,) index of each voxel in the raveled grid."""
        return np.asarray(np.ravel_multi_index(tuple(self.voxels.T), self.grid.shape), dtype=np.int64)


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


def candidates(plans: Sequence[PlanFeatures], cube_mm: float, seed: int) -> Candidates:
    """Draw one masked voxel at random from every coarse cube of every plan.

    A lot rather than the central voxel: it has a known probability (what a design-weighted mean needs) and does not
    prefer the middle of the cube, where a threshold mask is never cut. One candidate per cube is the stratified step
    of the sampling of Zhang et al. 2025, doi 10.1007/s10237-025-02034-6. Lots depend on the seed, the field's name
    and the set of masked voxels only, not on the order of plans or rows.

    Args:
        plans: masked voxels by plan.
        cube_mm: edge of the cubes, mm.
        seed: seed of the lots.

    Returns:
        The candidates, ordered by field name and place in the grid.

    Raises:
        QuantityError: `cube_mm` is not positive, or two plans have one field name.
        GridMismatchError: the plans differ in channels.
        ValueRangeError: there are no plans.
    """
    names = [plan.field_id for plan in plans]
    if len(set(names)) != len(names):
        raise QuantityError(f"every plan needs its own field name, found {names}")
    if len({plan.dose_fractions.shape[1] for plan in plans}) > 1:
        raise GridMismatchError("the plans' dose fractions differ in channels; bring all spectra to the same axes")
    parts = []
    for p in sorted(range(len(plans)), key=names.__getitem__):
        row, probability = _one_per_cube(plans[p], cube_mm, np.random.default_rng(_plan_seed(seed, names[p])))
        parts.append((np.full(len(row), p), row, probability))
    if not parts:
        raise ValueRangeError("no plans to choose voxels from")
    return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _plan_seed(seed: int, field_id: str) -> list[int]:
    return [seed, int.from_bytes(hashlib.sha256(field_id.encode()).digest()[:8], "little")]


def _one_per_cube(
    plan: PlanFeatures, cube_mm: float, rng: np.random.Generator
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    place = np.argsort(plan.flat_index)
    cube = cube_index(plan.grid, plan.voxels[place], cube_mm)
    drawn = place[np.lexsort((rng.random(len(place)), cube))]
    _, first, count = np.unique(np.sort(cube), return_index=True, return_counts=True)
    in_place_order = np.argsort(plan.flat_index[drawn[first]])
    return drawn[first][in_place_order], (1.0 / count)[in_place_order]
