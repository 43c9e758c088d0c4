"""Fluence spectra on disk: read part by part, and looked at for numbers that no fluence can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import StoreError, ValueRangeError
from surrogate3d.grid.spectrum import Box, FluencePart, box_within
from surrogate3d.io.stored_array import Chunk, StoredArray, StoreFiles, reading_threads

Single = npt.NDArray[Any]

_INFINITE = 0x7F800000
"""Bits of the smallest float32 that is not finite; those of negative numbers are larger still."""


class StoredSpectra(StoredArray):
    """Fluence, (species, bin, i, j, k), or what is outside the bins, (species, i, j, k).

    A `grid.spectrum.StoredFluence`; whatever is read of it is finite and not negative.
    """

    def __init__(self, files: StoreFiles, name: str, shape: tuple[int, ...]) -> None:
        super().__init__(files, name, shape)
        if self.dtype != np.float32 or self.chunks[1:-3] != shape[1:-3]:
            raise StoreError(
                f"{self._where} is damaged: expected float32 with all bins in a chunk, found {self.dtype} in chunks of "
                f"{self.chunks}; make the store again"
            )
        self._zeros: dict[tuple[int, ...], bytes] = {}

    def visit(self, use: Callable[[FluencePart], None], box: Box | None = None, threads: int | None = None) -> None:
        """Give the parts of a box that are not all zero to `use`, each in the thread that has decoded it.

        Args:
            use: called from several threads at once; the values of a part hold until it returns.
            box: slices of i, j and k without steps; None is the whole grid. Chunks are decoded whole: boxes that end
                where `chunks` end waste nothing.
            threads: that read, decode and use; None is one a core.

        Raises:
            GridMismatchError: the box leaves the grid.
            ValueRangeError: a fluence is negative or not finite.
            StoreError: the store is damaged.
        """

        def split(chunk: Chunk, block: Single | None) -> None:
            if block is not None:
                i, j, k = chunk.target[-3:]
                for species, values in enumerate(block[chunk.source], chunk.target[0].start):
                    use(FluencePart(species, (i, j, k), values))

        lead = tuple(slice(0, n) for n in self.shape[:-3])
        self._each((*lead, *box_within(box, self.shape[-3:])), split, threads or reading_threads())

    def _block(self, chunk: Chunk, buffer: Single) -> Single | None:
        content = self._content(chunk)
        if content is None:
            raise StoreError(f"{self._where} has no chunk {self._file(chunk)}; make the store again")
        if content == self._nothing(chunk):
            return None
        self._decode(content, buffer, chunk)
        values = buffer[chunk.stored]
        largest = int(values.view(np.uint32).max())
        if largest >= _INFINITE:
            self._require_fluence(values, chunk)
        return buffer if largest else None

    def _nothing(self, chunk: Chunk) -> bytes:
        """The file of a chunk in which all is zero, but for what pads it: it need not be decoded."""
        shape = tuple(s.stop for s in chunk.stored)
        if shape not in self._zeros:
            padded = np.full(self.chunks, np.nan, np.float32)
            padded[chunk.stored] = 0
            self._zeros[shape] = bytes(self._codec.encode(padded))
        return self._zeros[shape]

    def _require_fluence(self, values: Single, chunk: Chunk) -> None:
        """Zero with a sign, too, has bits larger than those of infinity; it is a fluence."""
        bad = ~np.isfinite(values) | (values < 0)
        if not bad.any():
            return
        where = tuple(int(n) for n in np.argwhere(bad)[0])
        voxel = tuple(n * edge + at for n, edge, at in zip(chunk.index, self.chunks, where, strict=True))
        raise ValueRangeError(
            f"{self._where} must be finite and not negative; found {values[where]} for species number {voxel[0]} at "
            f"voxel {voxel[-3:]}, {int(bad.sum())} such values in its chunk; make the store again from the simulation"
        )
