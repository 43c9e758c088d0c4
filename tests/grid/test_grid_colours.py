"""Colour maps: near the published tables, with a lightness that grows, and legible with any colour vision."""

import matplotlib
import numpy as np
import pytest

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid.colours import NO_VALUE, PALETTES, coloured, palette

# Machado, Oliveira, Fernandes, IEEE TVCG 15, 1291 (2009), severity 1.0, on linear RGB
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)


def linear(table):
    share = np.asarray(table, dtype=float) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lightness(table):
    luminance = linear(table) @ np.array([0.2126, 0.7152, 0.0722])  # IEC 61966-2-1, then CIE L*
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


@pytest.mark.parametrize("name", ["viridis", "cividis"])
def test_published_maps_are_met_within_two_of_255(name):
    published = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3].astype(int)
    assert np.abs(palette(name).astype(int) - published).max() <= 2


@pytest.mark.parametrize("name", ["viridis", "cividis", "grey"])
def test_lightness_grows_from_the_first_colour_to_the_last(name):
    rises = np.diff(lightness(palette(name)))
    assert rises.min() > -0.02  # rounding to 8 bits
    assert rises.sum() > 70


def test_the_diverging_map_is_equally_light_at_equal_distance_from_its_middle():
    levels = lightness(palette("balance"))
    np.testing.assert_allclose(levels, levels[::-1], atol=0.8)
    assert np.diff(levels[:128]).min() > -0.02
    assert levels[127] > 95
    assert levels[0] < 40


@pytest.mark.parametrize("vision", [DEUTERANOPIA, PROTANOPIA], ids=["deuteranopia", "protanopia"])
def test_the_sign_of_the_diverging_map_shows_without_red_or_green_cones(vision):
    seen = linear(palette("balance")) @ vision.T
    blue_less_red = seen[:, 2] - seen[:, 0]
    assert (blue_less_red[:96] > 0.05).all()
    assert (blue_less_red[160:] < -0.05).all()


@pytest.mark.parametrize("name", PALETTES)
def test_a_map_has_256_colours_that_nobody_can_overwrite(name):
    table = palette(name)
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1


def test_an_unknown_map_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="'jet'; known: viridis, cividis, balance, grey"):
        palette("jet")


def test_values_beyond_the_window_have_its_end_colours_and_nan_has_none():
    shown = coloured(np.array([-5.0, 0.0, 1.0, 9.0, np.nan, np.inf, -np.inf]), (0.0, 1.0), "grey")
    assert shown[:, 0].tolist() == [0, 0, 255, 255, NO_VALUE[0], 255, 0]
    assert tuple(shown[4]) == NO_VALUE


def test_a_window_without_width_has_the_middle_colour():
    assert coloured(np.array([3.0]), (3.0, 3.0), "grey")[0, 0] == 128
