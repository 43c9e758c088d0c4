"""A voxel stays where it is in the patient, whatever the format; nibabel and SimpleITK are the judges."""

import gzip
import json
import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import SimpleITK
import zarr

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.io.images import read_image, read_maps, write_image, write_maps
from surrogate3d.io.nifti import write_nifti

RBE10 = quantity("RBE10")
MARKER = (4, 1, 2)

# Asymmetric in every respect. The axes are i along (0.8, 0.6, 0), j along (0, 0, 1), k along (0.6, -0.8, 0).
OBLIQUE = Grid(
    shape=(5, 3, 4),
    spacing_mm=(1.5, 2.0, 2.5),
    origin_mm=(-30.0, 7.0, 101.0),
    direction=((0.8, 0.0, 0.6), (0.6, 0.0, -0.8), (0.0, 1.0, 0.0)),
)
# -30 + 4*1.5*0.8 + 2*2.5*0.6 ; 7 + 4*1.5*0.6 - 2*2.5*0.8 ; 101 + 1*2
MARKER_LPS = (-22.2, 6.6, 103.0)
MARKER_RAS = (22.2, -6.6, 103.0)


@pytest.fixture
def volume():
    values = np.random.default_rng(5).random(OBLIQUE.shape)
    values[MARKER] = 1000.0
    values[0, 2, 3] = np.nan
    return Volume(OBLIQUE, values, RBE10)


def test_the_grid_puts_the_marker_where_it_was_reckoned_by_hand():
    np.testing.assert_allclose(OBLIQUE.position_mm(MARKER), MARKER_LPS, atol=1e-12)


def test_nibabel_finds_the_marker_in_ras(volume, tmp_path):
    write_image(volume, tmp_path / "map.nii.gz")
    image = nibabel.load(tmp_path / "map.nii.gz")
    index = np.argwhere(image.get_fdata() == 1000.0)
    assert index.tolist() == [list(MARKER)]
    for affine in (image.affine, image.get_qform(), image.get_sform()):
        np.testing.assert_allclose(nibabel.affines.apply_affine(affine, index[0]), MARKER_RAS, atol=1e-4)


def test_nifti_says_what_it_holds(volume, tmp_path):
    write_image(Volume(OBLIQUE, volume.values, quantity("D_RBE")), tmp_path / "map.nii.gz")
    header = nibabel.load(tmp_path / "map.nii.gz").header
    assert header.get_xyzt_units()[0] == "mm"
    assert header["descrip"].item() == b"D_RBE [Gy (RBE)]"
    assert header["intent_name"].item() == b"D_RBE"
    assert (header["qform_code"], header["sform_code"]) == (1, 1)
    assert header.get_data_dtype() == np.float32


def test_a_mask_fits_into_bytes_and_comes_back_as_it_was(tmp_path):
    mask = np.random.default_rng(6).integers(0, 2, OBLIQUE.shape).astype(float)
    write_nifti(Volume(OBLIQUE, mask, quantity("mask")), tmp_path / "mask.nii.gz", np.uint8)
    assert nibabel.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8
    back = read_image(tmp_path / "mask.nii.gz", quantity("mask"))
    np.testing.assert_array_equal(back.values, mask)
    np.testing.assert_allclose(back.grid.affine, OBLIQUE.affine, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, -1.0, 0.5, 256.0])
def test_values_that_whole_numbers_do_not_hold_are_refused(tmp_path, value):
    values = np.zeros(OBLIQUE.shape)
    values[MARKER] = value
    with pytest.raises(ValueRangeError, match=r"voxel \(4, 1, 2\) is .*expected whole numbers from 0 to 255"):
        write_nifti(Volume(OBLIQUE, values, quantity("mask")), tmp_path / "mask.nii", np.uint8)
    assert not (tmp_path / "mask.nii").exists()


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nii"])
def test_simpleitk_finds_the_marker_in_lps(volume, tmp_path, suffix):
    write_image(volume, tmp_path / f"map{suffix}")
    image = SimpleITK.ReadImage(str(tmp_path / f"map{suffix}"))
    assert image.GetSize() == OBLIQUE.shape
    assert image[MARKER] == 1000.0, "SimpleITK indexes (i, j, k)"
    assert SimpleITK.GetArrayFromImage(image)[MARKER[::-1]] == 1000.0, "its arrays are (k, j, i)"
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(MARKER), MARKER_LPS, atol=1e-4)


def test_the_same_image_in_two_formats_is_the_same_to_simpleitk(volume, tmp_path):
    images = []
    for name in ("map.nii.gz", "map.mha"):
        write_image(volume, tmp_path / name)
        images.append(SimpleITK.ReadImage(str(tmp_path / name)))
    nifti, mha = images
    # ITK older than its pull request 6683 reads NaN in NIfTI as 0, so NaN is compared as 0 here.
    arrays = [np.nan_to_num(SimpleITK.GetArrayFromImage(image)) for image in images]
    np.testing.assert_array_equal(*arrays)
    np.testing.assert_allclose(nifti.GetDirection(), mha.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(nifti.GetOrigin(), mha.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(nifti.GetSpacing(), mha.GetSpacing(), atol=1e-6)


def test_mha_keeps_geometry_to_the_last_digit_and_says_what_it_holds(volume, tmp_path):
    grid = Grid((5, 3, 4), (1 / 3, 2 / 3, 1.1), (1e3 / 7, -1e-3 / 7, 0.1), OBLIQUE.direction)
    write_image(Volume(grid, volume.values, quantity("alpha")), tmp_path / "map.mha")
    image = SimpleITK.ReadImage(str(tmp_path / "map.mha"))
    assert (image.GetSpacing(), image.GetOrigin()) == (grid.spacing_mm, grid.origin_mm)
    assert (image.GetMetaData("quantity"), image.GetMetaData("unit")) == ("alpha", "1/Gy")
    assert image.GetPixelID() == SimpleITK.sitkFloat32


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz", ".nii"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_was_written_is_read_back(volume, tmp_path, suffix, sign):
    mirrored = tuple((a, b, sign * c) for a, b, c in OBLIQUE.direction)
    grid = Grid(OBLIQUE.shape, OBLIQUE.spacing_mm, OBLIQUE.origin_mm, mirrored)
    write_image(Volume(grid, volume.values, RBE10), tmp_path / f"map{suffix}")
    found = read_image(tmp_path / f"map{suffix}", RBE10)
    assert found.values.dtype == np.float32
    assert found.quantity == RBE10
    np.testing.assert_array_equal(found.values, volume.values.astype(np.float32))
    found.grid.require_same(grid, "read back")
    np.testing.assert_allclose(found.grid.position_mm(MARKER), grid.position_mm(MARKER), atol=1e-4)


@pytest.mark.parametrize("suffix", [".nrrd", ".mhd", ".mha", ".nii.gz"])
def test_images_written_by_simpleitk_are_read(tmp_path, suffix):
    values = np.arange(60, dtype=np.int16).reshape(4, 3, 5)  # (k, j, i)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(OBLIQUE.spacing_mm)
    image.SetOrigin(OBLIQUE.origin_mm)
    image.SetDirection((0.8, 0.0, 0.6, 0.6, 0.0, -0.8, 0.0, 1.0, 0.0))
    SimpleITK.WriteImage(image, str(tmp_path / f"ct{suffix}"))
    found = read_image(tmp_path / f"ct{suffix}", RBE10)
    found.grid.require_same(OBLIQUE, "read")
    assert found.values.dtype == np.float32
    assert found.values[MARKER] == values[MARKER[::-1]]


def test_a_scaled_nifti_is_read_in_its_real_values(tmp_path):
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, 10.0)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii", RBE10).values[1, 2, 3] == 23 * 0.5 + 10
    assert read_image(tmp_path / "a.nii", RBE10).grid.direction[0][0] == -1.0, "an identity in RAS is not one in LPS"


def save_nifti(path, values, affine, unit="mm"):
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def test_a_nifti_that_cannot_be_placed_is_refused(tmp_path):
    cube = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(GeometryError, match="neither sform nor qform"):
        read_image(save_nifti(tmp_path / "a.nii", cube, None), RBE10)
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(GeometryError, match="sheared"):
        read_image(save_nifti(tmp_path / "b.nii", cube, sheared), RBE10)
    with pytest.raises(UnsupportedError, match="lengths are in micron"):
        read_image(save_nifti(tmp_path / "c.nii", cube, np.eye(4), "micron"), RBE10)


def test_only_scalar_volumes_are_read(tmp_path):
    with pytest.raises(UnsupportedError, match="one number a voxel"):
        read_image(save_nifti(tmp_path / "a.nii", np.zeros((2, 3, 4, 2), np.float32), np.eye(4)), RBE10)
    path = save_nifti(tmp_path / "b.nii", np.ones((2, 3, 4, 1), np.float32), np.eye(4))
    assert read_image(path, RBE10).values.shape == (2, 3, 4)
    vector = SimpleITK.GetImageFromArray(np.zeros((4, 3, 2, 3), np.float32), isVector=True)
    SimpleITK.WriteImage(vector, str(tmp_path / "c.mha"))
    with pytest.raises(UnsupportedError, match="one number a voxel"):
        read_image(tmp_path / "c.mha", RBE10)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_damaged_and_absent_images_are_one_line(volume, tmp_path, suffix):
    with pytest.raises(StoreError, match="no image at"):
        read_image(tmp_path / f"absent{suffix}", RBE10)
    (tmp_path / f"a{suffix}").write_bytes(b"this is no image" * 100)
    with pytest.raises(FormatError, match=f"a{suffix} cannot be read") as caught:
        read_image(tmp_path / f"a{suffix}", RBE10)
    assert "\n" not in str(caught.value)


def test_a_truncated_nifti_is_refused(volume, tmp_path):
    write_image(volume, tmp_path / "a.nii.gz")
    content = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(content[:-60])
    (tmp_path / "c.nii").write_bytes(gzip.decompress(content)[:-60])
    for name in ("b.nii.gz", "c.nii"):
        with pytest.raises(FormatError, match="cannot be read as NIfTI"):
            read_image(tmp_path / name, RBE10)


def test_the_same_map_gives_the_same_file(volume, tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(volume, tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes(), "no time, no file name inside"


def test_an_affine_without_volume_is_refused(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.eye(4))
    image.header["srow_y"] = 0
    image.header["vox_offset"] = 352
    (tmp_path / "a.nii").write_bytes(image.header.binaryblock + bytes(4) + np.zeros(24, np.float32).tobytes())
    with pytest.raises(GeometryError, match="singular"):
        read_image(tmp_path / "a.nii", RBE10)


def test_unknown_suffixes_are_refused(volume, tmp_path):
    with pytest.raises(UnsupportedError, match=r"written to .nii.gz"):
        write_image(volume, tmp_path / "map.png")
    (tmp_path / "map.png").write_bytes(b"")
    with pytest.raises(UnsupportedError, match=r"read from .nii"):
        read_image(tmp_path / "map.png", RBE10)


def test_an_image_is_replaced_only_when_asked(volume, tmp_path):
    write_image(volume, tmp_path / "a.mha")
    with pytest.raises(StoreError, match="exists already"):
        write_image(volume, tmp_path / "a.mha")
    write_image(volume, tmp_path / "a.mha", overwrite=True)


@pytest.fixture
def maps(volume):
    survival = Volume(OBLIQUE, np.full(OBLIQUE.shape, np.nan), quantity("survival"))
    return VolumeSet(OBLIQUE, {"RBE10": volume, "survival": survival})


def test_maps_are_written_in_every_format_with_one_sidecar(maps, tmp_path):
    written = write_maps(maps, tmp_path / "maps", metadata={"cell_line": "HSG"})
    names = ["RBE10.nii.gz", "survival.nii.gz", "RBE10.mha", "survival.mha", "maps.zarr", "maps.json"]
    assert written == [tmp_path / "maps" / name for name in names]
    assert sorted(os.listdir(tmp_path / "maps")) == sorted(names)
    sidecar = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert sidecar["metadata"] == {"cell_line": "HSG"}
    assert sidecar["files"] == names[:-1]
    assert sidecar["maps"]["RBE10"]["unit"] == "1"
    assert sidecar["maps"]["RBE10"]["maximum"] == 1000.0
    assert sidecar["maps"]["survival"] == {
        "symbol": "S",
        "unit": "1",
        "definition": quantity("survival").definition,
        "minimum": None,
        "maximum": None,
        "n_nan": 60,
    }


def test_all_formats_of_a_map_hold_the_same(maps, tmp_path):
    write_maps(maps, tmp_path / "maps")
    found = read_maps(tmp_path / "maps")
    assert found.grid == OBLIQUE
    for name, volume in maps.items():
        np.testing.assert_array_equal(found[name].values, volume.values.astype(np.float32))
        assert found[name].quantity == volume.quantity
        for suffix in (".nii.gz", ".mha"):
            image = read_image(tmp_path / "maps" / f"{name}{suffix}", volume.quantity)
            np.testing.assert_array_equal(image.values, found[name].values)
    assert zarr.open_group(tmp_path / "maps" / "maps.zarr", mode="r")["RBE10"].dtype == np.float32


def test_maps_are_written_as_nrrd(maps, tmp_path):
    write_maps(maps, tmp_path / "maps", formats=("nrrd",))
    assert sorted(os.listdir(tmp_path / "maps")) == ["RBE10.nrrd", "maps.json", "survival.nrrd"]
    found = read_image(tmp_path / "maps" / "RBE10.nrrd", RBE10)
    np.testing.assert_array_equal(found.values, maps["RBE10"].values.astype(np.float32))


def test_only_the_asked_formats_are_written(maps, tmp_path):
    write_maps(maps, tmp_path / "maps", formats=("mha",))
    assert sorted(os.listdir(tmp_path / "maps")) == ["RBE10.mha", "maps.json", "survival.mha"]
    with pytest.raises(StoreError, match="not a zarr v3 group"):
        read_maps(tmp_path / "maps")
    with pytest.raises(UnsupportedError, match="unknown image formats"):
        write_maps(maps, tmp_path / "other", formats=("dicom",))


def test_maps_are_whole_or_absent(maps, tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_maps(maps, tmp_path / "maps", formats=("mha",), metadata={"when": object()})
    assert os.listdir(tmp_path) == []


def test_maps_replace_only_maps_and_only_when_asked(maps, tmp_path):
    write_maps(maps, tmp_path / "maps", formats=("mha",))
    with pytest.raises(StoreError, match="exists already"):
        write_maps(maps, tmp_path / "maps")
    write_maps(maps, tmp_path / "maps", formats=("nifti",), overwrite=True)
    assert not (tmp_path / "maps" / "RBE10.mha").exists()
    (tmp_path / "other").mkdir()
    with pytest.raises(StoreError, match="not a directory of our maps"):
        write_maps(maps, tmp_path / "other", overwrite=True)


def test_a_zarr_group_of_another_program_is_refused(tmp_path):
    zarr.create_group(tmp_path / "maps.zarr")
    with pytest.raises(StoreError, match="written by another program"):
        read_maps(tmp_path)


PROGRAM = """
import resource, sys
import numpy as np
from surrogate3d.errors import StoreError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.images import write_image
grid = Grid((32, 32, 32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
volume = Volume(grid, np.random.default_rng(0).random(grid.shape), quantity("RBE"))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_image(volume, sys.argv[1])
except StoreError as error:
    sys.stdout.write(str(error))
"""


def test_a_nrrd_that_finds_no_room_says_why(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.nrrd")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("file-size limit of the system or session")
    assert os.listdir(tmp_path) == []
