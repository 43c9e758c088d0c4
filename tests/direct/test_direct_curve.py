import math

import numpy as np
import pytest

from surrogate3d.direct.curve import BLOCK, ENDPOINTS, analyse, dose_at, effect_at, fit_alpha_beta, jackknife
from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.physics.cell_line import cell_line

DOSES = np.array(DOSE_LADDER)
HSG = cell_line("HSG")


@pytest.mark.parametrize(("alpha", "beta"), [(0.313, 0.0615), (0.6, 0.1), (1.7, 0.0), (0.05, 0.01)])
def test_endpoints_of_an_exact_LQ_curve(alpha, beta):
    found = analyse(DOSES, np.exp(-alpha * DOSES - beta * DOSES**2), HSG)
    root = math.sqrt(alpha**2 + 4 * beta * math.log(10))
    D10 = (root - alpha) / (2 * beta) if beta else math.log(10) / alpha
    D10_x = (math.sqrt(0.313**2 + 4 * 0.0615 * math.log(10)) - 0.313) / (2 * 0.0615)
    photon = (math.sqrt(0.313**2 + 4 * 0.0615 * (2 * alpha + 4 * beta)) - 0.313) / (2 * 0.0615)
    assert found["alpha"] == pytest.approx(alpha, rel=1e-9)
    assert found["beta"] == pytest.approx(beta, rel=1e-9, abs=1e-12)
    assert found["D10"] == pytest.approx(D10, rel=1e-9)
    assert found["RBE10"] == pytest.approx(D10_x / D10, rel=1e-9)
    assert found["RBE_ref"] == pytest.approx(photon / 2, rel=1e-9)


def test_beta_is_never_negative():
    found = analyse(DOSES, np.exp(-DOSES + 0.01 * DOSES**2), HSG)
    assert found["beta"] == 0.0


def test_points_of_very_low_survival_do_not_enter_the_fit():
    survival = np.exp(-4.0 * DOSES)
    spoiled = np.where(survival < 1e-3, 1e-30, survival)
    assert analyse(DOSES, spoiled, HSG)["alpha"] == pytest.approx(4.0)


def test_extreme_radiation_still_has_an_alpha():
    assert np.isfinite(analyse(DOSES, np.exp(-40.0 * DOSES), HSG)["alpha"])


def test_curves_are_analysed_together_as_one_by_one():
    alpha = np.array([0.4, 0.8, 2.0])[:, None]
    survival = np.exp(-alpha * DOSES - 0.02 * DOSES**2)
    together = analyse(DOSES, survival, HSG)
    for n, row in enumerate(survival):
        for name, value in analyse(DOSES, row, HSG).items():
            assert together[name][n] == pytest.approx(float(value))


@pytest.mark.parametrize("dose", [0.1, 0.25, 1.7, 2.0, 5.5, 7.0])
def test_dose_at_inverts_effect_at(dose):
    effects = 0.7 * DOSES + 0.05 * DOSES**1.9
    assert dose_at(float(effect_at(dose, DOSES, effects)), DOSES, effects) == pytest.approx(dose)


def test_jackknife_of_a_mean_is_the_standard_error_of_the_mean():
    batches = np.random.default_rng(5).normal(size=(16, 3))
    left_out = (batches.sum(axis=0) - batches) / 15
    assert jackknife(left_out) == pytest.approx(batches.std(axis=0, ddof=1) / 4)


def test_one_deterministic_estimate_has_no_error():
    assert (jackknife(np.ones((1, 3))) == 0).all()


def test_more_curves_than_a_block_are_analysed_one_by_one_all_the_same():
    rng = np.random.default_rng(7)
    alpha, bend = rng.uniform(0.05, 20.0, (2, BLOCK, 1)), rng.uniform(-0.01, 0.1, (2, BLOCK, 1))
    survival = np.exp(-np.maximum(alpha * DOSES + bend * DOSES**1.9, 0.02 * DOSES))
    together = analyse(DOSES, survival, HSG)
    assert tuple(together) == ENDPOINTS
    for row, n in ((0, 0), (0, BLOCK - 1), (1, 0), (1, 17), (1, BLOCK - 1)):
        alone = analyse(DOSES, survival[row, n], HSG)
        for name in ENDPOINTS:
            assert together[name].shape == (2, BLOCK)
            assert together[name][row, n] == pytest.approx(float(alone[name]), rel=1e-12)


def test_the_fit_is_that_of_the_points_that_enter_it():
    rng = np.random.default_rng(8)
    effects = rng.uniform(0.1, 14.0, (300, 1)) * DOSES * rng.uniform(0.9, 1.1, (300, len(DOSES)))
    alpha, beta = fit_alpha_beta(DOSES, effects)
    for n, effect in enumerate(effects):
        use = (np.exp(-effect) > 1e-3) & (DOSES <= 3.0)
        use[0] = True
        design = np.stack([np.ones(use.sum()), DOSES[use]], axis=1) * np.sqrt(DOSES[use])[:, None]
        fitted = np.linalg.lstsq(design, effect[use] / DOSES[use] * np.sqrt(DOSES[use]), rcond=None)[0]
        if use.sum() == 1 or fitted[1] < 0:
            fitted = (effect[use].sum() / DOSES[use].sum(), 0.0)
        assert (alpha[n], beta[n]) == (pytest.approx(fitted[0], rel=1e-9), pytest.approx(fitted[1], rel=1e-6, abs=1e-9))


def test_a_ladder_without_low_doses_still_has_a_fit():
    doses = np.array([4.0, 5.0, 6.0])
    alpha, beta = fit_alpha_beta(doses, 0.4 * doses + 0.05 * doses**2)
    assert (float(alpha), float(beta)) == (pytest.approx(0.6), 0.0)  # the lowest dose alone: alpha + 4 beta


def test_no_curves_have_no_endpoints():
    assert all(values.shape == (0,) for values in analyse(DOSES, np.empty((0, len(DOSES))), HSG).values())
