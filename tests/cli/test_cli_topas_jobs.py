"""`topas jobs` as a user types it."""

import json

import pytest
import typer
from synthetic import make_field
from typer.testing import CliRunner

from surrogate3d.cli import topas_jobs_command
from surrogate3d.errors import ConfigError, StoreError
from surrogate3d.io.field_store import write_field
from surrogate3d.pipeline.design import read_fields, sample
from surrogate3d.pipeline.spectrum_checks import checked


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """A field and a selection of it."""
    folder = tmp_path_factory.mktemp("plan")
    field = make_field(seed=2, tracks=4000)
    field.spectra.fluence[:, :, 0, 0, 0] = 0.0
    write_field(field, folder / "plan.field.zarr")
    fields = {name: checked(each) for name, each in read_fields([folder / "plan.field.zarr"]).items()}
    selection = sample(fields, budget=3, cube_mm=6.0, seed=1, n_worst=1, n_random=1)
    (folder / "selection.json").write_text(json.dumps(selection.to_json()))
    return folder


@pytest.fixture
def ask(plan):
    """Runs the command alone, with others beside it as in the real application."""
    app = typer.Typer()
    topas_jobs_command.register(app)
    app.command("other")(lambda: None)

    def run(*arguments):
        given = ["jobs", plan / "selection.json", plan / "plan.field.zarr", *arguments]
        return CliRunner().invoke(app, [str(each) for each in given], env={"COLUMNS": "200"})

    return run


def test_jobs_are_written_for_the_voxels_of_a_role_and_counted(ask, tmp_path):
    result = ask("-o", tmp_path / "jobs", "--role", "chosen", "--histories", "5000", "--json")
    assert result.exit_code == 0
    data = json.loads(result.stdout)
    assert data["schema"] == "surrogate3d.cli.topas-jobs/1"
    assert (data["n_new"], data["histories"], data["role"], data["seed"]) == (3, 5000, "chosen", 0)
    assert data["failed"] == []
    assert len(data["jobs"]) == 3
    folders = sorted(path for path in (tmp_path / "jobs").iterdir() if path.is_dir())
    assert sorted(job["folder"] for job in data["jobs"]) == [str(folder) for folder in folders]
    for job in data["jobs"]:
        assert job["runs"]
        assert all((tmp_path / "jobs" / job["folder"] / name / "parameters.txt").is_file() for name in job["runs"])


def test_it_says_how_to_run_them(ask, tmp_path):
    result = ask("-o", tmp_path / "jobs", "--role", "worst", "--response", "mkm", "--detector-radius", "0.32")
    assert result.exit_code == 0
    assert "1 voxels, 1 new folders" in result.stdout
    assert f'--backend topas_job --jobs {tmp_path / "jobs"} --seed 0 --command "topas {{parameters}}"' in result.stdout


def test_a_second_time_nothing_is_written(ask, tmp_path):
    ask("-o", tmp_path / "jobs")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "jobs").rglob("*")}
    result = ask("-o", tmp_path / "jobs", "--json")
    assert json.loads(result.stdout)["n_new"] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "jobs").rglob("*")} == before


def test_other_settings_in_the_same_directory_are_refused(ask, tmp_path):
    ask("-o", tmp_path / "jobs")
    result = ask("-o", tmp_path / "jobs", "--physics", "opt4")
    assert isinstance(result.exception, ConfigError)
    assert "'livermore', found 'opt4'" in str(result.exception)


def test_a_directory_that_cannot_be_is_refused(ask, tmp_path):
    (tmp_path / "jobs").write_text("a file")
    assert isinstance(ask("-o", tmp_path / "jobs").exception, StoreError)


def test_voxels_without_a_job_end_with_status_1(ask, plan, tmp_path):
    data = json.loads((plan / "selection.json").read_text())
    data["plans"][0]["voxels"][0] = [0, 0, 0]
    (tmp_path / "selection.json").write_text(json.dumps(data))
    app = typer.Typer()
    topas_jobs_command.register(app)
    app.command("other")(lambda: None)
    words = ["jobs", str(tmp_path / "selection.json"), str(plan / "plan.field.zarr"), "-o", str(tmp_path / "jobs")]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)["failed"]
    assert [each["voxel"] for each in found] == [[0, 0, 0]]
    assert "1 voxels have no job" in result.stderr
