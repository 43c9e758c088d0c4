"""`gsm2_mc` where the dose comes in time."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.conditions import ACUTE, Conditions
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import kappa
from surrogate3d.physics.linear_quadratic import lea_catcheside
from surrogate3d.physics.oxygen import OER
from surrogate3d.physics.stopping_power import stopping_power

HSG = cell_line("HSG").gsm2
NO_TARGET = 1e-9
INSTANT = Conditions(None, (0.0,), (0.0,), (1.0,))
THREE = Gsm2MonteCarlo(doses=(1.0, 2.0, 3.0), max_nuclei=1000)


def over(hours):
    return Conditions(None, (0.0,), (hours,), (1.0,))


def answer(task, conditions, backend=THREE, seed=1, target_se=NO_TARGET):
    (found,) = backend.simulate([replace(task, conditions=conditions)], seed, target_se)
    return found


@pytest.mark.parametrize(("Z", "energy"), [(1, 10.0), (6, 30.0)])
def test_an_instant_is_acute_delivery(Z, energy, mono):
    backend = Gsm2MonteCarlo(max_nuclei=512)
    acute, instant = (answer(mono(Z, energy), conditions, backend) for conditions in (ACUTE, INSTANT))
    differences = np.abs(np.subtract(acute.survival, instant.survival))
    assert (differences < 4 * np.hypot(acute.survival_se, instant.survival_se)).all()
    for name in ("alpha", "beta", "D10", "RBE10", "RBE_ref"):
        error = np.hypot(getattr(acute, f"{name}_se"), getattr(instant, f"{name}_se"))
        assert abs(getattr(acute, name) - getattr(instant, name)) < 4 * error
    assert instant.backend == "gsm2_mc/2 (in time)"


def test_halves_far_apart_multiply(mono):
    backend = Gsm2MonteCarlo(doses=(1.0, 2.0, 4.0), max_nuclei=8000)
    halves = Conditions(None, (0.0, 100.0), (0.0, 0.0), (0.5, 0.5))
    acute, split = (answer(mono(6, 30.0), conditions, backend) for conditions in (ACUTE, halves))
    for whole, half in ((1, 0), (2, 1)):
        error = np.hypot(split.effect_se[whole], 2 * acute.effect_se[half])
        assert abs(split.effect[whole] - 2 * acute.effect[half]) < 4 * error


@pytest.mark.parametrize("hours", [0.25, 1.0, 4.0])
def test_fast_protons_follow_lea_and_catcheside(hours, mono):
    """alpha and beta of few lesions per domain (Cordoni et al. 2021), mu = r + a; GSM2 bends below it by 0.4 %."""
    mu = HSG.r + HSG.a
    k = float(kappa(HSG, 1, stopping_power(1, 250.0)))
    alpha = k * (HSG.a / mu + HSG.lambda_ratio)
    beta = k**2 * HSG.b * HSG.r**2 / (2 * HSG.N * mu**2 * (mu + HSG.b))
    found = answer(mono(1, 250.0), over(hours), replace(THREE, max_nuclei=256))
    expected = np.array([alpha * D + float(lea_catcheside(mu, hours)) * beta * D * D for D in found.doses])
    assert (np.abs(found.effect - expected) < 4 * np.array(found.effect_se) + 0.006 * expected).all()


def test_infinitely_slow_delivery_has_no_beta(mono):
    for task in (mono(1, 2.0), mono(6, 30.0)):
        found = answer(task, over(1e4), replace(THREE, max_nuclei=4000))
        assert found.beta <= 4 * found.beta_se
        assert abs(found.effect[1] - 2 * found.effect[0]) < 4 * np.hypot(found.effect_se[1], 2 * found.effect_se[0])


def test_beta_falls_with_time_and_alpha_stays(mono):
    rows = [answer(mono(1, 10.0), over(hours)) for hours in (0.0, 0.5, 3.0)]
    assert rows[0].beta > rows[1].beta > rows[2].beta
    for row in rows[1:]:
        assert abs(row.alpha - rows[0].alpha) < 4 * np.hypot(row.alpha_se, rows[0].alpha_se)


def test_stated_errors_cover_the_spread_over_seeds(mono):
    backend = replace(THREE, max_nuclei=256)
    answers = [answer(mono(6, 30.0), over(0.5), backend, seed) for seed in range(30)]
    for name in ("alpha", "D10", "RBE_ref"):
        spread = np.std([getattr(a, name) for a in answers], ddof=1)
        stated = np.sqrt(np.mean([getattr(a, f"{name}_se") ** 2 for a in answers]))
        assert stated == pytest.approx(spread, rel=0.4)


def test_target_is_reached_and_asks_no_more(mono):
    found = answer(mono(6, 30.0), over(0.5), replace(THREE, max_nuclei=50_000), target_se=0.03)
    assert found.survival_se[1] / found.survival[1] == pytest.approx(0.03, rel=0.7)
    assert found.n_nuclei < 5000


def test_cell_lines_do_not_know_of_each_other(mixed):
    backend = Gsm2MonteCarlo(doses=(1.0, 2.0))
    task = replace(mixed(), conditions=over(0.5), cell_lines=("V79", "HSG"))
    together = backend.simulate([task], 1, 0.02)
    alone = [backend.simulate([replace(task, cell_lines=(name,))], 1, 0.02)[0] for name in ("V79", "HSG")]
    assert together == alone


def test_oxygen_and_time_go_together(mono):
    # without oxygen fast protons act as so much less dose, in whatever time
    factor = float(OER(0.4, 160.0) / OER(0.4, 0.0))
    both = replace(over(0.5), pO2_mmHg=0.0)
    anoxic = answer(mono(1, 250.0), both, replace(THREE, max_nuclei=256))
    less = answer(
        mono(1, 250.0), over(0.5), replace(THREE, max_nuclei=256, doses=tuple(factor * d for d in THREE.doses))
    )
    error = np.hypot(anoxic.effect_se, less.effect_se)
    assert (np.abs(np.subtract(anoxic.effect, less.effect)) < 4 * error).all()
    assert anoxic.backend == "gsm2_mc/2 (oxygen, in time)"


def test_sizes_and_time_go_together(mono):
    backend = replace(THREE, nucleus_spread=0.2, max_nuclei=1024)
    acute, instant = (answer(mono(6, 30.0), conditions, backend) for conditions in (ACUTE, INSTANT))
    error = np.hypot(acute.survival_se, instant.survival_se)
    assert (np.abs(np.subtract(acute.survival, instant.survival)) < 4 * error).all()
    assert instant.backend == "gsm2_mc/2 (nucleus spread 0.2) (in time)"


THREADS = """
import numba, numpy as np
from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import SpectrumAxes
axes = SpectrumAxes.logarithmic(("H", "C"), n_bins=8, low_mev_u=2.0)
conditions = Conditions(2.0, (0.0, 1.0), (0.5, 0.0), (0.5, 0.5))
task = VoxelTask(np.ones((2, 8)), axes, 1.0, ("HSG",), conditions=conditions)
for n in (1, 2):
    numba.set_num_threads(n)
    print(Gsm2MonteCarlo(max_nuclei=64).simulate([task], 1, 1e-9)[0])
"""


def test_one_and_two_threads_give_the_same_bits():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True)
    one, two = done.stdout.splitlines()
    assert one == two
