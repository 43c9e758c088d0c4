"""What fuzzing (`benchmarks/fuzz`) found: each damage is refused in one line, or changes nothing."""

import gzip
import json
import shutil
import struct

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_objects import ct_slice, rtdose, rtstruct
from hypothesis import HealthCheck, settings
from pydicom.uid import RLELossless
from topas_writer import header, write_run

from surrogate3d.errors import FormatError, StoreError, Surrogate3dError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.convert import convert
from surrogate3d.io.dicom_ct import read_ct_series
from surrogate3d.io.dicom_dose import read_rtdose
from surrogate3d.io.dicom_structures import read_rtstruct
from surrogate3d.io.field_store import read_dose_field, write_field
from surrogate3d.io.images import read_image, write_image
from surrogate3d.io.manifest import MANIFEST_NAME, write_manifest
from surrogate3d.io.plans import read_plan

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


COMPRESSED = ("a.nii.gz", "a.mha", "a.nrrd")
LENGTHS = [(name, damage) for name in ("a.nii", *COMPRESSED) for damage in ("cut", "longer")]


@pytest.mark.parametrize(("name", "damage"), [*LENGTHS, *((name, "flipped") for name in COMPRESSED)])
def test_images_of_another_length_or_with_a_wrong_checksum_are_refused(volume, tmp_path, name, damage):
    write_image(volume, tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    if damage == "flipped":  # uncompressed values carry no checksum
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


def test_a_slice_whose_class_was_damaged_is_refused_and_not_left_out(tmp_path):
    for number in range(3):
        path = ct_slice(tmp_path / f"{number}.dcm", np.zeros((2, 3), np.uint16), (0.0, 0.0, 3.0 * number))
    dataset = pydicom.dcmread(path)
    del dataset.SOPClassUID, dataset.Modality
    dataset.save_as(path)
    promised = b"1.2.840.10008.5.1.4.1.1.2"
    path.write_bytes(path.read_bytes().replace(promised, promised.replace(b"10008", b"100 8"), 1))
    with pytest.raises(FormatError, match="perhaps a CT slice"):
        read_ct_series(tmp_path)
