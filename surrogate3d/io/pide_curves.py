"""The survival points of PIDE 3.x: one curve a line, its running numbers first, then doses and survival in turn."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from surrogate3d.errors import FormatError
from surrogate3d.io.pide_experiment import Points
from surrogate3d.io.pide_table import NOT_AVAILABLE, decoded, plain_number, whole_number

_HEADS = {"ion": ("ExpID", "Publication", "PublicationName", "IonExp", "PhotonExp"),
          "photon": ("number", "Publication", "PublicationName", "PhotonExp")}  # fmt: skip

LEAST_DOSE, LARGEST_DOSE = -0.2, 500.0
"""Gy. Doses were read from figures, so that a control lies up to 0.12 Gy below 0; the largest in 3.4 is 164 Gy."""

LARGEST_SURVIVAL = 1.5


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
        where: file and line.
        head: value by its name: ExpID (of ions), Publication, IonExp (of ions), PhotonExp.
        publication: name.
        points: (dose in Gy, survival); empty for N/A.
        impossible: why it cannot be; empty if it can.
    """

    where: str
    head: dict[str, int]
    publication: str
    points: Points
    impossible: str


def read_curves(path: Path, kind: Literal["ion", "photon"]) -> list[Curve]:
    """Read a file of curves.

    Args:
        path: of the file.
        kind: photon lines have no ExpID and no IonExp.

    Raises:
        FormatError: not text, a line that is cut, values that are no numbers, or a curve that is there twice.
    """
    curves, seen = [], dict[tuple[int, ...], str]()
    for number, line in enumerate(re.split("\r\n|\r|\n", decoded(path)), start=1):
        if not line.strip():
            continue
        curve = _curve(line, kind, f"{path.name}, line {number}")
        key = tuple(curve.head[name] for name in (("ExpID",) if kind == "ion" else ("Publication", "PhotonExp")))
        if key in seen:
            raise FormatError(f"{curve.where}: the {kind} curve {key} is there twice, first at {seen[key]}")
        seen[key] = curve.where
        curves.append(curve)
    return curves


def _curve(line: str, kind: Literal["ion", "photon"], where: str) -> Curve:
    fields = [text.strip() for text in (line.rstrip().split("\t") if "\t" in line else line.split())]
    names = _HEADS[kind]
    if len(fields) < len(names) + 2:
        raise FormatError(
            f"{where}: expected {', '.join(names)} and pairs of dose and survival, found {len(fields)} values"
        )
    head, rest = dict(zip(names, fields, strict=False)), fields[len(names) :]
    publication = head.pop("PublicationName")
    numbers = {name: whole_number(text, f"{where}, {name}") for name, text in head.items()}
    points = _points(rest, where, len(names) + 1)
    return Curve(where, numbers, publication, points, _impossible(points, where))


def _points(texts: list[str], where: str, first: int) -> Points:
    """`first` is the column of the first dose, from 1."""
    if all(text.upper() in NOT_AVAILABLE for text in texts):
        return ()
    if len(texts) % 2:
        raise FormatError(f"{where}: doses and survival must come in pairs, found {len(texts)} values; is it cut?")
    values = [plain_number(text, f"{where}, column {first + n}") for n, text in enumerate(texts)]
    return tuple(zip(values[::2], values[1::2], strict=True))


def _impossible(points: Points, where: str) -> str:
    for dose, survival in points:
        if not 0 < survival <= LARGEST_SURVIVAL:
            return f"survival {survival:g} at {dose:g} Gy is not above 0 and at most {LARGEST_SURVIVAL:g} ({where})"
        if not LEAST_DOSE <= dose <= LARGEST_DOSE:
            return f"a dose of {dose:g} Gy is not between {LEAST_DOSE:g} and {LARGEST_DOSE:g} Gy ({where})"
    return ""
