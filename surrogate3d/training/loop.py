"""Train one network: first the kernels that denoise, then the head that corrects.

The kernels learn from every voxel: what a run with few histories shows against what all other histories of the plan
show, both through the table. That costs no simulation. The head learns from the simulated voxels what the mixing rule
gets wrong, for several cell lines, with the kernels as they are (see `training.head`).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.model.channels import channels
from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.training.checkpoint import Checkpoint
from surrogate3d.training.curves import LearningCurves
from surrogate3d.training.dataset import Example, Geometry, coarsen, draw_coarsening
from surrogate3d.training.head import train_head
from surrogate3d.training.loss import denoising_loss, effect_of
from surrogate3d.training.state_tree import fingerprint

Progress = Callable[[int, int], None]

CHECKPOINT_EVERY = 50
"""Steps between two checkpoints, and between two rows of the learning curve."""

LEANING = 0.5
"""Share of the steps in which the beam leans."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class TrainConfig:
    """How a surrogate is trained.

    Attributes:
        steps: optimiser steps of the kernels of one network.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        voxels_per_step: voxels of one plan that enter one step, at most.
        members: networks of the ensemble; they differ in seed.
        tracks_levels: tracks per voxel to which high-statistics runs are thinned.
        copies: thinned realisations per level.
        calibration_fraction: voxels kept out of the training to calibrate the predicted deviation.
        width: see `NetworkConfig`.
        blocks: see `NetworkConfig`.
        neighbourhood: see `NetworkConfig`.
        head_steps: optimiser steps of the head.
        threads: of torch; more only pays on idle cores.
    """

    steps: int = 1500
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    voxels_per_step: int = 1024
    members: int = 3
    tracks_levels: tuple[float, ...] = (12000.0, 4800.0, 2400.0, 1200.0, 600.0, 300.0, 150.0, 75.0, 30.0)
    copies: int = 2
    calibration_fraction: float = 0.1
    width: int = 16
    blocks: int = 2
    neighbourhood: tuple[int, int, int] = (5, 5, 3)
    head_steps: int = 1500
    threads: int = 2

    def __post_init__(self) -> None:
        counts = (self.steps, self.members, self.copies, self.voxels_per_step, self.width, self.threads)
        if min(*counts, self.head_steps) < 1 or self.width < 2:
            raise ConfigError(
                "steps, head_steps, members, copies, voxels_per_step and threads must be at least 1, width at least 2"
            )
        if not 0 <= self.calibration_fraction < 1 or self.learning_rate <= 0:
            raise ConfigError("calibration_fraction must be in [0, 1) and learning_rate positive")
        if len(self.neighbourhood) != 3 or any(n < 1 or n % 2 == 0 for n in self.neighbourhood):
            raise ConfigError(f"neighbourhood must be three odd numbers, found {self.neighbourhood}")


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network.

    Attributes:
        network: in evaluation mode.
        losses: smoothed loss of the kernels at every tenth step, as RMS error over that of grouped pooling.
    """

    network: KernelNetwork
    losses: tuple[float, ...]


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
    return Trained(network.eval(), losses)


def _network_config(config: TrainConfig, n_doses: int, conditions: tuple[str, ...]) -> NetworkConfig:
    made = NetworkConfig(config.width, config.blocks, config.neighbourhood, n_doses=n_doses)
    # Without a mixing rule for the conditions the head carries the physics, and needs room.
    return replace(made, conditions=conditions, max_log_correction=2.0) if conditions else made


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: returning and faulting it again costs light layers two thirds of their time."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


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


class KernelTraining:
    """The training of the kernels: one plan, one realisation and another geometry a step."""

    def __init__(
        self,
        network: KernelNetwork,
        examples: Sequence[Example],
        alpha_x: Tensor,
        doses: Tensor,
        config: TrainConfig,
        seed: int,
        rng: np.random.Generator,
        state: Path | None,
    ) -> None:
        self.network, self.examples, self.alpha_x, self.doses = network, examples, alpha_x, doses
        self.config, self.seed, self.rng, self.state = config, seed, rng, state
        kernels = [p for name, p in network.named_parameters() if not name.startswith("head.")]
        self.parameters = kernels
        self.optimiser = torch.optim.AdamW(kernels, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.101
        )
        self.running, self.history = float("nan"), list[float]()
        self.learnt = False

    def fit(self, progress: Progress | None) -> tuple[float, ...]:
        """All steps; the losses on the way."""
        done = self._resume()
        curves = None
        if self.state is not None:
            curves = LearningCurves(f"{self.state}.csv", ("relative_loss", "learning_rate"), done)
        for step in range(done + 1, self.config.steps + 1):
            self._step()
            if step % 10 == 1:
                self.history.append(self.running**0.5)
            if curves is not None and (step % CHECKPOINT_EVERY == 0 or step == self.config.steps):
                curves.append(
                    step, relative_loss=self.running**0.5, learning_rate=float(self.schedule.get_last_lr()[0])
                )
                curves.sync()
                self._keep(step)
            if progress is not None:
                progress(step, self.config.steps)
        return tuple(self.history)

    def _step(self) -> None:
        example = self.examples[int(self.rng.integers(len(self.examples)))]
        n = int(self.rng.integers(len(example.inputs)))
        geometry = Geometry.draw(tuple(example.learnt.shape[:2]), self.rng)
        if self.rng.random() < LEANING:
            geometry = geometry.leaning(example.learnt.shape[2], self.rng)
        # Only the first line: a kernel is the same for all of them.
        n_lines = (example.inputs[n].shape[2] - 2) // 2
        inputs = geometry.apply(example.inputs[n][:, :, [0, 1, 2, 2 + n_lines]])
        target = geometry.apply(example.target[n][[0, 1, 1 + n_lines]])
        merged = draw_coarsening(self.rng)
        inputs, target = coarsen(inputs, merged), coarsen(target, merged)
        inputs[:, :, 1] *= merged[0] * merged[1]  # a larger face is hit by more tracks
        learnt = coarsen(geometry.learnt(example.learnt).to(inputs), merged) > 0.99
        known = (learnt & (inputs[:, :, 0].sum(dim=(0, 1)) > 0) & (target[0] > 0)).nonzero()
        voxels = known[torch.from_numpy(self.rng.permutation(len(known))[: self.config.voxels_per_step])]
        self.optimiser.zero_grad()
        if len(voxels):
            self.learnt = True
            denoised = self.network(inputs, voxels, example.charge, self.alpha_x)
            loss = denoising_loss(denoised.effect(self.doses), effect_of(target, voxels, self.doses))
            torch.autograd.backward(example.weight[n] * loss)
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            relative = example.weight[n] * float(loss.detach())
            self.running = relative if self.running != self.running else 0.98 * self.running + 0.02 * relative
        self.optimiser.step()  # without gradients it changes nothing
        self.schedule.step()

    def _fingerprint(self) -> str:
        data = [(e.inputs, e.target, e.weight, e.learnt) for e in self.examples]
        return fingerprint(asdict(self.config), self.seed, self.alpha_x, self.doses, data)

    def _resume(self) -> int:
        if self.state is None:
            return 0
        self.mark = self._fingerprint()
        found = Checkpoint.restore(
            self._checkpoint(), self.network, self.optimiser, self.schedule, self.rng, fingerprint=self.mark
        )
        if found is None:
            return 0
        self.history, self.running = list(found.extra["history"]), float(found.extra["running"])
        self.learnt = self.running == self.running
        return found.step

    def _keep(self, step: int) -> None:
        extra = {"history": self.history, "running": self.running}
        Checkpoint.write(
            self._checkpoint(),
            self.network,
            self.optimiser,
            self.schedule,
            self.rng,
            step,
            extra,
            fingerprint=self.mark,
        )

    def _checkpoint(self) -> Path:
        return Path(f"{self.state}.checkpoint")
