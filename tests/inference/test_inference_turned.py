import numpy as np
import pytest

from surrogate3d.inference.turned import Turn
from surrogate3d.model.groups import turn_downstream

SHAPE = (4, 5, 6)
VALUES = np.arange(np.prod(SHAPE)).reshape(SHAPE)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_boxes_and_voxels_go_where_arrays_go(axis: int, sign: int) -> None:
    turn, turned = Turn(axis, sign), turn_downstream(VALUES, axis, sign)
    box = (slice(1, 3), slice(0, 4), slice(2, 5))
    np.testing.assert_array_equal(turned[turn.box(box, SHAPE)], turn_downstream(VALUES[box], axis, sign))
    voxels = np.random.default_rng(0).integers(0, SHAPE, size=(20, 3))
    assert (turned[tuple(turn.voxels(voxels, SHAPE).T)] == VALUES[tuple(voxels.T)]).all()


def test_reaches_are_told_by_axis() -> None:
    assert Turn(1, -1).reach(19, 9) == (19, 9, 19)
