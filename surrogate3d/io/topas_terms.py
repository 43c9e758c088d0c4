"""The words that TOPAS writes values with, and the arithmetic on single values and vectors."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from surrogate3d.errors import FormatError, UnsupportedError
from surrogate3d.io.topas_assignments import Parameter
from surrogate3d.io.topas_units import unit_of

_TOKEN = re.compile(r'"[^"]*"|\S+')
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}


class Dimensioned(NamedTuple):
    """A number, or the numbers of a vector, with what they measure; see `topas_units.UNITS`."""

    values: tuple[float, ...]
    kind: str
    unit: str


def refused(found: Parameter) -> UnsupportedError:
    """What is said of a right-hand side that is not of the forms of TOPAS."""
    return UnsupportedError(
        f"{found.where}: {found.name} = {found.text[:80]!r} is none of the forms that are read: values with unit, "
        "names, and two of them with ' + ', ' - ' or ' * ' between; write the value out"
    )


def tokens(found: Parameter) -> list[str]:
    """The words of a right-hand side; what stands in quotes is one word, with them."""
    words: list[str] = _TOKEN.findall(found.text)
    return words


def is_number(word: str) -> bool:
    """Whether a word is a number as TOPAS writes one (no infinity, no NaN)."""
    return bool(_NUMBER.fullmatch(word))


def is_name(word: str) -> bool:
    """Whether a word can name a parameter."""
    return not (is_number(word) or word.startswith('"') or word in OPERATORS)


def literal(numbers: tuple[str, ...], unit: str) -> Dimensioned:
    """Numbers as written, in a unit."""
    kind, factor = unit_of(unit)
    return Dimensioned(tuple(float(n) * factor for n in numbers), kind, unit)


def joined(found: Parameter, sign: str, a: Dimensioned, b: Dimensioned) -> Dimensioned:
    """Sum or difference of what is of one kind already."""
    return Dimensioned(tuple(spread(found, sign, a.values, b.values)), a.kind, a.unit)


def scaled(found: Parameter, value: Dimensioned, *factors: float) -> Dimensioned:
    """Product with one factor, or with one for each value."""
    return Dimensioned(tuple(spread(found, "*", value.values, factors)), value.kind, value.unit)


def spread(found: Parameter, sign: str, a: tuple[float, ...], b: tuple[float, ...]) -> Iterator[float]:
    """Element by element; a single value stands for all of them."""
    n = max(len(a), len(b))
    if len(a) not in (1, n) or len(b) not in (1, n):
        raise FormatError(f"{found.where}: {found.name} combines vectors of {len(a)} and {len(b)} values")
    for index in range(n):
        yield OPERATORS[sign](a[index if len(a) > 1 else 0], b[index if len(b) > 1 else 0])


def counted(found: Parameter, words: list[str]) -> tuple[list[str], list[str]]:
    """The values of a vector, and the words behind them."""
    if not words or not INTEGER.fullmatch(words[0]) or int(words[0]) < 1:
        raise refused(found)
    n = int(words[0])
    values = words[1 : n + 1]
    if len(values) < n or any(value in OPERATORS for value in values):
        raise FormatError(f"{found.where}: {found.name} announces {n} values and has fewer: {found.text[:80]!r}")
    return values, words[n + 1 :]


def rounded(value: float) -> int:
    """C's round: halves go away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def truth(found: Parameter, text: str) -> bool:
    """True or False, as TOPAS abbreviates them."""
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise FormatError(f"{found.where}: {found.name} must be True or False, found {text!r}")
