"""The radiation field of a plan."""

import dataclasses

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid import (
    Field,
    Grid,
    LetDefinition,
    Prescription,
    Spectra,
    SpectrumAxes,
    Volume,
    VolumeSet,
    quantity,
)

GRID = Grid((2, 3, 4), (2.0, 3.0, 5.0), (0.0, 0.0, 0.0))
AXES = SpectrumAxes(("H", "C"), np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]))


def spectra(shape=GRID.shape, fluence=1.0):
    zeros = np.zeros((2, *shape))
    return Spectra(AXES, np.full((2, 2, *shape), fluence), zeros, zeros)


def volumes(*names, grid=GRID):
    return VolumeSet(grid, {name: Volume(grid, np.full(grid.shape, 7.0), quantity(name)) for name in names})


FIELD = Field(GRID, volumes("dose_to_water"), spectra(), beam_axis=2, beam_sign=1, histories=1000)


def test_tracks_are_fluence_of_the_histories_times_the_face_across_the_beam():
    # A voxel of 2 x 3 x 5 mm, 2 species x 2 bins of 0.25 /mm^2 each: 1 /mm^2 over the 2 x 3 mm face is 6 tracks.
    field = dataclasses.replace(FIELD, spectra=spectra(fluence=0.25))
    np.testing.assert_allclose(field.tracks, np.full(GRID.shape, 6.0))
    along_i, along_j = (dataclasses.replace(field, beam_axis=axis).tracks[0, 0, 0] for axis in (0, 1))
    assert (along_i, along_j) == (15.0, 10.0)


def test_tracks_are_counted_before_the_prescription():
    field = dataclasses.replace(FIELD, prescription=Prescription(1e-3, "2 Gy at the centre"))
    assert field.dose_scale == 1e-3
    # 4 /mm^2 after scaling by 1e-3 were 4000 /mm^2 in the simulation, over 6 mm^2.
    np.testing.assert_allclose(field.tracks, 24_000.0)
    assert FIELD.dose_scale == 1.0


def test_tracks_do_not_lose_small_bins_to_single_precision():
    fluence = np.full((2, 2, *GRID.shape), 1e-9, np.float32)
    fluence[0, 0] = 1.0
    zeros = np.zeros((2, *GRID.shape), np.float32)
    field = dataclasses.replace(FIELD, spectra=Spectra(AXES, fluence, zeros, zeros))
    np.testing.assert_allclose(field.tracks / 6 - 1, 3e-9, rtol=1e-5)


def test_dose_to_water_is_preferred():
    assert FIELD.dose_name == "dose_to_water"
    both = dataclasses.replace(FIELD, volumes=volumes("dose_to_medium", "dose_to_water"))
    assert both.dose_name == "dose_to_water"
    medium = dataclasses.replace(FIELD, volumes=volumes("dose_to_medium", "LET_d"))
    assert medium.dose_name == "dose_to_medium"
    assert medium.dose[0, 0, 0] == 7.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"volumes": volumes("LET_d")}, QuantityError, "needs dose_to_water or dose_to_medium"),
        ({"spectra": spectra((2, 3, 5))}, GridMismatchError, r"\(2, 3, 5\), the grid \(2, 3, 4\)"),
        ({"beam_axis": 3}, QuantityError, "axis 0, 1 or 2"),
        ({"beam_sign": 0}, QuantityError, "axis 0, 1 or 2"),
        ({"halves": (spectra(),), "halves_dose": (np.ones(GRID.shape),)}, QuantityError, "no halves or two"),
        ({"halves": (spectra(), spectra())}, QuantityError, "each with its dose"),
        (
            {"halves": (spectra(), spectra((2, 3, 5))), "halves_dose": (np.ones(GRID.shape),) * 2},
            GridMismatchError,
            "spectra have shape",
        ),
        (
            {"volumes": volumes("dose_to_water", grid=Grid(GRID.shape, GRID.spacing_mm, (1.0, 0.0, 0.0)))},
            GridMismatchError,
            "volumes: grids differ in position",
        ),
    ],
)
def test_a_field_that_does_not_fit_together_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(FIELD, **change)


def test_two_halves_with_their_doses_are_kept():
    halved = dataclasses.replace(FIELD, halves=(spectra(), spectra()), halves_dose=(np.ones(GRID.shape),) * 2)
    assert len(halved.halves) == 2


def test_let_must_say_how_it_is_averaged():
    with pytest.raises(QuantityError, match="'dose' or 'track', found 'fluence'"):
        LetDefinition("fluence", "protons", "water", restricted=False, max_scored_kev_um=None, source="run.txt")
