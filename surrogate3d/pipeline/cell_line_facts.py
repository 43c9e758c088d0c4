"""What is known of cell lines, and which back ends can serve them."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.errors import Surrogate3dError
from surrogate3d.physics.cell_line import CellLine, cell_line, cell_lines

_PAIR = ("alpha_x", "beta_x", "alpha_beta_x")


def list_cell_lines() -> list[dict[str, Any]]:
    """The shipped lines: identity, photon pair, models with parameters, and back ends that can serve them."""
    return [_brief(cell_line(name)) for name in cell_lines()]


def show_cell_line(name_or_path: str) -> dict[str, Any]:
    """One line, shipped or a user's own, with parameters and sources, and why back ends cannot serve it.

    Raises:
        UnknownNameError, ConfigError, ValueRangeError: as `physics.cell_line.cell_line`.
    """
    line = cell_line(name_or_path)
    shipped = name_or_path in cell_lines()
    return {
        **_identity(line),
        "file": None if shipped else str(Path(name_or_path)),
        "source": line.source,
        "models": _models(line),
        "back_ends": {name: why == "" for name, why in _back_ends(line).items()},
        "unusable": {name: why for name, why in _back_ends(line).items() if why},
    }


def _brief(line: CellLine) -> dict[str, Any]:
    usable = [name for name, why in _back_ends(line).items() if not why]
    return {**_identity(line), "models": list(_models(line)), "back_ends": usable}


def _identity(line: CellLine) -> dict[str, Any]:
    return {key: getattr(line, key) for key in ("name", "species", "tissue", *_PAIR)}


def _models(line: CellLine) -> dict[str, dict[str, Any]]:
    """Parameter sets by model, each with its source."""
    sets = {field.name: getattr(line, field.name) for field in fields(line)}
    found = {name: asdict(value) for name, value in sets.items() if is_dataclass(value) and not isinstance(value, type)}
    found["gsm2"]["source"] = line.gsm2_source
    return found


def _back_ends(line: CellLine) -> dict[str, str]:
    """Why a back end cannot serve the line, by name; empty where it can."""
    reasons = {}
    for name, backend in BACKENDS.items():
        try:
            backend.parameters(line)
            reasons[name] = ""
        except Surrogate3dError as error:
            reasons[name] = str(error)
    return reasons
