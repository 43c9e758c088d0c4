import numpy as np
import pytest

from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import photon_effect
from surrogate3d.physics.let import LET_d


@pytest.mark.parametrize("softness", [-0.5, 0.0, 0.7])
def test_agrees_with_monte_carlo_at_moderate_LET(softness, mixed):
    task = mixed(softness)
    assert LET_d(task.axes, task.fluence[:, :, None, None, None]).item() < 50
    (fast,) = Gsm2Fft().simulate([task])
    (slow,) = Gsm2MonteCarlo().simulate([task], 1, 0.004)
    k = fast.doses.index(2.0)
    assert abs(fast.survival[k] / slow.survival[k] - 1) < 0.015 + 3 * slow.survival_se[k] / slow.survival[k]
    assert abs(fast.RBE_ref / slow.RBE_ref - 1) < 0.006 + 3 * slow.RBE_ref_se / slow.RBE_ref


@pytest.mark.parametrize("energy", [12.0, 5.0, 2.0])
def test_agrees_with_monte_carlo_beyond_the_overkill_peak(energy, mono):
    (fast,) = Gsm2Fft().simulate([mono(6, energy)])
    (slow,) = Gsm2MonteCarlo().simulate([mono(6, energy)], 1, 0.01)
    assert abs(fast.alpha / slow.alpha - 1) < 0.005 + 3 * slow.alpha_se / slow.alpha
    k = fast.doses.index(2.0)
    assert abs(fast.survival[k] / slow.survival[k] - 1) < 0.015 + 3 * slow.survival_se[k] / slow.survival[k]


def test_a_field_of_tiny_hits_is_a_uniform_dose(mono):
    # 500 MeV protons: nearly all variance is gone, and lesions per Gy are known; GSM2 for a uniform dose is closed form
    parameters = cell_line("HSG").gsm2
    (found,) = Gsm2Fft().simulate([mono(1, 500.0)])
    doses = (
        np.array(found.doses) * (6.8 + (0.1773 * 0.277) ** 0.9314) / 6.8
    )  # yield at 0.277 keV/um over that of photons
    assert np.array(found.effect) == pytest.approx(photon_effect(doses, parameters), rel=0.01)


def test_is_deterministic_and_says_so(mixed):
    a, b = (Gsm2Fft().simulate([mixed(lines=("HSG", "V79"))], seed) for seed in (1, 1))
    assert a == b
    assert all(r.n_nuclei == 0 and r.alpha_se == 0 and not any(r.survival_se) for r in a)
