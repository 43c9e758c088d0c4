"""Structure sets, judged by our reader, by dciodvfy (dicom3tools), by plastimatch, and by the raw attributes."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_objects import FRAME, ct_slice
from dicom_patient import write_file
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from scipy.spatial.transform import Rotation

from surrogate3d.errors import FormatError, GeometryError, GridMismatchError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid
from surrogate3d.io.dicom_masks import mask_of
from surrogate3d.io.dicom_reference import read_reference
from surrogate3d.io.dicom_referenced_series import referenced_series
from surrogate3d.io.dicom_structures import read_rtstruct
from surrogate3d.io.dicom_structures_write import Roi, RtStructOptions, write_rtstruct
from surrogate3d.io.outlines import outlines

SHAPE, SPACING, ORIGIN = (16, 14, 9), (0.9, 1.1, 1.3), (-100.3, 33.3, 1 / 3)
ABOUT_Z = Rotation.from_euler("z", 23, degrees=True).as_matrix()
AXIAL = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
    "sagittal": np.eye(3)[[2, 0, 1]],
    "turned about z": ABOUT_Z,
    "coronal, turned about z": ABOUT_Z @ np.eye(3)[[0, 2, 1]],
}
WHEN = datetime(2026, 1, 2, 3, 4, 5)
PLASTIMATCH = Path(sys.executable).parent / "plastimatch"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "dicom"


def grid_of(direction=None, shape=SHAPE):
    rows = np.eye(3) if direction is None else direction
    return Grid(shape, SPACING, ORIGIN, tuple(tuple(float(x) for x in row) for row in rows))


def hollow_ball(shape=SHAPE):
    offset = np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2
    apart = np.linalg.norm(offset * SPACING, axis=-1)
    return (apart < 5.2) & (apart > 2.1)


def read_back(path, grid):
    """Voxels that are in the regions of a file, and how far any fraction is from 0 or 1."""
    masks = [mask_of(structure, grid) for structure in read_rtstruct(path)]
    assert not (sum(mask.binary.astype(int) for mask in masks) > 1).any()
    unsure = max(float(np.abs(mask.volume.values - mask.binary).max()) for mask in masks)
    return np.any([mask.binary for mask in masks], axis=0), unsure


@pytest.mark.parametrize("direction", AXIAL.values(), ids=AXIAL)
def test_our_reader_finds_the_very_same_voxels_of_a_hollow_ball(tmp_path, direction):
    grid, mask = grid_of(direction), hollow_ball()
    about = write_rtstruct([Roi("shell", mask)], grid, tmp_path / "a.dcm")
    back, unsure = read_back(tmp_path / "a.dcm", grid)
    assert np.array_equal(back, mask)
    assert unsure < 1e-6
    assert [roi["volume_cm3"] for roi in about["rois"]] == [pytest.approx(mask.sum() * np.prod(SPACING) / 1000)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    filled=st.sampled_from([0.05, 0.3, 0.6, 0.8, 0.95]),
    name=st.sampled_from(list(AXIAL)),
)
def test_our_reader_finds_the_very_same_voxels_whatever_they_are(tmp_path_factory, seed, filled, name):
    """Holes in holes, voxels that touch at corners, and planes without any."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(2, 9, 3))
    grid = grid_of(AXIAL[name], shape)
    mask = rng.random(shape) < filled
    along_z = int(np.abs(np.asarray(grid.direction)[2]).argmax())
    mask &= np.expand_dims(rng.random(shape[along_z]) < 0.7, [a for a in range(3) if a != along_z])
    mask.ravel()[rng.integers(mask.size)] = True
    path = tmp_path_factory.mktemp("set") / "a.dcm"
    write_rtstruct([Roi("any", mask)], grid, path)
    back, unsure = read_back(path, grid)
    assert np.array_equal(back, mask)
    assert unsure < 1e-6


@pytest.mark.parametrize("filled", [0.2, 0.5, 0.8, 0.95])
def test_outlines_enclose_the_voxels_by_crossings_and_by_winding(filled):
    """A ray from each centre meets an odd number of edges where it is inside, and their senses add to one."""
    rng = np.random.default_rng(7)
    for _ in range(40):
        plane = rng.random(tuple(rng.integers(1, 13, 2))) < filled
        u, v = np.indices(plane.shape)
        crossings, winding = np.zeros(plane.shape, int), np.zeros(plane.shape, int)
        for ring in outlines(plane):
            for (u0, v0), (u1, v1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                assert (u0 == u1) != (v0 == v1)
                met = (u > min(u0, u1)) & (u < max(u0, u1)) & (v < v0)
                crossings += met
                winding += met * int(np.sign(u0 - u1))
        assert np.array_equal(crossings % 2 == 1, plane)
        assert np.array_equal(winding == 1, plane)
        assert set(np.unique(winding)) <= {0, 1}


def test_an_outline_has_no_points_in_the_middle_of_a_side():
    plane = np.ones((5, 3), dtype=bool)
    (ring,) = outlines(plane)
    assert sorted(map(tuple, ring)) == [(-0.5, -0.5), (-0.5, 2.5), (4.5, -0.5), (4.5, 2.5)]
    assert outlines(np.zeros((3, 3), dtype=bool)) == []


def test_runs_of_planes_with_a_gap_become_regions_of_their_own(tmp_path):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3:6, 4:8, [1, 2, 4, 8]] = True
    about = write_rtstruct([Roi("gaps", mask)], grid_of(), tmp_path / "a.dcm")
    assert [roi["name"] for roi in about["rois"]] == ["gaps part 1", "gaps part 2", "gaps part 3"]
    assert np.array_equal(read_back(tmp_path / "a.dcm", grid_of())[0], mask)


@pytest.mark.skipif(not PLASTIMATCH.is_file(), reason="plastimatch has wheels for Linux on x86_64 only")
def test_plastimatch_finds_the_very_same_voxels(tmp_path):
    grid, mask = grid_of(), hollow_ball()
    write_rtstruct([Roi("shell", mask)], grid, tmp_path / "a.dcm")
    image = SimpleITK.Image(*(int(n) for n in SHAPE), SimpleITK.sitkInt16)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    SimpleITK.WriteImage(image, str(tmp_path / "fixed.nii.gz"))
    command = [str(PLASTIMATCH), "convert", "--input", "a.dcm", "--fixed", "fixed.nii.gz"]
    subprocess.run(
        [*command, "--output-prefix", "masks", "--prefix-format", "nii.gz"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "masks" / "shell.nii.gz"))).T
    assert np.array_equal(found > 0, mask)


def series(folder, shape=SHAPE, **elements):
    """A CT of the voxels of `grid_of()`, and its first file."""
    folder.mkdir(exist_ok=True)
    patient = {"PatientName": "Doe^Jane", "PatientID": "P1", "StudyInstanceUID": "1.2.3", "StudyID": "S1"}
    dated = {"StudyDate": "20260101", "StudyTime": "120000", "PixelSpacing": [SPACING[1], SPACING[0]]}
    for k in range(shape[2]):
        position = np.add(ORIGIN, [0, 0, k * SPACING[2]])
        stored = np.zeros((shape[1], shape[0]), np.int16)
        ct_slice(folder / f"{k:02}.dcm", stored, position, **{**patient, **dated, **elements})
    return folder / "00.dcm"


def options_of(reference, **others):
    return RtStructOptions(
        reference=read_reference(reference), series=referenced_series(reference), seed="s", when=WHEN, **others
    )


def test_the_file_belongs_to_the_real_patient_of_its_reference(tmp_path):
    if not (REAL / "rtstruct.dcm").is_file():
        pytest.skip("rtstruct.dcm is not beside the repository")
    about = write_rtstruct([Roi("a", hollow_ball())], grid_of(), tmp_path / "a.dcm", options_of(REAL / "rtstruct.dcm"))
    assert "no image" in " ".join(about["notes"])
    theirs, ours = pydicom.dcmread(REAL / "rtstruct.dcm"), pydicom.dcmread(tmp_path / "a.dcm")
    frame = theirs.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID
    assert ours.StructureSetROISequence[0].ReferencedFrameOfReferenceUID == frame
    assert (ours.PatientID, ours.StudyInstanceUID) == (theirs.PatientID, theirs.StudyInstanceUID)


def test_only_a_region_of_one_plane_states_the_retired_thickness(tmp_path):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3:6, 4:8, 5] = True
    write_rtstruct([Roi("thin", mask)], grid_of(), tmp_path / "a.dcm")
    write_rtstruct([Roi("thick", hollow_ball())], grid_of(), tmp_path / "b.dcm")

    def stated(name):
        (roi,) = pydicom.dcmread(tmp_path / name).ROIContourSequence
        return ["ContourSlabThickness" in contour for contour in roi.ContourSequence]

    assert stated("a.dcm") == [True]
    assert not any(stated("b.dcm"))
    assert np.array_equal(read_back(tmp_path / "a.dcm", grid_of())[0], mask)


def test_contours_name_the_slice_that_they_are_drawn_on(tmp_path):
    options = options_of(series(tmp_path / "ct"))
    write_rtstruct([Roi("a", hollow_ball(), "why")], grid_of(), tmp_path / "a.dcm", options)
    file = pydicom.dcmread(tmp_path / "a.dcm")
    places = {}
    for path in (tmp_path / "ct").iterdir():
        image = pydicom.dcmread(path)
        places[image.SOPInstanceUID] = float(image.ImagePositionPatient[2])
    study = file.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    listed = study.RTReferencedSeriesSequence[0].ContourImageSequence
    assert study.ReferencedSOPInstanceUID == "1.2.3"
    assert {each.ReferencedSOPInstanceUID for each in listed} == set(places)
    for contour in file.ROIContourSequence[0].ContourSequence:
        (image,) = contour.ContourImageSequence
        assert image.ReferencedSOPClassUID == CTImageStorage
        assert float(contour.ContourData[2]) == pytest.approx(places[image.ReferencedSOPInstanceUID], abs=1e-6)


def test_the_file_says_what_it_is_and_is_not_approved(tmp_path):
    options = RtStructOptions(label="RESEARCH ONLY", description="no treatment", seed="s", when=WHEN)
    about = write_rtstruct(
        [Roi("RESEARCH ONLY boost P1 L1", hollow_ball(), "why")], grid_of(), tmp_path / "a.dcm", options
    )
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert (file.ApprovalStatus, file.StructureSetLabel, file.Modality) == ("UNAPPROVED", "RESEARCH ONLY", "RTSTRUCT")
    assert file.SeriesDescription == "no treatment"
    (roi,), (observation,) = file.StructureSetROISequence, file.RTROIObservationsSequence
    assert (roi.ROIName, roi.ROIDescription) == ("RESEARCH ONLY boost P1 L1", "why")
    assert (observation.RTROIInterpretedType, observation.ROIObservationDescription) == ("", "why")
    assert float(roi.ROIVolume) == pytest.approx(hollow_ball().sum() * np.prod(SPACING) / 1000)
    assert "anonymous" in about["notes"][0]


def test_the_same_regions_and_seed_give_the_same_bytes_and_others_other_uids(tmp_path):
    options = RtStructOptions(seed="s", when=WHEN)
    one = write_rtstruct([Roi("a", hollow_ball())], grid_of(), tmp_path / "1.dcm", options)
    two = write_rtstruct([Roi("a", hollow_ball())], grid_of(), tmp_path / "2.dcm", options)
    three = write_rtstruct([Roi("a", ~hollow_ball())], grid_of(), tmp_path / "3.dcm", options)
    assert (tmp_path / "1.dcm").read_bytes() == (tmp_path / "2.dcm").read_bytes()
    assert one["sha256"] == two["sha256"]
    assert one["sop_instance_uid"] != three["sop_instance_uid"]


def test_an_oblique_grid_is_refused_since_no_axial_contours_represent_it(tmp_path):
    tilted = grid_of(Rotation.from_euler("x", 4, degrees=True).as_matrix())
    with pytest.raises(UnsupportedError, match=r"oblique, its nearest axis is 4 degrees off z"):
        write_rtstruct([Roi("a", hollow_ball())], tilted, tmp_path / "a.dcm")
    assert not (tmp_path / "a.dcm").exists()


@pytest.mark.parametrize(
    ("rois", "error", "words"),
    [
        ([], ValueRangeError, "at least one region"),
        ([Roi("a", np.zeros(SHAPE, bool))], ValueRangeError, "'a' is empty"),
        ([Roi("a", np.ones((2, 2, 2), bool))], GridMismatchError, "shape"),
        ([Roi("a", np.ones(SHAPE, bool))] * 2, ValueRangeError, "names of their own"),
        ([Roi("a" * 65, np.ones(SHAPE, bool))], ValueRangeError, "1 to 64 printable"),
        ([Roi("a\\b", np.ones(SHAPE, bool))], ValueRangeError, "backslash"),
        ([Roi(" ", np.ones(SHAPE, bool))], ValueRangeError, "1 to 64 printable"),
    ],
)
def test_regions_that_cannot_be_written_are_refused(tmp_path, rois, error, words):
    with pytest.raises(error, match=words):
        write_rtstruct(rois, grid_of(), tmp_path / "a.dcm")


def test_names_that_outgrow_dicom_with_their_part_are_refused(tmp_path):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:4, 2:4, [1, 4]] = True
    with pytest.raises(ValueRangeError, match="67 characters"):
        write_rtstruct([Roi("a" * 60, mask)], grid_of(), tmp_path / "a.dcm")


def test_another_suffix_and_a_long_label_are_refused(tmp_path):
    with pytest.raises(UnsupportedError, match=r"\.dcm"):
        write_rtstruct([Roi("a", hollow_ball())], grid_of(), tmp_path / "a.dicom")
    with pytest.raises(ValueRangeError, match="the label"):
        write_rtstruct([Roi("a", hollow_ball())], grid_of(), tmp_path / "a.dcm", RtStructOptions(label="x" * 17))


def test_regions_beyond_the_image_are_refused(tmp_path):
    options = options_of(series(tmp_path / "ct", (16, 14, 4)))
    with pytest.raises(GeometryError, match=r"'a' reaches .* mm beyond the image series"):
        write_rtstruct([Roi("a", hollow_ball())], grid_of(), tmp_path / "a.dcm", options)


def test_an_image_of_another_frame_of_reference_is_refused(tmp_path):
    image = referenced_series(series(tmp_path / "ct"))
    whose = read_reference(write_file(tmp_path / "other.dcm", CTImageStorage, FrameOfReferenceUID="1.99"))
    with pytest.raises(GeometryError, match=f"1.99, that of the image {FRAME}"):
        write_rtstruct(
            [Roi("a", hollow_ball())], grid_of(), tmp_path / "a.dcm", RtStructOptions(reference=whose, series=image)
        )


def test_a_series_is_all_its_slices_and_nothing_else(tmp_path):
    first = series(tmp_path / "ct")
    stored = np.zeros((SHAPE[1], SHAPE[0]), np.int16)
    ct_slice(tmp_path / "ct" / "other.dcm", stored, ORIGIN, SeriesInstanceUID="1.2.6")
    (tmp_path / "ct" / "notes.txt").write_text("no slice")
    found = referenced_series(first)
    expected = [pydicom.dcmread(tmp_path / "ct" / f"{k:02}.dcm").SOPInstanceUID for k in range(SHAPE[2])]
    assert [instance for _, instance in found.instances] == expected
    found.grid.require_same(grid_of(), "the grid of the slices")
    assert found.slice_at(ORIGIN[2] + 2 * SPACING[2] + 0.04, 0.05) == (CTImageStorage, expected[2])
    for nowhere in (ORIGIN[2] + SPACING[2] / 2, ORIGIN[2] - SPACING[2], ORIGIN[2] + SHAPE[2] * SPACING[2]):
        assert found.slice_at(nowhere, 0.05) is None


def test_slices_that_are_not_axial_carry_no_contours(tmp_path):
    coronal = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
    slices = [
        ct_slice(tmp_path / f"{n}.dcm", np.zeros((4, 5), np.int16), (0, 2 * n, 9), ImageOrientationPatient=coronal)
        for n in (0, 1)
    ]
    assert referenced_series(slices[0]).slice_at(9.0, 0.05) is None
    assert referenced_series(slices[0]).beyond_mm(np.array([[0.0, 0.0, 9.0], [0.0, 4.5, 9.0]])) == pytest.approx(1.5)


def test_a_series_with_two_frames_or_without_a_name_is_refused(tmp_path):
    first = series(tmp_path / "ct")
    stored = np.zeros((SHAPE[1], SHAPE[0]), np.int16)
    spacing = [SPACING[1], SPACING[0]]
    ct_slice(tmp_path / "ct" / "z.dcm", stored, ORIGIN, PixelSpacing=spacing, FrameOfReferenceUID="1.99")
    with pytest.raises(GeometryError, match=r"FrameOfReferenceUID is 1\.99"):
        referenced_series(first)
    with pytest.raises(FormatError, match="Series Instance UID"):
        referenced_series(ct_slice(tmp_path / "nameless.dcm", stored, ORIGIN, SeriesInstanceUID=None))
