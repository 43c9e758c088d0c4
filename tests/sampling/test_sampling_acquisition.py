"""What every way to choose promises, and what each is meant to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.sampling.acquisition import (
    STRATEGIES,
    Pool,
    at_random,
    disagreement,
    farthest_first,
    largest_cluster,
    strategy,
    stratified,
    stratified_farthest,
)
from surrogate3d.sampling.points import pack

WAYS = sorted({s.acquire for s in STRATEGIES.values()}, key=lambda way: way.__name__)
NONE = np.empty(0, dtype=np.int64)


def pool(seed=0, n=60, scale=1.0, barred=False):
    rng = np.random.default_rng(seed)
    points, lot, members = rng.random((n, 3)), rng.random(n), rng.random((4, n))
    strata = rng.integers(0, 4, n)
    return Pool(scale * points, lot, strata, scale * members, rng.random(n) < 0.3 if barred else None)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_in_parts_as_at_once_and_never_a_row_twice(way, seed, first, second, barred):
    p = pool(seed, barred=barred)
    whole = way(p, NONE, first + second)
    part = way(p, NONE, first)
    assert part.tolist() == whole[:first].tolist()
    assert [*part, *way(p, part, second)] == whole.tolist()
    assert len(set(whole.tolist())) == len(whole) == min(first + second, len(p) if not barred else (~p.barred).sum())
    assert not barred or not p.barred[whole].any()


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.integers(-8, 8), st.permutations(range(6)))
def test_scale_does_not_matter_nor_the_order_of_what_was_taken(way, seed, power, order):
    reference, scaled = pool(seed), pool(seed, scale=2.0**power)
    assert way(scaled, NONE, 20).tolist() == way(reference, NONE, 20).tolist()
    taken = way(reference, NONE, 6)
    assert way(reference, taken[list(order)], 10).tolist() == way(reference, taken, 10).tolist()


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_rows_does_not_matter(way):
    p = pool(3)
    order = np.random.default_rng(1).permutation(len(p))
    assert order[way(p.take(order), NONE, 20)].tolist() == way(p, NONE, 20).tolist()


@pytest.mark.parametrize("way", [at_random, stratified])
def test_uniform_when_it_must_be_uniform(way):
    """With one stratum, or at random, every row is chosen equally often."""
    counts = np.zeros(20)
    for seed in range(1000):
        lot = np.random.default_rng(seed).random(20)
        counts[way(Pool(np.zeros((20, 1)), lot, np.zeros(20, int)), NONE, 4)] += 1
    assert ((counts - 200) ** 2 / 160).sum() < 43.8  # 99.9 % point of chi square with 19 degrees of freedom


def test_farthest_first_is_evenly_spaced_on_a_line():
    """Points of an even line: the middle, the ends, the quarters, the eighths."""
    p = Pool(np.arange(65.0)[:, None], np.zeros(65))
    chosen = farthest_first(p, NONE, 9)
    assert sorted(chosen.tolist()) == list(range(0, 65, 8))


def test_farthest_first_covers_within_twice_the_best_possible():
    rng = np.random.default_rng(5)
    centres = rng.random((8, 2)) * 100
    points = centres[rng.integers(0, 8, 400)] + rng.uniform(-1, 1, (400, 2)) / np.sqrt(2)
    chosen = farthest_first(Pool(points, np.zeros(400)), NONE, 8)
    radius = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1).max()
    assert radius <= 2.0  # the centres cover all within 1


def test_largest_cluster_goes_where_many_are_and_farthest_first_to_the_outlier():
    rng = np.random.default_rng(6)
    points = np.concatenate([rng.normal(0, 0.5, (500, 2)), [[4.0, 0.0], [4.1, 0.0], [2.9, 2.9]]])
    p, middle = Pool(points, np.zeros(503)), np.array([0])
    assert farthest_first(p, middle, 2).min() >= 500
    assert (largest_cluster(p, np.array([0, 500]), 5) < 500).sum() >= 3


def test_a_small_plan_is_not_outvoted_when_clusters_count_plans_alike():
    """400 voxels spread as widely as 40 of another plan far off: told of the plans, both get half of the choice."""
    rng = np.random.default_rng(10)
    points = np.concatenate([rng.random((400, 2)), rng.random((40, 2)) + 10.0])
    plan, first = np.repeat([0, 1], [400, 40]), np.array([0, 400])
    alone = largest_cluster(Pool(points, np.zeros(440)), first, 20)
    alike = largest_cluster(Pool(points, np.zeros(440), plan=plan), first, 20)
    assert (alone >= 400).sum() <= 5
    assert 8 <= (alike >= 400).sum() <= 12


def test_one_plan_or_none_is_the_same_choice():
    p = pool(11)
    assert (
        largest_cluster(replace(p, plan=np.zeros(60, int)), NONE, 30).tolist() == largest_cluster(p, NONE, 30).tolist()
    )


@pytest.mark.parametrize("order_seed", [1, 2])
def test_with_plans_neither_the_order_of_rows_matters_nor_asking_in_parts(order_seed):
    p = replace(pool(12), plan=np.random.default_rng(12).integers(0, 3, 60))
    order = np.random.default_rng(order_seed).permutation(60)
    whole = largest_cluster(p, NONE, 20)
    assert order[largest_cluster(p.take(order), NONE, 20)].tolist() == whole.tolist()
    assert largest_cluster(p, whole[:7], 13).tolist() == whole[7:].tolist()


def test_disagreement_is_sought_and_spread():
    """Two doubtful regions, one twice as large a doubt: both are visited before either is visited a third time."""
    x = np.concatenate([np.linspace(0, 1, 50), np.linspace(10, 11, 50), np.linspace(20, 21, 50)])
    deviation = np.repeat([2.0, 1.0, 0.0], 50)
    p = Pool(x[:, None], np.zeros(150), members=np.stack([deviation, -deviation]))
    chosen = disagreement(p, NONE, 6)
    assert chosen[0] < 50
    assert 50 <= chosen[1] < 100
    assert (chosen < 100).all()


def test_an_ensemble_that_doubts_all_alike_is_farthest_first():
    p = pool(7)
    taken = np.array([5])
    alike = Pool(p.points, p.lot, members=np.stack([np.ones(60), np.zeros(60)]))
    assert disagreement(alike, taken, 12).tolist() == farthest_first(p, taken, 12).tolist()
    agreed = Pool(p.points, p.lot, members=np.ones((2, 60)))
    assert disagreement(agreed, NONE, 12).tolist() == farthest_first(p, NONE, 12).tolist()


def test_strata_have_their_share_and_are_covered_within():
    strata = np.repeat([0, 1, 2], [30, 60, 30])
    p = Pool(np.random.default_rng(8).random((120, 2)), np.random.default_rng(9).random(120), strata)
    for way in (stratified, stratified_farthest):
        assert np.bincount(strata[way(p, NONE, 24)]).tolist() == [6, 12, 6]
    rows = np.flatnonzero(strata == 1)
    within = farthest_first(p.take(rows), NONE, 12)
    found = stratified_farthest(p, NONE, 24)
    assert rows[within].tolist() == found[strata[found] == 1].tolist()


def test_features_of_ones_own_packed_or_not_give_the_same():
    p = pool(2)
    packed = Pool(pack(p.points), p.lot)
    assert farthest_first(packed, NONE, 30).tolist() == farthest_first(p, NONE, 30).tolist()


def test_pools_and_names_that_do_not_fit_are_refused():
    points, lot = np.ones((3, 1)), np.ones(3)
    with pytest.raises(GridMismatchError, match="lot of a pool of 3"):
        Pool(points, np.ones(2))
    with pytest.raises(GridMismatchError, match="members"):
        Pool(points, lot, members=np.ones((2, 4)))
    with pytest.raises(ValueRangeError, match="at least 2 members"):
        Pool(points, lot, members=np.ones((1, 3)))
    with pytest.raises(ValueRangeError, match="from 0"):
        Pool(points, lot, strata=np.array([-1, 0, 0]))
    with pytest.raises(ValueRangeError, match="from 0"):
        Pool(points, lot, plan=np.array([-1, 0, 0]))
    with pytest.raises(GridMismatchError, match="plan of a pool of 3"):
        Pool(points, lot, plan=np.zeros(2, int))
    with pytest.raises(QuantityError, match="stratum"):
        stratified(Pool(points, lot), NONE, 1)
    with pytest.raises(QuantityError, match="ensemble"):
        disagreement(Pool(points, lot), NONE, 1)
    with pytest.raises(UnknownNameError, match="there are adaptive"):
        strategy("best")
    assert strategy("adaptive").one_per_cube
