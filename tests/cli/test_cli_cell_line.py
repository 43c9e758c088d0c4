"""`cell-line list`, `show` and `fit` from the command line."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from surrogate3d.cli import main
from surrogate3d.physics.cell_line import cell_line

DOSES = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0)


def survival(folder: Path, alpha: float = 0.3) -> Path:
    rows = [f"{dose},{math.exp(-alpha * dose - 0.05 * dose**2)!r}" for dose in DOSES]
    (folder / "survival.csv").write_text("\n".join(["dose_gy,survival", *rows]) + "\n")
    return folder / "survival.csv"


def test_a_line_is_fitted_written_and_shown(tmp_path: Path, capfd: Any) -> None:
    output = tmp_path / "mine.toml"
    assert main(["cell-line", "fit", str(survival(tmp_path)), "-o", str(output), "--name", "mine"]) == 0
    said = capfd.readouterr()
    assert "alpha_x: 0.3 1/Gy" in said.out
    assert "nothing to fit" in " ".join(said.out.replace("│", " ").split())
    assert f"written: {output}" in said.out.replace("\n", "")
    assert "warning: no standard errors in the file" in said.err
    assert cell_line(output).alpha_x == pytest.approx(0.3)
    assert main(["cell-line", "show", str(output)]) == 0
    assert "mine: not stated; not stated" in capfd.readouterr().out


def test_the_answers_are_one_json_object_each(tmp_path: Path, capfd: Any) -> None:
    command = [
        "cell-line",
        "fit",
        str(survival(tmp_path)),
        "-o",
        str(tmp_path / "mine.toml"),
        "--name",
        "mine",
        "--json",
    ]
    assert main(command) == 0
    data = json.loads(capfd.readouterr().out)
    assert data["schema"] == "surrogate3d.cli.cell-line-fit/1"
    assert data["photon"]["goodness"]["chi2"] is None  # errors are unknown
    assert {model["model"]: model["calibrated"] for model in data["models"]}["gsm2"] is True
    assert main(["cell-line", "list", "--json"]) == 0
    assert [line["name"] for line in json.loads(capfd.readouterr().out)["cell_lines"]] == ["HSG", "V79", "chordoma"]
    assert main(["cell-line", "show", "HSG", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["models"]["mkm"]["r_d"] == 0.32


def test_a_line_that_cannot_be_calibrated_is_reported_and_not_written(tmp_path: Path, capfd: Any) -> None:
    command = ["cell-line", "fit", str(survival(tmp_path, 0.02)), "-o", str(tmp_path / "mine.toml"), "--name", "mine"]
    assert main([*command, "--json"]) == 1
    said = capfd.readouterr()
    assert json.loads(said.out)["output"] is None
    assert said.err.splitlines()[-1].startswith(
        "error: nothing written, as a cell line needs GSM2: GSM2 cannot reproduce"
    )
    assert not (tmp_path / "mine.toml").exists()


def test_lists_and_lines_are_shown_in_words(capfd: Any) -> None:
    assert main(["cell-line", "list"]) == 0
    assert "chordoma" in capfd.readouterr().out
    assert main(["cell-line", "show", "chordoma"]) == 0
    said = capfd.readouterr().out
    assert "lem: alpha_x 0.1, beta_x 0.05, D_t 30, r_n 5" in said
    assert "not mkm: cell line chordoma has no [mkm] parameters" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "HGS"), "error: unknown cell line 'HGS'"),
        (("fit", "nowhere.csv", "-o", "mine.toml", "--name", "mine"), "error: no file at nowhere.csv"),
        (("fit", "nowhere.csv", "-o", "mine.toml", "--name", "HSG"), "error: HSG is a shipped cell line"),
    ],
)
def test_a_refusal_is_one_line(
    arguments: tuple[str, ...], words: str, capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["cell-line", *arguments]) == 1
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith(words)
