"""DICOM files as bytes: elements of little-endian files with their places, found without pydicom's reader."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_ITEM = 0xFFFEE000
PREAMBLE = 132


@dataclass(frozen=True)
class Element:
    """One element: `path` by keywords, where it, its value and what follows begin, and whether its length is wide."""

    path: str
    vr: bytes
    start: int
    value: int
    end: int
    wide: bool


def elements_of(content: bytes) -> list[Element]:
    """Elements in file order, those of sequences after the sequence itself.

    Raises:
        ValueError: the bytes are not such a file.
    """
    if content[128:132] != b"DICM":
        raise ValueError("no DICM prefix")
    found: list[Element] = []
    at = PREAMBLE
    while content[at : at + 2] == b"\x02\0":
        at = _walk(content, at, at + 8, "", found, implicit=False)
    syntax = next((content[e.value : e.end] for e in found if e.path == "TransferSyntaxUID"), b"")
    _walk(content, at, len(content.rstrip(b"\0")), "", found, implicit=syntax.rstrip(b"\0 ") == b"1.2.840.10008.1.2")
    return found


def with_value(content: bytes, element: Element, value: bytes) -> bytes:
    """The file with another value in an element that is in no sequence; its length is written anew."""
    if len(value) % 2:
        value += b" " if element.vr in (b"DS", b"IS", b"CS", b"LO", b"UI", b"SH", b"ST") else b"\0"
    wide = element.wide
    length = struct.pack("<I" if wide else "<H", len(value) % (2**32 if wide else 2**16))
    head = content[element.start : element.value - len(length)]
    return content[: element.start] + head + length + value + content[element.end :]


def _walk(content: bytes, at: int, end: int, above: str, found: list[Element], implicit: bool) -> int:
    """Elements that begin before `end`; where the last one ends."""
    while at < end:
        start = at
        group, number = struct.unpack_from("<HH", content, at)
        tag = group << 16 | number
        vr = content[at + 4 : at + 6] if not implicit else _usual_vr(tag)
        if not vr.replace(b" or ", b"").isalpha():
            raise ValueError(f"no VR at {at}")
        wide = implicit or vr in _LONG
        value = at + (8 if implicit or not wide else 12)
        length = struct.unpack_from("<I" if wide else "<H", content, value - (4 if wide else 2))[0]
        at = len(content) if length == 2**32 - 1 and vr != b"SQ" else value + length
        if at > len(content):
            raise ValueError(f"element at {start} runs beyond the end")
        path = f"{above}{keyword_for_tag(tag) or f'{tag:08x}'}"
        found.append(Element(path, vr, start, value, at, wide))
        if vr == b"SQ":
            _items(content, value, at, path, found, implicit)
    return at


def _usual_vr(tag: int) -> bytes:
    return dictionary_VR(tag).encode() if dictionary_has_tag(tag) else b"UN"


def _items(content: bytes, at: int, end: int, path: str, found: list[Element], implicit: bool) -> None:
    n = 0
    while at < end:
        group, number, length = struct.unpack_from("<HHI", content, at)
        if group << 16 | number != _ITEM or at + 8 + length > end:
            raise ValueError(f"no item at {at}")
        _walk(content, at + 8, at + 8 + length, f"{path}.{n}.", found, implicit)
        at, n = at + 8 + length, n + 1
