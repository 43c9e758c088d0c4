"""CSV files that users write: comment lines, one header line, then rows of which every value knows its line.

Lines that begin with "#" are comments; of the form `# key = value` they are notes to be read. Nothing is guessed: a
column or note of another name is refused with the nearest known one, and numbers are written as in TOPAS.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from surrogate3d.errors import FormatError, StoreError, ValueRangeError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOTE = re.compile(r"#\s*([A-Za-z_]\w*)\s*=\s*(.*\S)\s*")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        where: "file, line N", for messages.
        values: text by column, blanks stripped.
    """

    where: str
    values: Mapping[str, str]

    def has(self, column: str) -> bool:
        """Whether there is a value."""
        return bool(self.values.get(column))

    def word(self, column: str) -> str:
        """A text.

        Raises:
            FormatError: it is empty.
        """
        if not self.values[column]:
            raise FormatError(f"{self.where}: {column} is empty")
        return self.values[column]

    def number(self, column: str, least: float = 0.0) -> float:
        """A finite number.

        Raises:
            FormatError: it is empty or no number.
            ValueRangeError: it is less than `least`.
        """
        return number(self.values[column], f"{self.where}: {column}", least)


@dataclass(frozen=True)
class LabelledCsv:
    """The content of a file.

    Attributes:
        path: of the file.
        columns: names in the header.
        rows: in order; at least one.
        notes: value by key, of `# key = value`.
        sha256: hexadecimal digest of the file.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: Mapping[str, str]
    sha256: str


def number(text: str, what: str, least: float = 0.0) -> float:
    """A finite number from its text; errors as `Row.number`."""
    if not _NUMBER.fullmatch(text):
        raise FormatError(f"{what} must be a number such as 0.25, found {text!r}")
    value = float(text)
    if not least <= value < float("inf"):
        raise ValueRangeError(f"{what} must be finite and not below {least:g}, found {text}")
    return value


def read_labelled_csv(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    notes: Sequence[str] = (),
    advice: Mapping[str, str] | None = None,
) -> LabelledCsv:
    """Read a file.

    Args:
        path: of the file.
        required: columns that there must be.
        optional: columns that there may be.
        notes: keys that `# key = value` may have; a comment that is no such line is skipped.
        advice: what to say of a foreign column, by the beginning of its name.

    Raises:
        StoreError: there is no such file.
        FormatError: not text, no header or no rows, columns or notes that are missing, twice or unknown, or a row that
            has not one value for each column.
    """
    content = _content(path)
    lines = list(enumerate(re.split("\r\n|\r|\n", _text(content, path)), start=1))
    used = [(n, line) for n, line in lines if line.strip() and not line.lstrip().startswith("#")]
    if len(used) < 2:
        raise FormatError(f"{path.name}: expected a header line and rows below it, found {len(used)} lines with values")
    columns = tuple(_fields(*used[0], path))
    _check_header(columns, required, optional, f"{path.name}, line {used[0][0]}", advice or {})
    rows = tuple(_row(n, line, columns, path) for n, line in used[1:])
    return LabelledCsv(path, columns, rows, _notes(lines, notes, path), hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise StoreError(f"no file at {path}; check the path")
    return path.read_bytes()


def _text(content: bytes, path: Path) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name}: not text in UTF-8 ({error.reason} at byte {error.start})") from error
    if "\0" in text:
        raise FormatError(f"{path.name}: not a text file; save it as CSV")
    return text


def _fields(n: int, line: str, path: Path) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], strict=True))]
    except csv.Error as error:
        raise FormatError(f"{path.name}, line {n}: not a line of CSV: {error}") from error


def _check_header(
    columns: Sequence[str], required: Sequence[str], optional: Sequence[str], where: str, advice: Mapping[str, str]
) -> None:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        raise FormatError(f"{where}: separate columns by commas and write decimals with a point, found {columns[0]!r}")
    known = [*required, *optional]
    for column in columns:
        if column not in known:
            near = get_close_matches(column.lower(), known, 1, 0.0)[0]
            hint = next((text for start, text in advice.items() if column.lower().startswith(start)), None)
            raise FormatError(
                f"{where}: unknown column {column!r}; {hint or f'the nearest known one is {near!r}'}; "
                f"known: {', '.join(known)}"
            )
        if columns.count(column) > 1:
            raise FormatError(f"{where}: column {column!r} is there twice")
    for column in required:
        if column not in columns:
            raise FormatError(f"{where}: column {column!r} is missing; needed: {', '.join(required)}")


def _row(n: int, line: str, columns: Sequence[str], path: Path) -> Row:
    fields = _fields(n, line, path)
    if len(fields) != len(columns):
        raise FormatError(
            f"{path.name}, line {n}: expected {len(columns)} values ({', '.join(columns)}), found {len(fields)}"
        )
    return Row(f"{path.name}, line {n}", dict(zip(columns, fields, strict=True)))


def _notes(lines: Sequence[tuple[int, str]], known: Sequence[str], path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for n, line in lines:
        match = _NOTE.fullmatch(line.strip())
        if match is None:
            continue
        key, value = match.groups()
        where = f"{path.name}, line {n}"
        if key not in known:
            near = get_close_matches(key.lower(), known, 1, 0.6)
            if near:
                raise FormatError(f"{where}: unknown note {key!r}; did you mean {near[0]!r}? Known: {', '.join(known)}")
            continue
        if key in found:
            raise FormatError(f"{where}: note {key!r} is there twice")
        found[key] = value
    return found
