"""Values on a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.display import facts_html, grid_facts, shape_text, values_text, volume_html, volumes_html
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.quantity import Quantity


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """One quantity on a grid.

    Attributes:
        grid: where the values are.
        values: (i, j, k), float32 or float64; NaN where the quantity is not defined.
        quantity: what the values mean.

    Raises:
        GridMismatchError: `values` does not have the grid's shape.
    """

    grid: Grid
    values: npt.NDArray[np.floating]
    quantity: Quantity

    def __post_init__(self) -> None:
        if self.values.shape != self.grid.shape:
            raise GridMismatchError(
                f"{self.quantity.name}: values have shape {self.values.shape}, the grid {self.grid.shape}"
            )

    def __repr__(self) -> str:
        return f"Volume({self.quantity.label}, {shape_text(self.grid.shape)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the grid, the range, and three slices."""
        return volume_html(self.grid, self.values, self.quantity)


def turned_to(volume: Volume, grid: Grid) -> Volume:
    """The same voxels with index axes in the order and sense nearest to those of a grid; nothing is resampled.

    Images of one grid differ in this by program: NIfTI often counts towards right and anterior, DICOM never does.
    """
    cosines = np.asarray(grid.direction, dtype=float).T @ np.asarray(volume.grid.direction, dtype=float)
    a, b, c = (int(own) for own in np.abs(cosines).argmax(axis=1))  # which of the volume's axes runs along the grid's
    if {a, b, c} != {0, 1, 2}:
        return volume
    turned = tuple(axis for axis, own in enumerate((a, b, c)) if cosines[axis, own] < 0)
    old, first, direction = volume.grid, [0, 0, 0], np.asarray(volume.grid.direction, dtype=float)[:, [a, b, c]]
    for axis in turned:
        own = (a, b, c)[axis]
        first[own] = old.shape[own] - 1
        direction[:, axis] *= -1
    x, y, z = (float(n) for n in old.position_mm(first))
    rows = tuple((float(u), float(v), float(w)) for u, v, w in direction + 0.0)
    shape = old.shape[a], old.shape[b], old.shape[c]
    spacing = old.spacing_mm[a], old.spacing_mm[b], old.spacing_mm[c]
    values = np.ascontiguousarray(np.flip(volume.values.transpose(a, b, c), turned))
    return Volume(Grid(shape, spacing, (x, y, z), rows), values, volume.quantity)


class VolumeSet(Mapping[str, Volume]):
    """Several volumes on one grid, by name."""

    def __init__(self, grid: Grid, volumes: Mapping[str, Volume]) -> None:
        for name, volume in volumes.items():
            grid.require_same(volume.grid, name)
        self.grid = grid
        self._volumes = dict(volumes)

    def __getitem__(self, name: str) -> Volume:
        return self._volumes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._volumes)

    def __len__(self) -> int:
        return len(self._volumes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)}; {shape_text(self.grid.shape)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the grid, and each volume with its range."""
        rows = [(name, volume.quantity, values_text(volume.values)) for name, volume in self.items()]
        return facts_html(grid_facts(self.grid)) + volumes_html(rows)
