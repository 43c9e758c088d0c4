from __future__ import annotations

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import Grid
from surrogate3d.sampling import PlanFeatures, candidates
from surrogate3d.sampling.candidates import cube_index

GRID = Grid((4, 4, 4), (2.5, 2.5, 2.5), (0.0, 0.0, 0.0))
EVERY_VOXEL = np.argwhere(np.ones(GRID.shape, dtype=bool))


def plan(field_id="a", voxels=EVERY_VOXEL, grid=GRID, dose=None):
    n = len(voxels)
    return PlanFeatures(field_id, grid, np.ones((n, 3), np.float32), np.ones(n) if dose is None else dose, voxels)


def chosen_voxels(plans, cube_mm=5.0, seed=1):
    drawn = candidates(plans, cube_mm, seed)
    return {(plans[p].field_id, *map(int, plans[p].voxels[row])) for p, row in zip(drawn.plan, drawn.row, strict=True)}


def test_cubes_of_two_voxels_are_the_eight_octants():
    octant = (EVERY_VOXEL // 2) @ (4, 2, 1)
    assert np.array_equal(cube_index(GRID, EVERY_VOXEL, 5.0), octant)


def test_cubes_on_a_grid_that_they_do_not_divide():
    grid = Grid((5, 1, 1), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    voxels = np.array([[n, 0, 0] for n in range(5)])
    # centres at 1, 3, 5, 7, 9 mm in cubes of 3 mm; a centre on a face belongs to the upper cube
    assert cube_index(grid, voxels, 3.0).tolist() == [0, 1, 1, 2, 3]


def test_one_candidate_per_cube_with_probability_one_over_its_masked_voxels():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[:2, :2, :2] = True  # 8 voxels of one cube
    mask[2, 0, 0] = mask[3, 1, 1] = True  # 2 of another
    drawn = candidates([plan(voxels=np.argwhere(mask))], 5.0, seed=0)
    assert sorted(drawn.probability) == [1 / 8, 1 / 2]


def test_cubes_smaller_than_voxels_make_every_voxel_a_candidate():
    drawn = candidates([plan()], 1.0, seed=0)
    assert len(drawn) == 64
    assert (drawn.probability == 1.0).all()


def test_every_masked_voxel_of_a_cube_is_drawn_equally_often():
    voxels = EVERY_VOXEL[(EVERY_VOXEL < 2).all(axis=1)]
    counts = np.zeros(8)
    for seed in range(800):
        counts[candidates([plan(voxels=voxels)], 5.0, seed).row] += 1
    chi_square = ((counts - 100) ** 2 / 100).sum()
    assert chi_square < 24.3  # 99.9 % point of chi square with 7 degrees of freedom


def test_order_of_plans_and_rows_is_irrelevant():
    shuffled = EVERY_VOXEL[np.random.default_rng(0).permutation(64)]
    assert chosen_voxels([plan("a"), plan("b")]) == chosen_voxels([plan("b", shuffled), plan("a")])


def test_another_plan_does_not_change_the_lots():
    with_b = {key for key in chosen_voxels([plan("a"), plan("b")]) if key[0] == "a"}
    assert with_b == chosen_voxels([plan("a")])


def test_lots_depend_on_the_content_and_not_on_the_name():
    assert {key[1:] for key in chosen_voxels([plan("a")])} == {key[1:] for key in chosen_voxels([plan("z")])}
    dose = np.ones(64)
    dose[7] = 2.0
    assert {key[1:] for key in chosen_voxels([plan("a", dose=dose)])} != {key[1:] for key in chosen_voxels([plan("a")])}


@pytest.mark.parametrize("factor", [1e-3, 2.5, 7e4])
def test_content_is_that_of_relative_dose_in_single_precision_too(factor):
    dose = np.random.default_rng(3).uniform(0.1, 2, 64).astype(np.float32)
    assert plan(dose=dose).content == plan("b", dose=dose * np.float32(factor)).content


def test_content_changes_with_mask_and_spectrum():
    fractions = np.ones((64, 3))
    fractions[:, 0] = 1.02
    others = [plan(voxels=EVERY_VOXEL[1:]), PlanFeatures("a", GRID, fractions, np.ones(64), EVERY_VOXEL)]
    assert len({plan().content, *(other.content for other in others)}) == 3


def test_seeds_differ():
    assert chosen_voxels([plan()], seed=1) != chosen_voxels([plan()], seed=2)


@pytest.mark.parametrize("cube_mm", [0.0, -1.0, float("nan")])
def test_refuses_impossible_cubes(cube_mm):
    with pytest.raises(QuantityError, match="coarse cubes"):
        candidates([plan()], cube_mm, 0)


def test_refuses_plans_of_one_name_and_no_plans():
    with pytest.raises(QuantityError, match="field name"):
        candidates([plan("a"), plan("a")], 5.0, 0)
    with pytest.raises(ValueRangeError, match="no plans"):
        candidates([], 5.0, 0)


def test_refuses_plans_of_different_channels():
    other = PlanFeatures("b", GRID, np.ones((64, 4)), np.ones(64), EVERY_VOXEL)
    with pytest.raises(GridMismatchError, match="channels"):
        candidates([plan("a"), other], 5.0, 0)


def test_plan_refuses_what_does_not_fit():
    with pytest.raises(GridMismatchError, match="outside the grid"):
        plan(voxels=np.array([[4, 0, 0]]))
    with pytest.raises(ValueRangeError, match="twice"):
        plan(voxels=np.array([[0, 0, 0], [0, 0, 0]]))
    with pytest.raises(ValueRangeError, match="no voxels"):
        plan(voxels=np.empty((0, 3), dtype=int))
    with pytest.raises(GridMismatchError, match="expected dose_fractions"):
        plan(dose=np.ones(3))
    with pytest.raises(ValueRangeError, match="positive"):
        plan(dose=np.zeros(64))
    with pytest.raises(GridMismatchError, match="trait"):
        PlanFeatures("a", GRID, np.ones((64, 3)), np.ones(64), EVERY_VOXEL, {"LET_d": np.ones(3)})
    fractions = np.ones((64, 3))
    fractions[5] = 0
    with pytest.raises(ValueRangeError, match=r"1 masked voxels have no spectrum, the first is \(0, 1, 1\)"):
        PlanFeatures("a", GRID, fractions, np.ones(64), EVERY_VOXEL)
    fractions[5] = -1
    with pytest.raises(ValueRangeError, match="not negative"):
        PlanFeatures("a", GRID, fractions, np.ones(64), EVERY_VOXEL)
