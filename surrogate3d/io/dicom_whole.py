"""Whether a DICOM file is whole: every element ends within what holds it, and none is there twice (PS3.5, 7).

pydicom reads what it finds of a file that is cut or overwritten, and leaves out the rest without a word.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import uid
from pydicom.datadict import dictionary_has_tag, dictionary_VR

from surrogate3d.errors import FormatError

PREAMBLE_BYTES = 132
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 32


def meta_end(content: bytes, path: Path) -> int:
    """Where the file meta information (group 0002, always explicit little-endian) ends.

    Raises:
        FormatError: it is cut, or says something twice.
    """
    whole = _Whole(content, path, False, "<")
    end = PREAMBLE_BYTES
    while content[end : end + 2] == b"\x02\x00":
        end = whole.element(end, len(content), 0)[1]
    return whole.dataset(PREAMBLE_BYTES, end, 0)


def require_whole(content: bytes, start: int, syntax: str, path: Path) -> None:
    """Refuse a data set that is cut, overwritten, or says something twice.

    Args:
        content: the file, inflated where it was deflated.
        start: where its data set begins.
        syntax: UID of the transfer syntax.
        path: for messages.

    Raises:
        FormatError: with the position of the element at fault.
    """
    implicit, order = syntax == uid.ImplicitVRLittleEndian, ">" if syntax == uid.ExplicitVRBigEndian else "<"
    _Whole(content, path, implicit, order).dataset(start, len(content), 0)


def require_rle_length(data: bytes, n_frames: int, frame_bytes: int, n_segments: int, path: Path) -> None:
    """Refuse run-length encoded pixels that unpack to more or less than the header says; pydicom fills or cuts them.

    Args:
        data: value of the pixel data, encapsulated.
        n_frames: frames.
        frame_bytes: bytes of a frame, unpacked.
        n_segments: bytes of a pixel, each of which is a segment of its own (PS3.5, annex G).
        path: for messages.

    Raises:
        FormatError: with the frame at fault.
    """
    try:
        frames = list(pydicom.encaps.generate_frames(data, number_of_frames=n_frames))
    except Exception as error:  # foreign bytes fail in any way
        raise FormatError(f"{path}: the pixel data are not encapsulated frames: {error}; export it again") from error
    if len(frames) != n_frames:
        raise FormatError(f"{path}: expected {n_frames} frames of pixel data, found {len(frames)}; export it again")
    for number, frame in enumerate(frames):
        starts = struct.unpack("<16I", frame[:64].ljust(64, b"\0"))
        ends = (*starts[2 : n_segments + 1], len(frame))
        lengths = [_unpacked(frame[a:b]) for a, b in zip(starts[1 : n_segments + 1], ends, strict=True)]
        if starts[0] != n_segments or any(length != frame_bytes // n_segments for length in lengths):
            raise FormatError(
                f"{path}: frame {number} should unpack to {frame_bytes} bytes, found {sum(lengths)}; export it again"
            )


def _unpacked(segment: bytes) -> int:
    """Bytes that a run-length encoded segment unpacks to; a last odd byte is padding."""
    at, length = 0, 0
    while at < len(segment) - 1:
        run = segment[at]
        if run < 128:
            length, at = length + run + 1, at + run + 2
        elif run > 128:
            length, at = length + 257 - run, at + 2
        else:
            at += 1
    return length if at <= len(segment) else -1  # cut within a run


@dataclass(frozen=True, eq=False)
class _Whole:
    """Walks over elements without decoding them."""

    content: bytes
    path: Path
    implicit: bool
    order: str

    def dataset(self, at: int, end: int, depth: int, *, open_ended: bool = False) -> int:
        """End of the elements from `at` on: `end`, or behind the delimiter of an item of undefined length."""
        seen: set[int] = set()
        while at < end:
            if depth == 0 and not any(self.content[at : at + 8]) and not self.content[at:end].strip(b"\0"):
                return end  # padding
            start, (tag, at) = at, self.element(at, end, depth)
            if tag == _ITEM_END and open_ended:
                return at
            if tag in seen:
                raise self._fault(start, "it is there twice in one data set")
            seen.add(tag)
        if open_ended:
            raise self._fault(at, "expected the end of an item")
        return at

    def element(self, at: int, end: int, depth: int) -> tuple[int, int]:
        """Tag of the element at `at`, and where it ends."""
        tag, vr, length, value = self._head(at, end)
        is_sequence = vr == b"SQ" or (length == _UNDEFINED and tag >> 16 != 0x7FE0)
        if length == _UNDEFINED:
            within = _Whole(self.content, self.path, True, "<") if vr == b"UN" else self
            return tag, within.items(value, end, depth + 1, opaque=not is_sequence, open_ended=True)
        if value + length > end:
            raise self._fault(at, f"it has {length} bytes, and only {end - value} are left")
        if is_sequence:
            self.items(value, value + length, depth + 1)
        return tag, value + length

    def items(self, at: int, end: int, depth: int, *, opaque: bool = False, open_ended: bool = False) -> int:
        """End of the items of a sequence, or of the fragments (opaque) of compressed pixels."""
        if depth > _DEEPEST:
            raise self._fault(at, f"sequences are nested more than {_DEEPEST} deep")
        while at < end:
            tag, length, value = self._item_head(at, end)
            if tag == _SEQUENCE_END and open_ended:
                return value
            if tag != _ITEM:
                raise self._fault(at, f"expected an item of a sequence, found ({tag >> 16:04X},{tag & 0xFFFF:04X})")
            if length == _UNDEFINED and not opaque:
                at = self.dataset(value, end, depth, open_ended=True)
                continue
            at = value + length
            if at > end:
                raise self._fault(value - 8, f"it has {length} bytes, and only {end - value} are left")
            if not opaque:
                self.dataset(value, at, depth)
        if open_ended:
            raise self._fault(at, "expected the end of a sequence")
        return at

    def _head(self, at: int, end: int) -> tuple[int, bytes, int, int]:
        """Tag, VR, length, and where the value begins."""
        if end - at < 8:
            raise self._fault(at, f"only {end - at} bytes are left")
        group, number = struct.unpack_from(f"{self.order}HH", self.content, at)
        tag = group << 16 | number
        if group == 0xFFFE:
            return tag, b"", struct.unpack_from(f"{self.order}I", self.content, at + 4)[0], at + 8
        if self.implicit:
            vr = dictionary_VR(tag).encode() if dictionary_has_tag(tag) else b""
            return tag, vr, struct.unpack_from(f"{self.order}I", self.content, at + 4)[0], at + 8
        vr = self.content[at + 4 : at + 6]
        if not (vr.isalpha() and vr.isupper()):
            raise self._fault(at, f"it is of no kind of value (VR {vr!r})")
        if vr not in _LONG:
            return tag, vr, struct.unpack_from(f"{self.order}H", self.content, at + 6)[0], at + 8
        if end - at < 12:
            raise self._fault(at, f"only {end - at} bytes are left")
        return tag, vr, struct.unpack_from(f"{self.order}I", self.content, at + 8)[0], at + 12

    def _item_head(self, at: int, end: int) -> tuple[int, int, int]:
        if end - at < 8:
            raise self._fault(at, f"only {end - at} bytes are left")
        group, number, length = struct.unpack_from(f"{self.order}HHI", self.content, at)
        return group << 16 | number, length, at + 8

    def _fault(self, at: int, what: str) -> FormatError:
        return FormatError(f"{self.path} is damaged: the element at byte {at}: {what}; copy or export it again")
