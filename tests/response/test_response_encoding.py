import numpy as np
import torch
from scipy import ndimage

from surrogate3d.response.encoding import MEAN_VOXELS, SPREAD_VOXELS, nearness, roughness, within_lesion

RNG = np.random.default_rng(2)
IMAGE = RNG.normal(size=(2, 14, 14, 14)).astype(np.float32)
DISTANCE = np.linalg.norm(np.moveaxis(np.indices((14, 14, 14)), 0, -1) - 6.2, axis=-1)
INSIDE = np.stack([np.clip(5.5 - DISTANCE, 0, 1), np.clip(4.1 - DISTANCE, 0, 1)]).astype(np.float32)


def test_the_image_counts_from_the_median_of_its_lesion():
    found = within_lesion(torch.from_numpy(IMAGE), torch.from_numpy(INSIDE)).numpy()
    for n in range(2):
        voxels = np.sort(IMAGE[n][INSIDE[n] >= 0.5])
        np.testing.assert_allclose(found[n], IMAGE[n] - voxels[(len(voxels) - 1) // 2], atol=1e-6)


def test_roughness_is_the_local_deviation_about_the_local_mean_of_the_lesions_voxels_alone():
    found = roughness(torch.from_numpy(IMAGE), torch.from_numpy(INSIDE)).numpy()

    def smooth(values, deviation):  # the same window, by another library
        return ndimage.gaussian_filter(values, deviation, mode="constant", radius=int(3 * deviation + 0.5))

    for n in range(2):
        share = INSIDE[n].astype(float)
        mean = smooth(IMAGE[n] * share, MEAN_VOXELS) / np.maximum(smooth(share, MEAN_VOXELS), 0.05)
        square = smooth((IMAGE[n] * share - mean) ** 2 * share, SPREAD_VOXELS)
        expected = np.sqrt(square / np.maximum(smooth(share, SPREAD_VOXELS), 0.05) + 1e-4) * share
        np.testing.assert_allclose(found[n], expected, atol=2e-4)


def test_a_flat_lesion_is_smooth_and_its_slope_is_finite():
    flat = torch.full((1, 14, 14, 14), 0.3, requires_grad=True)
    whole = torch.ones(1, 14, 14, 14)
    rough = roughness(flat, whole)
    assert rough[0, 4:-4, 4:-4, 4:-4].max() < 0.011  # the constant under the root
    (slope,) = torch.autograd.grad(rough.sum(), flat)
    assert torch.isfinite(slope).all()


def test_nearness_is_one_on_a_level_and_falls_as_a_gaussian():
    found = nearness(torch.tensor([[[[0.0, 1.0, 2.0]]]]), (1.0, 3.0), 0.5)[0, :, 0, 0].numpy()
    expected = np.exp(-0.5 * ((np.array([0.0, 1.0, 2.0]) - np.array([[1.0], [3.0]])) / 0.5) ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
