"""Arrays and volumes in a zarr v3 group: the only module that opens zarr."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore

from surrogate3d.errors import QuantityError, StoreError
from surrogate3d.grid import Grid, Quantity, Volume, VolumeSet

ATTRIBUTE = "surrogate3d"
CHUNK_VOXELS = 32
"""Voxels along each edge of a chunk; all channels of these voxels share it, since they are always read together."""


@contextmanager
def created_group(path: Path, attributes: Mapping[str, Any]) -> Iterator[zarr.Group]:
    """Create a zarr v3 group, with our attributes (plain data, numpy scalars) under one key.

    The block fills the group in memory, compressed; this thread then saves it. (zarr's own store writes from threads
    that go on after an error or an interrupt, and so make again what `atomic_directory` has just removed.)

    Args:
        path: directory of the group; nothing is written if the block fails.
        attributes: about the group.

    Yields:
        The group, to fill with `put_array` and `put_volumes`.
    """
    plain = json.loads(json.dumps(dict(attributes), default=_plain))
    files: dict[str, Any] = {}
    yield zarr.create_group(store=MemoryStore(files), zarr_format=3, attributes={ATTRIBUTE: plain})
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.to_bytes())


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"attributes must be plain data; found {value!r} of type {type(value).__name__}")


def open_group(path: Path) -> tuple[zarr.Group, dict[str, Any]]:
    """Open a group that `created_group` made, with its attributes.

    Raises:
        StoreError: there is no such group.
    """
    try:
        group = zarr.open_group(store=path, mode="r", zarr_format=3, use_consolidated=False)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise StoreError(f"{path} is not a zarr v3 group ({error}); make it again") from error
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
    lead, shape = values.shape[:-3], values.shape[-3:]
    array = group.create_array(
        name=name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(*lead, *(min(CHUNK_VOXELS, n) for n in shape)),
        # Measured on Monte Carlo spectra: lz4 writes twice as fast as zstd, and the files are 1.3 times as large.
        compressors=BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
        fill_value=float("nan"),
        dimension_names=dimensions,
        attributes=dict(attributes or {}),
    )
    array[...] = values


def get_array(group: zarr.Group, name: str) -> npt.NDArray[Any]:
    """Read an array whole.

    Raises:
        StoreError: there is no such array, or its chunks cannot be decoded.
    """
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{group.store_path} has no array {name!r}; make the store again")
    try:
        return np.asarray(array[...])
    except (RuntimeError, ValueError) as error:
        raise StoreError(f"{group.store_path}/{name} is damaged ({error}); make the store again") from error


def put_volumes(group: zarr.Group, volumes: Mapping[str, Volume], dtype: npt.DTypeLike | None = None) -> None:
    """Write every volume as an array of its name, with its quantity as attributes; dtype kept unless given."""
    for name, volume in volumes.items():
        if not name.isidentifier() or name in ("spectra", "halves"):
            raise QuantityError(f"a volume cannot be stored under the name {name!r}; use the quantity's name")
        quantity = volume.quantity
        about = {
            "quantity": quantity.name,
            "symbol": quantity.symbol,
            "unit": quantity.unit,
            "definition": quantity.definition,
        }
        put_array(group, name, np.asarray(volume.values, dtype=dtype), ("i", "j", "k"), about)


def get_volumes(group: zarr.Group, grid: Grid, names: list[str]) -> VolumeSet:
    """Read volumes that `put_volumes` wrote."""
    volumes = {}
    for name in names:
        values = get_array(group, name)
        about = group[name].attrs.asdict()
        words = (str(about[key]) for key in ("quantity", "symbol", "unit", "definition"))
        volumes[name] = Volume(grid, values, Quantity(*words))
    return VolumeSet(grid, volumes)
