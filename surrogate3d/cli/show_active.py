"""What `active` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from surrogate3d.cli.console import show, warn

_REASONS = {
    "target": "the target is met",
    "budget": "the budget of voxels is spent",
    "cpu_hours": "the CPU hours are spent",
    "candidates": "all candidates are taken; smaller cubes would offer more",
}


_NO_GAIN = 1.05
"""An error that is at most this many times the least one of all rounds counts as equal to it."""


def in_words(done: Mapping[str, Any]) -> str:
    """A round in one line."""
    worst = done["worst"]
    error, bound = _percent(done["error"]), _percent(done["bound"])
    return (
        f"round {done['round']}: {done['labels']} labels, NRMSE {error}, bound {bound} ({worst['quantity']} of "
        f"{worst['cell_line']}, {worst['role']} set), {done['core_seconds']:,.0f} core-seconds"
    )


def loop(data: Mapping[str, Any]) -> None:
    """Print all rounds."""
    table = Table("round", "labels", "NRMSE", "bound", "worst in", "core-seconds so far")
    for done in data["rounds"]:
        worst = " ".join(done["worst"][key] for key in ("quantity", "cell_line", "role"))
        numbers = (_percent(done["error"]), _percent(done["bound"]))
        table.add_row(str(done["round"]), str(done["labels"]), *numbers, worst, f"{done['core_seconds']:,.0f}")
    written = f"written: {data['output']} (bundle {data['bundle_id'][:12]}); state: {data['state']}"
    show(table, f"{_REASONS[data['reason']]}; target {_percent(data['target_nrmse'])}", written)


def warnings(data: Mapping[str, Any]) -> None:
    """Say what a user of the model must know."""
    if not data["met"]:
        warn(f"the target is not met: {_REASONS[data['reason']]}")
        _warn_of_labels_in_vain(data["rounds"])
    if data["failed"]:
        first = data["failed"][0]
        warn(
            f"{len(data['failed'])} simulations failed and were left out, the first in voxel {first['voxel']} of field "
            f"{first['field_id'][:12]}: {first['reason']}"
        )


def _warn_of_labels_in_vain(rounds: Sequence[Mapping[str, Any]]) -> None:
    """Say so when the later rounds brought nothing: their labels were paid for, and others would be, too."""
    errors = [done["error"] for done in rounds]
    if len(errors) < 2 or None in errors:
        return
    enough = next(n for n, error in enumerate(errors) if error <= _NO_GAIN * min(errors))
    if enough + 1 < len(errors):
        warn(
            f"the error has hardly fallen since round {rounds[enough]['round']} ({rounds[enough]['labels']} labels, "
            f"{_percent(errors[enough])}): more labels will not help; try low runs with more histories, or more steps"
        )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"
