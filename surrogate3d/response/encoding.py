"""What a network of lesions sees: a fixed description of each voxel in terms that few lesions are enough to learn from.

A cohort has some ten lesions of a class, too few to learn filters from. So the image is written out before the first
weight: how bright a voxel is within its lesion, and how rough its neighbourhood is, each as the nearness to a few
stated levels (a soft histogram). What a level means for the response, alone and beside others, is left to the network.
Nothing outside the lesion is seen.

*Brightness*: image less the median of the lesion, over `deviation`, as exp(-((x - level) / width)^2 / 2).
*Roughness*: local standard deviation of that about the local mean, over its mean in the cohort; likewise.
*Treatment*: each channel about `mean`, over `deviation`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEVELS, LEVEL_WIDTH = (-2.4, -1.6, -0.8, 0.0, 0.8, 1.6), 0.6
"""Levels of brightness and their width, in standard deviations."""
ROUGHNESS, ROUGHNESS_WIDTH = (0.4, 0.8, 1.2, 1.8), 0.35
"""Levels of roughness and their width, over its mean."""
MEAN_VOXELS, SPREAD_VOXELS = 1.2, 1.5
"""Standard deviations of the Gaussians that take the local mean, and the local variance about it; voxels."""

_LEAST_SHARE = 0.05  # of a Gaussian that has to lie in the lesion, so that nothing is divided by almost nothing


def within_lesion(image: Tensor, inside: Tensor) -> Tensor:
    """(n, s, s, s) image less the median of its lesion (voxels at least half inside).

    Args:
        image: (n, s, s, s).
        inside: (n, s, s, s) fraction in the lesion.
    """
    lesion = torch.where(inside >= 0.5, image, torch.nan).flatten(1)
    middle = torch.nanmedian(lesion, dim=1).values
    # A lesion thinner than half a voxel everywhere has no such voxel; its image then stands as it is.
    return image - torch.nan_to_num(middle)[:, None, None, None]


def roughness(bright: Tensor, inside: Tensor) -> Tensor:
    """(n, s, s, s) local standard deviation of the brightness in the lesion, 0 outside.

    Args:
        bright: (n, s, s, s) brightness within the lesion.
        inside: (n, s, s, s) fraction in the lesion.
    """
    share = inside[:, None]
    seen = bright[:, None] * share
    around = _smooth(torch.cat([seen, share], dim=1), MEAN_VOXELS)
    mean = around[:, :1] / around[:, 1:].clamp_min(_LEAST_SHARE)
    square = _smooth(torch.cat([(seen - mean) ** 2 * share, share], dim=1), SPREAD_VOXELS)
    # The small constant keeps the slope of the root finite where nothing varies.
    return ((square[:, :1] / square[:, 1:].clamp_min(_LEAST_SHARE) + 1e-4).sqrt() * share)[:, 0]


def nearness(values: Tensor, levels: tuple[float, ...], width: float) -> Tensor:
    """(n, level, s, s, s) how near values (n, s, s, s) are to each level, 1 on it."""
    at = torch.tensor(levels, dtype=values.dtype)[:, None, None, None]
    return torch.exp(-0.5 * ((values[:, None] - at) / width) ** 2)


def _smooth(values: Tensor, deviation: float) -> Tensor:
    """(n, channel, s, s, s) smoothed by a Gaussian, axis by axis; beyond the cube there is nothing."""
    reach = int(3 * deviation + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=values.dtype) / deviation) ** 2)
    kernel = kernel / kernel.sum()
    flat = values.reshape(-1, 1, *values.shape[2:])
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = 2 * reach + 1, reach
        flat = functional.conv3d(flat, kernel.reshape(shape), padding=padding)
    return flat.reshape(values.shape)
