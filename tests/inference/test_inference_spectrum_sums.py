"""Points from linear sums, tile by tile, against those of the whole field and against the pooling written out."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from synthetic import make_field

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.inference.spectrum_distance import features_of_sums, field_features, reached, spectrum_features
from surrogate3d.inference.spectrum_sums import LN_NODES, REACH, node_weights
from surrogate3d.physics.let import bin_dose

NODES = len(LN_NODES)


def sums_of(field):
    """(species, 2 x node, i, j, k) float32, summed in float64."""
    return np.einsum("srb,sb...->sr...", node_weights(field.spectra.axes), field.spectra.fluence).astype(np.float32)


def per_track(field):
    return field.dose_scale / field.grid.face_area_mm2(field.beam_axis)


def slow_twin(field, mask, primary):
    """Points and noise as the page of `spectrum_distance` states them, in float64 over the whole field."""
    sums = np.einsum("srb,sb...->sr...", node_weights(field.spectra.axes), field.spectra.fluence.astype(float))
    dose, squares = sums[:, :NODES], sums[:, NODES:] * per_track(field)
    shares, variances = [], []
    for s in range(len(sums)):
        sigmas = [1.0 if s == primary else 3.0] * 3
        sigmas[field.beam_axis] = 0.0 if s == primary else 2.0

        def pool(values, power, sigmas=sigmas):
            for axis, sigma in zip((-3, -2, -1), sigmas, strict=True):
                if sigma:
                    taps = np.zeros(41)
                    taps[20] = 1.0
                    taps = gaussian_filter1d(taps, sigma, truncate=3.0) ** power
                    values = np.apply_along_axis(np.convolve, axis, values, taps[taps > 0], mode="same")
            return values[..., mask]

        scale = pool(dose[:, -1].sum(axis=0), 1)
        shares.append(pool(dose[s], 1) / scale)
        variances.append(pool(squares[s], 2) / scale**2)
    shares, variances = np.array(shares), np.array(variances)
    whole = shares[:, -1].sum(axis=0)
    shares, variances = shares / whole, variances / whole**2
    noise = np.maximum(variances * (1 - 2 * shares) + shares**2 * variances[:, -1].sum(axis=0), 0)
    step = np.log(5000) / 32
    return np.sqrt(step) * np.moveaxis(shares, -1, 0).reshape(mask.sum(), -1), np.sqrt(step * noise.sum(axis=(0, 1)))


def test_weights_are_the_dose_below_each_node_and_its_square():
    axes = SpectrumAxes.logarithmic(("H", "C"))
    weights, dose = node_weights(axes), bin_dose(axes, np.ones((2, 64)))
    # Nodes are every second edge: whole bins lie below them.
    for node in range(NODES):
        np.testing.assert_allclose(weights[:, node, : 2 * node], dose[:, : 2 * node], rtol=1e-9)
        np.testing.assert_allclose(weights[:, node, 2 * node :], 0, atol=1e-9)
    np.testing.assert_allclose(weights[:, NODES:], weights[:, :NODES] ** 2)


@pytest.mark.parametrize("beam_axis", [0, 1, 2])
def test_points_of_sums_equal_their_slow_twin(beam_axis):
    field = replace(make_field(seed=1, shape=(26, 25, 24)), beam_axis=beam_axis)
    mask = np.random.default_rng(0).random(field.grid.shape) < 0.01
    mask[:4] = mask[..., 20:] = False
    mask &= field.spectra.fluence.any(axis=(0, 1))
    axes = field.spectra.axes
    found = features_of_sums(axes.species, sums_of(field), per_track(field), 0, beam_axis, mask)
    points, noise = slow_twin(field, mask, 0)
    np.testing.assert_allclose(found.points, points, atol=2e-7)
    np.testing.assert_allclose(found.noise, noise, rtol=1e-5)
    whole = spectrum_features(axes, field.spectra.fluence, field.tracks, beam_axis, mask, primary=0)
    np.testing.assert_allclose(whole.points, points, atol=2e-7)
    np.testing.assert_allclose(whole.noise, noise, rtol=1e-5)


def test_a_tile_with_its_reach_gives_the_points_of_the_whole():
    field = make_field(seed=2, shape=(30, 24, 26))
    sums, species = sums_of(field), field.spectra.axes.species
    assert REACH == (9, 6)
    mask = np.zeros(field.grid.shape, dtype=bool)
    mask[9:13, 5:9, 10:12] = field.spectra.fluence.any(axis=(0, 1))[9:13, 5:9, 10:12]
    box = reached(mask, 2)
    assert box == (slice(0, 22), slice(0, 18), slice(4, 18))
    whole = features_of_sums(species, sums, per_track(field), 0, 2, mask)
    tile = features_of_sums(species, sums[(slice(None), slice(None), *box)].copy(), per_track(field), 0, 2, mask[box])
    np.testing.assert_array_equal(tile.points, whole.points)
    np.testing.assert_array_equal(tile.noise, whole.noise)
    far = sums.copy()
    outside = np.ones(mask.shape, dtype=bool)
    outside[box] = False
    far[:, :, outside] = 1e6
    np.testing.assert_array_equal(features_of_sums(species, far, per_track(field), 0, 2, mask).points, whole.points)


def test_tracks_of_each_voxel_or_one_number_tell_the_same_noise():
    field = make_field(seed=3)
    mask = field.tracks > 0
    each = np.divide(
        field.spectra.fluence.sum(axis=(0, 1), dtype=float), field.tracks, out=np.zeros(mask.shape), where=mask
    )
    one, many = (
        features_of_sums(field.spectra.axes.species, sums_of(field), known, 0, field.beam_axis, mask)
        for known in (per_track(field), each)
    )
    np.testing.assert_allclose(one.noise, many.noise, rtol=1e-5)
    np.testing.assert_allclose(one.noise, field_features(field, mask).noise, rtol=1e-5)


def test_a_mask_without_voxels_has_no_points():
    field = make_field(seed=3)
    nothing = np.zeros(field.grid.shape, dtype=bool)
    found = features_of_sums(field.spectra.axes.species, sums_of(field), 1.0, 0, 2, nothing)
    assert found.points.shape == (0, 2 * NODES)
    assert len(found.noise) == 0


def test_sums_that_do_not_fit_are_refused():
    species, mask = ("H", "He"), np.ones((3, 3, 3), dtype=bool)
    sums = np.ones((2, 2 * NODES, 3, 3, 3), dtype=np.float32)
    for wrong in ((sums[:1], 1.0), (sums[:, 1:], 1.0), (sums[..., :2], 1.0), (sums, np.ones((3, 3)))):
        with pytest.raises(GridMismatchError, match="must share"):
            features_of_sums(species, *wrong, 0, 2, mask)
    sums[:, :, 1, 1, 1] = 0
    with pytest.raises(ValueRangeError, match="1 voxels of the mask have no fluence"):
        features_of_sums(species, sums, 1.0, 0, 2, mask)
