"""Voxel indices and positions in space."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from surrogate3d.errors import GeometryError, GridMismatchError
from surrogate3d.grid import Grid

seeded = settings(derandomize=True, deadline=None, max_examples=60)
lengths = st.floats(0.1, 20.0)
coordinates = st.floats(-1000.0, 1000.0)


def rows(matrix):
    return tuple(tuple(float(x) for x in row) for row in matrix)


@st.composite
def grids(draw):
    shape = draw(st.tuples(*[st.integers(1, 300)] * 3))
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    mirror = np.diag([1.0, 1.0, draw(st.sampled_from([1.0, -1.0]))])
    direction = rows(Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ mirror)
    return Grid(shape, draw(st.tuples(*[lengths] * 3)), draw(st.tuples(*[coordinates] * 3)), direction)


indices = st.tuples(*[st.floats(-500, 500)] * 3)


def test_position_is_origin_plus_steps_along_the_columns_of_direction():
    # i runs along (0, 1, 0), j along (0, 0, 1), k along (1, 0, 0).
    grid = Grid((9, 9, 9), (2.0, 3.0, 5.0), (10.0, 20.0, 30.0), ((0, 0, 1), (1, 0, 0), (0, 1, 0)))
    np.testing.assert_array_equal(grid.position_mm((1, 0, 0)), (10, 22, 30))
    np.testing.assert_array_equal(grid.position_mm((0, 1, 0)), (10, 20, 33))
    np.testing.assert_array_equal(grid.position_mm((0, 0, 1)), (15, 20, 30))
    np.testing.assert_array_equal(grid.position_mm([[1, 2, 3], [0, 0, 0]]), [(25, 22, 36), (10, 20, 30)])


@seeded
@given(grids(), indices)
def test_index_is_the_inverse_of_position(grid, index):
    np.testing.assert_allclose(grid.index(grid.position_mm(index)), index, atol=1e-8)


@seeded
@given(grids(), indices, indices)
def test_distances_are_those_of_the_box_whatever_its_rotation(grid, first, second):
    distance = np.linalg.norm(grid.position_mm(first) - grid.position_mm(second))
    steps = (np.array(first) - second) * grid.spacing_mm
    np.testing.assert_allclose(distance, np.linalg.norm(steps), rtol=1e-9, atol=1e-8)


@seeded
@given(grids())
def test_the_affine_is_position_as_a_matrix_and_its_determinant_the_voxel_volume(grid):
    corner = np.array([*grid.shape, 1])
    np.testing.assert_allclose((grid.affine @ corner)[:3], grid.position_mm(grid.shape), rtol=1e-12)
    np.testing.assert_allclose(abs(np.linalg.det(grid.affine)), grid.voxel_volume_mm3, rtol=1e-9)


@seeded
@given(grids())
def test_json_keeps_every_digit(grid):
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


@seeded
@given(grids(), st.integers(0, 2))
def test_a_grid_matches_itself_and_none_that_is_shifted_by_a_hundredth_of_a_voxel(grid, axis):
    grid.require_same(Grid(**vars(grid)), "itself")
    origin = np.array(grid.origin_mm)
    origin[axis] += 0.01 * min(grid.spacing_mm)
    shifted = Grid(grid.shape, grid.spacing_mm, tuple(origin), grid.direction)
    with pytest.raises(GridMismatchError, match=r"LET_d: grids differ in position"):
        grid.require_same(shifted, "LET_d")


GRID = Grid((10, 20, 30), (1.0, 2.0, 4.0), (0.0, 0.0, 0.0))


def test_another_shape_is_a_mismatch():
    with pytest.raises(GridMismatchError, match=r"dose: grids differ in shape, \(10, 20, 30\) against \(10, 20, 31\)"):
        GRID.require_same(Grid((10, 20, 31), (1.0, 2.0, 4.0), (0.0, 0.0, 0.0)), "dose")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_another_spacing_or_direction_of_any_axis_is_a_mismatch(axis):
    spacing = [1.0, 2.0, 4.0]
    spacing[axis] *= 1.001
    flipped = np.eye(3)
    flipped[:, axis] *= -1
    for other in (Grid(GRID.shape, tuple(spacing), (0, 0, 0)), Grid(GRID.shape, (1, 2, 4), (0, 0, 0), rows(flipped))):
        with pytest.raises(GridMismatchError, match="position"):
            GRID.require_same(other, "dose")


def test_rounding_by_a_file_format_is_no_mismatch():
    rounded = tuple(float(np.float32(x)) for x in (1 / 3, 2 / 3, 10 / 3))
    Grid((10, 20, 30), (1 / 3, 2 / 3, 10 / 3), (0, 0, 0)).require_same(Grid((10, 20, 30), rounded, (0, 0, 0)), "image")


def test_counts_areas_and_distances():
    assert GRID.n_voxels == 6000
    assert GRID.voxel_volume_mm3 == 8.0
    assert [GRID.face_area_mm2(axis) for axis in range(3)] == [8.0, 4.0, 2.0]
    np.testing.assert_array_equal(GRID.axis_mm(2)[:3], [0.0, 4.0, 8.0])
    assert len(GRID.axis_mm(1)) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (0, 1, 1)}, "shape must be three positive integers"),
        ({"shape": (3, 3)}, "shape must be three positive integers"),
        ({"spacing_mm": (1.0, -1.0, 1.0)}, "spacing must be three positive lengths"),
        ({"spacing_mm": (1.0, float("nan"), 1.0)}, "spacing must be three positive lengths"),
        ({"spacing_mm": (1.0, float("inf"), 1.0)}, "spacing must be three positive lengths"),
        ({"direction": ((1, 0, 0), (0, 1, 0))}, "orthonormal 3 x 3"),
        ({"direction": ((1, 0.1, 0), (0, 1, 0), (0, 0, 1))}, "orthonormal 3 x 3"),
        ({"direction": ((2, 0, 0), (0, 1, 0), (0, 0, 1))}, "orthonormal 3 x 3"),
        ({"direction": ((float("nan"), 0, 0), (0, 1, 0), (0, 0, 1))}, "orthonormal 3 x 3"),
    ],
)
def test_an_impossible_box_is_refused(change, message):
    with pytest.raises(GeometryError, match=message):
        Grid(**{"shape": (1, 1, 1), "spacing_mm": (1.0, 1.0, 1.0), "origin_mm": (0.0, 0.0, 0.0)} | change)
