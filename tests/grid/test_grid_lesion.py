"""Lesions and cohorts: what they hold, what follows from it, and what they refuse."""

import math
from typing import Any

import numpy as np
import pytest

from surrogate3d.errors import GeometryError, GridMismatchError, ValueRangeError
from surrogate3d.grid import Cohort, Grid, Lesion, Volume, quantity
from surrogate3d.grid.lesion import require_rigid

GRID = Grid((4, 5, 6), (1.0, 0.5, 2.0), (0.0, 0.0, 0.0))
IMAGE = Volume(GRID, np.ones(GRID.shape, dtype=np.float32), quantity("image_signal"))
MASK = np.zeros(GRID.shape, dtype=bool)
MASK[1:3, 1:4, 2:4] = True
TURN = np.array([[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, -6.0], [0.0, 0.0, 1.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


def lesion(name: str = "1", patient: str = "P", **fields: Any) -> Lesion:
    return Lesion(patient, name, IMAGE, fields.pop("mask", MASK), **fields)


def test_a_lesion_knows_its_name_and_volume() -> None:
    assert lesion("met 2", "P1").name == "patient P1, lesion met 2"
    assert lesion().volume_mm3 == 2 * 3 * 2 * (1.0 * 0.5 * 2.0)


def test_what_is_not_said_is_not_known() -> None:
    plain = lesion()
    assert all(math.isnan(value) for value in (plain.volume_change, plain.outcome, plain.days))
    assert plain.truth is None
    assert plain.image_to_dose is None
    assert plain.delivered == {}


@pytest.mark.parametrize("what", ["mask", "truth"])
def test_voxels_of_another_shape_are_refused(what: str) -> None:
    with pytest.raises(GridMismatchError, match=rf"patient P, lesion 1: the {what} has shape \(4, 5, 7\)"):
        lesion(**{what: np.ones((4, 5, 7), dtype=bool)})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mask": np.zeros(GRID.shape, dtype=bool)}, "patient P, lesion 1: the mask is empty"),
        ({"volume_change": -1.01}, "cannot change by -1.01"),
        ({"outcome": 0.5}, "the outcome is 1 .*found 0.5"),
    ],
)
def test_impossible_lesions_are_refused(fields: Any, words: str) -> None:
    with pytest.raises(ValueRangeError, match=words):
        lesion(**fields)


def test_an_empty_truth_is_a_lesion_without_a_resistant_subregion() -> None:
    truth = lesion(truth=np.zeros(GRID.shape, dtype=bool)).truth
    assert truth is not None
    assert not truth.any()


def test_rigid_transforms_are_taken() -> None:
    assert lesion(image_to_dose=TURN).image_to_dose is TURN
    rounded = np.eye(4)
    rounded[:2, :2] = np.round([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]], 5)
    require_rigid(rounded, "rounded to five digits")


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.diag([1.0, 1.0, 1.0002, 1.0]), "from the identity"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "det R is -1"),
        (TURN + np.eye(4, k=1) * 1e-3, "from the identity"),
        (np.eye(3), "4 x 4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.vstack([np.eye(4)[:3], [0, 0, 0.1, 1]]), "last row"),
    ],
)
def test_transforms_that_do_more_than_turn_and_shift_are_refused(matrix: Any, words: str) -> None:
    with pytest.raises(GeometryError, match=rf"patient P, lesion 1, image_to_dose: .*{words}"):
        lesion(image_to_dose=matrix)


def test_a_cohort_lists_its_lesions_in_order() -> None:
    cohort = Cohort(
        [lesion("1", "A", volume_change=-0.5), lesion("2", "A"), lesion("1", "B", volume_change=0.1)], ("odd",)
    )
    assert len(cohort) == 3
    assert [each.name for each in cohort] == ["patient A, lesion 1", "patient A, lesion 2", "patient B, lesion 1"]
    assert cohort.patients.tolist() == ["A", "A", "B"]
    np.testing.assert_array_equal(cohort.volume_change, [-0.5, np.nan, 0.1])
    assert cohort.notes == ("odd",)


def test_empty_cohorts_and_lesions_that_are_there_twice_are_refused() -> None:
    with pytest.raises(ValueRangeError, match="at least one lesion"):
        Cohort([])
    with pytest.raises(ValueRangeError, match="patient P, lesion 1 is there twice"):
        Cohort([lesion(), lesion("2"), lesion()])


def test_responses_follow_from_the_change_of_volume() -> None:
    changes = (-1.0, -0.21, -0.2, 0.0, 3.0, math.nan)
    cohort = Cohort([lesion(str(n), volume_change=change) for n, change in enumerate(changes)])
    np.testing.assert_array_equal(cohort.responded(), [1, 1, 0, 0, 0, np.nan])
    np.testing.assert_array_equal(cohort.responded(0.5), [1, 0, 0, 0, 0, np.nan])


def test_a_stated_outcome_counts_only_without_a_change_of_volume() -> None:
    stated = [
        lesion("1", outcome=1.0),
        lesion("2", outcome=0.0),
        lesion("3", outcome=0.0, volume_change=-0.15),
        lesion("4"),
    ]
    np.testing.assert_array_equal(Cohort(stated).responded(), [1, 0, 0, np.nan])
    np.testing.assert_array_equal(Cohort(stated).responded(0.1), [1, 0, 1, np.nan])
