"""RT Dose of maps that were written slab by slab is that of the finished volume, whatever happened on the way."""

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_patient import write_file
from map_writer_killed import GRID as KILLED_GRID
from pydicom.uid import RTPlanStorage

from surrogate3d.errors import GeometryError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.grid.volume import turned_to
from surrogate3d.io import dicom_write, map_files, map_rtdose
from surrogate3d.io.dicom_dose import read_rtdose
from surrogate3d.io.dicom_reference import read_reference
from surrogate3d.io.dicom_write import RtDoseOptions, write_rtdose
from surrogate3d.io.map_files import DOSES, MapFiles
from surrogate3d.io.map_rtdose import read_dose
from surrogate3d.io.map_writer import MapWriter

PERMUTED = ((0.0, 0.0, -1.0), (0.8, 0.6, 0.0), (0.6, -0.8, 0.0))
GRIDS = {
    "axial": Grid((13, 9, 37), (1.5, 2.0, 2.5), (-30.0, 7.0, 101.0)),
    "turned, with frames along i": Grid((13, 9, 37), (1.5, 2.0, 2.5), (-30.0, 7.0, 101.0), PERMUTED),
    "one plane": Grid((13, 9, 1), (1.5, 2.0, 2.5), (-30.0, 7.0, 101.0)),
}
NAMES = ("D_RBE", "EQD2", "RBE")
COMMENT = ("HSG", "30x2Gy")
ABOUT = {"cell_line": {"name": "HSG"}, "fractions": 30}
UIDS = ("SeriesInstanceUID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
TIMES = [f"{what}{part}" for what in ("Study", "Series", "Content", "InstanceCreation") for part in ("Date", "Time")]


def maps(grid):
    rng = np.random.default_rng(5)
    values = {name: rng.uniform(0, 70, grid.shape).astype(np.float32) for name in NAMES}
    for each in values.values():
        each[rng.random(grid.shape) < 0.3] = np.nan
    return values


def write(out, grid, cuts=(5, 16, 17), formats=("nii", "rtdose"), names=NAMES, values=None, **options):
    values, last = values or maps(grid), grid.shape[2]
    with MapWriter(
        out, grid, {n: quantity(n) for n in names}, formats, ABOUT, comment=COMMENT, fingerprint="field 1", **options
    ) as writer:
        for end in (*(k for k in cuts if writer.done < k < last), last):
            writer.put(writer.done, {name: values[name][:, :, writer.done : end] for name in names})
        return writer.finish()


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def plain(file):
    """What an object says but for its identity and its time."""
    return {
        each.keyword: each.value
        for each in file
        if each.keyword not in (*UIDS, *TIMES) and each.keyword != "PlanOverviewSequence"
    }


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("block", [1, 200, 1 << 20])
def test_values_and_words_are_those_of_the_finished_volume(tmp_path, monkeypatch, grid, block):
    monkeypatch.setattr(map_rtdose, "_BLOCK_VOXELS", block)
    write(tmp_path / "maps", grid)
    for name in ("D_RBE", "EQD2"):
        options = RtDoseOptions(nan_as=0.0, comment=COMMENT, parameters=ABOUT)
        about = write_rtdose(Volume(grid, maps(grid)[name], quantity(name)), tmp_path / f"{name}.dcm", options)
        whole, own = (pydicom.dcmread(path) for path in (tmp_path / f"{name}.dcm", tmp_path / f"maps/{name}.dcm"))
        assert plain(own) == plain(whole)
        assert own.PlanOverviewSequence == whole.PlanOverviewSequence
        found = json.loads((tmp_path / f"maps/{name}.json").read_text())
        assert found.pop("sha256") == hashlib.sha256((tmp_path / f"maps/{name}.dcm").read_bytes()).hexdigest()
        others = {"sha256", *(key for key in about if key.endswith("_uid"))}
        assert {key: found[key] for key in about if key not in others} == {
            key: about[key] for key in about if key not in others
        }


def test_programs_read_the_values_in_their_places(tmp_path):
    grid = GRIDS["turned, with frames along i"]
    write(tmp_path / "maps", grid)
    values, path = maps(grid)["D_RBE"], tmp_path / "maps" / "D_RBE.dcm"
    image = SimpleITK.ReadImage(str(path))
    step = float(pydicom.dcmread(path).DoseGridScaling)
    for index in ((0, 0, 0), (12, 8, 36), (3, 5, 7)):
        there = image.TransformPhysicalPointToIndex(grid.position_mm(index).tolist())
        assert abs(image[there] * step - np.nan_to_num(values[index])) <= step / 2 * (1 + 1e-6)
    own = turned_to(read_rtdose(path, as_quantity="D_RBE").volume, grid)
    grid.require_same(own.grid, "as it was")
    np.testing.assert_allclose(own.values, np.nan_to_num(values), atol=step)
    file = pydicom.dcmread(path)
    assert (file.DoseType, file.DoseUnits) == ("EFFECTIVE", "GY")
    assert (file.pixel_array * step).max() == pytest.approx(float(np.nanmax(values)), rel=1e-9)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_values_are_read_back_in_their_order_with_what_has_no_answer(tmp_path, grid):
    write(tmp_path / "maps", grid)
    values, about = maps(grid)["D_RBE"], json.loads((tmp_path / "maps" / "maps.json").read_text())["maps"]["D_RBE"]
    found = read_dose(tmp_path / "maps", "D_RBE", grid, about["n_nan"])
    np.testing.assert_allclose(found, values, atol=about["rtdose"]["largest_error"] * 1.001)
    others = read_dose(tmp_path / "maps", "D_RBE", grid, about["n_nan"] - 1)
    np.testing.assert_array_equal(others, np.nan_to_num(found), "0 may be a value, so it stays")


def test_the_folder_lists_its_files_and_says_what_was_rounded(tmp_path):
    files = write(tmp_path / "maps", GRIDS["axial"])
    about = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert (
        sorted([*about["files"], "maps.json"]) == sorted(os.listdir(tmp_path / "maps")) == sorted(f.name for f in files)
    )
    step = float(pydicom.dcmread(tmp_path / "maps" / "D_RBE.dcm").DoseGridScaling)
    assert about["maps"]["D_RBE"]["rtdose"] == {
        "dose_grid_scaling": step,
        "largest_error": step / 2,
        "nan_stored_as": 0.0,
    }
    assert "rtdose" not in about["maps"]["RBE"], "no dose, so in the other format only"
    assert not (tmp_path / "maps" / "RBE.dcm").exists()


def test_the_same_maps_are_the_same_bytes_and_no_time_is_in_them(tmp_path):
    write(tmp_path / "one", GRIDS["axial"], cuts=(20,))
    write(tmp_path / "two", GRIDS["axial"], cuts=range(1, 37))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    file = pydicom.dcmread(tmp_path / "one" / "D_RBE.dcm")
    assert not any(file.get(name) for name in TIMES)
    assert file.StudyDate == file.StudyTime == "", "type 2: it must be there"


def test_maps_of_one_folder_share_study_and_frame_and_nothing_else(tmp_path):
    grid, same = GRIDS["axial"], maps(GRIDS["axial"])["D_RBE"]
    write(tmp_path / "maps", grid, values=dict.fromkeys(NAMES, same))
    changed = {name: values.copy() for name, values in maps(grid).items()}
    changed["D_RBE"][np.unravel_index(np.nanargmin(changed["D_RBE"]), grid.shape)] *= 1.5
    write(tmp_path / "other", grid, values=changed)
    write(tmp_path / "first", grid)
    files = [
        pydicom.dcmread(tmp_path / where)
        for where in ("maps/D_RBE.dcm", "maps/EQD2.dcm", "other/D_RBE.dcm", "first/D_RBE.dcm")
    ]
    assert len({file.StudyInstanceUID for file in files}) == len({file.FrameOfReferenceUID for file in files}) == 1
    assert files[0].SOPInstanceUID == files[3].SOPInstanceUID, "of one voxel's difference they are others"
    assert len({file.SOPInstanceUID for file in files}) == len({file.SeriesInstanceUID for file in files}) == 3
    assert all(file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID for file in files)


class Stopped(BaseException):
    """As a kill, but in this process."""


@pytest.mark.parametrize("point", ["slabs", "before", "half", "after"])
def test_an_interrupted_writing_is_completed_to_the_same_bytes(tmp_path, monkeypatch, point):
    grid = KILLED_GRID
    write(tmp_path / "whole", grid)
    real = map_rtdose._write

    def half(path, file, frames):
        real(path, file, frames)
        path.write_bytes(path.read_bytes()[:9000])
        raise Stopped

    def stop(*args):
        raise Stopped

    owner, name, deed = {
        "slabs": (MapWriter, "finish", stop),
        "before": (map_rtdose, "write_dose", stop),
        "half": (map_rtdose, "_write", half),
        "after": (MapFiles, "let_go", stop),
    }[point]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, deed)
        with pytest.raises(Stopped):
            write(tmp_path / "maps", grid)
    assert not (tmp_path / "maps").exists()
    write(tmp_path / "maps", grid, resume=True)
    assert contents(tmp_path / "maps") == contents(tmp_path / "whole")
    assert not list(tmp_path.glob(".partial-*"))


KILLED = """
import os, signal, sys
from pathlib import Path
import test_io_map_rtdose as own
from surrogate3d.io import map_rtdose
number, place = int(sys.argv[2]), sys.argv[3]
def deadly(*args, real=getattr(map_rtdose, place), calls=[]):
    calls.append(1)
    if len(calls) == number:
        if place == "_write":
            args[0].write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
setattr(map_rtdose, place, deadly)
own.write(Path(sys.argv[1]), own.KILLED_GRID)
"""


@pytest.mark.parametrize(("number", "place"), [(1, "write_dose"), (2, "_write"), (2, "_digest")])
def test_a_killed_process_is_gone_on_with_to_the_same_bytes(tmp_path, number, place):
    write(tmp_path / "whole", KILLED_GRID)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "maps"), str(number), place]
    ran = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (-9, "")
    (left,) = tmp_path.glob(".partial-*-maps")
    assert (left / "D_RBE.float32").stat().st_size == 4 * KILLED_GRID.n_voxels
    write(tmp_path / "maps", KILLED_GRID, resume=True)
    assert contents(tmp_path / "maps") == contents(tmp_path / "whole")
    assert not left.exists()


def test_alone_it_writes_maps_of_dose_and_refuses_others_before_anything_is_computed(tmp_path):
    grid = GRIDS["axial"]
    files = write(tmp_path / "maps", grid, formats=("rtdose",), names=("D_RBE", "EQD2"))
    assert [file.name for file in files] == ["D_RBE.dcm", "D_RBE.json", "EQD2.dcm", "EQD2.json", "maps.json"]
    with pytest.raises(
        UnsupportedError, match="no other format is asked for that holds RBE; ask for D_RBE, EQD2 alone"
    ):
        write(tmp_path / "more", grid, formats=("rtdose",))
    with pytest.raises(UnsupportedError, match=r"rtdose is for .*D_RBE.*found only RBE"):
        write(tmp_path / "more", grid, names=("RBE",))
    assert os.listdir(tmp_path) == ["maps"]


def test_sixteen_bits_and_rt_dose_share_what_they_keep(tmp_path):
    write(tmp_path / "both", GRIDS["axial"], dtype="int16", nan_as=0.0)
    write(tmp_path / "one", GRIDS["axial"])
    pixels = [pydicom.dcmread(tmp_path / where / "D_RBE.dcm").PixelData for where in ("both", "one")]
    assert pixels[0] == pixels[1]
    assert not list((tmp_path / "both").glob("*.float32"))


@pytest.mark.parametrize(("value", "words"), [(np.inf, "1 voxels are infinite"), (-1e-3, "values go down to -0.001")])
def test_values_that_are_no_dose_are_refused_and_nothing_is_left(tmp_path, value, words):
    grid = GRIDS["axial"]
    values = maps(grid)
    values["D_RBE"][2, 3, 4] = value
    with pytest.raises(ValueRangeError, match=f"D_RBE: {words}, which RT Dose does not hold"):
        write(tmp_path / "maps", grid, values=values)
    assert os.listdir(tmp_path) == []


def test_a_map_without_any_answer_is_zero_and_says_so(tmp_path):
    grid = GRIDS["axial"]
    nothing = {name: np.full(grid.shape, np.nan, np.float32) for name in NAMES}
    write(tmp_path / "maps", grid, values=nothing)
    file = pydicom.dcmread(tmp_path / "maps" / "D_RBE.dcm")
    assert not any(file.PixelData)
    assert f"outside=0 ({grid.n_voxels} voxels)" in file.DoseComment


def test_a_grid_that_rt_dose_does_not_hold_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_write, "_MOST_FRAMES", 20)
    with pytest.raises(GeometryError, match="RT Dose holds up to 20 voxels along an axis"):
        write(tmp_path / "maps", GRIDS["axial"])
    assert os.listdir(tmp_path) == []


def test_patient_study_and_plan_are_those_of_the_reference(tmp_path):
    plan = write_file(tmp_path / "plan.dcm", RTPlanStorage, StudyID="S1", StudyDate="20260101", StudyTime="120000")
    write(tmp_path / "maps", GRIDS["axial"], reference=read_reference(None, plan))
    write(tmp_path / "again", GRIDS["axial"], reference=read_reference(None, plan))
    assert contents(tmp_path / "maps") == contents(tmp_path / "again")
    own, given = pydicom.dcmread(tmp_path / "maps" / "D_RBE.dcm"), pydicom.dcmread(plan)
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
        assert own[name].value == given[name].value, name
    assert own.DoseSummationType == "PLAN"
    assert own.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == given.SOPInstanceUID
    assert not any("anonymous" in note for note in json.loads((tmp_path / "maps/D_RBE.json").read_text())["notes"])


def test_a_grid_outside_the_reference_is_refused_before_anything_is_computed(tmp_path):
    write(tmp_path / "far", Grid((3, 3, 3), (1.0, 1.0, 1.0), (900.0, 0.0, 0.0)))
    with pytest.raises(GeometryError, match="not in the patient's coordinates"):
        write(tmp_path / "maps", GRIDS["axial"], reference=read_reference(tmp_path / "far" / "D_RBE.dcm"))
    assert os.listdir(tmp_path) == ["far"]


def test_the_doses_are_those_of_dicom_write():
    assert (*dicom_write.PHYSICAL, *dicom_write.EFFECTIVE) == DOSES
    assert "rtdose" in map_files.FORMATS


def test_memory_does_not_grow_with_the_volume(tmp_path, monkeypatch):
    monkeypatch.setattr(map_rtdose, "_BLOCK_VOXELS", 64 * 64 * 4)
    peaks = []
    for depth in (64, 512):
        grid = Grid((64, 64, depth), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        planes = np.random.default_rng(1).random((64, 64, depth), dtype=np.float32)
        tracemalloc.start()
        with MapWriter(tmp_path / str(depth), grid, {"D_RBE": quantity("D_RBE")}, ("rtdose",)) as writer:
            for k in range(0, depth, 16):
                writer.put(k, {"D_RBE": planes[:, :, k : k + 16]})
            writer.finish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000, "the volume itself grew by 7 MB"
