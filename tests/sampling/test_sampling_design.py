from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.sampling.allocation import neyman, proportional, stratified_lot, stratified_mean
from surrogate3d.sampling.strata import quantile_strata


def test_quantile_strata_of_one_quantity():
    assert quantile_strata([np.array([5.0, 1.0, 4.0, 2.0, 3.0, 6.0])], [3]).tolist() == [2, 0, 1, 0, 1, 2]


def test_crossed_strata_have_no_gaps():
    dose = np.array([1.0, 1.0, 2.0, 2.0])
    let = np.array([1.0, 9.0, 1.0, 9.0])
    assert sorted(quantile_strata([dose, let], [2, 2])) == [0, 1, 2, 3]
    assert sorted(set(quantile_strata([dose, dose], [2, 2]))) == [0, 1]


def test_equal_values_stay_together():
    assert set(quantile_strata([np.full(10, 3.0)], [4])) == {0}


def test_strata_refuse_what_does_not_fit():
    with pytest.raises(GridMismatchError, match="equal length"):
        quantile_strata([np.ones(3), np.ones(4)], [2, 2])
    with pytest.raises(ValueRangeError, match="finite"):
        quantile_strata([np.array([1.0, np.nan])], [2])


def test_proportional_allocation_that_divides():
    assert proportional(np.array([100, 200, 700]), 50).tolist() == [5, 10, 35]


def test_neyman_allocation_that_divides():
    # shares N S = 100, 400, 500 of 1000
    assert neyman(np.array([100, 200, 1000]), np.array([1.0, 2.0, 0.5]), 20).tolist() == [2, 8, 10]


def test_neyman_has_the_least_variance_of_all_allocations():
    sizes, spread, n = np.array([40, 25, 60]), np.array([1.0, 3.0, 0.4]), 14

    def variance(counts):
        return sum(N**2 * S**2 / c for N, S, c in zip(sizes, spread, counts, strict=True))

    every = [(a, b, n - a - b) for a in range(2, n) for b in range(2, n - a - 1)]
    assert variance(neyman(sizes, spread, n)) <= 1.01 * min(variance(c) for c in every)


def test_full_strata_pass_their_surplus_on():
    assert neyman(np.array([3, 50]), np.array([100.0, 1.0]), 20).tolist() == [3, 17]
    assert neyman(np.array([3, 50]), np.array([1.0, 0.0]), 20).tolist() == [3, 17]
    assert neyman(np.array([3, 5]), np.array([1.0, 1.0]), 100).tolist() == [3, 5]


def test_every_stratum_gets_two_when_there_are_enough():
    assert neyman(np.array([10, 10, 1]), np.array([1e9, 1.0, 0.0]), 6).tolist() == [3, 2, 1]
    assert neyman(np.array([10, 10]), np.array([0.0, 0.0]), 0).tolist() == [0, 0]


def test_allocation_refuses():
    with pytest.raises(GridMismatchError, match="strata"):
        neyman(np.array([1, 2]), np.array([1.0]), 2)
    with pytest.raises(ValueRangeError, match="allocation"):
        neyman(np.array([1, 0]), np.array([1.0, 1.0]), 2)


def test_lot_draws_the_counts_with_their_probabilities():
    strata = np.array([0] * 10 + [1] * 4)
    rows, probability = stratified_lot(strata, np.array([3, 4]), np.random.default_rng(0))
    assert np.bincount(strata[rows]).tolist() == [3, 4]
    assert len(set(rows.tolist())) == 7
    assert np.allclose(probability, np.where(strata[rows] == 0, 0.3, 1.0))
    with pytest.raises(ValueRangeError, match="cannot draw"):
        stratified_lot(strata, np.array([3, 5]), np.random.default_rng(0))


def test_mean_and_variance_are_unbiased_over_every_possible_lot():
    """Cochran's identities, by enumeration of all samples of a small population."""
    population = np.array([1.0, 2.0, 4.0, 8.0, 3.0, 3.5, 7.0])
    strata = np.array([0, 0, 0, 0, 1, 1, 1])
    sizes = np.array([4, 3])
    estimates = [
        stratified_mean(population[[*a, *b]], strata[[*a, *b]], sizes)
        for a in combinations(range(4), 2)
        for b in combinations(range(4, 7), 2)
    ]
    means, errors = np.array(estimates).T
    assert means.mean() == pytest.approx(population.mean())
    assert (errors**2).mean() == pytest.approx(means.var())


def test_a_full_count_has_no_error_and_a_single_voxel_none_that_is_known():
    assert stratified_mean(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]), np.array([2, 1])) == (3.0, 0.0)
    mean, error = stratified_mean(np.array([1.0, 3.0]), np.array([0, 1]), np.array([5, 5]))
    assert mean == 2.0
    assert np.isnan(error)
    with pytest.raises(ValueRangeError, match="every stratum"):
        stratified_mean(np.array([1.0]), np.array([0]), np.array([5, 5]))
