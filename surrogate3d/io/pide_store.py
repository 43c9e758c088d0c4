"""Experiments in one JSON file, which stays with its user: it holds PIDE's data and may not be passed on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.pide_experiment import Experiment, Experiments, LqPair, Note, Points

SCHEMA = "surrogate3d.experiments/1"
TERMS = (
    "Made from PIDE, which GSI gives to registered users: keep this file to yourself and do not pass it on. Cite "
    "Friedrich et al. (2013) J Radiat Res 54:494-514, doi:10.1093/jrr/rrs114, and Friedrich, Pfuhl, Scholz (2021) "
    "J Radiat Res 62:645-655, doi:10.1093/jrr/rrab034, with the version of PIDE."
)

_PAIRS = ("photon_paper", "photon_fit", "ion_paper", "ion_fit")
_POINTS = ("photon_points", "ion_points")
_NUMBERS = ("dna_content_gbp", "LET", "energy_mev_u")
_INTEGERS = ("number", "Z", "A")
_NAMES = tuple(field.name for field in fields(Experiment))
_HINT = "make it again with `surrogate3d invitro import`"


def write_experiments(experiments: Experiments, path: Path, *, overwrite: bool = False) -> None:
    """Write a store, whole or not at all; numbers keep every digit.

    Args:
        experiments: what is written.
        path: of the file.
        overwrite: replace an older one.

    Raises:
        StoreError: the file exists and is not to be replaced, or cannot be written.
    """
    content = {
        "schema": SCHEMA,
        "terms": TERMS,
        "version": experiments.version,
        "source": dict(experiments.source),
        "left_out": experiments.left_out,
        "notes": [asdict(note) for note in experiments.notes],
        "experiments": [_plain(one) for one in experiments.experiments],
    }
    with atomic_file(path, overwrite) as scratch:
        scratch.write_text(json.dumps(content, indent=0, allow_nan=False) + "\n", encoding="utf-8")


def read_experiments(path: Path) -> Experiments:
    """Read a store.

    Raises:
        StoreError: there is no such file.
        FormatError: it is none, of another schema, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"no experiments at {path}; make them with `surrogate3d invitro import`")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path.name}: not a store of experiments ({error}); {_HINT}") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise FormatError(f"{path.name}: expected schema {SCHEMA}, found {found!r}; {_HINT}")
    try:
        return Experiments(
            tuple(_experiment(plain) for plain in data["experiments"]),
            str(data["version"]),
            {str(name): str(digest) for name, digest in data["source"].items()},
            tuple((int(number), str(reason)) for number, reason in data["left_out"]),
            tuple(Note(str(note["what"]), tuple(map(int, note["numbers"]))) for note in data["notes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{path.name}: a damaged store of experiments ({error!r}); {_HINT}") from error


def _plain(one: Experiment) -> dict[str, Any]:
    """Plain data; what is not known is null."""
    plain = asdict(one)
    return plain | {name: None if math.isnan(plain[name]) else plain[name] for name in _NUMBERS}


def _experiment(plain: dict[str, Any]) -> Experiment:
    """The inverse; strict, so that nothing of another form becomes an experiment.

    Raises:
        KeyError, TypeError, ValueError: it has another form.
    """
    if set(plain) != set(_NAMES):
        raise ValueError(f"experiment {plain.get('number')} has the keys {sorted(plain)}")
    values = dict(plain)
    for name, value in plain.items():
        if name in _PAIRS:
            values[name] = None if value is None else LqPair(_number(value["alpha"]), _number(value["beta"]))
        elif name in _POINTS:
            values[name] = _points(value)
        elif name in _NUMBERS:
            values[name] = math.nan if value is None else _number(value)
        elif not isinstance(value, bool if name == "spread_out" else int if name in _INTEGERS else str):
            raise TypeError(f"{name} of experiment {plain['number']} is {value!r}")
    return Experiment(**values)


def _points(value: Any) -> Points:
    if any(None in point for point in value):
        raise ValueError("a point without a number")
    return tuple((float(dose), float(survival)) for dose, survival in value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
