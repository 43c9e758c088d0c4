"""Volume histograms against closed forms, and against a slow twin that lays out every part of a voxel."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import quantity
from surrogate3d.validation.histograms import STATISTICS, statistic_labels, volume_histogram

DOSE, LET = quantity("dose_to_water"), quantity("LET_d")


def whole(values, fraction=None, base=None, points=256, of=DOSE):
    fraction = np.ones(values.shape) if fraction is None else fraction
    found, problems = volume_histogram(values, fraction, 0.008, "PTV", of, "judged", base, points)
    return found, problems


def test_a_linear_gradient():
    rng = np.random.default_rng(0)
    values = rng.permutation(np.arange(1.0, 101.0)).reshape(4, 5, 5)
    found, problems = whole(values, base=100.0, points=101)
    assert problems == ()
    # the hottest 2 % are 100 and 99; 95 and more are 6 voxels
    expected = {"mean": 50.5, "min": 1.0, "max": 100.0, "D2": 99.0, "D50": 51.0, "D98": 3.0, "V95": 6.0}
    assert found.statistics == pytest.approx(expected, abs=1e-12)
    assert found.levels == pytest.approx(np.arange(101.0))
    assert found.volume_percent == pytest.approx([100.0, *np.arange(100.0, 0.0, -1.0)])
    assert (found.n_voxels, found.n_missing) == (100, 0)
    assert found.volume_cm3 == pytest.approx(0.8)


def test_a_uniform_dose_is_a_step_and_all_its_statistics_are_one():
    found, _ = whole(np.full((3, 3, 3), 2.0, np.float32), base=2.0)
    assert [found.statistics[key] for key in ("mean", "min", "max", "D2", "D50", "D98")] == [2.0] * 6
    assert found.statistics["V95"] == 100.0
    assert set(found.volume_percent) == {100.0}
    assert (found.levels[0], found.levels[-1]) == (0.0, 2.0)


def test_two_levels():
    values = np.repeat([1.0, 3.0], 500).reshape(10, 10, 10)
    found, _ = whole(values, base=2.0, points=4)
    assert found.statistics == {"mean": 2.0, "min": 1.0, "max": 3.0, "D2": 3.0, "D50": 3.0, "D98": 1.0, "V95": 50.0}
    assert found.levels == (0.0, 1.0, 2.0, 3.0)
    assert found.volume_percent == (100.0, 100.0, 50.0, 50.0)


def test_parts_of_voxels_weigh():
    values, fraction = np.array([[[4.0, 2.0, 1.0]]]), np.array([[[0.25, 0.5, 0.25]]])
    found, _ = whole(values, fraction, base=2.0)
    assert found.statistics == {"mean": 2.25, "min": 1.0, "max": 4.0, "D2": 4.0, "D50": 2.0, "D98": 1.0, "V95": 75.0}
    assert found.volume_cm3 == pytest.approx(0.008)


def test_the_voxel_of_a_problem_is_one_of_the_grid_where_only_a_box_is_given():
    values = np.array([[[1.0, 2.0], [np.nan, 3.0]]])
    _, problems = volume_histogram(values, np.ones(values.shape), 0.008, "PTV", DOSE, "judged", start=(8, 7, 24))
    assert [problem.sentence.split(", first ")[1].split(";")[0] for problem in problems] == ["(8, 8, 24)"]


def test_a_voxel_outside_counts_nowhere():
    found, _ = whole(np.array([[[9.0, 2.0, np.nan]]]), np.array([[[0.0, 1.0, 0.0]]]))
    assert (found.n_voxels, found.n_missing, found.statistics["max"]) == (1, 0, 2.0)


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_a_twin_of_equal_parts(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.gamma(2.0, 1.0, (3, 4, 6)), 1 if seed % 2 else 6).astype(np.float32)  # odd seeds have ties
    parts = rng.integers(0, 9, values.shape)
    found, _ = whole(values, (parts / 8).astype(np.float32), base=2.5, points=17)
    laid_out = sorted((float(v) for v, n in zip(values.ravel(), parts.ravel(), strict=True) for _ in range(n)))[::-1]
    for percent in (2, 50, 98):
        hottest = laid_out[: math.ceil(percent * len(laid_out) / 100)]
        assert found.statistics[f"D{percent}"] == hottest[-1]
    assert found.statistics["mean"] == pytest.approx(math.fsum(laid_out) / len(laid_out), rel=1e-12)
    reached = sum(value >= np.float32(0.95 * 2.5) for value in laid_out)
    assert found.statistics["V95"] == pytest.approx(100 * reached / len(laid_out), rel=1e-12)
    for level, percent in zip(found.levels, found.volume_percent, strict=True):
        assert percent == pytest.approx(100 * sum(v >= level for v in laid_out) / len(laid_out), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_the_weighted_quantiles_of_numpy(seed):
    rng = np.random.default_rng(seed)
    values, fraction = rng.normal(60, 5, (6, 7, 8)), rng.random((6, 7, 8))
    found, _ = whole(values, fraction)
    for percent in (2, 50, 98):  # the hottest part of the values is the lowest of their opposites
        opposite = np.quantile(-values, percent / 100, weights=fraction, method="inverted_cdf")
        assert found.statistics[f"D{percent}"] == -opposite


def test_95_percent_is_reached_by_the_float32_that_stands_for_it():
    found, _ = whole(np.full((2, 2, 2), 0.95 * 60.0 / 3, np.float32), base=20.0)
    assert found.statistics["V95"] == 100.0
    lower = np.nextafter(np.float32(1.9), np.float32(0))
    assert float(np.float32(1.9)) < 1.9  # as it is stored
    assert whole(np.full((1, 1, 1), np.float32(1.9)), base=2.0)[0].statistics["V95"] == 100.0
    assert whole(np.full((1, 1, 1), lower), base=2.0)[0].statistics["V95"] == 0.0


def test_a_map_of_nothing_but_zero_has_one_level():
    found, _ = whole(np.zeros((2, 2, 2)))
    assert (found.levels, found.volume_percent) == ((0.0,), (100.0,))
    assert found.statistics["D98"] == 0.0


def test_levels_begin_at_the_least_value_where_that_is_negative():
    found, _ = whole(np.array([[[-2.0, 2.0]]]), points=5)
    assert found.levels == (-2.0, -1.0, 0.0, 1.0, 2.0)
    assert found.volume_percent == (100.0, 50.0, 50.0, 50.0, 50.0)


def test_voxels_without_a_value_are_counted_named_and_left_out():
    values = np.array([[[np.nan, 1.0, 2.0, np.inf]]])
    found, problems = whole(values, np.array([[[0.5, 1.0, 1.0, 0.5]]]))
    assert (found.n_voxels, found.n_missing) == (4, 2)
    assert found.statistics["mean"] == 1.5
    assert found.volume_cm3 == pytest.approx(3 * 0.008)
    assert [problem.kind for problem in problems] == ["nan_in_map", "infinite_in_map"]
    assert "'D_w of judged' has no value (NaN) in 1 of 4 voxels of 'PTV' (16.7 % of its volume), first (0, 0, 0)" in (
        problems[0].sentence
    )
    assert "first (0, 0, 3)" in problems[1].sentence


def test_no_voxels_and_no_values_give_a_problem_and_no_histogram():
    found, problems = whole(np.ones((2, 2, 2)), np.zeros((2, 2, 2)))
    assert found is None
    assert [(problem.kind, problem.where) for problem in problems] == [("empty_structure", "structure 'PTV'")]
    found, problems = whole(np.full((2, 2, 2), np.nan))
    assert found is None
    assert [problem.kind for problem in problems] == ["nan_in_map"]


def test_a_mask_is_a_structure_too():
    mask = np.zeros((1, 1, 4), dtype=bool)
    mask[..., :2] = True
    assert whole(np.arange(4.0).reshape(1, 1, 4), mask)[0].statistics["max"] == 1.0


def test_json_is_standard_and_holds_labels():
    found, _ = whole(np.array([[[1.0, 2.0]]]), of=LET)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["statistics"]["V95"] is None
    assert data["base"] is None
    assert list(data["statistics"]) == list(STATISTICS) == list(data["labels"])
    assert (data["quantity"], data["symbol"], data["unit"]) == ("LET_d", "LET_d", "keV/um")
    assert data["labels"]["D2"] == "L2%"
    assert len(data["levels"]) == len(data["volume_percent"]) == 256
    stated = replace(found, base=2.0).to_json()
    assert stated["base"] == 2.0


def test_labels_follow_the_quantity():
    assert statistic_labels("D_RBE", "Gy (RBE)")["D98"] == "D98%"
    assert statistic_labels("LET_t", "keV/um")["D50"] == "L50%"
    assert statistic_labels("RBE", "1")["D2"] == "RBE 2%"
    assert statistic_labels("RBE", "1")["V95"] == "V95%"
    assert statistic_labels("RBE", "1")["mean"] == "mean"


ONE = np.ones((1, 1, 2))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((ONE, ONE[..., :1], 1.0), GridMismatchError, r"'PTV' has shape \(1, 1, 1\), the map \(1, 1, 2\)"),
        ((ONE, 1.5 * ONE, 1.0), ValueRangeError, "must be 0 to 1"),
        ((ONE, np.nan * ONE, 1.0), ValueRangeError, "must be 0 to 1"),
        ((ONE, ONE, 0.0), ValueRangeError, "positive voxel volume"),
        ((ONE, ONE, 1.0, -2.0), ValueRangeError, "positive base"),
        ((ONE, ONE, 1.0, np.nan), ValueRangeError, "positive base"),
        ((ONE, ONE, 1.0, None, 1), ValueRangeError, "2 points"),
    ],
)
def test_what_has_no_histogram_is_refused(arguments, kind, message):
    values, fraction, voxel_cm3, *rest = arguments
    with pytest.raises(kind, match=message):
        volume_histogram(values, fraction, voxel_cm3, "PTV", DOSE, "judged", *rest)
