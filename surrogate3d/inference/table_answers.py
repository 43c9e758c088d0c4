"""Answers of the Zaider-Rossi table for single voxels of a tile: what stands where the networks know nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.inference.tiles import Box, bounding_box, grown
from surrogate3d.model.channels import Filter, smooth
from surrogate3d.physics.linear_quadratic import effect as effect_of
from surrogate3d.physics.pooling import GROUP_SIGMAS, pool_accumulators_grouped

Floats = npt.NDArray[np.float64]

REACH = int(3 * max(max(sigmas) for rule in GROUP_SIGMAS.values() for sigmas in rule.values()) + 0.5)
"""Voxels that the widest pooling reaches: three of its sigmas."""


def grouped(
    accumulators: npt.NDArray[np.float32],
    species: Sequence[str],
    primary: str,
    voxels: npt.NDArray[np.int64],
    doses: Floats,
) -> Floats:
    """(voxel, dose) effect by the table on species-grouped pooling.

    Args:
        accumulators: (species, band, 3, i, j, k) dose, dose_alpha and dose_sqrt_beta of a tile, the beam along k.
        species: element symbols.
        primary: of the whole field.
        voxels: (voxel, 3) indices in the tile.
        doses: Gy.
    """
    box = _around(voxels, accumulators.shape[3:])
    sums = accumulators[(..., *box)].sum(axis=1)
    alpha, sqrt_beta = pool_accumulators_grouped(sums, species, 2, primary, gaussian=_gaussian)
    at = tuple((voxels - [side.start for side in box]).T)
    return effect_of(doses, alpha[at][:, None], sqrt_beta[at][:, None] ** 2)


def alone(accumulators: npt.NDArray[np.float32], voxels: npt.NDArray[np.int64], doses: Floats) -> Floats:
    """(voxel, dose) effect by the table on each voxel's own spectrum; arguments as of `grouped`."""
    own = accumulators[(..., *voxels.T)].sum(axis=(0, 1), dtype=float)
    dose, dose_alpha, dose_sqrt_beta = own[..., None]
    return effect_of(doses, dose_alpha / dose, (dose_sqrt_beta / dose) ** 2)


def _around(voxels: npt.NDArray[np.int64], shape: tuple[int, ...]) -> Box:
    asked = np.zeros(shape, dtype=bool)
    asked[tuple(voxels.T)] = True
    return grown(bounding_box(asked), (REACH,) * 3, shape)


def _gaussian(values: npt.NDArray[np.floating], sigmas: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """As in `physics.pooling`, in single precision."""
    lateral, _, depth = sigmas  # the beam runs along the last axis
    single = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(smooth(single, Filter(lateral, depth)).numpy())
