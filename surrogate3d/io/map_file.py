"""An image file that is written plane by plane: a head, then voxels, i fastest, raw or packed piece by piece."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.io.fast_gzip import Mark, Piece, Stream, crc32, pack

PIECE_VOXELS = 1 << 20
"""Most voxels of a piece, unless one plane has more: large enough that looking back at no other costs under 1 % of the
size, small enough that a few pieces of many maps are little memory."""

MOST_PLANES = 16
"""Of a piece. It is also the depth of chunks in zarr, which are wide for it: files of about 1 MB."""

THREADS = len(os.sched_getaffinity(0))
SIZE_DIGITS = 20
"""Room that a head leaves for a number of bytes which is known only at the end."""


def piece_planes(shape: tuple[int, int, int]) -> int:
    """Planes along k of a piece; they depend on the grid alone, and so does every byte of the file."""
    return max(1, min(MOST_PLANES, shape[2], PIECE_VOXELS // (shape[0] * shape[1])))


def plane_bytes(planes: npt.NDArray[Any]) -> memoryview:
    """The bytes of (n, j, i) planes in the order of image files; not copied where they lie so."""
    return np.ascontiguousarray(planes).data.cast("B")


@dataclass(frozen=True)
class ImageHead:
    """What stands before the voxels.

    Attributes:
        plain: first bytes of the file.
        packed: first bytes of what is packed.
        packing: of the voxels, as of `image_payload`.
        size_at: where in `plain` the number of packed bytes is to be put into `SIZE_DIGITS` blanks; None for nowhere.
    """

    plain: bytes
    packed: bytes
    packing: int
    size_at: int | None = None


class ImageFile:
    """A file that grows by pieces, and goes on behind those that it holds."""

    def __init__(self, path: Path, head: ImageHead) -> None:
        self.path, self._head = path, head
        self._stream = Stream(head.packing)
        first = pack(head.packed, [head.packing])[head.packing]
        self._stream.take(first.mark)
        self._start = head.plain + self._stream.head + first.content
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)

    @property
    def packing(self) -> int:
        """Of its pieces."""
        return self._head.packing

    def intact(self, marks: Sequence[Mark]) -> int:
        """How many of the pieces that were written are on the disk as they were."""
        self._file.seek(len(self._start))
        for number, mark in enumerate(marks):
            content = self._file.read(mark.stored)
            if len(content) != mark.stored or crc32(content) != mark.digest:
                return number
        return len(marks)

    def go_on(self, marks: Sequence[Mark]) -> None:
        """Keep these pieces, and nothing behind them; none of a new file."""
        for mark in marks:
            self._stream.take(mark)
        self._file.truncate(len(self._start) + sum(mark.stored for mark in marks))
        self._write(self._start, 0)
        self._file.seek(0, os.SEEK_END)

    def append(self, piece: Piece) -> None:
        """Write the next piece."""
        self._stream.take(piece.mark)
        self._write(piece.content)

    def finish(self) -> None:
        """Write what comes behind the last piece, and close."""
        self._write(self._stream.tail)
        if self._head.size_at is not None:
            size = self._file.tell() - len(self._head.plain)
            self._write(str(size).encode(), self._head.size_at)
        self._file.close()

    def close(self) -> None:
        """Close, as far as it is written."""
        self._file.close()

    def _write(self, content: bytes | memoryview, at: int | None = None) -> None:
        if at is not None:
            self._file.seek(at)
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]


def write_planes(path: Path, head: ImageHead, values: npt.NDArray[Any]) -> None:
    """Write a whole image.

    Args:
        path: of a new file.
        head: of its format.
        values: (i, j, k) in the type of the file, little endian.
    """
    i, j, k = values.shape
    depth = piece_planes((i, j, k))

    def packed(k0: int) -> Piece:
        return pack(plane_bytes(values[:, :, k0 : k0 + depth].T), [head.packing])[head.packing]

    image = ImageFile(path, head)
    try:
        image.go_on(())
        with ThreadPoolExecutor(THREADS) as pool:
            starts = range(0, k, depth)
            for first in range(0, len(starts), THREADS):  # few pieces are held at a time
                for piece in pool.map(packed, starts[first : first + THREADS]):
                    image.append(piece)
        image.finish()
    finally:
        image.close()
