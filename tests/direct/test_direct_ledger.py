import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from surrogate3d.direct import ledger as ledger_module
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.ledger import FILE_NAME, Ledger, response_key
from surrogate3d.errors import StoreError
from surrogate3d.physics.cell_line import cell_line


@pytest.fixture(scope="module")
def answer(mixed):
    return Gsm2Fft().simulate([mixed()])[0]


def test_what_was_appended_is_found_again_by_everybody(tmp_path, answer):
    writer, reader = Ledger(tmp_path / "new" / "folder"), Ledger(tmp_path / "new" / "folder")
    writer.append({"a": answer, "b": replace(answer, voxel=(1, 2, 3))})
    for ledger in (writer, reader, Ledger(tmp_path / "new" / "folder")):
        assert ledger.get("a") == answer
        assert ledger.get("b").voxel == (1, 2, 3)
        assert ledger.get("c") is None
        assert len(ledger) == 2


def test_a_known_key_is_not_written_again(tmp_path, answer):
    ledger = Ledger(tmp_path)
    ledger.append({"a": answer})
    before = (tmp_path / FILE_NAME).read_bytes()
    Ledger(tmp_path).append({"a": replace(answer, alpha=9.0)})
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert Ledger(tmp_path).get("a") == answer


def test_every_cut_of_the_file_is_read_as_what_was_whole_then(tmp_path, answer):
    Ledger(tmp_path).append({"a": answer})
    one = (tmp_path / FILE_NAME).read_bytes()
    Ledger(tmp_path).append({"b": answer})
    whole = (tmp_path / FILE_NAME).read_bytes()
    header = one.index(b"\n") + 1
    for size in (0, 5, header - 1, header, header + 9, len(one) - 1, len(one), len(one) + 30, len(whole) - 1):
        (tmp_path / FILE_NAME).write_bytes(whole[:size])
        torn = Ledger(tmp_path)
        assert (torn.get("a") is not None) == (size >= len(one))
        assert torn.get("b") is None
        torn.append({"a": answer, "b": answer})
        assert (tmp_path / FILE_NAME).read_bytes() == whole


def test_a_last_line_of_full_length_but_wrong_content_is_torn_too(tmp_path, answer):
    Ledger(tmp_path).append({"a": answer})
    Ledger(tmp_path).append({"b": answer})
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    for garbage in (b"\0" * 39 + b"\n", b"\r" * 40):
        path.write_bytes(whole[:-40] + garbage)
        assert len(Ledger(tmp_path)) == 1
        Ledger(tmp_path).append({"b": answer})
        assert path.read_bytes() == whole


def test_damage_before_the_end_is_refused(tmp_path, answer):
    for key in ("a", "b"):
        Ledger(tmp_path).append({key: answer})
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"key":"a"', b'"key":"x"'))
    with pytest.raises(StoreError, match="damaged at byte"):
        Ledger(tmp_path)


@pytest.mark.parametrize("content", [b"some notes", b"some notes\nand more\n", b'{"schema":"other"}\n'])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StoreError, match="not a ledger"):
        Ledger(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_another_schema_is_refused(tmp_path, answer, monkeypatch):
    monkeypatch.setattr(ledger_module, "_HEADER", ledger_module._line({"schema": "surrogate3d.ledger/2"}))
    Ledger(tmp_path).append({"a": answer})
    monkeypatch.undo()
    with pytest.raises(StoreError, match="ledger/1"):
        Ledger(tmp_path)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_half_written(tmp_path, answer, monkeypatch):
    ledger = Ledger(tmp_path)
    ledger.append({"a": answer})
    before = (tmp_path / FILE_NAME).read_bytes()
    real = os.pwrite

    def full(file, data, position):
        if position > len(before):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data[:100], position)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError, match=r"No space left on device.*free some space") as raised:
        ledger.append({"b": answer})
    assert "\n" not in str(raised.value)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    monkeypatch.undo()
    ledger.append({"b": answer})
    assert len(Ledger(tmp_path)) == 2


def test_a_reader_that_saw_lines_taken_back_does_not_corrupt_the_file(tmp_path, answer):
    ledger = Ledger(tmp_path)
    ledger.append({"a": answer})
    size = (tmp_path / FILE_NAME).stat().st_size
    ledger.append({"b": answer})
    os.truncate(tmp_path / FILE_NAME, size)
    ledger.append({"c": answer})
    again = Ledger(tmp_path)
    assert again.get("b") is None
    assert len(again) == 2


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="check path and permissions"):
        Ledger(tmp_path / "file" / "ledger")


WRITER = """
import json, sys
from pathlib import Path
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.task import VoxelResponse
answer = VoxelResponse.from_json(json.loads(sys.argv[2]))
ledger = Ledger(Path(sys.argv[1]))
for n in range(int(sys.argv[4])):
    ledger.append({f"{sys.argv[3]}-{n}": answer})
    print(n, flush=True)
"""


def writer(folder, answer, name, n):
    command = [sys.executable, "-c", WRITER, str(folder), json.dumps(answer.to_json()), name, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_append_at_once_without_loss(tmp_path, answer):
    both = [writer(tmp_path, answer, name, 60) for name in ("p", "q")]
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    ledger = Ledger(tmp_path)
    assert all(ledger.get(f"{name}-{n}") == answer for name in ("p", "q") for n in range(60))


def test_kill_minus_nine_loses_nothing_that_was_reported(tmp_path, answer):
    process = writer(tmp_path, answer, "p", 100_000)
    reported = [process.stdout.readline().strip() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    reported += process.communicate(timeout=60)[0].split()
    ledger = Ledger(tmp_path)
    assert len(ledger) >= len(reported) >= 20
    assert all(ledger.get(f"p-{n}") == answer for n in reported)
    ledger.append({"after": answer})
    assert Ledger(tmp_path).get("after") == answer


def test_key_changes_with_everything_that_decides_the_result(mixed):
    HSG, backend = cell_line("HSG"), Gsm2MonteCarlo()
    base = response_key(mixed(), HSG, backend, 1, 0.01)
    assert response_key(replace(mixed(), voxel=(1, 1, 1), field_id="F", dose_gy=5.0), HSG, backend, 1, 0.01) == base
    others = [
        response_key(mixed(0.1), HSG, backend, 1, 0.01),
        response_key(mixed(), cell_line("V79"), backend, 1, 0.01),
        response_key(mixed(), replace(HSG, gsm2=replace(HSG.gsm2, a=0.5)), backend, 1, 0.01),
        response_key(mixed(), replace(HSG, alpha_x=0.5), backend, 1, 0.01),
        response_key(mixed(), HSG, Gsm2Fft(), 1, 0.01),
        response_key(mixed(), HSG, replace(backend, version=99), 1, 0.01),
        response_key(mixed(), HSG, replace(backend, doses=(1.0, 2.0)), 1, 0.01),
        response_key(mixed(), HSG, backend, 2, 0.01),
        response_key(mixed(), HSG, backend, 1, 0.02),
    ]
    assert len({base, *others}) == len(others) + 1
