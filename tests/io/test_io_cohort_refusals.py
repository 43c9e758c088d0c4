"""What is refused of a cohort, and what is left out with a note: every message names patient and lesion."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohort_folder import BOXES, DOSE_GRID, GRID, box, image, write_folder, write_mask, write_table
from dicom_objects import rtdose, rtstruct
from mr_series import mr_series

from surrogate3d.errors import FormatError, GridMismatchError, StoreError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Cohort, Grid, Volume, quantity
from surrogate3d.io.cohort import read_cohort
from surrogate3d.io.images import write_image


def left_out(folder: Path, rows: list[dict[str, str]], words: str) -> Cohort:
    """The cohort without its first lesion, which one note names with the reason."""
    cohort = read_cohort(write_table(folder, rows))
    assert [each.lesion for each in cohort] == ["m2", "n1"]
    notes = [note for note in cohort.notes if "is left out" in note]
    assert len(notes) == 1
    assert notes[0].startswith("patient P1, lesion m1 is left out: ")
    assert words in notes[0]
    return cohort


def test_a_damaged_image_leaves_its_lesions_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    content = (tmp_path / "P1/t1.nii.gz").read_bytes()
    (tmp_path / "P1/t1.nii.gz").write_bytes(content[: len(content) // 2])
    cohort = read_cohort(write_table(tmp_path, rows))
    assert [each.lesion for each in cohort] == ["n1"]
    assert sum("t1.nii.gz" in note and "is left out" in note for note in cohort.notes) == 2


def test_missing_files_leave_the_lesion_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    rows[0]["mask"] = "P1/none.nii.gz"
    left_out(tmp_path, rows, "none.nii.gz")


def test_an_empty_mask_leaves_the_lesion_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    write_mask(tmp_path / "P1/m1.nii.gz", np.zeros(GRID.shape))
    left_out(tmp_path, rows, "the mask is empty")


def test_a_mask_of_fractions_leaves_the_lesion_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    write_image(Volume(GRID, np.full(GRID.shape, 0.5), quantity("mask")), tmp_path / "P1/half.nii.gz")
    rows[0]["mask"] = "P1/half.nii.gz"
    left_out(tmp_path, rows, "whole numbers as labels")


def test_a_lesion_outside_its_image_is_left_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    far = Grid(GRID.shape, GRID.spacing_mm, (500.0, 0.0, 0.0))
    write_mask(tmp_path / "P1/m1.nii.gz", box(*BOXES["m1"]), far)
    left_out(tmp_path, rows, "the lesion lies outside its image")


def test_an_image_without_values_in_the_lesion_leaves_it_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    values = image(0).values.copy()
    values[2, 2, 2:4] = np.nan
    write_image(Volume(GRID, values, quantity("image_signal")), tmp_path / "P1/holes.nii.gz")
    rows[0]["image"] = "P1/holes.nii.gz"
    left_out(tmp_path, rows, "no finite value in 2 voxels")


def test_a_dose_that_does_not_reach_the_lesion_leaves_it_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    far = Grid(DOSE_GRID.shape, DOSE_GRID.spacing_mm, (200.0, 0.0, 0.0))
    write_image(image(9, far, "dose_to_water"), tmp_path / "P1/far.nii.gz")
    rows[0]["dose"] = "P1/far.nii.gz"
    left_out(tmp_path, rows, "does not reach the lesion")


def test_negative_doses_leave_the_lesion_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    dose = image(9, DOSE_GRID, "dose_to_water")
    write_image(Volume(DOSE_GRID, dose.values - 500, dose.quantity), tmp_path / "P1/negative.nii.gz")
    rows[0]["dose"] = "P1/negative.nii.gz"
    left_out(tmp_path, rows, "none may be < 0")


def test_a_dose_in_arbitrary_scale_leaves_the_lesion_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    rtdose(tmp_path / "rd.dcm", np.ones((3, 3, 3), np.uint16), DoseUnits="RELATIVE")
    rows[0]["dose"] = "rd.dcm"
    left_out(tmp_path, rows, "arbitrary scale")


def test_a_part_of_an_image_that_has_none_leaves_the_lesion_out(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    rows[0]["dose"] += "#2"
    left_out(tmp_path, rows, "nothing follows a '#' here")


def test_nothing_that_can_be_used_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)[:1]
    rows[0]["mask"] = "P1/none.nii.gz"
    with pytest.raises(
        ValueRangeError, match=r"none of 1 lesions can be used; first: patient P1, lesion m1 is left out: .*none\.nii"
    ):
        read_cohort(write_table(tmp_path, rows))


def test_folders_without_a_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no cohort folder"):
        read_cohort(tmp_path / "none")
    with pytest.raises(StoreError, match=r"cohort\.csv"):
        read_cohort(tmp_path)


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    longer = Grid((12, 10, 9), GRID.spacing_mm, GRID.origin_mm)
    write_mask(tmp_path / "P1/m1.nii.gz", box((1, 1, 1), (5, 5, 5), longer.shape), longer)
    with pytest.raises(
        GridMismatchError, match=r"P1, lesion m1 .*shape is \(12, 10, 9\), that of the image \(12, 10, 8"
    ):
        read_cohort(write_table(tmp_path, rows))


def test_a_shifted_mask_is_refused_with_the_shift(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    shifted = Grid(GRID.shape, GRID.spacing_mm, (-5.0, 3.75, 20.0))
    write_mask(tmp_path / "P1/m1.nii.gz", box(*BOXES["m1"]), shifted)
    with pytest.raises(GridMismatchError, match=r"P1, lesion m1 .*up to 0\.75 mm"):
        read_cohort(write_table(tmp_path, rows))


def test_a_mask_of_another_spacing_is_refused(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    other = Grid(GRID.shape, (1.0, 1.0, 1.5), GRID.origin_mm)
    write_mask(tmp_path / "P1/m1.nii.gz", box(*BOXES["m1"]), other)
    with pytest.raises(GridMismatchError, match=r"up to 3.75 mm .*spacing \(1\.0, 1\.0, 1\.5\) mm"):
        read_cohort(write_table(tmp_path, rows))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ("P1/m1.nii.gz", "several labels, or another one than 1; it has 2, 5"),
        ("P1/m1.nii.gz#3", "no label 3; it has 2, 5"),
        ("P1/m1.nii.gz#2+3", "no label 3"),
        ("P1/m1.nii.gz#GTV", "labels are whole numbers"),
    ],
)
def test_labels_that_are_not_named_or_not_there_are_refused(tmp_path: Path, mask: str, words: str) -> None:
    rows = write_folder(tmp_path)
    write_mask(tmp_path / "P1/m1.nii.gz", 2 * box(*BOXES["m1"]) + 5 * box((8, 8, 6), (9, 9, 7)))
    rows[0]["mask"] = mask
    with pytest.raises(UnknownNameError, match="P1, lesion m1") as caught:
        read_cohort(write_table(tmp_path, rows))
    assert words in str(caught.value)


def dicom_row(folder: Path) -> dict[str, str]:
    """A lesion in DICOM: MR series, contours and dose of one frame of reference."""
    mr_series(folder / "mr", (8, 10, 12))
    ring = np.array([[-5.0, 25.0], [0.0, 25.0], [0.0, 33.0], [-5.0, 33.0]])
    rtstruct(folder / "rs.dcm", {"GTV": [np.column_stack([ring, np.full(4, z)]) for z in (36.0, 39.0)]})
    rtdose(folder / "rd.dcm", np.full((8, 10, 12), 900, np.uint16))
    return {"patient": "A", "lesion": "1", "image": "mr", "mask": "rs.dcm#GTV", "dose": "rd.dcm"}


@pytest.mark.parametrize(("mask", "words"), [("rs.dcm", "name the ROI"), ("rs.dcm#PTV", "there are: GTV")])
def test_rois_that_are_not_named_or_not_there_are_refused(tmp_path: Path, mask: str, words: str) -> None:
    row = dicom_row(tmp_path) | {"mask": mask}
    with pytest.raises(UnknownNameError, match=f"patient A, lesion 1 .*{words}"):
        read_cohort(write_table(tmp_path, [row]))


def test_contours_in_another_frame_of_reference_are_refused(tmp_path: Path) -> None:
    row = dicom_row(tmp_path)
    mr_series(tmp_path / "mr", (8, 10, 12), FrameOfReferenceUID="1.9")
    with pytest.raises(GridMismatchError, match=r"patient A, lesion 1 .*'GTV' is in frame of reference 1\.2\.3\.4"):
        read_cohort(write_table(tmp_path, [row]))


def test_a_dose_in_another_frame_needs_a_stated_transform(tmp_path: Path) -> None:
    row = dicom_row(tmp_path)
    rtdose(tmp_path / "rd.dcm", np.full((8, 10, 12), 900, np.uint16), FrameOfReferenceUID="1.9")
    with pytest.raises(GridMismatchError, match=r"rd\.dcm is in frame of reference 1\.9"):
        read_cohort(write_table(tmp_path, [row]))
    np.savetxt(tmp_path / "same.txt", np.eye(4))
    assert len(read_cohort(write_table(tmp_path, [row | {"image_to_dose": "same.txt"}]))) == 1


def test_contours_too_small_for_a_voxel_leave_the_lesion_out(tmp_path: Path) -> None:
    row = dicom_row(tmp_path)
    ring = np.array([[-5.0, 25.0], [-4.8, 25.0], [-4.8, 25.2], [-5.0, 25.2]])
    rtstruct(tmp_path / "rs.dcm", {"GTV": [np.column_stack([ring, np.full(4, z)]) for z in (36.0, 39.0)]})
    with pytest.raises(ValueRangeError, match="empty at this resolution"):
        read_cohort(write_table(tmp_path, [row]))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"volume_mm3": "131"}, r"volume_mm3 is 131, but its mask has 128 mm\^3"),
        ({"follow_up_mask": "P1/m2.nii.gz", "follow_up_volume_mm3": "0.128"}, "follow_up_volume_mm3 is 0.128"),
        ({"follow_up_mask": "P1/m2.nii.gz", "volume_change": "0.03"}, "volume_change is 0.03, but 128 after 128"),
        ({"volume_change": "-0.1", "outcome": "1"}, r"outcome is 1, but a volume change of -0\.1000 is no response"),
        (
            {"volume_change": "-0.3", "outcome": "non-responder"},
            r"outcome is 0, .* is a response at a shrinkage of 0\.2",
        ),
    ],
)
def test_statements_that_contradict_each_other_are_refused(tmp_path: Path, columns: Any, words: str) -> None:
    rows = write_folder(tmp_path)
    rows[0] |= columns
    with pytest.raises(ValueRangeError, match=rf"patient P1, lesion m1 \(cohort\.csv, line 2\): {words}"):
        read_cohort(write_table(tmp_path, rows))


def test_statements_within_two_per_cent_are_taken(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    rows[0] |= {"volume_mm3": "130", "follow_up_mask": "P1/m2.nii.gz", "volume_change": "0.019"}
    assert read_cohort(write_table(tmp_path, rows)).volume_change[0] == 0  # of the masks


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patient": "P1", "lesion": "m1"}, r"m1 \(cohort\.csv, line 2\) is there twice, again in cohort\.csv, line 4"),
        ({"patient": "p1"}, r"line 2\) and patient p1, .*line 4\): names of patients differ only in case"),
        ({"mask": "P1/m1.nii.gz"}, r"line 2\) and patient P2, .*line 4\) have one mask"),
        ({"image": "P1/t1.nii.gz"}, r"line 2\) and patient P2, .*line 4\) have one image"),
        ({"outcome": "yes"}, r"line 4: outcome must be one of 1, responder, 0, non-responder, found 'yes'"),
        ({"image": "/data/t1.nii.gz"}, "image must be a path inside the cohort's folder"),
        ({"mask": "../t1.nii.gz"}, "mask must be a path inside the cohort's folder"),
        ({"dose": "P1\\dose.nii.gz"}, "dose must be a path inside the cohort's folder"),
        ({"lesion": ""}, "line 4: lesion is empty"),
        ({"dose_to": "air"}, "dose_to must be 'water', 'medium' or empty"),
        ({"volume": "3"}, r"unknown column 'volume'; volumes are in mm\^3"),
        ({"days": "three"}, "days must be a number"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, change: dict[str, str], words: str) -> None:
    rows = write_folder(tmp_path)
    rows[2] |= change
    with pytest.raises(FormatError, match=words):
        read_cohort(write_table(tmp_path, rows))


@pytest.mark.parametrize(
    "change", [{"volume_mm3": "0"}, {"volume_mm3": "-1"}, {"volume_change": "-1.2"}, {"days": "-3"}]
)
def test_impossible_numbers_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    rows = write_folder(tmp_path)
    rows[2] |= change
    with pytest.raises(ValueRangeError, match=r"cohort\.csv, line 4: (volume_mm3|volume_change|days)"):
        read_cohort(write_table(tmp_path, rows))
