import math

import numpy as np
import pytest

from surrogate3d.direct.curve import analyse, dose_at, effect_at, jackknife
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
