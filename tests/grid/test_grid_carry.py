"""Values carried between grids, against ITK, block means, sums over small cubes, and functions that stay themselves."""

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from surrogate3d.errors import GeometryError, GridMismatchError
from surrogate3d.grid import Grid
from surrogate3d.grid.carry import carried, fraction_inside, moved

SOURCE = Grid((9, 8, 7), (1.0, 1.2, 1.5), (-4.0, 3.0, 10.0))


def transform(angles=(0, 0, 0), shift=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def random_values(grid=SOURCE, seed=1):
    return np.random.default_rng(seed).normal(size=grid.shape)


def linear_function(position):
    return 3 + position @ [0.7, -0.4, 0.2]


def itk_image(values, grid):
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(np.asarray(grid.direction).ravel().tolist())
    return image


def positions(grid):
    return grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1))


def test_linear_interpolation_is_that_of_itk_under_a_rotation_and_a_shift():
    stated = transform((20, -10, 5), (12, -3, 8))
    values = random_values()
    middle = moved(SOURCE, stated).position_mm((np.array(SOURCE.shape) - 1) / 2)
    target = Grid((14, 14, 14), (0.9, 0.8, 0.7), tuple(middle - 5))
    back = np.linalg.inv(stated)
    to_source = SimpleITK.AffineTransform(back[:3, :3].ravel().tolist(), back[:3, 3].tolist())
    reference = itk_image(np.zeros(target.shape), target)
    resampled = SimpleITK.Resample(itk_image(values, SOURCE), reference, to_source, SimpleITK.sitkLinear, 1e9)
    expected = SimpleITK.GetArrayFromImage(resampled).T
    found = carried(values, SOURCE, target, stated)
    # ITK takes the half of a voxel beyond the outer centres as inside, too; we allow a thousandth more
    index = SOURCE.index(positions(target) @ back[:3, :3].T + back[:3, 3])
    beyond = np.maximum(-0.5 - index, index - np.array(SOURCE.shape) + 0.5).max(axis=-1)
    assert np.array_equal(np.isnan(found), beyond > 1e-3)
    assert np.array_equal(expected == 1e9, beyond > 0)
    inside = expected < 1e9
    assert 500 < inside.sum() < inside.size
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-9)


@pytest.mark.parametrize(
    "spacing", [(0.5, 0.5, 0.5), (0.5, 0.6, 4.0), (0.7, 3.1, 0.7)], ids=["finer", "slices", "mixed"]
)
@pytest.mark.parametrize("angles", [(0, 0, 0), (7, -4, 3)], ids=["parallel", "oblique"])
def test_a_linear_function_stays_itself(spacing, angles):
    """Its mean over a symmetric voxel is its value at the centre, so this holds with and without averaging."""
    stated = transform(angles, (1, 2, 3))
    source = Grid((30, 30, 30), (1.0, 1.2, 1.5), (-15.0, -15.0, -15.0))
    target = Grid((5, 4, 3), spacing, (1.2, 2.2, 3.4))
    found = carried(linear_function(positions(source)), source, target, stated)
    back = np.linalg.inv(stated)
    at_source = positions(target) @ back[:3, :3].T + back[:3, 3]
    np.testing.assert_allclose(found, linear_function(at_source), atol=1e-9)


def test_voxels_of_twice_the_size_take_the_mean_of_eight():
    source = Grid((8, 6, 4), (1.0, 1.0, 1.5), (0.0, 0.0, 0.0))
    target = Grid((4, 3, 2), (2.0, 2.0, 3.0), (0.5, 0.5, 0.75))
    values = random_values(source)
    expected = values.reshape(4, 2, 3, 2, 2, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(carried(values, source, target), expected, atol=1e-12)


def test_nothing_between_the_centres_of_a_coarser_grid_is_missed():
    """Voxels of 2.5 mm on 1 mm: the middle of three that cover the source; the integral over all is kept."""
    source = Grid((15, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    target = Grid((6, 1, 1), (2.5, 1.0, 1.0), (0.75, 0.0, 0.0))
    values = np.zeros(source.shape)
    values[3] = 5.0  # reaches from 2.5 to 3.5, the second voxel from 2 to 4.5
    found = carried(values, source, target)
    np.testing.assert_allclose(found[:, 0, 0], [0, 5 / 2.5, 0, 0, 0, 0], atol=1e-12)


def test_the_transform_leads_from_the_source_to_the_target():
    target = Grid(SOURCE.shape, SOURCE.spacing_mm, (6.0, 3.0, 10.0))
    values = random_values()
    np.testing.assert_allclose(carried(values, SOURCE, target, transform(shift=(10, 0, 0))), values, atol=1e-12)


def test_the_same_grid_keeps_values_and_gaps_as_they_are():
    values = random_values()
    values[2, 3, 4] = np.nan
    np.testing.assert_allclose(carried(values, SOURCE, SOURCE), values, rtol=1e-12)


def test_what_is_not_known_stays_unknown_where_it_counts():
    source = Grid((6, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])[:, None, None]
    finer = Grid((5, 1, 1), (0.5, 1.0, 1.0), (0.5, 0.0, 0.0))
    coarser = Grid((4, 1, 1), (2.0, 1.0, 1.0), (0.5, 0.0, 0.0))
    np.testing.assert_allclose(carried(values, source, finer)[:, 0, 0], [1.5, 2, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(carried(values, source, coarser)[:, 0, 0], [1.5, np.nan, 5.5, np.nan])


@pytest.mark.parametrize(
    "rows", [np.eye(3), np.diag([-1.0, 1, -1]), np.eye(3)[[1, 2, 0]]], ids=["same", "flip", "turn"]
)
def test_fractions_of_voxels_are_those_of_small_cubes(rows):
    """Both grids have their faces on multiples of 1/8 mm, so cubes of that size lie in one voxel of each."""
    source = Grid((5, 6, 4), (1.0, 0.5, 1.5), (0.5, 0.25, 0.75))
    middle = np.array([2.5, 1.5, 3.0])
    target = Grid((3, 2, 3), (2.0, 1.5, 1.25), (0.0, 0.0, 0.0), tuple(map(tuple, rows)))
    corner = middle - target.position_mm([1, 0.5, 1])
    target = Grid(target.shape, target.spacing_mm, tuple(np.round(corner * 8) / 8), target.direction)
    mask = np.random.default_rng(3).random(source.shape) < 0.5
    cubes = np.stack(np.meshgrid(*(np.arange(0, 6, 0.125) + 0.0625 for _ in range(3)), indexing="ij"), axis=-1)
    in_source = np.floor(source.index(cubes) + 0.5).astype(int)
    valid = ((in_source >= 0) & (in_source < source.shape)).all(axis=-1)
    chosen = np.zeros(cubes.shape[:3], dtype=bool)
    chosen[valid] = mask[tuple(in_source[valid].T)]
    in_target = np.floor(target.index(cubes[chosen]) + 0.5).astype(int)
    hit = ((in_target >= 0) & (in_target < target.shape)).all(axis=-1)
    count = np.zeros(target.shape)
    np.add.at(count, tuple(in_target[hit].T), 1)
    expected = count * 0.125**3 / target.voxel_volume_mm3
    np.testing.assert_allclose(fraction_inside(mask, source, target), expected, atol=1e-12)


def test_a_mask_keeps_its_volume_on_a_grid_that_covers_it():
    mask = np.random.default_rng(5).random(SOURCE.shape) < 0.3
    target = Grid((40, 40, 40), (2.5, 2.5, 2.5), (-49.0, -48.0, -47.0))
    volume = mask.sum() * SOURCE.voxel_volume_mm3
    straight = fraction_inside(mask, SOURCE, target).sum() * target.voxel_volume_mm3
    assert straight == pytest.approx(volume, rel=1e-12)
    oblique = fraction_inside(mask, SOURCE, target, transform((30, 10, 0), (2, 1, 0))).sum() * target.voxel_volume_mm3
    assert oblique == pytest.approx(volume, rel=0.02)


def test_rounding_of_a_stated_rotation_does_no_harm():
    stated = np.round(transform((33, 0, 0), (1, 2, 3)), 5)
    exact = transform((33, 0, 0), (1, 2, 3))
    corners = [(0, 0, 0), SOURCE.shape]
    np.testing.assert_allclose(
        moved(SOURCE, stated).position_mm(corners), moved(SOURCE, exact).position_mm(corners), atol=1e-3
    )


@pytest.mark.parametrize(
    "matrix", [np.diag([1.1, 1, 1, 1]), np.diag([-1, 1, 1, 1]), np.eye(3)], ids=["scale", "mirror", "3x3"]
)
def test_a_transform_that_is_not_rigid_is_refused(matrix):
    with pytest.raises(GeometryError, match="transform between two grids"):
        carried(random_values(), SOURCE, SOURCE, matrix)


def test_values_of_another_shape_and_grids_apart_are_refused():
    with pytest.raises(GridMismatchError, match="shape"):
        carried(np.zeros((2, 2, 2)), SOURCE, SOURCE)
    with pytest.raises(GridMismatchError, match="do not touch"):
        fraction_inside(np.ones(SOURCE.shape, bool), SOURCE, Grid((3, 3, 3), (1, 1, 1), (500.0, 0.0, 0.0)))
