"""What the viewer shows, as plain data: layers, structures, points, charts and the answers of single voxels.

A page embeds a scene (`embed`), or a server hands it out piece by piece (`server`). Both begin with its manifest: all
that is not an array. `web/` documents what JavaScript makes of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.grid.geometry import Grid
from surrogate3d.viewer.palettes import PALETTES, palettes
from surrogate3d.viewer.voxels import VoxelSource

SCHEMA = "surrogate3d.scene/1"

GROUPS = ("input", "predicted", "reference", "error", "uncertainty", "mask", "image")
"""Of layers, as the menu shows them."""

Voxel = tuple[int, int, int]


class Sliceable(Protocol):
    """Values on the grid of which parts can be read: numpy, zarr, stored and predicted arrays."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along i, j, k."""

    def __getitem__(self, part: Any, /) -> Any:
        """A box of values, by slices and integers."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One quantity on the scene's grid.

    Attributes:
        name: by which it is asked for.
        title: as the menu shows it.
        symbol: as printed beside values.
        unit: as printed; "1" for a pure number.
        definition: one sentence.
        group: one of `GROUPS`.
        values: (i, j, k); NaN is no value.
        colours: one of `palettes.PALETTES`.
        window: lowest and highest value of the colours when the layer is first shown.
        symmetric: whether the window stays symmetric about 0, as of errors.
        range: smallest and largest value, of some planes where the others are on disk; None takes them from values in
            memory, and leaves them open otherwise.
        version: changes when the values do.

    Raises:
        UnknownNameError: there is no such group or palette.
        ValueRangeError: the window is empty or not finite.
    """

    name: str
    title: str
    symbol: str
    unit: str
    definition: str
    group: str
    values: Sliceable
    colours: str
    window: tuple[float, float]
    symmetric: bool = False
    range: tuple[float, float] | None = None
    version: int = 0

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise UnknownNameError(f"layer {self.name}: unknown group {self.group!r}; known: {', '.join(GROUPS)}")
        if self.colours not in PALETTES:
            raise UnknownNameError(f"layer {self.name}: unknown colours {self.colours!r}; known: {', '.join(PALETTES)}")
        low, high = self.window
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueRangeError(f"layer {self.name}: expected a window of two rising numbers, found {low} to {high}")

    def manifest(self) -> dict[str, Any]:
        """All but the values."""
        kept = ("name", "title", "symbol", "unit", "definition", "group", "colours", "symmetric", "version")
        said = {key: getattr(self, key) for key in kept}
        found = value_range(self.values) if self.range is None else self.range
        return {**said, "window": list(self.window), "range": None if found is None else list(found), "step": 0.0}


def value_range(values: Sliceable) -> tuple[float, float] | None:
    """Smallest and largest of the values in memory; None of values on disk, and where there is none."""
    known = values[np.isfinite(values)] if isinstance(values, np.ndarray) else np.empty(0)
    return (float(known.min()), float(known.max())) if known.size else None


@dataclass(frozen=True, eq=False)
class Structure:
    """A contoured structure.

    Attributes:
        name: as in the structure set.
        fraction: (i, j, k) of each voxel that is inside, 0 to 1.
        colour: of its contour, "#rrggbb".

    Raises:
        ValueRangeError: the colour is none.
    """

    name: str
    fraction: Sliceable
    colour: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.colour):
            raise ValueRangeError(f"structure {self.name}: expected a colour #rrggbb, found {self.colour!r}")


@dataclass(frozen=True)
class Point:
    """A voxel that was simulated directly.

    Attributes:
        voxel: its index.
        values: by symbol, such as RBE and its standard error RBE_se.
        held_out: whether the model never saw it in training.
        effect: -ln S at each of the doses of the scene's voxels; None where it is not known.
        effect_se: Monte Carlo standard error of `effect`.
    """

    voxel: Voxel
    values: Mapping[str, float]
    held_out: bool
    effect: tuple[float, ...] | None = None
    effect_se: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Isodose:
    """Lines of equal dose.

    Attributes:
        layer: name of the layer that they are of.
        base: 100 %, in the unit.
        unit: of the base.
        percents: of the base, at which there is a line.
    """

    layer: str
    base: float
    unit: str
    percents: tuple[float, ...] = (95.0, 80.0, 50.0, 20.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """What the viewer shows.

    Attributes:
        title: of the page.
        grid: of all layers and structures.
        focus: voxel of the cross-hair when the scene is first shown.
        layers: at least one; the first is shown first.
        beam: index axis of the beam, and +1 or -1 for its sense; None where beams cross, or nothing is known.
        structures: whose contours are drawn.
        points: voxels that were simulated directly.
        isodose: lines of equal dose.
        histograms: volume histograms, each as `validation.histograms.VolumeHistogram.to_json` with its `symbol`.
        profiles: depth profiles: title, quantity, symbol, unit, depth_mm, series.
        voxels: survival curves and spectra of single voxels.
        notes: sentences that are shown with the viewer.

    Raises:
        GridMismatchError: something is not on the grid.
        UnknownNameError: the isodose lines are of a layer that is not there.
        ValueRangeError: there is no layer, or a name is there twice.
    """

    title: str
    grid: Grid
    focus: Voxel
    layers: tuple[Layer, ...]
    beam: tuple[int, int] | None = None
    structures: tuple[Structure, ...] = ()
    points: tuple[Point, ...] = ()
    isodose: Isodose | None = None
    histograms: tuple[Mapping[str, Any], ...] = ()
    profiles: tuple[Mapping[str, Any], ...] = ()
    voxels: VoxelSource | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, named in (("layer", self.layers), ("structure", self.structures)):
            names = [each.name for each in named]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueRangeError(f"{kind} {twice!r} is in the scene twice; name each once")
        if not self.layers:
            raise ValueRangeError("a scene needs at least one layer")
        arrays = [(layer.name, layer.values) for layer in self.layers]
        for name, values in arrays + [(each.name, each.fraction) for each in self.structures]:
            if tuple(values.shape) != self.grid.shape:
                raise GridMismatchError(f"{name}: values have shape {values.shape}, the scene's grid {self.grid.shape}")
        for what, voxel in [("focus", self.focus), *(("point", point.voxel) for point in self.points)]:
            self.require_inside(voxel, what)
        if self.isodose is not None:
            self.layer(self.isodose.layer)

    def layer(self, name: str) -> Layer:
        """A layer by name.

        Raises:
            UnknownNameError: there is no such layer.
        """
        return _named("layer", self.layers, name)

    def structure(self, name: str) -> Structure:
        """A structure by name.

        Raises:
            UnknownNameError: there is no such structure.
        """
        return _named("structure", self.structures, name)

    def require_inside(self, voxel: Voxel, what: str = "voxel") -> None:
        """Refuse a voxel that the grid does not have.

        Raises:
            GridMismatchError: with the grid's shape.
        """
        if not all(0 <= index < n for index, n in zip(voxel, self.grid.shape, strict=True)):
            ends = ", ".join(f"0 to {n - 1}" for n in self.grid.shape)
            raise GridMismatchError(f"{what} {tuple(voxel)} is outside the grid, whose i, j, k go {ends}")

    def manifest(self) -> dict[str, Any]:
        """All but the arrays, as standard JSON has it: numbers that are not finite become null."""
        beam = None if self.beam is None else {"axis": self.beam[0], "sign": self.beam[1]}
        return {
            "schema": SCHEMA,
            "title": self.title,
            "grid": self.grid.to_json(),
            "focus": [int(n) for n in self.focus],
            "beam": beam,
            "layers": [layer.manifest() for layer in self.layers],
            "structures": [{"name": each.name, "colour": each.colour} for each in self.structures],
            "points": [plain(vars(point)) for point in self.points],
            "isodose": None if self.isodose is None else plain(vars(self.isodose)),
            "histograms": plain(self.histograms),
            "profiles": plain(self.profiles),
            "voxels": None if self.voxels is None else plain(self.voxels.manifest()),
            "palettes": palettes(dict.fromkeys(layer.colours for layer in self.layers)),
            "stride": 1,
            "notes": list(self.notes),
        }


_Named = TypeVar("_Named", Layer, Structure)


def _named(kind: str, among: tuple[_Named, ...], name: str) -> _Named:
    found = next((each for each in among if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in among) or "none"
        raise UnknownNameError(f"no {kind} {name!r} in the scene; there are: {known}")
    return found


def plain(value: Any) -> Any:
    """Plain data of standard JSON: arrays become lists, and numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def planes_of(values: Sliceable, axis: int, part: slice) -> npt.NDArray[np.float32]:
    """(plane, row, column) planes across an axis, the two other axes in rising order."""
    box: list[slice] = [slice(None)] * 3
    box[axis] = part
    block = np.asarray(values[tuple(box)], dtype=np.float32)
    return np.ascontiguousarray(np.moveaxis(block, axis, 0))
