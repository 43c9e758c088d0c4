"""Other geometries from the same plan."""

import numpy as np
import pytest
import torch

from surrogate3d.training.dataset import augment, shift_columns

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
    """Every voxel holds its own number, in inputs and labels alike."""
    shape = (6, 5, 11)
    number = 1.0 + torch.arange(6 * 5 * 11, dtype=torch.float64).reshape(shape)
    inputs = torch.stack([number * 10**g for g in range(2)])[:, None].expand(2, 4, *shape).contiguous()
    label = number.expand(1, 3, *shape).clone()
    label[..., ::2] = NAN
    return inputs, label, -label


@pytest.mark.parametrize("seed", range(12))
def test_labels_move_with_their_voxels(plan, seed):
    inputs, label, label_se = augment(*plan, np.random.default_rng(seed))
    known = torch.isfinite(label)
    assert bool(known.any())
    here = inputs[0, 0].expand_as(label)
    assert torch.equal(label[known], here[known])
    assert torch.equal(label_se[known], -label[known])
    assert torch.equal(known, torch.isfinite(label_se))
    assert torch.equal(inputs[1], 10 * inputs[0])
    # Nothing is there twice, and what moved in is empty.
    numbers = inputs[0, 0][inputs[0, 0] > 0]
    assert len(numbers.unique()) == len(numbers)
    # A labelled voxel that is still inside still has its label.
    assert bool((known[0, 0] == ((inputs[0, 0] > 0) & torch.isin(inputs[0, 0], plan[1][0, 0]))).all())


def test_depth_is_never_turned_round_and_columns_stay_whole(plan):
    for seed in range(12):
        inputs, _, _ = augment(*plan, np.random.default_rng(seed))
        column = inputs[0, 0].reshape(-1, 11)
        both = (column[:, 1:] > 0) & (column[:, :-1] > 0)
        assert bool(((column[:, 1:] - column[:, :-1])[both] == 1).all())


def test_mirror_images_and_exchanges_all_occur(plan):
    shapes, corners = set(), set()
    for seed in range(60):
        inputs, _, _ = augment(*plan, np.random.default_rng(seed))
        shapes.add(tuple(inputs.shape[-3:]))
        columns = inputs[0, 0].amax(dim=-1)
        gradient = tuple(float(columns.mean(dim=a).diff().sum().sign()) for a in (1, 0))
        corners.add((tuple(inputs.shape[-3:]), gradient))
    assert shapes == {(6, 5, 11), (5, 6, 11)}
    assert len(corners) == 8  # the symmetry group of a rectangle's lateral axes


def test_the_seed_decides(plan):
    first, again, other = (augment(*plan, np.random.default_rng(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_the_plan_itself_is_not_changed(plan):
    before = [x.clone() for x in plan]
    augment(*plan, np.random.default_rng(1))
    for mine, theirs in zip(plan, before, strict=True):
        assert torch.equal(mine.nan_to_num(-1), theirs.nan_to_num(-1))
