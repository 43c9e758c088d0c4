"""Regions of a noisy dose are those of the dose without noise."""

import numpy as np
import pytest

from surrogate3d.inference.steady_regions import TRACKS, WIDEST, averaged_across, averaging_width


@pytest.mark.parametrize("width", [0.3, 0.5, WIDEST])
def test_noise_falls_as_a_gaussian_averages(width):
    """By the sum of the squared weights of the kernel, axis by axis; nothing is averaged along the beam."""
    noise = np.random.default_rng(1).standard_normal((60, 60, 20))
    weights = np.exp(-0.5 * (np.arange(-4, 5) / width) ** 2)
    left = np.sum((weights / weights.sum()) ** 2)
    assert averaged_across(noise, 2, width)[5:-5, 5:-5].std() == pytest.approx(left, rel=0.02)
    along = np.zeros((5, 5, 9))
    along[:, :, 4] = 1.0
    np.testing.assert_allclose(averaged_across(along, 2, width), along)


def test_the_average_is_over_a_number_of_tracks():
    for tracks in (150.0, 1000.0, 1e5):
        assert 4 * np.pi * averaging_width(tracks) ** 2 * tracks == pytest.approx(TRACKS)
    assert averaging_width(1.0) == averaging_width(0.0) == WIDEST
