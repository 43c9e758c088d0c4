from __future__ import annotations

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid.regions import REGIONS, regions, union

DEPTH = np.array([50, 50, 60, 70, 98, 85, 102, 100, 60, 20, 6, 2.0])
"""Along one line: rising entrance, rippled target, distal edge, and a tail below 5 %."""


def straight_field():
    """A field of 7 x 7 voxels on 11 x 11, full inside, 50 % on its rim, 10 % around, along +k."""
    lateral = np.zeros((11, 11))
    lateral[1:10, 1:10], lateral[2:9, 2:9], lateral[3:8, 3:8] = 0.1, 0.5, 1.0
    return lateral[:, :, None] * DEPTH


def test_the_central_line_by_hand():
    masks = regions(straight_field(), 2, 1, (2.5, 2.5, 2.5))
    # at least half the maximum have, on the 24 lines of the rim, 51, and on 25 lines 60 60 70 85 98 100 102 each:
    # the 100th of these 199 values is 85, so that 76.5 is treated: from 98 to 100
    line = [next((name for name in REGIONS if masks[name][5, 5, k]), "-") for k in range(12)]
    assert line == ["entrance"] * 4 + ["target"] * 4 + ["distal_edge"] * 3 + ["-"]


def test_across_the_beam_by_hand():
    masks = regions(straight_field(), 2, 1, (2.5, 2.5, 2.5))
    row = [next((name for name in REGIONS if masks[name][i, 5, 4]), "-") for i in range(11)]
    assert row == ["-", "other", "penumbra", *["target"] * 5, "penumbra", "other", "-"]


def test_masks_are_disjoint_and_cover_the_evaluated_voxels():
    dose = straight_field() * np.random.default_rng(0).uniform(0.9, 1.1, (11, 11, 12))
    masks = regions(dose, 2, 1, (2.5, 2.5, 2.5))
    assert list(masks) == list(REGIONS)
    assert np.array_equal(np.sum(list(masks.values()), axis=0), (dose >= 0.05 * dose.max()).astype(int))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_follow_the_beam_however_the_grid_lies(axis, sign):
    dose = straight_field() * np.random.default_rng(1).uniform(0.95, 1.05, (11, 11, 12))
    reference = regions(dose, 2, 1, (2.0, 3.0, 1.5))
    turn = np.roll((0, 1, 2), axis - 2)  # cyclic: axis 2 of the reference becomes `axis`
    spacing = tuple(float((2.0, 3.0, 1.5)[a]) for a in turn)
    turned = np.flip(np.transpose(dose, turn), axis) if sign < 0 else np.transpose(dose, turn)
    masks = regions(turned, axis, sign, spacing)
    for name in REGIONS:
        expected = np.transpose(reference[name], turn)
        assert np.array_equal(masks[name], np.flip(expected, axis) if sign < 0 else expected), name


def test_scale_of_the_dose_is_irrelevant():
    reference = regions(straight_field(), 2, 1, (2.5, 2.5, 2.5))
    scaled = regions(straight_field() * 3e-7, 2, 1, (2.5, 2.5, 2.5))
    assert all(np.array_equal(reference[name], scaled[name]) for name in REGIONS)


def test_an_oblique_field_leaves_its_lines_sideways():
    """A strip that slides by half a voxel per plane: its trailing side is penumbra, its end the distal edge."""
    i, k = np.meshgrid(np.arange(40), np.arange(30), indexing="ij")
    across = i + 0.5 * k
    profile = np.clip((across - 20) / 4, 0, 1) * np.clip((34 - across) / 4, 0, 1)
    dose = (profile * np.where(k < 22, 1.0, np.clip((25 - k) / 3, 0, 1)))[:, None, :] + np.zeros((1, 3, 1))
    masks = regions(dose, 2, 1, (2.0, 2.0, 2.0))
    # the trailing side falls with +i: it lies where across is above 30
    trailing = (across > 31) & (k > 4) & (k < 20)
    assert masks["penumbra"][:, 1, :][trailing & (profile > 0.25)].all()
    end = (across > 25) & (across < 29) & (k > 22) & (k < 25)
    assert masks["distal_edge"][:, 1, :][end].all()


def test_single_plane_lines_and_flat_doses_work():
    masks = regions(np.ones((3, 1, 4)), 2, -1, (1.0, 1.0, 1.0))
    assert masks["target"].all()


def test_refusals():
    with pytest.raises(GridMismatchError, match="shape"):
        regions(np.ones((2, 2)), 0, 1, (1.0, 1.0, 1.0))
    with pytest.raises(QuantityError, match="beam must run"):
        regions(np.ones((2, 2, 2)), 3, 1, (1.0, 1.0, 1.0))
    with pytest.raises(ValueRangeError, match="finite"):
        regions(np.zeros((2, 2, 2)), 0, 1, (1.0, 1.0, 1.0))


def test_union():
    a, b = np.array([True, False, False]), np.array([True, True, False])
    assert union({"a": a, "b": b}, (3,)).tolist() == [True, True, False]
    assert union({}, (3,)).all()
    with pytest.raises(GridMismatchError, match="region 'a'"):
        union({"a": a}, (4,))
