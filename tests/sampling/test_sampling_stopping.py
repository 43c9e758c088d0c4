"""The bound covers what it should, and the rule stops no earlier."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.sampling.stopping import FEWEST, SIGNIFICANCE, rms_bound, significance, verdict


def bound(errors, level=0.05):
    return rms_bound(errors, np.zeros(len(errors)), level).bound


@pytest.mark.parametrize("n", [50, 300])
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_the_bound_is_above_the_true_error_as_often_as_it_says(n, kind):
    rng = np.random.default_rng(n)
    draws = rng.normal(0, 2.0, (400, n)) if kind == "normal" else rng.uniform(-1, 1, (400, n))
    true = 2.0 if kind == "normal" else np.sqrt(1 / 3)
    covered = np.mean([bound(draw) >= true for draw in draws])
    assert 0.95 - 0.033 < covered < 1.0  # 3 standard errors of 400 draws; of uniform errors it covers too many


@pytest.mark.parametrize("n", [50, 200])
def test_the_bound_covers_what_it_promises_with_noisy_labels(n):
    """Normal errors of standard deviation 1, labels with noise of 0.5: the true value is 1."""
    rng = np.random.default_rng(n)
    errors = rng.normal(size=(1000, n)) + 0.5 * rng.normal(size=(1000, n))
    below = sum(rms_bound(row, np.full(n, 0.5), 0.025).bound < 1 for row in errors)
    assert below / 1000 == pytest.approx(0.025, abs=0.015)  # three standard errors


def test_the_bound_of_many_normal_errors_is_that_of_chi_square():
    """sqrt(n / chi2_{0.05, n}) for normal errors, exactly; here on their quantiles."""
    n = 4000
    errors = stats.norm.ppf((np.arange(n) + 0.5) / n)
    expected = np.sqrt(np.sum(errors**2) / stats.chi2.ppf(0.05, n))
    assert bound(errors) == pytest.approx(expected, rel=2e-3)


def test_equal_errors_are_known_exactly():
    assert rms_bound(np.full(30, -0.5), np.zeros(30), 0.05) == (0.5, 0.5, 0.5)


def test_the_noise_is_subtracted_in_squares_and_never_below_zero():
    """0.5^2 = 0.3^2 + 0.4^2."""
    measured, net, _ = rms_bound(np.full(30, 0.5), np.full(30, 0.3), 0.05)
    assert (measured, net) == (0.5, pytest.approx(0.4))
    assert rms_bound(np.full(30, 0.5), np.full(30, 0.6), 0.05).net == 0.0


def test_with_few_errors_there_is_no_bound_and_without_any_no_error():
    few = rms_bound(np.ones(FEWEST - 1), np.zeros(FEWEST - 1), 0.05)
    assert (few.net, few.bound) == (1.0, math.inf)
    none = rms_bound(np.empty(0), np.empty(0), 0.05)
    assert math.isnan(none.measured)
    assert math.isinf(none.bound)


def test_a_bound_falls_with_more_voxels_and_rises_with_confidence():
    errors = np.random.default_rng(3).normal(size=400)
    bounds = [bound(errors[:n], 0.025) for n in (25, 100, 400)]
    assert bounds[0] > bounds[1] > bounds[2] > np.sqrt(np.mean(errors**2))
    assert bound(errors, 0.001) > bounds[2]


def test_all_looks_together_use_up_the_significance():
    assert sum(significance(n) for n in range(1, 100_000)) == pytest.approx(SIGNIFICANCE, rel=1e-4)
    assert significance(1) == SIGNIFICANCE / 2


def test_the_rule_stops_when_the_bound_meets_the_target_and_shares_the_risk_among_looks():
    errors = np.random.default_rng(1).normal(0, 0.01, 200)
    first = bound(errors, 0.025)
    assert verdict(errors, first).met
    assert not verdict(errors, 0.999 * first).met
    assert verdict(errors, first).rms == pytest.approx(np.sqrt(np.mean(errors**2)))
    later = verdict(errors, first, look=4)
    assert not later.met
    assert (later.bound, later.level) == (bound(errors, 0.0025), 0.0025)
    assert verdict(errors, first, noise=np.full(200, 0.005)).bound < first


def test_scale_passes_through():
    errors = np.random.default_rng(2).standard_t(5, 100)
    assert bound(7 * errors, 0.1) == pytest.approx(7 * bound(errors, 0.1))


@pytest.mark.parametrize(
    ("errors", "noise", "level", "error"),
    [
        (np.ones(29), np.ones(28), 0.025, GridMismatchError),
        (np.ones((5, 6)), np.ones((5, 6)), 0.025, GridMismatchError),
        (np.full(29, np.nan), np.ones(29), 0.025, ValueRangeError),
        (np.ones(29), np.full(29, np.inf), 0.025, ValueRangeError),
        (np.ones(29), np.ones(29), 0.5, ValueRangeError),
        (np.ones(29), np.ones(29), 0.0, ValueRangeError),
    ],
)
def test_what_cannot_be_bounded_is_refused(errors, noise, level, error):
    with pytest.raises(error, match=r"found"):
        rms_bound(errors, noise, level)


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueRangeError, match="at least 20 errors, found 19"):
        verdict(np.ones(19), 1.0)
    with pytest.raises(ValueRangeError, match="positive target"):
        verdict(np.ones(30), 0.0)
    with pytest.raises(ValueRangeError, match="counted from 1"):
        verdict(np.ones(30), 1.0, look=0)
