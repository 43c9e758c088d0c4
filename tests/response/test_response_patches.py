from dataclasses import replace

import numpy as np
import pytest
from response_examples import made_cohort, made_lesion

from surrogate3d.errors import ConfigError, GeometryError, GridMismatchError, QuantityError
from surrogate3d.grid import Cohort, Grid, Lesion, Volume, quantity
from surrogate3d.response.normalisation import normalised_image
from surrogate3d.response.patches import back_to_image, patches

SIGNAL, DOSE = quantity("image_signal"), quantity("dose_to_water")
OBLIQUE = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))


def positions(grid: Grid) -> np.ndarray:
    return grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1))


def slope(grid: Grid, about: float = 50.0) -> np.ndarray:
    """A field that is linear in space, so that linear interpolation is exact."""
    return about + positions(grid) @ np.array([0.3, -0.2, 0.1])


def sphere(grid: Grid, radius_mm: float = 4.0) -> np.ndarray:
    middle = grid.position_mm((np.array(grid.shape) - 1) / 2)
    return np.linalg.norm(positions(grid) - middle, axis=-1) < radius_mm


def sloping(grid: Grid, **changes) -> Lesion:
    lesion = Lesion("P", "L", Volume(grid, slope(grid), SIGNAL), sphere(grid), {})
    return replace(lesion, **changes)


def test_nothing_is_resampled_where_the_spacing_is_the_same():
    lesion = made_lesion("P", "L", True, 3)
    found = patches(Cohort([lesion]), ("image",), size=12)
    first = np.rint(lesion.image.grid.index(found.grids[0].origin_mm)).astype(int)
    part = tuple(slice(a, a + 12) for a in first)
    assert np.allclose(found.grids[0].origin_mm, lesion.image.grid.position_mm(first), atol=1e-9)
    assert np.allclose(found.values[0, 0], normalised_image(lesion)[part], atol=1e-6)
    assert np.array_equal(found.inside[0], lesion.mask[part])
    assert np.array_equal(found.truth[0], lesion.truth[part])


def test_the_middle_of_the_cube_is_the_centroid_to_half_a_voxel():
    for n, lesion in enumerate(made_cohort(3)):
        grid = patches(Cohort([lesion]), ("image",), size=12).grids[0]
        centroid = positions(lesion.image.grid)[lesion.mask].mean(axis=0)
        assert np.abs(grid.position_mm([5.5] * 3) - centroid).max() <= 0.5 + 1e-9, n


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 2.5), (2.0, 1.5, 1.0)])
@pytest.mark.parametrize("spacing_mm", [1.0, 1.5, 0.8])
def test_anisotropic_voxels_keep_positions_and_volumes(spacing, spacing_mm):
    shape = tuple(int(60 / edge) for edge in spacing)
    lesion = sloping(Grid(shape, spacing, (5.0, -30.0, 8.0)))
    found = patches(Cohort([lesion]), ("image",), size=16, spacing_mm=spacing_mm)
    grid = found.grids[0]
    scale = lesion.image.values[lesion.mask].mean() / (normalised_image(lesion)[lesion.mask].mean() + 1)
    assert np.allclose(found.values[0, 0], slope(grid) / scale - 1, atol=1e-5)
    assert found.inside[0].sum() * spacing_mm**3 == pytest.approx(lesion.volume_mm3, rel=1e-6)
    assert grid.spacing_mm == (spacing_mm,) * 3


def test_the_order_of_an_images_voxels_does_not_matter():
    lesion = made_lesion("P", "L", True, 3)
    old = lesion.image.grid

    def other(values):
        return np.ascontiguousarray(values[::-1, :, ::-1].transpose(2, 0, 1))

    x, y, z = old.position_mm([old.shape[0] - 1, 0, old.shape[2] - 1])
    grid = Grid(old.shape, old.spacing_mm, (x, y, z), ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0)))
    turned = replace(
        lesion,
        image=Volume(grid, other(lesion.image.values), SIGNAL),
        mask=other(lesion.mask),
        truth=other(lesion.truth),
    )
    one, two = (patches(Cohort([each]), size=12) for each in (lesion, turned))
    assert np.allclose(one.values, two.values, atol=1e-6)
    assert np.array_equal(one.inside, two.inside)
    assert np.array_equal(one.truth, two.truth)
    assert np.allclose(one.grids[0].affine, two.grids[0].affine)


def test_dose_is_taken_where_the_cube_lies_on_an_oblique_grid_in_its_own_frame():
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]), (3.0, -4.0, 5.0)
    lesion = sloping(Grid((40,) * 3, (1.0,) * 3, (0.0,) * 3))
    middle = move[:3, :3] @ np.full(3, 19.5) + move[:3, 3]
    corner = middle - np.array(OBLIQUE) @ np.full(3, 1.5 * 14.5)
    dose = Grid((30,) * 3, (1.5,) * 3, tuple(corner), OBLIQUE)
    lesion = replace(lesion, delivered={"dose": Volume(dose, slope(dose, 20.0), DOSE)}, image_to_dose=move)
    found = patches(Cohort([lesion]), ("dose",), size=12)
    there = positions(found.grids[0]) @ move[:3, :3].T + move[:3, 3]
    expected = (20 + there @ np.array([0.3, -0.2, 0.1])) / 10
    assert np.allclose(found.values[0, 0], expected, atol=1e-5)


def test_wider_voxels_do_not_alias():
    grid = Grid((40,) * 3, (1.0,) * 3, (0.0,) * 3)
    board = 100.0 + 50 * (-1.0) ** np.indices(grid.shape).sum(0)
    lesion = sloping(grid, image=Volume(grid, board, SIGNAL))
    found = patches(Cohort([lesion]), ("image",), size=12, spacing_mm=2.0)
    assert np.ptp(found.values) < 0.1 * np.ptp(board) / 100


def test_a_dose_that_ends_beside_the_lesion_goes_on_as_it_ended():
    lesion = made_lesion("P", "L", True, 3)
    grid = Grid((6, 14, 14), (2.0,) * 3, (-4.0, -1.0, 16.0))
    full = replace(lesion, delivered={"dose": Volume(grid, np.full(grid.shape, 18.0), DOSE)})
    assert np.allclose(patches(Cohort([full]), ("dose",), size=12).values, 1.8)
    holed = np.full(grid.shape, 18.0)
    holed[:, :2] = np.nan
    full = replace(lesion, delivered={"dose": Volume(grid, holed, DOSE)})
    assert np.allclose(patches(Cohort([full]), ("dose",), size=12).values, 1.8)


def test_a_dose_that_misses_part_of_the_lesion_is_refused():
    lesion = made_lesion("P7", "L2", True, 3)
    grid = Grid((4, 14, 14), (2.0,) * 3, (-7.0, -1.0, 16.0))
    for dose in (
        Volume(grid, np.full(grid.shape, 18.0), DOSE),
        Volume(replace(grid, origin_mm=(900.0, 0.0, 0.0)), np.full(grid.shape, 18.0), DOSE),
        Volume(lesion.delivered["dose"].grid, np.full((14,) * 3, np.nan), DOSE),
    ):
        with pytest.raises(GridMismatchError, match=r"patient P7, lesion L2: dose is not known in .* % of the lesion"):
            patches(Cohort([replace(lesion, delivered={"dose": dose})]), size=12)


def test_a_lesion_larger_than_the_cube_is_refused_with_the_size_that_does():
    cohort = Cohort([made_lesion("P7", "L2", True, 3)])
    with pytest.raises(GeometryError, match=r"patient P7, lesion L2: .*size = (\d+) would do") as refused:
        patches(cohort, size=8)
    size = int(str(refused.value).split("size = ")[1].split()[0])
    assert size == 10
    assert patches(cohort, size=size).inside.sum() == cohort.lesions[0].mask.sum()


def test_a_channel_that_a_lesion_lacks_is_refused():
    with pytest.raises(QuantityError, match="patient P0, lesion L0: there is no LET_d"):
        patches(made_cohort(2), ("image", "LET_d"), size=12)


@pytest.mark.parametrize("channels", [(), ("image", "image"), ("dose", "signal")])
def test_unknown_channels_are_refused(channels):
    with pytest.raises(ConfigError, match="channels must be some of image, dose, D_RBE, LET_d"):
        patches(made_cohort(2), channels, size=12)


@pytest.mark.parametrize(("size", "spacing_mm"), [(13, 1.0), (6, 1.0), (12, 0.0), (12, float("nan"))])
def test_an_impossible_cube_is_refused(size, spacing_mm):
    with pytest.raises(ConfigError, match=r"size must be even|spacing_mm must be"):
        patches(made_cohort(2), size=size, spacing_mm=spacing_mm)


def test_a_truth_that_is_not_known_is_not_made_up():
    known, unknown = made_lesion("P", "L0", True, 3), replace(made_lesion("P", "L1", True, 4), truth=None)
    found = patches(Cohort([known, unknown]), size=12)
    assert np.isfinite(found.truth[0]).all()
    assert np.isnan(found.truth[1]).all()
    assert patches(Cohort([unknown]), size=12).truth is None


def test_some_lesions_are_chosen_by_number_or_by_flag():
    whole = patches(made_cohort(3), size=12)
    flags = np.array([False, True, False, False, True, False])
    for chosen in (whole.subset(flags), whole.subset([1, 4])):
        assert len(chosen) == 2
        assert chosen.name(1) == "patient P2, lesion L0"
        assert np.array_equal(chosen.values, whole.values[[1, 4]])
        assert chosen.grids == (whole.grids[1], whole.grids[4])


def test_a_map_goes_back_to_the_image_and_only_where_its_cube_is():
    image = Grid((30, 20, 25), (1.2, 0.8, 1.0), (-4.0, 2.0, 0.0))
    cube = Grid((8,) * 3, (1.5,) * 3, (5.0, 6.0, 7.0))
    found = back_to_image(slope(cube), cube, image)
    index = cube.index(positions(image))
    inner = ((index >= 0) & (index <= 7)).all(-1)
    outer = ((index < -0.5) | (index > 7.5)).any(-1)
    assert np.allclose(found[inner], slope(image)[inner])
    assert np.array_equal(np.isnan(found), outer)


def test_a_map_of_another_shape_is_refused():
    with pytest.raises(GridMismatchError, match="the map has shape"):
        back_to_image(
            np.zeros((4, 4, 4)), Grid((8,) * 3, (1.0,) * 3, (0.0,) * 3), Grid((9,) * 3, (1.0,) * 3, (0.0,) * 3)
        )
