"""Structures on the grid of maps: what is laid there, and what is named instead."""

import json

import numpy as np
import pytest
from dicom_objects import rtstruct

from surrogate3d.errors import FormatError, GeometryError, GridMismatchError, StoreError, UnknownNameError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.images import write_image
from surrogate3d.pipeline.dicom_files import masks
from surrogate3d.pipeline.judged_structures import structures_on

GRID = Grid((4, 3, 2), (2.0, 2.0, 3.0), (1.0, 1.0, 1.5))  # from 0 to 8, 6 and 6 mm


def box(x0, x1, y0=0.0, y1=6.0):
    """Rectangles in both planes."""
    return [np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]) for z in (1.5, 4.5)]


def image(path, values, grid=GRID):
    write_image(Volume(grid, np.asarray(values, np.float32), quantity("structure")), path)
    return path


def half():
    values = np.zeros(GRID.shape, np.float32)
    values[:2] = 1
    return values


@pytest.fixture
def patient(tmp_path):
    crossed = [np.array([[0.0, 0, z], [4.0, 6, z], [4.0, 0, z], [0.0, 6, z]]) for z in (1.5, 4.5)]
    named = {"Tumour": box(0, 3), "Point": [], "Lung": box(20, 30), "Body": box(-4, 4), "Bow": crossed}
    return rtstruct(tmp_path / "rs.dcm", named)


def kinds(problems):
    return {problem.where: problem.kind for problem in problems}


def test_without_a_source_there_are_no_structures():
    assert structures_on(None, GRID) == ({}, ())


def test_all_structures_of_a_set_are_laid_and_the_others_named(patient):
    found, problems = structures_on(patient, GRID)
    assert list(found) == ["Tumour", "Body"]
    np.testing.assert_allclose(found["Tumour"][:, 0, 0], [1, 0.5, 0, 0])
    np.testing.assert_allclose(found["Body"][:, 1, 1], [1, 1, 0, 0])
    assert found["Tumour"].dtype == np.float32
    assert kinds(problems) == {
        "structure 'Point'": "empty_structure",
        "structure 'Lung'": "structure_outside_grid",
        "structure 'Body'": "structure_partly_outside",
        "structure 'Bow'": "structure_unreadable",
    }
    assert "50 % of structure 'Body' lies outside the grid" in next(p for p in problems if "Body" in p.where).sentence


def test_only_the_structures_that_are_named_are_laid_whatever_their_case(patient):
    found, problems = structures_on(patient, GRID, ["tumour "])
    assert list(found) == ["Tumour"]
    assert problems == ()
    with pytest.raises(UnknownNameError, match=r"no structure 'Heart' in .*rs\.dcm; there are: Tumour, Point"):
        structures_on(patient, GRID, ["Heart"])


def test_two_structures_of_one_name_are_told_apart_by_their_numbers(tmp_path):
    path = rtstruct(tmp_path / "rs.dcm", {"PTV": box(0, 2), "ptv": box(0, 4)})
    found, _ = structures_on(path, GRID)
    assert list(found) == ["PTV (1)", "ptv (2)"]
    assert found["ptv (2)"].sum() == 2 * found["PTV (1)"].sum()


def test_structures_of_another_frame_of_reference_are_refused(patient):
    assert list(structures_on(patient, GRID, frame="1.2.3.4")[0]) == ["Tumour", "Body"]
    with pytest.raises(GeometryError, match="another frame of reference"):
        structures_on(patient, GRID, frame="9.9")


def test_a_folder_of_masks_gives_the_same_as_the_set_that_it_was_made_from(tmp_path, patient):
    like = image(tmp_path / "like.mha", half())
    masks(patient, tmp_path / "masks", like=like, partial=True)
    found, problems = structures_on(tmp_path / "masks", GRID)
    expected, named = structures_on(patient, GRID)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)
    assert kinds(problems).keys() == kinds(named).keys()
    assert kinds(problems)["structure 'Body'"] == "structure_partly_outside"
    told = next(problem.sentence for problem in problems if "Lung" in problem.where)
    assert "lies outside the grid" in told
    assert "`dicom masks` left it out" in told
    assert structures_on(tmp_path / "masks", GRID, ["Tumour"])[1] == ()


def test_mask_images_are_named_by_their_files_and_one_of_zeros_is_empty(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    image(folder / "PTV.nii.gz", 7 * half())
    image(folder / "Empty.mha", np.zeros(GRID.shape))
    (folder / "notes.txt").write_text("no image")
    found, problems = structures_on(folder, GRID)
    np.testing.assert_array_equal(found["PTV"], half())
    assert kinds(problems) == {"structure 'Empty'": "empty_structure"}
    assert list(structures_on(folder / "PTV.nii.gz", GRID)[0]) == ["PTV"]


def test_masks_on_another_grid_are_refused(tmp_path):
    other = Grid((4, 3, 2), (2.0, 2.0, 3.0), (2.0, 1.0, 1.5))
    with pytest.raises(GridMismatchError, match=r"the mask PTV\.mha: grids differ in position by up to 1 mm"):
        structures_on(image(tmp_path / "PTV.mha", half(), other), GRID)


def test_sources_that_hold_no_structures_or_are_damaged_are_refused(tmp_path, patient):
    with pytest.raises(StoreError, match="there are no structures at"):
        structures_on(tmp_path / "none.dcm", GRID)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"holds no masks\.json and no mask images"):
        structures_on(tmp_path / "empty", GRID)
    folder = tmp_path / "masks"
    masks(patient, folder, like=image(tmp_path / "like.mha", half()))
    about = json.loads((folder / "masks.json").read_text())
    (folder / "Tumour.nii.gz").unlink()
    with pytest.raises(StoreError, match=r"the mask of 'Tumour' that masks\.json lists is gone"):
        structures_on(folder, GRID)
    del about["skipped"]
    (folder / "masks.json").write_text(json.dumps(about))
    with pytest.raises(FormatError, match=r"masks\.json is damaged"):
        structures_on(folder, GRID)
    (folder / "masks.json").write_text(json.dumps({**about, "schema": "another/1"}))
    with pytest.raises(FormatError, match="is of schema 'another/1'"):
        structures_on(folder, GRID)
