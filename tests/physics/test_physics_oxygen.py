from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import lesion_yield, photon_effect
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.oxygen import (
    AIR_MMHG,
    GSM2_EFFECT,
    MMHG_PER_PERCENT,
    OER,
    OSMK_2021,
    OxygenEffect,
    lesion_yields,
    osmk_coefficients,
    radioresistance,
    relative_yield,
)
from surrogate3d.physics.stopping_power import stopping_power

# Tinganelli et al., Sci. Rep. 2015;5:17016, CHO cells: O2 in per cent, LET in keV/um, OER at 10 % survival, its error.
TINGANELLI = np.array(
    [
        (0.5, 9.4, 1.62, 0.30),
        (0.5, 9.4, 1.50, 0.10),
        (2.0, 308, 1.07, 0.07),
        (0.5, 304, 1.08, 0.11),
        (2.0, 68.1, 1.20, 0.13),
        (2.0, 51.2, 1.12, 0.09),
        (2.0, 29.8, 1.18, 0.14),
        (0.5, 124, 1.16, 0.09),
        (0.5, 51.5, 1.40, 0.15),
        (0.5, 100, 1.29, 0.08),
        (0.15, 124, 1.34, 0.12),
        (0.15, 68, 1.64, 0.18),
        (0.15, 29.8, 1.90, 0.16),
    ]
).T


def as_published(LET, p, M0=3.4, b=3 / 3.4, a=8.27e5, g=3.0):
    return (b * (a * M0 + LET**g) / (a + LET**g) + p) / (b + p)


def test_oer_is_the_published_formula():
    LET, p = np.meshgrid(np.geomspace(0.1, 1000, 30), np.geomspace(0.01, 200, 30))
    np.testing.assert_allclose(OER(LET, p), as_published(LET, p), rtol=1e-13)
    other = OxygenEffect(M0=2.7, b_mmHg=1.9, a=1e6, gamma=2.5)
    np.testing.assert_allclose(OER(LET, p, other), as_published(LET, p, 2.7, 1.9, 1e6, 2.5), rtol=1e-13)


def test_limits_of_oer():
    assert OER(0.0, 0.0) == pytest.approx(3.4, rel=1e-14)
    assert OER(0.0, 0.88235294) == pytest.approx(2.2, rel=1e-8)  # midway between 3.4 and 1
    assert OER(2.0, np.inf) == 1.0
    assert OER(2.0, 1e7) == pytest.approx(1.0, abs=1e-6)
    assert OER(1e6, 0.0) == pytest.approx(1.0, abs=1e-11)
    assert OER(8.27e5 ** (1 / 3), 0.0) == pytest.approx(2.2, rel=1e-12)


def test_oer_falls_with_oxygen_and_with_let():
    LET, p = np.geomspace(0.1, 1000, 50)[:, None], np.geomspace(0.01, 200, 50)
    values = OER(LET, p)
    assert (np.diff(values, axis=0) < 0).all()
    assert (np.diff(values, axis=1) < 0).all()
    assert (values >= 1).all()


def test_without_let_a_cell_is_half_sensitised_at_3_mmhg():
    # Alper and Howard-Flanders: sensitivity (M p + K) / (p + K) over that without oxygen, K = 3 mmHg
    p = np.array([0.0, 0.5, 3.0, 20.0])
    np.testing.assert_allclose(OER(0.0, 0.0) / OER(0.0, p), (3.4 * p + 3) / (p + 3), rtol=1e-13)


def test_the_constants_of_gsm2_take_oxygen_in_per_cent():
    # calculate_OER of GSM2_Julia with its field O, "Oxygenation [%]"
    LET, percent = np.meshgrid(np.geomspace(0.1, 1000, 20), [0.1, 0.5, 1.3, 7.0, 21.0])
    expected = as_published(LET, percent, b=0.41)
    np.testing.assert_allclose(OER(LET, percent * MMHG_PER_PERCENT, GSM2_EFFECT), expected, rtol=1e-13)
    assert OER(2.0, 21 * MMHG_PER_PERCENT, GSM2_EFFECT) == pytest.approx((0.41 * 3.4 + 21) / 21.41, rel=1e-5)
    assert GSM2_EFFECT.b_mmHg == pytest.approx(3.116)
    assert GSM2_EFFECT.b_mmHg * GSM2_EFFECT.M0 == pytest.approx(10.6, abs=0.01)  # half sensitisation, mmHg


@pytest.mark.parametrize(("pO2_mmHg", "default", "coded"), [(2.5, 1.60, 2.23), (10.0, 1.18, 1.50)])
def test_the_two_sets_of_constants_differ_by_what_is_stated(pO2_mmHg, default, coded):
    assert 1 / relative_yield(0.2, pO2_mmHg) == pytest.approx(default, abs=0.01)
    assert 1 / relative_yield(0.2, pO2_mmHg, GSM2_EFFECT) == pytest.approx(coded, abs=0.01)


def chi_squared(b_mmHg, M0=3.4):
    percent, LET, measured, error = TINGANELLI
    found = OER(LET, percent * MMHG_PER_PERCENT, OxygenEffect(M0=M0, b_mmHg=b_mmHg))
    return np.sum(((found - measured) / error) ** 2)


def test_measured_points_between_no_and_full_oxygen_are_met_within_their_errors():
    assert chi_squared(3 / 3.4) < 13
    percent, LET, measured, error = TINGANELLI
    assert (np.abs(OER(LET, percent * MMHG_PER_PERCENT) - measured) < 2 * error).all()


def test_neither_reading_of_the_coded_constant_meets_the_measured_points_as_well():
    assert chi_squared(0.41) > 2 * 13
    assert chi_squared(GSM2_EFFECT.b_mmHg) > 8 * 13
    assert chi_squared(GSM2_EFFECT.b_mmHg, M0=2.2) < 4  # the points tell b only together with M0


def test_gamma_ray_values_of_wenzl_and_wilkens_have_3_mmhg():
    # Wenzl and Wilkens 2011, gamma rays: pO2 in mmHg and OER, relative to 30 mmHg, with their dose ratio of 2.85
    p, published = np.array([(0.5, 2.13), (1.0, 1.84), (2.5, 1.46), (5.0, 1.25), (20.0, 1.03)]).T
    effect = OxygenEffect(M0=2.85, b_mmHg=3 / 2.85)
    np.testing.assert_allclose(OER(0.2, p, effect) / OER(0.2, 30.0, effect), published, atol=0.01)


def test_lesion_yield_is_unchanged_in_air_and_divided_by_oer_without_oxygen():
    LET = np.array([0.2, 20.0, 200.0])
    np.testing.assert_array_equal(relative_yield(LET, AIR_MMHG), 1.0)
    np.testing.assert_allclose(relative_yield(LET, 0.0, reference_mmHg=np.inf), 1 / OER(LET, 0.0), rtol=1e-14)
    assert relative_yield(0.2, np.inf) == pytest.approx(1 + 2.4 / (1 + 160 * 3.4 / 3), rel=1e-6)


def test_fewer_lesions_are_the_same_as_less_dose():
    line, factor = cell_line("HSG").gsm2, float(relative_yield(0.2, 1.0))
    hypoxic = replace(line, kappa_x=line.kappa_x * factor)
    dose = np.array([1.0, 2.0, 5.0])
    np.testing.assert_allclose(photon_effect(dose / factor, hypoxic), photon_effect(dose, line), rtol=1e-12)


# Inaniwa et al. 2021: CHO cells, carbon ions, digitised curves: pO2 in mmHg, LET in keV/um, OER at 10 % survival
INANIWA = [
    (0.0, 13.23, 2.962),
    (0.0, 30.90, 2.722),
    (0.0, 50.11, 2.400),
    (0.0, 99.39, 1.750),
    (0.0, 193.9, 1.287),
    (1.14, 22.22, 1.953),
    (1.14, 54.71, 1.759),
    (1.14, 111.0, 1.415),
    (3.8, 26.58, 1.435),
    (3.8, 74.52, 1.314),
    (15.2, 28.39, 1.125),
    (15.2, 101.8, 1.078),
]


def d10(a, b, z_nD):
    """Dose in Gy for 10 % survival of the SMK with its nuclear correction, by bisection."""
    dose = np.linspace(0.5, 40, 400_001)
    log_s = -a * dose - b * dose**2 + np.log1p(dose * z_nD * ((a + 2 * b * dose) ** 2 / 2 - b))
    return dose[np.searchsorted(-log_s, np.log(10))]


@pytest.mark.parametrize(("p", "LET", "published"), INANIWA)
def test_osmk_follows_the_published_curves(p, LET, published):
    cho = OSMK_2021["CHO"]
    energy = np.geomspace(3, 300, 400)
    E = float(np.interp(-LET, -stopping_power(6, energy), energy))
    domain = site_moments(cho.r_d, 6, E, cho.z0)
    z_nD = float(site_moments(cho.R_n, 6, E).z_D)
    doses = [d10(*osmk_coefficients(domain.z_star, domain.z_D, q, cho), z_nD) for q in (p, AIR_MMHG)]
    assert doses[0] / doses[1] == pytest.approx(published, rel=0.015)


def test_osmk_is_the_smk_with_full_oxygen():
    for line in OSMK_2021.values():
        a, b = osmk_coefficients(12.0, 15.0, np.inf, line)
        assert a == pytest.approx(line.alpha_L + line.alpha_S + line.beta0 * 12.0, rel=1e-14)
        assert b == pytest.approx(line.beta0 * 12.0 / 15.0, rel=1e-14)


def test_radioresistance_has_its_limits():
    hsg = OSMK_2021["HSG"]
    assert radioresistance(0.0, 0.0, hsg) == pytest.approx(2.9, rel=1e-14)
    assert radioresistance(1e9, 0.0, hsg) == pytest.approx(1.0, abs=1e-6)
    assert radioresistance(hsg.z_R, 0.0, hsg) == pytest.approx((1 + 2.9) / 2, rel=1e-12)
    assert radioresistance(0.0, 3.0, hsg) == pytest.approx((3 + 3) / (3 + 3 / 2.9), rel=1e-12)
    assert (np.diff(radioresistance(5.0, np.geomspace(0.01, 200, 40), hsg)) < 0).all()


def test_lesion_yields_of_a_spectrum_are_those_of_its_ions_times_the_factor():
    axes = SpectrumAxes.logarithmic(("H", "C"), n_bins=6, low_mev_u=1.0)
    LET = bin_LET(axes)
    expected = [lesion_yield(Z, LET[row]) * OER(LET[row], 160.0) / OER(LET[row], 2.0) for row, Z in enumerate((1, 6))]
    np.testing.assert_allclose(lesion_yields(axes, 2.0), expected, rtol=1e-13)
    np.testing.assert_array_equal(lesion_yields(axes, AIR_MMHG)[1], lesion_yield(6, LET[1]))


def test_refusals():
    with pytest.raises(ValueRangeError, match="R_m >= 1"):
        replace(OSMK_2021["HSG"], R_m=0.5)
    with pytest.raises(ValueRangeError, match="the others positive"):
        replace(OSMK_2021["HSG"], z_R=0.0)
    with pytest.raises(ValueRangeError, match="oxygen pressure in mmHg"):
        OER(1.0, -0.1)
    with pytest.raises(ValueRangeError, match="LET in keV/um"):
        OER(np.array([1.0, np.nan]), 1.0)
    with pytest.raises(ValueRangeError, match="specific energy in Gy"):
        radioresistance(-1.0, 1.0, OSMK_2021["HSG"])
    with pytest.raises(ValueRangeError, match="M0 >= 1"):
        OxygenEffect(M0=0.9)
    with pytest.raises(ValueRangeError, match="positive b_mmHg"):
        OxygenEffect(b_mmHg=0.0)
