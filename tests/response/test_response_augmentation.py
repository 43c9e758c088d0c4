from dataclasses import replace

import numpy as np
import pytest
from response_examples import SMALL, made_patches

from surrogate3d.response.augmentation import SYMMETRIES, Augmented, allowed_shift, placed

STILL = np.zeros(3, dtype=np.int64)
QUIET = replace(SMALL, shift_voxels=0, gain=0.0, offset=0.0, noise=0.0)


def test_the_symmetries_are_the_48_of_the_cube():
    block = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    seen = {placed(block, each, STILL).tobytes() for each in SYMMETRIES}
    assert len(seen) == 48
    distances = np.array([np.linalg.norm(np.argwhere(block == 7)[0] - np.argwhere(block == n)[0]) for n in range(27)])
    for each in SYMMETRIES:
        turned = placed(block, each, STILL)
        where = {int(turned[tuple(at)]): at for at in np.argwhere(turned >= 0)}
        moved = np.array([np.linalg.norm(where[7] - where[n]) for n in range(27)])
        assert np.allclose(moved, distances)  # distances between voxels are kept


def test_all_channels_turn_together():
    block = np.random.default_rng(0).normal(size=(3, 4, 4, 4)).astype(np.float32)
    for each in SYMMETRIES[::7]:
        together = placed(block, each, np.array([1, 0, -1]))
        assert all(np.array_equal(together[n], placed(block[n], each, np.array([1, 0, -1]))) for n in range(3))


def test_content_moves_by_whole_voxels():
    block = np.zeros((6, 6, 6), dtype=np.float32)
    block[2, 3, 4] = 1
    assert placed(block, SYMMETRIES[0], np.array([1, -2, 0]))[3, 1, 4] == 1


@pytest.mark.parametrize(
    ("wanted", "allowed"), [((2, 2, 2), (2, 1, 0)), ((-2, -2, -2), (-1, -2, -2)), ((0, 1, 0),) * 2]
)
def test_a_lesion_is_never_pushed_out_of_its_cube(wanted, allowed):
    inside = np.zeros((6, 6, 6), dtype=np.float32)
    inside[1:3, 2:5, 4:6] = 0.5
    assert allowed_shift(inside, np.array(wanted)).tolist() == list(allowed)


def test_a_cube_that_the_lesion_fills_is_not_shifted():
    assert allowed_shift(np.ones((4, 4, 4), dtype=np.float32), np.array([2, -2, 1])).tolist() == [0, 0, 0]


def copies(config, seed, n_patients=2):
    patches = made_patches(n_patients)
    return patches, Augmented(patches, config).copies(np.random.default_rng(seed))


def test_without_strengths_only_places_change():
    patches, drawn = copies(QUIET, 1)
    assert len(drawn) == QUIET.copies
    for each in drawn:
        assert each.truth is None
        assert each.patient.tolist() == patches.patient.tolist()
        for n in range(len(patches)):
            assert np.allclose(np.sort(each.values[n], axis=None), np.sort(patches.values[n], axis=None), atol=1e-6)
            before = np.sort(patches.values[n, 0][patches.inside[n] > 0])
            assert np.allclose(np.sort(each.values[n, 0][each.inside[n] > 0]), before, atol=1e-6)
    assert not np.array_equal(drawn[0].values, drawn[1].values)


def test_a_scanner_changes_the_image_and_not_the_dose():
    patches, (drawn, _) = copies(replace(QUIET, gain=0.2, offset=0.1, noise=0.1), 1)
    assert np.array_equal(np.sort(drawn.values[0, 1], axis=None), np.sort(patches.values[0, 1], axis=None))
    assert not np.isclose(drawn.values[0, 0].mean(), patches.values[0, 0].mean(), atol=1e-3)


def test_a_factor_acts_on_the_signal_and_not_on_what_is_left_of_it():
    patches, (drawn, _) = copies(replace(QUIET, gain=0.3), 3)
    ratio = (np.sort(drawn.values[0, 0], axis=None) + 1) / (np.sort(patches.values[0, 0], axis=None) + 1)
    assert np.ptp(ratio) < 1e-5
    assert abs(ratio.mean() - 1) > 0.01


def test_the_same_seed_draws_the_same():
    (_, one), (_, two) = (copies(SMALL, 9) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.values, b.values)
        assert np.array_equal(a.inside, b.inside)
