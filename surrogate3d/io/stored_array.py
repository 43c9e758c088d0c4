"""Arrays of a field store, read straight from their chunk files in threads, and only where they are asked for.

zarr reads the same files several times slower, through an event loop. A file is compared with the manifest when it is
first read, so data pass through the processor once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from math import ceil
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc

from surrogate3d.errors import StoreError, UnsupportedError
from surrogate3d.io import manifest

Floats = npt.NDArray[Any]

ATTRIBUTE = "surrogate3d"
"""Of a group: under which our attributes are."""

SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
"""Numbers of what zarr's metadata call by name."""

_MOST_THREADS = 16


def reading_threads() -> int:
    """Threads that read and decode, unless the caller says otherwise."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


class StoreFiles:
    """The files of a store, each compared with the manifest when it is first read."""

    def __init__(self, root: str | Path, verify: bool = True) -> None:
        """Open a store.

        Raises:
            StoreError: there is no store, a file is missing, not listed, or has another size.
        """
        self.root = Path(root)
        manifest.verify(self.root, hashes=False)
        self._listed: dict[str, dict[str, Any]] = json.loads((self.root / manifest.MANIFEST_NAME).read_text())["files"]
        self._unseen = set(self._listed) if verify else set()

    def __contains__(self, name: str) -> bool:
        return name in self._listed

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            StoreError: it is gone, or differs from its SHA-256.
        """
        try:
            content = (self.root / name).read_bytes()
        except OSError as error:
            raise StoreError(
                f"{self.root}: {name} cannot be read ({error.strerror}); open the store again if it was moved"
            ) from error
        if name in self._unseen and sha256(content).hexdigest() != self._listed[name]["sha256"]:
            raise StoreError(
                f"{self.root} is damaged: {name} differs from its SHA-256 in {manifest.MANIFEST_NAME}; "
                "make the store again"
            )
        self._unseen.discard(name)
        return content

    def metadata(self, name: str) -> dict[str, Any]:
        """The `zarr.json` of an array, or of the group (name "").

        Raises:
            StoreError: there is none, or it is none.
        """
        file = f"{name}/zarr.json" if name else "zarr.json"
        if file not in self:
            raise StoreError(f"{self.root} has no {f'array {name!r}' if name else file}; make the store again")
        try:
            words = json.loads(self.read(file))
            return {**words, "attributes": dict(words["attributes"])}
        except (LookupError, TypeError, ValueError) as error:
            raise StoreError(f"{self.root / file} is damaged ({error!r}); make the store again") from error

    def about(self) -> dict[str, Any]:
        """Our attributes of the group, see `zarr_group.created_group`.

        Raises:
            StoreError: there are none.
        """
        words = self.metadata("")["attributes"].get(ATTRIBUTE)
        if not isinstance(words, dict):
            raise StoreError(f"{self.root} has no {ATTRIBUTE!r} attribute: it was written by another program")
        return words

    def verify_unread(self, later: Callable[[str], bool] = lambda name: False) -> None:
        """Compare what was not read yet, but for files that will be compared later.

        Raises:
            StoreError: a file differs from its SHA-256.
        """
        for name in sorted(name for name in self._unseen if not later(name)):
            self.read(name)


@dataclass(frozen=True)
class Chunk:
    """Where a chunk lies.

    Attributes:
        index: number along each axis.
        source: the part of it that is asked for.
        target: that part's place in the result.
        stored: the part of it that lies on the grid; chunks at the grid's end are padded.
    """

    index: tuple[int, ...]
    source: tuple[slice, ...]
    target: tuple[slice, ...]
    stored: tuple[slice, ...]


class StoredArray:
    """An array of floats in a field store, of which what is asked for is read.

    Integers and slices give numpy arrays; `numpy.asarray` reads all.

    Attributes:
        shape: of the whole.
        dtype: of what is read.
        chunks: shape of a chunk; boxes that end where chunks end are read without waste.
        attributes: what the store says about it.
    """

    def __init__(self, files: StoreFiles, name: str, shape: tuple[int, ...] | None = None) -> None:
        """Read what an array is.

        Raises:
            StoreError: there is no array of floats of that shape, or it is encoded as this program does not do it.
        """
        self._files, self._name = files, name
        words = files.metadata(name)
        try:
            self.shape: tuple[int, ...] = tuple(words["shape"])
            self.chunks: tuple[int, ...] = tuple(words["chunk_grid"]["configuration"]["chunk_shape"])
            self.dtype = np.dtype(words["data_type"])
            self.attributes: dict[str, Any] = dict(words["attributes"])
            order, blosc = (codec["configuration"] for codec in words["codecs"])
            self._codec = Blosc(blosc["cname"], blosc["clevel"], SHUFFLES[blosc["shuffle"]], blosc["blocksize"])
            understood = order == {"endian": "little"} and self.dtype.kind == "f"
            understood = understood and (words["chunk_key_encoding"]["name"], words["fill_value"]) == ("default", "NaN")
            fits = all(0 < chunk <= n for chunk, n in zip(self.chunks, self.shape, strict=True))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"{self._where} is damaged ({error!r}); make the store again") from error
        if not (understood and fits) or shape not in (None, self.shape):
            raise StoreError(
                f"{self._where} is damaged: expected floats of shape {shape} behind Blosc, found {self.dtype} of shape "
                f"{self.shape} in chunks of {self.chunks}; make the store again"
            )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Of the whole in memory."""
        return int(self.dtype.itemsize * np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("what is on disk cannot be had without a copy")
        return np.asarray(self[...], dtype)

    def __getitem__(self, part: Any) -> Any:
        box, then = self._selection(part)
        result = np.empty([s.stop - s.start for s in box], self.dtype)

        def take(chunk: Chunk, block: Floats | None) -> None:
            result[chunk.target] = 0 if block is None else block[chunk.source]

        self._each(box, take, reading_threads())
        return result[then]

    def _each(self, box: tuple[slice, ...], use: Callable[[Chunk, Floats | None], None], threads: int) -> None:
        """Decode the chunks that a box touches, and use each in the thread that has it in its cache."""
        chunks = list(self._chunks(box))
        threads = max(1, min(threads, len(chunks)))
        buffers: SimpleQueue[Floats] = SimpleQueue()
        for _ in range(threads):
            buffers.put(np.empty(self.chunks, self.dtype))

        def work(chunk: Chunk) -> None:
            buffer = buffers.get()
            try:
                use(chunk, self._block(chunk, buffer))
            finally:
                buffers.put(buffer)

        if threads == 1:
            for chunk in chunks:
                work(chunk)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, chunks))

    def _selection(self, part: Any) -> tuple[tuple[slice, ...], tuple[Any, ...]]:
        """The smallest box that holds a selection, and what to take of it."""
        keys = list(part) if isinstance(part, tuple) else [part]
        if Ellipsis in [key for key in keys if not isinstance(key, np.ndarray)]:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) > self.ndim or not all(isinstance(key, int | np.integer | slice) for key in keys):
            raise UnsupportedError(
                f"{self._where} is on disk and read by integers and slices of {self.ndim} axes, found {part!r}; "
                "numpy.asarray reads all of it"
            )
        keys += [slice(None)] * (self.ndim - len(keys))
        pairs = [_one_axis(key, n) for key, n in zip(keys, self.shape, strict=True)]
        return tuple(box for box, _ in pairs), tuple(then for _, then in pairs)

    def _chunks(self, box: tuple[slice, ...]) -> Iterator[Chunk]:
        """Those that a box touches, the last axis fastest."""
        if any(s.stop <= s.start for s in box):
            return
        ranges = [range(s.start // edge, ceil(s.stop / edge)) for s, edge in zip(box, self.chunks, strict=True)]
        for index in product(*ranges):
            corner = [n * edge for n, edge in zip(index, self.chunks, strict=True)]
            ends = [min(c + edge, n) for c, edge, n in zip(corner, self.chunks, self.shape, strict=True)]
            both = [(max(c, s.start), min(e, s.stop)) for c, e, s in zip(corner, ends, box, strict=True)]
            yield Chunk(
                index,
                tuple(slice(low - c, high - c) for (low, high), c in zip(both, corner, strict=True)),
                tuple(slice(low - s.start, high - s.start) for (low, high), s in zip(both, box, strict=True)),
                tuple(slice(0, e - c) for c, e in zip(corner, ends, strict=True)),
            )

    def _block(self, chunk: Chunk, buffer: Floats) -> Floats | None:
        """Read and decode a chunk into a buffer; None where it is known to be zero."""
        content = self._content(chunk)
        if content is None:
            buffer.fill(np.nan)
        else:
            self._decode(content, buffer, chunk)
        return buffer

    def _content(self, chunk: Chunk) -> bytes | None:
        """The chunk's file; None where there is none, since zarr does not write what is all NaN."""
        name = self._file(chunk)
        return self._files.read(name) if name in self._files else None

    def _decode(self, content: bytes, buffer: Floats, chunk: Chunk) -> None:
        # Blosc says in its header how many bytes it will give, and of how many it is made.
        sizes = [int.from_bytes(content[at : at + 4], "little") for at in (4, 12)]
        try:
            if sizes != [buffer.nbytes, len(content)]:
                raise ValueError(f"{sizes} bytes where {[buffer.nbytes, len(content)]} should be")
            self._codec.decode(content, buffer)
        except (RuntimeError, ValueError) as error:
            raise StoreError(
                f"{self._where} is damaged ({self._file(chunk)}: {error}); make the store again"
            ) from error

    def _file(self, chunk: Chunk) -> str:
        return "/".join([self._name, "c", *(str(n) for n in chunk.index)])

    @property
    def _where(self) -> str:
        return f"{self._files.root / self._name}"


def _one_axis(key: Any, n: int) -> tuple[slice, Any]:
    """A box along one axis, and what to take of it."""
    if not isinstance(key, slice):
        at = int(key)
        if not -n <= at < n:
            raise IndexError(f"index {at} is out of bounds for an axis of {n}")
        return slice(at % n, at % n + 1), 0
    steps = range(*key.indices(n))
    if not steps:
        return slice(0, 0), slice(None)
    low, high = min(steps[0], steps[-1]), max(steps[0], steps[-1])
    return slice(low, high + 1), slice(None, None, steps.step)
