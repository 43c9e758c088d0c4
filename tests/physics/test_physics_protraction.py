import numpy as np
import pytest
from scipy.integrate import dblquad

from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid.field import Beam
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.protraction import (
    disjoint,
    exposures,
    exposures_of,
    mixed_effect,
    pair_dose_squared,
    protracted_effect,
    protraction_factor,
    repair_rate_of,
)

MU = 1.7


def by_pairs(doses, start, duration, mu):
    """G D^2 by numbers: every exposure becomes 400 instants, every two of them a pair."""
    n = 400
    t = np.concatenate([s + T * (np.arange(n) + 0.5) / n for s, T in zip(start, duration, strict=True)])
    d = np.repeat(np.asarray(doses) / n, n)
    return d @ np.exp(-mu * np.abs(t[:, None] - t)) @ d


def test_constant_rate_is_the_formula_of_lea_and_catcheside():
    for T in (0.01, 0.3, 2.0, 20.0):
        x = MU * T
        expected = 2 / x**2 * (np.exp(-x) - 1 + x)
        assert protraction_factor([3.0], exposures(0.0, T), MU) == pytest.approx(expected, rel=1e-9)


def test_limits_of_one_exposure():
    assert protraction_factor([3.0], exposures(0.0, 0.0), MU) == 1.0
    assert protraction_factor([3.0], exposures(0.0, 1e-9), MU) == pytest.approx(1.0, rel=1e-8)
    assert protraction_factor([3.0], exposures(0.0, 1e9), MU) == pytest.approx(0.0, abs=2e-9)
    assert protraction_factor([3.0, 1.0], exposures([0.0, 5.0], [2.0, 1.0]), 0.0) == pytest.approx(1.0, rel=1e-15)


def test_two_acute_halves_go_from_1_to_one_half():
    for gap in (0.0, 0.2, 1.0, 3.0):
        factor = protraction_factor([1.0, 1.0], exposures([0.0, gap], 0.0), MU)
        assert factor == pytest.approx((1 + np.exp(-MU * gap)) / 2, rel=1e-14)
    assert protraction_factor([1.0, 1.0], exposures([0.0, 1e3], 0.0), MU) == 0.5


def test_n_equal_fractions_far_apart_give_one_over_n():
    when = exposures(24.0 * np.arange(30), 0.01)
    single = protraction_factor([2.0], exposures(0.0, 0.01), MU)
    assert protraction_factor(np.full(30, 2.0), when, MU) == pytest.approx(single / 30, rel=1e-12)


def test_uneven_delivery_agrees_with_the_sum_over_pairs():
    start, duration, doses = [0.0, 0.5, 1.4, 3.0], [0.3, 0.7, 0.05, 1.0], [1.0, 2.0, 0.7, 1.5]
    found = pair_dose_squared(doses, exposures(start, duration), MU)
    assert found == pytest.approx(by_pairs(doses, start, duration, MU), rel=1e-5)


def test_overlapping_exposures_agree_with_the_sum_over_pairs_and_with_quadrature():
    start, duration, doses = [0.0, 0.2, 0.1, 0.9], [1.0, 0.4, 1.5, 0.1], [1.0, 2.0, 0.7, 0.4]
    found = pair_dose_squared(doses, exposures(start, duration), MU)
    assert found == pytest.approx(by_pairs(doses, start, duration, MU), rel=1e-5)
    # two exposures, their cross term by adaptive quadrature
    cross, _ = dblquad(lambda u, t: 2.0 * 1.0 / 0.4 * np.exp(-MU * abs(t - u)), 0.0, 1.0, 0.2, 0.6, epsabs=1e-9)
    both = pair_dose_squared([1.0, 2.0], exposures([0.0, 0.2], [1.0, 0.4]), MU)
    alone = [pair_dose_squared([d], exposures(0.0, T), MU) for d, T in ((1.0, 1.0), (2.0, 0.4))]
    assert both - sum(alone) == pytest.approx(2 * cross, rel=1e-6)


def test_cutting_one_exposure_changes_nothing():
    whole = pair_dose_squared([3.0], exposures(0.0, 2.0), MU)
    cut = pair_dose_squared([0.75, 1.5, 0.75], exposures([0.0, 0.5, 1.5], [0.5, 1.0, 0.5]), MU)
    assert cut == pytest.approx(whole, rel=1e-12)


def test_order_and_origin_of_time_do_not_matter():
    when, doses = exposures([5.0, 0.0, 2.0], [0.5, 1.0, 0.0]), np.array([1.0, 2.0, 0.5])
    order = [1, 2, 0]
    other = exposures(when.start_h[order] - 40.0, when.duration_h[order])
    expected = pair_dose_squared(doses, when, MU)
    assert pair_dose_squared(doses[order], other, MU) == pytest.approx(expected, rel=1e-12)


def test_maps_are_computed_voxel_by_voxel():
    when = exposures([0.0, 0.2], [0.1, 0.3])
    doses = np.random.default_rng(1).uniform(0.1, 3, (2, 4, 3))
    maps = protraction_factor(doses, when, MU)
    assert maps.shape == (4, 3)
    assert maps[2, 1] == pytest.approx(protraction_factor(doses[:, 2, 1], when, MU), rel=1e-14)
    assert np.isnan(protraction_factor(np.zeros((2, 1)), when, MU)).all()
    assert (protracted_effect(np.zeros((2, 1)), when, 0.3, 0.05, MU) == 0).all()


def test_disjoint_pieces_keep_the_dose():
    pieces, shares = disjoint(exposures([0.0, 0.2, 0.2, 3.0], [1.0, 0.4, 0.0, 0.5]))
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, rtol=1e-14)
    ends = pieces.start_h + pieces.duration_h
    assert (pieces.start_h[1:] >= ends[:-1]).all()
    assert pieces.duration_h[pieces.start_h == 0.2].tolist() == pytest.approx([0.0, 0.4])


def test_effect_of_an_acute_dose_is_linear_quadratic_and_qualities_mix_by_the_root_of_beta():
    acute = exposures([0.0, 0.0], 0.0)
    assert protracted_effect([1.0, 1.0], acute, 0.3, 0.05, MU) == pytest.approx(0.3 * 2 + 0.05 * 4, rel=1e-14)
    found = mixed_effect([1.0, 2.0], acute, [0.3, 0.9], [0.04, 0.09], MU)
    assert found == pytest.approx(0.3 + 1.8 + (0.2 * 1 + 0.3 * 2) ** 2, rel=1e-14)
    apart = mixed_effect([1.0, 2.0], exposures([0.0, 1e3], 0.0), [0.3, 0.9], [0.04, 0.09], MU)
    assert apart == pytest.approx(0.3 + 1.8 + 0.04 + 0.09 * 4, rel=1e-14)
    alike = mixed_effect([1.0, 2.0], exposures([0.0, 1.0], 0.3), [0.3, 0.3], [0.04, 0.04], MU)
    assert alike == pytest.approx(protracted_effect([1.0, 2.0], exposures([0.0, 1.0], 0.3), 0.3, 0.04, MU), rel=1e-14)


def test_times_come_from_the_beams():
    beams = (Beam(name="a", start_s=0.0, duration_s=60.0), Beam(name="b", start_s=600.0, duration_s=90.0))
    when = exposures_of(beams)
    np.testing.assert_allclose(when.start_h, [0.0, 1 / 6])
    np.testing.assert_allclose(when.duration_h, [1 / 60, 1 / 40])


def test_repair_rate_of_a_cell_line_is_the_rate_at_which_a_lesion_ends():
    hsg = cell_line("HSG").gsm2
    assert repair_rate_of(hsg) == hsg.a + hsg.r


def test_refusals():
    with pytest.raises(QuantityError, match="beam b: protraction needs start_s"):
        exposures_of((Beam(name="a", start_s=0.0, duration_s=60.0), Beam(name="b", duration_s=60.0)))
    with pytest.raises(ValueRangeError, match="exposures need"):
        exposures_of(())
    with pytest.raises(ValueRangeError, match="durations >= 0"):
        exposures([0.0], [-1.0])
    with pytest.raises(ValueRangeError, match="finite starts"):
        exposures([np.nan], [1.0])
    with pytest.raises(ValueRangeError, match="for 2 exposures"):
        pair_dose_squared([1.0], exposures([0.0, 1.0], 0.0), MU)
    with pytest.raises(ValueRangeError, match="doses >= 0"):
        pair_dose_squared([-1.0], exposures(0.0, 0.0), MU)
    with pytest.raises(ValueRangeError, match="repair rate"):
        pair_dose_squared([1.0], exposures(0.0, 0.0), -1.0)
    with pytest.raises(ValueRangeError, match="beta >= 0"):
        mixed_effect([1.0], exposures(0.0, 0.0), [0.1], [-0.1], MU)
