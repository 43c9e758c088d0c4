"""Maps for a scene: folders that `predict`, `direct` and `let` wrote, and images; zarr maps stay on disk."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, StoreError
from surrogate3d.grid import QUANTITIES, Grid, Quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.images import MAPS_SCHEMA
from surrogate3d.io.map_files import ZARR_NAME
from surrogate3d.io.zarr_group import open_group, quantity_of, stored_array
from surrogate3d.pipeline.any_map import MAPS_JSON, read_any_map
from surrogate3d.pipeline.reference_maps import on_grid
from surrogate3d.pipeline.scene_layers import layer_of, stated
from surrogate3d.viewer.scene import Layer, Sliceable


@dataclass(frozen=True, eq=False)
class Under:
    """What maps of a prediction stand under.

    Attributes:
        line: name of their cell line.
        photon: its alpha_x (1/Gy) and beta_x (1/Gy^2).
        how: fraction dose and number.
        field_id: of the store that they were made from.
    """

    line: str
    photon: tuple[float, float]
    how: Fractionation
    field_id: str


@dataclass(frozen=True, eq=False)
class SceneMaps:
    """The maps of one path.

    Attributes:
        layers: one for each map.
        values: (i, j, k), by quantity name.
        under: None where one cell line and fractionation are not said.
    """

    layers: tuple[Layer, ...]
    values: dict[str, Sliceable]
    under: Under | None


class MapOnDisk:
    """A zarr map of which what is asked for is read."""

    def __init__(self, folder: Path, name: str, grid: Grid) -> None:
        """Open it.

        Raises:
            StoreError: there is no such array of that shape.
        """
        self._where = folder / ZARR_NAME / name
        group, _ = open_group(folder / ZARR_NAME)
        self._array: Any = stored_array(group, name, grid.shape)
        self.meaning: Quantity = quantity_of(self._array.attrs.asdict())

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along i, j, k."""
        return tuple(self._array.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Voxels that are read together."""
        return tuple(self._array.chunks)

    def __getitem__(self, part: Any) -> npt.NDArray[np.float32]:
        try:
            return np.asarray(self._array[part], dtype=np.float32)
        except Exception as error:  # codecs fail in any way on foreign bytes
            words = " ".join(str(error).split())
            raise StoreError(f"{self._where} is damaged ({words}); make the maps again") from error


def scene_maps(path: Path, grid: Grid, taken: Collection[str]) -> SceneMaps:
    """Maps of a folder or an image.

    Args:
        path: a folder with a `maps.json`, or what `any_map.read_any_map` reads; an image is taken as the quantity
            that its name begins with, else as an image.
        grid: of the field, on which the maps must be.
        taken: names of layers that there are; a map of such a name is called NAME@FOLDER.

    Raises:
        GridMismatchError: the maps are on another grid.
        Surrogate3dError: a map cannot be read.
    """
    if not (path / MAPS_JSON).is_file():
        return _one_map(path, grid, taken)
    about = _about(path)
    if ZARR_NAME in about["files"]:
        grid.require_same(Grid.from_json(about["grid"]), f"{path.name}, which is not on the grid of the field")
        values: dict[str, Sliceable] = {name: MapOnDisk(path, name, grid) for name in about["maps"]}
        meanings = {name: each.meaning for name, each in values.items() if isinstance(each, MapOnDisk)}
    else:
        found = {
            name: on_grid(read_any_map(path, name), grid, f"{path.name}/{name}", of="the field")
            for name in about["maps"]
        }
        values = {name: each.volume.values for name, each in found.items()}
        meanings = {name: each.volume.quantity for name, each in found.items()}
    under = _under(about["metadata"])
    layers = [_layer(meanings[name], each, path, under, taken) for name, each in values.items()]
    return SceneMaps(tuple(layers), values, under)


def _one_map(path: Path, grid: Grid, taken: Collection[str]) -> SceneMaps:
    own = path.name.split(".")[0]
    found = on_grid(read_any_map(path, own if own in QUANTITIES else "image_signal"), grid, path.name, of="the field")
    values, known = found.volume.values, found.volume.quantity
    meaning = replace(known, definition=f"{known.definition}; {found.origin}")
    return SceneMaps((_layer(meaning, values, path, None, taken),), {known.name: values}, None)


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / MAPS_JSON).read_text(encoding="utf-8"))
        if about["schema"] != MAPS_SCHEMA:
            raise FormatError(f"{folder / MAPS_JSON} is of schema {about['schema']!r}, expected {MAPS_SCHEMA!r}")
        return {name: about[name] for name in ("files", "maps", "grid", "metadata")}
    except (LookupError, TypeError, json.JSONDecodeError) as error:
        raise FormatError(f"{folder / MAPS_JSON} is damaged ({error!r}); predict the maps again") from error


def _under(metadata: dict[str, Any]) -> Under | None:
    try:
        line = metadata.get("cell_line") or {}
        dose, number = metadata.get("fraction_dose_gy"), metadata.get("fractions")
        alpha_x, beta_x = line.get("alpha_x"), line.get("beta_x")
        if dose is None or number is None or alpha_x is None or beta_x is None:
            return None
        how = Fractionation(float(dose), int(number))
        return Under(str(line["name"]), (float(alpha_x), float(beta_x)), how, str(metadata.get("field_id")))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"{MAPS_JSON} says of its maps what cannot be read ({error}); predict them again") from error


def _layer(meaning: Quantity, values: Sliceable, path: Path, under: Under | None, taken: Collection[str]) -> Layer:
    said = meaning if under is None else stated(meaning, under.line, under.how)
    layer = layer_of(replace(said, definition=f"{said.definition}; {path.name}"), values)
    if meaning.name not in taken:
        return layer
    return replace(layer, name=f"{meaning.name}@{path.name}", title=f"{layer.title} ({path.name})")
