import numpy as np
import pytest
from scipy.special import expit

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.calibration import Platt, fit_platt


def drawn(n, slope, intercept, seed=0):
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, n)
    return logit, (rng.uniform(size=n) < expit(slope * logit + intercept)).astype(float)


def test_many_lesions_find_the_line_that_made_them():
    found = fit_platt(*drawn(40_000, 0.4, -0.7))
    assert found.slope == pytest.approx(0.4, abs=0.02)
    assert found.intercept == pytest.approx(-0.7, abs=0.04)


def test_many_lesions_agree_with_a_logistic_regression():
    linear = pytest.importorskip("sklearn.linear_model")
    logit, outcome = drawn(5_000, 1.7, 0.5)
    regression = linear.LogisticRegression(C=1e9).fit(logit[:, None], outcome)
    found = fit_platt(logit, outcome)
    assert found.slope == pytest.approx(regression.coef_[0, 0], rel=2e-3)
    assert found.intercept == pytest.approx(regression.intercept_[0], abs=2e-3)


def test_few_lesions_reach_the_largest_posterior_of_a_grid():
    logit, outcome = drawn(12, 1.0, 0.0, seed=4)
    lines = np.stack(np.meshgrid(np.linspace(-4, 4, 801), np.linspace(-4, 4, 801), indexing="ij"), axis=-1)
    odds = np.exp(lines[..., :1]) * logit + lines[..., 1:]
    likelihood = (outcome * odds - np.logaddexp(0, odds)).sum(-1) - lines[..., 0] ** 2 / 2
    best = lines[np.unravel_index(likelihood.argmax(), likelihood.shape)]
    found = fit_platt(logit, outcome)
    assert np.allclose([np.log(found.slope), found.intercept], best, atol=0.011)


def test_probabilities_sum_to_the_outcomes():
    logit, outcome = drawn(60, 1.0, 0.5)
    assert expit(fit_platt(logit, outcome)(logit)).sum() == pytest.approx(outcome.sum(), abs=1e-3)


def test_the_order_of_lesions_is_never_turned_round():
    logit = np.linspace(-3, 3, 40)
    found = fit_platt(logit, (logit < 0).astype(float))
    assert 0 < found.slope < 0.2
    perfect = fit_platt(logit, (logit > 0).astype(float))
    assert 1 < perfect.slope < 100


def test_a_line_is_applied_to_any_shape():
    assert np.allclose(Platt(2.0, -1.0)(np.array([[0.0, 1.0]])), [[-1.0, 1.0]])


@pytest.mark.parametrize(("slope", "intercept"), [(0.0, 0.0), (-1.0, 0.0), (np.inf, 0.0), (1.0, np.nan), (np.nan, 0.0)])
def test_an_impossible_line_is_refused(slope, intercept):
    with pytest.raises(ValueRangeError, match="finite slope above 0"):
        Platt(slope, intercept)


def test_what_cannot_be_calibrated_on_is_refused():
    with pytest.raises(GridMismatchError, match="as many logits as outcomes"):
        fit_platt([0.0, 1.0], [1.0])
    with pytest.raises(ValueRangeError, match="row 1"):
        fit_platt([0.0, np.nan], [0.0, 1.0])
    with pytest.raises(ValueRangeError, match="both of them"):
        fit_platt([0.0, 1.0], [1.0, 1.0])
