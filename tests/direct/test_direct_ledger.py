import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct import ledger as ledger_module
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.ledger import FILE_NAME, OLD_FILE_NAME, Ledger, response_key
from surrogate3d.direct.ledger_lines import LEDGER_SCHEMA, line, part_path, write_part
from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import StoreError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
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
    Ledger(tmp_path).append({"a": answer})
    before = (tmp_path / FILE_NAME).read_bytes()
    Ledger(tmp_path).append({"a": replace(answer, alpha=9.0)})
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert Ledger(tmp_path).get("a") == answer


def test_every_field_survives_bit_by_bit(tmp_path, answer):
    odd = replace(
        answer,
        field_id="F" * 64,
        seed=2**80,
        n_nuclei=2**40,
        alpha=0.1 + 2**-56,
        beta=-0.0,
        D10=5e-324,
        outside="\u03b1",
    )
    Ledger(tmp_path).append({"odd": odd, "unknown": replace(answer, explained=float("nan"))})
    ledger = Ledger(tmp_path)
    assert ledger.get("odd") == odd
    assert str(ledger.get("odd").beta) == "-0.0"
    assert np.isnan(ledger.get("unknown").explained)


def test_a_response_that_is_not_finite_is_refused_and_nothing_of_the_batch_is_kept(tmp_path, answer):
    ledger = Ledger(tmp_path)
    with pytest.raises(ValueRangeError, match="not finite: RBE10"):
        ledger.append({"a": replace(answer, field_id="new"), "b": replace(answer, RBE10=float("nan"))})
    with pytest.raises(ValueRangeError, match="one value per dose"):
        ledger.append({"b": replace(answer, effect=(1.0,))})
    assert len(Ledger(tmp_path)) == 0
    ledger.append({"a": replace(answer, field_id="new")})
    assert Ledger(tmp_path).get("a").field_id == "new"


def test_many_rows_are_found_through_their_blocks_whoever_wrote_them(tmp_path, answer, monkeypatch):
    monkeypatch.setattr(ledger_module, "_BLOCK", 7)
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    for n in range(0, 60, 3):
        (one if n % 2 else other).append({f"{n + m}": replace(answer, voxel=(n + m, 0, 0)) for m in range(3)})
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        blocks = database.execute("SELECT last, length(heads) / 8 FROM block ORDER BY last").fetchall()
    database.close()
    assert len(blocks) >= 5
    assert [last for last, _ in blocks] == np.cumsum([n for _, n in blocks]).tolist()
    for ledger in (one, other, Ledger(tmp_path)):
        assert [ledger.get(f"{n}").voxel[0] for n in range(60)] == list(range(60))
        assert ledger.known(["60", "3"]) == [False, True]
        assert "59" in ledger
        assert "61" not in ledger


def test_content_and_digest_do_not_depend_on_the_order(tmp_path, answer):
    rows = {f"{n:03}": replace(answer, voxel=(n, 0, 0)) for n in range(30)}
    forward, backward = Ledger(tmp_path / "forward"), Ledger(tmp_path / "backward")
    forward.append(rows)
    for key in reversed(rows):
        backward.append({key: rows[key]})
    assert dict(forward.items()) == dict(backward.items()) == rows
    assert list(backward.items()) == list(rows.items())
    assert forward.digest() == backward.digest()
    backward.append({"more": answer})
    assert forward.digest() != backward.digest()


def changed(folder, statement, *values):
    database = sqlite3.connect(folder / FILE_NAME)
    with database:
        database.execute(statement, values)
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE response SET record = zeroblob(length(record)) WHERE key = 'b'",
        "UPDATE response SET record = substr(record, 1, 50) WHERE key = 'b'",
        "UPDATE response SET shared = 99 WHERE key = 'b'",
        "UPDATE shared SET text = replace(text, 'HSG', 'V79')",
    ],
)
def test_a_damaged_row_is_refused_where_it_is_read(tmp_path, answer, statement):
    Ledger(tmp_path).append({"a": answer, "b": replace(answer, voxel=(1, 1, 1))})
    changed(tmp_path, statement)
    with pytest.raises(StoreError, match=r"damaged at row [12]; restore it"):
        Ledger(tmp_path).digest()
    with pytest.raises(StoreError, match="damaged at row 2; restore it"):
        Ledger(tmp_path).get("b")


def test_damaged_heads_are_refused(tmp_path, answer, monkeypatch):
    monkeypatch.setattr(ledger_module, "_BLOCK", 2)
    Ledger(tmp_path).append({"a": answer, "b": answer})
    changed(tmp_path, "UPDATE block SET heads = zeroblob(16)")
    with pytest.raises(StoreError, match="damaged: the heads"):
        Ledger(tmp_path)


def test_a_file_that_lost_its_middle_is_refused(tmp_path, answer):
    Ledger(tmp_path).append({f"{n}": answer for n in range(100)})
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    content[100:-100] = bytes(len(content) - 200)
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|not a ledger|malformed"):
        Ledger(tmp_path)


@pytest.mark.parametrize("content", [b"some notes" * 500, b"some notes"])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StoreError, match="not a ledger"):
        Ledger(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content


@pytest.mark.parametrize("statement", ["PRAGMA user_version = 3", "PRAGMA application_id = 1"])
def test_another_schema_is_refused(tmp_path, answer, statement):
    Ledger(tmp_path).append({"a": answer})
    changed(tmp_path, statement)
    with pytest.raises(StoreError, match="ledger/2"):
        Ledger(tmp_path)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_half_written(tmp_path, answer):
    ledger = Ledger(tmp_path)
    ledger.append({"a": answer})
    ledger._database.execute("PRAGMA max_page_count = 20")
    many = {f"{n}": replace(answer, field_id="new") for n in range(1000)}
    with pytest.raises(StoreError, match=r"disk is full; free some space and run again") as raised:
        ledger.append(many)
    assert "\n" not in str(raised.value)
    assert len(Ledger(tmp_path)) == len(ledger) == 1
    ledger._database.execute("PRAGMA max_page_count = 100000")
    ledger.append(many)
    assert len(Ledger(tmp_path)) == 1001
    assert Ledger(tmp_path).get("7").field_id == "new"


def old_ledger(folder, rows):
    lines = [line({"schema": LEDGER_SCHEMA}), *(line({"key": k, "response": v.to_json()}) for k, v in rows.items())]
    (folder / OLD_FILE_NAME).write_bytes(b"".join(lines))
    return lines


def test_a_ledger_of_the_first_schema_is_taken_in_and_left_as_it_is(tmp_path, answer):
    lines = old_ledger(tmp_path, {"a": answer, "b": replace(answer, explained=float("nan"))})
    before = (tmp_path / OLD_FILE_NAME).read_bytes()
    ledger = Ledger(tmp_path)
    assert ledger.get("a") == answer
    assert np.isnan(ledger.get("b").explained)
    ledger.append({"c": answer})
    assert (tmp_path / OLD_FILE_NAME).read_bytes() == before
    new = line({"key": "d", "response": replace(answer, voxel=(4, 4, 4)).to_json()})
    (tmp_path / OLD_FILE_NAME).write_bytes(b"".join([*lines, new]))  # an older version went on with it
    again = Ledger(tmp_path)
    assert [again.get(key) is not None for key in "abcde"] == [True, True, True, True, False]
    assert again.get("d").voxel == (4, 4, 4)


def test_every_cut_of_an_old_ledger_is_read_as_what_was_whole_then(tmp_path, answer):
    lines = old_ledger(tmp_path, {"a": answer, "b": answer})
    header, one, whole = len(lines[0]), len(lines[0] + lines[1]), b"".join(lines)
    for number, size in enumerate((0, 5, header, header + 9, one - 1, one, one + 30, len(whole) - 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / OLD_FILE_NAME).write_bytes(whole[:size])
        torn = Ledger(folder)
        assert (torn.get("a") is not None) == (size >= one)
        assert torn.get("b") is None


def test_a_damaged_or_foreign_old_ledger_is_refused(tmp_path, answer):
    old_ledger(tmp_path, {"a": answer, "b": answer})
    path = tmp_path / OLD_FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"key":"a"', b'"key":"x"'))
    with pytest.raises(StoreError, match="damaged at byte"):
        Ledger(tmp_path)
    path.write_bytes(b"some notes\nand more\n")
    with pytest.raises(StoreError, match="not a ledger"):
        Ledger(tmp_path)


def test_parts_are_taken_in_once_with_their_failures(tmp_path, answer):
    bad = VoxelFailure("HSG", (1, 2, 3), "F", "no luck")
    write_part(part_path(tmp_path, "one"), {"a": answer}, {"b": bad})
    write_part(part_path(tmp_path, "two"), {"a": replace(answer, alpha=9.0), "c": answer}, {})
    ledger = Ledger(tmp_path)
    assert (len(ledger), ledger.get("a"), ledger.failures()) == (2, answer, {"b": bad})
    assert sorted(path.name for path in tmp_path.glob("part*")) == []
    ledger.append({"b": answer})
    assert Ledger(tmp_path).failures() == {}


def test_a_damaged_part_is_refused_and_left_alone(tmp_path, answer):
    path = part_path(tmp_path, "one")
    write_part(path, {"a": answer}, {})
    whole = path.read_bytes()
    for content in (whole[:-5], whole.replace(b"HSG", b"V79"), b""):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"damaged at byte|not a ledger"):
            Ledger(tmp_path)
        assert path.read_bytes() == content


def test_what_a_killed_worker_left_half_written_goes_after_a_day(tmp_path):
    fresh, old = (tmp_path / f".partial-{name}-part-one.jsonl" for name in ("1234", "5678"))
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    Ledger(tmp_path)
    assert fresh.exists()
    assert not old.exists()


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


def test_keys_of_campaigns_before_other_back_ends_still_hold():
    # what surrogate3d computed for these when gsm2 was all there was: nothing is simulated again
    axes = SpectrumAxes(("H",), np.array([[1.0, 10.0, 100.0, 200.0]]))
    task = VoxelTask(np.array([[1.0, 2.0, 4.0]]), axes, 1.0, ("HSG",))
    back_ends = (replace(Gsm2MonteCarlo(), version=1), Gsm2Fft())
    keys = [response_key(task, cell_line("HSG"), backend, 7, 0.01) for backend in back_ends]
    assert keys == [
        "806675cb18357e01f14834da56579d3700d5562ca33ee606d50d682f1e2f4c4b",
        "75e9f726843613e4fceeb15545257a240948176c055790dec00384f3cd69c1d0",
    ]
