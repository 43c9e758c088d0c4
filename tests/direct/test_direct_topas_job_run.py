"""`topas_job` end to end with a stand-in for OpenTOPAS: what goes right, what goes wrong, and that nothing is left."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.topas_job import TopasJob
from surrogate3d.direct.topas_job_run import LARGEST_LOG, filled_in, run_command, split_command
from surrogate3d.errors import ConfigError, FormatError, StoreError, UnusableError
from surrogate3d.grid import SpectrumAxes

STAND_IN = Path(__file__).with_name("stand_in_topas.py")
COMMAND = f"{shlex.quote(sys.executable)} {shlex.quote(str(STAND_IN))} {{parameters}}"


@pytest.fixture
def backend(tmp_path):
    return TopasJob(jobs=str(tmp_path / "jobs"), command=COMMAND, time_limit_s=30.0, histories=20_000)


@pytest.fixture
def wrong(monkeypatch, tmp_path):
    """Tells the stand-in how to go wrong, task by task; called again it forgets what it was told before."""
    monkeypatch.setenv("STAND_IN_TOPAS", str(tmp_path / "plan.json"))

    def plan(backend, modes):
        seeds = {str(backend.asked(task, 0).runs[0].seed): mode for task, mode in modes}
        (tmp_path / "plan.json").write_text(json.dumps(seeds))

    plan(None, [])
    return plan


def carbon(n=0, species=("C",), lines=("HSG",)):
    """Carbon ions around 350 MeV/u, as in the real spectrum."""
    axes = SpectrumAxes(species, np.tile([[300.0, 340.0, 380.0]], (len(species), 1)))
    fluence = np.array([[1.0, 1.0 + 0.1 * n]] * len(species))
    return VoxelTask(fluence, axes, 1.0, lines, (n, 0, 0), "F")


def attempts(backend, task):
    return sorted(path.relative_to(backend.jobs).parts[1:] for path in backend.write(task, 0)[0].glob("*/attempt-*"))


def gone(pid, patience_s=5.0):
    """Whether a process ends within some seconds."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_voxel_is_run_ion_by_ion_and_its_real_spectra_are_folded(backend):
    task = carbon(species=("He", "C"), lines=("HSG", "V79"))
    answers = backend.simulate([task])
    assert [answer.cell_line for answer in answers] == ["HSG", "V79"]
    assert all(answer.n_nuclei == 2 * 3718 for answer in answers)
    assert all(0 < answer.RBE10_se < 0.1 * answer.RBE10 for answer in answers)
    assert attempts(backend, task) == [("C", "attempt-1"), ("He", "attempt-1")]
    job, _ = backend.write(task, 0)
    assert "spherical TEPC" in (job / "C" / "attempt-1" / "stdout.log").read_text()
    again = replace(backend, command="").simulate([task])  # nothing more is run
    assert again == answers


def test_equal_results_fold_equally_whatever_the_response(backend):
    (gsm2,) = backend.simulate([carbon()])
    (mkm,) = replace(backend, response="mkm", command="").simulate([carbon()])
    # y_D = 23.65 keV/um as printed by the real run, far below y0 = 98 keV/um
    z_star = 0.1602 / (np.pi * 0.32**2) * 23.65
    assert mkm.alpha == pytest.approx(0.172 + 0.0615 * z_star, rel=0.08)
    assert mkm.outside.startswith("counter of 0.9 um for domains of 0.32 um")
    assert 1 < gsm2.RBE10 < mkm.RBE10


@pytest.mark.parametrize(
    ("mode", "refusal", "reason"),
    [
        ("crash", StoreError, "ended with status 1; stderr.log ends with 'G4Exception : segmentation violation'"),
        ("half", FormatError, "the last line is cut"),
        ("row", FormatError, "expected 100 bins"),
        ("nan", FormatError, "it holds nan"),
        ("nothing", FormatError, r"no Scorer.header was written"),
        ("foreign", FormatError, "as TsYScorer writes them"),
        ("loud", StoreError, "ends with 'too many anomalous histories'"),
    ],
)
def test_what_goes_wrong_is_refused_with_its_reason_and_tried_again_in_a_clean_folder(
    mode, refusal, reason, backend, wrong
):
    task = carbon()
    wrong(backend, [(task, mode)])
    with pytest.raises(refusal, match=rf"voxel \(0, 0, 0\) of field 'F', C: .*{reason}.*logs in .*attempt-1"):
        backend.simulate([task])
    job, _ = backend.write(task, 0)
    assert reason.replace("\\", "") in (job / "C" / "attempt-1" / "failure.txt").read_text()
    assert (job / "C" / "attempt-1" / "stderr.log").stat().st_size < 1.1 * LARGEST_LOG
    with pytest.raises(StoreError, match=rf"no finished spectrum in .*the last attempt: .*{reason}"):
        replace(backend, command="").simulate([task])
    wrong(backend, [])
    assert backend.simulate([task])[0].n_nuclei == 3718
    assert attempts(backend, task) == [("C", "attempt-1"), ("C", "attempt-2")]


def test_a_hang_is_stopped_at_the_time_limit_with_all_its_children(backend, wrong):
    task, short = carbon(), replace(backend, time_limit_s=3.0)
    wrong(short, [(task, "child")])
    with pytest.raises(StoreError, match=r"stopped at the time limit of 3 s; stdout.log ends with 'Detector type"):
        short.simulate([task])
    job, _ = backend.write(task, 0)
    assert gone(int((job / "C" / "attempt-1" / "child.pid").read_text()))


def test_a_campaign_goes_on_after_failures_and_a_rerun_pays_for_them_alone(backend, wrong, tmp_path):
    tasks = [carbon(n, lines=("HSG", "V79")) for n in range(4)]
    short = replace(backend, time_limit_s=3.0)
    wrong(short, [(tasks[1], "crash"), (tasks[2], "hang")])
    first = conduct(tasks, short, Ledger(tmp_path / "ledger"), seed=0)
    assert [answer.voxel[0] for answer in first.responses] == [0, 0, 3, 3]
    assert [failure.voxel[0] for failure in first.failures] == [1, 1, 2, 2]
    assert "segmentation violation" in first.failures[0].reason
    assert "time limit of 3 s" in first.failures[2].reason
    assert [len(attempts(short, task)) for task in tasks] == [1, 1, 1, 1]  # once for both cell lines
    wrong(short, [])
    second = conduct(tasks, short, Ledger(tmp_path / "ledger"), seed=0)
    assert second.failures == []
    assert [len(attempts(short, task)) for task in tasks] == [1, 2, 2, 1]
    assert len(second.responses) == 8


def test_a_killed_runner_leaves_no_process(backend, wrong, tmp_path):
    task = carbon()
    wrong(backend, [(task, "child")])
    words = "import sys; from pathlib import Path; from surrogate3d.direct.topas_job_run import run_command\n"
    words += "run_command(sys.argv[2:], Path(sys.argv[1]), 600.0)"
    job, _ = backend.write(task, 0)
    folder = tmp_path / "attempt"
    folder.mkdir()
    command = filled_in(COMMAND, job / "C" / "parameters.txt", folder)
    with subprocess.Popen([sys.executable, "-c", words, str(folder), *command], start_new_session=True) as runner:
        while not (folder / "child.pid").exists() or not (folder / "child.pid").read_text():
            assert runner.poll() is None
            time.sleep(0.05)
        left = int((folder / "child.pid").read_text())
        assert not gone(left, 0.2)
        os.kill(runner.pid, signal.SIGKILL)
    assert gone(left)


def test_what_a_command_leaves_behind_when_it_ends_is_killed_too(tmp_path):
    script = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    )
    run_command([sys.executable, "-c", script], tmp_path, 30.0)
    assert gone(int((tmp_path / "stdout.log").read_text()))


def test_a_command_ended_by_a_signal_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"ended with status 139; it said nothing"):
        run_command([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], tmp_path, 30.0)


def test_without_a_command_missing_spectra_are_refused_with_what_to_do(backend):
    with pytest.raises(StoreError, match=r"no finished spectrum in .*; run TOPAS on its parameters.txt there, or give"):
        replace(backend, command="").simulate([carbon()])


def test_a_run_by_hand_is_taken_up_and_a_broken_one_is_named(backend):
    task, alone = carbon(), replace(backend, command="")
    folder = alone.write(task, 0)[0] / "C"
    subprocess.run([sys.executable, STAND_IN, "parameters.txt"], cwd=folder, check=True, capture_output=True)
    whole = (folder / "ySpecfile.txt").read_text()
    (folder / "ySpecfile.txt").write_text(whole[:-500])
    with pytest.raises(FormatError, match=r"voxel .* cut.*run it again"):
        alone.simulate([task])
    (folder / "ySpecfile.txt").write_text(whole)
    assert alone.simulate([task])[0].n_nuclei == 3718


def test_a_broken_run_by_hand_is_run_again_where_there_is_a_command(backend):
    task = carbon()
    (backend.write(task, 0)[0] / "C" / "ySpecfile.txt").write_text("half")
    assert backend.simulate([task])[0].n_nuclei == 3718


def test_commands_are_split_as_by_a_shell_and_filled_in(tmp_path):
    command = "env 'OMP NUM'=1 --in={parameters} {folder}/x"
    parameters, folder = Path("/a b/{folder}.txt"), Path("/work dir")
    filled = ["env", "OMP NUM=1", "--in=/a b/{folder}.txt", "/work dir/x"]
    assert filled_in(command, parameters, folder) == filled


@pytest.mark.parametrize(
    "command", ["topas", "topas {parameter}", "topas {parameters} {seed}", "topas '", "{parameters}"]
)
def test_commands_that_cannot_work_are_refused(command):
    with pytest.raises(ConfigError, match="command"):
        split_command(command)
    with pytest.raises(ConfigError, match="command"):
        TopasJob(command=command)


def test_a_program_that_is_not_there_is_refused_before_a_folder_is_made(backend):
    task, lost = carbon(), replace(backend, command="topas-of-nowhere {parameters}")
    with pytest.raises(UnusableError, match="no program 'topas-of-nowhere'"):
        lost.simulate([task])
    assert attempts(backend, task) == []
