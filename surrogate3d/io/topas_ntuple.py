"""Phase spaces and ntuples of TOPAS: named as such with their counts, and never read as grids.

A `.header` in words stands beside a `.phsp` with the records (ASCII, Binary, Limited); ROOT and XML files hold both.
The records themselves are not read: particles are no voxels. Their number is checked against the size of the `.phsp`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from surrogate3d.errors import FormatError

Kind = Literal["phase space", "ntuple"]
Encoding = Literal["ascii", "binary", "limited", "root", "xml"]

_COUNTS = {
    "Number of Original Histories": "n_histories",
    "Number of Original Histories that Reached Phase Space": "n_reached",
    "Number of Scored Particles": "n_particles",
    "Number of Scored Entries": "n_particles",
    "Number of Bytes per Particle": "record_bytes",
}
_LINE = re.compile(r"^(.+?): +(\d+)$")
_NUMBERED = re.compile(r"^\d+: (.+)$")
_BYTES = re.compile(r"^(\d+) ?- ?(\d+): (.+)$")
_TYPED = re.compile(r"^[a-zA-Z](\d+): (.+)$")
_ENERGY = re.compile(r"^(Minimum|Maximum) Kinetic Energy of (.+): (\S+) MeV$")
# A unit is one word in brackets at the end; "(1 means true)" and "(in PDG Format)" are words about the column.
_UNIT = re.compile(r"^(.*\S) (?:\((\S+)\)|\[(\S+)\])$")
_ROOT_MAGIC = b"root"
_LIMITED_TITLE = "TOPAS Phase Space in"


@dataclass(frozen=True)
class NtupleColumn:
    """One number of a record; unit "1" is a pure number, "" one that is not printed; bytes may be unknown."""

    name: str
    unit: str
    bytes: int | None = None


@dataclass(frozen=True)
class NtupleHeader:
    """What a phase space or ntuple says about itself.

    Attributes:
        path: the `.header`, `.root` or `.xml` file.
        kind: "phase space" has particles that crossed a surface, "ntuple" whatever its scorer fills in.
        encoding: of the records.
        n_histories: simulated histories; None when the file does not say.
        n_particles: records; None when the file does not say.
        n_reached: histories with at least one record; None when the file does not say.
        record_bytes: length of a record; None when records are lines or not known.
        columns: of a record, in file order; empty when not known.
        n_by_particle: records by particle name.
        energy_range_mev: smallest and largest kinetic energy by particle name, MeV.
        data_file: the `.phsp` file; None when it is not there, or is the same file.
        notes: what a reader should know.
    """

    path: Path
    kind: Kind
    encoding: Encoding
    n_histories: int | None = None
    n_particles: int | None = None
    n_reached: int | None = None
    record_bytes: int | None = None
    columns: tuple[NtupleColumn, ...] = ()
    n_by_particle: tuple[tuple[str, int], ...] = ()
    energy_range_mev: tuple[tuple[str, float, float], ...] = ()
    data_file: Path | None = None
    notes: tuple[str, ...] = ()


def is_ntuple(path: Path) -> bool:
    """Whether a file is, by its name or its first bytes, a phase space, an ntuple, or a ROOT or XML file."""
    if path.suffix in (".header", ".phsp", ".root", ".xml"):
        return True
    return path.is_file() and _magic(path) is not None


def describe_ntuple(path: Path) -> NtupleHeader:
    """Say what a phase space or ntuple holds.

    Args:
        path: the `.header` or `.phsp` (the other is looked for beside it), or a `.root` or `.xml` file.

    Raises:
        FormatError: no header, an unknown line, or another number of records than the header promises.
    """
    if path.suffix not in (".header", ".phsp"):
        return _container(path)
    header = path.with_suffix(".header")
    if not header.is_file():
        raise FormatError(
            f"{path.name}: expected {header.name} beside it, found none; copy the header of the run there"
        )
    lines = header.read_text(encoding="utf-8", errors="replace").splitlines()
    is_limited = any(line.startswith(_LIMITED_TITLE) for line in lines[:2])
    found = _read_limited(header, lines) if is_limited else _read_words(header, lines)
    return _checked(found)


def _magic(path: Path) -> Encoding | None:
    with path.open("rb") as stream:
        start = stream.read(512)
    if start.startswith(_ROOT_MAGIC):
        return "root"
    is_aida = start.lstrip().startswith(b"<") and (b"<aida" in start.lower() or b"aida.dtd" in start.lower())
    return "xml" if is_aida else None


def _container(path: Path) -> NtupleHeader:
    encoding = _magic(path)
    if encoding is None:
        raise FormatError(f"{path.name}: expected a ROOT file or AIDA XML as TOPAS writes it, found neither")
    what = "a ROOT file" if encoding == "root" else "an XML file of histograms or ntuples"
    note = f"{what}: histograms of one or two dimensions, or ntuples; TOPAS cannot write a 3-D grid into it"
    return NtupleHeader(path, "ntuple", encoding, notes=(note,))


def _read_words(path: Path, lines: list[str]) -> NtupleHeader:
    """A header in words: of a phase space (with a title), or of a generic ntuple (without)."""
    text = [line.strip() for line in lines if line.strip()]
    titled = re.match(r"^TOPAS (ASCII|Binary) Phase Space$", text[0]) if text else None
    is_binary = any(line.startswith("Byte order of each record") for line in text)
    found = NtupleHeader(path, "phase space" if titled else "ntuple", "binary" if is_binary else "ascii")
    for number, line in enumerate(text[1:] if titled else text, start=2 if titled else 1):
        found = _read_line(found, line, f"{path.name}, entry {number}")
    if found.n_particles is None or not found.columns:
        raise FormatError(
            f"{path.name}: not a TOPAS phase space or ntuple header (no number of records or no columns); is it cut?"
        )
    return replace(found, energy_range_mev=_energy_ranges(text))


def _energy_ranges(text: list[str]) -> tuple[tuple[str, float, float], ...]:
    limits: dict[str, list[float]] = {}
    for line in text:
        if found := _ENERGY.match(line):
            limits.setdefault(found[2], []).append(_energy(found[3], line))
    return tuple((name, min(values), max(values)) for name, values in limits.items())


def _energy(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise FormatError(f"expected an energy in a phase space header, found {line[:80]!r}; is it damaged?") from error


def _read_line(found: NtupleHeader, line: str, where: str) -> NtupleHeader:
    if line.startswith(("Columns of data", "Byte order of each record")) or _ENERGY.match(line):
        return found
    if (count := _LINE.match(line)) and count[1] in _COUNTS:
        return replace(found, **{_COUNTS[count[1]]: int(count[2])})  # type: ignore[arg-type]  # an int field
    if count and count[1].startswith("Number of "):
        by_particle = (*found.n_by_particle, (count[1].removeprefix("Number of "), int(count[2])))
        return replace(found, n_by_particle=by_particle)
    if column := _column(line, found.encoding):
        return replace(found, columns=(*found.columns, column))
    raise FormatError(f"{where}: unknown line {line[:80]!r} in a TOPAS phase space or ntuple header")


def _column(line: str, encoding: Encoding) -> NtupleColumn | None:
    size: int | None = None
    if encoding == "ascii" and (found := _NUMBERED.match(line)):
        text = found[1]
    elif encoding == "binary" and (found := _BYTES.match(line)):
        text, size = found[3], int(found[2]) - int(found[1]) + 1
    elif encoding == "binary" and (found := _TYPED.match(line)):
        text, size = found[2], int(found[1])
    else:
        return None
    unit = _UNIT.match(text)
    return NtupleColumn(unit[1], unit[2] or unit[3], size) if unit else NtupleColumn(text, "1", size)


def _read_limited(path: Path, lines: list[str]) -> NtupleHeader:
    """The "limited" format: blocks of $KEY: and the lines that follow; a record starts with particle and energy."""
    blocks: dict[str, list[str]] = {}
    key = ""
    for line in lines:
        if line.startswith("$"):
            key = line.strip().strip("$:")
            blocks[key] = []
        elif line.strip() and key:
            blocks[key].append(line.strip())
    if not any("stored" in line for line in blocks.get("RECORD_CONTENTS", [])):
        raise FormatError(f"{path.name}: there is no $RECORD_CONTENTS:, so the columns are not known; is it cut?")
    stored = [re.match(r"^1 +// (.+) (?:is|are) stored \?$", line) for line in blocks.get("RECORD_CONTENTS", [])]
    return NtupleHeader(
        path,
        "phase space",
        "limited",
        n_histories=_block_number(blocks, "ORIG_HISTORIES", path),
        n_particles=_block_number(blocks, "PARTICLES", path),
        record_bytes=_block_number(blocks, "RECORD_LENGTH", path),
        columns=tuple(NtupleColumn(name[1], "") for name in stored if name),
        notes=("the limited format does not print units; W is stored as its sign only",),
    )


def _block_number(blocks: dict[str, list[str]], key: str, path: Path) -> int:
    values = blocks.get(key, [])
    if len(values) != 1 or not values[0].isdigit():
        raise FormatError(f"{path.name}: expected one whole number after ${key}:, found {values or 'nothing'}")
    return int(values[0])


def _checked(found: NtupleHeader) -> NtupleHeader:
    """With the `.phsp` beside it, if its size is what the header promises."""
    sizes = [column.bytes for column in found.columns]
    listed = sum(size for size in sizes if size is not None)
    if found.encoding == "binary" and listed != found.record_bytes:
        raise FormatError(
            f"{found.path.name}: expected {found.record_bytes} bytes a record, found columns of {listed} together; "
            "the header was edited"
        )
    notes = list(found.notes)
    if not found.n_histories and found.n_particles:
        notes.append(f"the header counts no original histories, but {found.n_particles} records")
    data = found.path.with_suffix(".phsp")
    if not data.is_file():
        return replace(found, notes=(*notes, f"{data.name} is not beside the header; the counts are not checked"))
    _require_records(found, data)
    return replace(found, data_file=data, notes=tuple(notes))


def _require_records(found: NtupleHeader, data: Path) -> None:
    if found.record_bytes is None:
        n, unit = _count_lines(data), "lines"
        expected = found.n_particles
    else:
        n, unit = data.stat().st_size, "bytes"
        expected = found.record_bytes * (found.n_particles or 0)
    if n != expected:
        raise FormatError(
            f"{data.name}: expected {expected} {unit} for the {found.n_particles} records of {found.path.name}, "
            f"found {n}; the run was cut short or the header belongs to another run"
        )


def _count_lines(path: Path) -> int:
    lines, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            if b"\0" in block:
                raise FormatError(f"{path.name}: expected records as text, found binary ones; the file is damaged")
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")
