"""What is written of a cohort comes back as it was, and other programs read it."""

import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from cohort_folder import BOXES, DOSE_GRID, GRID, box, image, write_folder, write_table

from surrogate3d.errors import QuantityError, StoreError, ValueRangeError
from surrogate3d.grid import Cohort, Grid, Lesion, Volume, quantity
from surrogate3d.io.cohort import read_cohort
from surrogate3d.io.cohort_write import write_cohort

QUANTITIES = {"dose": "dose_to_water", "D_RBE": "D_RBE", "LET_d": "LET_d"}
TILT = np.deg2rad(17)
OBLIQUE = Grid(
    GRID.shape,
    GRID.spacing_mm,
    (31.25, -17.5, 3.0),
    ((np.cos(TILT), -np.sin(TILT), 0.0), (np.sin(TILT), np.cos(TILT), 0.0), (0.0, 0.0, 1.0)),
)
TURN = np.array([[0.0, -1.0, 0.0, 5.1], [1.0, 0.0, 0.0, -6.2], [0.0, 0.0, 1.0, 7.3], [0.0, 0.0, 0.0, 1.0]])


def lesion(patient: str = "P, 1", name: str = 'met "a"', **fields: Any) -> Lesion:
    return Lesion(patient, name, fields.pop("image", image(1)), box(*BOXES["m1"]), **fields)


def whole() -> Cohort:
    """Every field in use: a shared image, truth, three delivered volumes, a transform, NaN."""
    shared = image(1)
    delivered = {name: image(n, DOSE_GRID, QUANTITIES[name]) for n, name in enumerate(QUANTITIES)}
    turned = Volume(OBLIQUE, image(4).values, quantity("image_signal"))
    around = Grid((40, 40, 40), (2.0, 2.0, 2.0), (-20.0, -20.0, -10.0))
    dose = {"dose": image(5, around, "dose_to_water")}
    return Cohort(
        [
            lesion(image=shared, delivered=delivered, volume_change=1 / 3 - 1, days=90.5, outcome=1.0),
            Lesion("P, 1", "b", shared, box(*BOXES["m2"]), truth=box(*BOXES["m2"]), volume_change=-1e-17),
            Lesion(
                "Müller", "1", turned, box(*BOXES["n1"]), dose, truth=np.zeros(GRID.shape, bool), image_to_dose=TURN
            ),
        ],
        ("simulated, variant default, seed 0",),
    )


def test_a_cohort_comes_back_as_it_was(tmp_path: Path) -> None:
    cohort = whole()
    write_cohort(cohort, tmp_path / "c", notes=("further = note",))
    back = read_cohort(tmp_path / "c")
    assert back.notes[:2] == ("simulated, variant default, seed 0", "further = note")
    assert len(back) == len(cohort)
    for old, new in zip(cohort, back, strict=True):
        assert (old.patient, old.lesion) == (new.patient, new.lesion)
        np.testing.assert_array_equal(
            [old.volume_change, old.outcome, old.days], [new.volume_change, new.outcome, new.days]
        )
        np.testing.assert_array_equal(old.mask, new.mask)
        assert (old.truth is None) == (new.truth is None)
        if old.truth is not None:
            np.testing.assert_array_equal(old.truth, new.truth)
        assert (old.image_to_dose is None) == (new.image_to_dose is None)
        if old.image_to_dose is not None:
            np.testing.assert_array_equal(old.image_to_dose, new.image_to_dose)
        assert list(old.delivered) == list(new.delivered)
        for one, other in [(old.image, new.image), *((old.delivered[n], new.delivered[n]) for n in old.delivered)]:
            one.grid.require_same(other.grid, old.name)
            assert one.quantity == other.quantity
            np.testing.assert_array_equal(one.values, other.values)


def test_writing_what_was_read_gives_the_same_files(tmp_path: Path) -> None:
    write_cohort(whole(), tmp_path / "one")
    write_cohort(read_cohort(tmp_path / "one"), tmp_path / "two")
    write_cohort(read_cohort(tmp_path / "two"), tmp_path / "three")
    files = sorted(path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file())
    assert len(files) == 13  # the table; 5 + 2 + 5 of the lesions
    for file in files:
        assert (tmp_path / "two" / file).read_bytes() == (tmp_path / "three" / file).read_bytes()


def test_an_image_of_several_lesions_is_written_once(tmp_path: Path) -> None:
    write_cohort(read_cohort(write_table(tmp_path, write_folder(tmp_path))), tmp_path / "c")
    assert len(list((tmp_path / "c").rglob("image.nii.gz"))) == 2
    assert len(list((tmp_path / "c").rglob("dose.nii.gz"))) == 2
    assert len(list((tmp_path / "c").rglob("mask.nii.gz"))) == 3


def test_nibabel_reads_the_masks(tmp_path: Path) -> None:
    write_cohort(Cohort([lesion("P", "a")]), tmp_path / "c")
    found = nibabel.load(tmp_path / "c/0001-P-a/mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(found.dataobj), box(*BOXES["m1"]))
    assert found.get_data_dtype() == np.uint8
    assert np.asarray(found.affine)[:3, 3].tolist() == [5.0, -3.0, 20.0]  # RAS


def test_doses_to_water_and_to_medium_come_back_as_such(tmp_path: Path) -> None:
    quantities = ["dose_to_medium", "dose_to_water"]
    doses = [{"dose": image(3, DOSE_GRID, name)} for name in quantities]
    write_cohort(Cohort([lesion("P", str(n), delivered=dose) for n, dose in enumerate(doses)]), tmp_path / "c")
    back = read_cohort(tmp_path / "c")
    assert [each.delivered["dose"].quantity.name for each in back] == quantities
    assert math.isnan(back.volume_change[0])


def test_a_cohort_is_replaced_only_when_asked_and_only_a_cohort(tmp_path: Path) -> None:
    cohort = Cohort([lesion()])
    write_cohort(cohort, tmp_path / "c")
    with pytest.raises(StoreError, match="exists already"):
        write_cohort(cohort, tmp_path / "c")
    write_cohort(whole(), tmp_path / "c", overwrite=True)
    assert len(read_cohort(tmp_path / "c")) == 3
    (tmp_path / "thesis").mkdir()
    with pytest.raises(StoreError, match=r"has no cohort\.csv, so it is not replaced"):
        write_cohort(cohort, tmp_path / "thesis", overwrite=True)


@pytest.mark.parametrize("name", ["", " a", "a  b", "a\nb", "#3"])
def test_names_that_a_table_cannot_hold_are_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueRangeError, match="a name in a table is on one line"):
        write_cohort(Cohort([lesion("P", name)]), tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("delivered", "words"),
    [
        (
            {"dose": image(1, DOSE_GRID, "BED")},
            "delivered 'dose' holds BED; expected for dose, D_RBE, LET_d: dose_to_water, dose_to_medium",
        ),
        ({"LET_d": image(1, DOSE_GRID, "LET_t")}, "delivered 'LET_d' holds LET_t"),
        ({"BED": image(1, DOSE_GRID, "BED")}, "delivered 'BED' holds BED"),
    ],
)
def test_delivered_volumes_of_another_quantity_are_refused(tmp_path: Path, delivered: Any, words: str) -> None:
    with pytest.raises(QuantityError, match=words):
        write_cohort(Cohort([lesion(delivered=delivered)]), tmp_path / "c")
