from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.validation import METRICS, error_summary, noise_floor
from surrogate3d.validation.metrics import histories_ratio, rms_ratio, scatter


def test_hand_computed_summary():
    truth = np.array([1.0, 2.0, 4.0, 5.0])
    predicted = np.array([1.1, 2.0, 3.6, 5.5])
    s = error_summary(predicted, truth, noise_floor=3.0)
    # errors 0.1, 0, -0.4, 0.5; relative 10, 0, -10, 10 %
    assert s.n == 4
    assert s.n_missing == 0
    assert np.isclose(s.R2, 1 - 0.42 / 10.0)  # mean 3, squares 4 + 1 + 1 + 4
    assert s.NRMSE_range == pytest.approx(np.sqrt(0.42 / 4) / 4)
    assert s.bias == pytest.approx(2.5)
    assert s.rms == pytest.approx(np.sqrt(75.0))
    assert (s.q05, s.q50, s.q95) == pytest.approx((-8.5, 5.0, 10.0))  # of -10, 0, 10, 10; 15 % from -10 to 0
    assert s.p95 == pytest.approx(10.0)
    assert s.max == pytest.approx(10.0)
    assert s.floor == 3.0
    assert s.rms_net == pytest.approx(np.sqrt(75.0 - 9.0))


def test_every_number_is_documented():
    assert list(asdict(error_summary(np.ones(2), np.ones(2)))) == list(METRICS)


def test_perfect_prediction():
    truth = np.array([1.0, 2.0, 3.0])
    s = error_summary(truth, truth, truth_se=np.full(3, 0.1))
    assert (s.R2, s.NRMSE_range, s.bias, s.rms, s.max) == (1.0, 0.0, 0.0, 0.0, 0.0)
    assert s.rms_net == 0.0  # below the floor


def test_the_mean_of_the_truth_has_no_R2():
    truth = np.array([1.0, 2.0, 3.0])
    assert np.isclose(error_summary(np.full(3, 2.0), truth).R2, 0.0)


def test_floor_of_standard_errors():
    truth = np.array([1.0, 2.0])
    s = error_summary(truth * 1.1, truth, truth_se=np.array([0.03, 0.08]))
    assert s.floor == pytest.approx(np.sqrt((3**2 + 4**2) / 2))


def test_quadrature_recovers_a_known_error():
    rng = np.random.default_rng(0)
    exact = np.full(200_000, 2.0)
    truth = exact * (1 + 0.01 * rng.standard_normal(exact.size))
    predicted = exact * (1 + 0.02 * rng.standard_normal(exact.size))
    s = error_summary(predicted, truth, truth_se=0.01 * exact)
    assert s.rms_net == pytest.approx(2.0, rel=0.01)


def test_missing_predictions_are_counted_and_left_out():
    s = error_summary(np.array([1.1, np.nan, 1.1]), np.ones(3), truth_se=np.array([0.01, 9.0, 0.01]))
    assert (s.n, s.n_missing) == (2, 1)
    assert s.rms == pytest.approx(10.0)
    assert s.floor == pytest.approx(1.0)


@pytest.mark.parametrize("predicted", [np.empty(0), np.full(3, np.nan)])
def test_nothing_to_compare_is_not_zero_error(predicted):
    s = error_summary(predicted, np.ones(predicted.shape))
    assert s.n == 0
    assert np.isnan([s.R2, s.rms, s.q05, s.q50, s.q95, s.p95, s.max, s.rms_net]).all()


def test_undefined_is_nan():
    s = error_summary(np.array([1.0, 1.1]), np.array([1.0, 1.0]))
    assert np.isnan([s.R2, s.NRMSE_range, s.floor, s.rms_net]).all()
    assert s.rms > 0


def test_refusals():
    one = np.ones(2)
    with pytest.raises(GridMismatchError, match="predicted"):
        error_summary(np.ones(3), one)
    with pytest.raises(GridMismatchError, match="truth_se"):
        error_summary(one, one, truth_se=np.ones(3))
    with pytest.raises(ValueRangeError, match="not zero"):
        error_summary(one, np.array([0.0, 1.0]))
    with pytest.raises(ValueRangeError, match="infinite"):
        error_summary(np.array([np.inf, 1.0]), one)
    with pytest.raises(ValueRangeError, match="floor"):
        error_summary(one, one, noise_floor=-1.0)
    with pytest.raises(ValueRangeError, match="standard errors"):
        error_summary(one, one, truth_se=np.array([np.nan, 0.1]))
    with pytest.raises(QuantityError, match="not both"):
        error_summary(one, one, truth_se=one, noise_floor=1.0)


def test_noise_floor_by_hand():
    a = np.array([1.02, 2.0, 4.0, np.nan])
    b = np.array([0.98, 2.0, 4.0, 1.0])
    masks = {
        "x": np.array([True, True, False, True]),
        "y": np.array([False, False, True, False]),
        "z": np.zeros(4, bool),
    }
    floor = noise_floor(a, b, masks)
    assert floor["x"] == pytest.approx(np.sqrt(4 / 2))  # (A - B) / (A + B) = 2 %, 0
    assert floor["y"] == 0.0
    assert np.isnan(floor["z"])
    assert floor["all"] == pytest.approx(np.sqrt(4 / 3))
    assert list(floor) == ["all", "x", "y", "z"]
    assert noise_floor(a, b) == {"all": pytest.approx(np.sqrt(4 / 3))}


def test_noise_floor_is_the_noise_of_the_mean_of_the_halves():
    rng = np.random.default_rng(1)
    a, b = 3.0 * (1 + 0.01 * rng.standard_normal((2, 200_000)))
    assert noise_floor(a, b)["all"] == pytest.approx(1 / np.sqrt(2), rel=0.01)


def test_noise_floor_refuses_other_shapes():
    with pytest.raises(GridMismatchError, match="halves differ"):
        noise_floor(np.ones(2), np.ones(3))
    with pytest.raises(GridMismatchError, match="region 'x'"):
        noise_floor(np.ones(2), np.ones(2), {"x": np.ones(3, bool)})


def test_signed_quantiles_are_those_of_the_normal_distribution():
    rng = np.random.default_rng(5)
    s = error_summary(2.0 * rng.normal(1.01, 0.02, 200_000), np.full(200_000, 2.0))
    assert (s.q05, s.q50, s.q95) == pytest.approx((1 - 2 * 1.6449, 1.0, 1 + 2 * 1.6449), abs=0.04)


def test_scatter_and_bias_make_the_rms():
    rng = np.random.default_rng(4)
    truth = rng.uniform(1, 2, 500)
    predicted = truth * (1.01 + 0.02 * rng.standard_normal(500))
    s = error_summary(predicted, truth)
    assert scatter(predicted, truth) ** 2 * 499 / 500 + s.bias**2 == pytest.approx(s.rms**2)
    assert np.isnan(scatter(np.array([1.0, np.nan]), np.ones(2)))


def test_half_the_error_is_four_times_the_histories():
    assert histories_ratio(0.5, 1.0) == 4.0
    assert np.isnan(histories_ratio(0.0, 1.0))


def test_the_interval_of_a_ratio_of_rms_covers_the_true_ratio():
    rng = np.random.default_rng(6)
    inside = 0
    for _ in range(200):
        shared = np.repeat(rng.standard_normal(40), 5)  # all voxels of a block have one error
        found = rms_ratio(
            0.5 * shared, np.repeat(rng.standard_normal(40), 5), np.repeat(np.arange(40), 5), rng, n_draws=200
        )
        inside += found[1] <= 0.5 <= found[2]
    assert 0.88 < inside / 200 <= 1.0
    same = rms_ratio(np.ones(4), np.full(4, 2.0), np.zeros(4, int), rng)
    assert same == (0.5, 0.5, 0.5)
    assert np.isnan(rms_ratio(np.empty(0), np.empty(0), np.empty(0, int), rng)).all()


def test_comparisons_need_equal_shapes():
    one = np.ones(2)
    with pytest.raises(GridMismatchError, match="predicted"):
        scatter(np.ones(3), one)
    with pytest.raises(GridMismatchError, match="equal shapes"):
        rms_ratio(one, one, np.zeros(3, int), np.random.default_rng(0))
