"""`export` from the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_export_writes_a_monai_bundle_and_says_what_is_in_it(
    plan: Any, ask: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("monai", reason="monai is not installed (the extra `export`)")
    found = ask("export", plan.bundle, "-o", tmp_path / "bundle", "--format", "monai")
    assert found["format"] == "monai"
    assert found["output"] == str(tmp_path / "bundle")
    assert {"models/model.pt", "configs/metadata.json"} <= set(found["files"])
    assert all((tmp_path / "bundle" / name).is_file() for name in found["files"])
    again = ask("export", plan.bundle, "-o", tmp_path / "bundle", "--format", "monai", "--overwrite")
    assert again == found


def test_export_refuses_what_it_cannot_do(plan: Any, refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "exists already" in refuse("export", plan.bundle, "-o", tmp_path)
    assert "dose and LET" in refuse("export", "let-only", "-o", tmp_path / "out")
    assert "'tensorrt'" in refuse("export", plan.bundle, "-o", tmp_path / "out", "--format", "tensorrt", code=2)
    assert not (tmp_path / "out").exists()
