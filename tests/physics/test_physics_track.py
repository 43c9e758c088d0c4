"""The amorphous track and the energy it leaves in a disc, against brute force and the sum rule."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.physics.track import (
    core_radius_um,
    effective_charge,
    impact_quadrature,
    penumbra_radius_um,
    radial_dose,
    specific_energy,
    track,
)

ENERGY = [0.05, 0.1, 0.3, 1, 3, 10, 30, 100, 200, 500]


def brute_force_specific_energy(b, R, Z, energy_mev_u, LET=None):
    """The definition: adaptive quadrature over r of D(r) r theta(r), in ln r, split wherever anything happens."""
    Rc, Rp = core_radius_um(energy_mev_u), penumbra_radius_um(energy_mev_u)

    def integrand(u):
        r = np.exp(u)
        # half-angle formula of the triangle (b, r, R); acos of the law of cosines loses digits far from a small disc
        near, far = (R - b + r) * (R + b - r), (b + r - R) * (b + r + R)
        theta = 4 * np.arctan2(np.sqrt(max(near, 0)), np.sqrt(max(far, 0)))
        return radial_dose(r, Z, energy_mev_u, LET) * r**2 * theta

    points = [p for p in (Rc, Rp, abs(R - b), R + b) if p <= Rp]
    limits = np.log(np.unique(np.maximum([1e-4 * Rc, *points], 1e-4 * Rc)))
    total = sum(
        quad(integrand, low + 1e-13, high - 1e-13, epsabs=1e-19, epsrel=1e-8, limit=400)[0]
        for low, high in pairwise(limits)
    )
    return total / (np.pi * R**2)


@pytest.mark.parametrize("R", [0.3, 0.9, 4.5, 8.1])
@pytest.mark.parametrize("Z", range(1, 9))
def test_all_impact_parameters_together_return_the_LET(Z, R):
    for energy in ENERGY:
        b, db = impact_quadrature(R, energy)
        m1 = np.sum(specific_energy(b, R, Z, energy) * 2 * np.pi * b * db)
        assert m1 == pytest.approx(K_GY * stopping_power(Z, energy), rel=1e-7)


@pytest.mark.parametrize(
    ("R", "Z", "energy"),
    [(0.3, 1, 100.0), (0.3, 6, 1.0), (0.9, 6, 5.0), (0.9, 2, 0.5), (8.1, 6, 10.0), (0.002, 1, 3.0), (0.0005, 6, 50.0)],
)
def test_specific_energy_is_the_integral_over_the_disc(R, Z, energy):
    # crossing, grazing within a core radius of the rim, missed, and cut by the rim of the penumbra
    Rc, Rp = core_radius_um(energy), penumbra_radius_um(energy)
    b = np.array([0.1 * R, 0.7 * R, R - 0.3 * Rc, R, R + 0.6 * Rc, 1.3 * R, abs(R - Rp) * 1.001, R + 0.9 * Rp])
    b = b[(b > 0) & (b < R + 0.999 * Rp)]

    expected = [brute_force_specific_energy(x, R, Z, energy) for x in b]

    assert specific_energy(b, R, Z, energy) == pytest.approx(expected, rel=2e-6)


def test_closed_form_through_the_centre():
    R, Z, energy = 0.9, 6, 100.0
    profile = track(Z, energy)
    dose_area = np.pi * profile.core_radius_um**2 * profile.core_dose
    dose_area += 2 * np.pi * profile.penumbra_constant * np.log(R / profile.core_radius_um)

    assert specific_energy(0.0, R, Z, energy) == pytest.approx(dose_area / (np.pi * R**2), rel=1e-12)


def test_specific_energy_keeps_the_shape_falls_with_distance_and_ends():
    b = np.linspace(0, 5, 1001)
    z = specific_energy(b, 0.9, 2, 5.0)

    assert specific_energy(b.reshape(7, 11, 13), 0.9, 2, 5.0).shape == (7, 11, 13)
    assert np.ndim(specific_energy(0.3, 0.9, 2, 5.0)) == 0
    assert (np.diff(z[b > 0.92]) <= 0).all()
    assert (z[b > 0.9 + penumbra_radius_um(5.0)] == 0).all()
    assert (z[b < 0.9 + 0.99 * penumbra_radius_um(5.0)] > 0).all()


def test_radial_dose_integrates_to_the_LET():
    profile = track(6, 20.0)
    shells = np.geomspace(profile.core_radius_um, profile.penumbra_radius_um, 20001)
    penumbra = np.trapezoid(radial_dose(shells[1:], 6, 20.0) * 2 * np.pi * shells[1:], shells[1:])
    core = np.pi * profile.core_radius_um**2 * radial_dose(0.0, 6, 20.0)

    assert core + penumbra == pytest.approx(K_GY * stopping_power(6, 20.0), rel=1e-3)
    assert radial_dose(1.001 * profile.penumbra_radius_um, 6, 20.0) == 0


def test_too_small_an_LET_rescales_the_penumbra_and_is_kept():
    LET = 0.2 * stopping_power(6, 100.0)
    profile = track(6, 100.0, LET)
    b, db = impact_quadrature(0.9, 100.0)

    assert profile.core_dose > 0
    assert profile.core_dose == pytest.approx(profile.penumbra_constant / profile.core_radius_um**2)
    assert np.sum(specific_energy(b, 0.9, 6, 100.0, LET) * 2 * np.pi * b * db) == pytest.approx(K_GY * LET, rel=1e-7)


@pytest.mark.parametrize(  # table 5.1 of the prototype's comparison with pymkm 1.0.0 (radii rounded there)
    ("energy", "Rc_nm", "Rp_um"), [(0.5, 0.38, 0.019), (10, 1.69, 3.09), (100, 4.98, 155), (400, 8.29, 1630)]
)
def test_radii(energy, Rc_nm, Rp_um):
    assert 1000 * core_radius_um(energy) == pytest.approx(Rc_nm, abs=0.006)
    assert penumbra_radius_um(energy) == pytest.approx(Rp_um, rel=0.005)


def test_effective_charge_limits():
    assert effective_charge(6, 1000.0) == pytest.approx(6, rel=1e-6)  # bare when fast
    assert effective_charge(6, 1e-6) == pytest.approx(125 * 6 ** (1 / 3) * np.sqrt(2e-6 / 931.494), rel=0.01)


def test_track_functions_broadcast():
    profile = track(np.array([[1], [6]]), [1.0, 10.0, 100.0])

    assert all(entry.shape == (2, 3) for entry in profile)
    assert radial_dose(np.ones((4, 1, 1)), np.array([[1], [6]]), [1.0, 10.0, 100.0]).shape == (4, 2, 3)


def test_what_is_heavier_than_neon_needs_its_own_LET():
    assert specific_energy(0.0, 0.9, 10, 10.0) == pytest.approx(
        specific_energy(0.0, 0.9, 10, 10.0, LET=441.54), rel=0.02
    )
    assert specific_energy(0.0, 0.9, 14, 10.0, LET=800.0) > 0
    with pytest.raises(ValueRangeError, match="atomic number"):
        specific_energy(0.0, 0.9, 14, 10.0)


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueRangeError, match="positive energy"):
        track(1, 0.0)
    with pytest.raises(ValueRangeError, match="radius"):
        specific_energy(0.0, 0.0, 1, 10.0)
