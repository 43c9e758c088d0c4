from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.direct.smkm_mc import SmkMonteCarlo
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import lattice
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.physics.track import specific_energy

NO_TARGET = 1e-9
P = cell_line("HSG").smk


def slow_twin(Z, energy, dose, n_nuclei, seed):
    """Survival of single nuclei by the book: no raster, no far field, no response table."""
    axes, source = lattice(P.r_d, P.R_n), P.R_n + P.r_d + 3.0
    rate = dose / (0.1602176634 * float(stopping_power(Z, energy))) * np.pi * source**2
    distances = np.linspace(0.0, 2 * source, 200_001)
    hit = specific_energy(distances, P.r_d, Z, energy)
    rng, survival = np.random.default_rng(seed), np.zeros(n_nuclei)
    for n in range(n_nuclei):
        r, angle = source * np.sqrt(rng.random(n_tracks := rng.poisson(rate))), 2 * np.pi * rng.random(n_tracks)
        b = np.hypot(*(np.stack([r * np.cos(angle), r * np.sin(angle)])[:, :, None] - axes.T[:, None, :]))
        z = np.interp(b, distances, hit).sum(axis=0)
        survival[n] = np.exp(-np.mean(P.alpha0 * z - P.beta0 * P.z0**2 * np.expm1(-((z / P.z0) ** 2))))
    return survival


@pytest.mark.parametrize(("energy", "dose"), [(12.0, 2.0), (4.0, 4.0)])
def test_kernel_agrees_with_its_slow_twin(energy, dose, mono):
    slow = slow_twin(6, energy, dose, 150, seed=5)
    (fast,) = SmkMonteCarlo(max_nuclei=20_000).simulate([mono(6, energy)], 1, NO_TARGET)
    k = fast.doses.index(dose)
    assert abs(slow.mean() - fast.survival[k]) < 4 * np.hypot(slow.std() / np.sqrt(slow.size), fast.survival_se[k])


def test_carbon_of_the_prototype(mono):
    # an independent prototype: C 12 MeV/u, S(2 Gy) 0.0219 +- 0.0007
    (found,) = SmkMonteCarlo(max_nuclei=20_000).simulate([mono(6, 12.0)], 1, NO_TARGET)
    k = found.doses.index(2.0)
    assert abs(found.survival[k] - 0.0219) < 3 * np.hypot(0.0007, found.survival_se[k])


@pytest.mark.parametrize(("Z", "energy"), [(1, 100.0), (1, 10.0), (6, 270.0)])
def test_the_closed_form_holds_at_low_LET(Z, energy, mono):
    (fast,), (slow,) = (BACKENDS[name].simulate([mono(Z, energy)], 1, 0.003) for name in ("smk", "smkm_mc"))
    k = fast.doses.index(2.0)
    assert fast.effect[k] == pytest.approx(slow.effect[k], rel=0.012)


def test_the_closed_form_is_within_a_twentieth_of_the_effect_where_it_is_not_flagged(mono):
    for energy in (100.0, 50.0, 30.0):
        (fast,), (slow,) = (BACKENDS[name].simulate([mono(6, energy)], 1, 0.005) for name in ("smk", "smkm_mc"))
        assert fast.outside == ""
        k = fast.doses.index(2.0)
        assert fast.effect[k] == pytest.approx(slow.effect[k], rel=0.05)
        assert pytest.approx(slow.D10, rel=0.035) == fast.D10


def test_it_is_seeded_and_states_its_error(mono):
    backend = SmkMonteCarlo(max_nuclei=512)
    one, same, other = (backend.simulate([mono(6, 30.0)], seed, NO_TARGET)[0] for seed in (1, 1, 2))
    assert one == same
    assert one.survival != other.survival
    assert one.n_nuclei == 512
    assert one.backend == "smkm_mc/2"
    assert all(se > 0 for se in one.survival_se)


def test_cell_lines_of_different_nuclei_are_answered_one_by_one(mono):
    backend = SmkMonteCarlo(max_nuclei=512)
    both = backend.simulate([mono(6, 30.0, ("HSG", "V79"))], 1, NO_TARGET)
    alone = [backend.simulate([mono(6, 30.0, (name,))], 1, NO_TARGET)[0] for name in ("HSG", "V79")]
    assert both == alone


def test_slow_ions_are_flagged(mono):
    (found,) = replace(SmkMonteCarlo(), max_nuclei=256).simulate([mono(6, 0.05)], 1, 0.1)
    assert "outside 0.1-1000 MeV/u" in found.outside
