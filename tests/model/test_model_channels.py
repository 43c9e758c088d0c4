"""What the network sees."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from synthetic import LINE, TABLE, make_field

from surrogate3d.model.channels import (
    CONTEXT_SCALES,
    FILTERS,
    Filter,
    Whole,
    channel_names,
    channel_reach,
    channels,
    is_primary,
    reach,
    smooth,
)
from surrogate3d.model.groups import BANDS, field_inputs
from surrogate3d.physics.mixing import mono_table

ALPHA_X, CHARGE = torch.tensor(LINE.alpha_x), torch.tensor([1, 2])


def inputs_of(field):
    return torch.from_numpy(field_inputs(field, (TABLE,)))


def channel(name, inputs):
    return channels(inputs, ALPHA_X, CHARGE[: len(inputs)])[:, channel_names().index(name)]


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
    assert channels(inputs_of(make_field()), ALPHA_X, CHARGE).shape[:2] == (2, len(names))
    assert len(names) == len(set(names))
    assert sum("@" in name for name in names) == (len(BANDS) + 4) * len(CONTEXT_SCALES)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 3.0])
def test_a_gaussian_reaches_three_sigma(sigma):
    values = torch.zeros(1, 1, 41, dtype=torch.float64)
    values[..., 20] = 1.0
    touched = smooth(values, Filter(0.0, sigma)).flatten().nonzero().flatten() - 20
    assert (int(touched.min()), int(touched.max())) == (-reach(sigma), reach(sigma))
    assert reach(sigma) == round(3 * sigma + 1e-9)
    assert reach(0.0) == 0


def test_voxel_channels_by_hand():
    inputs = torch.zeros(2, len(BANDS), 4, 1, 1, 1)
    # H: dose 0.75, 100 tracks, dose_alpha 0.3 in two bands; He: dose 0.25, 5 tracks, dose_alpha 0.5 in one.
    inputs[0, 1, :, 0, 0, 0] = torch.tensor([0.15, 40.0, 0.1, 0.03])
    inputs[0, 3, :, 0, 0, 0] = torch.tensor([0.60, 60.0, 0.2, 0.07])
    inputs[1, 0, :, 0, 0, 0] = torch.tensor([0.25, 5.0, 0.5, 0.05])
    expected = {
        "log_fraction_below_3@voxel": np.log([1e-5, 0.25]),
        "log_fraction_3_to_10@voxel": np.log([0.15, 1e-5]),
        "log_fraction_10_to_30@voxel": np.log([1e-5, 1e-5]),
        "log_fraction_above_30@voxel": np.log([0.6, 1e-5]),
        "log_alpha_group@voxel": np.log(np.array([0.3 / 0.75, 0.5 / 0.25]) / LINE.alpha_x),
        "log_tracks_group@voxel": np.log([101.0, 6.0]),
        "log_alpha_total@voxel": np.log(np.array([0.8, 0.8]) / LINE.alpha_x),
        "log_tracks_total@voxel": np.log([106.0, 106.0]),
        "log_dose_relative": [0.0, 0.0],
        "is_primary": [1.0, 0.0],
        "log_charge": np.log([1.0, 2.0]),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(channel(name, inputs).flatten().numpy(), values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_channels_are_those_of_the_first_cell_line_only():
    """So that the kernels are the same whatever line is asked for."""
    field = make_field(seed=1)
    alone, beside = (
        channels(torch.from_numpy(field_inputs(field, tables)), ALPHA_X, CHARGE)
        for tables in ((TABLE,), (TABLE, mono_table("V79")))
    )
    assert torch.equal(alone, beside)


def test_ratios_need_no_correction_at_the_edge_of_the_grid():
    """A uniform field has the same fraction and alpha everywhere, however much of a kernel lies outside."""
    inputs = torch.tensor([0.8, 90.0, 0.4, 0.1]).reshape(1, 1, 4, 1, 1, 1).expand(1, len(BANDS), 4, 7, 8, 9)
    inputs = torch.cat([inputs, 0.25 * inputs])
    kinds = ("log_fraction_3_to_10", "log_alpha_group", "log_alpha_total")
    for scale, kind in itertools.product(("gauss_1_0", "gauss_3_1"), kinds):
        values = channel(f"{kind}@{scale}", inputs)
        np.testing.assert_allclose(values, values[:, :1, :1, :1].expand_as(values), rtol=1e-4)


def test_channels_are_finite_in_empty_voxels_groups_and_tiny_doses():
    inputs = inputs_of(make_field(seed=1, tracks=3.0))  # most voxels lack helium
    assert bool((inputs[1, :, 0].sum(dim=0) == 0).any())
    inputs[:, :, :, :4] = 0.0
    inputs[0, :, :, 5] *= 1e-35
    assert bool(torch.isfinite(channels(inputs, ALPHA_X, CHARGE)).all())
    for empty in (inputs * torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1, 1, 1), inputs.clone()):
        empty[:, 1] = 0.0  # a band
        assert bool(torch.isfinite(channels(empty, ALPHA_X, CHARGE)).all())


def test_the_slope_has_the_sign_of_the_dose_downstream():
    inputs = torch.zeros(1, len(BANDS), 4, 5, 5, 9)
    inputs[:] = torch.linspace(0.2, 1.0, 9)
    slope = channel("log_dose_slope", inputs)[0]
    assert bool((slope[:, :, 2:7] > 0).all())
    torch.testing.assert_close(channel("log_dose_slope", inputs.flip(-1))[0, :, :, 2:7], -slope.flip(-1)[:, :, 2:7])


def test_the_primary_is_the_group_with_most_of_the_dose():
    inputs = inputs_of(make_field())
    assert is_primary(inputs).tolist() == [True, False]
    assert is_primary(inputs.flip(0)).tolist() == [False, True]
    assert torch.equal(channel("is_primary", inputs)[0], torch.ones(inputs.shape[3:]))


@pytest.mark.parametrize(("padding", "end"), [((0, 6), slice(0, 4)), ((5, 0), slice(-4, None))])
def test_the_far_end_of_the_grid_is_no_neighbour(padding, end):
    """Empty planes behind the field do not change its first planes, nor empty ones in front of it its last."""
    inputs = inputs_of(make_field(seed=1))
    padded = channels(torch.nn.functional.pad(inputs, padding), ALPHA_X, CHARGE)
    found = padded[..., padding[0] : padding[0] + inputs.shape[-1]]
    torch.testing.assert_close(found[..., end], channels(inputs, ALPHA_X, CHARGE)[..., end], rtol=1e-5, atol=1e-5)


def test_a_tile_that_is_told_of_the_whole_has_its_channels():
    """Exactly as far from its cut faces as `channel_reach` says, and not one voxel nearer."""
    inputs = inputs_of(make_field(seed=1, shape=(30, 8, 14)))
    lateral, depth = channel_reach()
    assert (lateral, depth) == (9, 3)
    whole, expected = Whole.of(inputs), channels(inputs, ALPHA_X, CHARGE)
    tile = channels(inputs[..., 3:27, :, 1:], ALPHA_X, CHARGE, whole)
    kept = (..., slice(3 + lateral, 27 - lateral), slice(None), slice(1 + depth, None))
    found = tile[..., lateral:-lateral, :, depth:]
    torch.testing.assert_close(found, expected[kept], rtol=1e-5, atol=1e-5)
    apart = (tile - expected[..., 3:27, :, 1:]).abs().amax(dim=(0, 1))
    assert float(apart[lateral - 1, :, depth:].max()) > 1e-4
    assert float(apart[lateral:-lateral, :, depth - 1].max()) > 1e-4


def test_the_whole_is_what_the_channels_find_by_themselves():
    inputs = inputs_of(make_field(seed=1))
    whole = Whole.of(inputs)
    dose = inputs[:, :, 0].double().sum(dim=(0, 1)).numpy()
    assert whole.primary.tolist() == [True, False]
    assert float(whole.peak) == pytest.approx(gaussian_filter(dose, 0.5, mode="constant", truncate=3.0).max(), rel=1e-6)
    alone = channels(inputs, ALPHA_X, CHARGE)
    for known in (whole, Whole(whole.primary, float(whole.peak))):
        assert torch.equal(channels(inputs, ALPHA_X, CHARGE, known), alone)


def test_the_whole_decides_which_group_is_the_primary_and_how_high_the_dose_is():
    inputs = inputs_of(make_field(seed=1))
    whole = Whole(torch.tensor([False, True]), 2 * float(Whole.of(inputs).peak))
    told, alone = channels(inputs, ALPHA_X, CHARGE, whole), channels(inputs, ALPHA_X, CHARGE)
    names = channel_names()
    assert told[:, names.index("is_primary"), 0, 0, 0].tolist() == [0.0, 1.0]
    height = names.index("log_dose_relative")
    inside = alone[:, height] > np.log(1e-3) + 1
    torch.testing.assert_close(told[:, height][inside], alone[:, height][inside] - np.log(2.0))
