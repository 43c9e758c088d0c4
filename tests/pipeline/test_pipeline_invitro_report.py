"""The in-vitro RBE beside the mechanistic one, as a picture of a report."""

from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.report import Conditions, ReportContent
from surrogate3d.report.slices import beside

GRID = Grid((4, 5, 9), (2.0, 2.0, 2.5), (0.0, 0.0, 0.0))
RBE = np.broadcast_to(1.0 + 0.02 * np.arange(9), GRID.shape)
DOSE = np.broadcast_to(2.0 * (np.arange(9) < 7), GRID.shape)


def content() -> ReportContent:
    maps = {"RBE": Volume(GRID, RBE, quantity("RBE")), "dose_to_water": Volume(GRID, DOSE, quantity("dose_to_water"))}
    told = Conditions("V79", 1, "2 Gy", "none", "where there is dose")
    return ReportContent("A slab", ("So.",), told, maps, DOSE > 0, 2, 1, in_vitro=RBE + 0.25)


def test_both_maps_and_their_difference_are_drawn_where_the_surrogate_answers() -> None:
    made = content()
    assert made.in_vitro is not None
    picture = beside(made, made.in_vitro, ("surrogate", "in vitro"))
    for name in ("surrogate, y", "in vitro, y", "in vitro \N{MINUS SIGN} surrogate, y", "difference"):
        assert name in picture.light
    assert f"least 0.25, median 0.25, largest 0.25 over {int((DOSE > 0).sum())} voxels" in picture.alt


def test_an_in_vitro_map_of_another_grid_is_refused() -> None:
    with pytest.raises(GridMismatchError, match="in_vitro"):
        replace(content(), in_vitro=np.ones((2, 2, 2)))
