"""`topas info` and `topas image` on the small real run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from surrogate3d.cli import topas_commands
from surrogate3d.errors import GeometryError

RUN = Path(__file__).parents[1] / "fixtures" / "topas"
COUNTER = Path(__file__).parents[2].parent / "shared" / "data" / "topas" / "tepc_carbon_350" / "ySpecfile.txt"

app = typer.Typer()
topas_commands.register(app)


@app.command()
def other() -> None:
    """Another command, so that the group keeps its name."""


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["topas", *map(str, arguments)], env={"COLUMNS": "200"})


def ask(*arguments: str | Path) -> dict[str, Any]:
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found = dict(json.loads(done.stdout))
    assert found["schema"] == f"surrogate3d.cli.topas-{arguments[0]}/1"
    return found


def test_info_describes_each_file() -> None:
    found = ask("info", RUN / "fixture_DoseToWater.bin", RUN / "fixture_Fluence_H.csv", RUN / "fixture_DoseDicom.dcm")
    assert [file["kind"] for file in found["files"]] == ["scorer", "scorer", "DICOM"]
    assert found["files"][1]["binning"]["logarithmic"] is True


def test_info_says_it_in_words() -> None:
    said = invoke("info", RUN / "fixture_Fluence_H.csv", RUN / "fixture_ProtonLETd.csv").stdout
    assert "64 logarithmic bins from 0.1 to 500 MeV" in said
    assert "OnlyIncludeParticlesOfAtomicNumber = 1" in said
    assert "underflow 1.94e-06, overflow 0 of the sum" in said
    assert "note: Total number of voxels/bins set to 0 due to this mismatch: 116" in said


def test_info_of_a_counter_and_a_phase_space() -> None:
    phase_space = COUNTER.parents[1] / "topas2numpy" / "binary-phasespace.header"
    if not COUNTER.is_file() or not phase_space.is_file():
        pytest.skip("the real files are not beside the repository")
    said = invoke("info", COUNTER, COUNTER.with_name("ydy.txt"), phase_space).stdout
    assert re.search(r"y_F +17\.516 \+- 0\.5623 keV/um", said)
    assert re.search(r"bytes a record +34", said)
    assert re.search(r"e- +4, 0\.0411577 to 0\.297634 MeV", said)
    assert "Position X (cm); Position Y (cm)" in said


def test_an_image_by_the_parameter_file(tmp_path: Path) -> None:
    arguments = ("image", RUN / "fixture_ProtonLETd.csv", "--parameters", RUN / "fixture.txt", "-o", tmp_path / "l.mha")
    found = ask(*arguments)
    assert (found["quantity"], found["unit"], found["n_nan"]) == ("LET_d", "keV/um", 116)
    assert (tmp_path / "l.mha").is_file()
    again = invoke(*arguments, "--overwrite").stdout
    assert "6 x 5 x 12 voxels of 4 x 4 x 4 mm" in again
    assert "centre at (-8, -8, -76) mm (LPS)" in again
    assert "116 voxels, of which 116 without denominator" in again


def test_an_image_by_origin_and_direction(tmp_path: Path) -> None:
    found = ask(
        "image",
        RUN / "fixture_Fluence_H.csv",
        *("--bins", "3:5", "--origin", "-1,2,3.5", "--direction", "0,0,1,1,0,0,0,1,0", "-o", tmp_path / "f.nii.gz"),
    )
    assert found["grid"]["origin_mm"] == [-1, 2, 3.5]
    # By rows; the columns are the axes, so i runs along y.
    assert found["grid"]["direction"] == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert found["bins"].startswith("3 to 4")


@pytest.mark.parametrize(("option", "text"), [("--origin", "1,2"), ("--origin", "a,b,c"), ("--direction", "1,0,0")])
def test_numbers_that_are_not_there_are_wrong_usage(tmp_path: Path, option: str, text: str) -> None:
    done = invoke("image", RUN / "fixture_DoseToWater.bin", option, text, "-o", tmp_path / "d.mha")
    assert done.exit_code == 2
    assert "separated by commas" in done.output


def test_a_position_is_not_guessed(tmp_path: Path) -> None:
    done = invoke("image", RUN / "fixture_DoseToWater.bin", "-o", tmp_path / "d.mha")
    assert isinstance(done.exception, GeometryError)
    assert not (tmp_path / "d.mha").exists()


@pytest.mark.parametrize("name", ["info", "image", "scorers"])
def test_every_command_of_the_group_has_an_example(name: str) -> None:
    done = invoke(name, "--help")
    assert done.exit_code == 0
    assert f"Example: surrogate3d topas {name}" in done.output
    assert "--json" in done.output
