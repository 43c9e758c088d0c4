"""The bound covers what it should, and the rule stops no earlier."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from surrogate3d.errors import ValueRangeError
from surrogate3d.sampling.stopping import rms_bound, verdict


@pytest.mark.parametrize("n", [50, 300])
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_the_bound_is_above_the_true_error_as_often_as_it_says(n, kind):
    rng = np.random.default_rng(n)
    draws = rng.normal(0, 2.0, (400, n)) if kind == "normal" else rng.uniform(-1, 1, (400, n))
    true = 2.0 if kind == "normal" else np.sqrt(1 / 3)
    covered = np.mean([rms_bound(draw, 0.95) >= true for draw in draws])
    assert covered == pytest.approx(0.95, abs=0.035)  # 3 standard errors of 400 draws


def test_the_bound_of_many_normal_errors_is_that_of_chi_square():
    """sqrt(n / chi2_{0.05, n}) for normal errors, exactly; here on their quantiles."""
    n = 4000
    errors = stats.norm.ppf((np.arange(n) + 0.5) / n)
    expected = np.sqrt(np.sum(errors**2) / stats.chi2.ppf(0.05, n))
    assert rms_bound(errors, 0.95) == pytest.approx(expected, rel=2e-3)


def test_equal_errors_are_known_exactly():
    assert rms_bound(np.full(30, -0.5), 0.95) == 0.5


def test_the_rule_stops_when_the_bound_meets_the_target_and_shares_the_risk_among_looks():
    errors = np.random.default_rng(1).normal(0, 0.01, 200)
    bound = rms_bound(errors, 0.95)
    assert verdict(errors, bound).met
    assert not verdict(errors, 0.999 * bound).met
    assert verdict(errors, bound).rms == pytest.approx(np.sqrt(np.mean(errors**2)))
    many = verdict(errors, bound, looks=10)
    assert not many.met
    assert many.bound == rms_bound(errors, 0.995)
    assert many.confidence == pytest.approx(0.995)


def test_scale_passes_through():
    errors = np.random.default_rng(2).standard_t(5, 100)
    assert rms_bound(7 * errors, 0.9) == pytest.approx(7 * rms_bound(errors, 0.9))


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueRangeError, match="at least 20"):
        rms_bound(np.ones(19), 0.95)
    with pytest.raises(ValueRangeError, match="at least 20"):
        rms_bound(np.append(np.ones(30), np.nan), 0.95)
    with pytest.raises(ValueRangeError, match="confidence"):
        rms_bound(np.ones(30), 0.3)
    with pytest.raises(ValueRangeError, match="positive target"):
        verdict(np.ones(30), 0.0)
    with pytest.raises(ValueRangeError, match="look"):
        verdict(np.ones(30), 1.0, looks=0)
