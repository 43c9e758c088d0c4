"""What the training minimises: the error of the effect at the simulated voxels, in units of what can be known."""

from __future__ import annotations

import torch
from torch import Tensor

ERROR_FLOOR = 0.002
"""Relative error of the effect below which a label is not worth fitting: the scatter of the mixing rule."""


def masked_effect_loss(effect: Tensor, label: Tensor, label_se: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
    """Error-weighted loss of the effect and the likelihood of its predicted deviation, over the labelled voxels.

    The first term is the mean squared relative error, each value divided by its variance (label and floor) and scaled
    to keep the unit of relative error; beyond 5 % it grows linearly, so that no single voxel rules. The second term
    trains `log_std` alone: the error enters detached.

    Args:
        effect: (line, dose, voxel) predicted effect.
        label: (line, dose, voxel) simulated effect, NaN where none.
        label_se: (line, dose, voxel) relative standard error of the label.
        log_std: (line, voxel) logarithm of the predicted relative standard deviation.

    Returns:
        (loss of the effect, negative log-likelihood), both scalars; zero with gradient when nothing is labelled.
    """
    known = torch.isfinite(label)
    if not bool(known.any()):
        zero = effect.sum() * 0
        return zero, zero
    safe = torch.where(known, label, torch.ones_like(label))
    error = torch.where(known, effect / safe - 1, torch.zeros_like(effect))
    variance = torch.where(known, label_se, torch.zeros_like(label)) ** 2 + ERROR_FLOOR**2
    weight = torch.where(known, 1 / variance, torch.zeros_like(variance))
    robust = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.05)
    loss = 2 * (weight * robust).sum() / weight.sum()
    spread = torch.exp(2 * log_std)[:, None] + torch.where(known, label_se, torch.zeros_like(label)) ** 2
    likelihood = 0.5 * (torch.log(spread) + error.detach() ** 2 / spread)
    return loss, (likelihood * known).sum() / known.sum()
