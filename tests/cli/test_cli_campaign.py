import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from surrogate3d.cli import main
from surrogate3d.direct.ledger import Ledger

PROGRAM = "import sys; from surrogate3d.cli import main; sys.exit(main())"
AT_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + PROGRAM
"""A shell starts what runs in the background with Ctrl-C ignored, and so would be everything started from there."""
CHANGING = ("ledger", "seconds", "core_seconds")


def test_a_voxel_that_cannot_be_simulated_is_reported_and_the_exit_code_says_so(
    plan: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    selection = json.loads(plan.selection.read_text())
    selection["plans"][0]["voxels"][0] = [99, 0, 0]
    (tmp_path / "selection.json").write_text(json.dumps(selection))
    command = ["simulate", str(tmp_path / "selection.json"), str(plan.field), "--ledger", str(tmp_path / "ledger")]
    assert main([*command, "--cell-line", "HSG", "--backend", "gsm2_fft", "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["voxels"], found["responses"]) == (9, 8)
    assert [(f["voxel"], f["cell_line"]) for f in found["failed"]] == [([99, 0, 0], "HSG")]
    assert err.splitlines()[-1].startswith("error: 1 simulations failed: voxel (99, 0, 0)")


def test_workers_and_a_scheduler_exclude_each_other(
    plan: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["simulate", str(plan.selection), str(plan.field), "--ledger", str(tmp_path), "--cell-line", "HSG"]
    assert main([*command, "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "not both" in capsys.readouterr().err


def test_a_local_cluster_gives_the_same_answer_as_this_process(plan: Any, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask distributed is not installed (the extra `cluster`)")
    answers = []
    for name, cluster in (("one", ()), ("two", ("--workers", "1"))):
        command = ["simulate", plan.selection, plan.field, "--ledger", tmp_path / name, "--cell-line", "HSG"]
        program = [sys.executable, "-c", PROGRAM, *map(str, command), "--backend", "gsm2_fft", "--json"]
        found = json.loads(subprocess.check_output([*program, *cluster], timeout=120, cwd=Path(__file__).parents[2]))
        answers.append({key: value for key, value in found.items() if key not in CHANGING})
    assert answers[0] == answers[1]


def of_session(leader: int) -> list[int]:
    """Processes that a session still has, without those that only wait to be reaped."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see which processes are left")
def test_control_c_leaves_nothing_running_and_loses_nothing(plan: Any, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask distributed is not installed (the extra `cluster`)")
    command = ["simulate", plan.selection, plan.field, "--ledger", tmp_path / "ledger", "--cell-line", "HSG"]
    command += ["--target-se", "1e-6", "--workers", "2"]  # so that no voxel is done before the interrupt
    with (tmp_path / "err.txt").open("wb") as err:
        program = subprocess.Popen(
            [sys.executable, "-c", AT_A_TERMINAL, *map(str, command)],
            cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=err, start_new_session=True,
        )  # fmt: skip
        with program:
            end = time.monotonic() + 120
            while len(of_session(program.pid)) < 4 and time.monotonic() < end:  # client, tracker, workers
                time.sleep(0.1)
            time.sleep(2)
            os.killpg(program.pid, signal.SIGINT)  # as a terminal does
            assert program.wait(timeout=90) == 1
    end = time.monotonic() + 10
    while of_session(program.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert of_session(program.pid) == []
    left = len(list((tmp_path / "ledger").glob("part-*.jsonl")))
    assert len(Ledger(tmp_path / "ledger")) >= left  # opened, whole, and what waited is taken in
    assert "error: interrupted" in (tmp_path / "err.txt").read_text()


def test_without_a_cluster_dask_is_not_even_imported() -> None:
    code = "import sys, surrogate3d.pipeline.design; sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
