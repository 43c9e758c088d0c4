"""Arrays and volumes in a zarr v3 group: the only module that opens zarr."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc

from surrogate3d.errors import QuantityError, StoreError
from surrogate3d.grid import Grid, Quantity, Volume, VolumeSet
from surrogate3d.io.atomic import sync
from surrogate3d.io.image_grid import one_line
from surrogate3d.io.stored_array import ATTRIBUTE, SHUFFLES

if TYPE_CHECKING:
    import zarr  # elsewhere only where it is used: it takes as long to import as a million voxels to read

CHUNK_VOXELS = 32
"""Most voxels along each edge of a chunk. All energy bins of a species share it: they are always read together."""

PLANES_BYTES = 256e6
"""Of one species that are held at a time while a field is written; it bounds the depth of its chunks along k."""

_THREADS = min(4, os.cpu_count() or 1)


def chunk_depth(shape: tuple[int, ...]) -> int:
    """Planes along k of a chunk of an array (species, bin, i, j, k), so that few bytes are held while it is written."""
    plane = 4 * int(np.prod(shape[1:-1]))
    return _even(shape[-1], max(1, min(CHUNK_VOXELS, int(PLANES_BYTES / plane))))


def _even(n: int, most: int) -> int:
    """Edge of equal chunks: of 100 voxels four times 25, not three times 32 and a chunk that is nearly all padding."""
    return -(-n // -(-n // most))


def _codec(n_axes: int) -> tuple[int, Literal["noshuffle", "bitshuffle"]]:
    """Level and shuffle of lz4 for spectra (4 or 5 axes) or a volume.

    Measured on Monte Carlo spectra (`benchmarks/store_codecs.py`): many of their bins are empty, the digits of the
    others are noise. lz4 finds the empty ones best without a shuffle, in files 6 to 44 % smaller than with bitshuffle,
    and decodes 2.3 to 2.8 times as fast. zstd saves another 13 to 17 % and takes five times as long to decode.
    Volumes have few zeros but equal leading bits.
    """
    return (9, "noshuffle") if n_axes > 3 else (5, "bitshuffle")


Outside = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def _leave(file: Path) -> None:
    """Leave a file to be flushed with all others at the end."""


class GroupWriter:
    """A zarr v3 group that is written piece by piece and never held whole.

    zarr makes the metadata in memory, and `flush` saves it from this thread; chunks are encoded and saved by `put`.
    (zarr's own store writes from threads that go on after an error or an interrupt, and so make again what
    `atomic_directory` has just removed; and it turns the axes of Monte Carlo output several times slower.)

    Attributes:
        group: to create arrays in; small arrays may be assigned to.
        hashes: SHA-256 and size of every file that was saved, by relative name.
    """

    def __init__(self, path: Path) -> None:
        import zarr
        from zarr.storage import MemoryStore

        self._path = path
        self._files: dict[str, Any] = {}
        self._sync: Callable[[Path], object] = _leave
        self.hashes: dict[str, tuple[str, int]] = {}
        self.group = zarr.create_group(store=MemoryStore(self._files), zarr_format=3)

    def put(self, array: zarr.Array[Any], lead: tuple[int, ...], values: npt.NDArray[Any], k0: int) -> None:
        """Encode and save the planes [k0, k0 + n) of an array; k0 is a multiple of the chunks' depth.

        Args:
            array: of this group.
            lead: species, where the array has that axis.
            values: (bin, i, j, n) or (i, j, n): all of the planes.
            k0: the first plane.
        """
        nx, ny, _ = array.chunks[-3:]

        def save(corner: tuple[int, int]) -> None:
            i, j = corner
            block = values[..., i : i + nx, j : j + ny, :]
            # Two copies, each within the cache: first what lies together, then the turn of the axes.
            self._save_chunk(array, lead, (i // nx, j // ny), k0, np.ascontiguousarray(block.T).T)

        self._everywhere(save, values.shape[-3:], (nx, ny))

    def put_columns(self, array: zarr.Array[Any], species: int, values: npt.NDArray[Any], k0: int) -> Outside:
        """Encode and save spectra as TOPAS writes them: every voxel's bins together, between under- and overflow.

        Args:
            array: (species, bin, i, j, k), of this group.
            species: which one.
            values: (n, j, i, underflow + bin + overflow): all of the planes.
            k0: the first plane, a multiple of the chunks' depth.

        Returns:
            (i, j, n) underflow and overflow.
        """
        nx, ny, _ = array.chunks[-3:]
        shape = values.shape[2], values.shape[1], values.shape[0]
        below, above = np.empty(shape, values.dtype), np.empty(shape, values.dtype)

        def save(corner: tuple[int, int]) -> None:
            i, j = corner
            block = np.ascontiguousarray(values[:, j : j + ny, i : i + nx])
            turned = np.ascontiguousarray(block.T)  # (column, i, j, k)
            below[i : i + nx, j : j + ny], above[i : i + nx, j : j + ny] = turned[0], turned[-1]
            self._save_chunk(array, (species,), (i // nx, j // ny), k0, turned[1:-1])

        self._everywhere(save, shape, (nx, ny))
        return below, above

    def _everywhere(
        self, save: Callable[[tuple[int, int]], None], shape: tuple[int, ...], edges: tuple[int, int]
    ) -> None:
        corners = [(i, j) for i in range(0, shape[0], edges[0]) for j in range(0, shape[1], edges[1])]
        with ThreadPoolExecutor(_THREADS) as pool:  # joined before anything is removed
            list(pool.map(save, corners))

    def _save_chunk(
        self, array: zarr.Array[Any], lead: tuple[int, ...], at: tuple[int, int], k0: int, block: npt.NDArray[Any]
    ) -> None:
        """Encode and save one chunk; those at the end of the grid are stored whole."""
        shape = array.chunks[len(lead) :]
        chunk = np.asarray(block, array.dtype, order="C")
        if chunk.shape != shape:
            padded = np.full(shape, np.nan, array.dtype)
            padded[tuple(slice(0, n) for n in chunk.shape)] = chunk
            chunk = padded
        inner = (0,) * (chunk.ndim - 3)
        key = array.metadata.encode_chunk_key((*lead, *inner, *at, k0 // shape[-1]))
        self._save(f"{array.path}/{key}", _encoded(chunk, array.ndim))

    def flush(self) -> None:
        """Save what zarr holds in memory, and let go of it."""
        for name in list(self._files):
            self._save(name, self._files.pop(name).to_bytes())

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Save the rest, with our attributes (plain data, numpy scalars) under one key."""
        plain = json.loads(json.dumps(dict(attributes), default=_plain))
        self.group.update_attributes({ATTRIBUTE: plain})
        self.flush()

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """Flush files to the disk while others are computed; else that costs as long again at the end."""
        with ThreadPoolExecutor(1) as pool:
            done: list[Future[None]] = []
            self._sync = lambda file: done.append(pool.submit(sync, file))
            try:
                yield
            finally:
                self._sync = _leave
            for each in done:
                each.result()  # a disk that fails says so once

    def _save(self, name: str, content: bytes) -> None:
        file = self._path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self.hashes[name] = (hashlib.sha256(content).hexdigest(), len(content))
        self._sync(file)


def _encoded(chunk: npt.NDArray[Any], n_axes: int) -> bytes:
    level, shuffle = _codec(n_axes)
    return bytes(Blosc(cname="lz4", clevel=level, shuffle=SHUFFLES[shuffle]).encode(chunk))


@contextmanager
def created_group(path: Path, attributes: Mapping[str, Any]) -> Iterator[zarr.Group]:
    """Create a zarr v3 group with our attributes.

    Args:
        path: directory of the group; nothing is written if the block fails.
        attributes: about the group, see `GroupWriter.finish`.

    Yields:
        The group, to fill with `put_array` and `put_volumes`.
    """
    writer = GroupWriter(path)
    yield writer.group
    writer.finish(attributes)


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"attributes must be plain data; found {value!r} of type {type(value).__name__}")


def open_group(path: Path) -> tuple[zarr.Group, dict[str, Any]]:
    """Open a group that `created_group` made, with its attributes.

    Raises:
        StoreError: there is no such group.
    """
    import zarr

    try:
        group = zarr.open_group(store=path, mode="r", zarr_format=3, use_consolidated=False)
    except Exception as error:  # zarr checks metadata by many types of exception
        raise StoreError(f"{path} is not a zarr v3 group ({one_line(error)}); make it again") from error
    attributes = group.attrs.asdict().get(ATTRIBUTE)
    if not isinstance(attributes, dict):
        raise StoreError(f"{path} has no {ATTRIBUTE!r} attribute: it was written by another program")
    return group, attributes


def put_array(
    group: zarr.Group,
    name: str,
    values: npt.NDArray[Any],
    dimensions: tuple[str, ...],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write an array whose last three axes are (i, j, k); a chunk that is lost reads as NaN."""
    depth = chunk_depth(values.shape) if values.ndim == 5 else _even(values.shape[-1], CHUNK_VOXELS)
    new_array(group, name, values.shape, values.dtype, dimensions, depth, attributes)[...] = values


def new_array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    dimensions: tuple[str, ...],
    depth: int,
    attributes: Mapping[str, Any] | None = None,
) -> zarr.Array[Any]:
    """Create an array (i, j, k), (species, i, j, k) or (species, bin, i, j, k), chunks `depth` planes deep."""
    from zarr.codecs import BloscCodec

    lead, (nx, ny, _) = shape[:-3], shape[-3:]
    # Thin chunks are wide, and those of single volumes wider: few files of some hundred kB each.
    edge = CHUNK_VOXELS * 2 ** int(np.log2(CHUNK_VOXELS / depth) / 2) * (1 if len(lead) > 1 else 4)
    level, shuffle = _codec(len(shape))
    return group.create_array(
        name=name,
        shape=shape,
        dtype=dtype,
        # One species a chunk: conversion reads one file after the other.
        chunks=(*(1 for _ in lead[:1]), *lead[1:], _even(nx, edge), _even(ny, edge), depth),
        compressors=BloscCodec(cname="lz4", clevel=level, shuffle=shuffle),
        fill_value=float("nan"),
        dimension_names=dimensions,
        attributes=dict(attributes or {}),
    )


def get_array(group: zarr.Group, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Read an array whole.

    Raises:
        StoreError: there is no such array of floats of that shape, or its chunks cannot be decoded.
    """
    return _decoded(stored_array(group, name, shape), ..., f"{group.store_path}/{name}")


def stored_array(group: zarr.Group, name: str, shape: tuple[int, ...] | None) -> zarr.Array[Any]:
    """An array of floats that is there; `shape` is None where the caller checked it before.

    Raises:
        StoreError: it is not, or it has another shape.
    """
    import zarr

    try:
        array = group.get(name)
    except Exception as error:  # metadata that zarr does not understand
        raise StoreError(f"{group.store_path}/{name} is damaged ({one_line(error)}); make the store again") from error
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{group.store_path} has no array {name!r}; make the store again")
    fits = all(0 < chunk <= n for chunk, n in zip(array.chunks, array.shape, strict=True))
    if shape not in (None, array.shape) or array.dtype.kind != "f" or not fits:
        raise StoreError(
            f"{group.store_path}/{name} is damaged: expected floats of shape {shape}, found {array.dtype} of shape "
            f"{array.shape} in chunks of {array.chunks}; make the store again"
        )
    return array


def _decoded(array: zarr.Array[Any], part: Any, where: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(array[part])
    except Exception as error:  # codecs fail in any way on foreign bytes
        raise StoreError(f"{where} is damaged ({one_line(error)}); make the store again") from error


def put_volumes(group: zarr.Group, volumes: Mapping[str, Volume], dtype: npt.DTypeLike | None = None) -> None:
    """Write every volume as an array of its name, with its quantity as attributes; dtype kept unless given."""
    for name, volume in volumes.items():
        if not name.isidentifier() or name in ("spectra", "halves", "beams"):
            raise QuantityError(f"a volume cannot be stored under the name {name!r}; use the quantity's name")
        put_array(group, name, np.asarray(volume.values, dtype=dtype), ("i", "j", "k"), quantity_words(volume.quantity))


def quantity_words(quantity: Quantity) -> dict[str, str]:
    """Attributes of an array that tell what its values are."""
    return {
        "quantity": quantity.name,
        "symbol": quantity.symbol,
        "unit": quantity.unit,
        "definition": quantity.definition,
    }


def get_volumes(group: zarr.Group, grid: Grid, names: list[str]) -> VolumeSet:
    """Read volumes that `put_volumes` wrote."""
    return VolumeSet(grid, {name: get_volume(group, grid, name) for name in names})


def get_volume(group: zarr.Group, grid: Grid, name: str) -> Volume:
    """Read one volume that `put_volumes` wrote."""
    values = get_array(group, name, grid.shape)
    return Volume(grid, values, quantity_of(group[name].attrs.asdict()))


def quantity_of(attributes: Mapping[str, Any]) -> Quantity:
    """The inverse of `quantity_words`.

    Raises:
        StoreError: a word is missing.
    """
    words = [attributes.get(key) for key in ("quantity", "symbol", "unit", "definition")]
    if not all(isinstance(word, str) for word in words):
        raise StoreError(f"an array does not say what its values are, found {words}; make the store again")
    return Quantity(*(str(word) for word in words))


class StoredVolumes(Mapping[str, Volume]):
    """Volumes of a group by name, read from disk each time they are asked for and not kept."""

    def __init__(
        self, group: zarr.Group, grid: Grid, names: Sequence[str], part: tuple[slice, slice, slice] | None = None
    ) -> None:
        self._group, self.grid, self._names = group, grid, tuple(names)
        self._part = part or (slice(None), slice(None), slice(None))
        self._shape = None if part else grid.shape

    def __getitem__(self, name: str) -> Volume:
        if name not in self._names:
            raise KeyError(name)
        array, stored = self._array(name), quantity_of(self._group[name].attrs.asdict())
        return Volume(self.grid, _decoded(array, self._part, f"{self._group.store_path}/{name}"), stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def planes(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """(i, j, n) values of the whole, a chunk's depth at a time."""
        array = self._array(name)
        depth = array.chunks[2]
        for k in range(0, array.shape[2], depth):
            here = (slice(None), slice(None), slice(k, k + depth))
            yield _decoded(array, here, f"{self._group.store_path}/{name}")

    def quantity(self, name: str) -> Quantity:
        """What the values of a volume mean."""
        return quantity_of(self._array(name).attrs.asdict())

    def thinned(self, box: tuple[slice, slice, slice], every: int) -> StoredVolumes:
        """Every n-th voxel of a box along each axis, as volumes on the grid that these voxels make."""
        part = tuple(slice(s.start, s.stop, every) for s in box)
        shape = tuple(len(range(*s.indices(n))) for s, n in zip(part, self.grid.shape, strict=True))
        x, y, z = (float(c) for c in self.grid.position_mm([s.start for s in box]))
        dx, dy, dz = (every * d for d in self.grid.spacing_mm)
        i, j, k = shape
        grid = Grid((i, j, k), (dx, dy, dz), (x, y, z), self.grid.direction)
        return StoredVolumes(self._group, grid, self._names, (part[0], part[1], part[2]))

    def _array(self, name: str) -> zarr.Array[Any]:
        return stored_array(self._group, name, self._shape)
