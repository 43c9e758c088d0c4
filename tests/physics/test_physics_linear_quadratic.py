import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics import linear_quadratic as lq


def test_isoeffective_dose_inverts_the_effect() -> None:
    rng = np.random.default_rng(1)
    dose, alpha, beta = rng.uniform(0, 10, 200), rng.uniform(0.01, 1, 200), rng.uniform(0, 0.2, 200)
    np.testing.assert_allclose(lq.isoeffective_dose(lq.effect(dose, alpha, beta), alpha, beta), dose, rtol=1e-12)


def test_isoeffective_dose_is_the_textbook_root_and_has_its_limits() -> None:
    ax, bx, S = 0.313, 0.0615, 0.1
    expected = (-ax + np.sqrt(ax**2 - 4 * bx * np.log(S))) / (2 * bx)
    np.testing.assert_allclose(lq.isoeffective_dose(-np.log(S), ax, bx), expected, rtol=1e-14)
    assert lq.isoeffective_dose(0.6, 0.3, 0.0) == 2.0
    assert lq.isoeffective_dose(0.8, 0.0, 0.2) == 2.0
    assert lq.isoeffective_dose(0.0, 0.3, 0.1) == 0.0
    assert np.isnan(lq.isoeffective_dose(np.array([np.nan, -0.1]), 0.3, 0.1)).all()


def test_D10_of_hsg_photons_is_the_published_value() -> None:
    # Inaniwa et al. 2010: D10 of the photon reference (0.313, 0.0615) is 4.082 Gy
    assert lq.D10(0.313, 0.0615) == pytest.approx(4.082, abs=5e-4)
    assert lq.RBE10(0.313, 0.0615, 0.313, 0.0615) == 1.0


def test_survival_is_the_exponential_of_the_effect() -> None:
    assert lq.survival(2.0, 0.3, 0.05) == pytest.approx(np.exp(-0.8), rel=1e-14)


def test_RBE_at_dose_goes_to_RBEmax_and_to_RBEmin() -> None:
    alpha, beta, ax, bx = 0.9, 0.1, 0.3, 0.05
    low, high = 1e-7, 1e7
    assert lq.RBE_at_dose(low, lq.effect(low, alpha, beta), ax, bx) == pytest.approx(alpha / ax, rel=1e-5)
    assert lq.RBE_at_dose(high, lq.effect(high, alpha, beta), ax, bx) == pytest.approx(np.sqrt(beta / bx), rel=1e-5)
    assert np.isnan(lq.RBE_at_dose(0.0, 0.0, ax, bx))


def test_BED_and_EQD2_are_those_of_the_textbook() -> None:
    # 35 fractions of 2 Gy at alpha/beta 10 Gy: BED 84 Gy; 20 of 2.75 Gy at 3 Gy: 105.4 Gy, EQD2 63.25 Gy (Fowler 1989)
    assert lq.BED(70.0, 2.0, 10.0) == pytest.approx(84.0, rel=1e-14)
    assert lq.EQD2(70.0, 2.0, 10.0) == pytest.approx(70.0, rel=1e-14)
    assert lq.BED(55.0, 2.75, 3.0) == pytest.approx(55 * (1 + 2.75 / 3), rel=1e-14)
    assert lq.EQD2(55.0, 2.75, 3.0) == pytest.approx(63.25, rel=1e-12)


def test_BED_is_effect_over_alpha_x_for_fractionated_photons() -> None:
    rng = np.random.default_rng(4)
    d, alpha, beta, n = rng.uniform(0.1, 8, 100), rng.uniform(0.05, 1, 100), rng.uniform(0.001, 0.2, 100), 7
    np.testing.assert_allclose(lq.BED(n * d, d, alpha / beta), n * lq.effect(d, alpha, beta) / alpha, rtol=1e-12)
    # so many fractions of 2 Gy have the same effect
    fractions = lq.EQD2(n * d, d, alpha / beta) / 2
    np.testing.assert_allclose(fractions * lq.effect(2.0, alpha, beta), n * lq.effect(d, alpha, beta), rtol=1e-12)


def test_without_a_quadratic_term_BED_and_EQD2_are_the_dose() -> None:
    assert lq.BED(12.0, 3.0, np.inf) == 12.0
    assert lq.EQD2(12.0, 3.0, np.inf) == 12.0


@pytest.mark.parametrize("ratio", [0.0, -3.0, float("nan")])
def test_an_impossible_alpha_over_beta_is_refused(ratio: float) -> None:
    with pytest.raises(ValueRangeError, match="positive alpha over beta"):
        lq.BED(12.0, 3.0, ratio)
    with pytest.raises(ValueRangeError, match="positive alpha over beta"):
        lq.EQD2(12.0, 3.0, ratio)


def test_lea_catcheside_is_the_double_integral() -> None:
    # G = (2 / T^2) Int_0^T Int_0^t exp(-mu (t - s)) ds dt, by the midpoint rule
    mu, T, n = 2.5, 0.8, 2000
    t = (np.arange(n) + 0.5) * T / n
    G = np.exp(-mu * np.abs(t[:, None] - t[None])).mean()
    assert lq.lea_catcheside(mu, T) == pytest.approx(G, rel=1e-5)
    assert lq.lea_catcheside(mu, 0.0) == 1.0
    below, above = lq.lea_catcheside(1.0, np.array([0.999e-3, 1.001e-3]))
    assert below - above == pytest.approx(2e-6 / 3, rel=1e-2)


def test_fit_recovers_exact_curves_over_leading_axes() -> None:
    rng = np.random.default_rng(2)
    doses = np.array([0.25, 0.5, 1, 2, 3, 4.0])
    alpha, beta = rng.uniform(0.1, 2, (4, 5)), rng.uniform(0, 0.1, (4, 5))
    fitted = lq.fit_linear_quadratic(doses, lq.effect(doses, alpha[..., None], beta[..., None]))
    np.testing.assert_allclose(fitted[0], alpha, rtol=1e-9)
    np.testing.assert_allclose(fitted[1], beta, atol=1e-10)


def test_weighted_fit_is_that_of_lstsq() -> None:
    rng = np.random.default_rng(3)
    doses = np.array([0.5, 1, 2, 3, 4.0])
    effects = lq.effect(doses, 0.4, 0.06) * rng.normal(1, 0.02, 5)
    weights = rng.uniform(0.1, 3, 5)
    w = np.sqrt(weights)
    design = np.stack([np.ones(5), doses], axis=1)
    expected = np.linalg.lstsq(design * w[:, None], effects / doses * w, rcond=None)[0]
    np.testing.assert_allclose(lq.fit_linear_quadratic(doses, effects, weights), expected, rtol=1e-10)


def test_negative_beta_is_refitted_without_beta() -> None:
    doses = np.array([1, 2, 4.0])
    weights = np.array([1.0, 2.0, 3.0])
    effects = 1.0 * doses - 0.05 * doses**2
    alpha, beta = lq.fit_linear_quadratic(doses, effects, weights)
    assert beta == 0.0
    assert alpha == pytest.approx(np.average(effects / doses, weights=weights))


def test_points_of_weight_zero_are_ignored_even_if_infinite() -> None:
    doses = np.array([1, 2, 4.0])
    effects = np.array([0.5, 1.2, np.inf])
    alpha, beta = lq.fit_linear_quadratic(doses, effects, np.array([1.0, 1.0, 0.0]))
    assert alpha == pytest.approx(0.4)
    assert beta == pytest.approx(0.1)


def test_single_weighted_dose_gives_alpha_alone() -> None:
    alpha, beta = lq.fit_linear_quadratic([1, 2.0], [0.5, 1.2], [0.0, 1.0])
    assert (float(alpha), float(beta)) == (pytest.approx(0.6), 0.0)


@pytest.mark.parametrize(
    ("doses", "weights"), [([1.0], None), ([0.0, 1.0], None), ([1.0, 2.0], [0.0, 0.0]), ([1.0, 2.0], [-1.0, 2.0])]
)
def test_impossible_fits_are_refused(doses: list[float], weights: list[float] | None) -> None:
    with pytest.raises(ValueRangeError):
        lq.fit_linear_quadratic(doses, np.ones(len(doses)), weights)


def test_weights_of_all_curves_together_are_those_of_every_curve() -> None:
    rng = np.random.default_rng(6)
    doses, weights = np.array([0.25, 0.5, 1, 2, 3.0]), np.array([0.0, 0.5, 1.0, 2.0, 3.0])
    effects = lq.effect(doses, 0.4, 0.06) * rng.normal(1, 0.05, (3, 20, 5))
    effects[..., 0] = np.inf  # of weight 0
    together = lq.fit_linear_quadratic(doses, effects, weights)
    each = lq.fit_linear_quadratic(doses, effects, np.tile(weights, (3, 20, 1)))
    assert together[0].shape == together[1].shape == (3, 20)
    np.testing.assert_allclose(together, each, rtol=1e-12, atol=1e-14)


def test_a_fit_does_not_depend_on_how_curves_lie_in_memory() -> None:
    rng = np.random.default_rng(7)
    doses = np.array([0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3.0])
    effects = lq.effect(doses, 0.4, 0.06) * rng.normal(1, 0.05, (50, 8))
    rows, columns = (lq.fit_linear_quadratic(doses, order(effects)) for order in (np.array, np.asfortranarray))
    np.testing.assert_allclose(rows, columns, rtol=1e-10, atol=1e-12)
