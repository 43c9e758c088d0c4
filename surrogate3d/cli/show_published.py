"""What `predict` shows; a result from dose and LET alone is labelled as reduced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surrogate3d.cli import show_model
from surrogate3d.cli.console import show, warn


def warnings(found: Mapping[str, Any]) -> None:
    """Say what a user of the maps must know; of an answer without spectra in one line."""
    show_model.warnings(found)
    if "inputs" in found:
        name, _ = _answering(found)
        what = "a published model, not a simulation of these cells" if "model" in found else "less sure than spectra"
        warn("; ".join([f"{name} from {found['inputs']}: {what}", *found["warnings"]]))


def predicted(data: Mapping[str, Any]) -> None:
    """Print what was predicted, and from what where that was not spectra."""
    show_model.predicted(data)
    if "inputs" in data:
        name, source = _answering(data)
        show(f"REDUCED: {name} ({source}) from {data['inputs']}")


def _answering(found: Mapping[str, Any]) -> tuple[str, str]:
    """Name and source of a published model, or of a network on dose and LET."""
    if "model" in found:
        return found["model"]["name"], found["model"]["source"]
    return f"network {found['network']}", f"bundle {found['bundle_id'][:12]}"
