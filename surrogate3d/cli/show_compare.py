"""What `compare` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from surrogate3d.cli.console import show, warn

_ERRORS = {
    "n": "n",
    "bias_percent": "bias %",
    "rms_percent": "rms %",
    "p95_percent": "p95 %",
    "q05_percent": "q05 %",
    "q95_percent": "q95 %",
    "R2": "R2",
    "NRMSE_range": "NRMSE",
}


def warnings(data: Mapping[str, Any]) -> None:
    """Name every problem."""
    for problem in data["problems"]:
        warn(problem["sentence"])


def comparison(data: Mapping[str, Any]) -> None:
    """Print the verdict, then errors, gamma, histograms and distal depths of every map."""
    meaning, reference = data["quantity"], data["reference"]
    unit = "" if meaning["unit"] == "1" else f" in {meaning['unit']}"
    show(f"{meaning['symbol']}{unit}, against {reference['path']}: {reference['origin']}")
    for method in data["methods"]:
        show(*(f"{method}: {sentence}" for sentence in data["verdict"][method]))
        show(_errors(data, method))
    for each, table in (("gamma", _gamma), ("histograms", _histograms), ("distal_depths", _depths)):
        if data[each]:
            show(table(data))
    show(*(f"note: {note}" for note in data["notes"]))
    show(*(f"written: {data[key]}" for key in ("output", "csv") if data[key]))


def _errors(data: Mapping[str, Any], method: str) -> Table:
    table = _table(f"{method}: judged - reference, relative", "group", *_ERRORS.values())
    for row in (row for row in data["errors"] if row["method"] == method):
        table.add_row(f"{row['kind']}: {row['group']}", *(_number(row[key]) for key in _ERRORS))
    return table


def _gamma(data: Mapping[str, Any]) -> Table:
    first = data["gamma"][0]
    title = f"gamma <= 1 in % of the points above {first['cutoff_percent']:g} % of the largest reference value (global)"
    table = _table(title, "method", "criterion", *(f"{rate['group']}" for rate in first["pass_rates"]))
    for each in data["gamma"]:
        rates = [f"{_number(rate['percent'], 4)} (n {rate['n']})" for rate in each["pass_rates"]]
        table.add_row(each["method"], each["criterion"], *rates)
    return table


def _histograms(data: Mapping[str, Any]) -> Table:
    keys = ("mean", "D2", "D50", "D98", "V95")
    table = _table(
        "structures; D2, D50, D98 in the unit, V95 in %", "structure", "quantity", "method", "unit", "cm3", *keys
    )
    for each in data["histograms"]:
        words = (each["structure"], each["symbol"], each["method"], each["unit"], _number(each["volume_cm3"]))
        table.add_row(*words, *(_number(each["statistics"][key], 4) for key in keys))
    return table


def _depths(data: Mapping[str, Any]) -> Table:
    table = _table("distal depths / mm", "method", "profile", "depth", "judged", "reference", "difference")
    for each in data["distal_depths"]:
        numbers = (each["judged_mm"], each["reference_mm"], each["difference_mm"])
        table.add_row(each["method"], each["how"], each["name"], *(_number(value, 4) for value in numbers))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.{digits}g}"
