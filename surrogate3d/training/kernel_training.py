"""The training of the kernels: one plan, one realisation and another geometry a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogate3d.model.network import KernelNetwork
from surrogate3d.training.checkpoint import Checkpoint
from surrogate3d.training.curves import LearningCurves
from surrogate3d.training.dataset import Example, Geometry, coarsen, draw_coarsening, known_voxels
from surrogate3d.training.early_stop import EarlyStop
from surrogate3d.training.loss import denoising_loss, effect_of
from surrogate3d.training.settings import TrainConfig
from surrogate3d.training.state_tree import fingerprint
from surrogate3d.training.stop_voxels import StopVoxels

Progress = Callable[[int, int], None]

CHECKPOINT_EVERY = 50
"""Steps between two checkpoints, between two rows of the learning curve, and between two judgements."""

LEANING = 0.5
"""Share of the steps in which the beam leans."""


class KernelTraining:
    """Optimiser, schedule and generator of the kernels of one network, and where their training stands.

    Args:
        network: whose kernels are trained in place.
        examples: one per plan.
        alpha_x: photon alpha of the first cell line, 1/Gy.
        doses: (dose,) ladder of the labels, Gy.
        config: how.
        seed: of the training; it is part of the fingerprint, and chooses the voxels that are judged.
        rng: of augmentation and order.
        state: path, without ending, of the checkpoint and the learning curve; None keeps nothing.

    Attributes:
        learnt: whether any step found a voxel to learn from.
        early: the best weights so far, and whether to stop.
        judged: voxels kept out of the learning; None without patience.

    Raises:
        ValueRangeError: there is a patience, and the plans are too small to keep voxels out.
    """

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
        self.early = EarlyStop(config.patience)
        self.judged = None
        if config.patience > 0:
            self.judged = StopVoxels(examples, config.stop_fraction, config.voxels_per_step, seed)
            self.examples = self.judged.others

    def fit(self, progress: Progress | None) -> tuple[float, ...]:
        """All steps, or those until the patience runs out; the losses on the way."""
        done = self._resume()
        curves = self._curves(done)
        for step in range(done + 1, self.config.steps + 1):
            if self.early.done:
                break
            self._step()
            if step % 10 == 1:
                self.history.append(self.running**0.5)
            if step % CHECKPOINT_EVERY == 0 or step == self.config.steps:
                row = self._judge(step)
                if curves is not None:
                    curves.append(step, **row)
                    curves.sync()
                    self._keep(step)
            if progress is not None:
                progress(step, self.config.steps)
        self.early.load_best(self.network)
        return tuple(self.history)

    @property
    def taken(self) -> int:
        """Step after which the weights that `fit` leaves were made."""
        return self.config.steps if self.judged is None else self.early.best_step

    def _step(self) -> None:
        example = self.examples[int(self.rng.integers(len(self.examples)))]
        n = int(self.rng.integers(len(example.inputs)))
        geometry = Geometry.draw(tuple(example.learnt.shape[:2]), self.rng)
        if self.rng.random() < LEANING:
            geometry = geometry.leaning(example.learnt.shape[2], self.rng)
        inputs, target = (geometry.apply(values) for values in example.first_line(n))
        merged = draw_coarsening(self.rng)
        inputs, target = coarsen(inputs, merged), coarsen(target, merged)
        inputs[:, :, 1] *= merged[0] * merged[1]  # a larger face is hit by more tracks
        learnt = coarsen(geometry.learnt(example.learnt).to(inputs), merged) > 0.99
        known = known_voxels(learnt, inputs, target)
        voxels = known[torch.from_numpy(self.rng.permutation(len(known))[: self.config.voxels_per_step])]
        self.optimiser.zero_grad()
        if len(voxels):
            self.learnt = True
            with self._precision():
                denoised = self.network(inputs, voxels, example.charge, self.alpha_x)
                loss = denoising_loss(denoised.effect(self.doses), effect_of(target, voxels, self.doses))
            torch.autograd.backward(example.weight[n] * loss)
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            relative = example.weight[n] * float(loss.detach())
            self.running = relative if self.running != self.running else 0.98 * self.running + 0.02 * relative
        self.optimiser.step()  # without gradients it changes nothing
        self.schedule.step()

    def _precision(self) -> torch.autocast:
        device = self.parameters[0].device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _judge(self, step: int) -> dict[str, float]:
        """The row of the learning curve at this step; the judgement too, if there is a patience."""
        row = {"relative_loss": self.running**0.5, "learning_rate": float(self.schedule.get_last_lr()[0])}
        if self.judged is not None:
            row["stop_loss"] = self.judged.error(self.network, self.alpha_x, self.doses)
            self.early.judge(step, row["stop_loss"], self.network)
        return row

    def _curves(self, done: int) -> LearningCurves | None:
        if self.state is None:
            return None
        judged = () if self.judged is None else ("stop_loss",)
        return LearningCurves(f"{self.state}.csv", ("relative_loss", "learning_rate", *judged), done)

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
        if self.judged is not None:
            self.early.load_state(found.extra["early_stop"])
        return found.step

    def _keep(self, step: int) -> None:
        extra: dict[str, Any] = {"history": self.history, "running": self.running}
        if self.judged is not None:
            extra["early_stop"] = self.early.state()
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
