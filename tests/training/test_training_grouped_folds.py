import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.training.grouped_folds import grouped_folds

SIZES = (30, 20, 9, 9, 8, 5, 5, 4, 3, 2, 2, 1, 1, 1)
GROUP = np.random.default_rng(0).permutation(np.repeat([f"g{n}" for n in range(len(SIZES))], SIZES))


def test_no_group_is_in_two_folds_and_every_row_is_in_one():
    for seed in range(20):
        fold = grouped_folds(GROUP, 4, seed)
        assert fold.shape == GROUP.shape
        assert all(len(np.unique(fold[name == GROUP])) == 1 for name in np.unique(GROUP))
        assert set(fold.tolist()) == {0, 1, 2, 3}


def test_folds_are_of_like_size():
    # 100 experiments in 4 folds, the largest group has 30: greedy dealing of the largest first ends with 30, 24, 23, 23
    for seed in range(20):
        assert sorted(np.bincount(grouped_folds(GROUP, 4, seed)).tolist()) == [23, 23, 24, 30]
    single = np.arange(101).astype(str)
    assert set(np.bincount(grouped_folds(single, 10, 3)).tolist()) == {10, 11}


def test_a_seed_gives_the_same_folds_again_and_another_seed_gives_others():
    single = np.arange(60).astype(str)
    np.testing.assert_array_equal(grouped_folds(single, 10, 5), grouped_folds(single, 10, 5))
    assert (grouped_folds(single, 10, 5) != grouped_folds(single, 10, 6)).any()


def test_folds_that_cannot_be_are_refused():
    with pytest.raises(ValueRangeError, match="14 groups can be dealt into 2 to 14 folds, asked for 15"):
        grouped_folds(GROUP, 15, 0)
    with pytest.raises(ValueRangeError, match="asked for 1"):
        grouped_folds(GROUP, 1, 0)
