"""Which voxels are kept out of a training, to calibrate or to judge on.

Whole blocks are: what a network makes of a single voxel it has seen in all the neighbours, with nearly the same input,
and a missing voxel spoils each larger voxel that augmentation merges it into.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LARGEST = 6
"""Voxels along the side of a block, at most."""

FEWEST_BLOCKS = 8
"""Blocks that are kept out of a plan, about, so that several regions are among them: small plans have small blocks."""

BoolArray = npt.NDArray[np.bool_]


def held_blocks(learnt: BoolArray, fraction: float, rng: np.random.Generator) -> BoolArray:
    """Cubes chosen at random until the fraction is reached.

    The last one is taken if that comes nearer to the fraction than leaving it.

    Args:
        learnt: (i, j, k) voxels that may be learnt from.
        fraction: of them that is kept out, in [0, 1).
        rng: chooses the cubes and where they are cut.

    Returns:
        (i, j, k) part of `learnt`.
    """
    wanted = fraction * np.count_nonzero(learnt)
    block = _blocks(learnt.shape, block_side(wanted), rng)
    voxels = np.bincount(block[learnt])
    order = rng.permutation(np.flatnonzero(voxels))
    reached = np.concatenate([[0], np.cumsum(voxels[order])])
    chosen = order[: int(np.argmin(np.abs(reached - wanted)))]
    return np.asarray(np.isin(block, chosen) & learnt)


def block_side(wanted: float) -> int:
    """Voxels along the side of a cube, for so many voxels that are to be kept out."""
    return int(np.clip(np.cbrt(wanted / FEWEST_BLOCKS), 1, LARGEST))


def _blocks(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(i, j, k) number of the cube that each voxel is in; the first cut is anywhere."""
    start = rng.integers(side, size=3)
    along = [(np.arange(n) + first) // side for n, first in zip(shape, start, strict=True)]
    i, j, k = np.meshgrid(*along, indexing="ij")
    return np.asarray((i * (along[1][-1] + 1) + j) * (along[2][-1] + 1) + k)
