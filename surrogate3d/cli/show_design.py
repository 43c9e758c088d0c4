"""What `sample` and `simulate` show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.table import Table

from surrogate3d.cli.console import show

if TYPE_CHECKING:
    from surrogate3d.direct.task import VoxelResponse
    from surrogate3d.pipeline.design import SimulationSettings
    from surrogate3d.sampling import Selection

_SHOWN = {"alpha": "1/Gy", "beta": "1/Gy^2", "D10": "Gy", "RBE10": "1"}


def selected(selection: Selection) -> dict[str, Any]:
    """A selection in numbers."""
    plans = selection.to_json()["plans"]
    roles = ("chosen", "worst", "random")
    return {
        "statement": selection.statement,
        "budget": selection.budget,
        "cube_mm": selection.cube_mm,
        "seed": selection.seed,
        "n_candidates": selection.n_candidates,
        "all_candidates_taken": selection.all_candidates_taken,
        "threshold": selection.threshold,
        **{role: len(selection.of_role(role)) for role in roles},
        "fields": {plan["field_id"]: {role: plan["role"].count(role) for role in roles} for plan in plans},
    }


def selection(data: Mapping[str, Any]) -> None:
    """Print a selection."""
    table = Table("field id", "chosen", "worst", "random")
    for field_id, counts in data["fields"].items():
        table.add_row(field_id[:12], *(str(counts[role]) for role in ("chosen", "worst", "random")))
    show(table, data["statement"], f"written: {data['output']}")


def simulated(settings: SimulationSettings, responses: Sequence[VoxelResponse], n_voxels: int) -> dict[str, Any]:
    """Responses in numbers: range of each quantity and median relative standard error, by cell line."""
    lines = {r.cell_line: [other for other in responses if other.cell_line == r.cell_line] for r in responses}
    return {
        **asdict(settings),
        "voxels": n_voxels,
        "responses": len(responses),
        "outside": dict(Counter(r.outside for r in responses if r.outside)),
        "outside_voxels": [
            {"voxel": r.voxel, "field_id": r.field_id, "cell_line": r.cell_line, "reason": r.outside}
            for r in responses
            if r.outside
        ],
        "extrapolated_D10": sum(r.doses[-1] < r.D10 for r in responses),
        "results": {name: {key: _range(rows, key) for key in _SHOWN} for name, rows in lines.items()},
    }


def _range(responses: Sequence[VoxelResponse], key: str) -> dict[str, Any]:
    values = [float(getattr(response, key)) for response in responses]
    relative = [getattr(r, f"{key}_se") / value for r, value in zip(responses, values, strict=True) if value]
    return {
        "unit": _SHOWN[key],
        "minimum": min(values),
        "median": median(values),
        "maximum": max(values),
        "median_relative_se": median(relative) if relative else None,
    }


def simulation(data: Mapping[str, Any]) -> None:
    """Print what was simulated."""
    table = Table("cell line", "quantity", "unit", "minimum", "median", "maximum", "relative s.e.")
    for name, quantities in data["results"].items():
        for key, row in quantities.items():
            ends = (f"{row[end]:.4g}" for end in ("minimum", "median", "maximum"))
            error = row["median_relative_se"]
            table.add_row(name, key, row["unit"], *ends, "-" if error is None else f"{100 * error:.2g} %")
    words = f"{data['voxels']} voxels with {data['backend']} in {data['seconds']:.1f} s; ledger: {data['ledger']}"
    show(table, words, *(_outside(data, why, n) for why, n in data["outside"].items()))
    if data["extrapolated_D10"]:
        show(f"D10 and RBE10 of {data['extrapolated_D10']} responses are extrapolated beyond the simulated doses")


def _outside(data: Mapping[str, Any], why: str, n: int, shown: int = 5) -> str:
    """How many responses are outside for a reason, and the first of their voxels."""
    voxels = [str(tuple(each["voxel"])) for each in data["outside_voxels"] if each["reason"] == why]
    listed = ", ".join(dict.fromkeys(voxels[:shown])) + (", ..." if n > shown else "")
    return f"{n} responses outside the validity of {data['backend']}: {why}; voxels {listed}"
