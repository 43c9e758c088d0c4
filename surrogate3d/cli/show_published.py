"""What `predict` shows; a result from dose and LET alone is labelled as reduced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surrogate3d.cli import show_model
from surrogate3d.cli.console import show, warn


def warnings(found: Mapping[str, Any]) -> None:
    """Say what a user of the maps must know; of a published model in one line."""
    show_model.warnings(found)
    if "inputs" in found:
        said = [f"{found['model']['name']} from {found['inputs']}: a published model, not a simulation of these cells"]
        warn("; ".join([*said, *found["warnings"]]))


def predicted(data: Mapping[str, Any]) -> None:
    """Print what was predicted, and from what where that was not spectra."""
    show_model.predicted(data)
    if "inputs" in data:
        show(f"REDUCED: {data['model']['name']} ({data['model']['source']}) from {data['inputs']}")
