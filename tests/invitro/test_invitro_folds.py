import numpy as np
import pytest
from invitro_cases import folder_data

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.invitro.folds import grouped_folds, groups, spelling_free

SIZES = (30, 20, 9, 9, 8, 5, 5, 4, 3, 2, 2, 1, 1, 1)
GROUP = np.random.default_rng(0).permutation(np.repeat([f"g{n}" for n in range(len(SIZES))], SIZES))


def test_no_group_is_in_two_folds_and_every_experiment_is_in_one():
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


def test_publications_and_cell_lines_of_a_data_set_stay_whole():
    data = folder_data()
    for split, names in (("publication", data.publication), ("cell line", data.cells)):
        fold = grouped_folds(groups(data, split), 4, 1)
        assert all(len(np.unique(fold[names == name])) == 1 for name in np.unique(names))
    assert len(np.unique(groups(data, "random"))) == len(data)


def test_spellings_of_a_cell_line_are_one_line_and_sublines_are_not():
    assert spelling_free("U-87") == spelling_free("u87")
    assert spelling_free("V79-4") != spelling_free("V79")
    assert spelling_free("+") == "+"
    data = folder_data()
    together = groups(data, "cell line")
    assert {str(name) for name in together[np.isin(data.cells, ["Delta-7", "Delta.7"])]} == {"delta7"}


def test_folds_that_cannot_be_are_refused():
    with pytest.raises(ValueRangeError, match="14 groups can be dealt into 2 to 14 folds, asked for 15"):
        grouped_folds(GROUP, 15, 0)
    with pytest.raises(ValueRangeError, match="asked for 1"):
        grouped_folds(GROUP, 1, 0)
    with pytest.raises(UnknownNameError, match="unknown split 'cells'; known: random, publication, cell line"):
        groups(folder_data(), "cells")
