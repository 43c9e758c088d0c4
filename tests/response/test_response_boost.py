"""Suggested regions on shapes that are counted by hand, and their files read by nibabel, pydicom and our reader."""

import json
from datetime import datetime

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_objects import FRAME, ct_slice
from scipy.spatial.transform import Rotation

from surrogate3d.errors import FormatError, GridMismatchError, StoreError, ValueRangeError
from surrogate3d.grid import Grid, Lesion, Volume, quantity
from surrogate3d.io.dicom_masks import mask_of
from surrogate3d.io.dicom_structures import read_rtstruct
from surrogate3d.io.images import read_image
from surrogate3d.response.boost import NO_REGION, cleaned, related_region, suggested_boost
from surrogate3d.response.boost_files import BoostOptions, by_image, read_boost, write_boost

GRID = Grid((24, 20, 18), (1.0, 1.0, 1.0), (-10.0, 5.0, 30.0))
SAME = BoostOptions(seed="s", when=datetime(2026, 1, 2))


def box(*parts, shape=GRID.shape):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*part) for part in parts)] = True
    return mask


LESION = box((2, 22), (2, 18), (2, 16))
LARGE, SMALL, SPECK = box((3, 9), (3, 9), (3, 9)), box((14, 17), (3, 6), (3, 6)), box((14, 15), (12, 13), (8, 9))
OTHER = box((14, 20), (8, 16), (4, 14))
LEFT, RIGHT = box((2, 12), (2, 18), (2, 16)), box((12, 22), (2, 18), (2, 16))


def lesion_of(mask=LESION, grid=GRID, patient="P1", name="L1"):
    return Lesion(patient, name, Volume(grid, np.zeros(grid.shape), quantity("image_signal")), mask)


def map_of(*regions):
    """1 in the regions, 0 elsewhere."""
    return np.any(regions, axis=0).astype(float) if regions else np.zeros(GRID.shape)


def test_the_region_is_what_exceeds_the_threshold_in_the_lesion():
    resistance = np.where(LARGE, 0.5, 0.4) + np.where(LESION, 0, 10)
    assert np.array_equal(related_region(lesion_of(), resistance, 0.4), LARGE)
    assert not related_region(lesion_of(), np.where(LESION, 0.5, 10), 0.5).any()


def test_a_cube_stays_and_small_parts_and_specks_go():
    """An opening by a ball of one voxel takes the edges of a cube: 12 edges of 4 and 8 corners from 216."""
    found = suggested_boost(lesion_of(), map_of(LARGE, SMALL, SPECK), 0.5)
    assert not (found.region & ~LARGE).any()
    core = box((4, 8), (4, 8), (4, 8))
    assert (found.region & core).sum() == core.sum()
    assert found.parts_cm3 == (pytest.approx(found.region.sum() / 1000),)
    assert found.volume_cm3 == pytest.approx(found.region.sum() / 1000)
    assert 0.16 <= found.volume_cm3 <= 0.216
    assert found.notes == ("1 part(s) below 0.05 cm3 left out, the largest of 0.007 cm3",)


def test_cleaning_is_an_opening_and_a_closing_by_seven_voxels():
    """Twin: minima and maxima over the voxel and its six neighbours."""

    def over_neighbours(voxels, combine):
        wide = np.pad(voxels, 1)
        shifted = [np.roll(wide, step, axis) for axis in range(3) for step in (-1, 1)]
        return combine([wide, *shifted], axis=0)[1:-1, 1:-1, 1:-1]

    region = np.pad(np.random.default_rng(1).random((16, 12, 10)) < 0.85, 4)
    erode = lambda voxels: over_neighbours(voxels, np.all)  # noqa: E731
    dilate = lambda voxels: over_neighbours(voxels, np.any)  # noqa: E731
    grid = Grid(region.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert np.array_equal(cleaned(region, grid), erode(dilate(dilate(erode(region)))))


def test_closing_does_not_eat_a_region_at_the_border_of_the_image():
    assert cleaned(np.ones((6, 6, 6), bool), Grid((6, 6, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))[0, 3, 3]


def test_single_thick_slices_are_cleaned_in_their_plane_only():
    grid = Grid((12, 12, 5), (1.0, 1.0, 4.0), (0.0, 0.0, 0.0))
    slab, speck = box((2, 8), (2, 8), (2, 3), shape=grid.shape), box((10, 11), (10, 11), (2, 3), shape=grid.shape)
    found = suggested_boost(lesion_of(np.ones(grid.shape, bool), grid), (slab | speck).astype(float), 0.5)
    assert found.region[3:7, 3:7, 2].all()
    assert not (found.region & ~slab).any()


def test_the_region_never_leaves_the_lesion_nor_enters_what_is_not_known():
    rng = np.random.default_rng(2)
    for _ in range(20):
        mask = cleaned(rng.random(GRID.shape) < 0.8, GRID)
        resistance = np.where(rng.random(GRID.shape) < 0.1, np.nan, rng.normal(1, 1, GRID.shape))
        found = suggested_boost(lesion_of(mask), resistance, 0.2, least_cm3=0)
        assert not (found.region & ~mask).any()
        assert not np.isnan(resistance[found.region]).any()
        assert f"no answer in {np.isnan(resistance[mask]).sum()} of {mask.sum()} voxels" in found.notes[0]


def test_a_part_of_exactly_the_least_volume_is_enough():
    grid = Grid((9, 9, 9), (5.0, 5.0, 2.0), (0.0, 0.0, 0.0))  # 0.05 cm3 a voxel
    one = box((4, 5), (4, 5), (4, 5), shape=grid.shape)
    assert suggested_boost(lesion_of(np.ones(grid.shape, bool), grid), one.astype(float), 0.5).parts_cm3 == (0.05,)


@pytest.mark.parametrize("regions", [(), (SPECK,), (SMALL,)], ids=["nothing", "speck", "small"])
def test_no_region_is_said(regions):
    found = suggested_boost(lesion_of(), map_of(*regions), 0.5)
    assert (found.region.any(), found.parts_cm3, found.volume_cm3) == (False, (), 0)
    assert NO_REGION in found.notes[-1]


@pytest.mark.parametrize(
    ("resistance", "threshold", "error", "words"),
    [
        (np.zeros((2, 2, 2)), 0.0, GridMismatchError, "shape"),
        (np.zeros(GRID.shape), np.nan, ValueRangeError, "threshold"),
        (np.full(GRID.shape, np.nan), 0.0, ValueRangeError, "NaN in the whole lesion"),
    ],
)
def test_maps_and_thresholds_that_cannot_be_are_refused(resistance, threshold, error, words):
    with pytest.raises(error, match=f"patient P1, lesion L1: .*{words}"):
        suggested_boost(lesion_of(), resistance, threshold)


def test_a_negative_least_volume_is_refused():
    with pytest.raises(ValueRangeError, match="least volume"):
        suggested_boost(lesion_of(), map_of(), 0.5, least_cm3=-1)


def two_boosts(patients=("P1", "P1"), grids=(GRID, GRID), regions=(LARGE, OTHER)):
    masks = (LEFT, RIGHT)
    return [
        suggested_boost(lesion_of(masks[n], grids[n], patients[n], f"L{n + 1}"), map_of(regions[n]), 0.5)
        for n in (0, 1)
    ]


def test_the_files_hold_the_regions_and_say_what_they_are_for(tmp_path):
    boosts = two_boosts()
    about = write_boost(boosts, tmp_path / "out", SAME)
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == sorted(about["files"])
    labels = nibabel.load(tmp_path / "out" / "boost.nii.gz")
    assert labels.get_data_dtype() == np.uint8
    assert b"RESEARCH ONLY" in labels.header["descrip"].tobytes()
    back = read_image(tmp_path / "out" / "boost.nii.gz", quantity("structure"))
    assert back.grid == GRID
    structures = read_rtstruct(tmp_path / "out" / "boost.dcm")
    for number, (each, structure) in enumerate(zip(boosts, structures, strict=True), start=1):
        assert np.array_equal(back.values == number, each.region)
        assert structure.name == f"RESEARCH ONLY boost P1 L{number}"
        assert np.array_equal(mask_of(structure, GRID).binary, each.region)
    file = pydicom.dcmread(tmp_path / "out" / "boost.dcm")
    assert file.StructureSetROISequence[0].ROIDescription == "research only, not for treatment"
    assert (file.StructureSetLabel, file.ApprovalStatus) == ("RESEARCH ONLY", "UNAPPROVED")
    written = json.loads((tmp_path / "out" / "boost.json").read_text())
    assert written == about
    assert written["research_only"] == "research only, not for treatment"
    assert [(each["label"], each["lesion"]) for each in written["labels"]] == [(1, "L1"), (2, "L2")]
    assert written["labels"][1]["volume_cm3"] == pytest.approx(boosts[1].region.sum() / 1000)


def test_a_slice_of_the_image_gives_patient_frame_and_series(tmp_path):
    (tmp_path / "mr").mkdir()
    whose = {"PatientName": "Doe^Jane", "PatientID": "D7", "StudyInstanceUID": "1.2.3", "PixelSpacing": [1.0, 1.0]}
    for k in range(GRID.shape[2]):
        position = GRID.position_mm([0, 0, k])
        ct_slice(tmp_path / "mr" / f"{k}.dcm", np.zeros((20, 24), np.int16), position, **whose)
    options = BoostOptions(reference=tmp_path / "mr" / "0.dcm")
    about = write_boost(two_boosts(), tmp_path / "out", options)
    assert about["rtstruct"]["frame_of_reference_uid"] == FRAME
    assert about["rtstruct"]["notes"] == []
    file = pydicom.dcmread(tmp_path / "out" / "boost.dcm")
    assert (file.PatientID, file.StudyInstanceUID) == ("D7", "1.2.3")
    assert all("ContourImageSequence" in each for each in file.ROIContourSequence[0].ContourSequence)


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_boost(two_boosts(), tmp_path / name, SAME)
    for file in ("boost.nii.gz", "boost.dcm", "boost.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_lesion_without_a_region_is_in_the_legend_only(tmp_path):
    about = write_boost(two_boosts(regions=(SPECK, OTHER)), tmp_path / "out", SAME)
    assert [each["suggested"] for each in about["labels"]] == [False, True]
    assert NO_REGION in about["labels"][0]["notes"][-1]
    assert [each.name for each in read_rtstruct(tmp_path / "out" / "boost.dcm")] == ["RESEARCH ONLY boost P1 L2"]


def test_without_any_region_there_is_no_structure_set(tmp_path):
    about = write_boost(two_boosts(regions=(SPECK, SPECK)), tmp_path / "out", SAME)
    assert about["files"] == ["boost.nii.gz", "boost.json"]
    assert not (tmp_path / "out" / "boost.dcm").exists()
    assert NO_REGION in about["notes"][0]
    assert not np.asarray(nibabel.load(tmp_path / "out" / "boost.nii.gz").dataobj).any()


def test_an_oblique_image_gets_labels_only_and_says_why(tmp_path):
    rows = Rotation.from_euler("x", 12, degrees=True).as_matrix()
    grid = Grid(GRID.shape, GRID.spacing_mm, GRID.origin_mm, tuple(tuple(float(x) for x in row) for row in rows))
    about = write_boost([suggested_boost(lesion_of(grid=grid), map_of(LARGE), 0.5)], tmp_path / "out", SAME)
    assert about["rtstruct"] is None
    assert "oblique" in about["notes"][0]
    assert "boost.dcm" not in about["files"]


def test_names_that_dicom_has_no_room_for_become_the_label(tmp_path):
    boost = suggested_boost(lesion_of(patient="P" * 60), map_of(LARGE), 0.5)
    write_boost([boost], tmp_path / "out", SAME)
    assert read_rtstruct(tmp_path / "out" / "boost.dcm")[0].name == "RESEARCH ONLY boost label 1"


@pytest.mark.parametrize(
    ("boosts", "error", "words"),
    [
        ([], ValueRangeError, "1 to 255 lesions, found 0"),
        (two_boosts(patients=("P1", "P2")), ValueRangeError, "patient P2, lesion L2: found among those of patient P1"),
        (two_boosts()[:1] * 2, ValueRangeError, "shares voxels with that of lesion L1"),
        (
            two_boosts(grids=(GRID, Grid(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 0.0)))),
            GridMismatchError,
            "not on the grid of lesion L1",
        ),
    ],
)
def test_lesions_that_do_not_belong_into_one_image_are_refused(tmp_path, boosts, error, words):
    with pytest.raises(error, match=words):
        write_boost(boosts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_lesions_are_grouped_by_patient_and_grid():
    other = Grid(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 0.0))
    same, apart, strangers = two_boosts(), two_boosts(grids=(GRID, other)), two_boosts(patients=("P1", "P2"))
    assert [len(group) for group in by_image(same)] == [2]
    assert [len(group) for group in by_image(apart)] == [1, 1]
    assert [[each.patient for each in group] for group in by_image(strangers)] == [["P1"], ["P2"]]


def test_only_folders_of_ours_are_replaced(tmp_path):
    write_boost(two_boosts(), tmp_path / "out", SAME)
    with pytest.raises(StoreError, match="exists already"):
        write_boost(two_boosts(), tmp_path / "out", SAME)
    again = BoostOptions(seed="s", when=SAME.when, overwrite=True)
    assert write_boost(two_boosts(), tmp_path / "out", again)["labels"]
    (tmp_path / "thesis").mkdir()
    with pytest.raises(StoreError, match="holds no boost regions of ours"):
        write_boost(two_boosts(), tmp_path / "thesis", again)


def test_a_reference_that_is_missing_leaves_nothing(tmp_path):
    with pytest.raises(StoreError, match="no DICOM file"):
        write_boost(two_boosts(), tmp_path / "out", BoostOptions(reference=tmp_path / "none.dcm"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_suggested_is_read_back_lesion_by_lesion(tmp_path):
    boosts = two_boosts(regions=(SPECK, OTHER))
    write_boost(boosts, tmp_path / "out", SAME)
    assert not read_boost(tmp_path / "out", "L1").any()
    assert np.array_equal(read_boost(tmp_path / "out", "L2"), boosts[1].region)
    with pytest.raises(FormatError, match="says nothing of lesion L3, only of L1, L2"):
        read_boost(tmp_path / "out", "L3")
    (tmp_path / "out" / "boost.json").write_text("{}")
    with pytest.raises(FormatError, match=r"boost\.json does not say what the labels"):
        read_boost(tmp_path / "out", "L1")
