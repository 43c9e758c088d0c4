"""Train one network: first the kernels that denoise, then the head that corrects.

The kernels learn from every voxel: what a run with few histories shows against what all other histories of the plan
show, both through the table. That costs no simulation. The head learns from the simulated voxels what the mixing rule
gets wrong, for several cell lines, with the kernels as they are (see `training.head`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surrogate3d.errors import ValueRangeError
from surrogate3d.model.channels import channels
from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.freed_memory import keep_freed_memory
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.training.dataset import Example
from surrogate3d.training.head import train_head
from surrogate3d.training.kernel_training import KernelTraining, Progress
from surrogate3d.training.settings import TrainConfig


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network.

    Attributes:
        network: in evaluation mode.
        losses: smoothed loss of the kernels at every tenth step, as RMS error over that of grouped pooling.
        step: of the kernels after which these weights were taken: the last one, or with patience the best.
    """

    network: KernelNetwork
    losses: tuple[float, ...]
    step: int


@without_denormals()
def train_member(
    examples: Sequence[Example],
    photon: Tensor,
    doses: Tensor,
    config: TrainConfig,
    seed: int,
    progress: Progress | None = None,
    state: Path | None = None,
    conditions: tuple[str, ...] = (),
) -> Trained:
    """Train one network.

    Args:
        examples: one per plan.
        photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
        doses: (dose,) ladder of the labels, Gy.
        config: how.
        seed: of weights, augmentation and order.
        progress: called after every step of the kernels with steps done and all.
        state: path, without ending, of the checkpoint and the learning curve; a training that was killed goes on from
            there to the same weights. None keeps nothing.
        conditions: names of the conditions in the examples.

    Raises:
        ValueRangeError: there is no labelled voxel, or no step found a voxel to learn from.
        StoreError: `state` holds the checkpoint of another training.
    """
    if not any(bool(torch.isfinite(e.label).any()) for e in examples):
        raise ValueRangeError("there is no labelled voxel to train on; simulate the selected voxels first")
    keep_freed_memory()
    torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = KernelNetwork(_network_config(config, len(doses), conditions))
    _normalise(network, examples, photon)
    kernels = KernelTraining(network, examples, photon[0, 0], doses, config, seed, rng, state)
    losses = kernels.fit(progress)
    if not kernels.learnt:
        raise ValueRangeError("no step had a voxel to learn from; widen what may be learnt, or train more steps")
    train_head(network, examples, photon, doses, config.head_steps, rng)
    return Trained(network.eval(), losses, kernels.taken)


def _network_config(config: TrainConfig, n_doses: int, conditions: tuple[str, ...]) -> NetworkConfig:
    made = NetworkConfig(config.width, config.blocks, config.neighbourhood, n_doses=n_doses)
    # Without a mixing rule for the conditions the head carries the physics, and needs room.
    return replace(made, conditions=conditions, max_log_correction=2.0) if conditions else made


def _normalise(network: KernelNetwork, examples: Sequence[Example], photon: Tensor) -> None:
    """Set the channels' mean and standard deviation over the voxels of all inputs."""
    n = len(network.channel_mean)
    planes = [
        channels(inputs, photon[0, 0], e.charge).transpose(0, 1).reshape(n, -1)[:, ::7]
        for e in examples
        for inputs in e.inputs
    ]
    values = torch.cat(planes, dim=1)
    network.channel_mean.copy_(values.mean(dim=1))
    network.channel_std.copy_(values.std(dim=1).clamp_min(1e-2))
