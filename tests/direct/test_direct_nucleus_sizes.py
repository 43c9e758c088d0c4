import numpy as np
import pytest
from scipy.stats import lognorm

from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.nucleus_sizes import NucleusSizes, averaged, log_normal, resized, survival_over_sizes
from surrogate3d.errors import ValueRangeError
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


def test_refusals(mono):
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
