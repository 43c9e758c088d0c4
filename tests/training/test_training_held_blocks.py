"""Voxels kept out of a training are whole blocks, and as many as asked for."""

import numpy as np
import pytest

from surrogate3d.training.held_blocks import LARGEST, block_side, held_blocks


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_the_fraction_is_kept_out_of_what_may_be_learnt(fraction, seed):
    rng = np.random.default_rng(seed)
    learnt = np.zeros((20, 18, 40), dtype=bool)
    learnt[3:17, 2:16, :33] = True
    held = held_blocks(learnt, fraction, rng)
    assert not (held & ~learnt).any()
    side = block_side(fraction * learnt.sum())
    assert abs(held.sum() - fraction * learnt.sum()) <= side**3 / 2


def test_held_voxels_are_in_whole_cubes():
    """Of a volume that may all be learnt: in every line, runs of the side, but for those cut by the ends."""
    learnt = np.ones((36, 36, 36), dtype=bool)
    held = held_blocks(learnt, 0.1, np.random.default_rng(4))
    assert block_side(0.1 * learnt.size) == LARGEST
    for axis in range(3):
        edges = np.diff(held.astype(int), axis=axis)
        cuts = np.unique(np.argwhere(edges)[:, axis]) + 1
        assert len(np.unique(cuts % LARGEST)) == 1


def test_every_voxel_is_as_likely_to_be_kept_out():
    learnt = np.ones((10, 10, 10), dtype=bool)
    rng = np.random.default_rng(5)
    often = np.mean([held_blocks(learnt, 0.2, rng) for _ in range(600)], axis=0)
    assert often.mean() == pytest.approx(0.2, abs=0.01)
    assert often.std() < 0.03


def test_small_plans_have_small_blocks_and_the_seed_decides():
    assert [block_side(n) for n in (0, 8, 64, 216, 1000, 10**6)] == [1, 1, 2, 3, 5, 6]
    learnt = np.ones((8, 8, 8), dtype=bool)
    first, again = (held_blocks(learnt, 0.2, np.random.default_rng(6)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
