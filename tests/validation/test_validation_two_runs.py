"""Two real runs of one plan that differ in their seeds and histories: the same range, and errors that are noise."""

import numpy as np
import pytest

from surrogate3d.validation.depth import depth_profile, range_difference
from surrogate3d.validation.map_errors import map_errors
from surrogate3d.validation.sigma_errors import sigma_errors
from surrogate3d.validation.strata import dose_strata

SPACING = (2.5, 2.5, 2.5)


def dose_per_history(folder):
    """(i, j, k) mean dose and its standard error: the file holds sum, deviation per history, histories, X fastest."""
    scored = np.fromfile(next(folder.glob("*_DoseToWater.bin"))).reshape(64, 20, 20, 3).transpose(2, 1, 0, 3)
    total, deviation, histories = np.moveaxis(scored, 3, 0)
    return total / histories, deviation / np.sqrt(histories)


@pytest.fixture(scope="module")
def runs(topas_data):
    return [dose_per_history(topas_data(name)) for name in ("proton_slab_low", "proton_slab_highA")]


def test_their_ranges_agree_to_a_small_part_of_a_voxel(runs):
    plain = np.ones(runs[0][0].shape)
    low, high = (depth_profile(dose, plain, 2, 1, SPACING, "mean") for dose, _ in runs)
    assert abs(range_difference(low, high)) < 0.05
    line = [depth_profile(dose, runs[1][0], 2, 1, SPACING, "line") for dose, _ in runs]
    assert line[0].line == line[1].line
    assert abs(range_difference(*line)) < 0.5


def test_their_errors_are_about_as_large_as_their_standard_errors(runs):
    (low, low_se), (high, high_se) = runs
    judged = high > 0.1 * np.percentile(high, 99.5)
    found = sigma_errors((low - high)[judged], np.hypot(low_se, high_se)[judged])
    assert found.n == judged.sum() > 8000
    assert 0.9 < found.rms < 1.2  # the deviations in the files are up to an eighth too small
    assert 0.9 < found.share_within[2][0] < 0.97


def test_the_errors_of_every_stratum_of_dose_are_its_noise(runs):
    (low, low_se), (high, high_se) = runs
    base = float(np.percentile(high, 99.5))
    masks = {name: mask & (high >= 0.05 * base) for name, mask in dose_strata(high, base).items()}
    rows, problems = map_errors({"low": low}, high, {"dose": masks})
    noise = 100 * np.hypot(low_se, high_se) / np.where(high > 0, high, np.nan)
    for row, mask in list(zip(rows, masks.values(), strict=True))[1:]:
        assert row.n == mask.sum() > 100
        assert 0.9 < row.rms_percent / np.sqrt(np.mean(noise[mask] ** 2)) < 1.2
        assert abs(row.bias_percent) < 1.0
    assert [problem.where for problem in problems] == ["dose 'D < 5 %'"]
