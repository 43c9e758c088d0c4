"""Reader of the Particle Irradiation Data Ensemble (PIDE) 3.x: a table of experiments and two files of survival points.

PIDE is given by GSI to registered users (www.gsi.de/bio-pide); it may not be passed on, and its use is cited as
Friedrich et al. (2013) doi:10.1093/jrr/rrs114 and Friedrich, Pfuhl, Scholz (2021) doi:10.1093/jrr/rrab034.

What is damaged (a missing column, a text in place of a number, a cut line) is refused with file, line and column. A
value that cannot be leaves its experiment out, with the reason. What is odd but possible is kept, and noted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from surrogate3d.errors import FormatError, StoreError, UnsupportedError
from surrogate3d.io.manifest import sha256_file
from surrogate3d.io.pide_curves import Curve, read_curves
from surrogate3d.io.pide_experiment import ELEMENTS, Experiment, Experiments, LqPair, Note
from surrogate3d.io.pide_notes import notes_on, notes_on_curves
from surrogate3d.io.pide_store import read_experiments, write_experiments
from surrogate3d.io.pide_table import TableRow, read_table

__all__ = ["Experiment", "Experiments", "LqPair", "Note", "read_experiments", "read_pide", "write_experiments"]

CHECKED_VERSION = "3.4"

_LIMITS = {
    "LET": ("keV/um", 0.0, 30_000.0),
    "Energy": ("MeV/u", 0.0, 5_000.0),
    "DNAcontent": ("10^9 base pairs", 0.0, 20.0),
}
"""Above the first and at most the second; the largest in 3.4 are 16500, 1000 and 6."""

_LARGEST_PARAMETER = {"a": 20.0, "b": 10.0}
"""Absolute values of alpha (1/Gy) and beta (1/Gy^2); the largest in 3.4 are 3.7 and 1.9."""

_PAIRS = ("x_paper", "x_fit", "i_paper", "i_fit")
_CLASS = {"n": "normal", "t": "tumour"}
_ORIGIN = {"h": "human", "r": "rodent"}
_FIELD = {"m": "monoenergetic", "s": "spread out"}


def read_pide(folder: Path) -> Experiments:
    """Read a folder as GSI hands it out: PIDE3.x.xlsx (or .csv), PIDE3.x_PhotonRawData.dat, PIDE3.x_IonRawData.dat.

    Args:
        folder: with files of one version; the .xlsx file is taken where there is a .csv file too.

    Returns:
        The experiments that can be, by ascending ExpID, with what was left out and what is odd.

    Raises:
        StoreError: no such folder, or files that are not there.
        UnsupportedError: another version than 3.x, or several in the folder.
        FormatError: a file is damaged, or the files do not belong together.
    """
    version, table, photon_file, ion_file = _files(Path(folder))
    rows, others = read_table(table)
    photon, ion = read_curves(photon_file, "photon"), read_curves(ion_file, "ion")
    _require_one_numbering(rows, photon, ion)
    kept, left_out = _kept(rows, photon, ion)
    notes = _notes_on_files(version, table, others) + notes_on_curves(ion, photon, rows)
    notes += notes_on([one for one, _ in kept], [row for _, row in kept])
    source = {path.name: sha256_file(path) for path in (table, photon_file, ion_file)}
    return Experiments(tuple(one for one, _ in kept), version, source, tuple(left_out), tuple(notes))


def _files(folder: Path) -> tuple[str, Path, Path, Path]:
    """Version, table, photon points, ion points."""
    if not folder.is_dir():
        raise StoreError(f"no folder at {folder}; give the unpacked folder of PIDE 3.x with PIDE3.x.xlsx in it")
    names = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
    versions = sorted({found[1] for name in names if (found := re.fullmatch(r"pide(\d+\.\d+)\.(xlsx|csv)", name))})
    if not versions:
        raise StoreError(f"no table PIDE3.x.xlsx or PIDE3.x.csv in {folder}; give the unpacked folder of PIDE 3.x")
    if len(versions) > 1:
        raise UnsupportedError(f"{folder} holds PIDE {' and '.join(versions)}; give a folder with one version")
    version = versions[0]
    if not version.startswith("3."):
        raise UnsupportedError(f"{folder} holds PIDE {version}; this reads 3.x, ask GSI for it (www.gsi.de/bio-pide)")
    found_files = [names.get(f"pide{version}.xlsx", names.get(f"pide{version}.csv"))]
    for part in ("PhotonRawData", "IonRawData"):
        found_files.append(names.get(f"pide{version}_{part.lower()}.dat"))
        if found_files[-1] is None:
            raise StoreError(
                f"no file PIDE{version}_{part}.dat in {folder}; it belongs to PIDE {version}, unpack it too"
            )
    table, photon, ion = cast(list[Path], found_files)
    return version, table, photon, ion


def _notes_on_files(version: str, table: Path, others: Sequence[str]) -> list[Note]:
    notes = []
    if version != CHECKED_VERSION:
        notes.append(Note(f"PIDE {version} was read by its column names; the reader was checked on {CHECKED_VERSION}"))
    if table.suffix.lower() == ".xlsx" and table.with_suffix(".csv").exists():
        notes.append(Note(f"{table.name} was read, {table.with_suffix('.csv').name} was not"))
    if others:
        notes.append(Note(f"columns that were not read: {', '.join(others)}"))
    return notes


def _require_one_numbering(rows: Sequence[TableRow], photon: Sequence[Curve], ion: Sequence[Curve]) -> None:
    """Where numbers of two files are equal, they must mean the same."""
    by_id = {row.integer("ExpID"): row for row in rows}
    by_publication = {row.integer("Publication"): row for row in rows}
    for curve in (*ion, *photon):
        key = curve.head.get("ExpID")
        row = by_publication.get(curve.head["Publication"]) if key is None else by_id.get(key)
        if row is None:
            continue
        _require_equal(curve, row, "PublicationName", curve.publication, row.word("PublicationName"))
        for column in ("Publication", "IonExp", "PhotonExp") if key is not None else ():
            _require_equal(curve, row, column, str(curve.head[column]), str(row.integer(column)))


def _require_equal(curve: Curve, row: TableRow, column: str, found: str, expected: str) -> None:
    if found != expected:
        raise FormatError(
            f"{curve.where}, {column}: expected {expected!r} as in {row.where(column)} of ExpID {row.values['ExpID']}, "
            f"found {found!r}; are the files of one version?"
        )


def _kept(
    rows: Sequence[TableRow], photon: Sequence[Curve], ion: Sequence[Curve]
) -> tuple[list[tuple[Experiment, TableRow]], list[tuple[int, str]]]:
    """Experiments with their rows, and what is left out with the reason; both by ExpID."""
    curves_x = {(curve.head["Publication"], curve.head["PhotonExp"]): curve for curve in photon}
    curves_i = {curve.head["ExpID"]: curve for curve in ion}
    by_id: dict[int, list[TableRow]] = {}
    for row in rows:
        by_id.setdefault(row.integer("ExpID"), []).append(row)
    kept, left_out = [], []
    for number, same in sorted(by_id.items()):
        curves = curves_x.get((same[0].integer("Publication"), same[0].integer("PhotonExp"))), curves_i.get(number)
        one = _experiment(same[0], *curves)
        lines = " and ".join(f"line {row.line}" for row in same)
        if any(row.values != same[0].values for row in same):
            left_out.append((number, f"{same[0].file}, {lines} have this ExpID and differ"))
            continue
        left_out += [(number, f"{row.file}, line {row.line} repeats line {same[0].line}") for row in same[1:]]
        reasons = [_impossible(same[0], one), *(curve.impossible for curve in curves if curve is not None)]
        if any(reasons):
            left_out.append((number, "; ".join(reason for reason in reasons if reason)))
        else:
            kept.append((one, same[0]))
    return kept, left_out


def _experiment(row: TableRow, photon: Curve | None, ion: Curve | None) -> Experiment:
    A, species = _ion(row)
    pairs = {name: _pair(row.number(f"a{name}"), row.number(f"b{name}")) for name in _PAIRS}
    return Experiment(
        number=row.integer("ExpID"),
        publication=row.word("PublicationName"),
        cells=row.word("Cells"),
        cell_class=cast(Literal["normal", "tumour"], row.choice("CellClass", _CLASS)),
        cell_origin=cast(Literal["human", "rodent"], row.choice("CellOrigin", _ORIGIN)),
        cell_cycle=row.text("CellCycle"),
        dna_content_gbp=_or_nan(row.number("DNAcontent")),
        photon_radiation=row.text("PhotonRadiation"),
        ion=row.word("Ion"),
        species=species,
        Z=ELEMENTS.index(species) + 1,
        A=A,
        spread_out=row.choice("IrradiationConditions", _FIELD) == "spread out",
        LET=_or_nan(row.number("LET")),
        energy_mev_u=_or_nan(row.number("Energy")),
        photon_paper=pairs["x_paper"],
        photon_fit=pairs["x_fit"],
        ion_paper=pairs["i_paper"],
        ion_fit=pairs["i_fit"],
        photon_points=photon.points if photon else (),
        ion_points=ion.points if ion else (),
    )


def _ion(row: TableRow) -> tuple[int, str]:
    """Mass number and symbol."""
    found = re.fullmatch(r"(\d{1,3})([A-Z][a-z]?)", row.values["Ion"])
    if found is None or found[2] not in ELEMENTS:
        raise FormatError(
            f"{row.where('Ion')}: expected mass number and symbol such as 12C, found {row.values['Ion']!r}"
        )
    return int(found[1]), found[2]


def _pair(alpha: float | None, beta: float | None) -> LqPair | None:
    return None if alpha is None and beta is None else LqPair(alpha, beta)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _impossible(row: TableRow, one: Experiment) -> str:
    """Why the values of a row cannot be; empty if they can. What is not known is no reason, but LET and energy are."""
    for column, (unit, low, high) in _LIMITS.items():
        value = row.number(column)
        if value is not None and not low < value <= high:
            return f"{column} of {value:g} {unit} is not above {low:g} and at most {high:g} ({row.where(column)})"
    for column in (f"{letter}{name}" for name in _PAIRS for letter in "ab"):
        value, limit = row.number(column), _LARGEST_PARAMETER[column[0]]
        if value is not None and abs(value) > limit:
            return f"{column} of {value:g} is beyond {limit:g} ({row.where(column)})"
    if not one.Z <= one.A <= 3 * one.Z:
        return f"no nucleus of {one.species} has mass number {one.A} ({row.where('Ion')})"
    if math.isnan(one.LET) and math.isnan(one.energy_mev_u):
        return f"neither LET nor energy is known ({row.where('LET')})"
    return ""
