"""The shipped model keeps what docs/results.md says of it, on a plan that it was not trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from surrogate3d.io.convert import convert
from surrogate3d.model.bundle import load_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table
from surrogate3d.pipeline.demo import unpack_runs
from surrogate3d.pipeline.models import resolve, shipped
from surrogate3d.pipeline.validation import Validation, ValidationSettings, validate


@pytest.fixture(scope="module", params=["HSG", "V79"])
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Validation:
    folder: Path = tmp_path_factory.mktemp("runs")
    runs = unpack_runs(folder)
    low, _ = convert([runs["proton_shallow_low"]])
    high, _ = convert([runs["proton_shallow_high"], runs["proton_shallow_highB"]])
    line, table = cell_line(request.param), mono_table(request.param)
    surrogate = load_bundle(resolve("opentopas-p-c"))
    return validate(low, high, "high", surrogate, line, table, ValidationSettings(truth="zr_table"), folder / "ledger")


def test_it_is_shipped() -> None:
    assert "opentopas-p-c" in shipped()


def test_it_was_not_trained_on_the_plan(judged: Validation) -> None:
    assert not judged.plan_was_trained_on


def test_it_halves_the_error_of_the_table_and_is_not_above_grouped_pooling(judged: Validation) -> None:
    rms = {row.method: row.summary.rms for row in judged.table.rows if (row.quantity, row.region) == ("RBE", "all")}
    assert rms["surrogate"] <= 0.5 * rms["zr_table"]
    assert rms["surrogate"] <= rms["zr_table, grouped pooling"]
