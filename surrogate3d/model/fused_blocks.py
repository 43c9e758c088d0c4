"""Blocks of up to sixteen neighbours along the beam that cover the voxels that are asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from surrogate3d.model.fused_lanes import LANES
from surrogate3d.model.fused_smooth import Blocks


def cover(needed: npt.NDArray[np.bool_]) -> tuple[Blocks, npt.NDArray[np.int32]]:
    """Blocks that cover (i, j, k) `needed`, and the lane of each voxel: block * 16 + lane, or -1.

    They are in the order of their depth, then of i and j: what one block reads around it is read by its neighbours
    across the beam, too, and stays in the cache of a core.
    """
    corners = _corners(np.ascontiguousarray(needed))
    order = np.lexsort((corners[:, 1], corners[:, 0], corners[:, 2] // LANES))
    i, j, k = np.ascontiguousarray(corners[order].T)
    of_line = np.argsort(order, kind="stable")  # the corners were found line by line
    n_lines = needed.shape[0] * needed.shape[1]
    counts = np.bincount(corners[:, 0] * needed.shape[1] + corners[:, 1], minlength=n_lines)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    lane = np.full(needed.shape, -1, np.int32)
    for n in range(LANES):
        inside = k + n < needed.shape[2]
        lane[i[inside], j[inside], k[inside] + n] = np.flatnonzero(inside) * LANES + n
    lane[~needed] = -1
    return Blocks(i, j, k, of_line, starts), lane


@njit(cache=True)
def _corners(needed):  # type: ignore[no-untyped-def]  # compiled
    """(block, 3) first voxel of each block, line by line: a block begins at the first voxel that none has covered."""
    count = 0
    corners = np.empty((0, 3), np.int64)
    for fill in (False, True):
        if fill:
            corners = np.empty((count, 3), np.int64)
        count = 0
        for i in range(needed.shape[0]):
            for j in range(needed.shape[1]):
                k = 0
                while k < needed.shape[2]:
                    if not needed[i, j, k]:
                        k += 1
                        continue
                    if fill:
                        corners[count, 0], corners[count, 1], corners[count, 2] = i, j, k
                    count += 1
                    k += LANES
    return corners
