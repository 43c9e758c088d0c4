"""`predict` with a published model: labelled as reduced wherever the maps are shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import make_field, prescribed

from surrogate3d.cli import main
from surrogate3d.cli.show_model import trained
from surrogate3d.grid import DoseField, LetDefinition, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import write_field

TREATMENT = ["--cell-line", "HSG", "--fraction-dose", "2"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    full = prescribed(make_field(seed=5), 2.0)
    LET = Volume(full.grid, 0.0 * full.dose + 4.0, quantity("LET_d"))
    field = DoseField(
        grid=full.grid,
        volumes=VolumeSet(full.grid, {"dose_to_water": full.volumes["dose_to_water"], "LET_d": LET}),
        primary="H",
        let_definitions={"LET_d": LetDefinition("dose", "protons", "local medium", False, None, "made up")},
        prescription=full.prescription,
    )
    write_field(field, tmp_path / "plan.field.zarr")
    return tmp_path / "plan.field.zarr"


def test_the_answer_says_that_the_input_was_reduced(store: Path, tmp_path: Path, capfd: Any) -> None:
    command = ["predict", str(store), "--model", "wedenberg", *TREATMENT, "--format", "nrrd"]
    assert main([*command, "-o", str(tmp_path / "maps")]) == 0
    shown = capfd.readouterr()
    assert "REDUCED: wedenberg (Wedenberg et al. 2013" in shown.out
    (warning,) = shown.err.splitlines()
    assert warning.startswith("warning: wedenberg from dose and LET_d (reduced input, no spectra)")
    assert "local medium" in warning
    assert main([*command, "-o", str(tmp_path / "again"), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["inputs"] == "dose and LET_d (reduced input, no spectra)"
    assert (tmp_path / "again" / "D_RBE.nrrd").is_file()


def test_a_network_refuses_a_store_without_spectra(store: Path, tmp_path: Path, capfd: Any) -> None:
    assert main(["predict", str(store), "--model", "proton", *TREATMENT, "-o", str(tmp_path / "maps")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "published LET models" in line


def test_so_does_the_network_on_dose_and_LET(store: Path, tmp_path: Path, capfd: Any) -> None:
    command = ["predict", str(store), "--model", "let-only", "--accept-let", *TREATMENT, "-o", str(tmp_path / "maps")]
    assert main(command) == 0
    shown = capfd.readouterr()
    assert "REDUCED: network LET_d_without_axis (bundle " in shown.out
    warning = next(line for line in shown.err.splitlines() if line.startswith("warning: network LET_d_without_axis"))
    assert "from dose, LET_d (reduced input, no spectra): less sure than spectra; " in warning
    assert "accepted by the user" in warning
    assert (tmp_path / "maps" / "D_RBE.nii.gz").is_file()


def test_a_model_that_was_chosen_is_told_in_words_or_in_the_object(store: Path, tmp_path: Path, capfd: Any) -> None:
    command = ["predict", str(store), "--accept-let", *TREATMENT]
    assert main([*command, "-o", str(tmp_path / "maps")]) == 0
    why = "the store has dose and LET_d of a beam of H and no spectra: model let-only"
    assert capfd.readouterr().out.splitlines()[0] == why
    assert main([*command, "-o", str(tmp_path / "again"), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)  # one object and nothing else
    assert (found["chosen"], found["chosen_because"]) == ("let-only", why)


def test_a_loss_that_is_not_known_is_shown_as_such(capsys: Any) -> None:
    plans = [{"low": "a", "high": "b", "voxels": 3}]
    told = {"plans": plans, "cell_lines": ["HSG"], "calibration": {}, "seconds": 1.0, "output": "m", "bundle_id": "b"}
    trained({**told, "final_loss": [0.25, None]})
    shown = capsys.readouterr().out
    assert "0.250" in shown
    assert "not known" in shown
