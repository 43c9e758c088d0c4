import json
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.validation.gamma import gamma, pass_rate, shell

GOLDEN = Path(__file__).parents[1] / "fixtures" / "gamma" / "pymedphys.npz"
with np.load(GOLDEN) as _file:
    VALUES = dict(_file)
CASES = json.loads(VALUES["about"].tobytes())["cases"]
LINE = np.arange(0.0, 41.0, 2.0)


def grid(name, role):
    dose = VALUES[f"{name}/{role}"]
    return tuple(VALUES[f"{name}/{role}/{a}"] for a in range(dose.ndim)), dose


def slow_gamma(axes, reference, evaluation, percent, distance_mm, cutoff, step):
    """All pairs of a point and a node of a fine lattice: no shells, no early end."""
    from scipy.interpolate import RegularGridInterpolator

    fine = [np.arange(axis[0], axis[-1] + step / 2, step) for axis in axes]
    nodes = np.stack(np.meshgrid(*fine, indexing="ij"), axis=-1).reshape(-1, len(axes))
    doses = RegularGridInterpolator(axes, evaluation)(np.minimum(nodes, [a[-1] for a in axes]))
    found = np.full(reference.shape, np.nan)
    for index in np.argwhere(reference >= cutoff / 100 * reference.max()):
        at = [axis[i] for axis, i in zip(axes, index, strict=True)]
        apart = ((nodes - at) ** 2).sum(axis=1) / distance_mm**2
        off = (doses - reference[tuple(index)]) / (percent / 100 * reference.max())
        found[tuple(index)] = np.sqrt((apart + off**2).min())
    return found


@pytest.mark.parametrize("title", list(CASES))
def test_gamma_is_that_of_pymedphys(title):
    name, settings = CASES[title]
    found, expected = gamma(*grid(name, "reference"), *grid(name, "evaluation"), **settings), VALUES[f"gamma/{title}"]
    assert np.isfinite(expected).sum() > 5
    known = ~np.isnan(expected)
    assert (known == np.isfinite(found)).all() or np.isinf(found[~known & ~np.isnan(found)]).all()
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-12)


def test_gamma_is_the_least_over_all_pairs_of_points():
    rng = np.random.default_rng(3)
    axes = (np.linspace(-6, 6, 9), np.linspace(-5, 5, 8))
    reference = np.exp(-((axes[0][:, None] / 5) ** 2) - (axes[1] / 4) ** 2)
    evaluation = reference * (1 + 0.05 * rng.standard_normal(reference.shape))
    found = gamma(axes, reference, axes, evaluation, 3, 2, 10, interp_fraction=100)
    slow = slow_gamma(axes, reference, evaluation, 3, 2, 10, 0.02)
    np.testing.assert_allclose(found, slow, atol=0.02)


def test_a_shifted_ramp_has_the_gamma_of_the_plane_distance():
    # D = x / 10 against (x + s) / 10: the least of (d / a)^2 + ((s + d) / (10 p))^2 is s^2 / (a^2 + (10 p)^2)
    s, distance_mm, tolerance = 0.5, 2.0, 0.03 * LINE[-1] / 10
    found = gamma((LINE,), LINE / 10, (LINE,), (LINE + s) / 10, 3, distance_mm, interp_fraction=200)
    inner = (LINE > 12) & (LINE < 36)
    expected = s / np.hypot(distance_mm, 10 * tolerance)
    np.testing.assert_allclose(found[inner], expected, rtol=1e-3)


def test_a_uniform_difference_counts_against_the_maximum_or_locally():
    reference, evaluation = np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.02, 1.02, 2.02, 2.02])
    axes = (np.array([0.0, 100.0, 200.0, 300.0]),)  # so far apart that distance does not help
    np.testing.assert_allclose(gamma(axes, reference, axes, evaluation, 1, 1e-3), 1.0)
    local = gamma(axes, reference, axes, evaluation, 1, 1e-3, local_gamma=True)
    np.testing.assert_allclose(local, [2.0, 2.0, 1.0, 1.0], rtol=1e-4)


def test_an_identical_dose_has_gamma_0_even_where_there_is_none():
    dose = np.array([0.0, 1.0, 2.0, 0.0])
    found = gamma((LINE[:4],), dose, (LINE[:4],), dose, 1, 1, 0, local_gamma=True)
    assert (found == 0).all()


def test_a_point_that_nothing_answers_fails_and_one_below_the_cutoff_is_left_out():
    reference = np.array([1.0, 1.0, 0.05, 1.0])
    evaluation = np.array([1.0, np.nan, np.nan, np.nan])
    axes = (LINE[:4],)
    found = gamma(axes, reference, axes, evaluation, 1, 1, 10, max_gamma=1.5)
    np.testing.assert_array_equal(found, [0.0, 1.5, np.nan, 1.5])
    assert pass_rate(found) == (pytest.approx(100 / 3), 3)
    elsewhere = gamma(axes, reference, (LINE[:4] + 1000.0,), np.full(4, np.nan), 1, 1, 10, interp_fraction=1)
    np.testing.assert_array_equal(elsewhere, [np.inf, np.inf, np.nan, np.inf])


def test_a_neighbour_without_dose_does_not_spoil_the_voxels_own():
    evaluation = np.array([1.0, 1.0, np.nan])
    found = gamma((LINE[:3],), np.ones(3), (LINE[:3],), evaluation, 1, 1, max_gamma=2)
    np.testing.assert_array_equal(found, [0.0, 0.0, 2.0])


def test_where_the_reference_is_nan_nothing_is_asked():
    found = gamma((LINE[:3],), np.array([1.0, np.nan, 1.0]), (LINE[:3],), np.ones(3), 1, 1)
    np.testing.assert_array_equal(found, [0.0, np.nan, 0.0])


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_a_shell_lies_at_its_distance_and_has_no_wide_gap(n_axes):
    points = shell(1.0, 0.1, n_axes)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0)
    assert not points[:, n_axes:].any()
    if n_axes > 1:
        far = np.random.default_rng(0).standard_normal((500, 3)) * (np.arange(3) < n_axes)
        far /= np.linalg.norm(far, axis=1, keepdims=True)
        nearest = np.linalg.norm(far[:, None] - points, axis=2).min(axis=1)
        assert nearest.max() < 0.1 / np.sqrt(2) + 1e-3


def test_the_pass_rate_is_of_the_points_that_count():
    index = np.array([0.5, 1.0, 1.1, np.nan, np.inf])
    assert pass_rate(index) == (50.0, 4)
    assert pass_rate(index, np.array([True, True, False, True, False])) == (100.0, 2)
    rate, n = pass_rate(np.array([np.nan]))
    assert np.isnan(rate)
    assert n == 0
    with pytest.raises(GridMismatchError, match="mask"):
        pass_rate(index, np.ones(4, bool))


def test_refusals():
    axis, dose = (LINE[:3],), np.ones(3)
    with pytest.raises(GridMismatchError, match="axes"):
        gamma((LINE[:4],), dose, axis, dose, 1, 1)
    with pytest.raises(GridMismatchError, match="evaluation 2"):
        gamma(axis, dose, (LINE[:3], LINE[:3]), np.ones((3, 3)), 1, 1)
    with pytest.raises(ValueRangeError, match="ascend"):
        gamma((LINE[2::-1],), dose, axis, dose, 1, 1)
    with pytest.raises(ValueRangeError, match="infinite"):
        gamma(axis, dose, axis, np.array([1.0, np.inf, 1.0]), 1, 1)
    with pytest.raises(ValueRangeError, match="percentages are of"):
        gamma(axis, 0 * dose, axis, dose, 1, 1)
    for settings in ((0, 1), (1, 0), (np.nan, 1)):
        with pytest.raises(ValueRangeError, match="positive thresholds"):
            gamma(axis, dose, axis, dose, *settings)
    with pytest.raises(ValueRangeError, match="max_gamma"):
        gamma(axis, dose, axis, dose, 1, 1, max_gamma=0)
