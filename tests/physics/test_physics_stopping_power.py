"""Stopping power and range against MSTAR and PSTAR."""

import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.constants import AMU_MEV, K_GY
from surrogate3d.physics.stopping_power import csda_range_mm, stopping_power, velocity

ENERGY = np.array([0.5, 1, 2, 5, 10, 20, 50, 100, 200, 400])
MSTAR_KEV_UM = {  # MSTAR 3.12, liquid water, as shipped in pymkm 1.0.0
    1: [41.090, 25.930, 15.770, 7.861, 4.537, 2.590, 1.237, 0.725, 0.447, 0.302],
    2: [162.370, 103.381, 63.013, 31.436, 18.149, 10.361, 4.950, 2.900, 1.788, 1.210],
    6: [815.257, 658.663, 488.647, 277.981, 163.972, 93.800, 44.823, 26.261, 16.199, 10.957],
    9: [1366.970, 1174.190, 925.441, 578.047, 360.137, 210.347, 100.847, 59.087, 36.447, 24.654],
    10: [1614.140, 1409.900, 1119.440, 704.072, 441.540, 259.190, 124.492, 72.947, 44.997, 30.437],
}
MSTAR_AT_THE_LOWEST_ENERGY = {6: 668.210, 9: 911.882, 10: 972.735}  # keV/um at 0.1 MeV/u
STATED_MAXIMUM = {1: 0.0070, 2: 0.0078, 6: 0.031, 9: 0.052, 10: 0.0651}

PSTAR_MEV_CM2_G = {1: 260.6, 2: 158.5, 5: 79.06, 10: 45.64, 20: 26.05, 50: 12.44, 100: 7.286, 150: 5.443, 200: 4.491}
PSTAR_RANGE_G_CM2 = {70: 4.080, 100: 7.718, 150: 15.77, 200: 25.96, 250: 37.94}


@pytest.mark.parametrize("Z", list(MSTAR_KEV_UM))
def test_stopping_power_is_mstar_within_the_stated_accuracy_of_the_fit(Z):
    deviation = stopping_power(Z, ENERGY) / MSTAR_KEV_UM[Z] - 1

    assert np.abs(deviation).max() < STATED_MAXIMUM[Z]
    assert np.abs(deviation[ENERGY >= 1]).max() < 0.021
    assert np.sqrt(np.mean(deviation[ENERGY >= 1] ** 2)) < 0.0115


@pytest.mark.parametrize("Z", list(MSTAR_AT_THE_LOWEST_ENERGY))
def test_the_fit_is_worst_at_its_lower_end_and_no_worse_than_stated(Z):
    deviation = abs(stopping_power(Z, 0.1) / MSTAR_AT_THE_LOWEST_ENERGY[Z] - 1)

    assert 0.95 * STATED_MAXIMUM[Z] < deviation <= STATED_MAXIMUM[Z]


def test_proton_stopping_power_is_pstar_within_one_percent():
    energy, expected = np.array(list(PSTAR_MEV_CM2_G)), np.array(list(PSTAR_MEV_CM2_G.values()))

    assert np.abs(stopping_power(1, energy) / (0.1 * expected) - 1).max() < 0.01
    # Nearly all of that is the proton's mass of 1.00728 u, for which a spectrum per nucleon counts 1.
    assert np.abs(stopping_power(1, energy / 1.00728) / (0.1 * expected) - 1).max() < 0.001


def test_proton_range_is_pstar_within_one_percent():
    energy, expected = list(PSTAR_RANGE_G_CM2), np.array(list(PSTAR_RANGE_G_CM2.values()))

    assert np.abs(csda_range_mm(1, 1, energy) / (10 * expected) - 1).max() < 0.01


def test_range_is_the_integral_of_the_inverse_stopping_power():
    energy = np.concatenate([[0.0], np.geomspace(0.1, 400, 40001)])
    slow_twin = 12 * np.trapezoid(1 / stopping_power(6, energy), energy)

    assert csda_range_mm(6, 12, 400) == pytest.approx(slow_twin, rel=1e-6)
    assert csda_range_mm(6, 12, [200, 270, 400]) / 10 == pytest.approx([8.71, 14.47, 27.55], rel=1e-3)


def test_range_scales_with_mass_number_and_starts_at_zero():
    assert csda_range_mm(1, 2, 30.0) == pytest.approx(2 * csda_range_mm(1, 1, 30.0))
    assert csda_range_mm(1, 1, 0.0) == 0
    assert csda_range_mm(1, 1, 0.05) == pytest.approx(0.05 / stopping_power(1, 0.1))


def test_velocity_is_relativistic_kinematics():
    energy = np.array([1.0, 100.0, 1000.0])

    assert velocity(energy) == pytest.approx(np.sqrt(1 - (1 + energy / AMU_MEV) ** -2), rel=1e-12)
    assert velocity(1e-9) == pytest.approx(np.sqrt(2e-9 / AMU_MEV), rel=1e-9)  # slow limit, no cancellation


def test_below_the_fit_the_value_at_its_lower_end_is_used():
    assert (stopping_power([1, 6], 0.02) == stopping_power([1, 6], 0.1)).all()


def test_stopping_power_broadcasts_atomic_number_against_energy():
    table = stopping_power(np.arange(1, 11)[:, None], ENERGY)

    assert table.shape == (10, 10)
    assert table[5, 3] == stopping_power(6, 5.0)
    assert (np.diff(table, axis=0) > 0).all()
    assert csda_range_mm(np.arange(1, 11)[:, None], np.full((10, 1), 2), ENERGY).shape == (10, 10)


@pytest.mark.parametrize("Z", [0, 11, -1, 1.5])
def test_unknown_atomic_number_is_refused(Z):
    with pytest.raises(ValueRangeError, match="atomic number"):
        stopping_power([1, Z], 10.0)


@pytest.mark.parametrize("energy", [-1.0, np.nan, np.inf])
def test_impossible_energy_is_refused(energy):
    with pytest.raises(ValueRangeError, match="energy"):
        stopping_power(1, energy)
    with pytest.raises(ValueRangeError, match="energy"):
        csda_range_mm(1, 1, energy)


def test_dose_constant_is_the_elementary_charge():
    joule_per_kev, um2_per_m2, um_per_m, kg_per_m3 = 1.602176634e-16, 1e12, 1e6, 1e3

    assert pytest.approx(joule_per_kev * um_per_m * um2_per_m2 / kg_per_m3, rel=1e-12) == K_GY
