"""Sums over bins in float32, against sums in float64."""

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.grid.spectrum import FluencePart, box_within
from surrogate3d.physics import linear_sums as module
from surrogate3d.physics.linear_sums import linear_sums
from surrogate3d.physics.mixing import band_accumulators, band_weights, mono_table

AXES = SpectrumAxes.logarithmic(("H", "He"), 12, 0.5, 250.0)
SHAPE = (7, 5, 9)


def noisy_fluence(shape=SHAPE, scale=1e5):
    rng = np.random.default_rng(3)
    return (rng.poisson(0.7, (2, 12, *shape)) * rng.gamma(2.0, scale, (2, 12, *shape))).astype(np.float32)


def exact(fluence, weights):
    return np.einsum("srb,sbijk->srijk", weights, fluence.astype(float))


def test_sums_of_a_whole_array_are_those_of_float64():
    fluence, weights = noisy_fluence(), np.random.default_rng(5).random((2, 11, 12))
    found = linear_sums(fluence, weights)
    assert (found.dtype, found.shape) == (np.float32, (2, 11, *SHAPE))
    np.testing.assert_allclose(found, exact(fluence, weights), rtol=1e-6)


def test_bands_in_float32_are_the_accumulators_in_float64():
    tables, edges, fluence = (mono_table("HSG"), mono_table("V79")), (3.0, 10.0, 30.0), noisy_fluence()
    expected = band_accumulators(AXES, fluence, tables, edges)  # (species, band, 2 + 2 * line, i, j, k)
    found = linear_sums(fluence, band_weights(AXES, tables, edges))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-6)
    # What a bin has no part in is exactly zero, as there.
    np.testing.assert_array_equal(found.reshape(expected.shape) == 0, expected == 0)


@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 7), slice(0, 5), slice(0, 9)),
        (slice(2, 5), slice(1, 5), slice(8, 9)),
        (slice(None), slice(3, 3), slice(None, 4)),
        (slice(6, None), slice(None, 1), slice(2, 7)),
    ],
)
def test_sums_of_a_box_are_the_box_of_the_sums(box):
    fluence, weights = noisy_fluence(), np.random.default_rng(5).random((2, 3, 12))
    np.testing.assert_allclose(linear_sums(fluence, weights, box), exact(fluence, weights)[:, :, *box], rtol=1e-6)


@pytest.mark.parametrize("voxels", [1, 3, 12, 40, 100])
def test_sums_do_not_depend_on_the_blocks(monkeypatch, voxels):
    fluence, weights = noisy_fluence(), np.random.default_rng(5).random((2, 3, 12))
    monkeypatch.setattr(module, "_PART_VOXELS", voxels)
    np.testing.assert_allclose(linear_sums(fluence, weights), exact(fluence, weights), rtol=1e-6)


def test_long_parts_and_rows_of_any_number_of_terms_are_summed():
    """More voxels than a block; rows of none to twelve terms, of which some are negative."""
    fluence = noisy_fluence((1, 13, 150))
    weights = np.tri(13, 12, -1)[None] * np.random.default_rng(5).normal(size=(2, 13, 12))
    found, expected = linear_sums(fluence, weights, threads=2), exact(fluence, weights)
    assert not found[:, 0].any()
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_turned_arrays_and_float64_are_summed_too():
    fluence, weights = noisy_fluence(), np.random.default_rng(5).random((2, 3, 12))
    for values in (np.asfortranarray(fluence), fluence.astype(float), fluence[..., ::-1]):
        np.testing.assert_allclose(linear_sums(values, weights), exact(values, weights), rtol=1e-6)


class Parted:
    """A stored fluence of two parts; what lies outside them is zero."""

    dtype, ndim = np.dtype(np.float32), 5

    def __init__(self, fluence):
        self.fluence, self.shape, self.asked = fluence, fluence.shape, []

    def visit(self, use, box, threads):
        self.asked.append((box, threads))
        use(FluencePart(1, (slice(0, 2), slice(0, 5), slice(1, 4)), self.fluence[1, :, :2, :, 1:4]))
        use(FluencePart(0, (slice(3, 7), slice(2, 3), slice(0, 9)), self.fluence[0, :, 3:, 2:3]))


def test_parts_that_are_not_given_are_zero():
    fluence, weights = noisy_fluence(), np.random.default_rng(5).random((2, 3, 12))
    stored, kept = Parted(fluence), np.zeros_like(fluence)
    kept[1, :, :2, :, 1:4] = fluence[1, :, :2, :, 1:4]
    kept[0, :, 3:, 2:3] = fluence[0, :, 3:, 2:3]
    np.testing.assert_allclose(linear_sums(stored, weights, threads=3), exact(kept, weights), rtol=1e-6)
    assert stored.asked == [((slice(0, 7), slice(0, 5), slice(0, 9)), 3)]


@pytest.mark.parametrize("shape", [(2, 3, 11), (1, 3, 12), (2, 12)])
def test_weights_of_other_bins_are_refused(shape):
    with pytest.raises(GridMismatchError, match=r"\(2, row, 12\) for a fluence of shape .*, found"):
        linear_sums(noisy_fluence(), np.ones(shape))


@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 8), slice(None), slice(None)),
        (slice(-3, None), slice(None), slice(None)),
        (slice(None), slice(3, 2), slice(None)),
        (slice(None), slice(None), slice(None, None, 2)),
        (slice(None), slice(None), slice(None, None, -1)),
    ],
)
def test_a_box_outside_the_grid_is_refused(box):
    with pytest.raises(GridMismatchError, match=r"three slices without steps inside the grid \(7, 5, 9\)"):
        linear_sums(noisy_fluence(), np.ones((2, 1, 12)), box)
    with pytest.raises(GridMismatchError, match="three slices"):
        box_within(box, SHAPE)
