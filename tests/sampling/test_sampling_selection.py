from __future__ import annotations

import json

import numpy as np
import pytest

from surrogate3d.errors import FormatError, QuantityError, ValueRangeError
from surrogate3d.grid import Grid
from surrogate3d.sampling import PlanFeatures, SelectedVoxel, Selection, VoxelKey, held_out, select
from surrogate3d.sampling.similarity import distance_to_nearest, embed

GRID = Grid((6, 6, 6), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


def plan(field_id="a"):
    rng = np.random.default_rng(ord(field_id))
    voxels = np.argwhere(rng.random(GRID.shape) < 0.6)
    fractions = rng.dirichlet(np.full(6, 0.3), len(voxels)).astype(np.float32)
    return PlanFeatures(field_id, GRID, fractions, rng.uniform(0.1, 2, len(voxels)), voxels)


PLANS = [plan("a"), plan("b")]
N_MASKED = sum(len(p.voxels) for p in PLANS)


@pytest.fixture(scope="module")
def selection():
    return select(PLANS, budget=20, cube_mm=4.0, seed=7, n_worst=6, n_random=9)


def keys(voxels):
    return [VoxelKey(v.field_id, v.voxel) for v in voxels]


def test_numbers_of_voxels_and_no_voxel_twice(selection):
    assert [len(selection.of_role(role)) for role in ("chosen", "worst", "random")] == [20, 6, 9]
    assert len(set(keys(selection.voxels))) == 35


def test_every_voxel_is_masked(selection):
    masked = {VoxelKey(p.field_id, tuple(map(int, v))) for p in PLANS for v in p.voxels}
    assert set(keys(selection.voxels)) <= masked


def test_random_voxels_carry_the_probability_of_a_simple_random_sample(selection):
    expected = 9 / (N_MASKED - 20)
    assert {v.inclusion_probability for v in selection.of_role("random")} == {expected}
    assert {v.inclusion_probability for v in selection.of_role("chosen")} == {None}


def test_worst_voxels_are_the_least_similar_of_what_was_not_drawn(selection):
    points, names = [], []
    for p in PLANS:
        points.append(embed(p.dose_fractions, p.dose / p.dose.max()))
        names += [VoxelKey(p.field_id, tuple(map(int, v))) for v in p.voxels]
    everything = np.concatenate(points)
    row = {key: n for n, key in enumerate(names)}
    chosen = everything[[row[key] for key in keys(selection.of_role("chosen"))]]
    distance = dict(zip(names, distance_to_nearest(everything, chosen), strict=True))
    worst = keys(selection.of_role("worst"))
    rest = set(names) - set(keys(selection.voxels))
    assert min(distance[key] for key in worst) >= max(distance[key] for key in rest)
    assert [distance[key] for key in worst] == sorted((distance[key] for key in worst), reverse=True)


def test_deterministic_and_independent_of_the_order_of_plans(selection):
    assert select(PLANS[::-1], 20, 4.0, 7, 6, 9) == selection
    assert select(PLANS, 20, 4.0, 8, 6, 9) != selection


def test_held_out_random_voxels_are_drawn_uniformly():
    p = plan("a")
    chosen = [VoxelKey("a", tuple(map(int, v))) for v in p.voxels[:-10]]
    counts = dict.fromkeys([tuple(map(int, v)) for v in p.voxels[-10:]], 0)
    for seed in range(500):
        for voxel in held_out([p], chosen, seed, 0, 2):
            counts[voxel.voxel] += 1
    chi_square = sum((n - 100) ** 2 / 100 for n in counts.values())
    assert chi_square < 27.9  # 99.9 % point with 9 degrees of freedom; sampling without replacement only narrows it


def test_large_budget_takes_all_candidates_and_says_so():
    selection = select(PLANS, 10_000, 4.0, 0, 3, 3)
    assert selection.all_candidates_taken
    assert len(selection.of_role("chosen")) == selection.n_candidates
    assert "all" in selection.statement
    assert selection.threshold == 0.0
    inverse = sum(1 / v.inclusion_probability for v in selection.of_role("chosen"))
    assert inverse == pytest.approx(N_MASKED)  # Horvitz-Thompson estimate of the number of masked voxels, exact here


def test_statement_of_a_small_budget(selection):
    assert not selection.all_candidates_taken
    assert selection.statement.startswith(f"20 of {selection.n_candidates} candidates")


def test_voxels_that_run_out():
    p = plan("a")
    everything = [VoxelKey("a", tuple(map(int, v))) for v in p.voxels]
    assert held_out([p], everything, 0, 5, 5) == []
    three_left = held_out([p], everything[:-3], 0, 5, 2)
    assert [v.role for v in three_left] == ["worst", "random", "random"]


def test_json_round_trip(selection):
    data = json.loads(json.dumps(selection.to_json()))
    assert Selection.from_json(data) == selection
    assert data["schema"] == "surrogate3d.selection/1"
    assert [p["field_id"] for p in data["plans"]] == ["a", "b"]


def test_json_refuses_what_it_does_not_know(selection):
    with pytest.raises(FormatError, match="schema"):
        Selection.from_json({"schema": "surrogate3d.selection/2"})
    data = selection.to_json()
    del data["threshold"]
    with pytest.raises(FormatError, match="threshold"):
        Selection.from_json(data)
    data = selection.to_json()
    data["plans"][0]["role"].pop()
    with pytest.raises(FormatError, match="differ in length"):
        Selection.from_json(data)


def test_refuses_unknown_roles_and_negative_numbers():
    with pytest.raises(QuantityError, match="role"):
        SelectedVoxel("a", (0, 0, 0), "best", None)
    with pytest.raises(ValueRangeError, match="negative"):
        held_out(PLANS, [], 0, -1, 0)


def test_a_selection_says_its_strategy_and_old_ones_are_adaptive():
    chosen = select(PLANS, 20, 4.0, 7, 2, 2, "k_centre")
    assert Selection.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen
    assert chosen.statement.startswith(f"20 of {N_MASKED} candidates (all masked voxels) are taken by the strategy k_c")
    data = select(PLANS, 20, 4.0, 7, 2, 2).to_json()
    del data["strategy"]
    assert Selection.from_json(data).strategy == "adaptive"


def test_the_design_does_not_depend_on_what_fields_are_called(selection):
    other = [PlanFeatures({"a": "y", "b": "x"}[p.field_id], p.grid, p.dose_fractions, p.dose, p.voxels) for p in PLANS]
    found = select(other, budget=20, cube_mm=4.0, seed=7, n_worst=6, n_random=9)
    names = {"y": "a", "x": "b"}
    assert [(names[v.field_id], v.voxel, v.role) for v in found.voxels] == [
        (v.field_id, v.voxel, v.role) for v in selection.voxels
    ]


def test_hours_cut_the_order_of_choice(selection):
    cost = {p.field_id: np.full(len(p.voxels), 0.5) for p in PLANS}
    bought = select(PLANS, 20, 4.0, 7, 0, 0, hours=4.2, cost=cost)
    assert bought.of_role("chosen") == selection.of_role("chosen")[:8]
    with pytest.raises(ValueRangeError, match="do not buy"):
        select(PLANS, 20, 4.0, 7, 0, 0, hours=0.4, cost=cost)
    with pytest.raises(QuantityError, match="predicted hours"):
        select(PLANS, 20, 4.0, 7, 0, 0, hours=4.0)
