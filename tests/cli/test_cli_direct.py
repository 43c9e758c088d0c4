"""`direct`, and the conditions of cells that it shares with `simulate`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documented import documented

from surrogate3d.cli import main
from surrogate3d.grid import Beam, Quantity, Volume, quantity
from surrogate3d.io.field_store import read_field, write_field
from surrogate3d.io.images import read_image, write_image

Ask = Callable[..., dict[str, Any]]
HOW = ("--cell-line", "HSG", "--fraction-dose", "2", "--min-dose", "0.9")
TABLE = "ion,energy_mev_u,alpha,beta\nH,0.01,0.5,0.05\nH,1000,0.5,0.05\nHe,0.01,0.5,0.05\nHe,1000,0.5,0.05\n"


def keys(found: dict[str, Any]) -> set[str]:
    return set(found) - {"schema"}


def test_new_commands_print_the_keys_that_are_documented(plan: Any, tmp_path: Path, ask: Ask) -> None:
    maps = ask("direct", plan.field, "--backend", "zr_table", *HOW, "-o", tmp_path / "maps")
    assert keys(maps) == documented("direct")
    assert keys(ask("nano", plan.field, "-o", tmp_path / "nano")) == documented("nano")
    jobs = ask("topas", "jobs", plan.selection, plan.field, "-o", tmp_path / "jobs", "--role", "worst")
    assert keys(jobs) == documented("topas jobs")
    assert keys(ask("cell-line", "list")) == documented("cell-line list")
    assert keys(ask("cell-line", "show", "HSG")) == documented("cell-line show")


def test_a_fit_prints_the_keys_that_are_documented(tmp_path: Path, ask: Ask) -> None:
    S = {dose: np.exp(-0.3 * dose - 0.05 * dose**2) for dose in (0, 1, 2, 3, 4, 6)}
    rows = [f"{dose},{survival:.6f},{0.02 * survival:.6f}" for dose, survival in S.items()]
    (tmp_path / "survival.csv").write_text("\n".join(["dose_gy,survival,survival_se", *rows]) + "\n")
    said = ("--name", "mine", "-o", tmp_path / "mine.toml")
    assert keys(ask("cell-line", "fit", tmp_path / "survival.csv", *said)) == documented("cell-line fit")


def test_a_table_of_ones_own_gives_its_alpha_everywhere(plan: Any, tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "flat.csv").write_text(TABLE)
    found = ask("direct", plan.field, "--backend", tmp_path / "flat.csv", *HOW, "-o", tmp_path / "maps")
    assert found["backend"]["name"] == "table:flat"
    assert found["ranges"]["alpha"] == pytest.approx({"minimum": 0.5, "median": 0.5, "maximum": 0.5})


def test_an_oxygen_map_is_followed_and_its_unit_is_said(
    plan: Any, tmp_path: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    field = read_field(plan.field)
    oxygen = np.full(field.grid.shape, 160.0, dtype=np.float32)
    oxygen[field.grid.shape[0] // 2 :] = 0.5
    write_image(Volume(field.grid, oxygen, Quantity("pO2", "p", "mmHg", "oxygen")), tmp_path / "pO2.nii.gz")
    asked = ("--backend", "gsm2_fft", *HOW)
    air = ask("direct", plan.field, *asked, "-o", tmp_path / "air")
    capsys.readouterr()
    hypoxic = ask("direct", plan.field, *asked, "-o", tmp_path / "maps", "--oxygen", tmp_path / "pO2.nii.gz")
    assert "mmHg, not per cent" in hypoxic["oxygen"]
    assert air["oxygen"] is None
    alpha = {name: read_image(tmp_path / name / "alpha.nii.gz", quantity("alpha")).values for name in ("air", "maps")}
    ratio = alpha["maps"] / alpha["air"]
    np.testing.assert_allclose(ratio[oxygen > 100][np.isfinite(ratio[oxygen > 100])], 1.0)
    low = ratio[oxygen < 1]
    assert (low[np.isfinite(low)] < 0.6).all()  # 1 / OER at 0.5 mmHg and low LET is 1 / 2.5


def test_times_of_delivery_come_from_the_store(plan: Any, tmp_path: Path, ask: Ask, refuse: Callable[..., str]) -> None:
    asked = ("--backend", "zr_table", *HOW)
    assert "state the times of delivery" in refuse(
        "simulate", plan.selection, plan.field, "--ledger", tmp_path / "l", "--cell-line", "HSG", "--in-time"
    )
    slow = replace(read_field(plan.field), beams=(Beam(name="only", start_s=0.0, duration_s=7200.0),))
    write_field(slow, tmp_path / "slow.field.zarr")
    acute = ask("direct", plan.field, *asked, "-o", tmp_path / "acute")
    late = ask("direct", tmp_path / "slow.field.zarr", *asked, "-o", tmp_path / "late", "--in-time")
    assert late["ranges"]["beta"]["median"] < 0.5 * acute["ranges"]["beta"]["median"]
    assert late["ranges"]["alpha"]["median"] == pytest.approx(acute["ranges"]["alpha"]["median"], rel=1e-4)


def test_voxels_without_an_answer_are_counted_with_their_reason(
    plan: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    field = read_field(plan.field)
    oxygen = np.full(field.grid.shape, 30.0, dtype=np.float32)
    oxygen[np.unravel_index(np.argmax(field.dose), field.dose.shape)] = np.nan
    write_image(Volume(field.grid, oxygen, Quantity("pO2", "p", "mmHg", "oxygen")), tmp_path / "pO2.mha")
    command = ["direct", str(plan.field), *HOW, "-o", str(tmp_path / "maps"), "--oxygen", str(tmp_path / "pO2.mha")]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["voxels_failed"] == 1
    assert "1 voxels have no answer; the first: voxel" in err


def test_settings_of_another_back_end_are_refused(plan: Any, tmp_path: Path, refuse: Callable[..., str]) -> None:
    asked = ("direct", plan.field, *HOW, "-o", tmp_path / "maps")
    assert "a setting of gsm2_mc, not of smk" in refuse(*asked, "--backend", "smk", "--nucleus-spread", "0.1")
    assert "settings of topas_job, not of gsm2_fft" in refuse(*asked, "--jobs", tmp_path)
    assert "needs --jobs DIR" in refuse(*asked, "--backend", "topas_job")
    assert "nor a file; known: gsm2_mc" in refuse(*asked, "--backend", "gsm3")
    assert not (tmp_path / "maps").exists()
