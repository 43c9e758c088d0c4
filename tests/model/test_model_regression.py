"""Prior and network of the model without spectra."""

import numpy as np
import pytest
import torch
from dose_plans import flat_prior, random_regression

from surrogate3d.model.regression import (
    LOG_STD_RANGE,
    MAX_LOG_CORRECTION,
    RegressionNetwork,
    RegressionShape,
    SmoothPrior,
    answer,
    photon_features,
)

PHOTON = np.array([[0.313, 0.0615], [0.184, 0.02], [0.1, 0.05], [0.5, 0.05], [0.3, 0.1], [0.2, 0.1], [0.15, 0.03]])


def test_a_network_that_was_not_trained_answers_by_the_prior():
    network = RegressionNetwork(RegressionShape(5)).eval()
    seen = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    found = answer(network, flat_prior(1.2, 1.1), seen, PHOTON[:4])
    np.testing.assert_allclose(found.alpha, 1.2 * PHOTON[:4, 0], rtol=1e-6)
    np.testing.assert_allclose(found.sqrt_beta, 1.1 * np.sqrt(PHOTON[:4, 1]), rtol=1e-6)
    np.testing.assert_allclose(np.exp(found.log_std), 0.01, rtol=0.01)


def test_alpha_and_beta_are_positive_and_their_correction_bounded_whatever_comes_in():
    network = random_regression(5)
    seen = (1e4 * np.random.default_rng(1).standard_normal((50, 5))).astype(np.float32)
    seen[:, 0] = np.linspace(-2, 6, 50)  # the logarithm of a LET
    found = answer(network, flat_prior(1.0, 1.0), seen, np.tile(PHOTON[0], (50, 1)))
    for ratio in (found.alpha / 0.313, found.sqrt_beta / np.sqrt(0.0615)):
        assert (np.abs(np.log(ratio)) <= MAX_LOG_CORRECTION * (1 + 1e-6)).all()
        assert np.ptp(ratio) > 0
    assert (found.log_std >= LOG_STD_RANGE[0]).all()
    assert (found.log_std <= LOG_STD_RANGE[1]).all()


def test_corrections_that_are_half_trusted_are_half_as_large():
    network, seen = random_regression(5), np.random.default_rng(3).standard_normal((6, 5)).astype(np.float32)
    line = np.tile(PHOTON[0], (6, 1))
    none, half, whole = (answer(network, flat_prior(), seen, line, np.full(6, share)) for share in (0.0, 0.5, 1.0))
    for name in ("alpha", "sqrt_beta"):
        smooth, faded, full = (getattr(found, name) for found in (none, half, whole))
        np.testing.assert_allclose(np.log(faded / smooth), 0.5 * np.log(full / smooth), rtol=1e-6)
        assert np.abs(np.log(full / smooth)).max() > 0.01
    np.testing.assert_allclose(none.alpha, 1.2 * PHOTON[0, 0], rtol=1e-6)


def test_the_prior_finds_a_quartic_whose_coefficients_depend_on_the_line():
    rng = np.random.default_rng(2)
    LET, photon = rng.uniform(1.0, 10.0, 4000), PHOTON[rng.integers(len(PHOTON), size=4000)]

    def law(L, p):
        u, v = photon_features(p).T
        return 0.05 * L * (1 + 0.3 * u) + 0.002 * L**2 * v - 1e-4 * L**3 + 1e-6 * L**4

    prior = SmoothPrior.fit(LET, photon, np.exp(law(LET, photon)), np.exp(0.1 * law(LET, photon)))
    inside = np.linspace(1.2, 9.5, 30)
    for line in PHOTON:
        rows = np.tile(line, (30, 1))
        alpha, sqrt_beta = prior(inside, rows)
        np.testing.assert_allclose(alpha, law(inside, rows), atol=5e-5)  # a thousandth of the LET lies at the end
        np.testing.assert_allclose(sqrt_beta, 0.1 * law(inside, rows), atol=5e-6)


def test_the_prior_does_not_run_away_beyond_its_range():
    prior = flat_prior()
    wild = SmoothPrior((0.0,) * 24 + (1.0,) + (0.0,) * 5, prior.sqrt_beta, (1.0, 10.0))  # (LET / 5)^4
    alpha, _ = wild(np.array([0.1, 1.0, 10.0, 1000.0]), np.tile(PHOTON[0], (4, 1)))
    straight = np.exp(16.0) + 990.0 * (np.exp(16.0) - np.exp(1.8**4))  # the line through its values at 9 and at 10
    np.testing.assert_allclose(alpha, [0.2**4, 0.2**4, 16.0, np.log(straight)])


def test_a_prior_that_falls_at_its_end_falls_on_and_stays_positive():
    falling = SmoothPrior((0.0,) * 6 + (-0.5,) + (0.0,) * 23, flat_prior().sqrt_beta, (1.0, 10.0))  # -LET / 10
    alpha, sqrt_beta = falling(np.array([10.0, 12.0, 1000.0]), np.tile(PHOTON[0], (3, 1)))
    assert alpha[0] == pytest.approx(-1.0)
    assert alpha[1] == pytest.approx(-1.0 + 2.0 * (1 - np.exp(0.1)))  # the relative slope of the last tenth
    assert np.isfinite(alpha[2])
    np.testing.assert_allclose(sqrt_beta, sqrt_beta[0])


def test_the_deviation_does_not_train_what_the_answer_is_made_from():
    network = random_regression(5)
    _, _, log_std = network(torch.randn(8, 5), torch.zeros(8, 2))
    log_std.sum().backward()
    assert all(parameter.grad is None for parameter in network.body.parameters())
    assert network.spread.weight.grad is not None


def test_lines_are_told_apart_by_their_photon_parameters():
    network, seen = random_regression(5), np.zeros((2, 5), dtype=np.float32)
    found = answer(network, flat_prior(), seen, PHOTON[:2])
    assert found.alpha[0] / PHOTON[0, 0] != pytest.approx(found.alpha[1] / PHOTON[1, 0], rel=1e-6)
