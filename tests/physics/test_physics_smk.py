import numpy as np
import pytest

from surrogate3d.physics import smk
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.stopping_power import stopping_power

HSG = cell_line("HSG").smk
V79 = cell_line("V79").smk


@pytest.mark.parametrize(
    ("Z", "energy_mev_u", "LET", "z_star", "z_nD", "a"),
    [
        (1, 100, 0.725, 0.2643, 0.00043, 0.1890),
        (1, 10, 4.537, 2.1442, 0.00344, 0.2958),
        (2, 50, 4.950, 1.9302, 0.00319, 0.2836),
        (6, 270, 13.5, 4.5147, 0.00727, 0.4304),
        (6, 50, 44.823, 16.563, 0.02890, 1.1148),
        (6, 12, 142.0, 35.560, 0.10677, 2.1938),
    ],
)
def test_smk_of_hsg_2018(Z: int, energy_mev_u: float, LET: float, z_star: float, z_nD: float, a: float) -> None:
    # an independent prototype with MSTAR stopping powers, whose LET is given here; ours is within 1.1 % of it
    assert HSG is not None
    found = smk.moments(Z, energy_mev_u, HSG, LET)
    assert found.z_star == pytest.approx(z_star, rel=0.005)
    assert found.z_nD == pytest.approx(z_nD, rel=0.005, abs=5e-6)
    assert smk.coefficients(found.z_star, found.z_D, HSG)[0] == pytest.approx(a, rel=0.005)
    assert smk.coefficients(z_star, z_star, HSG)[0] == pytest.approx(a, abs=1e-4)
    assert smk.moments(Z, energy_mev_u, HSG).z_star == pytest.approx(z_star, rel=0.015)
    assert stopping_power(Z, energy_mev_u) == pytest.approx(LET, rel=0.011)


@pytest.mark.parametrize(
    ("energy_mev_u", "LET", "b", "slope"), [(50, 44.823, 0.05359, None), (12, 142.0, 0.03079, 1.940)]
)
def test_smk_beta_and_initial_slope_of_carbon(energy_mev_u: float, LET: float, b: float, slope: float | None) -> None:
    assert HSG is not None
    found = smk.moments(6, energy_mev_u, HSG, LET)
    assert smk.coefficients(found.z_star, found.z_D, HSG)[1] == pytest.approx(b, rel=0.005)
    initial, tiny = smk.initial_slope(*found, HSG), 1e-6
    assert slope is None or initial == pytest.approx(slope, rel=0.005)
    assert -np.log(smk.survival(tiny, *found, HSG)) / tiny == pytest.approx(initial, rel=1e-4)


def test_the_truncated_series_of_carbon_is_the_published_one() -> None:
    # C 12 MeV/u, 142 keV/um, by the same prototype: S(2 Gy) 0.0172 and S(4 Gy) 2.1e-4
    assert HSG is not None
    found = smk.moments(6, 12.0, HSG, 142.0)
    assert smk.survival(2.0, *found, HSG) == pytest.approx(0.0172, rel=0.01)
    assert smk.survival(4.0, *found, HSG) == pytest.approx(2.1e-4, rel=0.02)


def test_smk_by_hand() -> None:
    # a = 0.174 + 0.0568 x 10 = 0.742, b = 0.0568 x 10 / 12.5 = 0.04544; at 2 Gy with z_nD 0.05:
    # (0.742 + 4 x 0.04544)^2 / 2 - b = 0.92376^2 / 2 - 0.04544 = 0.3812263, correction 1.03812263, exponent 1.66576
    assert HSG is not None
    a, b = smk.coefficients(10.0, 12.5, HSG)
    assert (float(a), float(b)) == pytest.approx((0.742, 0.04544), rel=1e-12)
    assert smk.nuclear_correction(2.0, 10.0, 12.5, 0.05, HSG) == pytest.approx(1.03812263, abs=1e-8)
    assert smk.survival(2.0, 10.0, 12.5, 0.05, HSG) == pytest.approx(1.03812263 * np.exp(-1.66576), rel=1e-7)
    assert smk.survival(2.0, 10.0, 12.5, 0.0, HSG) == pytest.approx(np.exp(-1.66576), rel=1e-12)
    assert smk.survival(0.0, 10.0, 12.5, 0.05, HSG) == 1.0


@pytest.mark.parametrize("parameters", [HSG, V79], ids=["HSG", "V79"])
def test_smk_at_low_LET_is_the_photon_response(parameters) -> None:  # type: ignore[no-untyped-def]
    found = smk.moments(1, 900.0, parameters)
    a, b = smk.coefficients(found.z_star, found.z_D, parameters)
    assert a == pytest.approx(parameters.alpha0, rel=0.03)
    assert b == pytest.approx(parameters.beta0, rel=1e-4)
