import math

import numpy as np
import pytest
from scipy.stats import t as student

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.survival_fit import Observed, fit_linear_quadratic_curve

DOSES = np.array([0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0])

CASP8 = [
    (1, 0, 296), (2, 0, 310), (3, 0, 267), (1, 2, 229), (2, 2, 252), (3, 2, 209),
    (1, 4, 160), (2, 4, 149), (3, 4, 171), (1, 6, 68), (2, 6, 67), (3, 6, 63),
]  # fmt: skip
"""Experiment, dose in Gy, colonies of 1000 cells: shCASP8-N, example data of the R package CellSurvAssay."""


def observed(dose, effect, sd=None, experiment=None):
    dose = np.asarray(dose, dtype=float)
    errors = None if sd is None else np.broadcast_to(float(sd), dose.shape).copy()
    which = np.zeros(dose.shape, dtype=int) if experiment is None else np.asarray(experiment)
    return Observed(dose, -np.asarray(effect, dtype=float), errors, which)


def noisy(rng, alpha, beta, sd, control, known):
    dose = np.concatenate([[0.0], DOSES]) if control else DOSES
    effect = alpha * dose + beta * dose**2 + sd * rng.normal(size=dose.size)
    return observed(dose, effect, sd if known else None)


@pytest.mark.parametrize("sd", [None, 0.05])
@pytest.mark.parametrize("beta", [0.05, 0.0])
def test_exact_data_return_exact_parameters(beta, sd):
    fit = fit_linear_quadratic_curve(observed(DOSES, 0.3 * DOSES + beta * DOSES**2, sd))
    assert fit.alpha.value == pytest.approx(0.3, rel=1e-9)
    assert fit.beta.value == pytest.approx(beta, abs=1e-9)
    assert fit.alpha.low <= 0.3 + 1e-9
    assert fit.largest_dose == 8


@pytest.mark.parametrize(
    ("control", "known", "seed"), [(False, True, 1), (False, False, 2), (True, True, 3), (True, False, 4)]
)
def test_intervals_of_95_per_cent_hold_the_truth_in_95_per_cent_of_replicas(control, known, seed):
    rng, inside = np.random.default_rng(seed), np.zeros(2)
    for _ in range(200):
        fit = fit_linear_quadratic_curve(noisy(rng, 0.3, 0.05, 0.08, control, known))
        inside += [fit.alpha.low <= 0.3 <= fit.alpha.high, fit.beta.low <= 0.05 <= fit.beta.high]
    # three standard deviations of 200 draws are 4.6 %; beyond 98 % they would be too wide
    assert (inside / 200 >= 0.92).all()
    assert (inside / 200 <= 0.98).all()


def test_away_from_the_edges_the_interval_is_that_of_student():
    rng = np.random.default_rng(5)
    data = noisy(rng, 0.3, 0.05, 0.02, control=True, known=False)
    fit = fit_linear_quadratic_curve(data)
    design = np.stack([data.dose, data.dose**2, -np.ones_like(data.dose)], axis=1)  # another algorithm: with the offset
    best, rss, *_ = np.linalg.lstsq(design, -data.log_survival, rcond=None)
    ndf = len(data.dose) - 3
    half = student.ppf(0.975, ndf) * np.sqrt(rss[0] / ndf * np.diag(np.linalg.inv(design.T @ design)))
    for k, found in enumerate((fit.alpha, fit.beta)):
        assert found.value == pytest.approx(best[k], rel=1e-9)
        assert (found.low, found.high) == pytest.approx((best[k] - half[k], best[k] + half[k]), rel=1e-6)
    assert fit.goodness.common_sd == pytest.approx(math.sqrt(rss[0] / ndf))
    assert (fit.goodness.ndf, fit.goodness.n_offsets, fit.goodness.n_points) == (6, 1, 9)


def test_every_experiment_has_its_own_plating_efficiency():
    # the least squares of CFAssay (Braselmann et al., Radiat. Oncol. 2015;10:223): lnS ~ factor(Exp) - 1 + dose + dose2
    rng = np.random.default_rng(6)
    dose, experiment = np.tile([0.0, 1, 2, 4, 6], 3), np.repeat([0, 1, 2], 5)
    effect = 0.2 * dose + 0.03 * dose**2 + np.array([0.7, 1.1, 0.9])[experiment] + 0.05 * rng.normal(size=15)
    fit = fit_linear_quadratic_curve(observed(dose, effect, None, experiment))
    design = np.concatenate([np.stack([dose, dose**2], axis=1), np.eye(3)[experiment]], axis=1)
    best = np.linalg.lstsq(design, effect, rcond=None)[0]
    assert (fit.alpha.value, fit.beta.value) == pytest.approx(tuple(best[:2]), rel=1e-9)
    assert fit.goodness.n_offsets == 3


def test_counted_colonies_give_the_published_pair():
    # CellSurvAssay's README, maximum likelihood of quasi-Poisson counts: alpha 0.0161 +- 0.0386, beta 0.0368 +- 0.0070
    experiment, dose, colonies = np.array(CASP8, dtype=float).T
    data = Observed(dose, np.log(colonies / 1000), 1 / np.sqrt(colonies), experiment.astype(int))
    fit = fit_linear_quadratic_curve(data)
    assert fit.alpha.value == pytest.approx(0.01613, abs=0.1 * 0.03856)
    assert fit.beta.value == pytest.approx(0.03678, abs=0.1 * 0.00702)
    assert fit.goodness.chi2 == pytest.approx(10.29, rel=0.03)  # their weighted residuals
    assert fit.goodness.ndf == 7
    assert fit.alpha.low == 0.0  # alpha is not significant there either, p = 0.69
    assert fit.beta_is_seen


def test_a_curve_that_bends_up_has_beta_0_with_an_interval_from_0():
    effect = 0.5 * DOSES - 0.01 * DOSES**2
    fit = fit_linear_quadratic_curve(observed(DOSES, effect, 0.1))
    assert fit.beta.value == fit.beta.low == 0.0
    assert fit.beta.high > 0
    assert not fit.beta_is_seen
    assert fit.alpha.value == pytest.approx(float(DOSES @ effect / (DOSES @ DOSES)))  # the best straight line


def test_a_curve_that_starts_flat_has_alpha_0():
    fit = fit_linear_quadratic_curve(observed(DOSES, 0.1 * DOSES**2 - 0.02 * DOSES, 0.05))
    assert fit.alpha.value == fit.alpha.low == 0.0
    assert fit.beta.value == pytest.approx(float(np.sum(DOSES**2 * (0.1 * DOSES**2 - 0.02 * DOSES)) / np.sum(DOSES**4)))


def test_errors_that_are_too_small_are_enlarged():
    rng = np.random.default_rng(7)
    effect = 0.3 * DOSES + 0.05 * DOSES**2 + 0.1 * rng.normal(size=8)
    small, unknown = (fit_linear_quadratic_curve(observed(DOSES, effect, sd)) for sd in (0.02, None))
    assert small.goodness.p_value < 1e-3
    assert small.goodness.scale == pytest.approx(math.sqrt(small.goodness.chi2 / 6))
    assert small.alpha.high == pytest.approx(unknown.alpha.high)  # equal errors, so only the scatter counts


@pytest.mark.parametrize(
    ("dose", "effect", "words"),
    [
        ([1, 2, 1, 2], [0.3, 0.7, 0.3, 0.7], "needs 3 different doses above 0 Gy, found 2: 1, 2"),
        ([0, 0, 0], [0, 0, 0], "found 0: none"),
        ([1, 2, 3, 4], [-0.1, -0.2, -0.3, -0.4], "survival does not fall with dose"),
    ],
)
def test_curves_that_say_too_little_are_refused(dose, effect, words):
    with pytest.raises(ValueRangeError, match=words):
        fit_linear_quadratic_curve(observed(dose, effect))


def test_one_degree_of_freedom_must_be_left():
    dose, effect = [0, 1, 2, 3], [0, 0.3, 0.7, 1.2]
    assert fit_linear_quadratic_curve(observed(dose, effect)).goodness.ndf == 1
    with pytest.raises(ValueRangeError, match="5 points are too few for 2 parameters and 3 plating efficiencies"):
        observed([0, 0, 0, 1, 2], np.zeros(5), None, [0, 1, 2, 0, 1]).goodness(0.0, 2)


@pytest.mark.parametrize(
    ("dose", "sd"), [([1.0, -2.0], None), ([1.0, np.nan], None), ([1.0, 2.0], 0.0), ([1.0, 2.0], np.nan)]
)
def test_points_without_meaning_are_refused(dose, sd):
    with pytest.raises(ValueRangeError, match="finite values, doses >= 0 Gy and standard errors above 0"):
        observed(dose, [0.1, 0.2], sd)


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueRangeError, match="one value each in every column"):
        Observed(np.ones(3), np.ones(2), None, np.zeros(3, dtype=int))
