"""Train one network on a few plans."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.model.channels import channels
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.training.dataset import Example, augment
from surrogate3d.training.loss import masked_effect_loss

Progress = Callable[[int, int], None]

MIN_CALIBRATION = 10
"""With fewer held voxels the predicted deviation is never made smaller: so few can agree by chance."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class TrainConfig:
    """How a surrogate is trained.

    Attributes:
        steps: optimiser steps of one network.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        voxels_per_step: labelled voxels of one plan that enter one step, at most.
        members: networks of the ensemble; they differ in seed.
        tracks_levels: tracks per voxel to which high-statistics runs are thinned.
        copies: thinned realisations per level.
        calibration_fraction: labelled voxels kept out of the training to calibrate the predicted deviation.
        width: see `NetworkConfig`.
        blocks: see `NetworkConfig`.
        threads: of torch; more only pays on idle cores.
    """

    steps: int = 1500
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    voxels_per_step: int = 384
    members: int = 3
    tracks_levels: tuple[float, ...] = (2400.0, 1200.0, 600.0, 300.0, 150.0, 75.0, 30.0)
    copies: int = 2
    calibration_fraction: float = 0.1
    width: int = 16
    blocks: int = 2
    threads: int = 2

    def __post_init__(self) -> None:
        if min(self.steps, self.members, self.copies, self.voxels_per_step, self.width, self.threads) < 1:
            raise ConfigError("steps, members, copies, voxels_per_step, width and threads must be at least 1")
        if not 0 <= self.calibration_fraction < 1 or self.learning_rate <= 0:
            raise ConfigError("calibration_fraction must be in [0, 1) and learning_rate positive")


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network.

    Attributes:
        network: in evaluation mode.
        losses: smoothed loss of every tenth step, as RMS error over that of grouped pooling.
        std_scale: factor that calibrates the predicted deviation on voxels kept out of the training.
        n_calibration: number of those voxels.
    """

    network: KernelNetwork
    losses: tuple[float, ...]
    std_scale: float
    n_calibration: int


def train_member(
    examples: Sequence[Example],
    photon: Tensor,
    doses: Tensor,
    config: TrainConfig,
    seed: int,
    progress: Progress | None = None,
) -> Trained:
    """Train one network.

    Args:
        examples: one per plan.
        photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
        doses: (dose,) ladder of the labels, Gy.
        config: how.
        seed: of weights, augmentation and order.
        progress: called after every step with steps done and all.

    Raises:
        ValueRangeError: there is no labelled voxel.
    """
    if not any(bool(torch.isfinite(e.label).any()) for e in examples):
        raise ValueRangeError("there is no labelled voxel to train on; simulate the selected voxels first")
    keep_freed_memory()
    torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    fitting, held = zip(*(_hold_out(e, config.calibration_fraction, rng) for e in examples), strict=True)
    network = KernelNetwork(NetworkConfig(config.width, config.blocks, n_lines=photon.shape[1], n_doses=len(doses)))
    _normalise(network, examples, photon)
    losses = _fit(network, fitting, photon, doses, config, rng, progress)
    network.eval()
    scale, n = _calibrate(network, examples, held, photon, doses)
    return Trained(network, losses, scale, n)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: returning and faulting it again costs light layers two thirds of their time."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def clip_gradients(network: KernelNetwork) -> None:
    """Clip the head of the deviation apart from all else: its likelihood can be steep, and must not slow the rest."""
    spread = list(network.spread.parameters())
    own = {id(p) for p in spread}
    torch.nn.utils.clip_grad_norm_(spread, 1.0)
    torch.nn.utils.clip_grad_norm_([p for p in network.parameters() if id(p) not in own], 1.0)


def _hold_out(example: Example, fraction: float, rng: np.random.Generator) -> tuple[Example, Tensor]:
    """The example without some of its labelled voxels, and these voxels (voxel, 3)."""
    voxels = torch.isfinite(example.label[0, 0]).nonzero()
    order = torch.from_numpy(rng.permutation(len(voxels)))
    held = voxels[order[: min(round(fraction * len(voxels)), len(voxels) - 1)]]
    i, j, k = held.unbind(1)
    label = example.label.clone()
    label[:, :, i, j, k] = float("nan")
    return replace(example, label=label), held


def _normalise(network: KernelNetwork, examples: Sequence[Example], photon: Tensor) -> None:
    """Set the channels' mean and standard deviation over all voxels of all inputs."""
    n = len(network.channel_mean)
    planes = [
        channels(inputs, photon[0, 0]).transpose(0, 1).reshape(n, -1)[:, ::5] for e in examples for inputs in e.inputs
    ]
    values = torch.cat(planes, dim=1)
    network.channel_mean.copy_(values.mean(dim=1))
    network.channel_std.copy_(values.std(dim=1).clamp_min(1e-3))


def _fit(
    network: KernelNetwork,
    examples: Sequence[Example],
    photon: Tensor,
    doses: Tensor,
    config: TrainConfig,
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[float, ...]:
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=min(0.101, 50 / config.steps)
    )
    history: list[float] = []
    running = 0.0
    for step in range(config.steps):
        example = examples[int(rng.integers(len(examples)))]
        n = int(rng.integers(len(example.inputs)))
        inputs, label, label_se = augment(example.inputs[n], example.label, example.label_se, rng)
        known = torch.isfinite(label[0, 0]).nonzero()
        voxels = known[torch.from_numpy(rng.permutation(len(known))[: config.voxels_per_step])]
        if len(voxels):
            i, j, k = voxels.unbind(1)
            answer = network(inputs, voxels, photon)
            loss, likelihood = masked_effect_loss(
                answer.effect(doses), label[:, :, i, j, k], label_se[:, :, i, j, k], answer.log_std
            )
            optimiser.zero_grad()
            torch.autograd.backward(example.weight[n] * loss + likelihood)
            clip_gradients(network)
            optimiser.step()
            relative = example.weight[n] * float(loss.detach())
            running = relative if step == 0 else 0.98 * running + 0.02 * relative
        schedule.step()
        if step % 10 == 0:
            history.append(running**0.5)
        if progress is not None:
            progress(step + 1, config.steps)
    return tuple(history)


@torch.no_grad()
def _calibrate(
    network: KernelNetwork, examples: Sequence[Example], held: Sequence[Tensor], photon: Tensor, doses: Tensor
) -> tuple[float, int]:
    """RMS of the error over the predicted deviation at the held voxels, on the real low-statistics runs."""
    ratios = []
    for example, voxels in zip(examples, held, strict=True):
        if len(voxels) == 0:
            continue
        i, j, k = voxels.unbind(1)
        answer = network(example.inputs[0], voxels, photon)
        label, label_se = example.label[:, :, i, j, k], example.label_se[:, :, i, j, k]
        error = answer.effect(doses) / label - 1
        ratios.append((error**2 / (torch.exp(2 * answer.log_std)[:, None] + label_se**2)).flatten())
    if not ratios:
        return 1.0, 0
    n = int(sum(len(v) for v in held))
    scale = float(torch.cat(ratios).mean().sqrt())
    return (scale if n >= MIN_CALIBRATION else max(scale, 1.0)), n
