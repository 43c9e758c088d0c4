"""A deviation that is wrong by a known factor at each statistics is put right; errors are drawn from Gaussians."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from surrogate3d.errors import GridMismatchError
from surrogate3d.inference.calibration import MIN_REGION, WHOLE, calibrate
from surrogate3d.inference.deviation import DeviationScale, fit_deviation, whole_answer

REGIONS = ("entrance", "other", "target")
OFF = {"entrance": 0.5, "other": 2.0, "target": 1.0}


def true_factor(tracks, region):
    """What the deviation is off by: a power of the tracks, times one of the region."""
    return (tracks / 1000.0) ** -0.3 * np.array([OFF[name] for name in region])


def made_up(n, seed, label_se=0.0):
    rng = np.random.default_rng(seed)
    tracks, region = 10 ** rng.uniform(1.3, 5.0, n), rng.choice(REGIONS, n)
    std = rng.uniform(0.001, 0.005, n)
    error = std * true_factor(tracks, region) * rng.standard_normal(n)
    return error + label_se * rng.standard_normal(n), std, np.full(n, label_se), tracks, region


@pytest.mark.parametrize("label_se", [0.0, 0.0005])
def test_the_deviation_is_right_from_twenty_to_a_hundred_thousand_tracks_in_every_region(label_se):
    found = fit_deviation(*made_up(30_000, 1, label_se))
    error, std, _, tracks, region = made_up(30_000, 2)
    right = found.factor(tracks, region) * std
    for name in REGIONS:
        for low, high in ((20, 150), (150, 1000), (1000, 10_000), (10_000, 100_000)):
            part = (region == name) & (tracks >= low) & (tracks < high)
            covered = np.mean(np.abs(error[part]) <= norm.ppf(0.95) * right[part])
            assert covered == pytest.approx(0.9, abs=0.035), (name, low)


def test_the_factor_is_linear_between_bins_in_logarithms_and_constant_outside():
    scale = DeviationScale((10.0, 1000.0), {WHOLE: (1.0, 4.0), "target": (2.0, 2.0)}, {WHOLE: (50, 50)})
    tracks = np.array([0.0, 1.0, 10.0, 100.0, 1000.0, 1e6])
    np.testing.assert_allclose(scale.factor(tracks, np.full(6, "never seen")), [1, 1, 1, 2, 4, 4])
    np.testing.assert_allclose(scale.factor(tracks, np.full(6, "target")), 2.0)
    with pytest.raises(GridMismatchError, match="regions have shape"):
        scale.factor(tracks, np.full(5, "target"))


def test_regions_that_differ_by_chance_alone_are_drawn_to_their_mean_over_the_bins():
    rng = np.random.default_rng(3)
    n = 2400
    tracks, region = np.repeat([30.0, 300.0, 3000.0, 30000.0], n // 4), rng.choice(REGIONS, n)
    errors = rng.standard_normal(n)
    found = fit_deviation(errors, np.ones(n), np.zeros(n), tracks, region)
    assert found.tracks == (30.0, 300.0, 3000.0, 30000.0)
    drawn = np.log([found.factors[name] for name in REGIONS])
    alone = [
        np.log(np.quantile(np.abs(errors[(region == name) & (tracks == t)]), 0.9) / norm.ppf(0.95))
        for name in REGIONS
        for t in found.tracks
    ]
    assert np.std(drawn) < np.std(alone)
    assert np.abs(drawn).max() < 0.2


def test_a_bin_or_region_of_few_voxels_borrows():
    error, std, se, tracks, region = made_up(3000, 4)
    few = np.where(np.arange(3000) < MIN_REGION - 1, "distal_edge", region)
    found = fit_deviation(error, std, se, tracks, few)
    assert "distal_edge" not in found.factors
    assert sum(found.voxels["distal_edge"]) == MIN_REGION - 1
    lone = fit_deviation(error[:40], std[:40], se[:40], 10 ** np.linspace(0, 6, 40), region[:40])
    assert len(lone.tracks) == 1  # no half decade has enough, so all voxels are one bin


def test_tracks_belong_to_every_error():
    error, std, se, tracks, region = made_up(100, 5)
    with pytest.raises(GridMismatchError, match="tracks must be"):
        fit_deviation(error, std, se, tracks[:9], region)


def test_it_survives_a_card():
    found = fit_deviation(*made_up(3000, 6))
    assert DeviationScale.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_parts_of_the_whole_answer_add_in_quadrature():
    std, tracks, region = np.array([0.01, 0.03]), np.array([100.0, 100.0]), np.array(["target", "other"])
    scale = DeviationScale((100.0,), {WHOLE: (2.0,), "target": (3.0,)}, {WHOLE: (99,)})
    card = {"deviation": scale.to_json(), "residual_std": 0.04}
    found, width = whole_answer(card, std, tracks, region)
    np.testing.assert_allclose(found, [0.05, np.hypot(0.06, 0.04)])  # 3 x 0.01 and 0.04; 2 x 0.03 and 0.04
    assert width is None
    least, _ = whole_answer({}, std, tracks, region, np.array([0.02, 0.02]))
    np.testing.assert_allclose(least, [0.02, 0.03])


def test_a_card_of_an_earlier_version_says_what_it_said():
    error, std, se, tracks, region = made_up(3000, 7)
    old = calibrate(error, std, se, region)
    found, width = whole_answer({**old.to_json(), "residual_std": 0.0}, std, tracks, region)
    np.testing.assert_array_equal(found, std)
    np.testing.assert_array_equal(width, old.half_width(std, region))
