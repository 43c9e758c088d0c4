"""TOPAS parameter files: typed values, units, and chains of included files.

Grammar read in OpenTOPAS parameter/TsParameterFile.cc and TsParameterManager.cc (ReadFile): names ignore case, a value
runs on over following lines until a blank line or the next "=", "#" starts a comment, and the including file overrides
what it includes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from surrogate3d.errors import FormatError, QuantityError, UnsupportedError

_TYPES = ("d", "u", "i", "b", "s", "dv", "uv", "iv", "bv", "sv")
_DEGREE = 0.017453292519943295
_LET = "MeV/mm/(g/cm3)"

UNITS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "um": ("length", 1e-3),
        "mm": ("length", 1.0),
        "cm": ("length", 10.0),
        "m": ("length", 1000.0),
        "deg": ("angle", _DEGREE),
        "mrad": ("angle", 1e-3),
        "rad": ("angle", 1.0),
        "eV": ("energy", 1e-6),
        "keV": ("energy", 1e-3),
        "MeV": ("energy", 1.0),
        "GeV": ("energy", 1e3),
        _LET: ("LET", 1.0),
        "keV/um/(g/cm3)": ("LET", 1.0),
        "MeV/cm/(g/cm3)": ("LET", 0.1),
    }
)
"""Unit to (kind, factor): results are in mm, rad, MeV and MeV/mm/(g/cm3), which is keV/um at unit density."""


@dataclass(frozen=True)
class Parameter:
    """One assignment.

    Attributes:
        name: as written.
        type: one of d, u, i, b, s and their vectors dv, uv, iv, bv, sv; "" when the line leaves it to an included file.
        text: right-hand side without comment, blanks collapsed.
        where: "file, line N".
    """

    name: str
    type: str
    text: str
    where: str


@dataclass(frozen=True)
class Parameters:
    """The parameters of a run.

    Attributes:
        by_name: lower-case name to assignment, includes resolved.
        files: the files that were read, top file first.
    """

    by_name: Mapping[str, Parameter]
    files: tuple[Path, ...]
    _chain: tuple[str, ...] = field(default=(), repr=False)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.by_name

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.by_name.values())

    def string(self, name: str, default: str | None = None) -> str:
        """A string without its quotes."""
        found = self._find(name, default is not None)
        if found is None:
            return str(default)
        if found.text.startswith('"') and found.text.endswith('"') and found.text.count('"') == 2:
            return found.text[1:-1].strip()
        raise _expression(found)

    def boolean(self, name: str, default: bool) -> bool:
        """A boolean, written "True", "1", "t" or their opposites."""
        text = self.string(name, str(default)).lower()
        if text in ("true", "t", "1"):
            return True
        if text in ("false", "f", "0"):
            return False
        raise FormatError(f"{self.by_name[name.lower()].where}: {name} must be True or False, found {text!r}")

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer."""
        found = self._find(name, default is not None)
        if found is None:
            return int(default or 0)
        try:
            return int(found.text)
        except ValueError as error:
            raise _expression(found) from error

    def number(self, name: str, kind: str, default: float | None = None) -> float:
        """A dimensioned number in mm, rad, MeV or MeV/mm/(g/cm3) (see `UNITS`).

        Args:
            name: parameter, without type.
            kind: "length", "angle", "energy" or "LET".
            default: what TOPAS takes when the parameter is not set; None when TOPAS demands it.

        Raises:
            FormatError: not set though TOPAS demands it.
            QuantityError: a unit of another kind.
            UnsupportedError: an expression or a time feature.
        """
        found = self._find(name, default is not None)
        if found is None:
            return float(default or 0.0)
        words = found.text.split()
        if len(words) == 1 and words[0].lower() in self.by_name:
            return self._follow(found, words[0], kind)
        if len(words) != 2 or not _is_number(words[0]):
            raise _expression(found)
        value, unit = float(words[0]), words[1]
        if UNITS.get(unit, ("", 0.0))[0] != kind:
            known = ", ".join(u for u, (k, _) in UNITS.items() if k == kind)
            raise QuantityError(f"{found.where}: {found.name} needs a unit of {kind} ({known}), found {unit!r}")
        return value * UNITS[unit][1]

    def _follow(self, found: Parameter, target: str, kind: str) -> float:
        """A value that is the bare name of another parameter."""
        if target.lower() in self._chain:
            raise FormatError(f"{found.where}: {found.name} refers to itself through {target}")
        return Parameters(self.by_name, self.files, (*self._chain, target.lower())).number(target, kind)

    def _find(self, name: str, optional: bool) -> Parameter | None:
        found = self.by_name.get(name.lower())
        if found is None and not optional:
            raise FormatError(f"{self.files[0].name}: parameter {name} is needed and not set")
        return found


def read_parameters(path: Path) -> Parameters:
    """Read a parameter file with everything that it includes.

    Included names are taken relative to the including file.

    Raises:
        FormatError: not readable as parameters, a parameter set twice in one file or differently by two includes, an
            included file that is missing, or files that include each other in a circle.
    """
    files: list[Path] = []
    by_name = _read_chain(path, (), files)
    return Parameters(MappingProxyType(by_name), tuple(files))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_chain(path: Path, above: tuple[Path, ...], files: list[Path]) -> dict[str, Parameter]:
    resolved = path.resolve()
    if resolved in above:
        raise FormatError(f"{path.name}: files include each other in a circle: {', '.join(p.name for p in above)}")
    if path not in files:
        files.append(path)
    own, includes = _read_file(path)
    merged: dict[str, Parameter] = {}
    for include in includes:
        target = path.parent / include
        if not target.is_file():
            raise FormatError(f"{path.name}: included file {include} is not there; copy it beside {path.name}")
        _merge_include(merged, _read_chain(target, (*above, resolved), files), own)
    return merged | own


def _merge_include(merged: dict[str, Parameter], new: dict[str, Parameter], own: dict[str, Parameter]) -> None:
    """Two includes may disagree only about what the including file sets itself (TOPAS quits otherwise)."""
    for name, parameter in new.items():
        known = merged.get(name)
        if known and known.text != parameter.text and name not in own:
            raise FormatError(f"{parameter.where}: {parameter.name} is set differently in {known.where}")
        merged[name] = parameter


def _read_file(path: Path) -> tuple[dict[str, Parameter], list[str]]:
    parameters: dict[str, Parameter] = {}
    includes: list[str] = []
    for left, right, where in _assignments(path):
        if left.lower() == "includefile":
            includes += right.replace('"', " ").split()
            continue
        kind, name = _type_and_name(left, where)
        if name.lower() in parameters:
            raise FormatError(f"{where}: {name} is already set at {parameters[name.lower()].where}")
        parameters[name.lower()] = Parameter(name, kind, right, where)
    return parameters, includes


def _type_and_name(left: str, where: str) -> tuple[str, str]:
    kind, colon, name = left.rpartition(":")
    kind = kind.lower()
    # A trailing c marks a parameter that may change with time; its type is what stands before.
    kind = kind.removesuffix("c")
    if colon and kind not in _TYPES:
        raise FormatError(f"{where}: unknown parameter type {kind!r} in {left!r}; known: {', '.join(_TYPES)}")
    if not name or any(c in name for c in " \t\"'+-*"):
        raise FormatError(f"{where}: {left!r} is not a parameter name")
    return kind, name


def _assignments(path: Path) -> Iterator[tuple[str, str, str]]:
    """(left, right, where) of every "left = right", continued lines joined."""
    left, right, where, going = "", "", "", False
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name}: not a text file, so not a TOPAS parameter file") from error
    for number, raw in enumerate(lines, start=1):
        line = raw.partition("#")[0]
        if "=" in line:
            if left:
                yield left, right, where
            key, _, value = line.partition("=")
            left, right, where, going = key.strip(), " ".join(value.split()), f"{path.name}, line {number}", True
        elif not raw.strip():
            going = False
        elif line.strip() and not going:
            raise FormatError(f"{path.name}, line {number}: expected 'type:Name = value', found {line.strip()[:60]!r}")
        elif line.strip():
            right = f"{right} {' '.join(line.split())}".strip()
    if left:
        yield left, right, where


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _expression(found: Parameter) -> UnsupportedError:
    return UnsupportedError(
        f"{found.where}: {found.name} = {found.text[:80]!r} is an expression or a time feature; "
        "only plain values and plain references are read, so write the value out"
    )
