"""Values on a grid."""

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity

GRID = Grid((2, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
DOSE = quantity("dose_to_water")


def test_values_of_another_shape_are_refused():
    with pytest.raises(GridMismatchError, match=r"dose_to_water: values have shape \(4, 3, 2\), the grid \(2, 3, 4\)"):
        Volume(GRID, np.zeros((4, 3, 2)), DOSE)


def test_a_set_is_a_mapping_in_the_given_order():
    dose, alpha = Volume(GRID, np.zeros(GRID.shape), DOSE), Volume(GRID, np.ones(GRID.shape), quantity("alpha"))
    volumes = VolumeSet(GRID, {"dose_to_water": dose, "alpha": alpha})
    assert list(volumes) == ["dose_to_water", "alpha"]
    assert len(volumes) == 2
    assert volumes["alpha"] is alpha
    assert "beta" not in volumes


def test_a_set_does_not_change_with_the_dictionary_it_was_made_from():
    source = {"dose_to_water": Volume(GRID, np.zeros(GRID.shape), DOSE)}
    volumes = VolumeSet(GRID, source)
    source.clear()
    assert list(volumes) == ["dose_to_water"]


def test_a_set_refuses_a_volume_from_elsewhere_by_name():
    elsewhere = Grid(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 1.0))
    with pytest.raises(GridMismatchError, match="my_dose: grids differ in position"):
        VolumeSet(GRID, {"my_dose": Volume(elsewhere, np.zeros(GRID.shape), DOSE)})
