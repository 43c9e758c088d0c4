import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.inference.tiles import Room, Tile, bounding_box, grown, halved, tiles

SHAPE = (20, 17, 31)


def n_voxels(box) -> int:
    return int(np.prod([side.stop - side.start for side in box]))


def room(most: int) -> Room:
    """For so many voxels in a box."""
    return Room(1.0, 0.0, (0, 0, 0), most)


def some_mask(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3:15, 2:16, 5:29] = rng.random((12, 14, 24)) < 0.3
    return mask


@pytest.mark.parametrize("most", [1, 400, 3000, 10**6])
def test_cores_cover_every_voxel_once_and_boxes_hold_the_reach(most: int) -> None:
    mask, reach = some_mask(), (3, 3, 2)
    count = np.zeros(SHAPE, dtype=int)
    for tile in tiles(mask, reach, room(most)):
        count[tile.core] += 1
        assert mask[tile.core].any()
        for core, box, more, size in zip(tile.core, tile.box, reach, SHAPE, strict=True):
            assert box == slice(max(0, core.start - more), min(size, core.stop + more))
    assert (count[mask] == 1).all()
    assert count.max() == 1


def test_one_tile_where_memory_allows_it() -> None:
    (tile,) = tiles(some_mask(), (3, 3, 2), room(10**6))
    assert tile.core == bounding_box(some_mask())


@pytest.mark.parametrize("most", [900, 2000, 5000])
def test_no_box_is_larger_than_allowed_where_that_is_possible(most: int) -> None:
    found = tiles(some_mask(), (3, 3, 2), room(most))
    assert max(n_voxels(tile.box) for tile in found) <= most


def test_tiles_come_slab_by_slab() -> None:
    starts = [tile.core[2].start for tile in tiles(some_mask(), (1, 1, 1), room(300))]
    assert starts == sorted(starts)
    assert len(set(starts)) > 1


def test_the_core_is_found_in_its_box() -> None:
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    for tile in tiles(some_mask(), (2, 5, 1), room(800)):
        np.testing.assert_array_equal(values[tile.box][tile.inner], values[tile.core])


def test_nothing_to_answer_is_no_tile() -> None:
    assert tiles(np.zeros(SHAPE, dtype=bool), (1, 1, 1), room(100)) == ()


def test_a_box_grows_as_far_as_the_volume_goes() -> None:
    assert grown((slice(1, 3), slice(5, 6), slice(0, 4)), (2, 2, 2), (4, 20, 5)) == (
        slice(0, 4), slice(3, 8), slice(0, 5),
    )  # fmt: skip
    assert Tile((slice(1, 2),) * 3, (slice(0, 3),) * 3).inner == (slice(1, 2),) * 3


def test_a_tile_of_no_voxel_is_refused() -> None:
    with pytest.raises(ValueRangeError, match="some room"):
        tiles(some_mask(), (1, 1, 1), room(0))


def test_a_box_is_halved_across_its_longest_side() -> None:
    assert halved((slice(2, 4), slice(0, 5), slice(1, 3))) == (
        (slice(2, 4), slice(0, 2), slice(1, 3)), (slice(2, 4), slice(2, 5), slice(1, 3)),
    )  # fmt: skip
    assert halved((slice(0, 1), slice(3, 4), slice(0, 1))) == ((slice(0, 1), slice(3, 4), slice(0, 1)),)


def test_what_is_near_may_decide() -> None:
    """With all the cost in the core and one voxel about it, tiles are larger than if the whole box had it."""
    mask = np.ones((40, 40, 40), dtype=bool)
    near = tiles(mask, (8, 8, 8), Room(0.0, 1.0, (1, 1, 1), 20000))
    everything = tiles(mask, (8, 8, 8), Room(1.0, 0.0, (1, 1, 1), 20000))
    assert len(near) < len(everything)
    assert all(n_voxels(grown(tile.core, (1, 1, 1), mask.shape)) <= 20000 for tile in near)
