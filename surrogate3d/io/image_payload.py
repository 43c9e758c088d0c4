"""Values of an image file: as many bytes as its header says, and undamaged where they are compressed.

ITK reads the first bytes of a file that is too long and does not look at the checksum of compressed values; nibabel
stops reading before the checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from surrogate3d.errors import FormatError

RAW, ZLIB, GZIP = 0, zlib.MAX_WBITS, zlib.MAX_WBITS + 16
"""How values are packed."""

_BLOCK = 1 << 20
_LARGEST_RATIO = 1100
"""Deflated data grow by less than this."""


@dataclass(frozen=True)
class Payload:
    """Values in a file.

    Attributes:
        path: the file.
        kind: of the image, for messages.
        start: byte where they begin.
        n_bytes: that the header tells of, unpacked.
        packing: `RAW`, `ZLIB` or `GZIP`.
    """

    path: Path
    kind: str
    start: int
    n_bytes: int
    packing: int

    def require_whole(self) -> None:
        """Refuse too few or too many bytes, and damaged ones; compressed ones are never held whole.

        Raises:
            FormatError: with what was expected and found.
        """
        for _ in self.blocks():
            pass

    def blocks(self) -> Iterator[bytes]:
        """The values, unpacked, piece by piece; all checks are made before the last piece comes.

        Raises:
            FormatError: as `require_whole`.
        """
        stored = self.path.stat().st_size - self.start
        if (stored != self.n_bytes) if self.packing == RAW else (self.n_bytes > _LARGEST_RATIO * stored):
            raise self._fault(f"its header tells of {self.n_bytes} bytes of values, found {max(stored, 0)}")
        found, last = 0, b""
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            for block in self._unpacked(stream):
                yield last
                found, last = found + len(block), block
                if found > self.n_bytes:
                    break
        if found != self.n_bytes:
            more = "more" if found > self.n_bytes else str(found)
            raise self._fault(f"its header tells of {self.n_bytes} bytes of values, found {more}")
        yield last

    def _unpacked(self, stream: BinaryIO) -> Iterator[bytes]:
        if self.packing == RAW:
            yield from iter(lambda: stream.read(16 * _BLOCK), b"")
            return
        inflate, ended = zlib.decompressobj(self.packing), False
        while not ended:
            block = inflate.unconsumed_tail or stream.read(_BLOCK)
            if not block:
                raise self._fault("its compressed values are cut")
            try:
                yield inflate.decompress(block, 16 * _BLOCK)
            except zlib.error as error:
                raise self._fault(str(error)) from error
            ended = inflate.eof
            if ended and self.packing == GZIP and inflate.unused_data[:2] == b"\x1f\x8b":
                stream.seek(-len(inflate.unused_data), 1)  # parts may follow each other
                inflate, ended = zlib.decompressobj(self.packing), False
        if (inflate.unused_data + stream.read(_BLOCK)).strip(b"\0"):
            raise self._fault("something follows its compressed values")

    def _fault(self, what: str) -> FormatError:
        return FormatError(f"{self.path} cannot be read as {self.kind}: {what}; copy or export it again")
