from __future__ import annotations

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Grid
from surrogate3d.sampling import STRATEGIES, PlanFeatures, Sampler, VoxelKey
from surrogate3d.sampling.similarity import distance_to, embed

GRID = Grid((6, 6, 6), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


def plan(field_id="a", seed=0, channels=5, scale=1.0):
    rng = np.random.default_rng([seed, ord(field_id[0])])
    voxels = np.argwhere(rng.random(GRID.shape) < 0.7)
    fractions = rng.dirichlet(np.full(channels, 0.3), len(voxels)).astype(np.float32)
    return PlanFeatures(field_id, GRID, fractions, scale * rng.uniform(0.05, 2, len(voxels)), voxels)


def shuffled(p, seed=0):
    order = np.random.default_rng(seed).permutation(len(p.voxels))
    return PlanFeatures(p.field_id, p.grid, p.dose_fractions[order], p.dose[order], p.voxels[order])


def renamed(p, field_id):
    return PlanFeatures(field_id, p.grid, p.dose_fractions, p.dose, p.voxels, p.traits)


def ensemble(p, scale=1.0):
    """Predictions that belong to the voxels, whatever the order of rows."""
    return scale * np.sin(np.outer([1.0, 2.0, 3.0], p.flat_index + ord(p.field_id[0])))


def line(dose_fractions):
    """Voxels on one line, each its own cube, equal dose."""
    n = len(dose_fractions)
    grid = Grid((n, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    return PlanFeatures("line", grid, np.asarray(dose_fractions), np.ones(n), np.array([[i, 0, 0] for i in range(n)]))


def points_by_key(plans):
    return {
        VoxelKey(p.field_id, tuple(int(x) for x in voxel)): point
        for p in plans
        for voxel, point in zip(p.voxels, embed(p.dose_fractions, p.dose / p.dose.max()), strict=True)
    }


def leader_walk(points, order, threshold):
    """The similarity threshold of the literature, literally: keep what differs enough from all that is kept."""
    kept = []
    for key in order:
        if all(np.linalg.norm(points[key] - points[other]) > threshold for other in kept):
            kept.append(key)
    return kept


def test_farthest_first_on_a_line_by_hand():
    # two-channel spectra at Hellinger angles 0, 10, 40, 90 degrees: distance = sqrt(1 - cos(difference))
    angle = np.deg2rad([0, 10, 40, 90])
    p = line(np.stack([np.cos(angle) ** 2, np.sin(angle) ** 2], axis=1))
    sampler = Sampler([p], 4, 1.0, seed=0)
    # mean of the points lies near 35 degrees, so 40 is first; then 90 (50 away), 0 (40 away), 10
    assert [key.voxel[0] for key in sampler.ask(4)] == [2, 3, 0, 1]
    sampler = Sampler([p], 2, 1.0, seed=0)
    sampler.ask(2)
    assert sampler.threshold == pytest.approx(np.sqrt(1 - np.cos(np.deg2rad(40))))


def test_threshold_found_by_bisection_over_the_leader_walk_gives_the_same_voxels():
    plans = [plan("a"), plan("b")]
    points = points_by_key(plans)
    sampler = Sampler(plans, 10_000, 4.0, seed=3)
    order = sampler.ask(10_000)  # every candidate, in the order of the walk
    budget = 12
    low, high = 0.0, 3.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if len(leader_walk(points, order, middle)) > budget else (low, middle)
    chosen = Sampler(plans, budget, 4.0, seed=3)
    assert chosen.ask(budget) == leader_walk(points, order, high)
    assert chosen.threshold == pytest.approx(high, abs=1e-6)


def test_threshold_covers_the_candidates_and_separates_the_chosen():
    plans = [plan("a"), plan("b")]
    sampler = Sampler(plans, 15, 4.0, seed=0)
    chosen = sampler.ask(15)
    points = points_by_key(plans)
    everything = Sampler(plans, 10_000, 4.0, seed=0)
    for key in everything.ask(10_000):
        assert min(np.linalg.norm(points[key] - points[c]) for c in chosen) <= sampler.threshold + 1e-6
    for n, key in enumerate(chosen):
        assert all(np.linalg.norm(points[key] - points[c]) >= sampler.threshold - 1e-6 for c in chosen[:n])
    assert everything.threshold == 0.0


def test_smaller_budgets_are_prefixes():
    assert Sampler([plan()], 20, 4.0, 0).ask(20)[:7] == Sampler([plan()], 7, 4.0, 0).ask(7)


def test_asking_in_parts_is_asking_at_once():
    at_once, parts = Sampler([plan()], 12, 4.0, 0), Sampler([plan()], 12, 4.0, 0)
    assert at_once.ask(12) == parts.ask(5) + parts.ask(1) + parts.ask(6)


def test_deterministic_and_independent_of_the_order_of_plans_and_rows():
    a, b = plan("a"), plan("b")
    reference = Sampler([a, b], 14, 4.0, 9).ask(14)
    assert Sampler([shuffled(b), shuffled(a, 3)], 14, 4.0, 9).ask(14) == reference


def test_invariant_under_the_scale_of_each_plans_dose():
    reference = Sampler([plan("a"), plan("b")], 14, 4.0, 9).ask(14)
    assert Sampler([plan("a", scale=1e6), plan("b", scale=0.125)], 14, 4.0, 9).ask(14) == reference


def test_never_asks_a_pending_or_answered_voxel():
    sampler = Sampler([plan()], 1000, 4.0, 0)
    seen = []
    while not sampler.done():
        asked = sampler.ask(4)
        sampler.tell(asked[:2])
        seen += asked
        sampler.tell(sampler.pending)
    assert len(seen) == len(set(seen)) == sampler.n_candidates


def test_tell_is_idempotent_and_its_order_is_irrelevant():
    one, other = Sampler([plan()], 12, 4.0, 0), Sampler([plan()], 12, 4.0, 0)
    asked = one.ask(4)
    other.ask(4)
    one.tell(asked)
    one.tell(asked)
    other.tell(reversed(asked))
    assert one.pending == other.pending == set()
    assert one.ask(8) == other.ask(8)


def test_done_waits_for_pending_voxels():
    sampler = Sampler([plan()], 3, 4.0, 0)
    assert not sampler.done()
    asked = sampler.ask(3)
    assert sampler.ask(1) == []
    assert not sampler.done()
    assert sampler.pending == set(asked) == set(sampler.chosen)
    sampler.tell(asked)
    assert sampler.done()


def test_voxels_of_an_earlier_campaign_count_and_are_not_asked():
    earlier = Sampler([plan()], 5, 4.0, 0).ask(5)
    resumed = Sampler([plan()], 12, 4.0, 0)
    resumed.tell(earlier)
    assert earlier + resumed.ask(12) == Sampler([plan()], 12, 4.0, 0).ask(12)


def test_a_failed_voxel_frees_its_place_and_is_not_asked_again():
    sampler = Sampler([plan()], 6, 4.0, 0)
    asked = sampler.ask(6)
    sampler.tell(asked[:5], failed=asked[5:])
    sampler.tell([], failed=asked[5:])
    replacement = sampler.ask(6)
    assert len(replacement) == 1
    assert replacement[0] not in asked
    # the replacement is the farthest from the five that remain
    points = points_by_key([plan()])
    kept = np.array([points[key] for key in asked[:5]])
    others = [key for key in Sampler([plan()], 10_000, 4.0, 0).ask(10_000) if key not in asked]
    assert replacement[0] == max(others, key=lambda key: distance_to(kept, points[key]).min())


def test_a_voxel_that_is_no_candidate_is_refused():
    with pytest.raises(UnknownNameError, match="no candidate"):
        Sampler([plan()], 3, 4.0, 0).tell([VoxelKey("elsewhere", (0, 0, 0))])


def test_inclusion_probability_is_known_only_when_all_candidates_are_taken():
    some, everything = Sampler([plan()], 3, 4.0, 0), Sampler([plan()], 1000, 4.0, 0)
    assert all(some.inclusion_probability(key) is None for key in some.ask(3))
    # the inverse probabilities of one voxel per cube add up to the masked voxels
    total = sum(1 / everything.inclusion_probability(key) for key in everything.ask(1000))
    assert total == pytest.approx(len(plan().voxels))


def test_duplicates_are_taken_last():
    p = line([[1, 0], [1, 0], [1, 0], [0, 1]])
    sampler = Sampler([p], 2, 1.0, 0)
    assert {key.voxel[0] for key in sampler.ask(2)} == {0, 3}
    assert sampler.threshold == 0.0


def test_refuses_an_empty_budget():
    with pytest.raises(ValueRangeError, match="at least 1"):
        Sampler([plan()], 0, 4.0, 0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_keeps_the_promises_of_ask_and_tell(name):
    """In parts as at once, prefixes, order of plans, rows and telling, names, scale of dose; nothing asked twice."""
    plans = [plan("a"), plan("b", channels=5)]

    def sampler(parts, budget=20):
        members = {p.field_id: ensemble(p) for p in parts}
        return Sampler(parts, budget, 4.0, 9, name, members=members)

    reference = sampler(plans).ask(20)
    assert len(set(reference)) == 20
    assert sampler(plans, 7).ask(7) == reference[:7]
    assert sampler([shuffled(plans[1]), shuffled(plans[0], 3)]).ask(20) == reference
    assert sampler([plan("a", scale=1e3), plan("b", scale=0.125)]).ask(20) == reference
    parts = sampler(plans)
    first = parts.ask(6)
    parts.tell(reversed(first))
    parts.tell(first)
    assert first + parts.ask(5) + parts.ask(100) == reference
    earlier = sampler(plans)
    earlier.tell(reference[:8])
    assert earlier.ask(100) == reference[8:]
    failing = sampler(plans)
    failing.tell([], failed=failing.ask(3)[:1])
    assert reference[0] not in failing.ask(100)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "ensemble"])
def test_names_of_fields_do_not_matter(name):
    a, b = plan("a"), plan("b")
    reference = Sampler([a, b], 20, 4.0, 9, name).ask(20)
    other = Sampler([renamed(a, "z"), renamed(b, "c")], 20, 4.0, 9, name).ask(20)
    assert [({"z": "a", "c": "b"}[key.field_id], key.voxel) for key in other] == reference


def test_inclusion_probabilities_of_random_and_stratified_designs_are_shares():
    n = len(plan().voxels)
    sampler = Sampler([plan()], 15, 4.0, 0, "random")
    assert {sampler.inclusion_probability(key) for key in sampler.ask(15)} == {15 / n}
    sampler = Sampler([plan()], 48, 4.0, 0, "stratified")
    keys = sampler.ask(48)
    # with at least one voxel of every stratum, the inverse probabilities add up to the number of voxels
    assert sum(1 / sampler.inclusion_probability(key) for key in keys) == pytest.approx(n)
    other = next(key for key in points_by_key([plan()]) if key not in keys)
    assert sampler.inclusion_probability(other) is None


def test_stratified_designs_contain_voxels_as_often_as_they_say():
    p, hits, said = plan(), {}, {}
    for seed in range(150):
        sampler = Sampler([p], 30, 4.0, seed, "stratified", bins={"dose": 4})
        for key in sampler.ask(30):
            hits[key] = hits.get(key, 0) + 1
            said[key] = sampler.inclusion_probability(key)
    expected = np.array([150 * said[key] for key in hits])
    z = (np.array(list(hits.values())) - expected) / np.sqrt(expected * (1 - expected / 150))
    assert len(hits) == len(p.voxels)
    assert np.abs(z).max() < 4.5
    assert abs(z.mean()) < 0.1


def test_an_ensemble_without_predictions_and_an_unknown_strategy_are_refused():
    with pytest.raises(QuantityError, match="predictions"):
        Sampler([plan()], 3, 4.0, 0, "ensemble")
    with pytest.raises(GridMismatchError, match="expected predictions"):
        Sampler([plan()], 3, 4.0, 0, "ensemble", members={"a": np.ones((3, 2))})
    with pytest.raises(UnknownNameError, match="there are adaptive"):
        Sampler([plan()], 3, 4.0, 0, "best")
