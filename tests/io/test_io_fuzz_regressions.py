"""What fuzzing (`benchmarks/fuzz`) found: each damage is refused in one line, or changes nothing."""

import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_objects import ct_slice, rtdose, rtstruct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import RLELossless
from topas_writer import header, write_csv, write_run

from surrogate3d.errors import FormatError, QuantityError, StoreError, Surrogate3dError, UnsupportedError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.convert import convert, read_run
from surrogate3d.io.dicom_ct import read_ct_series
from surrogate3d.io.dicom_dose import read_rtdose
from surrogate3d.io.dicom_structures import read_rtstruct
from surrogate3d.io.field_store import read_dose_field, write_field
from surrogate3d.io.images import read_image, write_image
from surrogate3d.io.manifest import MANIFEST_NAME, write_manifest
from surrogate3d.io.plans import read_plan
from surrogate3d.io.topas_grid import read_values
from surrogate3d.io.topas_header import parse_header, read_header
from surrogate3d.io.topas_microdosimetry import EDGES_KEV_UM, read_spectrum
from surrogate3d.io.topas_ntuple import describe_ntuple
from surrogate3d.io.topas_parameters import read_parameters

SHAPE = (2, 3, 4)
DOSE = quantity("dose_to_water")
RING = np.array([[0.0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]])
FEW = settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
HEAD = header("Dose", "DoseToWater ( Gy )", SHAPE, columns=("Sum", "Mean"))


def replaced(path, old, new, count=1):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, count))
    return path


# DICOM


@pytest.mark.parametrize("end", [-1, -200, 700])
def test_a_cut_structure_set_is_refused_and_not_read_in_part(tmp_path, end):
    path = rtstruct(tmp_path / "a.dcm", {"target": [RING, RING + [0, 0, 3]]})  # noqa: RUF005  # an array
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(FormatError, match="damaged"):
        read_rtstruct(path)


def test_a_sequence_that_was_overwritten_is_refused(tmp_path):
    path = rtstruct(tmp_path / "a.dcm", {"target": [RING]})
    replaced(path, b"\xfe\xff\x00\xe0", bytes(4), count=-1)
    with pytest.raises(FormatError, match="expected an item of a sequence"):
        read_rtstruct(path)


def test_an_element_that_is_there_twice_is_refused(tmp_path):
    path = rtdose(tmp_path / "a.dcm", np.ones((2, 3, 4), "<u2"))
    scaling = b"\x04\x30\x0e\x00DS\x06\x000.001 "
    replaced(path, scaling, scaling + scaling.replace(b"0.001", b"0.002"))
    with pytest.raises(FormatError, match="twice"):
        read_rtdose(path, medium="water")


def test_a_length_beyond_the_end_is_refused_before_it_is_read(tmp_path):
    path = rtdose(tmp_path / "a.dcm", np.ones((2, 3, 4), "<u2"))
    replaced(path, b"\xe0\x7f\x10\x00OW\x00\x00\x30\x00\x00\x00", b"\xe0\x7f\x10\x00OW\x00\x00\xf0\xff\xff\xff")
    with pytest.raises(FormatError, match="bytes, and only 48 are left"):
        read_rtdose(path, medium="water")


@pytest.mark.parametrize(("elements", "words"), [({"BitsStored": 12}, "HighBit"), ({"HighBit": 11}, "HighBit")])
def test_bits_that_contradict_each_other_are_refused(tmp_path, elements, words):
    with pytest.raises(FormatError, match=words):
        read_rtdose(rtdose(tmp_path / "a.dcm", np.ones((2, 3, 4), "<u2"), **elements), medium="water")


def test_a_dose_that_leaves_bits_unused_is_refused(tmp_path):
    path = rtdose(tmp_path / "a.dcm", np.ones((2, 3, 4), "<u2"), BitsStored=12, HighBit=11)
    with pytest.raises(FormatError, match="all bits that are allocated"):
        read_rtdose(path, medium="water")


def test_run_length_encoded_pixels_of_another_size_are_refused(tmp_path):
    path = rtdose(tmp_path / "a.dcm", np.arange(24, dtype="<u2").reshape(2, 3, 4))
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    assert read_rtdose(path, medium="water").volume.grid.shape == (4, 3, 2)
    dataset.Columns = 3
    dataset.save_as(path)
    with pytest.raises(FormatError, match="should unpack to"):
        read_rtdose(path, medium="water")


def test_a_contour_of_an_unknown_type_is_refused_and_not_left_out(tmp_path):
    with pytest.raises(FormatError, match="whether it encloses an area"):
        read_rtstruct(rtstruct(tmp_path / "a.dcm", {"target": [RING]}, kind="CLOSED_PLANAS"))


@pytest.mark.parametrize("content", [b"", b"DICM", bytes(128) + b"DICN" + bytes(99)])
def test_a_damaged_slice_is_refused_and_not_left_out(tmp_path, content):
    for n in range(3):
        ct_slice(tmp_path / f"{n}.dcm", np.ones((3, 4), "<u2"), (0, 0, 3 * n))
    (tmp_path / "1.dcm").write_bytes(content)
    with pytest.raises(FormatError, match=r"1\.dcm is empty or damaged"):
        read_ct_series(tmp_path)


def test_slices_with_another_count_of_numbers_are_refused(tmp_path):
    ct_slice(tmp_path / "0.dcm", np.ones((3, 4), "<u2"), (0, 0, 0))
    ct_slice(tmp_path / "1.dcm", np.ones((3, 4), "<u2"), (0, 0, 3), ImageOrientationPatient=[1, 0])
    with pytest.raises(Surrogate3dError):
        read_ct_series(tmp_path)


# Images


@pytest.fixture
def volume():
    values = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    return Volume(Grid(SHAPE, (2.0, 1.5, 3.0), (-10.0, 20.0, 30.5)), values, DOSE)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
@pytest.mark.parametrize("damage", ["cut", "longer", "flipped"])
def test_images_of_another_length_or_with_a_wrong_checksum_are_refused(volume, tmp_path, name, damage):
    write_image(volume, tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    if damage == "flipped":
        if name == "a.nii":
            pytest.skip("uncompressed values carry no checksum")
        content[-12] ^= 1  # within the compressed values or their checksum
    (tmp_path / name).write_bytes({"cut": content[:-7], "longer": content + b"more", "flipped": content}[damage])
    with pytest.raises(FormatError):
        read_image(tmp_path / name, DOSE)


def plain_meta(volume, path):
    image = SimpleITK.GetImageFromArray(volume.values.transpose(2, 1, 0))
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(volume.grid.origin_mm)
    SimpleITK.WriteImage(image, str(path), False)
    return path


@pytest.mark.parametrize("line", [b"#\n", b"nothing\n", b"\0 = 1\n", b"Offset = 0 0 0\n"])
def test_a_metaimage_line_that_is_no_field_is_refused(volume, tmp_path, line):
    path = plain_meta(volume, tmp_path / "a.mha")
    assert read_image(path, DOSE).grid == volume.grid
    replaced(path, b"ElementSpacing", line + b"ElementSpacing")
    with pytest.raises(FormatError, match="line"):
        read_image(path, DOSE)


@pytest.mark.parametrize("sizes", ["99999 99999 99999", "-2 3 4", "2 3", "2 3 3", "2_0 3 4"])
def test_sizes_that_the_values_do_not_fill_are_refused(volume, tmp_path, sizes):
    path = replaced(plain_meta(volume, tmp_path / "a.mha"), b"DimSize = 2 3 4", f"DimSize = {sizes}".encode())
    with pytest.raises(FormatError):
        read_image(path, DOSE)


@pytest.mark.parametrize(
    ("offset", "form", "value"), [(40, "<h", 768), (42, "<h", -1), (108, "<f", 360.0), (123, "<B", 5)]
)
def test_nifti_fields_that_cannot_be_are_refused(volume, tmp_path, offset, form, value):
    write_image(volume, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into(form, content, offset, value)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(Surrogate3dError):
        read_image(tmp_path / "a.nii", DOSE)


def test_a_small_nifti_that_unpacks_to_a_huge_one_is_refused(volume, tmp_path):
    write_image(volume, tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes() + bytes(10**7)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(FormatError, match="found more"):
        read_image(tmp_path / "a.nii.gz", DOSE)


def test_two_headers_that_name_one_file_of_values_are_refused(volume, tmp_path):
    for name in ("dose", "let"):
        plain_meta(volume, tmp_path / f"{name}.mhd")
    shutil.copy(tmp_path / "dose.mhd", tmp_path / "let.mhd")
    with pytest.raises(FormatError, match=r"let\.mhd names dose\.raw"):
        read_plan(tmp_path, primary="H", dose_medium="water")


@pytest.mark.parametrize(
    "summary", [{"gantry": "x"}, {"quantities": 3}, {"quantities": {"dosegrid_physical_dose": [1]}}]
)
def test_a_summary_of_another_form_is_refused(volume, tmp_path, summary):
    write_image(volume, tmp_path / "p_dosegrid_physical_dose.mha")
    (tmp_path / "p_summary.json").write_text(json.dumps(summary))
    with pytest.raises(FormatError, match="summary"):
        read_plan(tmp_path, primary="H", dose_medium="water")


def test_an_image_of_LET_that_is_the_dose_is_refused(volume, tmp_path):
    for name in ("physical_dose", "let"):
        write_image(volume, tmp_path / f"p_dosegrid_{name}.mha")
    with pytest.raises(FormatError, match="copied over the other"):
        read_plan(tmp_path, primary="H", dose_medium="water")


# Stores


@pytest.mark.parametrize(
    ("file", "keys", "value"),
    [
        ("dose_to_water/zarr.json", ("shape",), [2, 3, 400_000_000]),
        ("dose_to_water/zarr.json", ("data_type",), "int32"),
        ("dose_to_water/zarr.json", ("chunk_grid", "configuration", "chunk_shape"), [4, 3, 2]),
        ("dose_to_water/zarr.json", ("codecs",), "x"),
        ("dose_to_water/zarr.json", ("attributes", "unit"), None),
        ("spectra/fluence/zarr.json", ("fill_value",), "x"),
        ("zarr.json", ("attributes", "surrogate3d", "grid"), {}),
        ("zarr.json", ("attributes", "surrogate3d", "volumes"), 3),
        ("zarr.json", ("attributes", "surrogate3d", "n_halves"), "x"),
    ],
)
def test_a_store_that_describes_itself_wrongly_is_refused_though_its_manifest_fits(tmp_path, file, keys, value):
    field, _ = convert([write_run(tmp_path / "run")])
    write_field(field, tmp_path / "a.field.zarr")
    path = tmp_path / "a.field.zarr" / file
    tree = whole = json.loads(path.read_text())
    for key in keys[:-1]:
        tree = tree[key]
    tree[keys[-1]] = value
    path.write_text(json.dumps(whole))
    (tmp_path / "a.field.zarr" / MANIFEST_NAME).unlink()
    write_manifest(tmp_path / "a.field.zarr")
    with pytest.raises(StoreError):
        read_dose_field(tmp_path / "a.field.zarr")


# TOPAS


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.decode().encode("utf-16"),
        lambda content: content.split(b"\n", 1)[1],
        lambda content: b"i, j, k, dose\n",
    ],
)
def test_an_output_that_is_no_longer_recognised_is_refused_and_not_left_out(tmp_path, damage):
    stated = 's:Sc/DoseToMedium/Quantity = "DoseToMedium"\n'
    run = write_run(tmp_path / "r", parameters=stated, DoseToWater=np.ones(SHAPE), DoseToMedium=np.ones(SHAPE))
    path = run / "DoseToMedium.csv"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FormatError, match="DoseToMedium"):
        read_run(run)


def test_a_binheader_that_is_no_longer_recognised_is_refused_and_not_left_out(tmp_path):
    run = write_run(tmp_path / "r", fluence={z: np.ones((*SHAPE, 4)) for z in (1, 2)})
    replaced(run / "Fluence_Z2.binheader", b"# TOPAS", b"# TOPAZ")
    with pytest.raises(FormatError, match="Fluence_Z2"):
        read_run(run)


STATED = (
    's:Sc/Fluence_Z2/Quantity = "Fluence"\ni:Sc/Fluence_Z2/OnlyIncludeParticlesOfAtomicNumber = 2\n'
    'sv:Sc/Fluence_Z2/Report = 1 "Sum"\n'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"OnlyIncludeParticlesOfAtomicNumber = 2", b"OnlyIncludeParticlesOfAtomicNumber = 4"),
        (b"Fluence (", b"EnergyFluence ("),
        (b": Sum", b": Max"),
        (b"# Filtered by: OnlyIncludeParticlesOfAtomicNumber = 2\n", b""),
    ],
)
def test_a_header_that_contradicts_the_parameter_file_is_refused(tmp_path, old, new):
    run = write_run(tmp_path / "r", fluence={z: np.ones((*SHAPE, 4)) for z in (1, 2)}, parameters=STATED)
    assert read_run(run).spectra.axes.species == ("H", "He")
    replaced(run / "Fluence_Z2.binheader", old, new)
    with pytest.raises(QuantityError, match="its header says"):
        read_run(run)


def test_a_scorer_stated_in_no_form_of_topas_is_refused_and_not_left_out(tmp_path):
    run = write_run(tmp_path / "r", fluence={z: np.ones((*SHAPE, 4)) for z in (1, 2)}, parameters=STATED)
    replaced(run / "run.txt", b'Quantity = "Fluence"\n', b'Quantity = "Fluence" 0, 1\n')
    with pytest.raises(FormatError, match="Sc/Fluence_Z2/Quantity"):
        read_run(run)


@pytest.mark.parametrize("count", ["1000000000", "9223372036854775808"])
def test_counts_of_bins_that_the_file_cannot_hold_are_refused_before_room_is_made(tmp_path, count):
    write_csv(tmp_path / "a.csv", HEAD, np.ones((*SHAPE, 2)))
    replaced(tmp_path / "a.csv", b"Z in 4 bins", f"Z in {count} bins".encode())
    with pytest.raises(FormatError):
        read_values(tmp_path / "a.csv", read_header(tmp_path / "a.csv"))


def test_a_sparse_grid_beyond_all_measure_is_refused(tmp_path):
    head = header("A", "DoseToWater ( Gy )", SHAPE, tail=("Showing only rows that have sum > 0 Gy",))
    write_csv(tmp_path / "a.csv", head.replace("Z in 4 bins", "Z in 300000000 bins"), np.ones((*SHAPE, 1)))
    with pytest.raises(UnsupportedError, match="score as binary"):
        read_values(tmp_path / "a.csv", read_header(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.2 cm", "0.2 CM"), ("0.2 cm", "0.2 deg"), ("0.2 cm", "0 cm"), ("Sum   ", "Sum\0  "), ("4 bins", "\u0664 bins")],
)
def test_header_lines_that_topas_does_not_write_are_refused(old, new):
    with pytest.raises(FormatError):
        parse_header(HEAD.replace(old, new).splitlines(), "a.csv")


def test_a_filter_that_is_there_twice_is_refused():
    lines = header("F", "Fluence ( /mm2 )", SHAPE, filters=("OnlyIncludeParticlesOfAtomicNumber = 1",) * 2)
    with pytest.raises(FormatError, match="second filter"):
        parse_header(lines.splitlines(), "F.csv")


def test_joined_header_lines_are_refused():
    with pytest.raises(FormatError, match="joined"):
        parse_header(HEAD.replace("scorer: Dose\n", "scorer: Dose# Filtered by: X = 1\n").splitlines(), "a.csv")


def test_times_without_number_are_refused(tmp_path):
    (tmp_path / "run.txt").write_text("i:Tf/NumberOfSequentialTimes = 99999999999999999999\n")
    with pytest.raises(FormatError, match="NumberOfSequentialTimes"):
        read_parameters(tmp_path / "run.txt").run_times_ns()


def test_lengths_beyond_all_numbers_are_refused(tmp_path):
    (tmp_path / "run.txt").write_text("d:Ge/Grid/RotX = 1e400 deg\n")
    with pytest.raises(FormatError, match="must be finite"):
        read_parameters(tmp_path / "run.txt").number("Ge/Grid/RotX", "angle")


def test_digits_of_other_scripts_are_no_numbers(tmp_path):
    (tmp_path / "run.txt").write_text("i:Ts/Seed = \u0663\n")
    with pytest.raises(Surrogate3dError):
        read_parameters(tmp_path / "run.txt").integer("Ts/Seed")
    mids = (EDGES_KEV_UM[1:] + EDGES_KEV_UM[:-1]) / 2
    head = "yF = 1.0e+00 (std: 1.0e-01) keV/um\nyD = 2.0e+00 (std: 1.0e-01) keV/um\n"
    head += "y (keV/um) f(y)(std) yf(y)(std) d(y)(std) yd(y)(std)\n"
    for digit in ("\u0663", "1_0"):
        rows = "".join(f"{mid:.4e} " + " ".join([digit] * 8) + "\n" for mid in mids)
        (tmp_path / "ySpecfile.txt").write_text(head + rows, encoding="utf-8")
        with pytest.raises(FormatError, match="not a row of numbers"):
            read_spectrum(tmp_path / "ySpecfile.txt")


def test_damaged_phase_space_headers_are_refused(tmp_path):
    text = "Number of Scored Entries: 0\n 1: Energy [MeV]\nMinimum Kinetic Energy of proton: 0.x MeV\n"
    (tmp_path / "a.header").write_text(text)
    with pytest.raises(FormatError, match="expected an energy"):
        describe_ntuple(tmp_path / "a.header")
    limited = 'TOPAS Phase Space in "limited" format\n$RECORD_LENGTH:\n29\n$ORIG_HISTORIES:\n9\n$PARTICLES:\n0\n'
    (tmp_path / "b.header").write_text("$TITLE:\n" + limited)
    with pytest.raises(FormatError, match="RECORD_CONTENTS"):
        describe_ntuple(tmp_path / "b.header")


def test_records_as_text_without_text_are_refused(tmp_path):
    (tmp_path / "a.header").write_text(
        "Number of Scored Entries: 2\n\nColumns of data are as follows:\n 1: Energy [MeV]\n"
    )
    (tmp_path / "a.phsp").write_bytes("1\n2".encode("utf-16"))
    with pytest.raises(FormatError, match="records as text"):
        describe_ntuple(tmp_path / "a.header")


# Hypothesis: any text is read as what it says, or refused


@FEW
@given(st.lists(st.text(max_size=60) | st.sampled_from(HEAD.splitlines()), max_size=14))
def test_any_lines_are_a_header_or_refused(lines):
    try:
        head = parse_header(lines, "a.csv")
    except Surrogate3dError:
        return
    assert min(head.shape) >= 1
    assert head.columns


@FEW
@given(st.integers(0, len(HEAD) - 1), st.characters())
def test_a_header_with_one_other_character_keeps_its_shape_or_is_refused(tmp_path_factory, at, character):
    folder = Path(tmp_path_factory.getbasetemp()) / "one_character"
    folder.mkdir(exist_ok=True)
    write_csv(folder / "a.csv", HEAD, np.arange(48.0).reshape(*SHAPE, 2))
    body = (folder / "a.csv").read_text()[len(HEAD) :]
    (folder / "a.csv").write_text(HEAD[:at] + character + HEAD[at + 1 :] + body, encoding="utf-8", errors="replace")
    try:
        scored = read_values(folder / "a.csv", read_header(folder / "a.csv"))
    except Surrogate3dError:
        return
    np.testing.assert_array_equal(scored.values[..., 0, :], np.arange(48.0).reshape(*SHAPE, 2))


NUMBERS = st.floats(allow_nan=True, allow_infinity=True).map(repr) | st.text("0123456789.eE+-_nif ,", max_size=8)


@FEW
@given(st.integers(0, 23), NUMBERS)
def test_a_csv_value_is_what_python_reads_or_refused(tmp_path_factory, row, text):
    folder = Path(tmp_path_factory.getbasetemp()) / "one_value"
    folder.mkdir(exist_ok=True)
    write_csv(folder / "a.csv", HEAD, np.zeros((*SHAPE, 2)))
    lines = (folder / "a.csv").read_text()[len(HEAD) :].splitlines()
    fields = lines[row].split(", ")
    lines[row] = ", ".join([*fields[:4], text])
    (folder / "a.csv").write_text(HEAD + "\n".join(lines) + "\n")
    try:
        values = read_values(folder / "a.csv", read_header(folder / "a.csv")).values[..., 0, :]
    except Surrogate3dError:
        return
    expected = np.zeros((*SHAPE, 2))
    expected[(*(int(n) for n in fields[:3]), 1)] = float(text)
    np.testing.assert_array_equal(values, expected)


@FEW
@given(st.binary(max_size=200))
def test_any_bytes_as_a_csv_body_are_refused(tmp_path_factory, body):
    folder = Path(tmp_path_factory.getbasetemp()) / "any_body"
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_bytes(HEAD.encode() + body)
    with pytest.raises(Surrogate3dError):
        read_values(folder / "a.csv", read_header(folder / "a.csv"))
