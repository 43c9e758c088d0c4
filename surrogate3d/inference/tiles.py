"""Tiles of a volume: boxes of voxels to be answered, each with exactly the surroundings that its answer depends on.

A network without normalisation over space sees no further than its reach, so what a tile answers in its core is what
the whole volume would. Tiles are cut so that few voxels are computed twice, within the memory that is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError

Box = tuple[slice, slice, slice]

_MOST_CUTS = 64  # along one axis


@dataclass(frozen=True)
class Tile:
    """A part of a volume.

    Attributes:
        core: voxels that are answered.
        box: the core and what its answers depend on.
    """

    core: Box
    box: Box

    @property
    def inner(self) -> Box:
        """The core as indices of the box."""
        a, b, c = (
            slice(core.start - box.start, core.stop - box.start) for core, box in zip(self.core, self.box, strict=True)
        )
        return a, b, c


def bounding_box(mask: npt.NDArray[np.bool_]) -> Box:
    """The smallest box around the voxels of a mask, which must have some."""
    sides = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return sides[0], sides[1], sides[2]


def grown(box: Box, reach: Sequence[int], shape: Sequence[int]) -> Box:
    """A box with `reach` voxels more to each side of each axis, as far as the volume goes."""
    a, b, c = (
        slice(max(0, side.start - more), min(size, side.stop + more))
        for side, more, size in zip(box, reach, shape, strict=True)
    )
    return a, b, c


def n_voxels(box: Box) -> int:
    """Number of voxels of a box."""
    return int(np.prod([side.stop - side.start for side in box]))


def halved(box: Box) -> tuple[Box, ...]:
    """A box cut across its longest side; as it is, if it is a single voxel."""
    axis = max(range(3), key=lambda n: int(box[n].stop - box[n].start))
    side, (i, j, k) = box[axis], box
    if side.stop - side.start < 2:
        return (box,)
    middle = (side.start + side.stop) // 2
    parts = slice(side.start, middle), slice(middle, side.stop)
    return tuple((part, j, k) if axis == 0 else (i, part, k) if axis == 1 else (i, j, part) for part in parts)


def tiles(mask: npt.NDArray[np.bool_], reach: tuple[int, int, int], most_voxels: int) -> tuple[Tile, ...]:
    """Cut the box around a mask into tiles; those without a voxel of the mask are left out.

    Args:
        mask: (i, j, k) voxels to be answered.
        reach: voxels along each axis on which an answer depends.
        most_voxels: of the box of a tile. Where even single voxels need more, the smallest tiles are taken.

    Returns:
        Tiles in order of k, then j, then i: what is complete can be written slab by slab.

    Raises:
        ValueRangeError: `most_voxels` is not positive.
    """
    if most_voxels < 1:
        raise ValueRangeError(f"a tile must be allowed at least one voxel, found {most_voxels}")
    if not mask.any():
        return ()
    whole = bounding_box(mask)
    cuts = _cuts(whole, reach, mask.shape, most_voxels)
    sides = [_parts(side, n) for side, n in zip(whole, cuts, strict=True)]
    found = []
    for k, j, i in product(*reversed(sides)):
        if mask[i, j, k].any():
            found.append(Tile((i, j, k), grown((i, j, k), reach, mask.shape)))
    return tuple(found)


def _cuts(whole: Box, reach: Sequence[int], shape: Sequence[int], most_voxels: int) -> tuple[int, int, int]:
    """Numbers of parts along each axis with the least voxels in all boxes together, among those that are allowed."""
    choices = [list(range(1, min(side.stop - side.start, _MOST_CUTS) + 1)) for side in whole]
    widths = [
        [min(size, -(-(side.stop - side.start) // n) + 2 * more) for n in options]
        for side, more, size, options in zip(whole, reach, shape, choices, strict=True)
    ]
    a, b, c = (np.array(each, dtype=float) for each in widths)
    largest = a[:, None, None] * b[:, None] * c
    counts = [np.array(options, dtype=float) for options in choices]
    cost = largest * counts[0][:, None, None] * counts[1][:, None] * counts[2]
    allowed = np.where(largest <= most_voxels, cost, np.inf)
    best = allowed if np.isfinite(allowed).any() else largest
    i, j, k = np.unravel_index(int(best.argmin()), best.shape)
    return choices[0][int(i)], choices[1][int(j)], choices[2][int(k)]


def _parts(side: slice, n: int) -> list[slice]:
    """Nearly equal parts of a range."""
    ends = np.linspace(side.start, side.stop, n + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends) if stop > start]
