"""What the network sees."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from synthetic import LINE, TABLE, make_field

from surrogate3d.model.channels import CONTEXT_SCALES, FILTERS, Filter, channel_names, channels, is_primary, smooth
from surrogate3d.model.groups import field_inputs

ALPHA_X = torch.tensor(LINE.alpha_x)


def inputs_of(field):
    return torch.from_numpy(field_inputs(field, (TABLE,)))


def channel(name, inputs):
    return channels(inputs, ALPHA_X)[:, channel_names().index(name)]


@pytest.mark.parametrize("gaussian", FILTERS, ids=lambda f: f.name)
def test_smoothing_is_that_of_scipy_with_zeros_outside(gaussian):
    values = np.random.default_rng(1).random((2, 7, 30, 9))  # shorter and longer than the kernels
    sigmas = (0.0, gaussian.lateral, gaussian.lateral, gaussian.depth)
    expected = gaussian_filter(values, sigmas, mode="constant", truncate=3.0)
    np.testing.assert_allclose(smooth(torch.from_numpy(values), gaussian).numpy(), expected, rtol=1e-12)


def test_smoothing_conserves_what_stays_inside():
    values = torch.zeros(31, 31, 31, dtype=torch.float64)
    values[15, 15, 15] = 1.0
    assert float(smooth(values, Filter(4.0, 3.0)).sum()) == pytest.approx(1.0, rel=1e-12)


def test_every_channel_has_a_name_and_every_name_is_another():
    names = channel_names()
    assert channels(inputs_of(make_field()), ALPHA_X).shape[1] == len(names) == len(set(names))
    assert sum("@" in name for name in names) == 5 * len(CONTEXT_SCALES)


def test_voxel_channels_by_hand():
    inputs = torch.zeros(2, 4, 1, 1, 1)
    # H: dose 0.75, 100 tracks, dose_alpha 0.3; He: dose 0.25, 5 tracks, dose_alpha 0.5.
    inputs[0, :, 0, 0, 0] = torch.tensor([0.75, 100.0, 0.3, 0.1])
    inputs[1, :, 0, 0, 0] = torch.tensor([0.25, 5.0, 0.5, 0.05])
    expected = {
        "log_fraction@voxel": np.log([0.75, 0.25]),
        "log_alpha_group@voxel": np.log(np.array([0.3 / 0.75, 0.5 / 0.25]) / LINE.alpha_x),
        "log_tracks_group@voxel": np.log([101.0, 6.0]),
        "log_alpha_total@voxel": np.log(np.array([0.8, 0.8]) / LINE.alpha_x),
        "log_tracks_total@voxel": np.log([106.0, 106.0]),
        "log_dose_relative": [0.0, 0.0],
        "is_primary": [1.0, 0.0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(channel(name, inputs).flatten().numpy(), values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_ratios_need_no_correction_at_the_edge_of_the_grid():
    """A uniform field has the same fraction and alpha everywhere, however much of a kernel lies outside."""
    inputs = torch.tensor([0.8, 90.0, 0.4, 0.1]).reshape(1, 4, 1, 1, 1).expand(1, 4, 7, 8, 9)
    inputs = torch.cat([inputs, 0.25 * inputs])
    for scale, kind in itertools.product(("gauss_1_0", "gauss_3_1"), ("log_fraction", "log_alpha_group")):
        values = channel(f"{kind}@{scale}", inputs)
        np.testing.assert_allclose(values, values[:, :1, :1, :1].expand_as(values), rtol=1e-4)


def test_channels_are_finite_in_empty_voxels_groups_and_tiny_doses():
    inputs = inputs_of(make_field(seed=1, tracks=3.0))  # most voxels lack helium
    assert bool((inputs[1, 0] == 0).any())
    inputs[:, :, :4] = 0.0
    inputs[0, :, 5] *= 1e-35
    assert bool(torch.isfinite(channels(inputs, ALPHA_X)).all())
    empty_group = inputs.clone()
    empty_group[1] = 0.0
    assert bool(torch.isfinite(channels(empty_group, ALPHA_X)).all())


def test_the_slope_has_the_sign_of_the_dose_downstream():
    inputs = torch.zeros(1, 4, 5, 5, 9)
    inputs[0, :, :, :, :] = torch.linspace(0.2, 1.0, 9)
    slope = channel("log_dose_slope", inputs)[0]
    assert bool((slope[:, :, 2:7] > 0).all())
    torch.testing.assert_close(channel("log_dose_slope", inputs.flip(-1))[0, :, :, 2:7], -slope.flip(-1)[:, :, 2:7])


def test_the_primary_is_the_group_with_most_of_the_dose():
    inputs = inputs_of(make_field())
    assert is_primary(inputs).tolist() == [True, False]
    assert is_primary(inputs.flip(0)).tolist() == [False, True]
    assert torch.equal(channel("is_primary", inputs)[0], torch.ones(inputs.shape[2:]))


@pytest.mark.parametrize(("padding", "end"), [((0, 6), slice(0, 4)), ((5, 0), slice(-4, None))])
def test_the_far_end_of_the_grid_is_no_neighbour(padding, end):
    """Empty planes behind the field do not change its first planes, nor empty ones in front of it its last."""
    inputs = inputs_of(make_field(seed=1))
    padded = channels(torch.nn.functional.pad(inputs, padding), ALPHA_X)
    found = padded[..., padding[0] : padding[0] + inputs.shape[-1]]
    torch.testing.assert_close(found[..., end], channels(inputs, ALPHA_X)[..., end], rtol=1e-5, atol=1e-5)
