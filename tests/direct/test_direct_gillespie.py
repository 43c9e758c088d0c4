import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.linalg import expm

from surrogate3d.direct.gillespie import domain_survival, photon_effect_in_time, repair_survival
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics import gsm2
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.protraction import exposures, protracted_effect, repair_rate_of

HSG = cell_line("HSG").gsm2
N = 200_000


def near(found, expected, sigma=4.0):
    return abs(found.survival - expected) < sigma * found.se


def generator(arrivals, p, size=80):
    """Rate matrix of the number of lesions in a living domain; what leaves its columns is lethal."""
    x = np.arange(size)
    M = np.diag(-(arrivals + x * (p.r + p.a) + p.b * x * (x - 1.0)))
    return M + np.diag((p.r * x)[1:], 1) + np.diag(np.full(size - 1, arrivals), -1)


def master_equation(lesions, start, duration, p):
    """Probability that a domain survives, from the master equation of its lesions: no random numbers."""
    state = np.zeros(80)
    state[0] = 1.0
    for m, begin, length, following in zip(lesions, start, duration, [*start[1:], None], strict=True):
        state = expm(generator(m / length, p) * length) @ state
        if following is not None:
            state = expm(generator(0.0, p) * (following - begin - length)) @ state
    return float(state @ gsm2.domain_survival(np.arange(80), p))


@pytest.mark.parametrize("x", [1, 2, 5, 10, 20])
def test_lesions_at_one_instant_are_repaired_as_in_closed_form(x):
    assert near(repair_survival(x, HSG, N, seed=1), gsm2.domain_survival(x, HSG))


@pytest.mark.parametrize("m", [0.1, 1.0, 4.0, 30.0])
def test_an_acute_dose_has_the_response_in_closed_form(m):
    found = domain_survival([m], exposures(0.0, 0.0), HSG, N, seed=2)
    assert near(found, np.exp(gsm2.log_response(m, HSG)))


@pytest.mark.parametrize(("m", "T"), [(3.0, 0.1), (3.0, 1.0), (8.0, 4.0)])
def test_a_constant_rate_agrees_with_the_master_equation(m, T):
    assert near(domain_survival([m], exposures(0.0, T), HSG, N, seed=3), master_equation([m], [0.0], [T], HSG))


def test_uneven_delivery_agrees_with_the_master_equation():
    lesions, start, duration = [3.0, 1.0, 5.0], [0.0, 0.4, 1.0], [0.2, 0.6, 0.1]
    found = domain_survival(lesions, exposures(start, duration), HSG, N, seed=4)
    assert near(found, master_equation(lesions, start, duration, HSG))


def test_overlapping_exposures_agree_with_the_master_equation_of_their_sum():
    found = domain_survival([2.0, 3.0], exposures([0.0, 0.5], [1.0, 1.5]), HSG, N, seed=5)
    assert near(found, master_equation([1.0, 2.0, 2.0], [0.0, 0.5, 1.0], [0.5, 0.5, 1.0], HSG))


def test_infinitely_slow_delivery_leaves_only_the_lesions_that_end_alone():
    m = 5.0
    found = domain_survival([m], exposures(0.0, 1e5), HSG, N, seed=6)
    assert near(found, np.exp(-m * HSG.a / (HSG.a + HSG.r)))


def test_slow_delivery_of_photons_has_no_quadratic_term():
    alpha = HSG.kappa_x * (HSG.a / (HSG.a + HSG.r) + HSG.lambda_ratio)
    for dose in (4.0, 16.0):
        effect, se = photon_effect_in_time([dose], exposures(0.0, 1e5), HSG, N, seed=7)
        assert abs(effect - alpha * dose) < 4 * se


def test_fractions_far_apart_multiply():
    found = domain_survival([2.0, 6.0], exposures([0.0, 100.0], 0.0), HSG, N, seed=8)
    assert near(found, np.exp(gsm2.log_response(2.0, HSG) + gsm2.log_response(6.0, HSG)))


def test_fractions_at_one_instant_add():
    found = domain_survival([2.0, 6.0], exposures([0.0, 0.0], 0.0), HSG, N, seed=9)
    assert near(found, np.exp(gsm2.log_response(8.0, HSG)))


def test_acute_photons_have_the_effect_in_closed_form():
    effect, se = photon_effect_in_time([6.0], exposures(0.0, 0.0), HSG, N, seed=10)
    assert abs(effect - gsm2.photon_effect(6.0, HSG)) < 4 * se


@pytest.mark.parametrize("T", [0.2, 1.0, 3.0])
def test_few_lesions_in_a_domain_follow_lea_and_catcheside(T):
    # the linear-quadratic limit of GSM2: at 3 Gy a domain of HSG has one lesion
    alpha = HSG.kappa_x * (HSG.a / (HSG.a + HSG.r) + HSG.lambda_ratio)
    b2 = HSG.b * HSG.r**2 / (2 * (HSG.a + HSG.r) ** 2 * (HSG.a + HSG.r + HSG.b))
    beta = HSG.kappa_x**2 * b2 / HSG.N
    when = exposures(0.0, T)
    effect, se = photon_effect_in_time([3.0], when, HSG, 4 * N, seed=11)
    expected = float(protracted_effect([3.0], when, alpha, beta, repair_rate_of(HSG)))
    assert abs(effect - expected) < 4 * se + 0.01 * expected


def test_another_seed_gives_another_but_compatible_result():
    a, b = (domain_survival([8.0], exposures(0.0, 0.5), HSG, N, seed) for seed in (1, 2))
    assert a.survivors != b.survivors
    assert abs(a.survival - b.survival) < 4 * np.hypot(a.se, b.se)


THREADS = """
import numba
from surrogate3d.direct.gillespie import _KEY, _survivors
import numpy as np
one = np.array([0.0, 1.0])
for n in (1, 2):
    numba.set_num_threads(n)
    alive = _survivors(20_000, 0, one, np.array([0.5, 0.0]), np.array([3.0, 2.0]), 0.2, 0.3, 2.5, np.uint64(1), _KEY)
    print(np.packbits(alive).tobytes().hex())
"""


def test_one_and_two_threads_give_the_same_bits():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True)
    one, two = done.stdout.splitlines()
    assert one == two
    assert len(set(one)) > 2


def test_standard_error_covers_the_spread_over_seeds():
    found = [domain_survival([4.0], exposures(0.0, 0.5), HSG, 2000, seed) for seed in range(200)]
    spread = np.std([f.survival for f in found], ddof=1)
    assert np.mean([f.se for f in found]) == pytest.approx(spread, rel=0.2)


def test_refusals():
    when = exposures([0.0, 1.0], 0.0)
    with pytest.raises(ValueRangeError, match="for 2 exposures"):
        domain_survival([1.0], when, HSG, 10, 1)
    with pytest.raises(ValueRangeError, match="lesions >= 0"):
        domain_survival([1.0, -1.0], when, HSG, 10, 1)
    with pytest.raises(ValueRangeError, match="at least one domain"):
        domain_survival([1.0, 1.0], when, HSG, 0, 1)
    with pytest.raises(ValueRangeError, match="seed >= 0"):
        repair_survival(1, HSG, 10, -1)
    with pytest.raises(ValueRangeError, match="0 or more lesions"):
        repair_survival(-1, HSG, 10, 1)
    with pytest.raises(ValueRangeError, match="none of 10 domains survived"):
        photon_effect_in_time([3000.0], exposures(0.0, 0.0), HSG, 10, 1)
