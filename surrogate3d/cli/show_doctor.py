"""What `doctor` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from surrogate3d.cli.console import show


def doctor(data: Mapping[str, Any]) -> None:
    """Print what the engine runs on."""
    table = Table.grid(padding=(0, 2))
    for name, value in _flat(data):
        table.add_row(name, value)
    show(table)


def _flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        elif name != "schema":
            rows.append((f"{prefix}{name}", _words(value)))
    return rows


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    if value is None:
        return "unknown"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
