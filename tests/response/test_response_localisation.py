import numpy as np
import pytest
from scipy.stats import binomtest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.localisation import (
    SCORES,
    by_size,
    localisation,
    localisation_differences,
    localise,
    stacked,
)

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")

PATIENT = np.array(list("aabbcd"))


def cubes(n=6, s=8, seed=0):
    """Maps with ties, truth (none in row 2) and lesions: boxes in cubes."""
    rng = np.random.default_rng(seed)
    inside, truth = np.zeros((2, n, s, s, s), dtype=np.float32)
    for row in range(n):
        inside[row, 1:7, 1:6, 1 : 4 + row % 3] = 1
        truth[row, 2:4, 2 : 3 + row % 4, 1:3] = row != 2
    return (truth + rng.normal(0, 0.7, truth.shape)).round(1).astype(np.float32), truth, inside


def one_lesion(peaks):
    """A map that is zero but for some voxels, in a cube of 9 with a lesion of 5 and a region of one voxel amid."""
    maps, truth, inside = np.zeros((3, 1, 9, 9, 9))
    inside[0, 2:7, 2:7, 2:7] = truth[0, 4, 4, 4] = 1
    for where, value in peaks.items():
        maps[(0, *where)] = value
    return maps, truth, inside


def pointing(peaks):
    found = localise(*one_lesion(peaks), 0.5, np.array(["a"])).scores
    return tuple(float(found[name][0, 0]) for name in ("pointing", "pointing_near", "pointing_anywhere"))


def test_pointing_asks_where_the_largest_value_lies():
    assert pointing({(4, 4, 4): 2.0, (3, 3, 3): 1.0}) == (1, 1, 1)
    assert pointing({(4, 4, 4): 2.0, (0, 0, 0): 3.0}) == (1, 1, 0)  # the cube has a larger value, outside the lesion
    assert pointing({(4, 4, 4): 2.0, (5, 5, 5): 2.5}) == (0, 1, 0)  # a neighbour over the corner
    assert pointing({(4, 4, 4): 2.0, (4, 4, 6): 2.5}) == (0, 0, 0)  # two voxels off
    assert pointing({(4, 4, 4): -5.0, (6, 6, 6): 0.1}) == (0, 0, 0)  # negative is evidence of a response


def test_equal_largest_values_count_by_their_share():
    assert pointing({(4, 4, 4): 2.0, (2, 2, 2): 2.0}) == (0.5, 0.5, 0.5)
    assert pointing({}) == (1 / 125, 27 / 125, 1 / 729)  # a map without any is a guess


def test_auroc_and_average_precision_are_those_of_scikit_learn():
    maps, truth, inside = cubes()
    found = localise(maps, truth, inside, 0.5, PATIENT).scores
    for row in (0, 1, 3, 4, 5):
        voxels = inside[row] == 1
        label, value = truth[row][voxels], maps[row][voxels]
        assert len(np.unique(value)) < len(value)
        assert found["auroc"][0, row] == pytest.approx(metrics.roc_auc_score(label, value), rel=1e-12)
        slow = metrics.average_precision_score(label, value)
        assert found["average_precision"][0, row] == pytest.approx(slow, rel=1e-12)


def test_dice_is_that_of_scikit_learn_with_the_threshold_of_the_lesions_fold():
    maps, truth, inside = cubes()
    threshold = np.array([0.3, 0.8, 0.1, 0.5, 0.5, 9.0])
    found = localise(maps, truth, inside, threshold, PATIENT).scores
    for row in (0, 1, 3, 4, 5):
        voxels, chosen = inside[row] == 1, maps[row] >= threshold[row]
        slow = metrics.f1_score(truth[row][voxels], chosen[voxels], zero_division=0)
        assert found["dice"][0, row] == pytest.approx(slow, rel=1e-12)
        slow = metrics.f1_score(truth[row].ravel(), chosen.ravel(), zero_division=0)
        assert found["dice_anywhere"][0, row] == pytest.approx(slow, rel=1e-12)
    assert found["dice"][0, 5] == 0.0  # nothing is above its threshold
    wide = localise(maps, truth, inside, threshold, PATIENT, np.full(6, 0.6)).scores
    np.testing.assert_array_equal(wide["dice"], found["dice"])
    slow = [metrics.f1_score(truth[row].ravel(), maps[row].ravel() >= 0.6, zero_division=0) for row in (0, 1, 3, 4, 5)]
    np.testing.assert_allclose(wide["dice_anywhere"][0, [0, 1, 3, 4, 5]], slow, rtol=1e-12)


def test_lesions_without_a_region_are_not_judged():
    maps, truth, inside = cubes()
    found = localise(maps, truth, inside, 0.5, PATIENT)
    assert all(np.isnan(found.scores[name][0, 2]) for name in SCORES)
    assert found.region_voxels.tolist() == [4, 8, 0, 16, 4, 8]
    means = localisation(found)
    assert (means.lesions, means.patients, means.region_voxels) == (5, 4, (4, 16))
    for name in SCORES:
        assert means.scores[name].value == pytest.approx(np.delete(found.scores[name][0], 2).mean())
    assert means.chance == pytest.approx(np.mean([4 / 90, 8 / 120, 16 / 90, 4 / 120, 8 / 150]))


def test_a_region_that_fills_the_lesion_has_no_auroc():
    maps, truth, inside = cubes()
    truth[0] = inside[0]
    found = localise(maps, truth, inside, 0.5, PATIENT)
    assert np.isnan(found.scores["auroc"][0, 0])
    assert found.scores["average_precision"][0, 0] == 1.0
    rest = localisation(found).scores["auroc"].value
    assert rest == pytest.approx(np.nanmean(found.scores["auroc"][0]))
    alone = localisation(found, np.arange(6) == 0).scores["auroc"]
    assert np.isnan([alone.value, alone.low, alone.high]).all()


def test_repeats_are_averaged_lesion_by_lesion():
    maps, truth, inside = cubes()
    parts = [localise(each, truth, inside, 0.5, PATIENT) for each in (maps, -maps, 0.5 * maps)]
    found = stacked(parts)
    for name in SCORES:
        assert found.scores[name].shape == (3, 6)
        expected = np.mean([localisation(part).scores[name].value for part in parts])
        assert localisation(found).scores[name].value == pytest.approx(expected)


def test_intervals_draw_whole_patients():
    # Patient a has lesions 0 and 1, b 3 (and 2 without region), c 4, d 5: four patients, each drawn by chance 1/4.
    maps, truth, inside = cubes()
    found = localise(maps, truth, inside, 0.5, PATIENT)
    score = found.scores["auroc"][0]
    sums, sizes = np.array([score[0] + score[1], score[3], score[4], score[5]]), np.array([2, 1, 1, 1])
    drawn = np.random.default_rng(9).integers(0, 4, (20000, 4))
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    mean = localisation(found).scores["auroc"]
    assert (mean.low, mean.high) == pytest.approx((low, high), abs=0.006)


def test_pointing_has_wilsons_interval_as_a_bootstrap_has_no_width_where_all_are_right():
    _, truth, inside = cubes()
    means = localisation(localise(truth, truth, inside, 0.5, PATIENT))
    assert (means.scores["pointing"].low, means.scores["pointing"].high) == (1.0, 1.0)
    expected = binomtest(5, 5).proportion_ci(method="wilson")
    assert means.pointing_wilson == pytest.approx((expected.low, expected.high))
    assert {means.scores[name].value for name in SCORES} == {1.0}


def test_random_maps_point_by_chance():
    _, truth, inside = cubes()
    rng = np.random.default_rng(1)
    found = stacked([localise(rng.normal(size=truth.shape), truth, inside, 0.5, PATIENT) for _ in range(400)])
    means = localisation(found)
    assert means.scores["pointing"].value == pytest.approx(means.chance, abs=0.02)
    assert means.scores["auroc"].value == pytest.approx(0.5, abs=0.02)


def test_lesions_are_parted_by_the_size_of_their_region():
    maps, truth, inside = cubes()
    found = localise(maps, truth, inside, 0.5, PATIENT)
    small, middle, large = by_size(found)
    assert [part.region_voxels for part in (small, middle, large)] == [(4, 4), (8, 8), (16, 16)]
    assert [part.lesions for part in (small, middle, large)] == [2, 2, 1]
    assert small.scores["dice"].value == pytest.approx(found.scores["dice"][0, [0, 4]].mean())


def test_differences_are_lesion_by_lesion():
    maps, truth, inside = cubes()
    other = localise(maps, truth, inside, 0.5, PATIENT)
    one = localise(maps + 0.2 * truth, truth, inside, 0.5, PATIENT)
    found, back = localisation_differences(one, other), localisation_differences(other, one)
    for name, gain in found.items():
        assert gain.value == pytest.approx(np.nanmean(one.scores[name] - other.scores[name]))
        assert (gain.low, gain.high) == pytest.approx((-back[name].high, -back[name].low))
    assert found["auroc"].low > 0
    none = localisation_differences(one, stacked([one, one]))["auroc"]
    assert (none.low, none.high) == pytest.approx((0, 0), abs=1e-12)


def test_what_cannot_be_judged_is_refused():
    maps, truth, inside = cubes()
    with pytest.raises(GridMismatchError, match=r"thresholds and patients of 6 maps, found \(5,\) and \(6,\)"):
        localise(maps, truth, inside, np.zeros(5), PATIENT)
    with pytest.raises(GridMismatchError, match=r"found \(\) and \(5,\)"):
        localise(maps, truth, inside, 0.5, PATIENT[1:])
    found = localise(maps, truth, inside, 0.5, PATIENT)
    other = localise(maps[::-1], truth[::-1], inside[::-1], 0.5, PATIENT[::-1])
    with pytest.raises(GridMismatchError, match="not judged on the same lesions"):
        stacked([found, other])
    with pytest.raises(GridMismatchError, match="not judged on the same lesions"):
        localisation_differences(found, other)
    none = localise(maps, 0 * truth, inside, 0.5, PATIENT)
    for judged in (localisation, by_size, lambda each: localisation_differences(each, each)):
        with pytest.raises(ValueRangeError, match="none of 6 lesions asked for has a planted region"):
            judged(none)
