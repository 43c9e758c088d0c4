"""`nano` as a user types it."""

import json

import pytest
import typer
from synthetic import make_field
from typer.testing import CliRunner

from surrogate3d.cli import nano_command
from surrogate3d.errors import ValueRangeError
from surrogate3d.io.field_store import write_field


@pytest.fixture
def ask(tmp_path):
    """Runs the command alone on a small field, with another beside it as in the real application."""
    write_field(make_field(), tmp_path / "plan.field.zarr")
    app = typer.Typer()
    nano_command.register(app)
    app.command("other")(lambda: None)

    def run(*arguments):
        command = ["nano", str(tmp_path / "plan.field.zarr"), *map(str, arguments)]
        return CliRunner().invoke(app, command, env={"COLUMNS": "200"})

    return run


def test_maps_are_written_and_explained(tmp_path, ask):
    answer = ask("-o", tmp_path / "maps", "--site-nm", "5", "--format", "nifti,nrrd")
    assert answer.exit_code == 0, answer.output
    assert "sphere of 5 nm diameter" in answer.output
    assert "by energy deposit" in answer.output
    assert (tmp_path / "maps" / "M1.nii.gz").is_file()
    assert (tmp_path / "maps" / "complex_DSB_yield.nrrd").is_file()


def test_the_json_answer_names_the_definition(tmp_path, ask):
    answer = ask("-o", tmp_path / "maps", "--convention", "central", "--at-bins", "--json")
    found = json.loads(answer.stdout)
    assert found["schema"] == "surrogate3d.cli.nano/1"
    assert set(found) == {"schema", "field", "field_id", "definition", "irradiated", "output", "files"}
    assert found["definition"]["site_nm"] == 2.0
    assert found["definition"]["convention"] == "central"
    assert found["definition"]["along_steps"] is False
    assert set(found["irradiated"]) >= {"M1", "F1", "F2", "F3", "DSB_site_yield"}


def test_an_unknown_diameter_is_refused(tmp_path, ask):
    answer = ask("-o", tmp_path / "maps", "--site-nm", "3")
    assert isinstance(answer.exception, ValueRangeError)
    assert "2, 5, 10 nm" in str(answer.exception)
    assert not (tmp_path / "maps").exists()
