"""The shipped models keep what docs/results.md says of them, on a plan that they were not trained on."""

from __future__ import annotations

import numpy as np
import pytest

from surrogate3d.direct.mono import mono_table_of
from surrogate3d.grid import Field
from surrogate3d.inference.curves import predict_curves
from surrogate3d.io.convert import convert
from surrogate3d.model.bundle import load_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.cell_line_family import line_of_pair
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.pipeline.demo import unpack_runs
from surrogate3d.pipeline.models import choose, resolve, shipped
from surrogate3d.pipeline.validation import Validation, ValidationSettings, validate


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Field, Field]:
    folders = unpack_runs(tmp_path_factory.mktemp("runs"))
    low, _ = convert([folders["proton_shallow_low"]])
    high, _ = convert([folders["proton_shallow_high"], folders["proton_shallow_highB"]])
    return low, high


@pytest.fixture(scope="module", params=["HSG", "V79"])
def judged(
    request: pytest.FixtureRequest, runs: tuple[Field, Field], tmp_path_factory: pytest.TempPathFactory
) -> Validation:
    line, table, ledger = cell_line(request.param), mono_table(request.param), tmp_path_factory.mktemp("ledger")
    surrogate = load_bundle(resolve("proton"))
    return validate(*runs, "high", surrogate, line, table, ValidationSettings(truth="zr_table"), ledger)


def test_they_are_shipped() -> None:
    assert shipped() == ("ion", "let-only", "proton")


@pytest.mark.parametrize("name", ["ion", "let-only", "proton"])
def test_each_is_small(name: str) -> None:
    assert sum(path.stat().st_size for path in resolve(name).iterdir()) < 5e6


def test_a_proton_plan_gets_the_proton_model(runs: tuple[Field, Field]) -> None:
    assert choose(runs[0]).name == "proton"


def test_it_was_not_trained_on_the_plan(judged: Validation) -> None:
    assert not judged.plan_was_trained_on


def test_it_halves_the_error_of_the_table_and_is_below_grouped_pooling(judged: Validation) -> None:
    rms = {row.method: row.summary.rms for row in judged.table.rows if (row.quantity, row.region) == ("RBE", "all")}
    assert rms["surrogate"] <= 0.5 * rms["zr_table"]
    assert rms["surrogate"] <= 0.9 * rms["zr_table, grouped pooling"]


def test_a_cell_line_that_it_never_saw_is_answered_as_well(runs: tuple[Field, Field]) -> None:
    """The kernels do not know of cell lines; the table of the new one is made here."""
    low, high = runs
    line = line_of_pair(0.2683, 0.04596)
    table = mono_table_of(line, cache=None)
    curves = predict_curves(low, load_bundle(resolve("proton")), line, table=table)
    alpha, beta = zr_table(high.spectra.axes, high.spectra.fluence, table)
    at = int(np.argmin(np.abs(curves.doses - 2.0)))
    found = RBE_at_dose(2.0, curves.effect[:, at], line.alpha_x, line.beta_x)
    true = RBE_at_dose(2.0, (2.0 * alpha + 4.0 * beta)[curves.mask], line.alpha_x, line.beta_x)
    assert 100 * np.sqrt(np.mean((found / true - 1) ** 2)) < 0.5
