"""Train the head of a network: what the mixing rule gets wrong, and how far the whole answer may be off.

The kernels stay as they are. Every realisation is denoised once, at the simulated voxels for the correction and at some
thousand voxels for the deviation; what the head then learns from is a table of features, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surrogate3d.model.channels import channels
from surrogate3d.model.head import Denoised
from surrogate3d.model.network import KernelNetwork, smooth_all, without_tracks
from surrogate3d.training.dataset import Example
from surrogate3d.training.loss import correction_loss, deviation_loss, effect_of

LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
VOXELS_FOR_DEVIATION = 400
"""Of one realisation; neighbours tell the same."""

_LEAST_NOISE = 0.002


@dataclass(frozen=True, eq=False)
class Rows:
    """Voxels of one realisation: what the kernels made of them, and what they should have been.

    Attributes:
        denoised: by the kernels, and under the conditions if there is a closed form for them.
        conditions: (condition, voxel), or None.
        log_ratio: (line, dose, voxel) log of simulated over table effect, NaN where nothing was simulated.
        label_se: (line, dose, voxel).
        weight: (voxel,) in the loss of the correction.
        error: (line, voxel) relative error of the table's effect against independent histories; NaN where not wanted.
    """

    denoised: Denoised
    conditions: Tensor | None
    log_ratio: Tensor
    label_se: Tensor
    weight: Tensor
    error: Tensor


def train_head(
    network: KernelNetwork,
    examples: Sequence[Example],
    photon: Tensor,
    doses: Tensor,
    steps: int,
    rng: np.random.Generator,
) -> None:
    """Fit correction and deviation of `network` in place.

    Args:
        network: whose kernels are trained.
        examples: one per plan.
        photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
        doses: (dose,) ladder of the labels, Gy.
        steps: optimiser steps.
        rng: chooses the voxels of the deviation.
    """
    fit_head(network, [row for e in examples for row in rows_of(network, e, photon, doses, rng)], photon, steps, rng)


def fit_head(
    network: KernelNetwork, rows: Sequence[Rows], photon: Tensor, steps: int, rng: np.random.Generator
) -> None:
    """The second half of `train_head`: one realisation a step.

    Args:
        network: whose head is fitted in place.
        rows: of `rows_of`, of the same network.
        photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
        steps: optimiser steps.
        rng: chooses the order.
    """
    optimiser = torch.optim.AdamW(network.head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        row = rows[int(rng.integers(len(rows)))]
        log_correction, log_std = network.head(row.denoised, photon, row.conditions)
        loss = correction_loss(log_correction, row.log_ratio, row.label_se, row.weight)
        judged = torch.isfinite(row.error[0])
        if judged.any():
            loss = loss + deviation_loss(log_std[:, judged], row.error[:, judged])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.head.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@torch.no_grad()
def rows_of(
    network: KernelNetwork, example: Example, photon: Tensor, doses: Tensor, rng: np.random.Generator
) -> list[Rows]:
    """Every realisation of a plan, denoised at its labelled voxels and at some others; arguments as in `train_head`."""
    labelled = torch.isfinite(example.label[0, 0]) & example.learnt  # which none of the held ones is
    found = []
    for inputs, target in zip(example.inputs, example.target, strict=True):
        there = (inputs[:, :, 0].sum(dim=(0, 1)) > 0) & (target[0] > 0)
        learnt = (example.learnt & there).nonzero()
        some = learnt[torch.from_numpy(rng.permutation(len(learnt))[:VOXELS_FOR_DEVIATION])]
        voxels = torch.cat([(labelled & there).nonzero(), some])
        n_labelled = len(voxels) - len(some)
        denoised = denoise(network, inputs, voxels, example.charge, photon[0, 0])
        i, j, k = voxels.unbind(1)
        table, true = denoised.effect(doses), effect_of(target, voxels, doses)
        conditions = None if example.conditions is None else example.conditions[:, i, j, k]
        under = denoised.under(network.config.conditions, conditions)
        log_ratio = torch.log(example.label[:, :, i, j, k] / under.effect(doses))
        log_ratio[:, :, n_labelled:] = torch.nan
        error = (table / true - 1).mean(dim=1)
        noise = float(error.square().mean().clamp_min(_LEAST_NOISE**2))
        error[:, :n_labelled] = torch.nan
        weight = torch.full((len(voxels),), _LEAST_NOISE**2 / noise)
        found.append(Rows(under, conditions, log_ratio, example.label_se[:, :, i, j, k], weight, error))
    return found


@torch.no_grad()
def denoise(network: KernelNetwork, inputs: Tensor, voxels: Tensor, charge: Tensor, alpha_x: Tensor) -> Denoised:
    """Some voxels, without a way back."""
    accumulators = without_tracks(inputs)
    context = network.context(channels(inputs, alpha_x, charge))
    return network.denoise(context, accumulators, smooth_all(accumulators), voxels, charge)
