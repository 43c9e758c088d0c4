from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit, logit

from surrogate3d.response.reliability import reliability
from surrogate3d.training.bootstrap import estimate, resampled

linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")


def alone(n, draws=2, seed=0):
    """Draws of lesions that are patients of their own."""
    return resampled(np.arange(n).astype(str), seed, draws=draws)


def slow_error(probability, label, weight, edges):
    """Mean over bins of |share of responders - mean probability|, row by row."""
    total = 0.0
    for low, high in pairwise(edges):
        inside = (probability > low) & (probability <= high)
        mass = weight[inside].sum()
        if mass:
            share = (weight * label)[inside].sum() / mass
            total += mass * abs(share - (weight * probability)[inside].sum() / mass)
    return total / weight.sum()


def model(n=69, repeats=5, seed=0, gain=1.0):
    """Log odds that are right up to a gain, by repeat, and responses."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0.3, 1.3, n)
    return gain * true + rng.normal(0, 0.3, (repeats, n)), (rng.random(n) < expit(true)).astype(float)


def test_the_error_in_bins_is_that_of_its_definition_for_every_draw():
    log_odds, response = model()
    patients = np.array([f"P{n % 30}" for n in range(69)])
    draws = resampled(patients, 1, draws=40)
    found = reliability(log_odds, response, draws)
    probability = expit(log_odds)
    even, full = np.linspace(0, 1, 11), np.quantile(probability, np.linspace(0, 1, 11))
    full[0] = 0.0
    uniform = np.random.default_rng(0).random((1000, 1, 69))
    for binned, edges in ((found.equal_width, even), (found.adaptive, full)):
        rows = [(np.tile(response, 5), np.tile(draw, 5)) for draw in draws]
        observed = [slow_error(probability.ravel(), label, weight, edges) for label, weight in rows]
        assert binned.observed == pytest.approx(observed[0], rel=1e-10)
        perfect = [
            slow_error(probability.ravel(), (one < probability).ravel().astype(float), rows[0][1], edges)
            for one in uniform[:300]
        ]
        assert binned.perfect.value == pytest.approx(np.mean(perfect), abs=4 * np.std(perfect) / np.sqrt(300))
        assert binned.excess.value == pytest.approx(binned.observed - binned.perfect.value, rel=1e-10)
        assert binned.excess.low < binned.excess.value < binned.excess.high


def test_a_perfect_model_with_a_lesion_per_bin_errs_by_twice_the_variance_also_over_repeats():
    # |label - p| has the expectation 2 p (1 - p); copies of a repeat share the label, so they average nothing out.
    p = np.arange(0.05, 1.0, 0.1)
    response = (p > 0.5).astype(float)
    expected = np.mean(2 * p * (1 - p))
    for repeats in (1, 10):
        found = reliability(np.tile(logit(p), (repeats, 1)), response, alone(10)).equal_width
        assert found.perfect.value == pytest.approx(expected, abs=0.01)
        assert found.observed == pytest.approx(np.mean(np.minimum(p, 1 - p)), rel=1e-9)


def test_a_model_that_is_perfect_in_each_repeat_has_no_excess_on_average():
    # Two normal classes with equal variance: the log odds of a score are exact, d * score, in each repeat.
    rng = np.random.default_rng(4)
    excess, d = [], 1.6
    for _ in range(60):
        response = (rng.random(69) < 0.5).astype(float)
        noise = np.sqrt(0.8) * rng.normal(size=69) + np.sqrt(0.2) * rng.normal(size=(10, 69))
        found = reliability(d * (d * (response - 0.5) + noise), response, alone(69), seed=int(rng.integers(1e6)))
        excess.append(found.equal_width.excess.value)
    standard_error = np.std(excess) / np.sqrt(60)
    assert standard_error < 0.004
    assert abs(np.mean(excess)) < 0.01


def test_probabilities_that_are_too_extreme_have_an_excess_and_a_slope_below_one():
    log_odds, response = model(n=600, repeats=2, gain=3.0)
    found = reliability(log_odds, response, alone(600, draws=300))
    assert found.equal_width.excess.low > 0.05
    assert found.adaptive.excess.low > 0.05
    assert found.slope.high < 0.5


def test_slope_and_intercept_are_those_of_a_logistic_regression():
    log_odds, response = model(repeats=3)
    draws = alone(69, draws=15, seed=3)
    found = reliability(log_odds, response, draws)
    slopes, intercepts = [], []
    for draw in draws:
        fitted = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        fitted.fit(log_odds.reshape(-1, 1), np.tile(response, 3), sample_weight=np.tile(draw, 3))
        slopes.append(fitted.coef_[0, 0])
        low, high = -20.0, 20.0
        for _ in range(60):  # bisection: the mean probability becomes that of the responses
            middle = 0.5 * (low + high)
            more = (np.tile(draw, (3, 1)) * (response - expit(log_odds + middle))).sum() > 0
            low, high = (middle, high) if more else (low, middle)
        intercepts.append(middle)
    for found_one, slow in ((found.slope, slopes), (found.intercept, intercepts)):
        expected = estimate(np.array(slow))
        assert (found_one.value, found_one.low, found_one.high) == pytest.approx(
            (expected.value, expected.low, expected.high), abs=1e-5
        )


def test_the_intercept_of_one_probability_is_the_difference_of_the_log_odds():
    response = np.array([1.0] * 30 + [0.0] * 10)
    found = reliability(np.full((2, 40), 0.4), response, alone(40, draws=50))
    assert found.intercept.value == pytest.approx(np.log(3) - 0.4, rel=1e-9)
    assert np.isnan(found.slope.value)  # the same answer for all lesions has no slope


def test_classes_that_are_separated_have_no_slope():
    response = np.array([0.0, 1.0] * 10)
    found = reliability((2 * response - 1)[None] * np.linspace(1, 2, 20), response, alone(20, draws=50))
    assert all(np.isnan(each) for each in (found.slope.value, found.slope.low, found.slope.high))
    assert np.isfinite([found.intercept.value, found.intercept.low, found.intercept.high]).all()
    reverse = reliability((1 - 2 * response)[None] * np.linspace(1, 2, 20), response, alone(20, draws=50))
    assert np.isnan(reverse.slope.value)
