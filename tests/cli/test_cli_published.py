"""`predict` with a published model: labelled as reduced wherever the maps are shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import make_field, prescribed

from surrogate3d.cli import main
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
