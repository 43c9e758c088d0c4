"""RT Dose, judged by dciodvfy (dicom3tools), by GDCM through SimpleITK, and by the raw attributes."""

import hashlib
import itertools
import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_patient import write_file
from pydicom.uid import ExplicitVRLittleEndian, RTDoseStorage, RTPlanStorage
from scipy.spatial.transform import Rotation

from surrogate3d.errors import (
    GeometryError,
    QuantityError,
    StoreError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io import dicom_write
from surrogate3d.io.dicom_reference import read_reference
from surrogate3d.io.dicom_write import RtDoseOptions, write_rtdose

SHAPE, SPACING, ORIGIN = (5, 4, 3), (2.0, 2.5, 1.2), (-101.25, 20.3, 1 / 3)
OBLIQUE = Rotation.from_euler("zyx", [10, -20, 7], degrees=True).as_matrix()
GRIDS = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
    "permuted": np.eye(3)[[2, 0, 1]],
    "permuted and left-handed": np.diag([1.0, -1.0, 1.0])[[2, 0, 1]],
    "oblique": OBLIQUE,
    "oblique and permuted": OBLIQUE[:, [1, 2, 0]],
    "oblique and left-handed": OBLIQUE * [1, -1, 1],
}
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "dicom"

# What remains: dicom3tools of 2022 does not know PLAN_OVERVIEW, which the standard has.
NOT_KNOWN_TO_THE_TOOL = ("PlanOverviewSequence", "PLAN_OVERVIEW")


def rows(matrix):
    return tuple((float(a), float(b), float(c)) for a, b, c in matrix)


def make_volume(direction=None, name="D_RBE", shape=SHAPE, seed=1):
    grid = Grid(shape, SPACING, ORIGIN, rows(np.eye(3) if direction is None else direction))
    return Volume(grid, np.random.default_rng(seed).uniform(0, 70, shape), quantity(name))


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"{name} is not beside the repository")
    return REAL / name


def verdict(path, tmp_path):
    """Lines of dciodvfy. It stops at 32-bit pixels (an assertion), so it sees the same attributes with 16-bit ones."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")
    file = pydicom.dcmread(path)
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
    file.PixelData = file.PixelData[: len(file.PixelData) // 2]
    pydicom.dcmwrite(tmp_path / "sixteen.dcm", file)
    command = ["dciodvfy", "-new", str(tmp_path / "sixteen.dcm")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (done.stdout + done.stderr).splitlines()
    assert "RTDose" in lines
    return [line for line in lines if line != "RTDose"]


@pytest.mark.parametrize("direction", GRIDS.values(), ids=GRIDS)
def test_gdcm_finds_every_value_at_its_position(tmp_path, direction):
    volume = make_volume(direction)
    write_rtdose(volume, tmp_path / "a.dcm")
    image = SimpleITK.ReadImage(str(tmp_path / "a.dcm"))
    step = float(image.GetMetaData("3004|000e"))  # ITK leaves Dose Grid Scaling to its user
    assert sorted(image.GetSize()) == sorted(SHAPE)
    for index in itertools.product(*(range(n) for n in SHAPE)):
        position = volume.grid.position_mm(index)
        there = image.TransformPhysicalPointToIndex(position.tolist())
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(there), position, atol=1e-6)
        assert abs(image[there] * step - volume.values[index]) <= step / 2 * (1 + 1e-6)


@pytest.mark.parametrize("direction", GRIDS.values(), ids=GRIDS)
def test_the_attributes_place_the_voxels_by_the_equation_of_the_standard(tmp_path, direction):
    """PS3.3 C.7.6.2.1.1 with the frames along the normal, row x column, by ascending offsets (C.8.8.3.2)."""
    volume = make_volume(direction)
    write_rtdose(volume, tmp_path / "a.dcm")
    file = pydicom.dcmread(tmp_path / "a.dcm")
    row, column = np.reshape(np.array(file.ImageOrientationPatient, dtype=float), (2, 3))
    offsets = np.array(file.GridFrameOffsetVector, dtype=float)
    assert offsets[0] == 0
    assert (np.diff(offsets) > 0).all()
    pixels = np.frombuffer(file.PixelData, "<u4").reshape(int(file.NumberOfFrames), file.Rows, file.Columns)
    between_rows, between_columns = (float(x) for x in file.PixelSpacing)
    inverse = np.linalg.inv(volume.grid.affine)
    for f, r, c in itertools.product(*(range(n) for n in pixels.shape)):
        position = np.array(file.ImagePositionPatient, dtype=float) + row * between_columns * c
        position += column * between_rows * r + np.cross(row, column) * offsets[f]
        index = (inverse @ [*position, 1])[:3]
        np.testing.assert_allclose(index, np.rint(index), atol=1e-8)
        expected = volume.values[tuple(np.rint(index).astype(int))]
        assert abs(pixels[f, r, c] * float(file.DoseGridScaling) - expected) <= 0.5 * float(file.DoseGridScaling)


@pytest.mark.parametrize("name", ["axial", "flipped", "left-handed", "permuted", "permuted and left-handed"])
def test_grids_along_the_axes_become_axial(tmp_path, name):
    write_rtdose(make_volume(GRIDS[name]), tmp_path / "a.dcm")
    assert pydicom.dcmread(tmp_path / "a.dcm").ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("name", ["dose_to_water", "dose_to_medium", "D_RBE", "BED", "EQD2", "LET_d"])
@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE], ids=["axial", "oblique"])
def test_dciodvfy_accepts_the_file_with_a_plan(tmp_path, name, direction):
    plan = write_file(tmp_path / "plan.dcm", RTPlanStorage, StudyID="S1", StudyDate="20260101", StudyTime="120000")
    whose = read_reference(None, plan)
    write_rtdose(make_volume(direction, name), tmp_path / "a.dcm", RtDoseOptions(reference=whose, let=True))
    assert verdict(tmp_path / "a.dcm", tmp_path) == []


def test_dciodvfy_accepts_the_file_without_any_reference(tmp_path):
    write_rtdose(make_volume(), tmp_path / "a.dcm", RtDoseOptions(parameters={"fractions": 30}))
    lines = verdict(tmp_path / "a.dcm", tmp_path)
    assert not [line for line in lines if not any(known in line for known in NOT_KNOWN_TO_THE_TOOL)], lines
    assert not [line for line in lines if line.startswith("Error")]


def test_dciodvfy_accepts_a_single_slice(tmp_path):
    plan = read_reference(
        None, write_file(tmp_path / "plan.dcm", RTPlanStorage, StudyID="S1", StudyDate="20260101", StudyTime="120000")
    )
    write_rtdose(make_volume(shape=(5, 4, 1)), tmp_path / "a.dcm", RtDoseOptions(reference=plan))
    assert verdict(tmp_path / "a.dcm", tmp_path) == []
    assert "GridFrameOffsetVector" not in pydicom.dcmread(tmp_path / "a.dcm")


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtplan.dcm", "rtstruct.dcm"])
def test_dciodvfy_accepts_the_dose_of_a_real_patient(tmp_path, name):
    reference = read_reference(real(name))
    write_rtdose(make_volume(), tmp_path / "a.dcm", RtDoseOptions(reference=reference))
    lines = [line for line in verdict(tmp_path / "a.dcm", tmp_path) if "StudyID" not in line]  # empty in the source
    known = NOT_KNOWN_TO_THE_TOOL if name == "rtstruct.dcm" else ()
    assert not [line for line in lines if not any(word in line for word in known)], lines
    file, source = (pydicom.dcmread(path, stop_before_pixels=True) for path in (tmp_path / "a.dcm", real(name)))
    for tag in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        assert file[tag].value == source[tag].value, tag
    assert file.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert {file.SOPInstanceUID, file.SeriesInstanceUID}.isdisjoint({source.SOPInstanceUID, source.SeriesInstanceUID})


def test_the_plan_of_a_real_dose_is_carried_over(tmp_path):
    write_rtdose(make_volume(), tmp_path / "a.dcm", RtDoseOptions(reference=read_reference(real("rtdose.dcm"))))
    (item,) = pydicom.dcmread(tmp_path / "a.dcm").ReferencedRTPlanSequence
    plan = pydicom.dcmread(real("rtplan.dcm"), stop_before_pixels=True)
    assert item.ReferencedSOPInstanceUID == plan.SOPInstanceUID
    assert item.ReferencedSOPClassUID == plan.SOPClassUID


@pytest.mark.parametrize(
    ("name", "dose_type"), [("dose_to_water", "PHYSICAL"), ("D_RBE", "EFFECTIVE"), ("BED", "EFFECTIVE")]
)
def test_dose_type_and_derivation_follow_the_quantity(tmp_path, name, dose_type):
    about = write_rtdose(make_volume(name=name), tmp_path / "a.dcm")
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert (file.DoseType, file.DoseUnits, file.Manufacturer) == (dose_type, "GY", "surrogate3d")
    assert ("DerivationCodeSequence" in file) == (dose_type == "EFFECTIVE")
    if dose_type == "EFFECTIVE":
        assert file.DerivationCodeSequence[0].CodeValue == "121377"  # CID 7220, CP-2379
    assert about["dose_summation_type"] == file.DoseSummationType == "PLAN_OVERVIEW"
    assert ["no reference" in about["notes"][0], "no plan" in about["notes"][1]] == [True, True]


def test_values_are_rounded_and_the_largest_is_exact(tmp_path):
    """TOPAS cuts off the fraction of a step, and its scaling makes the largest value the largest stored one."""
    values = np.random.default_rng(2).uniform(0, 61.7, SHAPE).astype(np.float32)
    volume = Volume(make_volume().grid, values, quantity("dose_to_water"))
    write_rtdose(volume, tmp_path / "a.dcm")
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert (file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation) == (32, 32, 31, 0)
    assert len(file.DoseGridScaling.original_string) <= 16
    stored = np.frombuffer(file.PixelData, "<u4").reshape(SHAPE[::-1]).transpose(2, 1, 0)
    found, step = stored * float(file.DoseGridScaling), float(file.DoseGridScaling)
    assert np.abs(found - values).max() <= step / 2
    assert abs(float((found - values.astype(float)).mean())) < step / 8  # cutting off would be -1/2
    assert np.float32(found.max()) == values.max()
    assert stored.max() == 2**31 - 1  # right for readers that take it as signed, too


@pytest.mark.parametrize("maximum", [1e-12, 1 / 3, 1.0, 61.234567890123, 2.0**31 - 1, 9.99999999999e9])
def test_the_scaling_as_written_never_clips(tmp_path, maximum):
    volume = make_volume()
    values = volume.values / volume.values.max() * maximum
    about = write_rtdose(Volume(volume.grid, values, volume.quantity), tmp_path / "a.dcm")
    assert maximum <= about["dose_grid_scaling"] * (2**31 - 1) <= maximum * (1 + 2e-10)


def test_a_dose_of_nothing_is_zero(tmp_path):
    volume = make_volume()
    write_rtdose(Volume(volume.grid, np.zeros(SHAPE), volume.quantity), tmp_path / "a.dcm")
    assert not any(pydicom.dcmread(tmp_path / "a.dcm").PixelData)


def test_nan_is_refused_unless_it_is_stored_as_zero_and_counted(tmp_path):
    volume = make_volume()
    values = volume.values.copy()
    values[0, 1] = np.nan
    holed = Volume(volume.grid, values, volume.quantity)
    with pytest.raises(ValueRangeError, match=r"3 of 60 voxels are NaN.*--outside zero"):
        write_rtdose(holed, tmp_path / "a.dcm")
    with pytest.raises(ValueRangeError, match="stored as 0 or refused"):
        write_rtdose(holed, tmp_path / "a.dcm", RtDoseOptions(nan_as=-1.0))
    about = write_rtdose(holed, tmp_path / "a.dcm", RtDoseOptions(nan_as=0.0))
    assert about["voxels_stored_as_zero_without_answer"] == 3
    assert "outside=0 (3 voxels)" in pydicom.dcmread(tmp_path / "a.dcm").DoseComment
    assert any("3 voxels" in note for note in about["notes"])
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "a.dcm")))
    assert int((image == 0).sum()) == 3


@pytest.mark.parametrize(("value", "words"), [(-1e-9, "negative"), (np.inf, "infinite")])
def test_impossible_doses_are_refused(tmp_path, value, words):
    volume = make_volume()
    values = volume.values.copy()
    values[1, 1, 1] = value
    with pytest.raises(ValueRangeError, match=f"1 voxels are {words}"):
        write_rtdose(Volume(volume.grid, values, volume.quantity), tmp_path / "a.dcm", RtDoseOptions(nan_as=0.0))
    assert list(tmp_path.iterdir()) == []


def test_a_value_too_small_for_any_dose_is_refused(tmp_path):
    volume = make_volume()
    with pytest.raises(ValueRangeError, match="no dose in Gy"):
        write_rtdose(Volume(volume.grid, volume.values * 1e-200, volume.quantity), tmp_path / "a.dcm")


@pytest.mark.parametrize("name", ["RBE", "alpha", "survival", "dose_std", "mask"])
def test_what_is_no_dose_is_refused(tmp_path, name):
    with pytest.raises(UnsupportedError, match=f"{name} is not a dose"):
        write_rtdose(make_volume(name=name), tmp_path / "a.dcm", RtDoseOptions(let=True))


def test_LET_is_written_only_when_asked_for_and_never_silently_as_gray(tmp_path):
    LET = make_volume(name="LET_d")
    with pytest.raises(QuantityError, match="LET_d is not a dose"):
        write_rtdose(LET, tmp_path / "a.dcm")
    about = write_rtdose(LET, tmp_path / "a.dcm", RtDoseOptions(let=True))
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert (file.DoseUnits, file.DoseType) == ("RELATIVE", "PHYSICAL")
    assert file.DoseComment.startswith("LETd keV/um, NOT A DOSE")
    assert "NOT A DOSE" in file.SeriesDescription
    assert "not a dose" in about["notes"][-1]
    write_rtdose(LET, tmp_path / "b.dcm", RtDoseOptions(let=True, let_as_gy=True))
    file = pydicom.dcmread(tmp_path / "b.dcm")
    assert file.DoseUnits == "GY"
    assert file.DoseComment.startswith("LETd keV/um, NOT A DOSE")


def test_the_comment_keeps_whole_words_by_importance_within_a_long_string(tmp_path):
    words = ("HSG", "ax=0.313 bx=0.0615", "30x2Gy", "w" * 40, "last")
    write_rtdose(make_volume(), tmp_path / "a.dcm", RtDoseOptions(comment=words))
    assert pydicom.dcmread(tmp_path / "a.dcm").DoseComment == "D_RBE HSG ax=0.313 bx=0.0615 30x2Gy"
    write_rtdose(make_volume(), tmp_path / "b.dcm", RtDoseOptions(comment=("a\\b\r\n", "Zähler")))
    assert pydicom.dcmread(tmp_path / "b.dcm").DoseComment == "D_RBE a?b?? Z?hler"


def test_the_json_beside_it_has_the_hash_and_the_parameters(tmp_path):
    options = RtDoseOptions(parameters={"cell_line": {"name": "HSG"}, "fractions": 30})
    about = write_rtdose(make_volume(), tmp_path / "a.dcm", options)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found == about
    assert found["sha256"] == hashlib.sha256((tmp_path / "a.dcm").read_bytes()).hexdigest()
    assert found["parameters"] == {"cell_line": {"name": "HSG"}, "fractions": 30}
    assert Grid.from_json(found["grid"]) == make_volume().grid


def test_uids_repeat_with_seed_and_time_and_differ_with_the_content(tmp_path):
    options = RtDoseOptions(seed="plan 7", when=datetime(2026, 1, 2, 3, 4, 5))
    for name, volume in (("a", make_volume()), ("b", make_volume()), ("c", make_volume(seed=9))):
        write_rtdose(volume, tmp_path / f"{name}.dcm", options)
    write_rtdose(make_volume(), tmp_path / "d.dcm")
    a, _b, c, d = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in "abcd")
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    assert a.StudyInstanceUID == c.StudyInstanceUID
    assert a.FrameOfReferenceUID == c.FrameOfReferenceUID
    assert len({a.SOPInstanceUID, c.SOPInstanceUID, d.SOPInstanceUID}) == 3
    assert len({a.SeriesInstanceUID, c.SeriesInstanceUID, d.SeriesInstanceUID}) == 3
    assert a.SOPInstanceUID.startswith(pydicom.uid.PYDICOM_ROOT_UID)


def test_the_file_is_part_10_in_explicit_little_endian(tmp_path):
    write_rtdose(make_volume(), tmp_path / "a.dcm")
    assert (tmp_path / "a.dcm").read_bytes()[128:132] == b"DICM"
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert file.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert file.SOPClassUID == file.file_meta.MediaStorageSOPClassUID == RTDoseStorage
    assert file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID


def test_nothing_is_replaced_unasked_and_nothing_is_left_half(tmp_path):
    write_rtdose(make_volume(), tmp_path / "a.dcm")
    before = (tmp_path / "a.dcm").read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        write_rtdose(make_volume(seed=3), tmp_path / "a.dcm")
    (tmp_path / "b.json").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        write_rtdose(make_volume(), tmp_path / "b.dcm")
    assert not (tmp_path / "b.dcm").exists()
    assert (tmp_path / "b.json").read_text() == "mine"
    write_rtdose(make_volume(seed=3), tmp_path / "a.dcm", overwrite=True)
    assert (tmp_path / "a.dcm").read_bytes() != before


def test_other_suffixes_and_huge_grids_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UnsupportedError, match=r"written to \.dcm"):
        write_rtdose(make_volume(), tmp_path / "a.nii")
    monkeypatch.setattr(dicom_write, "_MOST_FRAMES", 4)
    with pytest.raises(GeometryError, match="up to 4 voxels along an axis"):
        write_rtdose(make_volume(), tmp_path / "a.dcm")
