"""What the training minimises: relative errors of the effect, of the kernels and of the head apart."""

from __future__ import annotations

import torch
from torch import Tensor

ERROR_FLOOR = 0.002
"""Relative error of the effect below which a label is not worth fitting."""

LINEAR_FROM = 0.05
"""Relative error from which on the loss grows linearly, so that no single voxel rules."""


def effect_of(accumulators: Tensor, voxels: Tensor, doses: Tensor) -> Tensor:
    """(line, dose, voxel) effect -ln S by the table of some voxels' accumulators.

    Args:
        accumulators: (1 + 2 * line, i, j, k) dose, dose_alpha of each line, dose_sqrt_beta of each.
        voxels: (voxel, 3) indices; the dose must be positive there.
        doses: (dose,) Gy.
    """
    i, j, k = voxels.unbind(1)
    sums = accumulators[:, i, j, k]
    n, d = (len(sums) - 1) // 2, doses.reshape(1, -1, 1)
    alpha, sqrt_beta = sums[1 : 1 + n] / sums[0], sums[1 + n :] / sums[0]
    return alpha[:, None] * d + (sqrt_beta[:, None] * d) ** 2


def denoising_loss(effect: Tensor, target: Tensor) -> Tensor:
    """Mean squared relative error, linear beyond `LINEAR_FROM`; (line, dose, voxel) each."""
    error = effect / target - 1
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), delta=LINEAR_FROM)


def correction_loss(log_correction: Tensor, log_ratio: Tensor, relative_se: Tensor, weight: Tensor) -> Tensor:
    """Squared error of the head's correction, each value in units of what can be known.

    Args:
        log_correction: (line, dose, voxel) predicted.
        log_ratio: (line, dose, voxel) logarithm of simulated over table effect; NaN where nothing was simulated.
        relative_se: (line, dose, voxel) relative standard error of the label.
        weight: (voxel,) of each voxel, such as the inverse of the squared noise that is left in its table effect.
    """
    known = torch.isfinite(log_ratio)
    error = torch.where(known, log_correction - torch.nan_to_num(log_ratio), torch.zeros_like(log_ratio))
    variance = torch.where(known, torch.nan_to_num(relative_se), torch.zeros_like(log_ratio)) ** 2 + ERROR_FLOOR**2
    robust = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=LINEAR_FROM)
    return 2 * (known * weight * robust / variance).sum() / known.sum().clamp_min(1)


def deviation_loss(log_std: Tensor, error: Tensor) -> Tensor:
    """Negative log-likelihood of errors (line, voxel) under a predicted deviation (line, voxel)."""
    return (log_std + 0.5 * (error.detach() / torch.exp(log_std)) ** 2).mean()
