"""Other geometries from the same plan."""

import numpy as np
import pytest
import torch

from surrogate3d.training.dataset import CUT_MARGIN, LEANING_DEPTHS, Example, Geometry, known_voxels, shift_columns

NAN = float("nan")


def rolled(values, shift, fill):
    """The slow twin: every column rolled, what came round overwritten."""
    out = np.empty_like(values)
    depth = values.shape[-1]
    for i, j in np.ndindex(*shift.shape):
        n = int(np.clip(shift[i, j], -depth, depth))
        out[..., i, j, :] = np.roll(values[..., i, j, :], n, axis=-1)
        out[..., i, j, slice(0, n) if n >= 0 else slice(depth + n, depth)] = fill
    return out


@pytest.mark.parametrize("fill", [0.0, NAN])
def test_shifted_columns_equal_their_slow_twin(fill):
    rng = np.random.default_rng(1)
    values = rng.random((2, 3, 5, 4, 7))
    shift = rng.integers(-9, 10, (5, 4))  # some columns leave the grid
    found = shift_columns(torch.from_numpy(values), torch.from_numpy(shift), fill)
    np.testing.assert_array_equal(found.numpy(), rolled(values, shift, fill))


def test_no_shift_is_no_change_and_back_is_back():
    values = torch.from_numpy(np.random.default_rng(1).random((2, 5, 4, 9)))
    zero = torch.zeros(5, 4, dtype=torch.int64)
    assert torch.equal(shift_columns(values, zero, 0.0), values)
    there = shift_columns(values, zero + 2, 0.0)
    torch.testing.assert_close(shift_columns(there, zero - 2, 0.0)[..., :-2], values[..., :-2])


@pytest.fixture
def plan():
    """Every voxel holds its own number, in inputs and targets alike; every other one is learnt from."""
    shape = (6, 5, 11)
    number = 1.0 + torch.arange(6 * 5 * 11, dtype=torch.float64).reshape(shape)
    inputs = torch.stack([number * 10**g for g in range(2)])[:, None, None].expand(2, 4, 4, *shape).contiguous()
    target = -number.expand(3, *shape).clone()
    learnt = torch.zeros(shape, dtype=torch.bool)
    learnt[..., 1::2] = True
    return inputs, target, learnt


def applied(plan, seed):
    """As the loop does."""
    inputs, target, learnt = plan
    geometry = Geometry.draw(tuple(learnt.shape[:2]), np.random.default_rng(seed))
    return geometry.apply(inputs), geometry.apply(target), geometry.apply(learnt.to(inputs)) > 0.5


@pytest.mark.parametrize("seed", range(12))
def test_targets_and_roles_move_with_their_voxels(plan, seed):
    inputs, target, learnt = applied(plan, seed)
    here = inputs[0, 0, 0]
    assert torch.equal(target, -here.expand_as(target))
    for g in range(2):
        assert torch.equal(inputs[g], (10**g * here).expand_as(inputs[g]))
    # Nothing is there twice, and what moved in is empty and not learnt from.
    numbers = here[here > 0]
    assert len(numbers.unique()) == len(numbers) > 0
    learnt_numbers = plan[0][0, 0, 0][plan[2]]
    assert torch.equal(learnt, (here > 0) & torch.isin(here, learnt_numbers))
    assert bool(learnt.any())


def test_depth_is_never_turned_round_and_columns_stay_whole(plan):
    for seed in range(12):
        column = applied(plan, seed)[0][0, 0, 0].reshape(-1, 11)
        both = (column[:, 1:] > 0) & (column[:, :-1] > 0)
        assert bool(((column[:, 1:] - column[:, :-1])[both] == 1).all())


def test_mirror_images_and_exchanges_all_occur(plan):
    shapes, corners = set(), set()
    for seed in range(60):
        numbers = applied(plan, seed)[0][0, 0, 0]
        shapes.add(tuple(numbers.shape))
        columns = numbers.amax(dim=-1)
        gradient = tuple(float(columns.mean(dim=a).diff().sum().sign()) for a in (1, 0))
        corners.add((tuple(numbers.shape), gradient))
    assert shapes == {(6, 5, 11), (5, 6, 11)}
    assert len(corners) == 8  # the symmetry group of a rectangle's lateral axes


def test_fill_is_the_value_of_what_is_shifted_in():
    geometry = Geometry(torch.full((2, 3), 2), (-3,), True)
    values = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    found = geometry.apply(values, fill=-7.0)
    assert found.shape == (3, 2, 4)
    assert bool((found[..., :2] == -7.0).all())
    torch.testing.assert_close(found[..., 2:], values.flip(-3).transpose(-3, -2)[..., :2])


def test_the_seed_decides(plan):
    first, again, other = (applied(plan, seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_the_plan_itself_is_not_changed(plan):
    before = [x.clone() for x in plan]
    applied(plan, 1)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(plan, before, strict=True))


@pytest.mark.parametrize("slope", [(0.3, 0.0), (0.0, -0.25), (-0.4, 0.4)])
def test_a_leaning_beam_moves_each_slice_across_and_loses_nothing(slope):
    """The slow twin: every slice rolled on a grid grown by hand."""
    values = 1.0 + torch.arange(7 * 6 * 20.0).reshape(7, 6, 20)
    still = Geometry(torch.zeros(7, 6, dtype=torch.int64), (), False, slope)
    geometry = still.leaning(20, np.random.default_rng(1))
    assert geometry.depths == (0, 20)
    found = geometry.apply(values).numpy()
    by = np.rint([[-s * (k - 9.5) for k in range(20)] for s in slope]).astype(int)
    grow = np.abs(by).max(axis=1)
    grown = np.pad(values.numpy(), ((grow[0], grow[0]), (grow[1], grow[1]), (0, 0)))
    expected = np.stack([np.roll(grown[..., k], tuple(by[:, k]), axis=(0, 1)) for k in range(20)], axis=-1)
    np.testing.assert_array_equal(found, expected)


def test_tilt_and_lean_together_turn_the_plan():
    """A line of voxels along the beam and one across it stay at right angles, as in a rotation."""
    slope = 0.25
    along, across = torch.zeros(31, 3, 31), torch.zeros(31, 3, 31)
    along[15, 1, :] = 1.0
    across[:, 1, 15] = 1.0
    i = torch.arange(31)
    shift = torch.round(slope * (i - 15.0)).long()[:, None].expand(31, 3)
    geometry = Geometry(shift, (), False, (slope, 0.0)).leaning(31, np.random.default_rng(0))
    directions = []
    for line in (along, across):
        at = geometry.apply(line).nonzero().numpy().astype(float)[:, [0, 2]]
        _, _, axes = np.linalg.svd(at - at.mean(axis=0))
        directions.append(axes[0])
    assert abs(directions[0] @ directions[1]) < 0.05
    angle = np.degrees(np.arctan(abs(directions[0][0] / directions[0][1])))
    assert angle == pytest.approx(np.degrees(np.arctan(slope)), abs=1.5)


def test_a_long_plan_is_cut_when_it_leans_and_nothing_next_to_the_cuts_is_learnt_from():
    learnt = torch.ones(4, 4, 50, dtype=torch.bool)
    still = Geometry(torch.zeros(4, 4, dtype=torch.int64), (), False)
    firsts = set()
    for seed in range(40):
        geometry = still.leaning(50, np.random.default_rng(seed))
        first, end = geometry.depths
        assert end - first == LEANING_DEPTHS
        firsts.add(first)
        expected = np.ones(LEANING_DEPTHS, dtype=bool)
        expected[: CUT_MARGIN * (first > 0)] = False
        expected[LEANING_DEPTHS - CUT_MARGIN * (end < 50) :] = False
        np.testing.assert_array_equal(geometry.learnt(learnt)[1, 1].numpy(), expected)
    assert {min(firsts), max(firsts)} == {0, 50 - LEANING_DEPTHS}


def test_of_several_cell_lines_the_first_is_taken_with_dose_and_tracks():
    """Inputs are dose, tracks, then alpha of three lines, then beta of three; targets have no tracks."""
    column = torch.arange(8.0)[:, None, None, None]
    inputs = column.expand(2, 4, 8, 3, 3, 3)
    target = torch.arange(7.0)[:, None, None, None].expand(7, 3, 3, 3)
    nothing = torch.zeros(3, 3, 3, dtype=torch.bool)
    example = Example(
        (inputs, inputs + 10), (target, target + 10), (1.0, 1.0), nothing, nothing, torch.tensor([1, 2]), inputs, inputs
    )
    found = example.first_line(1)
    assert found[0][0, 0, :, 0, 0, 0].tolist() == [10.0, 11.0, 12.0, 15.0]
    assert found[1][:, 0, 0, 0].tolist() == [10.0, 11.0, 14.0]


def test_known_voxels_have_dose_in_inputs_and_target():
    among, target, inputs = torch.ones(2, 2, 2, dtype=torch.bool), torch.ones(3, 2, 2, 2), torch.zeros(2, 4, 4, 2, 2, 2)
    inputs[1, 3, 0] = 1.0  # one group and band is enough
    among[0, 0, 0] = False
    target[0, 0, 1, 0] = 0.0
    inputs[:, :, 0, 1, 1, 1] = 0.0
    left = {(0, 0, 1), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0)}
    assert {tuple(voxel) for voxel in known_voxels(among, inputs, target).tolist()} == left
