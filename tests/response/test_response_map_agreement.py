import numpy as np
import pytest
import torch
from response_maps import lesions
from scipy.stats import spearmanr

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.map_agreement import agreement, spread_of, stacked


def two_maps(n=3, size=12, seed=3):
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(n, size, size, size))
    return one, one + rng.normal(size=one.shape), lesions(n, size)[1]


def window(x, y, voxels, centre):
    """Weighted means, variances and covariance about a voxel, in plain loops over the lesion's voxels."""
    found = []
    for place in np.argwhere(voxels):
        offset = place - centre
        if np.abs(offset).max() <= 5:
            found.append((np.exp(-(offset @ offset) / (2 * 1.5**2)), x[tuple(place)], y[tuple(place)]))
    weight, a, b = np.array(found).T
    weight /= weight.sum()
    ma, mb = weight @ a, weight @ b
    return ma, mb, weight @ (a - ma) ** 2, weight @ (b - mb) ** 2, weight @ ((a - ma) * (b - mb))


def similarity(ma, mb, va, vb, cov, height):
    C1, C2 = (0.01 * height) ** 2, (0.03 * height) ** 2
    return (2 * ma * mb + C1) * (2 * cov + C2) / ((ma**2 + mb**2 + C1) * (va + vb + C2))


def test_spearman_is_scipys():
    one, other, inside = two_maps()
    one = one.round(1)  # ties
    expected = [spearmanr(a[v], b[v]).statistic for a, b, v in zip(one, other, inside >= 0.5, strict=True)]
    np.testing.assert_allclose(agreement(one, other, inside).spearman, expected, rtol=1e-10)


def test_ssim_is_that_of_loops_over_windows_cut_at_the_surface():
    one, other, inside = two_maps(n=1, size=10)
    voxels = inside[0] >= 0.5
    x, y = ((m[0] - m[0][voxels].min()) / np.ptp(m[0][voxels]) for m in (one, other))
    expected = np.mean([similarity(*window(x, y, voxels, place), 1.0) for place in np.argwhere(voxels)])
    np.testing.assert_allclose(agreement(one, other, inside).ssim, [expected], rtol=1e-10)


def test_a_window_that_is_not_cut_gives_the_ssim_of_monai():
    metrics = pytest.importorskip("monai.metrics.regression", reason="MONAI is not installed")
    x, y = np.random.default_rng(5).normal(size=(2, 11, 11, 11))
    y += x
    one, other = (torch.tensor(each, dtype=torch.float32)[None, None] for each in (x, y))
    theirs, _ = metrics.compute_ssim_and_cs(one, other, 3, [11] * 3, [1.5] * 3, data_range=float(np.ptp(y)))
    ours = similarity(*window(x, y, np.ones(x.shape, dtype=bool), np.array([5, 5, 5])), np.ptp(y))
    np.testing.assert_allclose(theirs.item(), ours, rtol=1e-4)


def test_a_map_agrees_with_itself_in_any_unit_whatever_lies_outside():
    one, _, inside = two_maps()
    scaled = np.where(inside >= 0.5, 3 * one + 7, -100.0)
    found = agreement(scaled, one, inside)
    for values in found.measures.values():
        np.testing.assert_allclose(values, 1.0, rtol=1e-9)
    turned = agreement(-one, one, inside)
    np.testing.assert_allclose(turned.spearman, -1.0)
    np.testing.assert_array_equal(turned.dice, 0.0)
    assert (turned.ssim < 0).all()


def test_dice_counts_the_hottest_voxels():
    inside = np.ones((1, 2, 2, 5))
    one, other = np.arange(20.0).reshape(inside.shape), np.arange(20.0).reshape(inside.shape)
    other[0, 1, 1, 3:] = -1.0  # two of the five hottest are cold in the other map
    assert agreement(one, other, inside, fraction=0.25).dice == pytest.approx(3 / 5)
    assert agreement(one, other, inside, fraction=0.01).dice == 0  # one voxel at least


def test_maps_that_know_nothing_of_each_other_have_a_dice_of_the_fraction():
    rng, inside = np.random.default_rng(0), lesions(200)[1]
    one, other = rng.normal(size=(2, *inside.shape))
    found = agreement(one, other, inside, fraction=0.3).summary()
    assert found["dice"]["mean"] == pytest.approx(0.3, abs=5 * found["dice"]["std"] / np.sqrt(200))
    assert found["spearman"]["mean"] == pytest.approx(0.0, abs=5 * found["spearman"]["std"] / np.sqrt(200))


def test_a_map_without_contrast_agrees_with_nothing():
    one, other, inside = two_maps()
    one[1] = 4.0
    found = agreement(one, other, inside)
    for values in found.measures.values():
        np.testing.assert_array_equal(np.isnan(values), [False, True, False])
    assert found.summary()["ssim"]["n"] == 2
    assert stacked([found, found]).dice.shape == (2, 3)


def test_the_spread_of_few_values_is_not_made_up():
    assert spread_of([1.0, -3.0, np.nan]) == {"mean": -1.0, "std": np.sqrt(8.0), "mean_absolute": 2.0, "n": 2}
    assert np.isnan(spread_of([2.0])["std"])
    nothing = spread_of([np.nan])
    assert nothing["n"] == 0
    assert np.isnan(nothing["mean"])


def test_maps_that_cannot_be_compared_are_refused():
    one, other, inside = two_maps()
    with pytest.raises(GridMismatchError, match="of one shape"):
        agreement(one[:2], other, inside)
    with pytest.raises(ValueRangeError, match="row 0 has values that are not finite"):
        agreement(np.where(one == one[0, 0, 0, 0], np.nan, one), other, inside)
    with pytest.raises(ValueRangeError, match="between 0 and 1"):
        agreement(one, other, inside, fraction=1.0)
    with pytest.raises(ValueRangeError, match="row 2 fills no voxel"):
        agreement(one, other, np.where(np.arange(3)[:, None, None, None] == 2, 0.4, inside))
