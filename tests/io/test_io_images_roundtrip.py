"""Where a voxel is in the patient, by readers that are not ours, on grids that are asymmetric in every respect."""

import gzip
import itertools
import re
import zlib

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK

from surrogate3d.errors import FormatError, GeometryError, UnsupportedError
from surrogate3d.grid import Grid, Quantity, Volume, quantity
from surrogate3d.io.images import image_notes, read_image, write_image
from surrogate3d.io.nifti import nifti_image, write_nifti

RBE = quantity("RBE")
SHAPE, SPACING, ORIGIN = (5, 3, 4), (1.5, 2.0, 2.5), (-30.0, 7.0, 101.0)


def turned(x_deg, y_deg, z_deg):
    """Rotation about x, then y, then z."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad([x_deg, y_deg, z_deg])):
        one = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one[a, a] = one[b, b] = np.cos(angle)
        one[b, a], one[a, b] = np.sin(angle), -np.sin(angle)
        turn = one @ turn
    return turn


DIRECTIONS = {
    "straight": np.eye(3),
    "flipped": np.diag([1.0, -1.0, 1.0]),
    "permuted": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0.0]]),
    "permuted and flipped": np.array([[0, 0, -1], [1, 0, 0], [0, 1, 0.0]]),
    "oblique": turned(20, -35, 50),
    "oblique and flipped": turned(-65, 10, 130) @ np.diag([1, 1, -1.0]),
}
VOXELS = [*itertools.product((0, 4), (0, 2), (0, 3)), (2, 1, 3)]


@pytest.fixture(params=DIRECTIONS)
def volume(request):
    direction = tuple(tuple(row) for row in DIRECTIONS[request.param].tolist())
    values = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    return Volume(Grid(SHAPE, SPACING, ORIGIN, direction), values, RBE)


def position(volume, index):
    """LPS by the definition: origin + sum of index times spacing along each axis."""
    return np.array(ORIGIN) + sum(
        n * step * np.array(volume.grid.direction)[:, axis]
        for axis, (n, step) in enumerate(zip(index, SPACING, strict=True))
    )


def test_simpleitk_finds_every_voxel(volume, tmp_path):
    for suffix in (".nii", ".nii.gz", ".mha", ".nrrd"):
        write_image(volume, tmp_path / f"a{suffix}")
        image = SimpleITK.ReadImage(str(tmp_path / f"a{suffix}"))
        for index in VOXELS:
            where = image.TransformContinuousIndexToPhysicalPoint([float(n) for n in index])
            np.testing.assert_allclose(where, position(volume, index), atol=1e-4)
            assert image[index] == volume.values[index]


def test_nibabel_finds_every_voxel_of_a_nifti(volume, tmp_path):
    write_image(volume, tmp_path / "a.nii.gz")
    image = nibabel.load(tmp_path / "a.nii.gz")
    for index in VOXELS:
        ras = nibabel.affines.apply_affine(image.affine, index)
        np.testing.assert_allclose(ras * [-1, -1, 1], position(volume, index), atol=1e-4)
        assert image.dataobj[index] == volume.values[index]


def test_pynrrd_finds_every_voxel_of_a_nrrd(volume, tmp_path):
    write_image(volume, tmp_path / "a.nrrd")
    values, header = nrrd.read(str(tmp_path / "a.nrrd"))
    assert header["space"] == "left-posterior-superior"
    assert (header["quantity"], header["unit"]) == ("RBE", "1")
    for index in VOXELS:
        where = header["space origin"] + np.array(index) @ header["space directions"]
        np.testing.assert_allclose(where, position(volume, index), atol=1e-9)
        assert values[index] == volume.values[index]


def test_a_parser_of_fifteen_lines_finds_every_voxel_of_a_metaimage(volume, tmp_path):
    write_image(volume, tmp_path / "a.mha")
    head, data = re.split(rb"ElementDataFile = LOCAL\n", (tmp_path / "a.mha").read_bytes())
    header = dict(line.split(" = ", 1) for line in head.decode().splitlines())
    nx, ny, nz = (int(n) for n in header["DimSize"].split())
    assert (header["ElementType"], header["CompressedData"]) == ("MET_FLOAT", "True")
    values = np.frombuffer(zlib.decompress(data), "<f4").reshape(nz, ny, nx)
    axes = np.array(header["TransformMatrix"].split(), float).reshape(3, 3)  # a row is an axis
    steps, offset = (np.array(header[name].split(), float) for name in ("ElementSpacing", "Offset"))
    for i, j, k in VOXELS:
        np.testing.assert_allclose(
            offset + (np.array([i, j, k]) * steps) @ axes, position(volume, (i, j, k)), atol=1e-9
        )
        assert values[k, j, i] == volume.values[i, j, k]


def test_what_others_write_is_read_where_they_put_it(volume, tmp_path):
    ras = np.diag([-1.0, -1, 1, 1]) @ volume.grid.affine
    nibabel.save(nibabel.Nifti1Image(volume.values, ras), tmp_path / "nibabel.nii.gz")
    directions = np.array(volume.grid.direction).T * np.array(SPACING)[:, None]
    for short, signs in (("LPS", [1, 1, 1]), ("RAS", [-1, -1, 1]), ("left-anterior-superior", [1, -1, 1])):
        head = {"space": short, "space directions": directions * signs, "space origin": np.array(ORIGIN) * signs}
        nrrd.write(str(tmp_path / f"{short}.nrrd"), volume.values, head)
    image = SimpleITK.GetImageFromArray(volume.values.transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(np.array(volume.grid.direction).ravel().tolist())
    for name in ("itk.mha", "itk.mhd", "itk.nrrd", "itk.nii"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
    names = ["nibabel.nii.gz", "LPS.nrrd", "RAS.nrrd", "left-anterior-superior.nrrd", "itk.mha", "itk.mhd", "itk.nrrd"]
    for name in [*names, "itk.nii"]:
        found = read_image(tmp_path / name, RBE)
        np.testing.assert_array_equal(found.values, volume.values, err_msg=name)
        np.testing.assert_allclose(
            found.grid.position_mm(VOXELS), [position(volume, v) for v in VOXELS], atol=1e-4, err_msg=name
        )
        assert (image_notes(tmp_path / name) == ()) == (name != "nibabel.nii.gz"), "nibabel leaves the unit open"


@pytest.mark.parametrize(
    "kind", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
def test_every_number_type_keeps_its_values(kind, tmp_path):
    top = 1e300 if kind == "float64" else 3.0e38 if kind == "float32" else float(min(np.iinfo(kind).max, 2**53))
    values = np.array([0, 1, 77, top], dtype=kind).reshape(4, 1, 1)
    image = SimpleITK.GetImageFromArray(values.transpose(2, 1, 0))
    names = ["a.mha", "a.nrrd"]
    for name in names:
        SimpleITK.WriteImage(image, str(tmp_path / name))
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4), dtype=kind), tmp_path / "a.nii")
    for name in [*names, "a.nii"]:
        found = read_image(tmp_path / name, RBE).values
        assert found.dtype == (np.float32 if kind in ("uint8", "int16", "uint16", "float32") else np.float64)
        np.testing.assert_array_equal(found.astype(float), values.astype(float), err_msg=name)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_nan_and_infinity_stay(suffix, tmp_path):
    values = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32).reshape(4, 1, 1)
    write_image(Volume(Grid((4, 1, 1), SPACING, ORIGIN), values, RBE), tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}", RBE).values, values)


NRRD = {"space": "LPS", "space directions": np.diag(SPACING), "space origin": ORIGIN}


def nrrd_file(tmp_path, without=(), values=None, **changes):
    header = {key: value for key, value in {**NRRD, **changes}.items() if key not in without}
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((2, 3, 4), np.float32) if values is None else values, header)
    return tmp_path / "a.nrrd"


@pytest.mark.parametrize("space", ["scanner-xyz", "3D-right-handed", "3D-left-handed", None])
def test_a_nrrd_in_no_frame_of_the_patient_is_refused(space, tmp_path):
    changes = {"space": space} if space else {"space dimension": 3}
    path = nrrd_file(tmp_path, without=() if space else ("space",), **changes)
    assert SimpleITK.ReadImage(str(path)).GetOrigin() == ORIGIN, "SimpleITK takes it for LPS without a word"
    with pytest.raises(
        GeometryError, match=f"found {space.lower() if space else 'none'}, so its orientation is unknown"
    ):
        read_image(path, RBE)


def test_a_nrrd_without_directions_origin_or_mm_is_refused(tmp_path):
    for name in ("space directions", "space origin"):
        with pytest.raises(GeometryError, match=f"no '{name}'"):
            read_image(nrrd_file(tmp_path, without=(name,)), RBE)
    with pytest.raises(UnsupportedError, match="lengths are in um"):
        read_image(nrrd_file(tmp_path, **{"space units": ["um", "um", "um"]}), RBE)
    with pytest.raises(GeometryError, match="not finite"):
        read_image(nrrd_file(tmp_path, **{"space directions": [[np.nan] * 3, [0, 1, 0], [0, 0, 1]]}), RBE)
    with pytest.raises(GeometryError, match="sheared"):
        read_image(nrrd_file(tmp_path, **{"space directions": [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]}), RBE)


def test_a_nrrd_over_time_or_of_vectors_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="kinds domain domain time"):
        read_image(nrrd_file(tmp_path, kinds=["domain", "domain", "time"]), RBE)
    directions = np.vstack([[np.nan] * 3, np.diag(SPACING)])
    path = nrrd_file(
        tmp_path,
        values=np.zeros((3, 2, 3, 4), np.float32),
        kinds=["vector", "domain", "domain", "domain"],
        **{"space directions": directions},
    )
    with pytest.raises(UnsupportedError, match="found 4 axes"):
        read_image(path, RBE)


def mhd(tmp_path, *lines, spacing=True):
    (tmp_path / "a.raw").write_bytes(np.arange(24, dtype="<f4").tobytes())
    size = ["ElementSpacing = 1.5 2 2.5"] if spacing else []
    text = ["ObjectType = Image", "NDims = 3", *lines, "DimSize = 2 3 4", *size, "ElementType = MET_FLOAT"]
    (tmp_path / "a.mhd").write_text("\n".join([*text, "ElementDataFile = a.raw"]) + "\n")
    return tmp_path / "a.mhd"


def test_defaults_of_a_metaimage_are_taken_and_noted(tmp_path):
    path = mhd(tmp_path)
    grid = read_image(path, RBE).grid
    assert grid == Grid((2, 3, 4), (1.5, 2.0, 2.5), (0.0, 0.0, 0.0))
    frame, place = image_notes(path)
    assert "no TransformMatrix" in frame
    assert "no Offset" in place
    assert image_notes(mhd(tmp_path, "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Position = 1 2 3")) == ()


@pytest.mark.parametrize("code", ["RAI", "LPS", "???"])
def test_an_anatomical_orientation_may_say_from_or_to(code, tmp_path):
    read_image(mhd(tmp_path, "TransformMatrix = 1 0 0 0 1 0 0 0 1", f"AnatomicalOrientation = {code}"), RBE)


@pytest.mark.parametrize("code", ["RAS", "LAI", "RIA"])
def test_an_anatomical_orientation_that_contradicts_the_matrix_is_refused(code, tmp_path):
    path = mhd(tmp_path, "TransformMatrix = 1 0 0 0 1 0 0 0 1", f"AnatomicalOrientation = {code}")
    with pytest.raises(GeometryError, match=f"AnatomicalOrientation {code} contradicts"):
        read_image(path, RBE)


def test_what_simpleitk_passes_over_in_a_metaimage_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="lengths are in um"):
        read_image(mhd(tmp_path, "DistanceUnits = um"), RBE)
    with pytest.raises(UnsupportedError, match="scaled by 2 and shifted by 0"):
        read_image(mhd(tmp_path, "ElementToIntensityFunctionSlope = 2"), RBE)
    with pytest.raises(FormatError, match="expected numbers"):
        read_image(mhd(tmp_path, "ElementToIntensityFunctionSlope = two"), RBE)
    with pytest.raises(GeometryError, match="no ElementSpacing"):
        read_image(mhd(tmp_path, spacing=False), RBE)
    with pytest.raises(GeometryError, match="several positions"):
        read_image(mhd(tmp_path, "Offset = 1 2 3", "Origin = 1 2 4"), RBE)


def nifti(tmp_path, qform, sform, unit="mm"):
    image = nibabel.Nifti1Image(np.zeros((20, 30, 40), np.float32), None)
    image.set_qform(qform, code=1)
    image.set_sform(sform, code=2)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    return tmp_path / "a.nii"


def test_a_nifti_in_two_places_is_refused(tmp_path):
    affine = nibabel.affines.from_matvec(turned(10, 20, 30) @ np.diag(SPACING), ORIGIN)
    read_image(nifti(tmp_path, affine, affine), RBE)
    moved, half = affine.copy(), affine.copy()
    moved[:3, 3] += [0, 0, 0.1]
    half[:3, 0] *= -1
    read_image(nifti(tmp_path, affine, moved), RBE)
    for other in (half, affine + nibabel.affines.from_matvec(np.zeros((3, 3)), [0.0, 1, 0])):
        with pytest.raises(GeometryError, match=r"sform \(code 2\) and qform \(code 1\) put a corner"):
            read_image(nifti(tmp_path, affine, other), RBE)


def test_a_nifti_without_unit_is_taken_in_mm_and_noted(tmp_path):
    path = nifti(tmp_path, np.eye(4), np.eye(4), "unknown")
    read_image(path, RBE)
    assert "does not say its unit" in image_notes(path)[0]
    with pytest.raises(UnsupportedError, match="lengths are in meter"):
        read_image(nifti(tmp_path, np.eye(4), np.eye(4), "meter"), RBE)


@pytest.mark.parametrize("kind", ["float32", "int16", "uint8"])
def test_a_nifti_is_to_the_byte_what_nibabel_writes(volume, kind, tmp_path):
    """Whole numbers, so that every type holds them."""
    values = np.random.default_rng(1).integers(0, 200, volume.grid.shape).astype(np.float64)
    write_nifti(Volume(volume.grid, values, RBE), tmp_path / "a.nii", np.dtype(kind))
    write_nifti(Volume(volume.grid, values, RBE), tmp_path / "a.nii.gz", np.dtype(kind))
    image = nifti_image(values.astype(kind), volume.grid)
    image.header["intent_name"], image.header["descrip"] = b"RBE", b"RBE [1]"
    assert (tmp_path / "a.nii").read_bytes() == image.to_bytes()
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes()) == image.to_bytes()


def header_of(path):
    lines = path.read_bytes().split(b"ElementDataFile")[0].decode().splitlines()
    return {name.strip(): value.strip() for name, value in (line.split(" = ") for line in lines)}


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, 20, 30), (100, -20, 170), (0, 0, 90), (-90, 0, 10)])
def test_a_metaimage_has_the_header_that_itk_writes(angles, tmp_path):
    direction = turned(*angles).round(12) + 0.0
    grid = Grid((4, 3, 2), (1 / 3, 2.0, 1.1), (1e3 / 7, -1e-3 / 7, 0.0), tuple(map(tuple, direction.tolist())))
    values = np.random.default_rng(1).random(grid.shape).astype(np.float32)
    write_image(Volume(grid, values, RBE), tmp_path / "own.mha")
    image = SimpleITK.GetImageFromArray(values.transpose(2, 1, 0))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(direction.ravel().tolist())
    image.SetMetaData("quantity", "RBE")
    image.SetMetaData("unit", "1")
    SimpleITK.WriteImage(image, str(tmp_path / "itk.mha"), True)
    own, itk = header_of(tmp_path / "own.mha"), header_of(tmp_path / "itk.mha")
    data = (tmp_path / "own.mha").read_bytes().split(b"LOCAL\n", 1)[1]
    assert int(own.pop("CompressedDataSize")) == len(data)
    itk.pop("CompressedDataSize")
    assert own == itk


def test_a_line_break_in_a_unit_does_not_end_a_header(volume, tmp_path):
    odd = Quantity("a\nb", "q", "1\n\nDimSize = 1 1 1", "odd")
    for name in ("a.mha", "a.nrrd"):
        write_image(Volume(volume.grid, volume.values, odd), tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name, RBE).values, volume.values)
        image = SimpleITK.ReadImage(str(tmp_path / name))
        assert image.GetMetaData("unit") == "1 DimSize = 1 1 1"
