"""Maps in 16 bits: what other programs read is as near as `maps.json` says."""

import json
import os

import nibabel
import numpy as np
import pytest
import SimpleITK
from map_writer_killed import FORMATS, QUANTITIES, maps, write

from surrogate3d.errors import UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, quantity
from surrogate3d.io.images import read_image
from surrogate3d.io.map_files import MapFiles
from surrogate3d.io.map_range import MapRange
from surrogate3d.io.map_scaled import Scale
from surrogate3d.io.map_writer import MapWriter

SMALL = Grid((3, 4, 21), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
RBE = {"RBE": quantity("RBE")}


def write_one(out, values, formats=("nifti", "nii"), **options):
    with MapWriter(out, SMALL, RBE, formats, dtype="int16", **options) as writer:
        writer.put(0, {"RBE": values.astype(np.float32)})
        writer.finish()
    return json.loads((out / "maps.json").read_text())["maps"]["RBE"]["int16"]


def read(out, suffix):
    return nibabel.load(out / f"RBE{suffix}").get_fdata()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.6), (1.0, 1.6), (-3.0, 7e4), (1000.0, 1000.001), (1e-7, 2e-7)])
def test_every_program_reads_values_within_the_stated_error(tmp_path, low, high):
    values = np.random.default_rng(3).uniform(low, high, SMALL.shape).astype(np.float32)
    values[0, 0, 0], values[-1, -1, -1] = low, high
    about = write_one(tmp_path / "maps", values)
    bound = (np.float64(np.float32(high)) - np.float64(np.float32(low))) / 65534 / 2
    assert about["largest_error"] <= bound * 1.001 + 2e-7 * abs(high), "half a step; the intercept is a float32"
    for suffix in (".nii.gz", ".nii"):
        assert nibabel.load(tmp_path / "maps" / f"RBE{suffix}").get_data_dtype() == np.int16
        error = np.abs(read(tmp_path / "maps", suffix) - values).max()
        assert error == pytest.approx(about["largest_error"], rel=1e-9, abs=1e-13 * abs(high))
        itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "maps" / f"RBE{suffix}")))
        np.testing.assert_allclose(itk.transpose(2, 1, 0), values, atol=about["largest_error"] + 1e-6 * abs(high))
        own = read_image(tmp_path / "maps" / f"RBE{suffix}", RBE["RBE"])
        np.testing.assert_allclose(own.values, values, atol=about["largest_error"] * 1.001)


@pytest.mark.parametrize(
    "values", [np.zeros(SMALL.shape), np.full(SMALL.shape, -32767), np.arange(252).reshape(SMALL.shape)]
)
def test_whole_numbers_stay_as_they_are(tmp_path, values):
    about = write_one(tmp_path / "maps", values)
    assert about == {"slope": 1.0, "intercept": 0.0, "largest_error": 0.0}
    np.testing.assert_array_equal(read(tmp_path / "maps", ".nii.gz"), values)


@pytest.mark.parametrize("constant", [0.1, -1e-30, 65535.5])
def test_a_constant_map_is_held(tmp_path, constant):
    about = write_one(tmp_path / "maps", np.full(SMALL.shape, constant))
    np.testing.assert_array_equal(read(tmp_path / "maps", ".nii"), np.full(SMALL.shape, np.float32(constant), float))
    assert about["largest_error"] == 0


def test_voxels_without_an_answer_are_refused_or_stored_as_zero(tmp_path):
    values = np.random.default_rng(3).uniform(1.0, 1.6, SMALL.shape).astype(np.float32)
    values[1, 2, 3:9] = np.nan
    with pytest.raises(ValueRangeError, match="RBE: 6 voxels are NaN, which int16 in NIfTI has no number for"):
        write_one(tmp_path / "maps", values)
    with pytest.raises(ValueRangeError, match=r"stored as 0 or refused, not as -1\.0"):
        write_one(tmp_path / "maps", values, nan_as=-1.0)
    assert os.listdir(tmp_path) == []
    about = write_one(tmp_path / "maps", values, nan_as=0.0)
    assert about["nan_stored_as"] == 0.0
    np.testing.assert_array_equal(read(tmp_path / "maps", ".nii.gz")[1, 2, 3:9], 0.0)
    np.testing.assert_allclose(read(tmp_path / "maps", ".nii.gz"), np.nan_to_num(values), atol=about["largest_error"])
    write_one(tmp_path / "nothing", np.full(SMALL.shape, np.nan), nan_as=0.0)
    np.testing.assert_array_equal(read(tmp_path / "nothing", ".nii"), 0.0)


def test_infinite_values_and_other_types_are_refused(tmp_path):
    values = np.zeros(SMALL.shape)
    values[0, 0, 5] = np.inf
    with pytest.raises(ValueRangeError, match="RBE: 1 voxels are infinite, which int16 does not hold"):
        write_one(tmp_path / "maps", values)
    with pytest.raises(UnsupportedError, match="int16 is for nifti and nii, found mha, zarr"):
        write_one(tmp_path / "maps", values, ("mha", "zarr"))
    with (
        pytest.raises(UnsupportedError, match="written as float32 or int16, found uint8"),
        MapWriter(tmp_path / "maps", SMALL, RBE, dtype="uint8"),
    ):
        pytest.fail("the block must not start")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (1e-45, 2e-45), (-3e38, 3e38), (0.1, 0.1), (16777217.0, 16777219.0)]
)
def test_the_ends_of_any_range_are_numbers_of_16_bits(low, high):
    ends = np.array([low, high], np.float32)
    scale = Scale.of("RBE", MapRange(float(ends[0]), float(ends[1]), 0, 0, False), None)
    codes = np.rint((ends.astype(float) - scale.intercept) / scale.slope)
    assert np.abs(codes).max() <= 32767
    assert scale.slope > 0
    assert (np.float32(scale.slope), np.float32(scale.intercept)) == (scale.slope, scale.intercept)


def test_formats_without_a_scale_stay_float32(tmp_path):
    write(tmp_path / "maps", (0, 33, 70), dtype="int16", nan_as=0.0)
    names = [f"{name}{suffix}" for suffix in (".nii.gz", ".nii", ".mha", ".nrrd") for name in QUANTITIES]
    assert sorted(os.listdir(tmp_path / "maps")) == sorted([*names, "maps.zarr", "maps.json"])
    for suffix in (".mha", ".nrrd"):
        np.testing.assert_array_equal(
            read_image(tmp_path / f"maps/RBE{suffix}", QUANTITIES["RBE"]).values, maps()["RBE"]
        )


class Stopped(BaseException):
    """As a kill, but in this process."""


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupted_writing_of_16_bits_is_completed_to_the_same_bytes(tmp_path, monkeypatch, late):
    how = {"dtype": "int16", "nan_as": 0.0, "formats": FORMATS[:3]}
    write(tmp_path / "whole", (0, 70), **how)

    def stop(*args):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(MapFiles, "finish" if late else "scale", stop)
        with pytest.raises(Stopped):
            write(tmp_path / "maps", (0, 40, 70), **how)
    assert write(tmp_path / "maps", (0, 70), resume=True, **how) == 70, "before the scale is known, and after"
    for file in sorted(os.listdir(tmp_path / "whole")):
        assert (tmp_path / "maps" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
