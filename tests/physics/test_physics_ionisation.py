"""Cross-sections of liquid water for ions and electrons, against stopping powers and closed forms."""

import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics import ionisation, nano_electrons
from surrogate3d.physics.ionisation import (
    BINDING_LIQUID_EV,
    BOHR_NM,
    EXCITATION_EV,
    MOLECULES_NM3,
    RYDBERG_EV,
    SHELLS,
    charge_factor,
    ejection_cross_section,
    ion_rates,
)
from surrogate3d.physics.nano_electrons import (
    KINETIC_EV,
    ejected_share,
    elastic_rates,
    electron_excitation,
    electron_tables,
    ionisation_cross_section,
)
from surrogate3d.physics.stopping_power import stopping_power

# Geant4-DNA 11.0, option 6 (CPA100), stopping power of electrons in liquid water, eV/nm, by energy in eV: published
# regression results of the Geant4-DNA collaboration (dna-val, test "spower", electron).
GEANT4_OPTION6 = {50: 19.9776, 100: 26.1034, 200: 24.9483, 500: 17.5936, 1000: 11.8563, 5000: 3.90274, 10000: 2.31357}


def losses(Z, energies):
    rates = [ion_rates(Z, e) for e in energies]
    return np.array([r.ionisation_loss + r.excitation_loss for r in rates]) / stopping_power(Z, np.array(energies))


def test_the_energy_that_protons_lose_is_their_stopping_power():
    energies = [0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
    assert np.abs(losses(1, energies) - 1).max() < 0.07
    assert -0.15 < losses(1, [0.1])[0] - 1 < -0.10  # energy lost to the capture of electrons is not in the model


@pytest.mark.parametrize("Z", [2, 3, 4, 5, 6, 7, 8])
def test_the_energy_that_ions_lose_is_their_stopping_power(Z):
    assert np.abs(losses(Z, [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 300.0]) - 1).max() < 0.10


def test_fast_ions_ionise_with_the_square_of_their_charge():
    assert charge_factor(1, 0.1) == 1.0
    assert charge_factor(6, 300.0) == pytest.approx(36.0, rel=1e-3)
    assert ion_rates(6, 300.0).ionisations.sum() == pytest.approx(
        36.0 * ion_rates(1, 300.0).ionisations.sum(), rel=1e-3
    )
    assert charge_factor(8, 0.1) < 0.5 * 64


def test_fast_electrons_are_ejected_as_by_rutherford():
    # 4 pi a0^2 R^2 / (m v^2 / 2) per free electron and W^2, the limit of the form for binding << W << its cut-off
    W, energy = 3000.0, 100.0
    beta2 = 1.0 - 1.0 / (1.0 + energy / 931.494) ** 2
    per_electron = 4 * np.pi * BOHR_NM**2 * RYDBERG_EV**2 / (0.5 * 510998.95 * beta2) / W**2
    shells = [ejection_cross_section(energy, W, j) for j in range(4)]
    assert sum(shells) == pytest.approx(8 * per_electron, rel=0.1)


def test_no_electron_is_ejected_beyond_the_cut_off():
    top = ionisation.largest_transfer_ev(1.0)
    assert top == pytest.approx(4 * 0.510999 / 931.494 * 1e6, rel=2e-3)  # 4 m / M of the energy, when slow
    assert ejection_cross_section(1.0, 1.5 * top, 0) < 1e-3 * ejection_cross_section(1.0, 0.5 * top, 0)


def test_an_energy_that_is_not_positive_is_refused():
    for energy in (0.0, -1.0, np.nan):
        with pytest.raises(ValueRangeError, match="positive"):
            ion_rates(1, energy)


def test_slow_electrons_follow_the_binary_encounter_bethe_form():
    for shell in range(len(SHELLS) - 1):
        B, U = BINDING_LIQUID_EV[shell], KINETIC_EV[shell]
        T = np.array([3.0 * B, 10.0 * B])
        t = T / B
        S = 8 * np.pi * BOHR_NM**2 * (RYDBERG_EV / B) ** 2
        form = 0.5 * np.log(t) * (1 - 1 / t**2) + 1 - 1 / t - np.log(t) / (t + 1)
        expected = S / (t + U / B + 1) * form
        assert ionisation_cross_section(T, shell) == pytest.approx(expected, rel=5e-3)
    assert ionisation_cross_section(10.0, 0) == 0.0


def test_the_spectrum_of_ejected_electrons_integrates_to_one():
    # the differential form of Kim and Rudd, by quadrature, against its closed integral
    T, B = 500.0, BINDING_LIQUID_EV[1]
    t = T / B
    W = np.linspace(0.0, 0.5 * (T - B), 200_001)
    w = W / B
    form = -(1 / (w + 1) + 1 / (t - w)) / (t + 1) + 1 / (w + 1) ** 2 + 1 / (t - w) ** 2
    form += np.log(t) * (1 / (w + 1) ** 3 + 1 / (t - w) ** 3)
    quadrature = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(W) * (form[1:] + form[:-1]))])
    total = 0.5 * np.log(t) * (1 - 1 / t**2) + 1 - 1 / t - np.log(t) / (t + 1)
    assert quadrature[-1] / B == pytest.approx(total, rel=1e-6)
    assert ejected_share(T, W[::1000], 1) == pytest.approx(quadrature[::1000] / quadrature[-1], abs=1e-6)


@pytest.mark.parametrize("T", GEANT4_OPTION6)
def test_the_energy_that_electrons_lose_is_that_of_geant4_dna_option_6(T):
    lost = MOLECULES_NM3 * float(electron_excitation(T) @ EXCITATION_EV)
    for shell, B in enumerate(BINDING_LIQUID_EV):
        if B < T:
            W = np.concatenate([[0.0], np.geomspace(1e-3, 0.5 * (T - B), 2000)])
            mean = np.trapezoid(1.0 - ejected_share(T, W, shell), W)
            lost += MOLECULES_NM3 * float(ionisation_cross_section(T, shell)) * (mean + B)
    assert lost == pytest.approx(GEANT4_OPTION6[T], rel=0.035)


def test_the_tables_of_electrons_are_what_the_forms_give():
    tables = electron_tables()
    n = 100
    T = tables.energy_ev[n]
    assert tables.ionisation[n] == pytest.approx(
        MOLECULES_NM3 * sum(float(ionisation_cross_section(T, j)) for j in range(len(SHELLS)))
    )
    assert tables.elastic[n] == pytest.approx(float(elastic_rates(T)[0]))
    assert (np.diff(tables.ejected, axis=2) >= 0).all()
    assert tables.shell[n, -1] == pytest.approx(1.0)
    levels = nano_electrons.quantile_levels()
    B = BINDING_LIQUID_EV[0]
    W = B * np.expm1(tables.ejected[0, n] * np.log1p(0.5 * (T - B) / B))
    assert ejected_share(T, W, 0) == pytest.approx(levels, abs=1e-4)
