import numpy as np
import pytest

from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.grid.linear import sample_linear

GRID = Grid((4, 5, 6), (1.0, 2.0, 3.0), (-3.0, 7.0, 0.5), ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))


def test_a_linear_field_is_met_exactly_between_the_voxels_of_a_turned_grid():
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), axis=-1)
    slope = np.array([0.3, -0.7, 1.1])
    volume = Volume(GRID, GRID.position_mm(index) @ slope + 2.0, quantity("LET_d"))
    at = GRID.position_mm(np.random.default_rng(0).uniform(0, [3, 4, 5], (50, 3)))
    assert sample_linear(volume, at) == pytest.approx(at @ slope + 2.0)


def test_the_outermost_centres_are_inside_and_what_lies_beyond_is_not_known():
    volume = Volume(GRID, np.ones(GRID.shape), quantity("LET_d"))
    corners = GRID.position_mm([(0, 0, 0), (3, 4, 5)])
    assert sample_linear(volume, corners).tolist() == [1.0, 1.0]
    beyond = GRID.position_mm([(-0.01, 0, 0), (3, 4, 5.01), (1.5, 2, 2)])
    assert np.isnan(sample_linear(volume, beyond)).tolist() == [True, True, False]


def test_next_to_an_unknown_voxel_nothing_is_made_up():
    values = np.ones(GRID.shape)
    values[1, 1, 1] = np.nan
    found = sample_linear(Volume(GRID, values, quantity("LET_d")), GRID.position_mm([(1.5, 1, 1), (2.5, 1, 1)]))
    assert np.isnan(found).tolist() == [True, False]
