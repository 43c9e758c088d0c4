import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTDoseStorage
from scipy.spatial.transform import Rotation

from surrogate3d.errors import FormatError, GeometryError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.topas_geometry import beam_axis, beam_direction, component_grid, frame_of
from surrogate3d.io.topas_header import parse_header
from surrogate3d.io.topas_parameters import read_parameters

# 4 columns (x) of 1.5 mm, 3 rows (y) of 2.5 mm, 5 slices of 3 mm; first voxel at (-10, 20, -30).
SHAPE, SPACING, FIRST = (4, 3, 5), (1.5, 2.5, 3.0), (-10.0, 20.0, -30.0)

CLINICAL = Path(__file__).parents[3] / "shared" / "data" / "dicom" / "rtdose.dcm"

PLAN = """
s:Ge/Gantry/Type = "Group"
s:Ge/BeamPosition/Parent = "Gantry"
d:Ge/BeamPosition/RotX = 0 deg
s:So/Beam/Type = "Beam"
s:So/Beam/Component = "BeamPosition"
i:So/Beam/NumberOfHistoriesInRun = 10
s:Ge/DICOM_to_IEC/Type = "Group"
d:Ge/DICOM_to_IEC/TransX = Ge/Patient/DicomOriginX - Ge/IsocentreX mm
d:Ge/DICOM_to_IEC/RotX = {rot_x} deg
s:Ge/Patient/Type = "TsDicomPatient"
s:Ge/Patient/Parent = "DICOM_to_IEC"
s:Ge/Patient/DicomDirectory = "ct"
"""


def write_slice(path, position, *, orientation=(1, 0, 0, 0, 1, 0), modality="CT", **changes):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.{abs(hash(path.name)) % 10**9}"
    data.SOPClassUID, data.Modality = CTImageStorage, modality
    data.Rows, data.Columns, data.PixelSpacing = SHAPE[1], SHAPE[0], [SPACING[1], SPACING[0]]
    data.ImagePositionPatient, data.ImageOrientationPatient = list(position), list(orientation)
    data.SliceThickness = SPACING[2]
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)


def write_ct(folder, heights=None, **changes):
    folder.mkdir()
    heights = FIRST[2] + SPACING[2] * np.arange(SHAPE[2]) if heights is None else heights
    # File names in reverse: only positions decide the order.
    for n, z in enumerate(heights):
        write_slice(folder / f"{90 - n}.dcm", (FIRST[0], FIRST[1], float(z)), **changes)
    return folder


def header(component="Patient", bins=SHAPE, spacing_mm=SPACING):
    lines = ["# TOPAS Version: 4.2", "# Parameter File: run.txt", "# Results for scorer: D"]
    axes = [f"# {a} in {n} bins of {w / 10:.6g} cm" for a, n, w in zip("XYZ", bins, spacing_mm, strict=True)]
    return parse_header(
        [*lines, f"# Scored in component: {component}", *axes, "# DoseToWater ( Gy ) : Sum   "], "D.csv"
    )


@pytest.fixture
def read(tmp_path):
    def write_and_read(more="", rot_x=0):
        (tmp_path / "run.txt").write_text(PLAN.format(rot_x=rot_x) + more)
        return read_parameters(tmp_path / "run.txt")

    return write_and_read


@pytest.mark.parametrize("rot_x", [0, -90, 33])
def test_the_grid_of_a_patient_is_that_of_its_ct_however_it_lies(read, tmp_path, rot_x):
    write_ct(tmp_path / "ct")
    assert component_grid(read(rot_x=rot_x), header()) == Grid(SHAPE, SPACING, FIRST)


@pytest.mark.parametrize(
    ("rot_x", "direction", "axis"),
    # M = R_X takes world to patient: +Z goes to (0, -sin, cos).
    [(0, (0, 0, 1), (2, 1)), (90, (0, -1, 0), (1, -1)), (-90, (0, 1, 0), (1, 1)), (180, (0, 0, -1), (2, -1))],
)
def test_the_beam_is_turned_into_the_frame_of_dicom(read, tmp_path, rot_x, direction, axis):
    write_ct(tmp_path / "ct")
    p = read(rot_x=rot_x)
    along = beam_direction(p, component="Patient")
    np.testing.assert_allclose(along, direction, atol=1e-12)
    assert beam_axis(component_grid(p, header()), along) == axis


def test_gantry_and_couch_against_scipy(read):
    text = "d:Ge/Gantry/RotY = 40 deg\nd:Ge/Patient/RotZ = 25 deg\nd:Ge/Patient/RotY = -70 deg\n"
    p = read(text, rot_x=-90)
    to_patient = Rotation.from_euler("xyz", [0, -70, 25], degrees=True) * Rotation.from_euler("x", -90, degrees=True)
    to_gantry = Rotation.from_euler("y", 40, degrees=True)
    expected = to_patient.apply(to_gantry.inv().apply([0, 0, 1]))
    np.testing.assert_allclose(beam_direction(p, component="Patient/RTDoseGrid"), expected, atol=1e-12)
    np.testing.assert_allclose(frame_of(p, "Patient"), to_patient.inv().as_matrix(), atol=1e-12)
    np.testing.assert_allclose(frame_of(p, "Gantry"), np.eye(3))


def test_a_box_in_the_patient_has_dicom_positions(read, tmp_path):
    write_ct(tmp_path / "ct")
    box = 's:Ge/Dose/Type = "TsBox"\ns:Ge/Dose/Parent = "Patient"\nd:Ge/Dose/TransZ = 2 mm\n'
    box += "".join(f"d:Ge/Dose/HL{a} = 3 mm\ni:Ge/Dose/{a}Bins = 3\n" for a in "XYZ")
    grid = component_grid(read(box, rot_x=-90), header("Dose", (3, 3, 3), (2, 2, 2)))
    # The CT's centre is (-10, 20, -30) + (1.5, 2.5, 3) x (3, 2, 4) / 2 = (-7.75, 22.5, -24).
    assert grid == Grid((3, 3, 3), (2.0, 2.0, 2.0), (-9.75, 20.5, -24.0))


def test_a_box_outside_the_patient_that_hangs_on_its_dicom_origin_is_refused(read):
    box = 's:Ge/Dose/Type = "TsBox"\ns:Ge/Dose/Parent = "DICOM_to_IEC"\n'
    box += "d:Ge/IsocentreX = 1 mm\n" + "".join(f"d:Ge/Dose/HL{a} = 3 mm\ni:Ge/Dose/{a}Bins = 3\n" for a in "XYZ")
    with pytest.raises(UnsupportedError, match=r"line 9: .*refers to Ge/Patient/DicomOriginX.*Parent is the patient"):
        component_grid(read(box), header("Dose", (3, 3, 3), (2, 2, 2)))


def test_the_ct_may_be_given(read, tmp_path):
    elsewhere = write_ct(tmp_path / "elsewhere")
    with pytest.raises(GeometryError, match=r"the CT of Patient \(DicomDirectory 'ct'\) is not there.*--dicom-dir"):
        component_grid(read(), header())
    assert component_grid(read(), header(), elsewhere) == Grid(SHAPE, SPACING, FIRST)


def test_restricted_voxels_keep_their_positions(read, tmp_path):
    write_ct(tmp_path / "ct")
    more = "".join(f"i:Ge/Patient/RestrictVoxels{a}Min = 2\n" for a in "XYZ") + "i:Ge/Patient/RestrictVoxelsZMax = 4\n"
    grid = component_grid(read(more), header(bins=(3, 2, 3)))
    assert grid == Grid((3, 2, 3), SPACING, (-8.5, 22.5, -27.0))
    with pytest.raises(GeometryError, match="RestrictVoxelsX keeps none"):
        component_grid(read("i:Ge/Patient/RestrictVoxelsXMin = 9\n"), header())


def test_a_single_slice_has_its_stated_thickness(read, tmp_path):
    write_ct(tmp_path / "ct", heights=[7.0])
    assert component_grid(read(), header(bins=(4, 3, 1))) == Grid((4, 3, 1), SPACING, (-10.0, 20.0, 7.0))


def test_slices_at_rounded_positions_are_evenly_spaced(read, tmp_path):
    # As TOPAS, the last distance is taken; the mean one, which another program printed, is no other run.
    write_ct(tmp_path / "ct", heights=[-30, -27, -24, -21.001, -18.001])
    grid = component_grid(read(), header(spacing_mm=(1.5, 2.5, 2.99975)))
    assert grid.spacing_mm == pytest.approx((1.5, 2.5, 3.0), rel=1e-12)
    assert grid.origin_mm == pytest.approx(FIRST, abs=1e-9)


def test_a_scorer_with_bins_of_its_own_divides_the_box_of_the_ct(read, tmp_path):
    write_ct(tmp_path / "ct")
    grid = component_grid(read("i:Sc/D/XBins = 2\n"), header(bins=(2, 3, 5), spacing_mm=(3, 2.5, 3)))
    assert grid == Grid((2, 3, 5), (3.0, 2.5, 3.0), (-9.25, 20.0, -30.0))


def write_rtdose(path, **changes):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = RTDoseStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    data.SOPClassUID, data.Modality = RTDoseStorage, "RTDOSE"
    data.Rows, data.Columns, data.PixelSpacing = 2, 3, [2.0, 1.0]
    data.ImagePositionPatient, data.GridFrameOffsetVector = [-9.0, 21.0, -28.0], [0.0, 2.5, 5.0, 7.5]
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)


CLONE = 's:Ge/Patient/CloneRTDoseGridFrom = Ge/Patient/DicomDirectory + "/dose.dcm"\n'
SIZE = "dv:Ge/Patient/CloneRTDoseGridSize = 3 2 2 2 mm\n"


def test_the_dose_grid_of_the_planning_system(read, tmp_path):
    write_rtdose(write_ct(tmp_path / "ct") / "dose.dcm")
    grid = component_grid(read(CLONE, rot_x=-90), header("Patient/RTDoseGrid", (3, 2, 4), (1, 2, 2.5)))
    assert grid == Grid((3, 2, 4), (1.0, 2.0, 2.5), (-9.0, 21.0, -28.0))


def test_frames_that_descend_end_where_the_grid_begins(read, tmp_path):
    write_rtdose(write_ct(tmp_path / "ct") / "dose.dcm", GridFrameOffsetVector=[0.0, -2.5, -5.0, -7.5])
    grid = component_grid(read(CLONE), header("Patient/RTDoseGrid", (3, 2, 4), (1, 2, 2.5)))
    assert grid.origin_mm == (-9.0, 21.0, -35.5)


def test_a_dose_grid_of_another_voxel_size_keeps_the_centre_and_covers_the_whole(read, tmp_path):
    write_rtdose(write_ct(tmp_path / "ct") / "dose.dcm")
    # On the CT: 6 x 7.5 x 15 mm around (-7.75, 22.5, -24) becomes 3 x 4 x 8 voxels of 2 mm.
    grid = component_grid(read(SIZE), header("Patient/RTDoseGrid", (3, 4, 8), (2, 2, 2)))
    assert grid == Grid((3, 4, 8), (2.0, 2.0, 2.0), (-9.75, 19.5, -31.0))
    # On the dose: 3 x 4 x 10 mm around (-8, 22, -24.25) becomes 2 x 2 x 5 voxels.
    grid = component_grid(read(CLONE + SIZE), header("Patient/RTDoseGrid", (2, 2, 5), (2, 2, 2)))
    assert grid == Grid((2, 2, 5), (2.0, 2.0, 2.0), (-9.0, 21.0, -28.25))


def test_the_dose_grid_of_a_clinical_file_against_simple_itk(read, tmp_path):
    if not CLINICAL.is_file():
        pytest.skip("the clinical dose file is not beside the repository")
    shutil.copy(CLINICAL, write_ct(tmp_path / "ct") / "dose.dcm")
    image = SimpleITK.ImageFileReader()
    image.SetFileName(str(CLINICAL))
    image.ReadImageInformation()
    expected = Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin())
    grid = component_grid(read(CLONE), header("Patient/RTDoseGrid", expected.shape, expected.spacing_mm))
    grid.require_same(expected, "TOPAS and SimpleITK")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "RTDoseGrid without Ge/Patient/CloneRTDoseGridFrom or"),
        (CLONE, "dose file ct/dose.dcm of CloneRTDoseGridFrom is not there"),
        ("dv:Ge/Patient/CloneRTDoseGridSize = 2 1 1 mm\n", "must be three lengths"),
    ],
)
def test_dose_grids_that_cannot_be_placed(read, tmp_path, more, message):
    write_ct(tmp_path / "ct")
    with pytest.raises(GeometryError, match=message):
        component_grid(read(more), header("Patient/RTDoseGrid"))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"GridFrameOffsetVector": [-28.0, -25.5, -23.0, -20.5]}, UnsupportedError, "must start at offset 0"),
        ({"GridFrameOffsetVector": [0.0, 2.5, 6.0, 8.5]}, UnsupportedError, "evenly spaced"),
        ({"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}, UnsupportedError, "turned"),
        ({"PixelSpacing": None}, FormatError, "a dose file has no PixelSpacing"),
        ({"GridFrameOffsetVector": [0.0]}, UnsupportedError, "evenly spaced"),
    ],
)
def test_dose_files_that_are_refused(read, tmp_path, changes, error, message):
    write_rtdose(write_ct(tmp_path / "ct") / "dose.dcm", **changes)
    with pytest.raises(error, match=message):
        component_grid(read(CLONE), header("Patient/RTDoseGrid", (3, 2, 4), (1, 2, 2.5)))


@pytest.mark.parametrize(
    ("ct", "error", "message"),
    [
        ({"heights": [0, 3, 6, 10, 14]}, UnsupportedError, "slices are 3 to 4 mm apart"),
        ({"heights": [0, 3, 3, 6, 9]}, FormatError, "two slices of the CT at one position"),
        ({"orientation": (-1, 0, 0, 0, -1, 0)}, UnsupportedError, "orientation"),
        ({"modality": "MR"}, GeometryError, "expected DICOM images of modality CT, found none"),
        ({"PixelSpacing": None}, FormatError, "a slice of the CT has no PixelSpacing"),
        ({"heights": [7.0], "SliceThickness": None}, FormatError, "without SliceThickness"),
    ],
)
def test_series_that_are_refused(read, tmp_path, ct, error, message):
    write_ct(tmp_path / "ct", **ct)
    with pytest.raises(error, match=message):
        component_grid(read(), header())


def test_a_dose_file_that_is_no_dicom(read, tmp_path):
    (write_ct(tmp_path / "ct") / "dose.dcm").write_text("words")
    with pytest.raises(FormatError, match=r"dose\.dcm: expected a DICOM dose file"):
        component_grid(read(CLONE), header("Patient/RTDoseGrid"))


def test_slices_of_two_series_or_of_a_tilted_gantry(read, tmp_path):
    write_ct(tmp_path / "ct")
    write_slice(tmp_path / "ct" / "a.dcm", (-10, 20.5, 3.0))
    with pytest.raises(UnsupportedError, match="tilted gantry"):
        component_grid(read(), header())
    write_slice(tmp_path / "ct" / "a.dcm", (-10, 20, 3.0), Rows=7)
    with pytest.raises(FormatError, match="differ in Rows"):
        component_grid(read(), header())


def test_a_ct_of_several_energies_is_refused(read, tmp_path):
    write_ct(tmp_path / "ct")
    with pytest.raises(UnsupportedError, match="several energies"):
        component_grid(read("i:Ge/Patient/NumberOfEnergies = 2\n"), header())


def test_other_modalities_and_foreign_files_in_the_folder(read, tmp_path):
    write_ct(tmp_path / "ct", modality="MR")
    (tmp_path / "ct" / "notes.txt").write_text("not DICOM")
    grid = component_grid(read('sv:Ge/Patient/DicomModalityTags = 2 "CT" "MR"\n'), header())
    assert grid.origin_mm == FIRST


@pytest.mark.parametrize(
    ("of_header", "message"),
    [
        ({"bins": (4, 3, 6)}, "Z has 6 bins in the header, 5 in the CT in ct"),
        (
            {"spacing_mm": (1.5, 2.5, 3.1)},
            "Z is 15.5 mm long by the header, 15 mm by the CT in ct; they are not of the same",
        ),
    ],
)
def test_a_ct_of_another_run(read, tmp_path, of_header, message):
    write_ct(tmp_path / "ct")
    with pytest.raises(GeometryError, match=message):
        component_grid(read(), header(**of_header))


def test_a_ct_that_changes_during_the_run_is_refused(read, tmp_path):
    write_ct(tmp_path / "ct")
    p = read()
    moving = 'sv:Tf/CT/Values = 2 "ct" "ct2"\ndv:Tf/CT/Times = 2 1 2 s\n'
    moving += "d:Tf/TimelineEnd = 2 s\ni:Tf/NumberOfSequentialTimes = 2\n"
    text = p.files[0].read_text().replace('"ct"', "Tf/CT/Value")
    (tmp_path / "run.txt").write_text(text + moving)
    with pytest.raises(
        UnsupportedError, match="Ge/Patient/DicomDirectory changes during the run with time feature Tf/CT"
    ):
        component_grid(read_parameters(tmp_path / "run.txt"), header())


def test_pydicom_reads_back_the_position(tmp_path):
    """The synthetic series says what the tests mean: rows are y, and the first number of PixelSpacing is theirs."""
    data = pydicom.dcmread(write_ct(tmp_path / "ct") / "90.dcm")
    assert (data.Columns, data.Rows) == SHAPE[:2]
    assert [float(v) for v in data.PixelSpacing] == [2.5, 1.5]
