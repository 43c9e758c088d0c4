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
from surrogate3d.io.convert import convert

GRID = Grid((2, 3, 4), (2.0, 3.0, 5.0), (0.0, 0.0, 0.0))
AXES = SpectrumAxes(("H", "C"), np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]))


def spectra(shape=GRID.shape, fluence=1.0):
    zeros = np.zeros((2, *shape))
    return Spectra(AXES, np.full((2, 2, *shape), fluence), zeros, zeros)


def volumes(*names, grid=GRID):
    return VolumeSet(grid, {name: Volume(grid, np.full(grid.shape, 7.0), quantity(name)) for name in names})


FIELD = Field(grid=GRID, volumes=volumes("dose_to_water"), spectra=spectra(), beam_axis=2, beam_sign=1, histories=1000)


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


def with_dose(dose, histories=1000, **changes):
    volume = Volume(GRID, np.asarray(dose, dtype=float), quantity("dose_to_water"))
    return dataclasses.replace(
        FIELD, volumes=VolumeSet(GRID, {"dose_to_water": volume}), histories=histories, **changes
    )


BRAGG = np.broadcast_to([1.0, 1.2, 2.0, 4.0], GRID.shape)


def test_runs_of_one_plan_may_differ_in_histories_noise_and_prescription():
    high = with_dose(100 * BRAGG, histories=100_000)
    noise = np.random.default_rng(1).normal(1.0, 0.1, GRID.shape)
    hole = np.where(np.arange(24).reshape(GRID.shape) == 5, np.nan, BRAGG)  # nan where nothing was scored
    prescription = Prescription(3.0, "twelve at the maximum")
    for low in (
        with_dose(BRAGG),
        with_dose(BRAGG * noise),
        with_dose(hole),
        with_dose(3 * BRAGG * noise, prescription=prescription),
        with_dose(1.09 * BRAGG),
    ):
        low.require_same_plan(high, "low and high")
        high.require_same_plan(low, "high and low")


def halfway(share):
    """The dose with a `share` of all of it moved from the last plane to the first."""
    moved = BRAGG.copy()
    moved[..., 0] += share * BRAGG.sum() / 6
    moved[..., 3] -= share * BRAGG.sum() / 6
    return moved


def test_the_shape_of_the_dose_may_differ_by_noise_only():
    with_dose(halfway(0.05)).require_same_plan(with_dose(BRAGG), "low and high")
    with pytest.raises(QuantityError, match=r"low and high: .* % of the dose is elsewhere in the other run"):
        with_dose(halfway(0.4)).require_same_plan(with_dose(BRAGG), "low and high")


def test_fields_without_dose_or_with_another_kind_of_it_are_no_runs_of_one_plan():
    with pytest.raises(QuantityError, match="same kind of dose"):
        with_dose(BRAGG).require_same_plan(with_dose(0 * BRAGG), "low and high")


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (with_dose(1.12 * BRAGG), QuantityError, r"per history are 0\.0492 and 0\.0551 Gy"),
        (with_dose(BRAGG, histories=1200), QuantityError, "two runs of the same plan"),
        (
            with_dose(BRAGG, prescription=Prescription(2.0, "four at the maximum")),
            QuantityError,
            "two runs of the same plan",
        ),
        (with_dose(BRAGG[..., ::-1]), QuantityError, "give two runs of the same plan"),
        (with_dose(BRAGG, beam_sign=-1), QuantityError, "beam directions differ"),
        (with_dose(BRAGG, beam_axis=1), QuantityError, "beam directions differ"),
        (
            with_dose(
                BRAGG, spectra=dataclasses.replace(spectra(), axes=SpectrumAxes(("H", "C"), AXES.edges_mev_u * 1.1))
            ),
            GridMismatchError,
            "spectrum axes differ",
        ),
    ],
)
def test_another_plan_is_refused(other, error, message):
    field = with_dose(BRAGG)
    with pytest.raises(error, match=message) as caught:
        field.require_same_plan(other, "low and high")
    assert str(caught.value).startswith("low and high: ")
    with pytest.raises(error):
        other.require_same_plan(field, "high and low")


def test_real_runs_of_one_plan_are_told_from_those_of_another(topas_data):
    """The first two differ in seed and histories only; the third has other energies and inserts on the same grid."""
    low, high, other = (convert([topas_data(f"proton_{n}")])[0] for n in ("slab_low", "slab_highA", "deep_high"))
    low.require_same_plan(high, "low and high")
    with pytest.raises(QuantityError, match="two runs of the same plan"):
        low.require_same_plan(other, "low and high")


def test_let_must_say_how_it_is_averaged():
    with pytest.raises(QuantityError, match="'dose' or 'track', found 'fluence'"):
        LetDefinition("fluence", "protons", "water", restricted=False, max_scored_kev_um=None, source="run.txt")
