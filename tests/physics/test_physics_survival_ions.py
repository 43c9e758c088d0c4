import csv
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.lem import LemParameters, lem1
from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.mkm import MkmParameters, mkm, saturation_z0
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.physics.survival_fit import Observed
from surrogate3d.physics.survival_ions import IonCurves, Quality, fit_lem, fit_mkm, fit_smk, quality

PUBLISHED = Path(__file__).parents[1] / "fixtures" / "literature" / "inaniwa_2018_survival.csv"
CARBON = tuple(quality(6, energy, None) for energy in (270.0, 100.0, 30.0, 12.0))
DOSE, WHICH = np.tile([1.0, 2.0, 3.0, 4.0], 4), np.repeat(np.arange(4), 4)


def curves(effect, sd=None, qualities=CARBON):
    errors = None if sd is None else np.full(DOSE.shape, sd)
    return IonCurves(Observed(DOSE, -effect, errors, np.zeros(16, dtype=int)), qualities, WHICH)


def linear_quadratic(alpha, beta):
    return alpha[WHICH] * DOSE + np.broadcast_to(beta, alpha.shape)[WHICH] * DOSE**2


def mkm_effect(alpha0, beta0, r_d, R_n):
    parameters = MkmParameters(alpha0, beta0, r_d, R_n, saturation_z0(r_d, R_n, beta0), "")
    energies = np.array([each.energy_mev_u for each in CARBON])
    return linear_quadratic(*mkm(site_moments(r_d, 6, energies, parameters.z0).z_star, parameters))


def test_data_made_with_the_mkm_return_its_parameters():
    fit = fit_mkm(curves(mkm_effect(0.172, 0.0615, 0.32, 3.9)), 0.0615, 3.9)
    assert fit.parameters["alpha0"].value == pytest.approx(0.172, rel=1e-4)
    assert fit.parameters["r_d"].value == pytest.approx(0.32, rel=1e-4)
    assert fit.undetermined == ""


def test_an_interval_ends_where_the_best_of_the_rest_is_3_84_worse():
    noise = 0.1 * np.random.default_rng(4).normal(size=16)
    effect = mkm_effect(0.172, 0.0615, 0.32, 3.9) + noise
    fit = fit_mkm(curves(effect, 0.1), 0.0615, 3.9)
    assert fit.goodness.scale == 1.0
    for r_d in (fit.parameters["r_d"].low, fit.parameters["r_d"].high):
        rest = effect - mkm_effect(0.0, 0.0615, r_d, 3.9)  # alpha0 D is what is left; its least squares by hand
        alpha0 = float(rest @ DOSE / (DOSE @ DOSE))
        squares = float(np.sum(((rest - alpha0 * DOSE) / 0.1) ** 2))
        assert squares - fit.goodness.chi2 == pytest.approx(3.8415, rel=1e-3)


def test_data_made_with_lem_return_its_threshold():
    energies = np.array([each.energy_mev_u for each in CARBON])
    effect = linear_quadratic(*lem1(6, energies, LemParameters(0.1, 0.05, 30.0, 5.0, "")))
    fit = fit_lem(curves(effect), 0.1, 0.05, 5.0)
    assert fit.parameters["D_t"].value == pytest.approx(30.0, rel=1e-5)


@pytest.mark.parametrize(
    ("line", "beta0", "published"),
    [("HSG", 0.0568, (0.174, 0.28, 66.0)), ("V79", 0.0210, (0.103, 0.23, 122.0))],
)
def test_the_published_curves_of_the_smk_return_its_published_parameters(line, beta0, published):
    # Inaniwa and Kanematsu 2018, digitised: helium and carbon; R_n is 8.1 um in both sets
    with PUBLISHED.open() as stream:
        rows = [row for row in csv.DictReader(text for text in stream if text[0] != "#") if row["cell_line"] == line]
    rows = [row for row in rows if int(row["Z"]) <= 8]
    kinds = list(dict.fromkeys((int(row["Z"]), float(row["LET_keV_um"])) for row in rows))
    dose, survival = (np.array([float(row[name]) for row in rows]) for name in ("dose_Gy", "survival"))
    which = np.array([kinds.index((int(row["Z"]), float(row["LET_keV_um"]))) for row in rows])
    points = Observed(dose, np.log(survival), None, np.zeros(len(rows), dtype=int))
    fit = fit_smk(IonCurves(points, tuple(quality(Z, None, LET) for Z, LET in kinds), which), beta0, 8.1)
    found = tuple(fit.parameters[name].value for name in ("alpha0", "r_d", "z0"))
    assert found == pytest.approx(published, rel=0.01)
    assert fit.goodness.common_sd < 0.025 * np.log(10)  # how well the model's own curves were digitised


def test_an_let_alone_is_that_of_the_faster_ion():
    for Z, energy in ((1, 30.0), (2, 10.0), (6, 12.0)):
        found = quality(Z, None, float(stopping_power(Z, energy)))
        assert found.energy_mev_u == pytest.approx(energy, rel=1e-3)
    assert pytest.approx(float(stopping_power(6, 100.0))) == quality(6, 100.0, None).LET
    assert quality(6, 100.0, 30.0) == Quality(6, 100.0, 30.0)  # both as stated


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((6, None, 5000.0), "no ion of Z = 6 has 5000 keV/um"),
        ((1, None, 0.01), "no ion of Z = 1 has 0.01 keV/um"),
        ((6, 400.0, 26.0), "has 10.9 keV/um, but 26 is stated; is the energy per nucleon"),
        ((6, None, None), "need an energy or an LET"),
        ((6, 0.05, None), r"ions need 0\.1 MeV/u or more, found 0\.05"),
    ],
)
def test_a_quality_that_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueRangeError, match=words):
        quality(*arguments)


def test_data_that_do_not_determine_a_parameter_say_so():
    # effects of photons at every energy: no domain is large enough
    fit = fit_mkm(curves(0.3 * DOSE + 0.06 * DOSE**2, 0.1), 0.06, 3.9)
    assert (
        "the data do not determine r_d: its interval reaches the end of the range searched, 0.1 to 1"
        in fit.undetermined
    )
    flat = fit_lem(curves(0.1 * DOSE + 0.05 * DOSE**2, 0.1), 0.1, 0.05, 5.0)
    assert (
        "the data do not determine D_t: its interval reaches the end of the range searched, 4 to 100"
        in flat.undetermined
    )


@pytest.mark.parametrize(
    ("fit", "least"),
    [
        (lambda c: fit_mkm(c, 0.06, 3.9), "MKM needs ions of 2 or more"),
        (lambda c: fit_smk(c, 0.06, 8.1), "SMK needs ions of 3 or more"),
        (lambda c: fit_lem(c, 0.3, 0.06, 5.0), "LEM I needs ions of 2 or more"),
    ],
)
def test_too_few_qualities_are_refused(fit, least):
    with pytest.raises(ValueRangeError, match=f"{least} energies or LETs, found 1"):
        fit(curves(DOSE, qualities=CARBON[:1]))


def test_a_model_without_beta_or_with_a_nucleus_like_a_domain_is_refused():
    with pytest.raises(ValueRangeError, match="MKM needs beta_x above 0"):
        fit_mkm(curves(DOSE), 0.0, 3.9)
    with pytest.raises(ValueRangeError, match=r"MKM needs a nucleus of more than 1 um radius, found 0\.9 um"):
        fit_mkm(curves(DOSE), 0.06, 0.9)
