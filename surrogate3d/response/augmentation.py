"""Lesions as they might also have lain, and as another scanner might have shown them.

The 48 symmetries of the cube change nothing that a response depends on: dose and image are turned together. Shifts of
whole voxels keep every value; they never push a lesion out of its cube. What a scanner may do to a signal, a factor, an
offset and noise, is done to the image alone.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

from surrogate3d.response.config import IMAGE, ResponseConfig
from surrogate3d.response.patches import Patches

Floats = npt.NDArray[np.float32]
Symmetry = tuple[tuple[int, ...], tuple[int, ...]]

SYMMETRIES: tuple[Symmetry, ...] = tuple(product(permutations(range(3)), product((1, -1), repeat=3)))
"""All 48: which axis comes to lie along each, and whether it is turned round."""


def placed(block: Floats, symmetry: Symmetry, shift: npt.NDArray[np.int64]) -> Floats:
    """Shift the content of cubes, then turn them.

    Args:
        block: (..., s, s, s).
        symmetry: one of `SYMMETRIES`.
        shift: (3,) voxels by which the content moves; behind it the outermost voxel is repeated.

    Returns:
        A copy of the same shape.
    """
    order, turn = symmetry
    last = block.shape[-1] - 1
    i, j, k = (np.clip(np.arange(last + 1) - d, 0, last)[::step] for d, step in zip(shift, turn, strict=True))
    moved = block[..., i[:, None, None], j[None, :, None], k[None, None, :]]
    ahead = tuple(range(block.ndim - 3))
    return np.ascontiguousarray(moved.transpose(*ahead, *(len(ahead) + axis for axis in order)))


def allowed_shift(inside: Floats, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(3,) the wanted shift, but only as far as all of the lesion stays in its cube; `inside` is (s, s, s)."""
    limits = []
    for axis in range(3):
        filled = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        limits.append((-filled[0], inside.shape[axis] - 1 - filled[-1]))
    low, high = np.array(limits).T
    return np.asarray(np.clip(wanted, low, high))


class Augmented:
    """Draws lesions anew, each time a little different.

    Args:
        patches: lesions.
        config: strengths.
    """

    def __init__(self, patches: Patches, config: ResponseConfig) -> None:
        self._patches, self._config = patches, config
        self._stack = np.concatenate([patches.values, patches.inside[:, None]], axis=1)
        self._image = patches.channels.index(IMAGE)

    def copies(self, rng: np.random.Generator) -> tuple[Patches, ...]:
        """As many copies of all lesions as the settings say; the truth does not go with them."""
        return tuple(self._copy(rng) for _ in range(self._config.copies))

    def _copy(self, rng: np.random.Generator) -> Patches:
        drawn = np.stack([self._drawn(block, rng) for block in self._stack])
        return replace(self._patches, values=drawn[:, :-1], inside=drawn[:, -1], truth=None)

    def _drawn(self, block: Floats, rng: np.random.Generator) -> Floats:
        config, n = self._config, self._image
        wanted = rng.integers(-config.shift_voxels, config.shift_voxels, size=3, endpoint=True)
        symmetry = SYMMETRIES[rng.integers(len(SYMMETRIES))]
        block = placed(block, symmetry, allowed_shift(block[-1], wanted))
        gain, offset = np.exp(config.gain * rng.standard_normal()), config.offset * rng.standard_normal()
        noise = config.noise * rng.uniform() * rng.standard_normal(block[n].shape, dtype=np.float32)
        block[n] = (block[n] + 1) * np.float32(gain) - 1 + np.float32(offset) + noise.astype(np.float32)
        return block
