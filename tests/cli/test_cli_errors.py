"""Wrong input, end to end: one line, an exit code, and no output left."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surrogate3d.pipeline.conversion
from surrogate3d.cli import main
from surrogate3d.errors import StoreError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.images import write_image

Refuse = Callable[..., str]

RUN = Path(__file__).parents[1] / "fixtures" / "topas"
TREATMENT = ("--cell-line", "HSG", "--fraction-dose", "2")


def test_a_missing_run_folder(tmp_path: Path, refuse: Refuse) -> None:
    assert "no-such-run" in refuse("convert", tmp_path / "no-such-run", "-o", tmp_path / "f.field.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file(tmp_path: Path, refuse: Refuse) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    values = tmp_path / "run" / "fixture_DoseToWater.bin"
    values.write_bytes(values.read_bytes()[:-8])
    assert values.name in refuse("convert", tmp_path / "run", "-o", tmp_path / "f.field.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_output_that_exists(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    out = tmp_path / "out"
    assert "exists" in refuse("convert", RUN, "-o", out)
    assert "exists" in refuse("sample", plan.field, "--budget", "3", "-o", out)
    assert "exists" in refuse(*plan.train(out))
    assert "exists" in refuse("predict", plan.field, "--model", plan.bundle, "-o", out, *TREATMENT)
    assert "exists" in refuse("validate", plan.field, "--model", plan.bundle, "-o", out, *TREATMENT)
    assert "not replaced" in refuse(*plan.train(out), "--overwrite")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_an_unknown_cell_line_back_end_and_truth(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    design = ("simulate", plan.selection, plan.field, "--ledger", tmp_path / "ledger")
    assert "HSG" in refuse(*design, "--cell-line", "HeLa")
    assert "gsm2_fft" in refuse(*design, "--cell-line", "HSG", "--backend", "gsm3")
    judge = ("validate", plan.field, "--model", plan.bundle, "--fraction-dose", "2")
    assert "HSG" in refuse(*judge, "--cell-line", "HeLa")
    assert "zr_table" in refuse(*judge, "--cell-line", "HSG", "--truth", "guess")


def test_a_foreign_bundle_and_an_unknown_model(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "weights.pt").write_bytes(b"\x80\x04")
    rest = ("-o", tmp_path / "maps", *TREATMENT)
    assert "not a usable model bundle" in refuse("predict", plan.field, "--model", tmp_path / "foreign", *rest)
    assert "not a usable model bundle" in refuse("predict", plan.field, "--model", plan.field, *rest)
    assert "shipped" in refuse("predict", plan.field, "--model", "no-such-model", *rest)
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_dose_weighted_maps_without_prescription(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    command = ("predict", plan.unscaled, "--model", plan.bundle, "-o", tmp_path / "maps", *TREATMENT)
    assert "--prescribe" in refuse(*command, "--maps", "D_RBE")
    assert list(tmp_path.iterdir()) == []


def test_fractions_that_contradict_the_prescription(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    command = ("predict", plan.field, "--model", plan.bundle, "-o", tmp_path / "maps", *TREATMENT)
    assert "3 x 2 Gy is 6 Gy" in refuse(*command, "--fractions", "3")
    judge = ("validate", plan.field, "--model", plan.bundle, *TREATMENT, "--report", tmp_path / "r.html")
    assert "3 x 2 Gy is 6 Gy" in refuse(*judge, "--fractions", "3")
    assert list(tmp_path.iterdir()) == []


def test_a_selection_of_other_fields_or_of_another_kind(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    rest = ("--ledger", tmp_path / "ledger", "--cell-line", "HSG")
    assert "was not given" in refuse("simulate", plan.selection, plan.unscaled, *rest)
    assert "no selection" in refuse("simulate", tmp_path / "none.json", plan.field, *rest)
    for number, text in enumerate(("{", "[]", '{"schema": "other"}')):
        (tmp_path / f"{number}.json").write_text(text)
        assert "selection" in refuse("simulate", tmp_path / f"{number}.json", plan.field, *rest)
    command = [str(plan.unscaled) if part == str(plan.field) else part for part in plan.train(tmp_path / "m")]
    assert "no chosen voxel" in refuse(*command)


def test_training_before_simulating(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    command = [*plan.train(tmp_path / "m.bundle"), "--sim-seed", "5"]
    assert "surrogate3d simulate" in refuse(*command)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_with_a_slip(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "train.toml").write_text("step = 3\n")
    assert "'steps'" in refuse(*plan.train(tmp_path / "m.bundle"), "--config", tmp_path / "train.toml")


def test_a_mask_on_another_grid(tmp_path: Path, refuse: Refuse) -> None:
    grid = Grid((6, 5, 12), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    write_image(Volume(grid, np.ones(grid.shape, dtype=np.float32), quantity("mask")), tmp_path / "m.mha")
    command = ("convert", RUN, "-o", tmp_path / "f.field.zarr", "--prescribe", "2 Gy", "--mask", tmp_path / "m.mha")
    assert "mask m.mha" in refuse(*command)
    assert [path.name for path in tmp_path.iterdir()] == ["m.mha"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--prescribe", "2"), "unit"),
        (("--prescribe", "2 Gy (RBE)"), "unit"),
        (("--prescribe", "2 Gy", "--box", "1:2,1:2"), "i0:i1,j0:j1,k0:k1"),
        (("--prescribe", "2 Gy", "--box", "0:1,0:1,0:1", "--mask", "m.mha"), "exclude"),
        (("--at", "p50"), "--prescribe"),
        (("--row-order", "sideways"), "x_fastest"),
        (("--no-such-option",), "--no-such-option"),
    ],
)
def test_wrong_usage_of_convert_exits_with_2(
    tmp_path: Path, refuse: Refuse, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refuse("convert", RUN, "-o", tmp_path / "f.field.zarr", *arguments, code=2)
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_elsewhere_exits_with_2(plan: Any, tmp_path: Path, refuse: Refuse) -> None:
    assert "FIELD" in refuse("info", code=2)
    assert "bogus" in refuse("bogus", code=2)
    assert "pairs" in refuse(*plan.train(tmp_path / "m"), "--low", plan.unscaled, code=2)


def wrapped(cause: BaseException) -> SystemError:
    """What compiled code makes of an interrupt."""
    error = SystemError("returned a result with an exception set")
    error.__cause__ = SystemError()
    error.__cause__.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (wrapped(KeyboardInterrupt()), "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "plan"), "disk full: plan; free space"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "plan"), "No such file or directory: plan"),
        (StoreError("first\nsecond"), "first second"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_happens_on_the_way_is_one_line(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, error: BaseException, words: str
) -> None:
    def fail(path: Path, check: bool) -> None:
        raise error

    monkeypatch.setattr(surrogate3d.pipeline.conversion, "info", fail)
    assert words in refuse("info", "plan")


def test_a_fault_of_the_engine_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, check: bool) -> None:
        raise SystemError("not by Ctrl-C")

    monkeypatch.setattr(surrogate3d.pipeline.conversion, "info", fail)
    with pytest.raises(SystemError):
        main(["info", "plan"])


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError):
        main(["--debug", "info", "no-such-store"])
    monkeypatch.setenv("SURROGATE3D_DEBUG", "1")
    with pytest.raises(StoreError):
        main(["info", "no-such-store"])


def test_doses_that_were_never_simulated(
    plan: Any, tmp_path: Path, refuse: Refuse, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("--model", plan.bundle, "--cell-line", "HSG")
    for dose in ("20", "0.1"):
        said = refuse("predict", plan.unscaled, *line, "--fraction-dose", dose, "-o", tmp_path / "maps")
        assert "simulated from 0.25 to 6 Gy" in said
        assert "0.25 to 6 Gy" in refuse(
            "validate", plan.unscaled, *line, "--fraction-dose", dose, "--truth", "zr_table"
        )
    hot = tmp_path / "hot.field.zarr"
    assert main(["convert", str(RUN), "-o", str(hot), "--prescribe", "6.5 Gy"]) == 0
    capsys.readouterr()
    said = refuse("predict", hot, *line, "--fraction-dose", "6.5", "-o", tmp_path / "maps")
    assert "6 Gy" in said
    assert not (tmp_path / "maps").exists()


def test_a_reference_with_the_same_histories(plan: Any, refuse: Refuse) -> None:
    judge = ("validate", plan.field, "--model", plan.bundle, *TREATMENT, "--truth", "zr_table")
    assert "own histories" in refuse(*judge, "--reference", plan.unscaled)


def test_spectra_in_other_voxels_than_the_dose(tmp_path: Path, refuse: Refuse) -> None:
    """Without an indexed file beside it, an energy-binned CSV read in the wrong order puts fluence where no dose is."""
    shutil.copytree(RUN, tmp_path / "run")
    for name in ("DoseToMedium", "ProtonLETd", "ProtonLETt"):
        (tmp_path / "run" / f"fixture_{name}.csv").unlink()
    for path in (tmp_path / "run").iterdir():
        if path.suffix in (".csv", ".binheader"):
            path.write_text(path.read_text().replace("# TOPAS Version: 4.2.p1", "# TOPAS Version: 4.0"))
    out = tmp_path / "f.field.zarr"
    assert "row order" in refuse("convert", tmp_path / "run", "-o", out)
    assert "explain" in refuse("convert", tmp_path / "run", "-o", out, "--row-order", "z_fastest")
    assert not out.exists()
    assert main(["convert", str(tmp_path / "run"), "-o", str(out), "--row-order", "x_fastest"]) == 0


def test_a_prescription_outside_the_target_is_remarked_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = ["--prescribe", "2 Gy", "--at", "p50", "--box", "0:6,0:5,0:12"]
    assert main(["convert", str(RUN), "-o", str(tmp_path / "f.field.zarr"), *box]) == 0
    said = capsys.readouterr()
    assert "times the prescribed one" in said.out + said.err
    assert "not all inside the target" in said.out + said.err
