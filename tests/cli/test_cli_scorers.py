"""`topas scorers` as a user types it."""

import json

import pytest
import typer
from typer.testing import CliRunner

from surrogate3d.cli import scorers_command
from surrogate3d.errors import QuantityError, ValueRangeError

PLAN = """\
s:Ge/Grid/Type = "TsBox"
s:Ge/Grid/Parent = "World"
d:Ge/Grid/HLX = 5 mm
d:Ge/Grid/HLY = 5 mm
d:Ge/Grid/HLZ = 5 mm
i:Ge/Grid/XBins = 4
i:Ge/Grid/YBins = 4
i:Ge/Grid/ZBins = 4
i:Ts/NumberOfThreads = 2
"""


@pytest.fixture
def ask():
    """Runs the command alone, with others beside it as in the real application."""
    app = typer.Typer()
    scorers_command.register(app)
    app.command("other")(lambda: None)

    def run(*arguments):
        return CliRunner().invoke(app, ["scorers", *map(str, arguments)], env={"COLUMNS": "200"})

    return run


def test_the_block_is_written_and_explained(tmp_path, ask):
    (tmp_path / "plan.txt").write_text(PLAN)
    out = tmp_path / "scorers.txt"
    answer = ask(
        "-o", out, "--component", "Grid", "--beam", "carbon", "--plan", tmp_path / "plan.txt", "--prefix", "c_"
    )

    assert answer.exit_code == 0
    assert "10 scorers, 64 energy bins" in answer.output
    assert "d:Ge/Grid/MaxStepSize = 0.05 mm" in answer.output
    assert "estimate" in answer.output
    assert 's:Sc/c_Fluence_C/Component = "Grid"' in out.read_text()


def test_json_says_what_was_chosen(tmp_path, ask):
    grid = ("--component", "Grid", "--shape", "20,20,64")
    answer = ask("-o", tmp_path / "s.txt", *grid, "--beam", "proton", "--count", "--isotopes", "--json")
    data = json.loads(answer.stdout)

    assert data["schema"] == "surrogate3d.cli.topas-scorers/1"
    assert data["shape"] == [20, 20, 64]
    assert data["bins"] == 64
    assert data["count"] is True
    assert data["scorers"][-4:] == ["Fluence_proton", "Fluence_deuteron", "Fluence_triton", "Fluence_He"]
    # 2 copies of 8 bytes: dose 4, medium 1, two ratios of 2, and 4 x 67 sums and counts
    assert data["memory_gb"] == pytest.approx(2 * 8e-9 * 20 * 20 * 64 * (9 + 2 * 4 * 67))
    assert data["step_limit_mm"] is None
    assert data["warnings"] == []


def test_less_than_asked_for_is_a_warning(tmp_path, ask):
    answer = ask(
        "-o", tmp_path / "s.txt", "--component", "Grid", "--shape", "100,100,100", "--beam", "proton", "--memory", "1"
    )

    assert answer.exit_code == 0
    # 1 GB / (2 copies x 8 MB) = 62.5 values a voxel; less 9, shared by 2 species, less 3 bins beside
    assert "warning: only 23 of 64 energy bins fit" in answer.output


def test_wrong_shapes_and_missing_grids_are_refused(tmp_path, ask):
    out = ("-o", tmp_path / "s.txt", "--component", "Grid", "--beam", "proton")
    for shape in ("20,20", "20,20,x", "20x20x64"):
        answer = ask(*out, "--shape", shape)
        assert answer.exit_code == 2
        assert "three whole numbers" in answer.output
    assert isinstance(ask(*out).exception, QuantityError)
    assert isinstance(ask(*out, "--shape", "512,512,512").exception, ValueRangeError)
    assert not (tmp_path / "s.txt").exists()


def test_help_explains_itself_with_an_example(ask):
    answer = ask("--help")
    assert "Example: surrogate3d topas scorers -o scorers.txt" in answer.output
    assert "1/mm^2" in answer.output
