"""The folder of a job: written once, tried as often as needed, finished by a mark with the digests of its files."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.io import topas_job_folder as store
from surrogate3d.io.topas_job import Counter, IonRun, TopasRuns

REAL = Path(__file__).parents[1] / "fixtures" / "tepc"
CARBON = IonRun("C", 6, 12, (1200.0,), (1.0,), 0.4, 5000, 77)
RUNS = TopasRuns(Counter(0.9, 2.0, 2.0), (replace(CARBON, species="H", Z=1, A=1), CARBON), "ab")

HISTORIES = 10**6


@pytest.fixture
def job(tmp_path):
    return store.write_job(tmp_path / "jobs", RUNS, {"voxel": [1, 2, 3]})[0]


@pytest.fixture
def run(job):
    return store.run_folder(job, CARBON, RUNS)


def test_a_job_has_a_folder_for_every_kind_of_ion_and_says_what_it_is_for(job):
    assert job.name == RUNS.key
    assert sorted(path.name for path in job.iterdir()) == ["C", "H", "job.json"]
    about = json.loads((job / "job.json").read_text())
    assert about["schema"] == "surrogate3d.topas_job/1"
    assert about["voxel"] == [1, 2, 3]
    assert about["runs"][1]["histories"] == 5000


def test_a_job_that_is_there_is_left_as_it_is(job):
    (job / "C" / "note").write_text("mine")
    folder, is_new = store.write_job(job.parent, RUNS, {"voxel": [4, 4, 4]})
    assert (folder, is_new) == (job, False)
    assert (job / "C" / "note").exists()
    assert json.loads((job / "job.json").read_text())["voxel"] == [1, 2, 3]


def test_a_job_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "jobs").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        store.write_job(tmp_path / "jobs", RUNS, {})


def test_changed_parameters_are_refused(job):
    path = job / "C" / "parameters.txt"
    path.write_text(path.read_text().replace("5000", "50"))
    with pytest.raises(StoreError, match="was changed"):
        store.run_folder(job, CARBON, RUNS)


def test_attempts_are_numbered_and_never_used_twice(run):
    first, second = store.next_attempt(run), store.next_attempt(run)
    (run / "attempt-9").mkdir()
    assert [first.name, second.name, store.next_attempt(run).name] == ["attempt-1", "attempt-2", "attempt-10"]


def test_the_last_failure_is_that_of_the_last_attempt(run):
    assert store.last_failure(run) == ""
    for n in (2, 10):
        (run / f"attempt-{n}").mkdir()
        (run / f"attempt-{n}" / "failure.txt").write_text(f"reason {n}\n")
    assert store.last_failure(run) == "reason 10"


def test_a_finished_run_is_known_by_its_mark(run):
    assert store.finished_events(run) is None
    attempt = store.next_attempt(run)
    shutil.copytree(REAL, attempt, dirs_exist_ok=True)
    assert store.finished_events(run) is None  # files alone do not say that they are whole
    assert store.finish(run, attempt, HISTORIES).n_events == 3718
    assert store.finished_events(run).n_events == 3718
    assert json.loads((run / "done.json").read_text())["attempt"] == "attempt-1"


def test_an_attempt_that_is_not_whole_is_not_marked(run):
    attempt = store.next_attempt(run)
    shutil.copy(REAL / "ySpecfile.txt", attempt)
    with pytest.raises(FormatError, match=r"Scorer\.header"):
        store.finish(run, attempt, HISTORIES)
    assert store.finished_events(run) is None


@pytest.mark.parametrize("name", ["ySpecfile.txt", "Scorer.header"])
def test_a_result_that_was_changed_after_its_mark_is_refused(name, run):
    shutil.copytree(REAL, run / "attempt-1")
    store.finish(run, run / "attempt-1", HISTORIES)
    with (run / "attempt-1" / name).open("a") as stream:
        stream.write("\n")
    with pytest.raises(StoreError, match="changed after it was marked"):
        store.finished_events(run)


@pytest.mark.parametrize("mark", ["", "{}", '{"attempt": "attempt-7", "schema": "?", "sha256": {}}', "[1]"])
def test_a_mark_that_leads_nowhere_is_refused(mark, run):
    (run / "done.json").write_text(mark)
    with pytest.raises(StoreError, match="cannot be followed"):
        store.finished_events(run)


def test_a_run_by_hand_beside_the_parameters_is_taken_up(run):
    assert store.done_by_hand(run, HISTORIES) is None
    shutil.copytree(REAL, run, dirs_exist_ok=True)
    assert store.done_by_hand(run, HISTORIES).n_events == 3718
    assert store.finished_events(run).n_events == 3718


def test_a_job_is_held_by_one_process_at_a_time(job):
    with store.locked(job, 0.0), pytest.raises(StoreError, match="another process"), store.locked(job, 0.3):
        pass
    with store.locked(job, 0.0):
        pass


def test_a_job_that_is_not_there_cannot_be_held(tmp_path):
    with pytest.raises(StoreError, match="cannot open"), store.locked(tmp_path / "none", 0.0):
        pass


def test_a_spectrum_of_more_events_than_histories_is_never_marked_as_the_result(run):
    attempt = run / "attempt-1"
    shutil.copytree(REAL, attempt)
    with pytest.raises(FormatError, match=r"3718 events from 1000 histories.*run parameters\.txt again"):
        store.finish(run, attempt, 1000)
    assert store.finished_events(run) is None
