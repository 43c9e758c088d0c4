"""Every command on one small real run, from the run folder to the judged model."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from documented import documented

from surrogate3d.cli import main
from surrogate3d.grid import Volume, quantity
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.io.images import write_image

Ask = Callable[..., dict[str, Any]]

ROOT = Path(__file__).parents[2]
RUN = ROOT / "tests" / "fixtures" / "topas"
TREATMENT = ("--cell-line", "HSG", "--fraction-dose", "2")


def test_info_tells_what_the_fixture_was_made_with(plan: Any, ask: Ask) -> None:
    """Numbers of tests/fixtures/README.md and of the parameter file."""
    found = ask("info", plan.field)
    assert found["grid"]["shape"] == [6, 5, 12]
    assert found["grid"]["spacing_mm"] == [4.0, 4.0, 4.0]
    assert found["histories"] == 4000
    assert found["axes"]["species"] == ["H"]
    assert len(found["axes"]["edges_mev_u"][0]) == 65
    assert found["provenance"]["runs"][0]["seed"] == 301
    assert 0.8 < found["consistency"]["median"] < 1.05  # most of the dose is in the spectra
    assert set(found) - {"schema"} == documented("info")


def test_a_prescription_scales_the_chosen_statistic(plan: Any, ask: Ask) -> None:
    assert ask("info", plan.field)["volumes"]["dose_to_water"]["maximum"] == pytest.approx(2.0, rel=1e-6)


def test_conversion_tells_what_it_left_out(tmp_path: Path, ask: Ask) -> None:
    found = ask("convert", RUN, "-o", tmp_path / "f.field.zarr", "--dose-scale", "1000")
    assert [file["name"] for file in found["conversion"]["files_not_read"]] == ["fixture_DoseDicom.dcm"]
    assert found["conversion"]["dose_scale"] == 1000
    keys = set(found) - {"schema", "output", "conversion"}
    assert keys | {"field"} == documented("info")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_a_mask_prescribes_as_the_box_of_the_same_voxels(plan: Any, tmp_path: Path, ask: Ask, suffix: str) -> None:
    grid = read_field(plan.field).grid
    inside = np.zeros(grid.shape, dtype=np.float32)
    inside[1:4, 1:3, 2:5] = 1
    write_image(Volume(grid, inside, quantity("mask")), tmp_path / f"target{suffix}")
    wish = ("--prescribe", "200 cGy", "--at", "mean")
    ask("convert", RUN, "-o", tmp_path / "mask.field.zarr", *wish, "--mask", tmp_path / f"target{suffix}")
    ask("convert", RUN, "-o", tmp_path / "box.field.zarr", *wish, "--box", "1:4,1:3,2:5")
    by_mask, by_box = (read_field(tmp_path / f"{name}.field.zarr").dose for name in ("mask", "box"))
    assert np.array_equal(by_mask, by_box)
    assert by_mask[1:4, 1:3, 2:5].mean() == pytest.approx(2.0, rel=1e-6)


def test_sample_writes_what_it_says(plan: Any, tmp_path: Path, ask: Ask) -> None:
    wish = ("--budget", "5", "--worst", "2", "--random", "3", "--seed", "7")
    found = ask("sample", plan.field, *wish, "-o", tmp_path / "s.json")
    written = json.loads((tmp_path / "s.json").read_text())
    assert [found[role] for role in ("chosen", "worst", "random")] == [5, 2, 3]
    assert len(written["plans"][0]["voxels"]) == 10
    assert written["seed"] == 7
    assert list(found["fields"]) == [field_id(plan.field)]
    assert set(found) - {"schema"} == documented("sample")


def test_simulating_again_costs_nothing_and_changes_nothing(plan: Any, ask: Ask) -> None:
    files = {path: path.read_bytes() for path in plan.ledger.iterdir()}
    wish = ("--ledger", plan.ledger, "--cell-line", "HSG", "--target-se", "0.1")
    found = ask("simulate", plan.selection, plan.field, *wish)
    assert {path: path.read_bytes() for path in plan.ledger.iterdir()} == files
    assert (found["voxels"], found["responses"]) == (9, 9)
    assert set(found) - {"schema"} == documented("simulate")


def test_a_role_confines_the_simulation(plan: Any, ask: Ask) -> None:
    wish = ("--ledger", plan.ledger, "--cell-line", "HSG", "--target-se", "0.1", "--role", "random")
    assert ask("simulate", plan.selection, plan.field, *wish)["voxels"] == 2


def test_train_describes_its_bundle(plan: Any, tmp_path: Path, ask: Ask) -> None:
    found = ask(*plan.train(tmp_path / "m.bundle"))
    assert found["bundle_id"] == json.loads(json.dumps(found["bundle_id"]))
    assert found["plans"] == [{"low": field_id(plan.field), "high": field_id(plan.field), "voxels": 6}]
    assert (found["members"], found["config"]["steps"]) == (1, 2)
    assert set(found) - {"schema"} == documented("train")


def test_predict_writes_maps_in_every_format(plan: Any, tmp_path: Path, ask: Ask) -> None:
    where = tmp_path / "maps"
    wish = ("--maps", "RBE_ref,D_RBE", "--format", "nifti,mha,zarr")
    found = ask("predict", plan.field, "--model", plan.bundle, "-o", where, *TREATMENT, *wish)
    names = {"RBE_ref.nii.gz", "D_RBE.nii.gz", "RBE_ref.mha", "D_RBE.mha", "maps.zarr", "maps.json"}
    assert {path.name for path in where.iterdir()} == names == set(found["files"])
    assert found["refused"] == {}
    assert set(found) - {"schema"} == documented("predict")


def test_predict_without_prescription_says_loudly_what_is_missing(
    plan: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(plan.unscaled), "--model", str(plan.bundle), "-o", str(tmp_path / "maps"), *TREATMENT]
    assert main(command) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "D_RBE" in line]
    assert len(said) == 1
    assert said[0].startswith("warning: ")
    assert not (tmp_path / "maps" / "D_RBE.nii.gz").exists()
    assert (tmp_path / "maps" / "RBE_ref.nii.gz").exists()


def test_validate_gives_the_table_and_keeps_it(plan: Any, tmp_path: Path, ask: Ask) -> None:
    reference = tmp_path / "reference.field.zarr"  # the same numbers as if from other files
    write_field(replace(read_field(plan.unscaled), provenance={}), reference)
    parties = (plan.field, "--reference", reference, "--model", plan.bundle)
    found = ask("validate", *parties, *TREATMENT, "--truth", "zr_table", "-o", tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text()) == found
    methods = {row["method"] for row in found["table"]["rows"]}
    assert {"surrogate", "zr_table", "zr_table, grouped pooling"} <= methods
    assert found["headline"]["zr_table"]["rms"] == pytest.approx(0, abs=1e-4)  # the truth itself, on the same spectra
    assert found["plan_was_trained_on"]
    assert not found["self_consistency"]
    assert set(found) - {"schema"} == documented("validate")


def test_validate_prints_regions_and_times_and_warns_without_reference(
    plan: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["validate", str(plan.field), "--model", str(plan.bundle), *TREATMENT]
    assert main([*command, "--voxels", "3", "--target-se", "0.1"]) == 0
    out, err = capsys.readouterr()
    assert "all: 3 voxels" in out
    assert re.search(r"truth \(gsm2_mc\) +[\d.e+]+ m?s", out)
    assert "self-consistency only" in err
    assert "temporary ledger" in err


def test_demo_ends_with_the_report_and_the_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ask: Ask
) -> None:
    def run_demo(output: Path, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
        progress("convert", 1, 1)
        numbers = {"rms": 1.25, "rms_net": float("nan")}
        answer = {"schema": "surrogate3d.demo/1", "headline": {"surrogate": numbers}, "seconds": {"total": 2.0}}
        return {**answer, "report": str(output / "report.html")}

    monkeypatch.setitem(sys.modules, "surrogate3d.pipeline.demo", SimpleNamespace(run_demo=run_demo))
    assert main(["demo", "-o", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"report: {tmp_path / 'report.html'}" in out
    assert "surrogate: RBE error 1.25 % rms\n" in out
    found = ask("demo", "-o", tmp_path)
    assert found["headline"]["surrogate"]["rms_net"] is None
    assert set(found) - {"schema"} <= documented("demo")


def test_doctor_knows_every_dependency(ask: Ask) -> None:
    found = ask("doctor")
    assert set(found) - {"schema"} == documented("doctor")
    assert {"numpy", "torch", "zarr", "typer"} <= set(found["dependencies"])
    assert "pytest" not in found["dependencies"]
    assert None not in found["dependencies"].values()
    assert {"HSG", "V79"} <= set(found["cell_lines"])
    assert found["disk_free_gb"] > 0


def test_for_people_every_reading_command_prints_text(plan: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(plan.field)]) == 0
    out = capsys.readouterr().out
    for words in ("6 x 5 x 12 voxels of 4 x 4 x 4 mm", "4,000", "keV/um", "consistency: the spectra explain", "301"):
        assert words in out
    assert main(["doctor"]) == 0
    assert "dependencies.torch" in capsys.readouterr().out
