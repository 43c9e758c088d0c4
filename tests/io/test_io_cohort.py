"""Cohorts read from folders that other writers (nibabel, SimpleITK, pydicom) made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from cohort_folder import BOXES, DOSE_GRID, GRID, box, image, write_folder, write_mask, write_table
from dicom_objects import IDENTITY, rtdose, rtstruct
from mr_series import mr_series

from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.cohort import read_cohort
from surrogate3d.io.images import write_image

VOLUME = 4 * 4 * 4 * 2.0  # of every lesion of the folder, mm^3


def changed(folder: Path, **columns: str) -> Path:
    """A folder whose first lesion has further columns."""
    rows = write_folder(folder)
    rows[0] |= columns
    return write_table(folder, rows)


def test_a_folder_is_read_as_it_was_written(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    cohort = read_cohort(write_table(tmp_path, write_folder(tmp_path)), progress=lambda *done: steps.append(done))
    assert [(each.patient, each.lesion) for each in cohort] == [("P1", "m1"), ("P1", "m2"), ("P2", "n1")]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    for each in cohort:
        np.testing.assert_array_equal(each.mask, box(*BOXES[each.lesion]))
        assert each.volume_mm3 == pytest.approx(VOLUME)
        assert each.delivered["dose"].quantity.name == "dose_to_water"
        each.delivered["dose"].grid.require_same(DOSE_GRID, "dose")
    np.testing.assert_array_equal(cohort.lesions[2].image.values, image(2).values)
    assert np.isnan(cohort.volume_change).all()
    assert sum("of unknown response" in note for note in cohort.notes) == 3


def test_lesions_of_one_image_share_it_in_memory(tmp_path: Path) -> None:
    first, second, _ = read_cohort(write_table(tmp_path, write_folder(tmp_path)))
    assert first.image is second.image
    assert first.delivered["dose"] is second.delivered["dose"]


@pytest.mark.parametrize("axes", [(-1, 2, 3), (-1, -2, 3), (3, -1, 2)])
def test_a_mask_whose_axes_are_permuted_or_flipped_lands_on_the_same_voxels(tmp_path: Path, axes: Any) -> None:
    rows = write_folder(tmp_path)
    order, sense = [abs(a) - 1 for a in axes], np.sign(axes)
    voxels = box(*BOXES["m1"])
    voxels[2, 2, 2] = False  # so that no flip is a symmetry of it
    cosines = (np.eye(3)[:, order] * sense).tolist()
    first = [GRID.shape[a] - 1 if s < 0 else 0 for a, s in zip(order, sense, strict=True)]
    start = np.zeros(3)
    start[order] = first
    grid = Grid(
        tuple(GRID.shape[a] for a in order),
        tuple(GRID.spacing_mm[a] for a in order),
        tuple(GRID.position_mm(start)),
        tuple(map(tuple, cosines)),
    )
    stored = np.flip(voxels.transpose(order), [n for n, s in enumerate(sense) if s < 0])
    write_mask(tmp_path / "P1/m1.nii.gz", stored, grid)
    np.testing.assert_array_equal(read_cohort(write_table(tmp_path, rows)).lesions[0].mask, voxels)


def test_nrrd_and_metaimage_by_simpleitk_are_read(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    for column, suffix in (("image", ".nrrd"), ("mask", ".mha")):
        source = SimpleITK.ReadImage(str(tmp_path / rows[2][column]))
        name = rows[2][column].replace(".nii.gz", suffix)
        SimpleITK.WriteImage(source, str(tmp_path / name))
        rows[2][column] = name
    lesion = read_cohort(write_table(tmp_path, rows)).lesions[2]
    np.testing.assert_array_equal(lesion.mask, box(*BOXES["n1"]))
    np.testing.assert_array_equal(lesion.image.values, image(2).values)


@pytest.mark.parametrize(("part", "labels"), [("#2", (2,)), ("#1+3", (1, 3)), ("#1", (1,))])
def test_labels_of_a_label_map_are_taken_by_number(tmp_path: Path, part: str, labels: tuple[int, ...]) -> None:
    rows = write_folder(tmp_path)
    values = np.zeros(GRID.shape, np.uint8)
    values[2:4, 2:6, 2:6], values[4:6, 2:6, 2:6], values[8:10, 2:6, 2:6] = 1, 2, 3
    write_mask(tmp_path / "P1/m1.nii.gz", values)
    rows[0]["mask"] += part
    lesion = read_cohort(write_table(tmp_path, rows)).lesions[0]
    np.testing.assert_array_equal(lesion.mask, np.isin(values, labels))


def test_volume_changes_come_from_masks_each_on_its_own_grid(tmp_path: Path) -> None:
    later = Grid((20, 20, 20), (0.5, 0.5, 0.5), (100.0, 0.0, 0.0))
    write_mask(tmp_path / "P1/later.nii.gz", box((0, 0, 0), (10, 10, 8), later.shape), later)
    cohort = read_cohort(changed(tmp_path, follow_up_mask="P1/later.nii.gz", days="91"))
    assert cohort.volume_change[0] == pytest.approx(800 * 0.125 / VOLUME - 1)
    assert cohort.lesions[0].days == 91
    np.testing.assert_array_equal(cohort.responded(), [1, np.nan, np.nan])


def test_volume_changes_come_from_stated_volumes(tmp_path: Path) -> None:
    both = changed(tmp_path / "both", volume_mm3="130", follow_up_volume_mm3="117")
    assert read_cohort(both).volume_change[0] == pytest.approx(-0.1)  # both stated, of one convention
    after = changed(tmp_path / "after", follow_up_volume_mm3="64", volume_change="-0.51")
    assert read_cohort(after).volume_change[0] == pytest.approx(-0.5)
    change = changed(tmp_path / "change", volume_change="-0.25")
    assert read_cohort(change).volume_change[0] == -0.25


def test_a_lesion_that_has_gone_changed_by_all_of_its_volume(tmp_path: Path) -> None:
    write_mask(tmp_path / "P1/later.nii.gz", np.zeros(GRID.shape))
    cohort = read_cohort(changed(tmp_path, follow_up_mask="P1/later.nii.gz", outcome="responder"))
    assert cohort.volume_change[0] == -1
    assert any("P1, lesion m1" in note and "gone" in note for note in cohort.notes)


def test_a_stated_outcome_stands_where_no_volume_is_known(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    for row, outcome in zip(rows, ("1", "non-responder", ""), strict=True):
        row["outcome"] = outcome
    cohort = read_cohort(write_table(tmp_path, rows))
    np.testing.assert_array_equal(cohort.responded(), [1, 0, np.nan])
    assert np.isnan(cohort.volume_change).all()
    assert sum("its stated outcome stands alone" in note for note in cohort.notes) == 2


def test_the_shrinkage_that_an_outcome_must_agree_with_is_the_users(tmp_path: Path) -> None:
    folder = changed(tmp_path, volume_change="-0.25", outcome="0")
    cohort = read_cohort(folder, shrinkage=0.3)
    assert cohort.lesions[0].outcome == 0
    assert cohort.responded(0.3)[0] == 0


def test_delivered_volumes_and_truth_are_read_on_their_grids(tmp_path: Path) -> None:
    write_image(image(80, DOSE_GRID, "LET_d"), tmp_path / "P1/let.mha")
    write_mask(tmp_path / "P1/truth.nii.gz", box((2, 2, 2), (4, 4, 4)))
    lesion = read_cohort(changed(tmp_path, LET_d="P1/let.mha", truth="P1/truth.nii.gz")).lesions[0]
    assert lesion.truth is not None
    np.testing.assert_array_equal(lesion.truth, box((2, 2, 2), (4, 4, 4)))
    assert {name: each.quantity.name for name, each in lesion.delivered.items()} == {
        "dose": "dose_to_water",
        "LET_d": "LET_d",
    }
    np.testing.assert_array_equal(lesion.delivered["LET_d"].values, image(80, DOSE_GRID).values)


def test_what_a_dose_is_to_is_said_in_a_column(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    for row, medium in zip(rows, ("medium", "water", ""), strict=True):
        row["dose_to"] = medium
    names = [each.delivered["dose"].quantity.name for each in read_cohort(write_table(tmp_path, rows))]
    assert names == ["dose_to_medium", "dose_to_water", "dose_to_water"]


def test_comments_of_the_table_are_notes_of_the_cohort(tmp_path: Path) -> None:
    comments = ("3 months after treatment", "doses = of the plan, not of the day")
    assert read_cohort(write_table(tmp_path, write_folder(tmp_path), comments)).notes[:2] == comments


def test_a_dose_that_covers_part_of_a_lesion_is_noted(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    # 2 of the lesion's 4 planes along x have their centre on the dose's grid
    half = Volume(Grid((4, 20, 20), (1.0, 1.0, 1.0), (-5.0, 3.0, 19.0)), np.ones((4, 20, 20)), quantity("D_RBE"))
    write_image(half, tmp_path / "P1/half.nii.gz")
    rows[0]["D_RBE"] = "P1/half.nii.gz"
    assert any("D_RBE covers 50 % of the lesion" in note for note in read_cohort(write_table(tmp_path, rows)).notes)


def test_a_stated_transform_brings_image_and_dose_together(tmp_path: Path) -> None:
    turn = SimpleITK.Euler3DTransform((1.0, 2.0, 3.0), 0.0, 0.0, 0.5, (300.0, -20.0, 7.0))
    SimpleITK.WriteTransform(turn, str(tmp_path / "turn.tfm"))
    centre = turn.TransformPoint(tuple(GRID.position_mm((3.5, 3.5, 3.5))))
    far = Grid((20, 20, 20), (1.0, 1.0, 1.0), tuple(np.array(centre) - 9.5))
    write_image(Volume(far, np.ones(far.shape), quantity("D_RBE")), tmp_path / "far.nii.gz")
    rows = write_folder(tmp_path)
    del rows[0]["dose"]
    rows[0] |= {"D_RBE": "far.nii.gz", "image_to_dose": "turn.tfm"}
    cohort = read_cohort(write_table(tmp_path, rows))
    matrix = cohort.lesions[0].image_to_dose
    assert matrix is not None
    assert (matrix @ [3.0, -4.0, 5.0, 1.0])[:3] == pytest.approx(turn.TransformPoint((3.0, -4.0, 5.0)))
    assert not any("covers" in note for note in cohort.notes)
    assert cohort.lesions[1].image_to_dose is None


def test_anisotropic_voxels_are_taken_with_a_note(tmp_path: Path) -> None:
    rows = write_folder(tmp_path)
    thick = Grid(GRID.shape, (1.0, 1.0, 3.5), GRID.origin_mm)
    write_image(image(2, thick), tmp_path / "P2/t1.nii.gz", overwrite=True)
    write_mask(tmp_path / "P2/n1.nii.gz", box(*BOXES["n1"]), thick)
    cohort = read_cohort(write_table(tmp_path, rows))
    assert len(cohort) == 3
    assert ["patient P2, lesion n1" in note for note in cohort.notes if "voxels of 1 to 3.5 mm" in note] == [True]


def test_everything_in_dicom_is_read(tmp_path: Path) -> None:
    """An MR series without Hounsfield units, an RT Structure Set and an RT Dose of one frame of reference."""
    stored = mr_series(tmp_path / "mr", (8, 10, 12))
    ring = np.array([[2.5, 2.5], [5.5, 2.5], [5.5, 6.5], [2.5, 6.5]])  # index coordinates: 3 columns, 4 rows
    rings = [np.column_stack([-10 + 1.5 * ring[:, 0], 20 + 2.0 * ring[:, 1], np.full(4, 30.0 + 3 * k)]) for k in (2, 3)]
    rtstruct(tmp_path / "rs.dcm", {"GTV 1": rings, "later": rings})
    rtdose(tmp_path / "rd.dcm", np.full((8, 10, 12), 1000, np.uint16), ImageOrientationPatient=list(IDENTITY))
    row = {"patient": "A", "lesion": "1", "image": "mr", "mask": "rs.dcm#GTV 1", "dose": "rd.dcm"}
    lesion = read_cohort(write_table(tmp_path, [row | {"follow_up_mask": "rs.dcm#later"}])).lesions[0]
    np.testing.assert_array_equal(lesion.image.values, stored.transpose(2, 1, 0))
    np.testing.assert_array_equal(lesion.mask, box((3, 3, 2), (6, 7, 4), (12, 10, 8)))
    assert lesion.image.quantity.name == "image_signal"
    assert lesion.delivered["dose"].values == pytest.approx(1.0)
    assert lesion.volume_change == pytest.approx(0.0)
