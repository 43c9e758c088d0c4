from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import lognorm

from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.nucleus_sizes import (
    NucleusSizes,
    averaged,
    log_normal,
    recalibrated,
    resized,
    survival_over_sizes,
)
from surrogate3d.direct.smkm_mc import SmkMonteCarlo
from surrogate3d.errors import UnsupportedError, ValueRangeError
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import lattice, photon_effect

HSG = cell_line("HSG").gsm2
DOSES = (1.0, 2.0, 4.0)


def photons(parameters):
    return np.exp(-photon_effect(np.array(DOSES), parameters))


def test_zero_width_is_the_single_nucleus_exactly(mono):
    sizes = log_normal(HSG.R_n, 0.0)
    np.testing.assert_array_equal(averaged(photons, HSG, sizes), photons(HSG))
    (single,) = Gsm2MonteCarlo(doses=DOSES, max_nuclei=256).simulate([mono(6, 30.0)], 3, 1e-9)
    survival, _ = survival_over_sizes(mono(6, 30.0), HSG, sizes, DOSES, 256, 3)
    assert tuple(survival.tolist()) == single.survival


def test_log_normal_keeps_its_mean_exactly_and_its_width_nearly():
    sizes = log_normal(5.0, 0.2, n=64)
    assert np.mean(sizes.radii_um) == pytest.approx(5.0, rel=1e-12)
    assert np.std(sizes.radii_um) == pytest.approx(1.0, rel=0.03)
    sigma = np.sqrt(np.log(1 + 0.2**2))
    median = 5.0 / np.sqrt(1 + 0.2**2)
    middles = lognorm.ppf((np.arange(64) + 0.5) / 64, sigma, scale=median)
    np.testing.assert_allclose(sizes.radii_um[1:-1], middles[1:-1], rtol=0.01)


def test_average_is_the_weighted_mean_of_survival():
    sizes = NucleusSizes((3.6, 5.4), (0.25, 0.75))
    expected = 0.25 * photons(resized(HSG, 3.6)) + 0.75 * photons(resized(HSG, 5.4))
    np.testing.assert_allclose(averaged(photons, HSG, sizes), expected, rtol=1e-14)


def test_a_resized_nucleus_has_the_domains_of_its_lattice_and_the_same_cell():
    large = resized(HSG, 6.4)
    assert large.n_lateral == len(lattice(HSG.r_d, 6.4))
    assert large.n_layers == 7
    assert (large.a, large.b, large.kappa_x, large.r_d) == (HSG.a, HSG.b, HSG.kappa_x, HSG.r_d)


def test_slope_at_low_dose_does_not_depend_on_the_size():
    # few lesions act alone: only their number in the whole nucleus counts
    effects = [photon_effect(1e-4, resized(HSG, R)) for R in (3.6, 4.5, 6.4)]
    np.testing.assert_allclose(effects, effects[0], rtol=1e-3)


def test_mean_over_sizes_converges_with_the_shares():
    fine = averaged(photons, HSG, log_normal(HSG.R_n, 0.15, n=400))
    coarse = averaged(photons, HSG, log_normal(HSG.R_n, 0.15, n=16))
    np.testing.assert_allclose(coarse, fine, rtol=0.05)


def test_simulated_average_agrees_with_its_parts(mono):
    sizes = NucleusSizes((3.6, 5.4), (0.5, 0.5))
    survival, se = survival_over_sizes(mono(6, 30.0), HSG, sizes, DOSES, 8000, 1)
    parts = [
        survival_over_sizes(mono(6, 30.0), resized(HSG, R), NucleusSizes((R,), (1.0,)), DOSES, 8000, seed)
        for R, seed in ((3.6, 10), (5.4, 20))
    ]
    mean, mean_se = 0.5 * (parts[0][0] + parts[1][0]), 0.5 * np.hypot(parts[0][1], parts[1][1])
    assert (np.abs(survival - mean) < 4 * np.hypot(se, mean_se)).all()


def test_the_back_end_with_a_spread_is_the_average_over_its_sizes(mono):
    backend = Gsm2MonteCarlo(doses=DOSES, nucleus_spread=0.15, max_nuclei=1024)
    (found,) = backend.simulate([mono(6, 30.0)], 3, 1e-9)
    sizes = log_normal(HSG.R_n, 0.15)
    survival, se = survival_over_sizes(mono(6, 30.0), recalibrated(HSG, sizes), sizes, DOSES, 64, 3)
    np.testing.assert_allclose(found.survival, survival, rtol=1e-12)
    np.testing.assert_allclose(found.survival_se, se, rtol=0.6)  # the jackknife's error is itself known to 18 %
    assert (found.n_nuclei, found.backend) == (1024, "gsm2_mc/2 (nucleus spread 0.15)")


def test_a_spread_reaches_its_target_and_states_its_error(mono):
    backend = Gsm2MonteCarlo(doses=DOSES, nucleus_spread=0.15)
    (found,) = backend.simulate([mono(6, 30.0)], 1, 0.02)
    assert found.survival_se[1] / found.survival[1] == pytest.approx(0.02, rel=0.7)
    few = Gsm2MonteCarlo(doses=DOSES, nucleus_spread=0.15, max_nuclei=1024)
    answers = [few.simulate([mono(6, 30.0)], 100 * seed, 1e-9)[0] for seed in range(30)]
    for name in ("alpha", "D10"):
        spread = np.std([getattr(a, name) for a in answers], ddof=1)
        stated = np.sqrt(np.mean([getattr(a, f"{name}_se") ** 2 for a in answers]))
        assert stated == pytest.approx(spread, rel=0.4)


def test_cell_lines_share_the_sizes_without_knowing_of_each_other(mixed):
    backend = Gsm2MonteCarlo(doses=DOSES, nucleus_spread=0.1, max_nuclei=4096)
    together = backend.simulate([mixed(lines=("V79", "HSG"))], 1, 0.02)
    alone = [backend.simulate([mixed(lines=(name,))], 1, 0.02)[0] for name in ("V79", "HSG")]
    assert together == alone


@pytest.mark.parametrize("width", [0.05, 0.15, 0.3])
def test_a_population_has_the_photon_pair_of_its_cell_line(width):
    line, sizes = cell_line("HSG"), log_normal(HSG.R_n, width)
    D = np.array([0.01, 0.5, 1.0])
    again = recalibrated(HSG, sizes)
    survival = averaged(lambda cell: np.exp(-photon_effect(D, cell)), again, sizes)
    np.testing.assert_allclose(-np.log(survival), line.alpha_x * D + line.beta_x * D**2, rtol=0.01)
    assert (again.a, again.r, again.R_n) == (HSG.a, HSG.r, HSG.R_n)


def test_one_size_needs_no_calibration_and_some_have_none():
    assert recalibrated(HSG, log_normal(HSG.R_n, 0.0)).b == pytest.approx(HSG.b, rel=1e-12)
    with pytest.raises(ValueRangeError, match="no pair rate"):
        recalibrated(replace(HSG, b=1e6), NucleusSizes((9.0, 9.1), (0.5, 0.5)))


def test_refusals(mono):
    with pytest.raises(ValueRangeError, match="width >= 0"):
        Gsm2MonteCarlo(nucleus_spread=-0.1).simulate([mono(6, 30.0)], 1)
    with pytest.raises(ValueRangeError, match="r_d <= R_n"):
        Gsm2MonteCarlo(nucleus_spread=2.0).simulate([mono(6, 30.0)], 1)
    with pytest.raises(UnsupportedError, match="smkm_mc has one nucleus radius"):
        SmkMonteCarlo(nucleus_spread=0.1).simulate([mono(6, 30.0)], 1)
    with pytest.raises(ValueRangeError, match="add up to 1"):
        NucleusSizes((4.0, 5.0), (0.5, 0.4))
    with pytest.raises(ValueRangeError, match="positive radius"):
        NucleusSizes((4.0, -5.0), (0.5, 0.5))
    with pytest.raises(ValueRangeError, match="width >= 0"):
        log_normal(4.5, -0.1)
    with pytest.raises(ValueRangeError, match="r_d <= R_n"):
        resized(HSG, 0.5)
    with pytest.raises(ValueRangeError, match="multiple of 16"):
        survival_over_sizes(mono(6, 30.0), HSG, log_normal(4.5, 0.0), DOSES, 100, 1)
