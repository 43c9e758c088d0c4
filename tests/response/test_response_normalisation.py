"""The scale of images and the dose on their voxels, against slow twins and fields that are known."""

import numpy as np
import pytest

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.grid import Grid, Lesion, Volume, quantity
from surrogate3d.response.normalisation import cropped, delivered_on_image, normalised_image, shell, with_margin

GRID = Grid((16, 18, 12), (1.0, 1.2, 1.5), (-5.0, 4.0, 30.0))
MASK = np.zeros(GRID.shape, dtype=bool)
MASK[6:10, 7:11, 4:8] = True
MASK[10, 8, 5] = True


def positions(grid):
    return grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1))


def lesion(image=None, mask=MASK, grid=GRID, **others):
    values = np.random.default_rng(1).uniform(50, 150, grid.shape) if image is None else image
    return Lesion("P7", "L2", Volume(grid, values, quantity("image_signal")), mask, **others)


def dose(grid, values):
    return {"dose": Volume(grid, values, quantity("dose_to_water"))}


def slow_shell():
    inside = positions(GRID)[MASK]
    nearest = np.array([np.linalg.norm(inside - one, axis=1).min() for one in positions(GRID).reshape(-1, 3)])
    return ((nearest >= 2) & (nearest <= 6)).reshape(GRID.shape)


def test_the_shell_lies_two_to_six_mm_from_the_lesion():
    np.testing.assert_array_equal(shell(MASK, GRID), slow_shell())


def test_the_image_is_compared_with_the_median_around_the_lesion():
    each = lesion()
    median = np.median(each.image.values[slow_shell()])
    np.testing.assert_allclose(normalised_image(each), each.image.values / median - 1, rtol=1e-12)


def test_what_is_not_known_around_a_lesion_is_not_counted():
    image = np.full(GRID.shape, 80.0)
    image[:3] = np.nan
    found = normalised_image(lesion(image))
    assert np.isnan(found[:3]).all()
    assert (found[3:] == 0).all()


def test_an_image_that_cannot_be_normalised_is_refused_by_name():
    with pytest.raises(ValueRangeError, match=r"patient P7, lesion L2: .* must be above 0, found -3"):
        normalised_image(lesion(np.full(GRID.shape, -3.0)))
    gap = np.ones(GRID.shape)
    gap[8, 8, 5] = np.nan
    with pytest.raises(ValueRangeError, match="patient P7, lesion L2: the image has voxels in the lesion that are not"):
        normalised_image(lesion(gap))
    with pytest.raises(
        ValueRangeError, match="patient P7, lesion L2: the image has no voxel 2 to 6 mm from the lesion"
    ):
        normalised_image(lesion(mask=np.ones(GRID.shape, dtype=bool)))


def test_a_dose_that_is_linear_in_space_stays_so_on_the_image():
    coarse, slope = Grid((14, 15, 13), (2.0, 2.0, 2.0), (-9.0, 0.0, 25.0)), np.array([0.5, -0.3, 0.2])
    each = lesion(delivered=dose(coarse, 40.0 + positions(coarse) @ slope))
    np.testing.assert_allclose(delivered_on_image(each, "dose"), 40.0 + positions(GRID) @ slope, rtol=1e-12)


def test_a_stated_transform_takes_the_image_to_the_dose():
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (10.0, -20.0, 5.0)
    far = Grid((30, 30, 30), (2.0, 2.0, 2.0), (-40.0, -40.0, 10.0))
    slope = np.array([0.5, -0.3, 0.2])
    each = lesion(delivered=dose(far, 60.0 + positions(far) @ slope), image_to_dose=matrix)
    expected = 60.0 + (positions(GRID) @ turn.T + matrix[:3, 3]) @ slope
    np.testing.assert_allclose(delivered_on_image(each, "dose"), expected, rtol=1e-12)


def test_a_dose_beside_the_lesion_may_be_unknown_but_not_in_it():
    small = Grid((9, 12, 9), (1.0, 1.2, 1.5), tuple(float(x) for x in GRID.position_mm((4, 4, 2))))
    values = delivered_on_image(lesion(delivered=dose(small, np.full(small.shape, 20.0))), "dose")
    assert np.isnan(values[0]).all()
    assert (values[MASK] == 20.0).all()
    smaller = Grid((4, 12, 9), small.spacing_mm, small.origin_mm)
    with pytest.raises(ValueRangeError, match="patient P7, lesion L2: dose is not known in 33 of 65 voxels"):
        delivered_on_image(lesion(delivered=dose(smaller, np.ones(smaller.shape))), "dose")


def test_a_treatment_that_is_not_there_is_refused():
    with pytest.raises(UnknownNameError, match="patient P7, lesion L2: asked for D_RBE, but there is nothing"):
        delivered_on_image(lesion(), "D_RBE")


def test_a_cropped_lesion_lies_where_it_was_and_has_the_same_scale():
    each = lesion(truth=MASK & (positions(GRID)[..., 0] > 3))
    part = cropped(each, 6.0)
    box = with_margin(MASK, GRID, 6.0)
    assert part.image.grid.n_voxels < GRID.n_voxels
    np.testing.assert_allclose(positions(part.image.grid), positions(GRID)[box], rtol=1e-12)
    np.testing.assert_allclose(normalised_image(part), normalised_image(each)[box], rtol=1e-12)
    np.testing.assert_array_equal(part.truth, each.truth[box])
    assert part.volume_mm3 == each.volume_mm3
