"""An output is whole or absent, whatever happens while it is written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from surrogate3d.errors import StoreError
from surrogate3d.io.atomic import atomic_directory, atomic_file


def test_a_directory_appears_only_at_the_end(tmp_path):
    target = tmp_path / "parent" / "store"
    with atomic_directory(target) as scratch:
        (scratch / "inner").mkdir()
        (scratch / "inner" / "a.txt").write_text("a")
        assert not target.exists()
        assert scratch.parent == target.parent, "a rename across file systems would not be atomic"
    assert (target / "inner" / "a.txt").read_text() == "a"
    assert os.listdir(target.parent) == ["store"]


def test_a_file_appears_only_at_the_end_and_its_scratch_keeps_the_suffixes(tmp_path):
    target = tmp_path / "map.nii.gz"
    with atomic_file(target) as scratch:
        assert scratch.name.endswith(".nii.gz")
        scratch.write_text("a")
        assert not target.exists()
    assert target.read_text() == "a"
    assert os.listdir(tmp_path) == ["map.nii.gz"]


def fail_in_directory(target, error, **options):
    with atomic_directory(target, **options) as scratch:
        (scratch / "a").write_bytes(b"x" * 1000)
        raise error


def fail_in_file(target, error):
    with atomic_file(target) as scratch:
        scratch.write_text("a")
        raise error


@pytest.mark.parametrize("interruption", [ValueError(), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("fail", [fail_in_directory, fail_in_file])
def test_nothing_is_left_when_the_writer_fails(tmp_path, fail, interruption):
    with pytest.raises(type(interruption)):
        fail(tmp_path / "target", interruption)
    assert os.listdir(tmp_path) == []


def test_everything_is_on_the_disk_before_the_name_appears(tmp_path, monkeypatch):
    synced = {}
    monkeypatch.setattr(os, "fsync", lambda n: synced.setdefault(os.fstat(n).st_ino, (tmp_path / "store").exists()))
    with atomic_directory(tmp_path / "store") as scratch:
        (scratch / "inner").mkdir()
        (scratch / "inner" / "a").write_text("a")
    store = tmp_path / "store"
    for entry in (store, store / "inner", store / "inner" / "a"):
        assert synced[entry.stat().st_ino] is False, "synced, and before the rename"
    assert synced[tmp_path.stat().st_ino] is True, "the rename itself"


def test_an_existing_target_is_refused_by_name_and_left_as_it_was(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "file").write_text("old")
    with pytest.raises(StoreError, match="store exists already"), atomic_directory(tmp_path / "store"):
        pytest.fail("the block must not start")
    with pytest.raises(StoreError, match="file exists already"), atomic_file(tmp_path / "file"):
        pytest.fail("the block must not start")
    assert (tmp_path / "file").read_text() == "old"


def write_while_another_does(target):
    with atomic_file(target) as scratch:
        scratch.write_text("new")
        target.write_text("somebody else's")


def test_a_target_that_appears_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(StoreError, match="exists already"):
        write_while_another_does(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "somebody else's"
    assert os.listdir(tmp_path) == ["file"]


def test_overwriting_replaces_the_whole_directory(tmp_path):
    target = tmp_path / "store"
    for name in ("old", "new"):
        with atomic_directory(target, overwrite=True) as scratch:
            (scratch / name).write_text(name)
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["store"]


def test_the_old_directory_survives_a_failed_overwrite(tmp_path):
    with atomic_directory(tmp_path / "store") as scratch:
        (scratch / "old").write_text("old")
    with pytest.raises(ValueError, match="broken"):
        fail_in_directory(tmp_path / "store", ValueError("broken"), overwrite=True)
    assert (tmp_path / "store" / "old").read_text() == "old"
    assert os.listdir(tmp_path) == ["store"]


def test_the_old_directory_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    target = tmp_path / "store"
    with atomic_directory(target) as scratch:
        (scratch / "old").write_text("old")
    rename = Path.rename

    def fails_onto_the_target(source, destination):
        if destination == target and not source.name.endswith(".old"):
            raise PermissionError(errno.EACCES, "not now")
        return rename(source, destination)

    monkeypatch.setattr(Path, "rename", fails_onto_the_target)
    with pytest.raises(PermissionError), atomic_directory(target, overwrite=True) as scratch:
        (scratch / "new").write_text("new")
    assert os.listdir(target) == ["old"]
    assert os.listdir(tmp_path) == ["store"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_line(tmp_path, code):
    with pytest.raises(StoreError) as caught:
        fail_in_directory(tmp_path / "store", OSError(code, os.strerror(code)), expected_bytes=10**18)
    message = str(caught.value)
    assert "\n" not in message
    assert f"while writing {tmp_path / 'store'}: free " in message
    assert message.endswith(" MB and run again; nothing was kept")
    megabytes = int(message.split("free ")[1].split(" MB")[0])
    assert 0.9e12 < megabytes <= 1e12, "the estimate, less what is free already"
    assert os.listdir(tmp_path) == []


def test_other_system_errors_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_directory(tmp_path / "store"):
        (tmp_path / "absent").read_text()
    assert os.listdir(tmp_path) == []


def test_a_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*store"), atomic_directory(tmp_path / "file" / "store"):
        pytest.fail("the block must not start")


def test_a_process_that_dies_leaves_no_target(tmp_path):
    program = (
        "import os, sys; from surrogate3d.io.atomic import atomic_directory\n"
        "with atomic_directory(sys.argv[1]) as scratch:\n"
        "    (scratch / 'a').write_text('a'); os._exit(9)"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path / "store")], check=False)
    assert died.returncode == 9
    assert not (tmp_path / "store").exists()
    with atomic_directory(tmp_path / "store"):
        pass
    assert (tmp_path / "store").is_dir()
