"""Places of a grid in the frame of its beam: boxes and indices turned as `turn_downstream` turns arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.inference.tiles import Box


@dataclass(frozen=True)
class Turn:
    """How the beam's frame lies in that of the grid.

    Attributes:
        axis: of the grid along the beam.
        sign: +1 when the beam travels towards larger indices, else -1.
    """

    axis: int
    sign: int

    @property
    def _order(self) -> list[int]:
        """Axes of the grid, in the order of the turned ones."""
        return [axis for axis in range(3) if axis != self.axis] + [self.axis]

    def box(self, box: Box, shape: tuple[int, ...]) -> Box:
        """A box of a part of the grid that has this shape, in the turned part."""
        a, b, c = (box[axis] for axis in self._order)
        n = shape[self.axis]
        return a, b, c if self.sign > 0 else slice(n - c.stop, n - c.start)

    def voxels(self, voxels: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """(voxel, 3) indices of a part of the grid that has this shape, in the turned part."""
        turned = voxels[:, self._order]
        if self.sign < 0:
            turned[:, 2] = shape[self.axis] - 1 - turned[:, 2]
        return turned

    def reach(self, lateral: int, depth: int) -> tuple[int, int, int]:
        """Reaches across and along the beam, by axis of the grid."""
        a, b, c = (depth if axis == self.axis else lateral for axis in range(3))
        return a, b, c
