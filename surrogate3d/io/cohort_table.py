"""The table of a cohort, `cohort.csv`: one row a lesion, with its files and what is stated of it (docs/cohorts.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from surrogate3d.errors import FormatError, ValueRangeError
from surrogate3d.grid import DELIVERED
from surrogate3d.io.labelled_csv import LabelledCsv, Row, read_labelled_csv

TABLE = "cohort.csv"
FILES = ("image", "mask", "follow_up_mask", *DELIVERED, "truth", "image_to_dose")
NUMBERS = {"volume_mm3": 0.0, "follow_up_volume_mm3": 0.0, "volume_change": -1.0, "days": 0.0}
"""Columns of numbers, and the least that each may be."""

REQUIRED = ("patient", "lesion", "image", "mask")
OPTIONAL = (*FILES[2:], "dose_to", *NUMBERS, "outcome")
OUTCOMES = {"1": 1.0, "responder": 1.0, "0": 0.0, "non-responder": 0.0}
DOSES = {"": "dose_to_water", "water": "dose_to_water", "medium": "dose_to_medium"}
"""Quantity of the column `dose`, by the column `dose_to`."""

_ADVICE = {"volume": "volumes are in mm^3, in columns 'volume_mm3' and 'follow_up_volume_mm3'"}


@dataclass(frozen=True)
class Source:
    """A file that the table names.

    Attributes:
        path: of the file, or of the folder of a DICOM series.
        part: what is taken of it, written after a `#`; empty for all.
    """

    path: Path
    part: str


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        where: file and line, for messages.
        patient: name of the patient.
        lesion: name of the lesion.
        files: sources by column, those that the row has.
        numbers: by column; NaN where the row has none.
        outcome: 1 for a responder, 0 for a non-responder, NaN where it is not stated.
        dose_quantity: what `dose` holds, the name of a quantity.
    """

    where: str
    patient: str
    lesion: str
    files: Mapping[str, Source]
    numbers: Mapping[str, float]
    outcome: float
    dose_quantity: str

    @property
    def name(self) -> str:
        """Patient and lesion, for notes: they outlive the table."""
        return f"patient {self.patient}, lesion {self.lesion}"

    @property
    def place(self) -> str:
        """Patient, lesion and line, for refusals."""
        return f"{self.name} ({self.where})"


@dataclass(frozen=True)
class CohortTable:
    """The whole table.

    Attributes:
        entries: in order.
        notes: the comment lines, in sentences.
    """

    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def read_table(folder: Path) -> CohortTable:
    """Read the table of a cohort folder.

    Raises:
        StoreError: there is no table.
        FormatError: a damaged table, a file that is not inside the folder, an unknown word, a lesion or a mask that
            is there twice, an image of two patients, or patients whose names differ only in case.
        ValueRangeError: a number that is not possible.
    """
    found = read_labelled_csv(folder / TABLE, REQUIRED, OPTIONAL, advice=_ADVICE)
    entries = tuple(_entry(row, folder) for row in found.rows)
    _require_distinct(entries)
    return CohortTable(entries, _comments(found))


def _comments(found: LabelledCsv) -> tuple[str, ...]:
    lines = found.path.read_text(encoding="utf-8-sig").splitlines()
    said = (line.strip().lstrip("#").strip() for line in lines if line.lstrip().startswith("#"))
    return tuple(text for text in said if text)


def _entry(row: Row, folder: Path) -> Entry:
    numbers = {column: row.number(column, least) if row.has(column) else math.nan for column, least in NUMBERS.items()}
    if numbers["volume_mm3"] == 0:
        raise ValueRangeError(f"{row.where}: volume_mm3 must be above 0; leave it empty where it is not known")
    return Entry(
        where=row.where,
        patient=row.word("patient"),
        lesion=row.word("lesion"),
        files={c: _source(row, c, folder) for c in FILES if c in REQUIRED or row.has(c)},
        numbers=numbers,
        outcome=_outcome(row),
        dose_quantity=_dose_quantity(row),
    )


def _source(row: Row, column: str, folder: Path) -> Source:
    name, _, part = (text.strip() for text in row.word(column).partition("#"))
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise FormatError(
            f"{row.where}: {column} must be a path inside the cohort's folder, parts separated by '/', found "
            f"{row.values[column]!r}; copy the file or link to it"
        )
    return Source(folder / path, part)


def _dose_quantity(row: Row) -> str:
    medium = row.values.get("dose_to", "")
    if medium not in DOSES:
        raise FormatError(f"{row.where}: dose_to must be 'water', 'medium' or empty (water), found {medium!r}")
    return DOSES[medium]


def _outcome(row: Row) -> float:
    if not row.has("outcome"):
        return math.nan
    text = row.word("outcome").lower()
    if text not in OUTCOMES:
        raise FormatError(f"{row.where}: outcome must be one of {', '.join(OUTCOMES)}, found {row.values['outcome']!r}")
    return OUTCOMES[text]


def _require_distinct(entries: Sequence[Entry]) -> None:
    """Nothing is there twice that could put one lesion, or one patient, on both sides of a split."""
    names, masks = dict[tuple[str, str], Entry](), dict[Source, Entry]()
    patients, images = dict[str, Entry](), dict[Source, Entry]()
    for entry in entries:
        other = names.setdefault((entry.patient, entry.lesion), entry)
        if other is not entry:
            raise FormatError(
                f"{other.place} is there twice, again in {entry.where}; lesions of a patient need own names"
            )
        other = masks.setdefault(entry.files["mask"], entry)
        if other is not entry:
            raise FormatError(f"{other.place} and {entry.place} have one mask; each needs its own file, label or ROI")
        other = patients.setdefault(entry.patient.casefold(), entry)
        if other.patient != entry.patient:
            raise FormatError(f"{other.place} and {entry.place}: names of patients differ only in case; write one way")
        other = images.setdefault(entry.files["image"], entry)
        if other.patient != entry.patient:
            raise FormatError(f"{other.place} and {entry.place} have one image; an image is of one patient")
