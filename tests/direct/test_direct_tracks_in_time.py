import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.gillespie import photon_effect_in_time
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.tracks_in_time import survival_in_time
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics import gsm2
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import lesion_yield
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.oxygen import relative_yield
from surrogate3d.physics.protraction import exposures
from surrogate3d.physics.stopping_power import stopping_power

HSG = cell_line("HSG").gsm2
ACUTE = exposures(0.0, 0.0)


@pytest.mark.parametrize(("Z", "energy", "dose"), [(1, 2.0, 2.0), (6, 10.0, 1.0), (6, 100.0, 2.0)])
def test_acute_delivery_has_the_survival_of_the_acute_simulation(Z, energy, dose, mono):
    task = mono(Z, energy)
    (acute,) = Gsm2MonteCarlo(doses=(dose, 2 * dose), max_nuclei=20_000).simulate([task], 1, 1e-9)
    found = survival_in_time(task, [dose], ACUTE, HSG, 20_000, seed=1)
    assert abs(found.survival - acute.survival[0]) < 4 * np.hypot(found.se, acute.survival_se[0])


def test_a_mixed_field_keeps_its_survival_too(mixed):
    (acute,) = Gsm2MonteCarlo(doses=(1.0, 2.0), max_nuclei=20_000).simulate([mixed(1.0)], 1, 1e-9)
    found = survival_in_time(mixed(1.0), [2.0], ACUTE, HSG, 10_000, seed=1)
    assert abs(found.survival - acute.survival[1]) < 4 * np.hypot(found.se, acute.survival_se[1])


def test_fractions_far_apart_multiply(mono):
    task = mono(6, 30.0)
    once = survival_in_time(task, [1.0], ACUTE, HSG, 20_000, seed=2)
    twice = survival_in_time(task, [1.0, 1.0], exposures([0.0, 100.0], 0.0), HSG, 20_000, seed=3)
    assert abs(twice.survival - once.survival**2) < 4 * np.hypot(twice.se, 2 * once.survival * once.se)


def test_infinitely_slow_delivery_kills_track_by_track(mono):
    # no two tracks meet: -ln S is linear in dose, also where one track leaves many lesions
    task, slow = mono(6, 10.0), exposures(0.0, 1e4)
    one, two = (survival_in_time(task, [dose], slow, HSG, 10_000, seed=4) for dose in (0.5, 1.0))
    assert abs(two.survival - one.survival**2) < 4 * np.hypot(two.se, 2 * one.survival * one.se)


def test_slow_delivery_has_the_initial_slope_of_the_acute_curve(mono):
    task = mono(6, 10.0)
    slow = survival_in_time(task, [1.0], exposures(0.0, 1e4), HSG, 40_000, seed=11)
    small = survival_in_time(task, [0.02], ACUTE, HSG, 800_000, seed=12)
    slope, slope_se = -np.log(small.survival) / 0.02, small.se / small.survival / 0.02
    assert abs(-np.log(slow.survival) - slope) < 4 * np.hypot(slow.se / slow.survival, slope_se)


def test_without_oxygen_the_same_effect_needs_the_dose_times_oer(mono):
    task = mono(1, 100.0)
    LET = bin_LET(task.axes)
    yields = lesion_yield(1, LET) * relative_yield(LET, 0.0)
    factor = float(1 / relative_yield(LET, 0.0).item())
    when = exposures(0.0, 0.5)
    oxic = survival_in_time(task, [2.0], when, HSG, 2000, seed=13)
    anoxic = survival_in_time(task, [2.0 * factor], when, HSG, 2000, seed=14, yields=yields)
    assert abs(oxic.survival - anoxic.survival) < 4 * np.hypot(oxic.se, anoxic.se)


def test_fast_protons_act_like_photons_with_their_yield(mono):
    when = exposures(0.0, 1.0)
    kappa = float(gsm2.kappa(HSG, 1, stopping_power(1, 250.0)))
    photons, photons_se = photon_effect_in_time([4.0], when, replace(HSG, kappa_x=kappa), 1_000_000, seed=5)
    found = survival_in_time(mono(1, 250.0), [4.0], when, HSG, 1000, seed=5)
    assert abs(-np.log(found.survival) - photons) < 4 * np.hypot(found.se / found.survival, photons_se) + 0.01 * photons


def test_one_exposure_is_the_same_as_its_two_halves(mono):
    task = mono(6, 30.0)
    whole = survival_in_time(task, [2.0], exposures(0.0, 1.0), HSG, 10_000, seed=6)
    halves = survival_in_time(task, [1.0, 1.0], exposures([0.0, 0.5], 0.5), HSG, 10_000, seed=7)
    both = survival_in_time(task, [1.0, 1.0], exposures([0.0, 0.0], 1.0), HSG, 10_000, seed=8)
    for other in (halves, both):
        assert abs(whole.survival - other.survival) < 4 * np.hypot(whole.se, other.se)


def test_time_spares_cells(mono):
    task = mono(1, 10.0)
    effects = [
        -np.log(survival_in_time(task, [4.0], exposures(0.0, T), HSG, 4000, seed=9).survival) for T in (0.0, 0.5, 4.0)
    ]
    assert effects[0] > effects[1] > effects[2]


THREADS = """
import numba, numpy as np
from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.tracks_in_time import survival_in_time
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.protraction import exposures
task = VoxelTask(np.ones((2, 8)), SpectrumAxes.logarithmic(("H", "C"), n_bins=8, low_mev_u=2.0), 1.0, ("HSG",))
for n in (1, 2):
    numba.set_num_threads(n)
    print(survival_in_time(task, [1.0, 1.0], exposures([0.0, 1.0], [0.5, 0.0]), cell_line("HSG").gsm2, 500, 1))
"""


def test_one_and_two_threads_give_the_same_bits():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True)
    one, two = done.stdout.splitlines()
    assert one == two


def test_refusals(mono):
    with pytest.raises(ValueRangeError, match="for 1 exposures"):
        survival_in_time(mono(6, 30.0), [1.0, 1.0], ACUTE, HSG, 10, 1)
    with pytest.raises(ValueRangeError, match="doses >= 0"):
        survival_in_time(mono(6, 30.0), [-1.0], ACUTE, HSG, 10, 1)
    with pytest.raises(ValueRangeError, match="at least one nucleus"):
        survival_in_time(mono(6, 30.0), [1.0], ACUTE, HSG, 0, 1)
