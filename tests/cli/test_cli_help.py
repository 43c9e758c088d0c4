"""Help that answers at once, examples that work, and documents that name real options."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import surrogate3d
from surrogate3d.cli import console
from surrogate3d.cli.entry import app
from surrogate3d.pipeline.models import resolve, shipped

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *("convert", "info", "let", "nano", "combine", "resample", "crop"),
    *("sample", "simulate", "direct", "active", "train", "predict", "export"),
    *("validate", "compare", "view", "figures", "handover", "demo", "doctor"),
    *("topas info", "topas image", "topas scorers", "topas jobs"),
    *("dicom info", "dicom masks", "dicom image", "dicom write"),
    *("cell-line list", "cell-line show", "cell-line fit", "cell-line table"),
    *("invitro import", "invitro train"),
    *("response simulate", "response train", "response predict", "response report"),
)


def options_of(command: Any, words: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Options by command; those of a group have two words."""
    if not hasattr(command, "commands"):
        return {" ".join(words): {option for parameter in command.params for option in parameter.opts}}
    found: dict[str, set[str]] = {}
    for name, inner in command.commands.items():
        found |= options_of(inner, (*words, name))
    return found


OPTIONS = options_of(typer.main.get_command(app))
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}


def used(line: str) -> tuple[str, set[str]]:
    """Command and options of a command line."""
    words = shlex.split(line)
    command = " ".join(words[1:3]) if words[1] in GROUPS else words[1]
    return command, {word for word in words if re.match(r"-{1,2}[a-z]", word)}


def test_the_commands_are_these() -> None:
    assert tuple(OPTIONS) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example_of_its_own_options(name: str) -> None:
    answer = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0
    found = re.search(r"Example: (surrogate3d .*)", answer.output, re.DOTALL)
    assert found
    command, options = used(" ".join(found[1].split()))
    assert command == name
    assert options <= OPTIONS[name]
    assert "--json" in OPTIONS[name]


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_a_group_alone_lists_its_commands(name: str) -> None:
    shown = CliRunner().invoke(app, [name], env={"COLUMNS": "200"}).output
    assert all(command.split()[1] in shown for command in COMMANDS if command.startswith(f"{name} "))


def test_every_command_is_documented() -> None:
    documented = re.findall(r"^## `([a-z]+(?:[ -][a-z]+)*)`", (ROOT / "docs" / "cli-json.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(COMMANDS)
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in COMMANDS)


def test_units_survive_the_markup() -> None:
    answer = CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": "200"}).output
    assert "alpha (1/Gy)" in answer
    assert "in Gy" in answer


@pytest.mark.parametrize("document", ["README.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))])
def test_documents_name_real_commands_and_options(document: str) -> None:
    text = (ROOT / document).read_text().replace("\\\n", " ")
    for line in re.findall(r"^surrogate3d [a-z].*$", text, re.MULTILINE):
        command, options = used(line)
        assert command in OPTIONS, line
        assert options <= OPTIONS[command], line


def test_version() -> None:
    answer = CliRunner().invoke(app, ["--version"])
    assert answer.output == f"surrogate3d {surrogate3d.__version__}\n"


def test_the_installed_command_starts_without_the_heavy_libraries() -> None:
    code = "import sys, surrogate3d.cli; print([m for m in ('numpy', 'torch', 'numba', 'zarr') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    script = Path(sys.executable).with_name("surrogate3d")
    if script.is_file():
        alone = subprocess.run([script], capture_output=True, text=True, check=True)
        assert all(name.split()[0] in alone.stdout for name in COMMANDS)


def test_numbers_that_are_not_finite_become_null() -> None:
    import numpy as np

    data = {"a": float("nan"), "b": (1, float("inf")), "c": np.array([1.5, np.nan]), "d": Path("x"), "e": np.float32(2)}
    assert console.plain(data) == {"a": None, "b": [1, None], "c": [1.5, None], "d": "x", "e": 2.0}


def test_shipped_models_resolve_to_bundles_and_paths_to_themselves(tmp_path: Path) -> None:
    assert resolve(tmp_path) == tmp_path
    assert all((resolve(name) / "manifest.json").is_file() for name in shipped())
