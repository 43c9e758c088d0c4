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


def halved(box: Box) -> tuple[Box, ...]:
    """A box cut across its longest side; as it is, if it is a single voxel."""
    axis = max(range(3), key=lambda n: int(box[n].stop - box[n].start))
    side, (i, j, k) = box[axis], box
    if side.stop - side.start < 2:
        return (box,)
    middle = (side.start + side.stop) // 2
    parts = slice(side.start, middle), slice(middle, side.stop)
    return tuple((part, j, k) if axis == 0 else (i, part, k) if axis == 1 else (i, j, part) for part in parts)


@dataclass(frozen=True)
class Room:
    """What a tile takes, and how much of it there is; any unit.

    Attributes:
        per_voxel: of the tile's box.
        per_near: voxel of the core and of `near` about it, where much more is held.
        near: voxels along each axis.
        limit: of a tile.
    """

    per_voxel: float
    per_near: float
    near: tuple[int, int, int]
    limit: float


def tiles(mask: npt.NDArray[np.bool_], reach: tuple[int, int, int], room: Room) -> tuple[Tile, ...]:
    """Cut the box around a mask into tiles; those without a voxel of the mask are left out.

    Args:
        mask: (i, j, k) voxels to be answered.
        reach: voxels along each axis on which an answer depends.
        room: that a tile may take. Where even single voxels need more, the smallest tiles are taken.

    Returns:
        Tiles in order of k, then j, then i: what is complete can be written slab by slab.

    Raises:
        ValueRangeError: no room at all.
    """
    if not room.limit > 0:
        raise ValueRangeError(f"a tile must be allowed some room, found {room.limit:g}")
    if not mask.any():
        return ()
    whole = bounding_box(mask)
    cuts = _cuts(whole, reach, mask.shape, room)
    sides = [_parts(side, n) for side, n in zip(whole, cuts, strict=True)]
    found = []
    for k, j, i in product(*reversed(sides)):
        if mask[i, j, k].any():
            found.append(Tile((i, j, k), grown((i, j, k), reach, mask.shape)))
    return tuple(found)


def _cuts(whole: Box, reach: Sequence[int], shape: Sequence[int], room: Room) -> tuple[int, int, int]:
    """Numbers of parts along each axis with which all tiles together take least, among those that are allowed."""
    choices = [np.arange(1, min(side.stop - side.start, _MOST_CUTS) + 1) for side in whole]
    box, near = (
        _volumes(
            [
                np.minimum(size, -(-(side.stop - side.start) // n) + 2 * more)
                for side, more, size, n in zip(whole, around, shape, choices, strict=True)
            ]
        )
        for around in (reach, room.near)
    )
    taken = room.per_voxel * box + room.per_near * near
    cost = np.where(taken <= room.limit, taken * _volumes(choices), np.inf)
    best = cost if np.isfinite(cost).any() else taken
    i, j, k = np.unravel_index(int(best.argmin()), best.shape)
    return int(choices[0][i]), int(choices[1][j]), int(choices[2][k])


def _volumes(sides: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.float64]:
    """Products of sides, for all combinations of three."""
    a, b, c = sides
    return np.asarray(a[:, None, None] * b[:, None] * c, dtype=float)


def _parts(side: slice, n: int) -> list[slice]:
    """Nearly equal parts of a range."""
    ends = np.linspace(side.start, side.stop, n + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends) if stop > start]
