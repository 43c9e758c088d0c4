"""A writer of maps that is killed at any moment is gone on with, to the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from map_writer_killed import GRID, QUANTITIES, maps, write

from surrogate3d.errors import StoreError
from surrogate3d.io import map_file, map_writer

FILE, JOURNAL = "surrogate3d.io.map_file", "surrogate3d.io.map_journal"
POINTS = {
    "before the first piece": (f"{FILE}:ImageFile.append:1", {0}),
    "between two pieces of a slab": (f"{FILE}:ImageFile.append:12", {15}),
    "in the head of a file": (f"{FILE}:ImageFile._write:2:late", {0}),
    "in a piece": (f"{FILE}:ImageFile._write:21:late", {15}),
    "before the third line of the journal": (f"{JOURNAL}:Journal.add:3", {30}),
    "before the journal": ("surrogate3d.io.map_writer:Journal:1", {0}),
    "before a chunk": ("surrogate3d.io.zarr_group:GroupWriter._save_chunk:5", {0, 15, 30}),
    "in the tail of a file": (f"{FILE}:ImageFile.finish:3", {70}),
    "before the group is finished": ("surrogate3d.io.zarr_group:GroupWriter.finish:1", {70}),
    "before all is on the disk": ("surrogate3d.io.atomic:_sync_tree:1", {70}),
    "before the name": ("surrogate3d.io.atomic:_move_onto:1", {70}),
    "soon": ("after:0.05", range(0, 71, 5)),
    "later": ("after:0.12", range(0, 71, 5)),
}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "maps"
    assert write(folder, (0, 70)) == 0
    return contents(folder)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """One folder a point, with what a killed process left."""
    folder = tmp_path_factory.mktemp("killed")
    program = Path(__file__).with_name("map_writer_killed.py")
    points = [*(point for point, _ in POINTS.values()), "surrogate3d.io.atomic:_remove_abandoned:1"]
    ran = subprocess.run([sys.executable, program, folder, *points], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout.split() == ["-9"] * len(points)
    return folder


@pytest.mark.parametrize("moment", POINTS)
def test_a_killed_writer_leaves_a_hidden_folder_that_is_completed_to_the_same_bytes(killed, whole, moment):
    number = list(POINTS).index(moment)
    target = killed / str(number)
    assert not target.exists()
    assert write(target, (0, 23, 70), resume=True) in POINTS[moment][1]
    assert contents(target) == whole
    assert [name for name in os.listdir(killed) if name.endswith(f"-{number}")] == []


def test_a_writer_that_is_killed_when_the_directory_has_its_name_is_complete(killed, whole):
    target = killed / str(len(POINTS))
    journal = contents(target).keys() - whole.keys()
    assert journal == {"journal.jsonl"}
    assert {name: content for name, content in contents(target).items() if name not in journal} == whole
    assert write(target, (0, 70), overwrite=True, resume=True) == 0
    assert contents(target) == whole


class Stopped(BaseException):
    """As Ctrl-C."""


def interrupt(out, cuts, **options):
    """Write some slabs and stop, as Ctrl-C does."""

    def stop(self, metadata=None):
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_writer.MapWriter, "finish", stop)
        with pytest.raises(Stopped):
            write(out, cuts, **options)
    (left,) = out.parent.glob(f".partial-*-{out.name}")
    return left


def test_without_resume_what_is_left_is_replaced(tmp_path, whole):
    left = interrupt(tmp_path / "maps", (0, 16, 32, 40))
    (left / "stray").write_text("")
    assert write(tmp_path / "maps", (0, 70)) == 0
    assert contents(tmp_path / "maps") == whole
    assert os.listdir(tmp_path) == ["maps"]


@pytest.mark.parametrize(
    ("other", "differs"), [({"fingerprint": "field 2"}, "inputs"), ({"formats": ("nifti",)}, "formats")]
)
def test_what_is_left_of_other_maps_is_refused_and_kept(tmp_path, other, differs):
    left = interrupt(tmp_path / "maps", (0, 16, 32, 40))
    with pytest.raises(StoreError, match=rf"partial-\w+-maps is an interrupted writing of maps with other {differs} "):
        write(tmp_path / "maps", (0, 70), resume=True, **other)
    assert left.is_dir()
    assert write(tmp_path / "maps", (0, 70), resume=True) == 32


def test_planes_of_a_put_that_was_cut_are_put_again_and_counted_once(tmp_path, whole):
    interrupt(tmp_path / "maps", (0, 27, 40))
    assert write(tmp_path / "maps", (0, 29, 70), resume=True) == 27, "32 are on the disk, but counts only of 27"
    assert contents(tmp_path / "maps") == whole


def test_nothing_follows_a_slab_that_could_not_be_written(tmp_path, whole):
    real, calls = map_file.ImageFile.append, []

    def fails_once(self, piece):
        calls.append(1)
        if len(calls) == 2 * 4 + 1:  # the first of the second slab: two maps in four files each
            raise Stopped
        real(self, piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_file.ImageFile, "append", fails_once)
        with pytest.raises(Stopped):
            write(tmp_path / "maps", (0, 16, 32, 48, 64, 70))
    assert len(calls) == 9
    assert write(tmp_path / "maps", (0, 70), resume=True) == 16
    assert contents(tmp_path / "maps") == whole


def test_resume_begins_where_nothing_is_left(tmp_path, whole):
    assert write(tmp_path / "maps", (0, 70), resume=True) == 0
    assert contents(tmp_path / "maps") == whole


@pytest.mark.parametrize("file", ["RBE.nii.gz", "RBE.nii", "mask.mha", "RBE.nrrd", "maps.zarr/RBE/c/0/0/1"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_slabs_that_are_not_on_the_disk_as_they_were_written_are_made_again(tmp_path, whole, file, damage):
    left = interrupt(tmp_path / "maps", (0, 16, 32, 48, 50))
    content = bytearray((left / file).read_bytes())
    spare = len(content) // 2 if file.startswith("maps.zarr") else len(content) * 5 // 6  # of three slabs
    if damage == "changed":
        content[spare] ^= 1
    (left / file).write_bytes(content if damage == "changed" else content[:spare])
    assert write(tmp_path / "maps", (0, 70), resume=True) == (16 if file.startswith("maps.zarr") else 32)
    assert contents(tmp_path / "maps") == whole


def test_a_line_of_the_journal_that_is_cut_or_strange_ends_it(tmp_path, whole):
    for number, ending in enumerate((b'{"end": 48, "fi', b'{"end": 48}\n', b"[]\n", b"\xff\xfe\n")):
        target = tmp_path / str(number)
        left = interrupt(target, (0, 16, 32, 48, 50))
        lines = (left / "journal.jsonl").read_bytes().splitlines(keepends=True)
        assert len(lines) == 4, "one of the whole, three slabs"
        (left / "journal.jsonl").write_bytes(b"".join(lines[:3]) + ending)
        assert write(target, (0, 70), resume=True) == 32
        assert contents(target) == whole


def test_two_writers_of_one_folder_are_refused(tmp_path):
    same = {"formats": ("nii",), "fingerprint": "field 1, line HSG"}
    with map_writer.MapWriter(tmp_path / "maps", GRID, QUANTITIES, **same) as writer:
        with pytest.raises(StoreError, match="is being written by another process"):
            write(tmp_path / "maps", (0, 70), resume=True, **same)
        writer.put(0, maps())
        writer.finish()
    assert sorted(os.listdir(tmp_path / "maps")) == ["RBE.nii", "maps.json", "mask.nii"]
