"""The arithmetic of `benchmarks/sampling.py`, and its kernel regression."""

import math

import numpy as np
import pytest

from benchmarks.sampling_regression import LENGTHS, NOISES, Kernel, _kernel, fit
from benchmarks.sampling_statistics import interval, labels_to_reach, ratio


def test_a_power_law_is_interpolated_exactly():
    budgets = (10, 100, 1000)
    assert labels_to_reach(budgets, [1 - 2 / n for n in budgets], 0.9) == pytest.approx(20, rel=1e-12)
    assert labels_to_reach(budgets, [1 - 3 / n**0.5 for n in budgets], 0.9) == pytest.approx(900, rel=1e-12)


def test_a_curve_that_falls_back_has_not_arrived():
    assert labels_to_reach((10, 20, 40, 80), [0.95, 0.85, 0.95, 0.99], 0.9) > 20
    assert labels_to_reach((10, 20, 40, 80), [0.95, 0.95, 0.95, 0.85], 0.9) == math.inf


def test_a_curve_that_is_above_from_the_start_needs_the_first_budget_at_most():
    assert labels_to_reach((10, 20), [0.92, 0.99], 0.9) == 10


def test_a_negative_R2_counts():
    assert labels_to_reach((10, 1000), [-9.0, 0.99], 0.9) == pytest.approx(10 * 100 ** (2 / 3))


def test_the_ratio_of_proportional_errors_has_no_spread():
    random = np.array([0.1, 0.2, 0.4, 0.15])
    assert ratio(0.6 * random, random) == pytest.approx((0.6, 0.6, 0.6))
    assert ratio(0.6 * random, random, np.median) == pytest.approx((0.6, 0.6, 0.6))


def test_the_interval_of_two_seeds_is_that_of_all_draws():
    # means of two draws from {0, 1}: 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4
    assert interval([0.0, 1.0], np.mean) == (0.5, 0.0, 1.0)
    assert interval([3.0, 3.0, 3.0]) == (3.0, 3.0, 3.0)


def test_the_ratio_of_means_is_not_the_mean_of_ratios():
    assert ratio([1.0, 1.0], [1.0, 3.0])[0] == 0.5


def test_a_kernel_regression_goes_through_labels_of_a_straight_line():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 3))
    truth = np.stack([features @ [1.0, -2.0, 0.5], 3 * features[:, 0] + 7], axis=1)
    found = fit(features[:60], truth[:60], 0, features, "kernel")
    assert (np.std(found.predict(features[60:]) - truth[60:], axis=0) < 0.01 * truth.std(axis=0)).all()
    assert found.members(features[60:]).shape == (5, 340, 2)


def test_the_likelihood_chooses_as_a_multivariate_normal_would():
    """Slow twin: log density by scipy of the same covariances, with the amplitude that is best."""
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(1)
    x = rng.normal(size=(25, 2)) * 5
    y = np.sin(x[:, :1] / 6) + 0.01 * rng.normal(size=(25, 1))
    z = (y - y.mean(axis=0)) / y.std(axis=0)

    def density(length, noise):
        covariance = _kernel(x, x, length) + noise * np.eye(25)
        amplitude = (z[:, 0] @ np.linalg.solve(covariance, z[:, 0])) / 25
        return multivariate_normal(np.zeros(25), amplitude * covariance).logpdf(z[:, 0])

    length, noise = max(((length, noise) for length in LENGTHS for noise in NOISES), key=lambda one: density(*one))
    covariance = _kernel(x, x, length) + noise * np.eye(25)
    expected = _kernel(x, x, length) @ np.linalg.solve(covariance, z) * y.std(axis=0) + y.mean(axis=0)
    np.testing.assert_allclose(Kernel(np.zeros(2), np.eye(2), x, y, 0).predict(x), expected, rtol=1e-9)
