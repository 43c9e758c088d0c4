"""RT Dose, against what was written, ITK's reader, and the binary that TOPAS wrote in the same run."""

import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_objects import beam_dose, rtdose
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    QuantityError,
    StoreError,
    Surrogate3dError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import Grid, LetDefinition, Volume, quantity
from surrogate3d.io.dicom_dataset import DicomFile, pixels_of
from surrogate3d.io.dicom_dose import largest_value, read_rtdose
from surrogate3d.pipeline.dicom_field import DoseAsked, dose_field_from_rtdose

FIXTURES = Path(__file__).parents[1] / "fixtures" / "topas"
CLINIC = Path(__file__).parents[2].parent / "shared" / "data" / "dicom"
STORED = np.random.default_rng(3).integers(0, 4000, (4, 3, 5)).astype(np.uint16)
WATER = DoseAsked(medium="water")


def compressed(path: Path) -> Path:
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    return path


def test_a_topas_dose_lies_where_its_binary_lies() -> None:
    """Same run: Sum of the binary, truncated to whole steps of the scaling; in bone the scorers' settings differ."""
    dose = read_rtdose(FIXTURES / "fixture_DoseDicom.dcm", medium="water")
    scaling = float(pydicom.dcmread(FIXTURES / "fixture_DoseDicom.dcm").DoseGridScaling)
    truth = np.fromfile(FIXTURES / "fixture_DoseToWater.bin", "<f8").reshape(12, 5, 6, 3)[..., 0].transpose(2, 1, 0)
    lost = truth - dose.volume.values
    positions = dose.header.grid.position_mm(np.moveaxis(np.indices((6, 5, 12)), 0, -1))
    # TOPAS gives places relative to the component's centre, (2, 0, -54) mm; the bone box is at (5, 0, -60) mm.
    apart = np.abs(positions - (3, 0, -6)) >= np.array([5, 10, 5]) + 2
    water = apart.any(axis=-1)
    assert water.sum() > 250
    assert (lost[water] >= -1e-3 * scaling).all()
    assert (lost[water] <= 1.001 * scaling).all()
    assert np.abs(lost).max() < 1e-3 * truth.max()
    assert dose.volume.values.max() == pytest.approx(truth.max(), rel=1e-6)
    assert dose.header.grid.shape == (6, 5, 12)
    assert dose.header.grid.origin_mm == (-10, -8, -22)  # half a voxel inside of HLX 12, HLY 10, HLZ 24 mm
    assert any("no DoseType" in note for note in dose.notes)


def test_a_clinical_dose_is_rbe_weighted_and_lies_where_itk_puts_it() -> None:
    if not (CLINIC / "rtdose.dcm").is_file():
        pytest.skip("the clinical files are not beside the repository")
    dose = read_rtdose(CLINIC / "rtdose.dcm")
    assert dose.volume.quantity.name == "D_RBE"
    assert dose.header.summation_type == "PLAN"
    other: Any = SimpleITK.ReadImage(str(CLINIC / "rtdose.dcm"))
    grid = dose.header.grid
    assert grid.shape == other.GetSize()
    for index in ((0, 0, 0), (106, 3, 109)):
        assert grid.position_mm(index) == pytest.approx(other.TransformIndexToPhysicalPoint(index))
        assert dose.volume.values[index] == pytest.approx(other[index] * 3.372591e-05)
    inside = dose.volume.values[tuple(np.round(grid.index((0, 0, 0))).astype(int))]
    assert 1.5 < inside < 2.3  # the plan gives about 1.9 Gy at the point (0, 0, 0)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.int16, np.int32])
def test_columns_run_fastest_whatever_the_number_of_bits(tmp_path: Path, kind: Any) -> None:
    grid = read_rtdose(rtdose(tmp_path / "d.dcm", STORED.astype(kind)), medium="medium").volume
    assert grid.quantity.name == "dose_to_medium"
    assert grid.values[4, 2, 3] == pytest.approx(0.001 * STORED[3, 2, 4])
    np.testing.assert_allclose(grid.values, 0.001 * STORED.transpose(2, 1, 0), rtol=1e-6)
    assert grid.grid == Grid((5, 3, 4), (1.5, 2.0, 3.0), (-10.0, 20.0, 30.0))


def test_transfer_syntaxes_without_plugins_are_read(tmp_path: Path) -> None:
    paths = [
        compressed(rtdose(tmp_path / "rle.dcm", STORED)),
        rtdose(tmp_path / "deflated.dcm", STORED, syntax=DeflatedExplicitVRLittleEndian),
        rtdose(tmp_path / "implicit.dcm", STORED, syntax=ImplicitVRLittleEndian),
        rtdose(tmp_path / "big.dcm", STORED, syntax=ExplicitVRBigEndian, PixelData=STORED.astype(">u2").tobytes()),
    ]
    for path in paths:
        found = read_rtdose(path, medium="water").volume.values
        np.testing.assert_allclose(found, 0.001 * STORED.transpose(2, 1, 0), rtol=1e-6)


def test_other_transfer_syntaxes_are_refused_by_name(tmp_path: Path) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.save_as(path)
    with pytest.raises(UnsupportedError, match="JPEG 2000"):
        read_rtdose(path, medium="water")


@pytest.mark.parametrize("sign", [1, -1])
def test_frames_may_run_either_way_and_any_orientation(tmp_path: Path, sign: int) -> None:
    """Each voxel lies at position + column x row step + row x column step + offset x normal (PS3.3 C.7.6.2.1)."""
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    row, column = turn[:, 0], turn[:, 1]
    offsets = [sign * 3.0 * n for n in range(4)]
    path = rtdose(
        tmp_path / "d.dcm",
        STORED,
        ImageOrientationPatient=[f"{x:.12f}"[:16] for x in (*row, *column)],
        GridFrameOffsetVector=offsets,
    )
    grid = read_rtdose(path, medium="water").header.grid
    expected = np.array([-10, 20, 30]) + 4 * 1.5 * row + 2 * 2.0 * column + offsets[3] * np.cross(row, column)
    assert grid.position_mm((4, 2, 3)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("orientation", [(-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0), (-1, 0, 0, 0, 1, 0)])
def test_relative_offsets_follow_the_normal_when_the_patient_lies_otherwise(
    tmp_path: Path, orientation: tuple[int, ...]
) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, ImageOrientationPatient=list(orientation))
    normal_z = orientation[0] * orientation[4]
    grid = read_rtdose(path, medium="water").header.grid
    corner = (-10 + 4 * 1.5 * orientation[0], 20 + 2 * 2.0 * orientation[4], 30 + 9.0 * normal_z)
    assert grid.position_mm((4, 2, 3)) == pytest.approx(corner)


@pytest.mark.parametrize("step", [3.0, -3.0])
def test_offsets_may_be_absolute_z_as_in_older_files(tmp_path: Path, step: float) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, GridFrameOffsetVector=[30 + step * n for n in range(4)])
    grid = read_rtdose(path, medium="water").header.grid
    assert grid.position_mm((0, 0, 3))[2] == pytest.approx(30 + 3 * step)


def test_offsets_that_were_rounded_are_even(tmp_path: Path) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, GridFrameOffsetVector=[0, 1.2, 2.5, 3.8])  # 1.25 mm in tenths
    assert read_rtdose(path, medium="water").header.grid.spacing_mm[2] == pytest.approx(1.25, abs=0.02)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"GridFrameOffsetVector": [0, 0.5, 1.0, 1.4]}, "0.4 mm between 2 and 3"),
        ({"GridFrameOffsetVector": [30, 33, 36, 39], "ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}, "not certain"),
        ({"GridFrameOffsetVector": [5, 8, 11, 14]}, "not certain"),
        ({"GridFrameOffsetVector": [0, 3, 6, 10]}, "not evenly spaced"),
        ({"GridFrameOffsetVector": [0, 0, 0, 0]}, "not evenly spaced"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"PixelSpacing": [0, 1]}, "spacing"),
    ],
)
def test_uncertain_places_are_refused(tmp_path: Path, elements: dict[str, Any], words: str) -> None:
    with pytest.raises(GeometryError, match=words):
        read_rtdose(rtdose(tmp_path / "d.dcm", STORED, **elements), medium="water")


def test_a_single_frame_needs_its_thickness(tmp_path: Path) -> None:
    flat = {"NumberOfFrames": None, "GridFrameOffsetVector": None}
    with pytest.raises(GeometryError, match="SliceThickness"):
        read_rtdose(rtdose(tmp_path / "d.dcm", STORED[:1], **flat), medium="water")
    path = rtdose(tmp_path / "d.dcm", STORED[:1], SliceThickness="4", **flat)
    assert read_rtdose(path, medium="water").header.grid.spacing_mm == (1.5, 2.0, 4.0)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"DoseType": "ERROR"}, "uncertainty"),
        ({"DoseType": "BANANA"}, "unknown DoseType"),
        ({"DoseUnits": None}, "DoseUnits"),
        ({"DoseUnits": "CGY"}, "DoseUnits"),
        ({"DoseComment": "LETd in keV/um"}, "LET"),
        ({"SeriesDescription": "ProtonLET [MeV/mm/(g/cm3)]"}, "LET"),
        ({"SeriesDescription": "RBE weighted"}, "RBE"),
        ({"SeriesDescription": "DoseToMedium [Gy]"}, "given was water"),
        ({"SeriesDescription": "Fluence_H [/mm2]", "Manufacturer": "TOPAS"}, "/mm2"),
    ],
)
def test_what_is_no_certain_dose_is_refused(tmp_path: Path, elements: dict[str, Any], words: str) -> None:
    with pytest.raises(QuantityError, match=words):
        read_rtdose(rtdose(tmp_path / "d.dcm", STORED, **elements), medium="water")


def test_the_medium_is_asked_for_and_what_was_said_is_noted(tmp_path: Path) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, DoseUnits=None, DoseComment="COMPLETE plan, table OUTLET")
    with pytest.raises(QuantityError, match="to water or to medium"):
        read_rtdose(path, unit_given="GY")
    dose = read_rtdose(path, medium="water", unit_given="GY")
    assert (dose.dose_units, dose.volume.quantity.name) == ("GY", "dose_to_water")
    assert any("GY as given" in note for note in dose.notes)
    relative = read_rtdose(rtdose(path, STORED, DoseUnits="RELATIVE"), medium="water")
    assert any("arbitrary scale" in note for note in relative.notes)
    with pytest.raises(QuantityError, match="given was GY"):
        read_rtdose(path, medium="water", unit_given="GY")


def test_a_let_in_an_rtdose_is_read_when_asked_for(tmp_path: Path) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, DoseComment="LETd keV/um, NOT A DOSE", DoseUnits=None)
    found = read_rtdose(path, as_quantity="LET_d")
    assert (found.volume.quantity.unit, found.dose_units) == ("keV/um", "")
    with pytest.raises(QuantityError, match="known"):
        read_rtdose(path, as_quantity="alpha")
    effective = rtdose(path, STORED, DoseType="EFFECTIVE")
    with pytest.raises(QuantityError, match="RBE-weighted"):
        read_rtdose(effective, as_quantity="dose_to_water")


def test_negative_doses_are_refused_with_their_voxel(tmp_path: Path) -> None:
    stored = STORED.astype(np.int16)
    stored[3, 2, 4] = -7
    with pytest.raises(ValueRangeError, match=r"\(4, 2, 3\)"):
        read_rtdose(rtdose(tmp_path / "d.dcm", stored), medium="water")


@pytest.mark.parametrize(
    ("elements", "error", "words"),
    [
        ({"PixelData": None}, UnsupportedError, "histograms"),
        ({"PixelData": b"\0" * 118}, FormatError, "expected 120 bytes of pixel data, found 118"),
        ({"Rows": 60000, "Columns": 60000}, UnsupportedError, "voxels"),
        ({"Rows": 600}, FormatError, "expected 24000 bytes"),
        ({"DoseGridScaling": "0"}, FormatError, "DoseGridScaling"),
        ({"DoseGridScaling": None}, FormatError, "DoseGridScaling"),
        ({"GridFrameOffsetVector": [0.0, 3.0]}, FormatError, "4 frames, but 2"),
        ({"NumberOfFrames": 0, "GridFrameOffsetVector": None}, FormatError, "NumberOfFrames"),
        ({"SamplesPerPixel": 3}, UnsupportedError, "one sample"),
        ({"BitsStored": 40}, UnsupportedError, "bits"),
        ({"ImagePositionPatient": [0, 0]}, FormatError, "ImagePositionPatient"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, UnsupportedError, "CT Image Storage"),
    ],
)
def test_damaged_or_foreign_objects_are_refused(
    tmp_path: Path, elements: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_rtdose(rtdose(tmp_path / "d.dcm", STORED, **elements), medium="water")


def test_what_is_no_dicom_or_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no DICOM file"):
        read_rtdose(tmp_path / "nothing.dcm")
    (tmp_path / "text.dcm").write_text("hello")
    with pytest.raises(FormatError, match="not a DICOM file"):
        read_rtdose(tmp_path / "text.dcm")
    content = rtdose(tmp_path / "d.dcm", STORED).read_bytes()
    (tmp_path / "d.dcm").write_bytes(content[:-50])
    with pytest.raises((FormatError, UnsupportedError), match=r"d\.dcm"):
        read_rtdose(tmp_path / "d.dcm", medium="water")


def test_bytes_that_are_no_numbers_are_refused_with_their_element(tmp_path: Path) -> None:
    content = rtdose(tmp_path / "d.dcm", STORED, DoseGridScaling="0.001").read_bytes()
    (tmp_path / "d.dcm").write_bytes(content.replace(b"0.001 ", b"a.b0c "))
    with pytest.raises(FormatError, match="DoseGridScaling"):
        read_rtdose(tmp_path / "d.dcm", medium="water")


def test_any_damage_ends_in_a_refusal(tmp_path: Path) -> None:
    """Bytes are turned over at random places: the file is read, or refused, but nothing else happens."""
    content = np.frombuffer(rtdose(tmp_path / "d.dcm", STORED).read_bytes(), dtype=np.uint8)
    random = np.random.default_rng(11)
    for _ in range(150):
        broken = content.copy()
        broken[random.integers(128, len(broken), 6)] = random.integers(0, 256, 6)
        (tmp_path / "b.dcm").write_bytes(broken.tobytes())
        with suppress(Surrogate3dError):
            read_rtdose(tmp_path / "b.dcm", medium="water")


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    start = 144 + int(pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(content[:start] + packer.compress(b"\0" * 3_000_000) + packer.flush())
    monkeypatch.setattr("surrogate3d.io.dicom_dataset.MAX_INFLATED_BYTES", 1_000_000)
    with pytest.raises(FormatError, match="inflates"):
        read_rtdose(path)


def test_the_largest_value_needs_no_answers(tmp_path: Path) -> None:
    assert largest_value(rtdose(tmp_path / "d.dcm", STORED, DoseType="ERROR")) == pytest.approx(0.001 * STORED.max())


def test_the_doses_of_beams_add_to_a_field(tmp_path: Path) -> None:
    second = beam_dose(tmp_path / "2.dcm", 2 * STORED, 7)
    first = beam_dose(tmp_path / "1.dcm", STORED, 3)
    field = dose_field_from_rtdose([second, first], asked=WATER, primary="H")
    assert [beam.name for beam in field.beams] == ["beam 3", "beam 7"]
    np.testing.assert_allclose(field.dose, 0.003 * STORED.transpose(2, 1, 0), rtol=1e-6)
    np.testing.assert_allclose(field.beams_dose[1], 0.002 * STORED.transpose(2, 1, 0), rtol=1e-6)
    assert field.prescription is not None
    assert field.prescription.statement == "absolute dose of the planning system"
    assert [file["beam_numbers"] for file in field.provenance["files"]] == [[3], [7]]


@pytest.mark.parametrize(
    ("elements", "error", "words"),
    [
        ({"FrameOfReferenceUID": "1.9"}, GeometryError, "frames of reference"),
        ({"ImagePositionPatient": [0, 0, 0]}, GridMismatchError, "position"),
        ({"DoseUnits": "RELATIVE"}, QuantityError, "do not add"),
        ({"DoseType": None}, QuantityError, "differ in plan"),
        ({"DoseSummationType": "PLAN"}, QuantityError, "must all be doses of beams"),
        ({"ReferencedRTPlanSequence": None}, QuantityError, "differ in plan"),
    ],
)
def test_beams_that_do_not_go_together_are_refused(
    tmp_path: Path, elements: dict[str, Any], error: type[Exception], words: str
) -> None:
    paths = [beam_dose(tmp_path / "1.dcm", STORED, 1), beam_dose(tmp_path / "2.dcm", STORED, 2, **elements)]
    with pytest.raises(error, match=words):
        dose_field_from_rtdose(paths, asked=WATER)


def test_a_beam_counts_once_and_sessions_are_no_plan(tmp_path: Path) -> None:
    paths = [beam_dose(tmp_path / "1.dcm", STORED, 1), beam_dose(tmp_path / "2.dcm", STORED, 1)]
    with pytest.raises(QuantityError, match="count twice"):
        dose_field_from_rtdose(paths, asked=WATER)
    with pytest.raises(QuantityError, match="FRACTION_SESSION"):
        dose_field_from_rtdose(rtdose(paths[0], STORED, DoseSummationType="FRACTION_SESSION"), asked=WATER)
    with pytest.raises(StoreError, match="no RTDOSE"):
        dose_field_from_rtdose([], asked=WATER)


def test_let_comes_beside_the_dose_with_its_definition(tmp_path: Path) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, DoseUnits="RELATIVE")
    grid = read_rtdose(path, medium="water").header.grid
    let = Volume(grid, np.full(grid.shape, 3.0), quantity("LET_d"))
    meaning = LetDefinition("dose", "protons", "water", False, None, "told")
    field = dose_field_from_rtdose(path, let, let_definition=meaning, asked=WATER)
    assert field.let_definitions == {"LET_d": meaning}
    assert field.prescription is None  # RELATIVE
    with pytest.raises(QuantityError, match="give both"):
        dose_field_from_rtdose(path, let, asked=WATER)
    wrong = Volume(grid, let.values, quantity("RBE"))
    with pytest.raises(QuantityError, match="expected LET_d"):
        dose_field_from_rtdose(path, wrong, let_definition=meaning, asked=WATER)


def test_an_effective_dose_becomes_physical_only_by_a_stated_constant(tmp_path: Path) -> None:
    path = rtdose(tmp_path / "d.dcm", STORED, DoseType="EFFECTIVE")
    with pytest.raises(QuantityError, match=r"needs the physical dose.*--constant-rbe"):
        dose_field_from_rtdose(path, asked=WATER)
    field = dose_field_from_rtdose(path, asked=DoseAsked(medium="water", constant_rbe=1.1))
    np.testing.assert_allclose(field.dose, 0.001 / 1.1 * STORED.transpose(2, 1, 0), rtol=1e-6)
    for asked in (DoseAsked(constant_rbe=1.1), DoseAsked(medium="water", constant_rbe=11)):
        with pytest.raises(QuantityError, match="constant RBE"):
            dose_field_from_rtdose(path, asked=asked)
    with pytest.raises(QuantityError, match="constant RBE"):
        dose_field_from_rtdose(rtdose(path, STORED), asked=DoseAsked(medium="water", constant_rbe=1.1))


def test_pixel_data_that_cannot_fill_the_frames_are_refused(tmp_path: Path) -> None:
    path = compressed(rtdose(tmp_path / "d.dcm", STORED))
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = 3000
    dataset.save_as(path)
    with pytest.raises(FormatError, match="RLE cannot hold"):
        read_rtdose(path, medium="water")
    with pytest.raises(FormatError, match="no pixel data"):
        read_rtdose(rtdose(path, STORED, PixelData=b""), medium="water")


def test_elements_of_the_wrong_kind_are_refused() -> None:
    dataset = pydicom.Dataset()
    dataset.SliceThickness = "2.5"
    dataset.add_new("ReferencedRTPlanSequence", "LO", "none")
    file = DicomFile(Path("x.dcm"), dataset)
    with pytest.raises(FormatError, match=r"x\.dcm: SliceThickness should be a whole number"):
        file.whole("SliceThickness")
    with pytest.raises(FormatError, match="sequence"):
        file.items("ReferencedRTPlanSequence")
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = 0, 4, 16
    with pytest.raises(FormatError, match="must be positive"):
        pixels_of(file)
