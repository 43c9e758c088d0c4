from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import Grid
from surrogate3d.sampling import PlanFeatures
from surrogate3d.sampling.allocation import (
    allocation_order,
    neyman,
    neyman_for_cost,
    proportional,
    stratified_lot,
    stratified_mean,
    weighted_mean,
)
from surrogate3d.sampling.cost import affordable, cpu_hours
from surrogate3d.sampling.strata import gradient_per_mm, materials, nested_strata, plan_strata, quantile_strata


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


def test_nested_strata_are_equally_full_and_never_mix_classes():
    rng = np.random.default_rng(1)
    let, dose, bone = rng.random(480), rng.random(480), np.repeat([0, 2], 240)
    strata = nested_strata([let, let + 0.01 * dose], [4, 3], bone)
    assert np.bincount(strata).tolist() == [20] * 24
    assert all(len(set(bone[strata == h])) == 1 for h in range(24))
    # crossed bins of two quantities that go together are mostly empty instead
    assert len(set(quantile_strata([let, let + 0.01 * dose], [4, 3]))) < 10


def test_small_classes_are_cut_less_often():
    classes = np.array([0] * 40 + [1] * 3)
    strata = nested_strata([np.arange(43.0)], [8], classes, smallest=5)
    assert np.bincount(strata).tolist() == [5] * 8 + [3]


def test_nested_strata_refuse_what_does_not_fit():
    with pytest.raises(GridMismatchError, match="classes"):
        nested_strata([np.ones(3)], [2], np.ones(2, int))
    with pytest.raises(ValueRangeError, match="at least 1 bin"):
        nested_strata([np.ones(3)], [0])


def test_gradient_of_a_plane_is_its_slope_also_beside_the_unknown():
    grid = Grid((6, 5, 5), (2.0, 1.0, 2.5), (0.0, 0.0, 0.0))
    x, y, z = np.meshgrid(*(np.arange(n) * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)), indexing="ij")
    values = 3 * x + 4 * y - 12 * z
    values[2, 2, 2] = np.nan
    found = gradient_per_mm(values, grid)
    assert np.isnan(found[2, 2, 2])
    np.testing.assert_allclose(found[np.isfinite(values)], 13.0)
    assert gradient_per_mm(np.ones((1, 1, 1)), Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))) == 0.0
    with pytest.raises(GridMismatchError, match="on the grid"):
        gradient_per_mm(values[1:], grid)


def test_materials_of_tabulated_tissues():
    assert materials(np.array([0.0012, 0.26, 0.95, 1.05, 1.10, 1.18, 1.92])).tolist() == [0, 0, 1, 1, 1, 2, 2]
    with pytest.raises(ValueRangeError, match="densities"):
        materials(np.array([-1.0]))


def test_strata_use_what_all_plans_have():
    grid = Grid((40, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    voxels = np.array([[n, 0, 0] for n in range(40)])

    def plan(name, **traits):
        return PlanFeatures(name, grid, np.ones((40, 2)), np.ones(40), voxels, traits)

    let, density = np.arange(40.0), np.repeat([1.0, 1.9], 20)
    both = plan_strata([plan("a", LET_d=let, density=density), plan("b", LET_d=let, density=density)])
    assert len(set(both)) == 8  # four bins of LET in each of two materials; the dose is the same everywhere
    np.testing.assert_array_equal(both[:40], both[40:])
    assert len(set(plan_strata([plan("a", LET_d=let, density=density), plan("b", LET_d=let)]))) == 4
    assert set(plan_strata([plan("a", LET_d=let), plan("b")])) == {0}


def test_turns_lead_to_the_allocation_and_are_prefixes():
    sizes, spread = np.array([30, 60, 5, 9]), np.array([1.0, 2.0, 0.5, 3.0])
    order = allocation_order(sizes, spread, 104)
    assert sorted(order[:4]) == [0, 1, 2, 3]
    assert sorted(order[4:8]) == [0, 1, 2, 3]
    for n in range(8, 105):
        assert np.bincount(order[:n], minlength=4).tolist() == neyman(sizes, spread, n).tolist()
    before = np.bincount(order[:11], minlength=4)
    assert allocation_order(sizes, spread, 20, before).tolist() == order[11:31].tolist()
    assert len(allocation_order(np.array([2, 0]), np.ones(2), 9)) == 2


def test_costs_move_voxels_to_the_cheap_strata_by_the_root():
    # N S / sqrt(c) = 100, 100 / 2 of 150
    assert neyman(np.array([100, 100]), np.ones(2), 30, np.array([1.0, 4.0])).tolist() == [20, 10]
    assert neyman_for_cost(np.array([100, 100]), np.ones(2), np.array([1.0, 4.0]), 60.0).tolist() == [20, 10]
    assert neyman_for_cost(np.array([3, 3]), np.ones(2), np.ones(2), 1e9).tolist() == [3, 3]
    with pytest.raises(ValueRangeError, match="allocation"):
        neyman(np.array([100, 100]), np.ones(2), 30, np.array([1.0, 0.0]))
    with pytest.raises(ValueRangeError, match="budget"):
        neyman_for_cost(np.array([3]), np.ones(1), np.ones(1), -1.0)


def test_cost_of_a_voxel_is_tracks_times_nuclei_times_time():
    # 4,000 tracks, 300 nuclei, 25 ns: 30 ms
    assert cpu_hours(np.array([4000.0]), 300)[0] * 3600 == pytest.approx(0.030)
    with pytest.raises(ValueRangeError, match="positive"):
        cpu_hours(np.array([0.0]), 300)


def test_a_budget_buys_the_longest_prefix_that_it_pays_for():
    cost = np.array([1.0, 2.0, 0.5, 4.0])
    assert [affordable(cost, budget) for budget in (0.0, 0.99, 3.0, 3.5, 7.4, 100.0)] == [0, 0, 2, 3, 3, 4]
    with pytest.raises(ValueRangeError, match="negative"):
        affordable(cost, -1.0)
    with pytest.raises(GridMismatchError, match="costs"):
        affordable(cost[None], 1.0)


def test_weighted_mean_of_poisson_samples_scatters_by_its_standard_error():
    rng = np.random.default_rng(3)
    y, pi = rng.normal(5, 1, 300), rng.uniform(0.1, 0.6, 300)
    y += 2 * pi  # voxels that are taken more often differ
    drawn = [rng.random(300) < pi for _ in range(1500)]
    mean, error = np.array([weighted_mean(y[is_in], pi[is_in]) for is_in in drawn]).T
    assert mean.mean() == pytest.approx(y.mean(), abs=4 * mean.std() / np.sqrt(1500))
    assert (error**2).mean() == pytest.approx(mean.var(), rel=0.12)


def test_weighted_mean_of_everything_is_the_mean_and_impossible_chances_are_refused():
    y = np.arange(8.0)
    assert weighted_mean(y, np.ones(8)) == (pytest.approx(y.mean()), 0.0)
    with pytest.raises(ValueRangeError, match="above 0"):
        weighted_mean(y, np.zeros(8))
    with pytest.raises(GridMismatchError, match="probability"):
        weighted_mean(y, np.ones(7))
