"""Rows of a TOPAS CSV file: numbers out of text, block by block, and which line is at fault.

TOPAS writes 16 digits, a comma and a space between numbers, none at the end of a line, and ends every line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc

from surrogate3d.errors import FormatError

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

BLOCK_BYTES = 16 * 1024**2

_PARSE = pc.ParseOptions(delimiter=",", quote_char=False, escape_char=False, ignore_empty_lines=True)


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a file.

    Attributes:
        text: the bytes they were read from.
        first_line: number of their first line in the file.
        index: (n, 0, 1 or 3) indices.
        values: (n, column) numbers.
    """

    text: bytes
    first_line: int
    index: Indices
    values: Array

    def line(self, row: int) -> int:
        """Line of the file in which a row stands; lines without anything are no rows."""
        lines = (n for n, line in enumerate(self.text.splitlines()) if line)
        return self.first_line + next(n for count, n in enumerate(lines) if count == row)


def read_rows(path: Path, n_index: int, n_columns: int) -> Iterator[Rows]:
    """Rows of a CSV file after its header, block by block.

    Args:
        path: the file.
        n_index: columns of indices.
        n_columns: columns of values.

    Raises:
        FormatError: a row is cut, ragged, or holds something else than numbers, with the line and the voxel.
    """
    with path.open("rb") as stream:
        first_line = 1
        while (line := stream.readline()).startswith(b"#"):
            first_line += 1
        stream.seek(-len(line), 1)
        for text in _texts(stream, path.name):
            yield _parse(text, first_line, n_index, n_columns, path.name)
            first_line += text.count(b"\n")


def _texts(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """The body in pieces of whole lines."""
    rest = b""
    while chunk := stream.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
    if rest:
        raise FormatError(
            f"{where}: expected a line end after the last row, found {rest[-40:].decode(errors='replace')!r}; "
            "the run was cut short, and the last number may be too"
        )


def _parse(text: bytes, first_line: int, n_index: int, n_columns: int, where: str) -> Rows:
    n = n_index + n_columns
    names = [str(column) for column in range(n)]
    types = {name: pa.int64() if column < n_index else pa.float64() for column, name in enumerate(names)}
    try:
        table = pc.read_csv(
            pa.BufferReader(text),  # type: ignore[arg-type]  # the stubs leave out Arrow's own streams
            read_options=pc.ReadOptions(column_names=names, block_size=max(1024**2, 64 * n)),
            parse_options=_PARSE,
            convert_options=pc.ConvertOptions(column_types=types, null_values=[], check_utf8=False),
        )
    except pa.ArrowInvalid as error:
        raise FormatError(f"{where}{_fault(text, first_line, n_index, n) or f': {error}'}") from error
    index = np.empty((len(table), n_index), dtype=np.int64)
    values = np.empty((len(table), n_columns))
    for column in range(n):
        target = index[:, column] if column < n_index else values[:, column - n_index]
        target[:] = table.column(column).to_numpy()
    return Rows(text, first_line, index, values)


def _fault(text: bytes, first_line: int, n_index: int, n_columns: int) -> str:
    """Line and voxel of the first row that is not as expected, and how."""
    for number, line in enumerate(text.decode(errors="replace").split("\n"), start=first_line):
        fields = [entry.strip() for entry in line.split(",")]
        if line.rstrip("\r") and (fault := _fault_of_row(fields, n_index, n_columns)):
            voxel = f" (voxel {', '.join(fields[:n_index])})" if all(f.isdigit() for f in fields[:n_index]) else ""
            return f", line {number}{voxel if n_index else ''}: {fault}"
    return ""


def _fault_of_row(fields: list[str], n_index: int, n_columns: int) -> str:
    if fields[0].startswith("#"):
        return "a second header begins among the rows; were files joined?"
    if len(fields) == n_columns + 1 and not fields[-1]:
        return "the row ends with a comma; the row is cut, or the file was edited"
    if len(fields) != n_columns:
        indices = f" ({n_index} of indices)" if n_index else ""
        return f"expected {n_columns} columns{indices}, found {len(fields)}; the row is cut or of another header"
    for column, entry in enumerate(fields):
        if not entry:
            return f"column {column + 1} is empty; a number is needed"
        try:
            int(entry) if column < n_index else float(entry)
        except ValueError:
            what = "not an index" if column < n_index else "not a number"
            return f"column {column + 1} holds {entry!r}, {what}"
    return ""
