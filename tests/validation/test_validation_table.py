from __future__ import annotations

import json

import numpy as np
import pytest

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError, UnknownNameError
from surrogate3d.validation import METRICS, ComparisonTable, compare

TRUTH = {"RBE": np.array([1.0, 1.0, 2.0, 2.0]), "alpha": np.full(4, 0.5)}
REGIONS = {
    "entrance": np.array([True, True, False, False]),
    "target": np.array([False, False, True, False]),
    "penumbra": np.zeros(4, dtype=bool),
}
PREDICTED = {
    "surrogate": {"RBE": np.array([1.01, 0.99, 2.0, 99.0]), "alpha": np.full(4, 0.5)},
    "zr_table": {"RBE": np.array([1.02, 1.02, 2.2, 99.0]), "alpha": np.full(4, 0.55)},
}
KIND = {"surrogate": "surrogate", "zr_table": "baseline"}


@pytest.fixture
def table():
    floors = {"RBE": {"all": 0.5, "entrance": 0.6}}
    return compare(PREDICTED, TRUTH, REGIONS, KIND, floors, {"zr_table": 1e-6}, ("read this",))


def test_rows_are_every_combination_in_order(table):
    assert [(r.method, r.quantity, r.region) for r in table.rows][:5] == [
        ("surrogate", "RBE", "all"),
        ("surrogate", "RBE", "entrance"),
        ("surrogate", "RBE", "target"),
        ("surrogate", "RBE", "penumbra"),
        ("surrogate", "alpha", "all"),
    ]
    assert len(table.rows) == 2 * 2 * 4


def test_values_by_hand(table):
    entrance = table.row("surrogate", "RBE", "entrance").summary
    assert entrance.rms == pytest.approx(1.0)
    assert entrance.bias == pytest.approx(0.0, abs=1e-12)
    assert entrance.rms_net == pytest.approx(0.8)
    assert table.row("zr_table", "RBE", "target").summary.rms == pytest.approx(10.0)
    assert np.isnan(table.row("zr_table", "RBE", "target").summary.floor)


def test_all_is_the_union_of_the_regions(table):
    # the last voxel, in no region, would dominate everything
    assert table.row("surrogate", "RBE").summary.n == 3
    assert table.row("surrogate", "RBE").summary.rms == pytest.approx(np.sqrt(2 / 3))
    assert table.row("zr_table", "alpha").summary.rms == pytest.approx(10.0)


def test_best_is_the_least_rms(table):
    assert table.best(["surrogate", "zr_table"], "RBE") == "surrogate"


def test_rows_for_printing(table):
    assert table.as_rows("RBE") == [
        ["method", "all", "entrance", "target", "penumbra"],
        ["surrogate", "0.816", "1", "0", "-"],
        ["zr_table", "6", "2", "10", "-"],
    ]
    assert table.as_rows("RBE", "n")[1] == ["surrogate", "3", "2", "1", "0"]


def test_json_is_standard_documented_and_reversible(table):
    data = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert data["schema"] == "surrogate3d.validation/1"
    assert set(data["rows"][0]) == {"method", "kind", "quantity", "region", *METRICS}
    assert data["keys"] == METRICS
    assert data["notes"] == ["read this"]
    again = ComparisonTable.from_json(data)
    assert again.to_json() == table.to_json()
    assert again.as_rows("RBE", "rms_net") == table.as_rows("RBE", "rms_net")


def test_a_table_written_before_the_signed_quantiles_reads_them_as_unknown(table):
    data = table.to_json()
    for row in data["rows"]:
        for key in ("q05", "q50", "q95"):
            del row[key]
    old = ComparisonTable.from_json(data)
    assert np.isnan([old.rows[0].summary.q05, old.rows[0].summary.q50, old.rows[0].summary.q95]).all()
    assert old.rows[0].summary.p95 == table.rows[0].summary.p95
    assert old.to_json()["rows"][0]["q50"] is None


def test_json_refuses_what_it_does_not_know(table):
    with pytest.raises(FormatError, match="schema"):
        ComparisonTable.from_json({"schema": "else"})
    data = table.to_json()
    del data["rows"][0]["rms"]
    with pytest.raises(FormatError, match="rms"):
        ComparisonTable.from_json(data)


def test_refusals(table):
    with pytest.raises(UnknownNameError, match="no RBE"):
        table.row("LEM", "RBE")
    with pytest.raises(UnknownNameError, match="metric"):
        table.as_rows("RBE", "accuracy")
    with pytest.raises(QuantityError, match="kind"):
        compare(PREDICTED, TRUTH, REGIONS, {"surrogate": "surrogate"})
    with pytest.raises(QuantityError, match="no map of alpha"):
        compare({"x": {"RBE": TRUTH["RBE"]}}, TRUTH, REGIONS, {"x": "baseline"})
    with pytest.raises(GridMismatchError, match="the truth"):
        compare({"x": {"RBE": np.ones(5)}}, {"RBE": TRUTH["RBE"]}, REGIONS, {"x": "baseline"})
