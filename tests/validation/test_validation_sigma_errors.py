"""Errors in units of the reference's standard error."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.validation.sigma_errors import EXPECTED_MEDIAN_ABS, EXPECTED_SHARE, sigma_errors


def test_by_hand():
    error = np.array([0.1, -0.3, 0.5, -0.8, 9.0, np.nan])
    sigma = np.array([0.2, 0.2, 0.2, 0.2, 0.0, 0.2])
    found = sigma_errors(error, sigma)
    # 0.5, 1.5, 2.5 and 4 sigmas
    assert (found.n, found.n_missing, found.n_without_sigma) == (4, 1, 1)
    assert found.rms == pytest.approx(np.sqrt((0.25 + 2.25 + 6.25 + 16) / 4))
    assert found.median_abs == pytest.approx(2.0)
    assert [share for share, _, _ in found.share_within.values()] == [0.25, 0.5, 0.75]


def test_the_interval_is_wilsons():
    rng = np.random.default_rng(0)
    found = sigma_errors(rng.standard_normal(40), np.ones(40))
    for share, low, high in found.share_within.values():
        expected = binomtest(round(40 * share), 40).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high))


def test_an_exact_map_has_what_the_normal_distribution_has():
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.01, 0.3, (20, 50, 100))
    found = sigma_errors(sigma * rng.standard_normal(sigma.shape), sigma)
    assert found.n == 100_000
    assert found.rms == pytest.approx(1.0, abs=0.01)
    assert found.median_abs == pytest.approx(EXPECTED_MEDIAN_ABS, abs=0.01)
    for k, (share, _, _) in found.share_within.items():
        assert share == pytest.approx(found.expected_share[k], abs=0.005)


def test_expected_numbers_are_those_of_the_normal_distribution():
    assert pytest.approx({k: norm.cdf(k) - norm.cdf(-k) for k in (1, 2, 3)}, rel=1e-12) == EXPECTED_SHARE
    assert pytest.approx(norm.ppf(0.75), rel=1e-12) == EXPECTED_MEDIAN_ABS


@pytest.mark.parametrize("sigma", [0.0, np.nan, np.inf])
def test_without_a_sigma_nothing_is_divided(sigma):
    found = sigma_errors(np.ones(3), np.full(3, sigma))
    assert (found.n, found.n_without_sigma) == (0, 3)
    assert np.isnan([found.rms, found.median_abs, *found.share_within[2]]).all()
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["rms"] is None
    assert data["share_within"][1] == {
        "sigmas": 2, "share": None, "low": None, "high": None, "expected": EXPECTED_SHARE[2]
    }  # fmt: skip


def test_other_shapes_and_negative_standard_errors_are_refused():
    with pytest.raises(GridMismatchError, match="their standard errors"):
        sigma_errors(np.ones(2), np.ones(3))
    with pytest.raises(ValueRangeError, match="negative"):
        sigma_errors(np.ones(2), np.array([1.0, -1.0]))
