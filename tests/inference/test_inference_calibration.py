"""Whether intervals cover as often as they say; errors are drawn from known distributions."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.inference.calibration import LEVELS, MIN_REGION, WHOLE, Calibration, calibrate, without_noise

REGIONS = ("distal_edge", "entrance", "penumbra", "target")
TRUE_SCALE = {"distal_edge": 2.0, "entrance": 0.6, "penumbra": 1.0, "target": 1.2}
"""True over predicted standard deviation: what the calibration has to find."""


def made_up(n, seed, label_se=0.0):
    """Labelled and true relative errors, predicted deviations, standard errors of the labels, and regions."""
    rng = np.random.default_rng(seed)
    region = rng.choice(REGIONS, n, p=(0.15, 0.35, 0.2, 0.3))
    std = rng.uniform(0.001, 0.006, n)
    true = std * np.array([TRUE_SCALE[name] for name in region]) * rng.standard_normal(n)
    se = label_se * rng.uniform(0.5, 1.5, n)
    return true + se * rng.standard_normal(n), true, std, se, region


@pytest.mark.parametrize("label_se", [0.0, 0.001, 0.002])
@pytest.mark.parametrize("seed", [0, 1])
def test_ninety_per_cent_intervals_cover_the_true_value_overall_and_in_every_region(seed, label_se):
    error, _, std, se, region = made_up(2500, seed, label_se)
    found = calibrate(error, std, se, region)
    _, true, std, _, region = made_up(40_000, 100 + seed, label_se)
    covered = np.abs(true) <= found.half_width(std, region)
    assert 0.88 <= covered.mean() <= 0.92
    for name in REGIONS:
        assert 0.85 <= covered[region == name].mean() <= 0.95, name


def test_raw_scores_would_be_too_wide_for_noisy_labels():
    error, true, std, se, region = made_up(2500, 3, 0.004)
    raw, corrected = calibrate(error, std, 0 * se, region), calibrate(error, std, se, region)
    assert raw.noise_share[WHOLE] == 0
    noise = 1 - np.mean((true / std) ** 2) / np.mean((error / std) ** 2)
    assert corrected.noise_share[WHOLE] == pytest.approx(noise, abs=0.1)
    _, true, std, _, region = made_up(40_000, 4, 0.004)
    assert (np.abs(true) <= raw.half_width(std, region)).mean() > 0.95


def test_factors_are_those_of_normal_errors_in_every_region():
    error, _, std, se, region = made_up(20_000, 5, 0.001)
    found = calibrate(error, std, se, region)
    for name, scale in TRUE_SCALE.items():
        expected = scale * norm.ppf(0.5 * (1 + np.array(LEVELS)))
        np.testing.assert_allclose(found.factors[name], expected, rtol=0.07)


@pytest.mark.parametrize("seed", range(5))
def test_intervals_widen_with_their_level(seed):
    error, _, std, se, region = made_up(200, seed, 0.003)
    found = calibrate(error, std, se, region, level=0.8)
    assert found.levels == (0.5, 0.68, 0.8, 0.9, 0.95)
    for factors in found.factors.values():
        assert (np.diff(factors) >= 0).all()
    assert found.quantile_factor() == found.quantile_factor(level=0.8) < found.quantile_factor(level=0.95)


@pytest.mark.parametrize("n", [20, 37, 100])
@pytest.mark.parametrize("level", [0.5, 0.68, 0.9, 0.95])
def test_of_exchangeable_voxels_exactly_the_promised_number_is_covered_by_the_others(n, level):
    # Split conformal's guarantee as an identity: score i is within the k-th smallest of the n - 1 others just when it
    # is among the k smallest of all n, k = ceil(n level).
    rng = np.random.default_rng(n)
    error, std = rng.standard_t(3, n), rng.uniform(0.5, 2, n)
    covered = 0
    for i in range(n):
        rest = np.arange(n) != i
        found = calibrate(error[rest], std[rest], np.zeros(n - 1), np.full(n - 1, "target"))
        covered += bool(np.abs(error[i]) <= found.quantile_factor(level=level) * std[i])
    assert covered == int(np.ceil(round(n * level, 9)))


def test_the_order_of_the_voxels_does_not_matter():
    arrays = made_up(300, 7, 0.002)
    error, _, std, se, region = arrays
    order = np.random.default_rng(1).permutation(300)
    found, shuffled = calibrate(error, std, se, region), calibrate(error[order], std[order], se[order], region[order])
    for name, factors in found.factors.items():
        np.testing.assert_allclose(shuffled.factors[name], factors, rtol=1e-9)


def test_intervals_do_not_depend_on_the_scale_of_the_predicted_deviation():
    error, _, std, se, region = made_up(300, 8, 0.002)
    found, scaled = calibrate(error, std, se, region), calibrate(error, 7 * std, se, region)
    np.testing.assert_allclose(scaled.half_width(7 * std, region), found.half_width(std, region), rtol=1e-9)


def test_a_small_region_has_the_factors_of_the_whole_and_so_has_one_that_was_never_seen():
    error, _, std, se, region = made_up(400, 9)
    region = np.where(np.arange(400) < MIN_REGION - 1, "other", region)
    found = calibrate(error, std, se, region)
    assert "other" not in found.factors
    assert found.voxels["other"] == MIN_REGION - 1
    for name in ("other", "never seen", ""):
        assert found.quantile_factor(name) == found.quantile_factor(WHOLE)


def test_regions_that_differ_by_chance_alone_are_drawn_together_and_others_are_not():
    rng = np.random.default_rng(10)
    n = 800
    region, std = rng.choice(REGIONS, n), np.ones(n)
    same = calibrate(rng.standard_normal(n), std, np.zeros(n), region)
    scatter = np.std([np.log(same.quantile_factor(name)) for name in REGIONS])
    alone = np.std([np.log(_alone(same, rng, n // 4)) for _ in range(50)])
    assert scatter < alone
    wide = rng.standard_normal(n) * np.where(region == "distal_edge", 5.0, 1.0)
    found = calibrate(wide, std, np.zeros(n), region)
    assert found.quantile_factor("distal_edge") == pytest.approx(5 * 1.645, rel=0.2)
    assert found.quantile_factor("entrance") == pytest.approx(1.645, rel=0.2)


def _alone(found, rng, n):
    scores = np.sort(np.abs(rng.standard_normal(n)))
    return scores[int(np.ceil((n + 1) * found.level)) - 1]


def test_noise_is_subtracted_in_quadrature():
    rng = np.random.default_rng(11)
    n = 20_000
    noise = rng.uniform(0.2, 3, n)
    clean = without_noise(1.5 * rng.standard_normal(n) + noise * rng.standard_normal(n), noise)
    np.testing.assert_allclose(
        np.quantile(np.abs(clean), LEVELS), 1.5 * norm.ppf(0.5 * (1 + np.array(LEVELS))), rtol=0.04
    )


def test_labels_without_noise_are_left_as_they_are():
    scores = np.random.default_rng(12).standard_normal(50)
    np.testing.assert_array_equal(without_noise(scores, np.zeros(50)), scores)


def test_labels_worse_than_the_model_give_no_interval_of_zero_width():
    rng = np.random.default_rng(13)
    n = 400
    error = 1e-6 * rng.standard_normal(n) + 0.9 * rng.standard_normal(n)  # the labels' errors are overstated, too
    found = calibrate(error, np.ones(n), np.ones(n), np.full(n, "target"))
    assert 0.2 < found.quantile_factor() < 1.0


def test_a_calibration_survives_a_card():
    error, _, std, se, region = made_up(300, 14, 0.002)
    found = calibrate(error, std, se, region)
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_half_widths_have_the_shape_of_the_deviations():
    error, _, std, se, region = made_up(300, 15)
    found = calibrate(error, std, se, region)
    volume, names = std.reshape(3, 10, 10), region.reshape(3, 10, 10)
    widths = found.half_width(volume, names, 0.5)
    assert widths.shape == volume.shape
    assert widths[1, 2, 3] == pytest.approx(volume[1, 2, 3] * found.quantile_factor(names[1, 2, 3], 0.5))
    np.testing.assert_allclose(found.half_width(volume), volume * found.quantile_factor(WHOLE))
    with pytest.raises(GridMismatchError, match="regions have shape"):
        found.half_width(volume, names[:2])


def test_a_level_that_was_not_calibrated_is_refused():
    error, _, std, se, region = made_up(300, 16)
    with pytest.raises(QuantityError, match="at 50 %, 68 %, 90 %, 95 %, not at 80 %"):
        calibrate(error, std, se, region).quantile_factor(level=0.8)


ONES = np.ones(40)


@pytest.mark.parametrize(
    ("arguments", "level", "kind", "message"),
    [
        ((ONES, ONES[:39], ONES, np.full(40, "a")), 0.9, GridMismatchError, "alike"),
        ((ONES, ONES, ONES, np.full(40, WHOLE)), 0.9, QuantityError, "may be called"),
        ((ONES * np.nan, ONES, ONES, np.full(40, "a")), 0.9, ValueRangeError, "not finite"),
        ((ONES, 0 * ONES, ONES, np.full(40, "a")), 0.9, ValueRangeError, "positive"),
        ((ONES, ONES, -ONES, np.full(40, "a")), 0.9, ValueRangeError, "not negative"),
        ((ONES, ONES, ONES, np.full(40, "a")), 1.0, ValueRangeError, "between 0 and 1"),
        ((ONES[:18], ONES[:18], ONES[:18], np.full(18, "a")), 0.9, ValueRangeError, "18 .* 95 % interval, 19 can"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(arguments, level, kind, message):
    with pytest.raises(kind, match=message):
        calibrate(*arguments, level=level)


def test_nineteen_voxels_are_enough():
    errors = np.arange(1.0, 20)
    found = calibrate(errors, np.ones(19), np.zeros(19), np.full(19, "a"))
    # ceil(20 level)-th of 1 to 19
    assert found.factors[WHOLE] == (10, 14, 18, 19)
