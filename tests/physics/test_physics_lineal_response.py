"""Folding of counted lineal energies: exact sums, limits, and the models that use the same tracks without a counter."""

import numpy as np
import pytest
from scipy.stats import poisson

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import log_response, photon_effect
from surrogate3d.physics.lineal_response import (
    counter_gsm2,
    counter_mkm,
    event_rates,
    event_specific_energy,
    saturated_y,
)
from surrogate3d.physics.microdosimetry import single_event_spectrum, site_moments, y_star
from surrogate3d.physics.mkm import mkm

EDGES = 10.0 ** (-1 + np.arange(101) / 20)
MIDS = (EDGES[1:] + EDGES[:-1]) / 2
DOSES = np.array([0.5, 2.0, 6.0])


def test_specific_energy_is_that_of_icru_36():
    assert event_specific_energy(1.0, 0.5) == pytest.approx(0.204, rel=2e-3)  # z = 0.204 y / d^2, d = 1 um


def test_the_events_of_one_gray_bring_one_gray_whatever_the_fluence_is_counted_in():
    events = np.random.default_rng(1).uniform(size=(3, 100))
    rates = event_rates(MIDS, events, np.array([1.0, 0.2, 0.03]), 0.9)
    assert (rates @ event_specific_energy(MIDS, 0.9)).sum() == pytest.approx(1.0)
    assert event_rates(MIDS, events, np.array([50.0, 10.0, 1.5]), 0.9) == pytest.approx(rates)


def test_a_counter_without_events_is_refused():
    with pytest.raises(ValueRangeError, match="no event"):
        event_rates(MIDS, np.zeros((1, 100)), np.ones(1), 0.9)


def test_without_saturation_y_star_is_y_D():
    f = np.random.default_rng(2).uniform(size=100)
    assert saturated_y(MIDS, f, 1e9) == pytest.approx((f @ MIDS**2) / (f @ MIDS), rel=1e-6)


def test_events_far_above_saturation_count_as_one_each():
    y = np.array([5000.0])  # y* = y0^2 / y when every event saturates
    assert saturated_y(y, np.ones(1), 150.0) == pytest.approx(150.0**2 / 5000.0)


def test_y_star_of_a_track_is_that_of_its_own_histogram():
    spectrum = single_event_spectrum(0.32, 6, 8.0, edges_kev_um=EDGES)
    assert saturated_y(MIDS, spectrum.events, 98.3) == pytest.approx(y_star(spectrum, 98.3), rel=0.01)  # bins of 12 %


@pytest.mark.parametrize(("Z", "energy"), [(1, 2.0), (2, 5.0), (6, 20.0), (6, 5.0)])
def test_a_counter_of_the_domains_size_gives_the_alpha_of_the_mkm(Z, energy):
    parameters = cell_line("HSG").mkm
    spectrum = single_event_spectrum(parameters.r_d, Z, energy, edges_kev_um=EDGES)
    alpha, beta = counter_mkm(MIDS, spectrum.events, parameters)
    expected = mkm(site_moments(parameters.r_d, Z, energy, parameters.z0).z_star, parameters)
    counted = spectrum.events_y.sum() / (spectrum.events_y.sum() + spectrum.below_y)  # of the dose, 91 to 100 %
    # one energy in bins of 12 %
    assert (alpha - parameters.alpha0) * counted == pytest.approx(expected[0] - parameters.alpha0, rel=0.04)
    assert beta == expected[1]


def test_many_tiny_events_act_like_photons():
    parameters, z = cell_line("HSG").gsm2, np.array([1e-3])
    effects = counter_gsm2(z, np.array([6.8]), np.array([[[1e3]]]), DOSES, parameters)[0]
    assert effects == pytest.approx(photon_effect(DOSES, parameters), rel=2e-3)


def test_the_transform_gives_the_sum_over_numbers_of_events():
    parameters, z, yields = cell_line("HSG").gsm2, np.array([0.8]), np.array([12.0])
    effects = counter_gsm2(z, yields, np.array([[[1 / 0.8]]]), DOSES, parameters)[0]
    k = np.arange(60)
    m = k * 0.8 * 12.0 * parameters.genome_gbp / parameters.N
    axis = np.exp(parameters.n_layers * (log_response(m, parameters) - parameters.lambda_ratio * m))
    expected = [-parameters.n_lateral * np.log(poisson.pmf(k, dose / 0.8) @ axis) for dose in DOSES]
    assert effects == pytest.approx(np.array(expected), rel=1e-4)


def test_replicas_do_not_touch_each_other():
    parameters, z = cell_line("V79").gsm2, np.array([0.1, 1.0])
    rates = np.array([[[10.0, 0.0]], [[5.0, 0.5]], [[0.0, 1.0]]])
    together = counter_gsm2(z, np.array([9.0]), rates, DOSES, parameters)
    alone = np.concatenate([counter_gsm2(z, np.array([9.0]), rate[None], DOSES, parameters) for rate in rates])
    assert together == pytest.approx(alone, rel=1e-5)
    assert (np.diff(together, axis=0) > 0).all()  # fewer and larger events kill more
