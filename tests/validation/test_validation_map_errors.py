"""Errors of maps by groups, by hand and against a slow twin."""

import json
import math
import statistics
from dataclasses import asdict

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.validation.map_errors import MAP_ERRORS, map_errors
from surrogate3d.validation.metrics import error_summary

SHAPE = (2, 1, 2)
REFERENCE = np.array([1.0, 2.0, 4.0, 5.0]).reshape(SHAPE)
JUDGED = np.array([1.1, 2.0, 3.6, 5.5]).reshape(SHAPE)
ALL = {"all": {"all": np.ones(SHAPE, dtype=bool)}}


def mask(*flat):
    found = np.zeros(SHAPE, dtype=bool)
    found.reshape(-1)[list(flat)] = True
    return found


def test_a_row_by_hand():
    (row,), problems = map_errors({"judged": JUDGED}, REFERENCE, ALL)
    # errors 0.1, 0, -0.4, 0.5; relative 10, 0, -10, 10 %; the reference has mean 3 and squares 4 + 1 + 1 + 4
    assert problems == ()
    assert (row.method, row.kind, row.group) == ("judged", "all", "all")
    assert (row.n, row.n_missing, row.n_unknown, row.n_zero) == (4, 0, 0, 0)
    assert row.bias == pytest.approx(0.05)
    assert row.rms == pytest.approx(math.sqrt(0.42 / 4))
    assert np.isclose(row.R2, 1 - 0.42 / 10)
    assert row.NRMSE_range == pytest.approx(math.sqrt(0.42 / 4) / 4)
    assert row.NRMSE_mean == pytest.approx(math.sqrt(0.42 / 4) / 3)
    assert row.bias_percent == pytest.approx(2.5)
    assert row.rms_percent == pytest.approx(math.sqrt(75))
    assert row.q05_percent == pytest.approx(-8.5)  # 15 % of the way from -10 to 0
    assert row.q50_percent == pytest.approx(5.0)
    assert row.q95_percent == pytest.approx(10.0)
    assert row.p95_percent == pytest.approx(10.0)
    assert row.max_error == pytest.approx(0.5)
    assert row.max_voxel == (1, 0, 1)


def test_every_number_is_documented_and_json_is_standard():
    (row,), _ = map_errors({"judged": JUDGED}, REFERENCE, ALL)
    assert list(asdict(row)) == ["method", "kind", "group", *MAP_ERRORS]
    data = json.loads(json.dumps(row.to_json(), allow_nan=False))
    assert data["max_voxel"] == [1, 0, 1]
    (empty,), _ = map_errors({"judged": JUDGED}, REFERENCE, {"region": {"target": mask()}})
    data = json.loads(json.dumps(empty.to_json(), allow_nan=False))
    assert (data["n"], data["rms"], data["max_voxel"]) == (0, None, None)


def test_rows_are_every_method_kind_and_group_in_order():
    groups = {"dose": {"low": mask(0), "high": mask(1, 2)}, "structure": {"PTV": mask(3)}}
    rows, problems = map_errors({"a": JUDGED, "b": REFERENCE}, REFERENCE, groups)
    assert problems == ()
    groups_of_one = [("dose", "low"), ("dose", "high"), ("structure", "PTV")]
    assert [(row.method, row.kind, row.group) for row in rows] == [(m, *group) for m in "ab" for group in groups_of_one]
    assert [row.n for row in rows] == [1, 2, 1] * 2
    assert [row.rms for row in rows[3:]] == [0.0] * 3
    assert rows[1].max_voxel == (1, 0, 0)
    assert rows[1].max_error == pytest.approx(-0.4)


def twin(judged, reference, group):
    """The numbers of one row, voxel by voxel in exact sums."""
    pairs = [
        (x, y)
        for x, y, inside in zip(judged.ravel(), reference.ravel(), group.ravel(), strict=True)
        if inside and math.isfinite(x) and math.isfinite(y)
    ]
    errors = [float(x) - float(y) for x, y in pairs]
    relative = sorted(100 * (float(x) / float(y) - 1) for x, y in pairs if y != 0)
    mean = math.fsum(float(y) for _, y in pairs) / len(pairs)
    rms = math.sqrt(math.fsum(e * e for e in errors) / len(pairs))
    spread = max(float(y) for _, y in pairs) - min(float(y) for _, y in pairs)
    return {
        "n": len(pairs),
        "n_zero": sum(y == 0 for _, y in pairs),
        "bias": math.fsum(errors) / len(errors),
        "rms": rms,
        "R2": 1 - math.fsum(e * e for e in errors) / math.fsum((float(y) - mean) ** 2 for _, y in pairs),
        "NRMSE_range": rms / spread,
        "NRMSE_mean": rms / abs(mean),
        "bias_percent": math.fsum(relative) / len(relative),
        "rms_percent": math.sqrt(math.fsum(r * r for r in relative) / len(relative)),
        "q50_percent": statistics.median(relative),
        "q05_percent": between(relative, 0.05),
        "q95_percent": between(relative, 0.95),
        "p95_percent": between(sorted(map(abs, relative)), 0.95),
        "max_error": max(errors, key=abs),
    }


def between(ordered, part):
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def test_it_equals_a_slow_twin():
    rng = np.random.default_rng(3)
    reference = rng.uniform(0.5, 4.0, (5, 6, 7)).astype(np.float32)
    judged = (reference * rng.normal(1.01, 0.05, reference.shape)).astype(np.float32)
    reference[rng.random(reference.shape) < 0.05] = 0
    reference[rng.random(reference.shape) < 0.05] = np.nan
    judged[rng.random(reference.shape) < 0.05] = np.nan
    group = rng.random(reference.shape) < 0.6
    (row,), problems = map_errors({"judged": judged}, reference, {"region": {"target": group}})
    for key, value in twin(judged, reference, group).items():
        assert getattr(row, key) == pytest.approx(value, rel=1e-12), key
    known = np.isfinite(reference) & group
    assert row.n_unknown == int((group & ~known).sum()) > 0
    assert row.n_missing == int((known & np.isnan(judged)).sum()) > 0
    at = row.max_voxel
    assert float(judged[at]) - float(reference[at]) == row.max_error
    assert {problem.kind for problem in problems} == {"nan_in_map", "zero_reference"}


def test_relative_errors_are_those_of_the_table_of_methods():
    rng = np.random.default_rng(4)
    reference = rng.uniform(1.0, 3.0, (4, 4, 4))
    judged = reference * rng.normal(1.0, 0.03, reference.shape)
    (row,), _ = map_errors({"judged": judged}, reference, {"all": {"all": np.ones((4, 4, 4), dtype=bool)}})
    told = error_summary(judged, reference)
    assert (row.bias_percent, row.rms_percent, row.R2) == pytest.approx((told.bias, told.rms, told.R2))
    assert (row.q05_percent, row.q50_percent, row.q95_percent) == pytest.approx((told.q05, told.q50, told.q95))
    assert (row.p95_percent, row.NRMSE_range) == pytest.approx((told.p95, told.NRMSE_range))


def test_a_reference_of_zero_has_absolute_errors_only():
    reference = np.array([0.0, 2.0, 0.0, 4.0]).reshape(SHAPE)
    (row,), (problem,) = map_errors({"judged": reference + 1}, reference, ALL)
    assert (row.n, row.n_zero) == (4, 2)
    assert (row.bias, row.rms) == (1.0, 1.0)
    assert row.bias_percent == pytest.approx((50 + 25) / 2)
    assert (problem.kind, problem.where) == ("zero_reference", "reference, 2 voxels")
    assert "0 in 2 voxels, first (0, 0, 0)" in problem.sentence
    (row,), _ = map_errors({"judged": np.ones(SHAPE)}, np.zeros(SHAPE), ALL)
    assert (row.rms, row.max_error) == (1.0, 1.0)
    assert np.isnan([row.R2, row.NRMSE_range, row.NRMSE_mean, row.bias_percent, row.p95_percent]).all()


def test_a_reference_of_one_value_has_no_R2_whatever_rounding_does():
    (row,), _ = map_errors({"judged": JUDGED}, np.full(SHAPE, 0.1), ALL)
    assert np.isnan([row.R2, row.NRMSE_range]).all()
    assert row.rms > 0


def test_what_is_missing_is_counted_and_named_once_for_each_map():
    judged, reference = JUDGED.copy(), REFERENCE.copy()
    judged[0, 0, 0], judged[0, 0, 1], reference[1, 0, 1] = np.nan, np.inf, np.nan
    groups = {**ALL, "region": {"target": mask(0, 2), "other": mask(1, 3)}}
    rows, problems = map_errors({"judged": judged, "same": REFERENCE}, reference, groups)
    assert [(row.n, row.n_missing, row.n_unknown) for row in rows[:3]] == [(1, 2, 1), (1, 1, 0), (0, 1, 1)]
    assert [(problem.kind, problem.where) for problem in problems] == [
        ("nan_in_map", "map reference, 1 voxel"),
        ("nan_in_map", "map 'judged', 1 voxel"),
        ("infinite_in_map", "map 'judged', 1 voxel"),
        ("nothing_compared", "map 'judged', region 'other'"),
    ]
    assert "1 of 4 voxels where it is asked for, first (1, 0, 1)" in problems[0].sentence
    assert "1 of 3 voxels where it is asked for, first (0, 0, 0)" in problems[1].sentence


def test_nothing_is_asked_for_outside_the_groups():
    judged, reference = JUDGED.copy(), REFERENCE.copy()
    judged[0, 0, 0], reference[1, 0, 1] = np.nan, np.nan
    rows, problems = map_errors({"judged": judged}, reference, {"region": {"target": mask(1, 2)}})
    assert problems == ()
    assert (rows[0].n, rows[0].n_missing, rows[0].n_unknown) == (2, 0, 0)


def test_groups_without_voxels_are_named_and_have_a_row():
    groups = {"structure": {"PTV": mask()}, "dose": {"D < 5 %": mask()}, "LET": {"all LET": mask(0)}}
    rows, problems = map_errors({"a": JUDGED, "b": JUDGED}, REFERENCE, groups)
    assert [row.n for row in rows] == [0, 0, 1] * 2
    assert np.isnan([rows[0].bias, rows[0].max_error, rows[0].q50_percent]).all()
    assert rows[0].max_voxel is None
    assert [(problem.kind, problem.where) for problem in problems] == [
        ("empty_structure", "structure 'PTV'"),
        ("no_voxels_in_stratum", "dose 'D < 5 %'"),
    ]


def test_maps_and_masks_of_other_shapes_and_unknown_kinds_are_refused():
    with pytest.raises(GridMismatchError, match=r"map 'judged' has shape \(1,\), the reference \(2, 1, 2\)"):
        map_errors({"judged": np.ones(1)}, REFERENCE, ALL)
    with pytest.raises(GridMismatchError, match="region 'target' has shape"):
        map_errors({"judged": JUDGED}, REFERENCE, {"region": {"target": np.ones(1, dtype=bool)}})
    with pytest.raises(QuantityError, match="unknown kind of group 'depth'"):
        map_errors({"judged": JUDGED}, REFERENCE, {"depth": {"deep": mask(0)}})
