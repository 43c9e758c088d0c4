"""`active` from the command line: one answer, its rounds on stderr, and refusals in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from documented import documented, documented_inside

from surrogate3d.cli import main, show_active

Ask = Callable[..., dict[str, Any]]


def command(plan: Any, folder: Path, *more: str) -> list[str]:
    loop = ["--budget", "6", "--batch", "4", "--worst", "8", "--random", "8", "--backend", "zr_table"]
    where = ["--state", str(folder / "loop"), "-o", str(folder / "model.bundle"), "--config", str(plan.config)]
    return ["active", "--low", str(plan.field), "--high", str(plan.field), "--cell-line", "HSG", *loop, *where, *more]


def test_it_answers_with_every_round_and_can_be_asked_again(plan: Any, tmp_path: Path, ask: Ask) -> None:
    found = ask(*command(plan, tmp_path, "--cube-mm", "4"))
    assert [each["labels"] for each in found["rounds"]] == [4, 6]
    assert (found["reason"], found["met"], found["failed"]) == ("budget", False, [])
    assert set(found) - {"schema"} == documented("active")
    for each in found["rounds"]:
        assert set(each) == documented_inside("active", "rounds")
    again = ask(*command(plan, tmp_path, "--cube-mm", "4"))
    assert again["rounds"] == found["rounds"]
    assert again["bundle_id"] == found["bundle_id"]


def test_people_read_a_table_and_a_warning(plan: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(plan, tmp_path, "--cube-mm", "4")) == 0
    out, err = capsys.readouterr()
    assert "the budget of voxels is spent; target 1 %" in out
    assert err.count("round ") >= 2
    assert "round 1: 4 labels, NRMSE " in err
    assert "warning: the target is not met: the budget of voxels is spent" in err


def test_failed_voxels_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    failure = {"voxel": (1, 2, 3), "field_id": "f" * 64, "cell_line": "HSG", "reason": "no fluence"}
    show_active.warnings({"met": True, "failed": [failure]})
    expected = "1 simulations failed and were left out, the first in voxel (1, 2, 3) of field ffffffffffff: no fluence"
    assert expected in capsys.readouterr().err


def test_labels_that_brought_nothing_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*errors: float | None) -> str:
        rounds = [{"round": n + 1, "labels": 50 * (n + 1), "error": error} for n, error in enumerate(errors)]
        show_active.warnings({"met": False, "reason": "budget", "failed": [], "rounds": rounds})
        return str(capsys.readouterr().err)

    said = "the error has hardly fallen since round 2 (100 labels, 1.5 %): more labels will not help"
    assert said in told(0.03, 0.015, 0.0152, 0.0147)
    assert "hardly fallen" not in told(0.03, 0.02, 0.015)
    assert "hardly fallen" not in told(0.03)
    assert "hardly fallen" not in told(None, 0.03, 0.03)


def test_refusals_are_one_line(plan: Any, tmp_path: Path, refuse: Callable[..., str]) -> None:
    assert "target NRMSE in (0, 1)" in refuse(*command(plan, tmp_path, "--target-nrmse", "0"))
    assert "--low and --high go in pairs" in refuse(*command(plan, tmp_path, "--low", str(plan.field)), code=2)
    assert "ask for fewer" in refuse(*command(plan, tmp_path, "--random", "100000"))
    (tmp_path / "model.bundle").mkdir()
    assert "exists already" in refuse(*command(plan, tmp_path))
