import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.response.map_scale import (
    RULES,
    SIGMAS,
    MapScale,
    best_scale,
    best_threshold,
    lesion_voxels,
    region_voxels,
    smoothed,
    standardised,
)


def cubes(n=6, s=7, seed=0):
    """Maps, truth and lesions: boxes in cubes, of other sizes in each row."""
    rng = np.random.default_rng(seed)
    inside, truth = np.zeros((2, n, s, s, s), dtype=np.float32)
    for row in range(n):
        inside[row, 1 : 4 + row % 3, 1:6, 1:5] = 1
        truth[row, 1:3, 2 : 3 + row % 4, 1:4] = 1
    return (truth + rng.normal(0, 0.7, truth.shape)).astype(np.float32), truth, inside


def test_a_voxel_belongs_where_at_least_half_of_it_does():
    inside = np.zeros((1, 3, 3, 3))
    inside[0, 1] = [[0.49, 0.5, 0.51], [1.0, 1.0, 1.0], [0, 0, 0]]
    lesion = lesion_voxels(np.ones_like(inside), inside)
    assert lesion.sum() == 5
    assert not lesion[0, 1, 0, 0]
    np.testing.assert_array_equal(region_voxels(0.5 * inside, inside)[0, 1, 1], [True, True, True])
    assert region_voxels(0.4 * inside, inside).sum() == 0


def test_the_root_mean_square_takes_out_the_gain_of_each_map():
    maps, _, inside = cubes()
    gain = np.array([0.1, 1, 5, 30, 2, 7], dtype=np.float32)[:, None, None, None]
    found = standardised(maps, inside)
    np.testing.assert_allclose(standardised(gain * maps, inside), found, rtol=1e-5)
    for row in range(6):
        assert np.mean(found[row][inside[row] == 1] ** 2) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(np.sign(found), np.sign(maps))
    assert not standardised(0 * maps, inside).any()


def test_the_density_takes_out_the_size_of_the_lesion():
    _, _, inside = cubes()
    size = inside.sum(axis=(1, 2, 3), keepdims=True)
    assert len(np.unique(size)) == 3
    np.testing.assert_allclose(standardised(0.3 * inside / size, inside, "density"), 0.3 * inside, rtol=1e-6)


def test_absolute_maps_stay_as_they_are():
    maps, _, inside = cubes()
    np.testing.assert_array_equal(standardised(maps, inside, "absolute"), maps)


@pytest.mark.parametrize("anywhere", [False, True])
def test_the_threshold_is_the_best_of_all(anywhere):
    maps, truth, inside = cubes()
    maps = maps.round(1)  # ties, within a lesion and between lesions
    truth[2] = 0  # a lesion without a region has no say

    def mean_dice(threshold):
        each = []
        for row in (0, 1, 3, 4, 5):
            chosen, region = (maps[row] >= threshold) & ((inside[row] == 1) | anywhere), truth[row] == 1
            each.append(2 * (chosen & region).sum() / (chosen.sum() + region.sum()))
        return np.mean(each)

    found = best_threshold(maps, truth, inside, anywhere=anywhere)
    values = np.unique(maps[(inside == 1) | anywhere])
    slow = np.array([mean_dice(value) for value in values])
    assert found == pytest.approx(float(values[slow.argmax()]))
    assert mean_dice(np.float32(found)) == pytest.approx(slow.max(), rel=1e-12)
    single = [slice(0, 1), slice(0, 1), slice(0, 1)]
    perfect = best_threshold(truth[single[0]], truth[single[1]], inside[single[2]])
    assert perfect == 1.0


def test_maps_that_cannot_be_scaled_are_refused():
    maps, truth, inside = cubes()
    with pytest.raises(
        UnknownNameError, match="unknown rule 'maximum' for maps; known: root mean square, density, absol"
    ):
        standardised(maps, inside, "maximum")
    with pytest.raises(GridMismatchError, match=r"of one shape .* found \(5, 7, 7, 7\) and \(6, 7, 7, 7\)"):
        standardised(maps[1:], inside)
    with pytest.raises(GridMismatchError, match=r"truth of shape \(6, 7, 7, 7\), as the lesions, found \(5"):
        best_threshold(maps, truth[1:], inside)
    with pytest.raises(ValueRangeError, match="lesion of row 3 fills no voxel of its cube by half"):
        standardised(maps, np.where(np.arange(6)[:, None, None, None] == 3, 0.4 * inside, inside))
    with pytest.raises(ValueRangeError, match="none of the lesions that were learnt from has a planted region"):
        best_threshold(maps, 0 * truth, inside)
    with pytest.raises(ValueRangeError, match="planted region of row 0 reaches outside its lesion"):
        best_threshold(maps, np.ones_like(truth), inside)
    maps[4, 0, 0, 0] = np.nan
    with pytest.raises(ValueRangeError, match="the map of row 4 has values that are not finite"):
        standardised(maps, inside)
    truth[5, 0, 0, 0] = np.nan
    with pytest.raises(ValueRangeError, match=r"planted region of row 5 .* or is not finite"):
        best_threshold(np.nan_to_num(maps), truth, inside)


@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_a_voxel_becomes_the_weighted_mean_of_its_own_side_of_the_edge(sigma):
    maps, _, inside = cubes(n=2)
    inside[:, 3] *= 0.7
    place = np.argwhere(np.ones(maps.shape[1:]))
    found = smoothed(maps, inside, sigma)
    for row, at in [(0, (2, 3, 3)), (1, (3, 1, 4)), (1, (0, 0, 0)), (0, (6, 3, 2))]:
        near = np.exp(-((place - at) ** 2).sum(axis=1) / (2 * sigma**2)).reshape(maps.shape[1:])
        weight = near * (inside[row] if inside[row][at] >= 0.5 else 1 - inside[row])
        assert found[row][at] == pytest.approx((weight * maps[row]).sum() / weight.sum(), abs=1e-3)


def test_what_is_outside_a_lesion_has_no_say_inside():
    maps, _, inside = cubes()
    changed = np.where(inside > 0, maps, 100.0)
    found, other = smoothed(maps, inside, 2.0), smoothed(changed, inside, 2.0)
    np.testing.assert_array_equal(found[inside == 1], other[inside == 1])
    np.testing.assert_allclose(other[inside == 0], 100.0, rtol=1e-5)
    np.testing.assert_allclose(smoothed(0 * maps + 3, inside, 2.0), 3.0, rtol=1e-5)
    np.testing.assert_array_equal(smoothed(maps, inside, 0.0), maps)


def test_the_scale_is_the_best_of_all():
    maps, truth, inside = cubes(s=9)
    found = best_scale(maps, truth, inside)

    def mean_dice(scale):
        chosen, region = (scale(maps, inside) >= np.float32(scale.threshold)) & (inside == 1), truth == 1
        both, sizes = (chosen & region).sum(axis=(1, 2, 3)), chosen.sum(axis=(1, 2, 3)) + region.sum(axis=(1, 2, 3))
        return (2 * both / sizes).mean()

    tried = []
    for sigma in SIGMAS:
        for rule in RULES:
            scaled = standardised(smoothed(maps, inside, sigma), inside, rule)
            tried.append(mean_dice(MapScale(rule, sigma, best_threshold(scaled, truth, inside), np.nan)))
    assert found.sigma > 0  # the maps are noisy
    assert found.dice == pytest.approx(max(tried), rel=1e-12)
    assert mean_dice(found) == pytest.approx(found.dice, rel=1e-12)
    perfect = best_scale(truth, truth, inside)
    assert (perfect.rule, perfect.sigma) == ("root mean square", 0.0)  # the first, though others are as good
    assert perfect.dice == pytest.approx(1.0)


def test_a_width_that_is_none_is_refused():
    maps, _, inside = cubes()
    for sigma in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueRangeError, match="0 voxels or more, found sigma"):
            smoothed(maps, inside, sigma)
    with pytest.raises(ValueRangeError, match="none of the lesions that were learnt from"):
        best_scale(maps, 0 * maps, inside)
