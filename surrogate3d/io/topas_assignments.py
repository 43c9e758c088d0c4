"""TOPAS parameter files as text: assignments, and chains of included files down to the built-in defaults.

Grammar read in OpenTOPAS parameter/TsParameterFile.cc and TsParameterManager.cc (ReadFile): names ignore case, a value
runs on over following lines until a blank line or the next "=", "#" starts a comment, the including file overrides
what it includes, and at the end of every chain stand the defaults that are built into TOPAS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from surrogate3d.errors import FormatError

_TYPES = ("d", "u", "i", "b", "s", "dv", "uv", "iv", "bv", "sv")

# Word processors write these; TOPAS reads them as the plain characters.
_TYPOGRAPHY = {ord(c): '"' for c in "\u2018\u2019\u201c\u201d"} | {
    ord(c): "-" for c in "\u2010\u2011\u2012\u2013\u2014\u2015"
}

_BUILT_IN = "TOPAS built-in defaults"
# What a run leaves unsaid and its geometry depends on, from OpenTOPAS parameter/TsDefaultParameters.cc.
_BUILT_IN_TEXT = """
i:Ts/Seed = 1
i:Ts/NumberOfThreads = 1
b:Ts/RestoreResultsFromFile = "False"
b:Tf/RandomizeTimeDistribution = "False"
d:Tf/TimelineStart = 0. s
d:Tf/TimelineEnd = Tf/TimelineStart s
i:Tf/NumberOfSequentialTimes = 1
s:Ge/World/Type = "TsBox"
d:Ge/World/HLX = 5. m
d:Ge/World/HLY = 5. m
d:Ge/World/HLZ = 5. m
s:Ge/BeamPosition/Parent = "World"
s:Ge/BeamPosition/Type = "Group"
d:Ge/BeamPosition/TransX = 0. m
d:Ge/BeamPosition/TransY = 0. m
d:Ge/BeamPosition/TransZ = Ge/World/HLZ m
d:Ge/BeamPosition/RotX = 180. deg
d:Ge/BeamPosition/RotY = 0. deg
d:Ge/BeamPosition/RotZ = 0. deg
s:So/Demo/Type = "Beam"
s:So/Demo/Component = "BeamPosition"
i:So/Demo/NumberOfHistoriesInRun = 0
i:So/Demo/NumberOfHistoriesInRandomJob = 0
"""


@dataclass(frozen=True)
class Parameter:
    """One assignment.

    Attributes:
        name: as written.
        type: one of d, u, i, b, s and their vectors dv, uv, iv, bv, sv; "" when nothing in its chain states it.
        text: right-hand side without comment, blanks collapsed.
        where: "file, line N".
        inherited: the assignment of an included file that this one overrides; what `inheritedValue` stands for.
    """

    name: str
    type: str
    text: str
    where: str
    inherited: Parameter | None = field(default=None, repr=False)


def read_chain(path: Path) -> tuple[Mapping[str, Parameter], tuple[Path, ...]]:
    """Assignments by lower-case name, and the files that were read, top file first.

    Raises:
        FormatError: not readable as parameters, a parameter set twice in one file or differently by two includes or
            with another type than below, an included file that is missing or ambiguous, or files in a circle.
    """
    files: list[Path] = []
    by_name = _read_chain(path, path.parent, (), files)
    return MappingProxyType(by_name), tuple(files)


def _read_chain(path: Path, top: Path, above: tuple[Path, ...], files: list[Path]) -> dict[str, Parameter]:
    resolved = path.resolve()
    if resolved in above:
        raise FormatError(f"{path.name}: files include each other in a circle: {', '.join(p.name for p in above)}")
    if path not in files:
        files.append(path)
    own, includes = _read_lines(_lines(path), path.name)
    below = dict(_BUILT_INS)
    for include in includes:
        target = _included(include, path, top)
        _merge_include(below, _read_chain(target, top, (*above, resolved), files), own)
    return below | {name: _over(parameter, below.get(name)) for name, parameter in own.items()}


def _included(include: str, path: Path, top: Path) -> Path:
    """TOPAS takes names relative to where it was started, mostly the folder of the top file; so both are tried."""
    for name in (include, Path(include).name):
        found = [target for folder in (path.parent, top) if (target := folder / name).is_file()]
        if len({target.read_bytes() for target in found}) > 1:
            raise FormatError(
                f"{path.name}: included file {include} is there twice and differs, beside {path.name} and beside the "
                "top file; remove the one that TOPAS did not read"
            )
        if found:
            return found[0]
    raise FormatError(f"{path.name}: included file {include} is not there; copy it beside {path.name}")


def _merge_include(below: dict[str, Parameter], new: Mapping[str, Parameter], own: Mapping[str, Parameter]) -> None:
    """Two includes may disagree only about what the including file sets itself (TOPAS quits otherwise)."""
    for name, parameter in new.items():
        known = below.get(name)
        if known and known.where != _BUILT_IN and parameter.where == _BUILT_IN:
            continue
        if known and known.where != _BUILT_IN and known.text != parameter.text:
            if name not in own:
                raise FormatError(f"{parameter.where}: {parameter.name} is set differently in {known.where}")
            if "inheritedvalue" in own[name].text.lower():
                raise FormatError(
                    f"{own[name].where}: {own[name].name} inherits two values, of {known.where} and {parameter.where}"
                )
        below[name] = parameter


def _over(parameter: Parameter, inherited: Parameter | None) -> Parameter:
    """An assignment above another of the same name: it may leave out the type, but not change it."""
    if inherited is None:
        return parameter
    if parameter.type and inherited.type and parameter.type != inherited.type:
        raise FormatError(
            f"{parameter.where}: {parameter.name} is of type {parameter.type!r} here and of type {inherited.type!r} "
            f"in {inherited.where}"
        )
    return replace(parameter, type=parameter.type or inherited.type, inherited=inherited)


def _read_lines(lines: list[str], file: str) -> tuple[dict[str, Parameter], list[str]]:
    parameters: dict[str, Parameter] = {}
    includes: list[str] = []
    for left, right, where in _assignments(lines, file):
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


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    if b"\0" in content:
        raise FormatError(f"{path.name}: not a text file, so not a TOPAS parameter file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # every byte is a character: comments of older editors do no harm
    return re.split("\r\n|\r|\n", text.translate(_TYPOGRAPHY))


def _assignments(lines: list[str], file: str) -> Iterator[tuple[str, str, str]]:
    """(left, right, where) of every "left = right", continued lines joined."""
    left, right, where, going = "", "", "", False
    for number, raw in enumerate(lines, start=1):
        line = raw.partition("#")[0]
        if "=" in line:
            if left:
                yield left, right, where
            key, _, value = line.partition("=")
            left, right, where, going = key.strip(), " ".join(value.split()), f"{file}, line {number}", True
        elif not raw.strip():
            going = False
        elif line.strip() and not going:
            raise FormatError(f"{file}, line {number}: expected 'type:Name = value', found {line.strip()[:60]!r}")
        elif line.strip():
            right = f"{right} {' '.join(line.split())}".strip()
    if left:
        yield left, right, where


_BUILT_INS = {
    name: replace(parameter, where=_BUILT_IN)
    for name, parameter in _read_lines(_BUILT_IN_TEXT.splitlines(), _BUILT_IN)[0].items()
}
