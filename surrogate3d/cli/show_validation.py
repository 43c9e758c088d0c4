"""What `validate` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from surrogate3d.cli import show_compare
from surrogate3d.cli.console import show, warn

_SHOWN = {"rms": "rms %", "bias": "bias %", "p95": "p95 %", "R2": "R2", "NRMSE_range": "NRMSE"}


def warnings(data: Mapping[str, Any]) -> None:
    """Say what a reader of the numbers must know."""
    for problem in data["problems"]:
        warn(problem["sentence"])
    if data.get("self_consistency"):
        warn("no --reference was given: the truth comes from the same noisy spectra; this is self-consistency only")
    if data.get("plan_was_trained_on"):
        warn("the model was trained on other voxels of this plan; a new plan will do worse")
    strange, answered = data["voxels_out_of_domain"], data["voxels_answered"]
    if strange:
        warn(
            f"{strange} of {answered} voxels are unlike the training: their deviation covers the way to grouped pooling"
        )


def validation(data: Mapping[str, Any]) -> None:
    """Print the verdict, the errors by region and method, the time per voxel, and the notes."""
    if "comparison" in data:
        show_compare.comparison(data["comparison"] | {"output": None, "csv": None})
        _written(data)
        return
    rows = [row for row in data["table"]["rows"] if row["quantity"] == "RBE"]
    show(
        f"RBE at {data['fraction_dose_gy']:g} Gy, {data['cell_line']}, against {data['truth']}; alpha and -ln S: --json"
    )
    for region in dict.fromkeys(row["region"] for row in rows):
        show(_errors([row for row in rows if row["region"] == region], region))
    show(_times(data["table"]["seconds_per_voxel"]))
    show(*data["verdict"])
    show("(model) another biology than the truth's: a difference between models, not an error")
    show(*(f"note: {note}" for note in data["table"]["notes"]))
    _written(data)


def _written(data: Mapping[str, Any]) -> None:
    if data["report"]:
        show(f"written: {data['report']}")


def _errors(rows: list[dict[str, Any]], region: str) -> Table:
    table = Table(title=f"{region}: {rows[0]['n']} voxels", title_justify="left", box=SIMPLE)
    table.add_column("method", no_wrap=True)
    for heading in _SHOWN.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        mark = " (model)" if row["kind"] == "model_difference" else ""
        table.add_row(row["method"] + mark, *(_number(row[key]) for key in _SHOWN))
    if rows[0]["floor"] is not None:
        table.add_row("the truth's own noise", _number(rows[0]["floor"]))
    return table


def _times(seconds: Mapping[str, float]) -> Table:
    table = Table("method", "time per voxel", title_justify="left", box=SIMPLE)
    for method, value in seconds.items():
        table.add_row(method, _duration(value))
    return table


def _duration(seconds: float) -> str:
    unit, scale = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)) if seconds >= s), ("ns", 1e-9))
    return f"{seconds / scale:.3g} {unit}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
