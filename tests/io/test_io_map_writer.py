"""Maps written slab by slab are those of nibabel, SimpleITK, pynrrd and zarr, whatever the slabs."""

import json
import os
from itertools import pairwise

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
import zarr

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError, UnsupportedError
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.io import map_file
from surrogate3d.io.field_store import summarise
from surrogate3d.io.images import read_image, read_map, read_maps, write_maps
from surrogate3d.io.map_writer import MapWriter

GRID = Grid((13, 9, 37), (1.5, 2.0, 2.5), (-30.0, 7.0, 101.0), ((0.8, 0.0, 0.6), (0.6, 0.0, -0.8), (0.0, 1.0, 0.0)))
QUANTITIES = {name: quantity(name) for name in ("RBE", "D_RBE", "mask")}
ALL = ("nifti", "nii", "mha", "nrrd", "zarr")


def maps(grid=GRID):
    rng = np.random.default_rng(8)
    mask = rng.random(grid.shape) < 0.4
    values = {name: np.where(mask, rng.random(grid.shape), np.nan).astype(np.float32) for name in ("RBE", "D_RBE")}
    return {**values, "mask": mask.astype(np.float32)}


def write(out, cuts=(0, 37), grid=GRID, formats=ALL, **options):
    values = maps(grid)
    with MapWriter(out, grid, QUANTITIES, formats, {"line": "HSG"}, **options) as writer:
        for first, last in pairwise(cuts):
            if first >= writer.done:
                writer.put(first, {name: each[:, :, first:last] for name, each in values.items()})
        return writer.finish({"seconds": 1})


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("cuts", [range(38), (0, 5, 16, 17, 37), (0, 16, 32, 37), (0, 20, 37)])
def test_files_are_the_same_bytes_whatever_the_depth_of_the_slabs(tmp_path, cuts):
    write(tmp_path / "whole")
    write(tmp_path / "cut", cuts)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path)) == ["cut", "whole"]


def test_every_program_reads_what_was_written(tmp_path):
    files = write(tmp_path / "maps", (0, 5, 16, 17, 37))
    assert [file.name for file in files[-3:]] == ["mask.nrrd", "maps.zarr", "maps.json"]
    for name, values in maps().items():
        known = np.nan_to_num(values)  # ITK takes NaN in NIfTI for 0
        for suffix in (".nii.gz", ".nii", ".mha", ".nrrd"):
            image = SimpleITK.ReadImage(str(tmp_path / "maps" / f"{name}{suffix}"))
            np.testing.assert_array_equal(np.nan_to_num(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)), known)
            np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((12, 3, 30)), GRID.position_mm((12, 3, 30)))
            np.testing.assert_array_equal(
                read_image(tmp_path / "maps" / f"{name}{suffix}", QUANTITIES[name]).values, values
            )
        for suffix in (".nii.gz", ".nii"):
            np.testing.assert_array_equal(nibabel.load(tmp_path / "maps" / f"{name}{suffix}").get_fdata(), values)
        np.testing.assert_array_equal(nrrd.read(str(tmp_path / "maps" / f"{name}.nrrd"))[0], values)
        np.testing.assert_array_equal(zarr.open_group(tmp_path / "maps" / "maps.zarr", mode="r")[name][...], values)
        np.testing.assert_array_equal(read_maps(tmp_path / "maps")[name].values, values)


def test_the_sidecar_has_ranges_and_both_metadata(tmp_path):
    write(tmp_path / "maps", (0, 5, 16, 17, 37))
    about = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert about["metadata"] == {"line": "HSG", "seconds": 1}
    for name, values in maps().items():
        assert about["maps"][name] == summarise(Volume(GRID, values, QUANTITIES[name]))


def test_maps_at_once_and_slab_by_slab_are_one_folder(tmp_path):
    volumes = VolumeSet(GRID, {name: Volume(GRID, each, QUANTITIES[name]) for name, each in maps().items()})
    write_maps(volumes, tmp_path / "once", ALL, {"line": "HSG", "seconds": 1})
    write(tmp_path / "slabs", range(38))
    assert contents(tmp_path / "once") == contents(tmp_path / "slabs")


def test_planes_larger_than_a_piece_are_pieces_of_their_own(tmp_path, monkeypatch):
    write(tmp_path / "whole")
    monkeypatch.setattr(map_file, "PIECE_VOXELS", 10)
    write(tmp_path / "thin", (0, 1, 37))
    for name, values in maps().items():
        np.testing.assert_array_equal(
            nibabel.load(tmp_path / "thin" / f"{name}.nii.gz").get_fdata(), values.astype(float)
        )
        np.testing.assert_array_equal(read_maps(tmp_path / "thin")[name].values, values)
    assert (tmp_path / "thin" / "RBE.nii").read_bytes() == (tmp_path / "whole" / "RBE.nii").read_bytes()


def planes(k0, n, **changes):
    return k0, {**{name: each[:, :, k0 : k0 + n] for name, each in maps().items()}, **changes}


def fill(out, *puts, quantities=QUANTITIES, formats=("nifti",), finish=False, during=None, **options):
    with MapWriter(out, GRID, quantities, formats, **options) as writer:
        for k0, values in puts:
            writer.put(k0, values)
        if during:
            during()
        if finish:
            writer.finish()


def test_planes_that_do_not_follow_are_refused(tmp_path):
    for first, n in ((1, 2), (0, 38)):
        zeros = {name: np.zeros((13, 9, n)) for name in QUANTITIES}
        with pytest.raises(GridMismatchError, match=f"from 0 to at most 37, found {first} to"):
            fill(tmp_path / "maps", (first, zeros))
    with pytest.raises(GridMismatchError, match="expected planes from 4"):
        fill(tmp_path / "maps", planes(0, 4), planes(3, 4))
    assert os.listdir(tmp_path) == []


def test_other_maps_and_other_shapes_are_refused(tmp_path):
    with pytest.raises(QuantityError, match=r"expected the maps .*'mask'.*, found \['RBE'\]"):
        fill(tmp_path / "maps", (0, {"RBE": np.zeros((13, 9, 1))}))
    with pytest.raises(GridMismatchError, match=r"mask: expected planes of shape \(13, 9, 4\), found \(9, 13, 4\)"):
        fill(tmp_path / "maps", planes(0, 4, mask=np.zeros((9, 13, 4))))
    with pytest.raises(QuantityError, match="under the name 'a b'"):
        fill(tmp_path / "maps", quantities={"a b": quantity("RBE")}, formats=("zarr",))
    with pytest.raises(QuantityError, match="at least one map, found none"):
        fill(tmp_path / "maps", quantities={})
    with pytest.raises(UnsupportedError, match=r"unknown image formats \['dicom'\]; expected any of nifti, nii"):
        fill(tmp_path / "maps", formats=("dicom",))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_finished_does_not_appear(tmp_path):
    with pytest.raises(StoreError, match="36 of 37 planes are there"):
        fill(tmp_path / "maps", planes(0, 36), finish=True)
    with pytest.raises(StoreError, match="37 of 37 planes, and no `finish`"):
        fill(tmp_path / "maps", planes(0, 37))
    assert os.listdir(tmp_path) == []


def test_a_full_disk_while_slabs_are_written_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, piece):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(map_file.ImageFile, "append", full)
    with pytest.raises(StoreError, match=r"disk full while writing .*maps: free"):
        write(tmp_path / "maps", range(38))
    assert os.listdir(tmp_path) == []


def test_an_old_folder_is_there_until_the_new_one_is_complete(tmp_path):
    write(tmp_path / "maps", formats=("nii",))
    before = contents(tmp_path / "maps")

    def breaks():
        assert contents(tmp_path / "maps") == before
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fill(tmp_path / "maps", planes(0, 30), during=breaks, overwrite=True)
    assert contents(tmp_path / "maps") == before
    write(tmp_path / "maps", formats=("mha",), overwrite=True)
    assert sorted(os.listdir(tmp_path / "maps")) == ["D_RBE.mha", "RBE.mha", "maps.json", "mask.mha"]
    assert os.listdir(tmp_path) == ["maps"]


@pytest.mark.parametrize("kind", ALL)
def test_one_map_is_read_from_any_format(tmp_path, kind):
    write(tmp_path / "maps", formats=(kind,))
    np.testing.assert_array_equal(read_map(tmp_path / "maps", "D_RBE", kind), maps()["D_RBE"])
    with pytest.raises(StoreError, match=r"no image at|has no array"):
        read_map(tmp_path / "maps", "RBE10", kind)
