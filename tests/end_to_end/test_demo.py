"""The demo on its real runs, in a size that only shows that every step is connected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from surrogate3d.errors import StoreError
from surrogate3d.io.field_store import read_field
from surrogate3d.pipeline.demo import SCHEMA, DemoSettings, run_demo

SMALL = DemoSettings(budget=24, steps=12, validation_voxels=16)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    output = tmp_path_factory.mktemp("demo") / "demo-output"
    steps: list[str] = []
    summary = run_demo(output, lambda step, done, total: steps.append(step), SMALL)
    return output, summary, steps


def test_every_step_is_taken_and_timed(demo: tuple[Path, dict[str, Any], list[str]]) -> None:
    _, summary, steps = demo
    order = ["convert", "sample", "simulate", "train", "predict", "validate", "report"]
    assert list(dict.fromkeys(steps)) == order
    assert [name for name in summary["seconds"] if name != "total"] == order


def test_the_summary_holds_every_headline_number(demo: tuple[Path, dict[str, Any], list[str]]) -> None:
    output, _, _ = demo
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    assert summary["schema"] == SCHEMA
    for truth in ("headline", "whole_volume"):
        for method in ("surrogate", "zr_table", "zr_table, grouped pooling"):
            assert 0 < summary[truth][method]["rms"] < 20
    assert summary["headline"]["surrogate"]["n"] == SMALL.validation_voxels


def test_the_prescription_holds_and_the_maps_agree_with_the_dose(demo: tuple[Path, dict[str, Any], list[str]]) -> None:
    output, _, _ = demo
    field = read_field(output / "plan-low.field.zarr")
    box = (slice(9, 13), slice(4, 12), slice(14, 19))
    assert np.median(field.dose[box]) == pytest.approx(2.0, rel=1e-6)
    RBE, D_RBE = (nibabel.load(output / "maps" / f"{name}.nii.gz").get_fdata() for name in ("RBE", "D_RBE"))
    inside = np.isfinite(D_RBE)
    np.testing.assert_allclose(D_RBE[inside], (RBE * field.dose)[inside], rtol=1e-5)
    assert "<h1" in (output / "report.html").read_text(encoding="utf-8")


def test_it_replaces_its_own_output_only(demo: tuple[Path, dict[str, Any], list[str]], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="not an output of the demo"):
        run_demo(tmp_path, settings=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
