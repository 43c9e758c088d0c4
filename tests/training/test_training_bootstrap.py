import numpy as np
import pytest
from scipy.stats import binom, norm

from surrogate3d.training.bootstrap import Estimate, estimate, resampled, wilson


def test_a_bootstrap_draws_whole_publications():
    cluster = np.array(["a", "b", "a", "c", "b", "a"])
    draws = resampled(cluster, 0, draws=300)
    assert (draws[0] == 1).all()
    for name in "abc":
        assert (draws[:, cluster == name] == draws[:, cluster == name][:, :1]).all()
    np.testing.assert_array_equal(draws[:, [0, 1, 3]].sum(axis=1), 3)  # as many publications as there are
    assert len(np.unique(draws, axis=0)) == 10  # three out of three with replacement: C(5, 3)


def test_an_estimate_has_the_value_of_all_rows_and_the_middle_95_percent_of_the_draws():
    draws = np.linspace(0.0, 1.0, 2001)
    found = estimate(np.concatenate([[7.0], np.random.default_rng(0).permutation(draws)]))
    assert found == Estimate(7.0, pytest.approx(0.025, abs=1e-12), pytest.approx(0.975, abs=1e-12))
    with_none = estimate(np.concatenate([[7.0], draws, np.full(50, np.nan)]))
    assert (with_none.low, with_none.high) == pytest.approx((0.025, 0.975), abs=1e-12)


def test_a_bootstrap_of_single_rows_has_the_error_of_the_mean():
    values = np.random.default_rng(3).normal(size=400)
    draws = resampled(np.arange(400).astype(str), 1)
    found = estimate(draws @ values / 400)
    assert found.high - found.low == pytest.approx(2 * norm.ppf(0.975) * values.std() / 20, rel=0.05)


def test_wilsons_interval_is_the_one_of_its_definition():
    # Both ends p solve |found - p| = z sqrt(p (1 - p) / n): Wilson 1927.
    for found, n in ((0.917, 69), (0.5, 69), (0.3, 7)):
        for p in wilson(found, n):
            assert abs(found - p) == pytest.approx(norm.ppf(0.975) * np.sqrt(p * (1 - p) / n), rel=1e-9)
    assert wilson(0.0, 20)[0] == 0.0
    assert wilson(1.0, 20) == (pytest.approx(1 / (1 + norm.ppf(0.975) ** 2 / 20)), 1.0)


def test_wilsons_interval_covers_as_often_as_it_says():
    n, p = 100, 0.9
    counts = np.arange(n + 1)
    inside = [low <= p <= high for low, high in (wilson(k / n, n) for k in counts)]
    assert 0.93 < (binom.pmf(counts, n, p) * inside).sum() < 0.97
