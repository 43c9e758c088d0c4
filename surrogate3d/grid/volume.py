"""Values on a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.quantity import Quantity


@dataclass(frozen=True, eq=False)
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
