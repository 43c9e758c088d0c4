"""The table of PIDE 3.x, from .xlsx or .csv: columns by name, every value with its place.

The columns are those of the Information sheet of PIDE 3.4, by which 3.x shares one structure. A name may be
written as in the workbook ("#ExpID"), as in the sheet (alpha in Greek), or as tools export it ("PublicationID").
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from surrogate3d.errors import FormatError
from surrogate3d.io.pide_sheet import column_letters, read_first_sheet

NOT_AVAILABLE = ("", "N/A", "NA", "#N/A")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COLUMNS: dict[str, tuple[str, ...]] = {
    "ExpID": (), "Publication": ("publicationid",), "PublicationName": ("publictionname",), "IonExp": ("ionexpnum",),
    "Cells": (), "CellClass": (), "CellOrigin": (), "CellCycle": (), "DNAcontent": (), "PhotonRadiation": (),
    "PhotonExp": ("photonexpnum",), "Ion": (), "Charge": (), "IrradiationConditions": (), "LET": (), "Energy": ("e",),
    "ax_paper": (), "bx_paper": (), "ai_paper": (), "bi_paper": (), "ax_fit": (), "bx_fit": (),
    "ai_fit": (), "bi_fit": (),
}  # fmt: skip
"""Further spellings by column; the Information sheet itself writes "PublictionName"."""


@dataclass(frozen=True)
class TableRow:
    """One experiment.

    Attributes:
        file: name.
        line: number in the file, from 1.
        values: text by column.
        letters: of each column, as Excel names it; empty for a .csv file.
    """

    file: str
    line: int
    values: Mapping[str, str]
    letters: Mapping[str, str]

    def where(self, column: str) -> str:
        """File, line and column, for messages."""
        letters = f" ({self.letters[column]})" if column in self.letters else ""
        return f"{self.file}, line {self.line}, column {column}{letters}"

    def text(self, column: str) -> str:
        """A text; "" where it is not available."""
        value = self.values[column]
        return "" if value.upper() in NOT_AVAILABLE else value

    def word(self, column: str) -> str:
        """A text that there must be.

        Raises:
            FormatError: it is not available.
        """
        if not self.text(column):
            raise FormatError(f"{self.where(column)}: expected a text, found {self.values[column]!r}")
        return self.text(column)

    def choice(self, column: str, meanings: Mapping[str, str]) -> str:
        """What a letter means.

        Raises:
            FormatError: it is another one.
        """
        found = meanings.get(self.values[column])
        if found is None:
            known = ", ".join(f"{key!r} ({meaning})" for key, meaning in meanings.items())
            raise FormatError(f"{self.where(column)}: expected {known}; found {self.values[column]!r}")
        return found

    def integer(self, column: str) -> int:
        """A whole number, also of the form "7.0".

        Raises:
            FormatError: it is none.
        """
        return whole_number(self.values[column], self.where(column))

    def number(self, column: str) -> float | None:
        """A number; None where it is not available.

        Raises:
            FormatError: it is neither.
        """
        if not self.text(column):
            return None
        return plain_number(self.values[column], self.where(column))


def plain_number(text: str, where: str) -> float:
    """A finite number from its text.

    Raises:
        FormatError: it is none.
    """
    if not _NUMBER.fullmatch(text) or float(text) == float("inf"):
        raise FormatError(f"{where}: expected a number such as 0.25, or N/A, found {text!r}")
    return float(text)


def whole_number(text: str, where: str) -> int:
    """A whole number from its text, also of the form "7.0".

    Raises:
        FormatError: it is none.
    """
    if not re.fullmatch(r"\d{1,9}(\.0*)?", text, re.ASCII):
        raise FormatError(f"{where}: expected a whole number, found {text!r}")
    return int(float(text))


def decoded(path: Path) -> str:
    """A text file.

    Raises:
        FormatError: it is not text in UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name}: not text in UTF-8 ({error.reason} at byte {error.start})") from error
    if "\0" in text:
        raise FormatError(f"{path.name}: not a text file; download it again")
    return text


def read_table(path: Path) -> tuple[list[TableRow], list[str]]:
    """The rows of a table, and the names of columns that it has beside the known ones.

    Args:
        path: a .xlsx or a .csv file; the latter separated by commas, semicolons or tabs.

    Raises:
        FormatError: damaged, a column that is missing or twice, a row with another number of values, or no rows.
    """
    of_sheet = path.suffix.lower() == ".xlsx"
    lines = read_first_sheet(path) if of_sheet else _csv_lines(path)
    if len(lines) < 2:
        raise FormatError(f"{path.name}: expected a header and rows below it, found {len(lines)} lines with values")
    (header_line, header), body = lines[0], lines[1:]
    places, others = _columns(header, f"{path.name}, line {header_line}")
    letters = {name: column_letters(place) for name, place in places.items()} if of_sheet else {}
    rows = []
    for number, texts in body:
        texts = texts + [""] * (len(header) - len(texts)) if of_sheet else texts
        if len(texts) < len(header) or any(texts[len(header) :]):
            raise FormatError(f"{path.name}, line {number}: expected {len(header)} values, found {len(texts)}")
        rows.append(TableRow(path.name, number, {name: texts[n] for name, n in places.items()}, letters))
    return rows, others


def _csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    text = decoded(path)
    separator = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(re.split("\r\n|\r|\n", text), strict=True, delimiter=separator)
    try:
        lines = [(reader.line_num, [value.strip() for value in fields]) for fields in reader]
    except csv.Error as error:
        raise FormatError(f"{path.name}, line {reader.line_num}: not a line of CSV: {error}") from error
    return [(number, fields) for number, fields in lines if any(fields)]


def _columns(header: Sequence[str], where: str) -> tuple[dict[str, int], list[str]]:
    """Index by known column; names of the others."""
    names = {alias: name for name, aliases in _COLUMNS.items() for alias in (_plain(name), *aliases)}
    places: dict[str, int] = {}
    others = []
    for n, text in enumerate(header):
        name = names.get(_plain(text))
        if name in places:
            raise FormatError(f"{where}: column {name} is there twice, as {header[places[name]]!r} and {text!r}")
        if name is None:
            others += [text] if text else []
        else:
            places[name] = n
    missing = [name for name in _COLUMNS if name not in places]
    if missing:
        raise FormatError(
            f"{where}: {len(missing)} columns of PIDE 3.x are missing: {', '.join(missing)}; "
            f"found {', '.join(header)[:300]}"
        )
    return places, others


def _plain(name: str) -> str:
    """A column name in lower case, Latin, without marks."""
    return re.sub("[^a-z0-9]", "", name.lower().replace("α", "a").replace("β", "b"))
