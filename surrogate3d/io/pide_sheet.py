"""One sheet of an Excel workbook (.xlsx) as text, with the standard library: a zip of XML files (ECMA-376 part 1).

Numbers come as they are stored, formulas as the value that was last computed.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from surrogate3d.errors import FormatError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_LARGEST_BYTES = 200_000_000
"""Of one unpacked part: PIDE's sheet has 1 MB."""

_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ElementTree.ParseError),
    *(KeyError, IndexError, ValueError, NotImplementedError, RuntimeError),  # parts that lack; encrypted ones
)


def read_first_sheet(path: Path) -> list[tuple[int, list[str]]]:
    """The first sheet.

    Args:
        path: of the workbook.

    Returns:
        Number (from 1) and texts of each row that is not empty; a cell without value is "".

    Raises:
        FormatError: it is no workbook, or it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as book:
            shared = _shared_strings(book)
            sheet = _part(book, _first_sheet(book))
    except _DAMAGE as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path.name}: not a whole Excel workbook ({error}); download it again") from error
    rows = [_row(row, shared, path) for row in sheet.iter(f"{_MAIN}row")]
    return [(number, texts) for number, texts in rows if any(texts)]


def column_letters(index: int) -> str:
    """A column as Excel names it: 0 is A, 26 is AA."""
    letters = ""
    while index >= 0:
        index, rest = divmod(index, 26)
        letters, index = chr(ord("A") + rest) + letters, index - 1
    return letters


def _part(book: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if book.getinfo(name).file_size > _LARGEST_BYTES:
        raise FormatError(f"{book.filename}: {name} unpacks to more than {_LARGEST_BYTES / 1e6:.0f} MB")
    return ElementTree.fromstring(book.read(name))


def _first_sheet(book: zipfile.ZipFile) -> str:
    sheet = next(_part(book, "xl/workbook.xml").iter(f"{_MAIN}sheet"), None)
    if sheet is None:
        raise ValueError("no sheet in it")
    relations = {r.get("Id"): r.get("Target", "") for r in _part(book, "xl/_rels/workbook.xml.rels")}
    return posixpath.normpath(posixpath.join("/xl", relations[sheet.get(_RELATION)])).lstrip("/")


def _shared_strings(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    return [_text(item) for item in _part(book, "xl/sharedStrings.xml").iter(f"{_MAIN}si")]


def _text(item: ElementTree.Element) -> str:
    """Runs of formatted text joined, without the phonetic ones."""
    runs = [*item.findall(f"{_MAIN}t"), *item.findall(f"{_MAIN}r/{_MAIN}t")]
    return "".join(run.text or "" for run in runs)


def _row(row: ElementTree.Element, shared: list[str], path: Path) -> tuple[int, list[str]]:
    number = int(row.get("r", "0"))
    texts: list[str] = []
    for cell in row.iter(f"{_MAIN}c"):
        letters = re.match("[A-Z]+", cell.get("r", ""))
        if letters is None or number < 1:
            raise FormatError(f"{path.name}: a cell without position; open and save it with a spreadsheet program")
        texts += [""] * (_index(letters[0]) + 1 - len(texts))
        texts[_index(letters[0])] = _value(cell, shared, f"{path.name}, row {number}, cell {cell.get('r')}")
    return number, texts


def _index(letters: str) -> int:
    index = 0
    for letter in letters:
        index = 26 * index + ord(letter) - ord("A") + 1
    return index - 1


def _value(cell: ElementTree.Element, shared: list[str], where: str) -> str:
    if cell.get("t") == "inlineStr":
        inline = cell.find(f"{_MAIN}is")
        return "" if inline is None else _text(inline).strip()
    text = (cell.findtext(f"{_MAIN}v") or "").strip()
    if cell.get("t") != "s" or not text:
        return text
    if not text.isdecimal() or int(text) >= len(shared):
        raise FormatError(f"{where}: shared text {text!r} does not exist; the workbook is damaged, download it again")
    return shared[int(text)].strip()
