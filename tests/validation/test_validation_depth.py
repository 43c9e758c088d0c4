"""Profiles along the beam and distal depths, against closed forms and a slow twin."""

import json
import math

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.validation.depth import DepthProfile, depth_profile, distal_depth, distal_depths, range_difference

SPACING = (1.0, 2.0, 3.0)


def profile(*values):
    return DepthProfile(np.arange(len(values)) * 2.0, np.array(values, dtype=float), "mean")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_profiles_equal_a_twin_along_every_beam(axis, sign):
    rng = np.random.default_rng(axis)
    values, weights = rng.normal(size=(3, 4, 5)), rng.uniform(0.1, 1.0, (3, 4, 5))
    values[1, 2, 3] = np.nan
    mean = depth_profile(values, weights, axis, sign, SPACING, "mean")
    line = depth_profile(values, weights, axis, sign, SPACING, "line", (1, 2, 3))
    order = range(values.shape[axis]) if sign > 0 else range(values.shape[axis] - 1, -1, -1)
    for depth, plane in enumerate(order):
        assert mean.depth_mm[depth] == line.depth_mm[depth] == depth * SPACING[axis]
        chosen = [v for v in np.ndindex(values.shape) if v[axis] == plane and not math.isnan(values[v])]
        expected = sum(weights[v] * values[v] for v in chosen) / sum(weights[v] for v in chosen)
        assert mean.values[depth] == pytest.approx(expected, rel=1e-12)
        at = [1, 2, 3]
        at[axis] = plane
        np.testing.assert_equal(line.values[depth], values[tuple(at)])
    assert line.line == tuple(index for a, index in enumerate((1, 2, 3)) if a != axis)
    assert mean.line is None


def test_without_a_voxel_the_line_is_that_of_most_dose():
    dose = np.ones((3, 3, 4))
    dose[2, 1, 3] = 9.0
    found = depth_profile(dose, dose, 2, 1, SPACING)
    assert found.line == (2, 1)
    assert found.values.tolist() == [1.0, 1.0, 1.0, 9.0]


def test_a_plane_without_dose_or_without_values_has_no_mean():
    values, weights = np.ones((2, 2, 3)), np.ones((2, 2, 3))
    weights[..., 1] = 0
    values[..., 2] = np.nan
    found = depth_profile(values, weights, 2, 1, SPACING, "mean")
    np.testing.assert_array_equal(found.values, [1.0, np.nan, np.nan])
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data == {"how": "mean", "line": None, "depth_mm": [0.0, 3.0, 6.0], "values": [1.0, None, None]}
    assert depth_profile(values, weights, 2, 1, SPACING).to_json()["line"] == [0, 0]


def test_distal_depths_of_a_straight_fall():
    # 100 at 4 mm falls by 10 a mm: 90, 80 and 50 at 5, 6 and 9 mm
    found = profile(60.0, 80.0, 100.0, 80.0, 60.0, 40.0, 20.0)
    assert distal_depths(found) == pytest.approx({"R90": 5.0, "R80": 6.0, "R50": 9.0})
    assert distal_depth(found, 100) == 4.0
    assert distal_depth(found, 80, base=50.0) == pytest.approx(10.0)


def test_the_deepest_fall_counts_where_a_dose_ripples():
    assert distal_depth(profile(100, 70, 100, 70, 90, 0), 80) == pytest.approx(8 + 2 * 10 / 90)


def test_the_interpolation_is_exact_on_a_curve_between_planes():
    depth = np.arange(0, 40, 2.0)
    dose = 50 * (1 - np.array([math.erf((z - 21.3) / 4) for z in depth]))
    found = distal_depth(DepthProfile(depth, dose, "mean"), 50, base=100.0)
    assert found == pytest.approx(21.3, abs=0.05)  # the curve is nearly straight there
    assert np.interp(found, depth, dose) == pytest.approx(50.0, rel=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        (10, 50, 100),  # ends at its maximum
        (10, 100, 85),  # does not fall that far
        (10, 100, np.nan),  # nothing known behind
        (0, 0, 0),
        (np.nan, np.nan, np.nan),
        (-5, -1, -3),
    ],
)
def test_a_dose_that_does_not_fall_that_far_has_no_range(values):
    assert distal_depth(profile(*values), 80) is None


def test_a_level_that_is_not_reached_has_no_depth():
    assert distal_depth(profile(1, 2, 1), 80, base=100.0) is None


def test_the_difference_of_ranges_is_a_shift_whatever_the_scale():
    fall = np.interp(np.arange(0, 60, 2.0), [0, 30, 40], [50, 100, 0])
    moved = np.interp(np.arange(0, 60, 2.0) - 1.5, [0, 30, 40], [50, 100, 0])
    depth = np.arange(0, 60, 2.0)
    one, other = DepthProfile(depth, 3 * moved, "mean"), DepthProfile(depth, fall, "mean")
    # the moved one has its peak between planes, so its level is that of 97.5
    assert range_difference(one, other) == pytest.approx(1.5 + 10 * 0.8 * (1 - moved.max() / 100), rel=1e-9)
    assert range_difference(other, other) == 0.0
    assert range_difference(profile(1, 2, 3), profile(3, 2, 1)) is None
    assert range_difference(profile(3, 2, 1), profile(1, 2, 3)) is None


CUBE = np.ones((2, 2, 2))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((CUBE, CUBE[..., :1], 2, 1, SPACING), GridMismatchError, r"values and weights \(i, j, k\)"),
        ((CUBE[0], CUBE[0], 1, 1, SPACING), GridMismatchError, r"values and weights \(i, j, k\)"),
        ((CUBE, CUBE, 3, 1, SPACING), QuantityError, "beam must run along"),
        ((CUBE, CUBE, 2, 0, SPACING), QuantityError, "beam must run along"),
        ((CUBE, CUBE, 2, 1, SPACING, "sum"), QuantityError, "found 'sum'"),
        ((CUBE, -CUBE, 2, 1, SPACING), ValueRangeError, "weights of a profile"),
        ((CUBE, 0 * CUBE, 2, 1, SPACING), ValueRangeError, "weights of a profile"),
        ((CUBE, np.nan * CUBE, 2, 1, SPACING), ValueRangeError, "weights of a profile"),
        ((CUBE, CUBE, 2, 1, SPACING, "line", (0, 2, 0)), GridMismatchError, "outside the grid"),
        ((CUBE, CUBE, 2, 1, SPACING, "line", (-1, 0, 0)), GridMismatchError, "outside the grid"),
    ],
)
def test_what_has_no_profile_is_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        depth_profile(*arguments)


def test_levels_and_depths_without_meaning_are_refused():
    for percent in (0.0, 101.0, np.nan):
        with pytest.raises(ValueRangeError, match="above 0 and at most 100"):
            distal_depth(profile(1, 0), percent)
    for base in (0.0, np.nan, np.inf):
        with pytest.raises(ValueRangeError, match="finite, positive dose"):
            distal_depth(profile(1, 0), 80, base)
    with pytest.raises(GridMismatchError, match="other depths"):
        range_difference(profile(1, 0), profile(1, 0, 0))
