"""Maps of a field that are computed when they are looked at: all of them, or a slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnsupportedError
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.grid.display import facts_html, grid_facts, shape_text, values_text, volume_html, volumes_html
from surrogate3d.grid.spectrum import Box
from surrogate3d.inference.tile_predictor import TilePredictor
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.map_slabs import MapsWanted, maps_of_box
from surrogate3d.pipeline.predictors import Predictor
from surrogate3d.pipeline.tiled_prediction import TiledMaps, write_tiled

if TYPE_CHECKING:
    from xarray import DataArray, Dataset  # an extra

Single = npt.NDArray[np.float32]

_EVERYTHING: Box = (slice(None), slice(None), slice(None))


class PredictedVolumes(Mapping[str, "PredictedVolume"]):
    """Maps of one field for one cell line, by name.

    Nothing is computed before it is looked at. What is looked at whole is kept; of slices, all maps of the last one
    are, so that another map of the same place costs nothing.

    Attributes:
        grid: of the maps.
    """

    def __init__(self, predictor: Predictor, line: CellLine, names: tuple[str, ...]) -> None:
        """For `Surrogate.predict`."""
        if predictor.tiled is None:
            raise UnsupportedError("a model of oxygen predicts whole fields only; use surrogate3d.predict")
        self.grid: Grid = predictor.field.grid
        self._predictor, self._line, self._names = predictor, line, names
        self._wanted = MapsWanted(line, predictor.fractionation, names)
        self._whole: dict[str, Single] = {}
        self._last: tuple[Box, dict[str, Single]] | None = None

    def __getitem__(self, name: str) -> PredictedVolume:
        if name not in self._names:
            raise KeyError(name)
        return PredictedVolume(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def load(self) -> VolumeSet:
        """All maps, computed."""
        whole = self.values_in(_EVERYTHING)
        return VolumeSet(self.grid, {name: Volume(self.grid, whole[name], quantity(name)) for name in self._names})

    def write(
        self, folder: str | Path, formats: tuple[str, ...] = ("nifti",), overwrite: bool = False, resume: bool = False
    ) -> dict[str, Any]:
        """Compute and write all maps slab by slab, in flat memory; what is said of them, as `predict --json` says."""
        output = MapOutput(Path(folder), formats, overwrite, resume)
        return write_tiled(self._predictor, [TiledMaps(self._line, self._predictor.fractionation, output)])[0]

    def to_xarray(self) -> Dataset:
        """All maps, computed, as an `xarray.Dataset`."""
        found: Dataset = _xarray().Dataset({name: each.to_xarray() for name, each in self.items()})
        return found

    def values_in(self, box: Box) -> dict[str, Single]:
        """(i, j, k) values of all maps in a box without steps."""
        ranges = [range(n)[part] for part, n in zip(box, self.grid.shape, strict=True)]
        i, j, k = (slice(each.start, each.stop) for each in ranges)
        if self._whole:
            return {name: values[i, j, k] for name, values in self._whole.items()}
        if self._last is None or self._last[0] != (i, j, k):
            self._last = (i, j, k), maps_of_box(self._tiles, self._wanted, (i, j, k))
        found = self._last[1]
        if all(len(each) == n for each, n in zip(ranges, self.grid.shape, strict=True)):
            self._whole = found
        return found

    def __repr__(self) -> str:
        return f"PredictedVolumes({', '.join(self)}; {shape_text(self.grid.shape)}, computed when looked at)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the maps, and of those that are computed their range. It computes nothing."""
        said = {name: values_text(values) for name, values in self._whole.items()}
        rows = [(name, quantity(name), said.get(name, "not computed yet")) for name in self]
        return facts_html([("cell line", self._line.name), *grid_facts(self.grid)]) + volumes_html(rows)

    def known(self, name: str) -> Single | None:
        """(i, j, k) values of a map if all of it is computed, else None."""
        return self._whole.get(name)

    @cached_property
    def _tiles(self) -> TilePredictor:
        assert self._predictor.tiled is not None
        return self._predictor.tiled((self._line,))


class PredictedVolume:
    """One map, an array that is computed when it is sliced.

    Attributes:
        grid: where the values are.
        quantity: what they mean.
    """

    def __init__(self, volumes: PredictedVolumes, name: str) -> None:
        """Of a set of maps."""
        self.grid, self.quantity, self._volumes, self._name = volumes.grid, quantity(name), volumes, name

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the grid."""
        return self.grid.shape

    @property
    def values(self) -> Single:
        """(i, j, k) float32; NaN where there is no answer."""
        return self._volumes.values_in(_EVERYTHING)[self._name]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __getitem__(self, part: Any) -> Any:
        """What integers, slices and `...` select, as in numpy; only the box around it is computed."""
        parts = _full(part)
        box, rest = zip(*(_split(each, n) for each, n in zip(parts, self.shape, strict=True)), strict=True)
        return self._volumes.values_in((box[0], box[1], box[2]))[self._name][rest]

    def to_xarray(self) -> DataArray:
        """The map, computed, as an `xarray.DataArray` with the positions of the voxels in mm (LPS)."""
        xarray = _xarray()
        axes = np.asarray(self.grid.direction, dtype=float)
        straight = np.allclose(axes, np.eye(3), atol=1e-6)
        steps = zip(self.grid.origin_mm, self.grid.spacing_mm, self.shape, strict=True)
        names = ("x", "y", "z") if straight else ("i", "j", "k")
        places = [first + size * np.arange(n) if straight else np.arange(n) for first, size, n in steps]
        about = {"units": self.quantity.unit, "long_name": self.quantity.definition, "grid": str(self.grid.to_json())}
        coords = dict(zip(names, places, strict=True))
        array: DataArray = xarray.DataArray(self.values, coords, names, self.quantity.name, about)
        return array

    def __repr__(self) -> str:
        return f"PredictedVolume({self.quantity.symbol}, {self.quantity.unit}, {self.shape}, computed when looked at)"

    def _repr_html_(self) -> str:
        """What a notebook shows: as `Volume` if it is computed, else how to compute it. It computes nothing."""
        values = self._volumes.known(self._name)
        if values is not None:
            return volume_html(self.grid, values, self.quantity)
        how = "not computed yet: .values computes the map, and a slice such as [:, :, k] what it needs"
        facts = [("quantity", self.quantity.definition), ("values", how), *grid_facts(self.grid)]
        return facts_html(facts)


def _full(part: Any) -> list[Any]:
    """Three parts, `...` filled up."""
    parts = list(part) if isinstance(part, tuple) else [part]
    at = next((number for number, each in enumerate(parts) if each is Ellipsis), None)
    if at is not None:
        parts[at : at + 1] = [slice(None)] * (4 - len(parts))
    parts += [slice(None)] * (3 - len(parts))
    if len(parts) != 3 or not all(isinstance(each, (int, np.integer, slice)) for each in parts):
        raise UnsupportedError(f"a map is sliced by integers and slices of i, j and k, found {part!r}; take .values")
    return parts


def _split(part: Any, n: int) -> tuple[slice, Any]:
    """A slice without steps around a part, and the part of that."""
    if not isinstance(part, slice):
        at = range(n)[part]
        return slice(at, at + 1), 0
    chosen = range(n)[part]
    if not len(chosen):
        return slice(0, 0), slice(None)
    low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
    return slice(low, high + 1), slice(None, None, chosen.step)


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise UnsupportedError("xarray is not installed; pip install 'surrogate3d[xarray]'") from error
    return xarray
