"""Train one network of the model without spectra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.regression import RegressionNetwork, RegressionShape, SmoothPrior, photon_features
from surrogate3d.training.dose_examples import Rows

Progress = Callable[[int, int], None]

LABEL_FLOOR = 0.003
"""Relative error of the effect below which a label is not worth fitting: bias and scatter of the mixing rule."""

BEYOND = 5e-4
"""Fraction of the voxels trained on that lies beyond either end of the range of a channel: too few to learn from."""

_HUBER, _UNIT = 0.05, 0.005  # relative errors: beyond the first the loss grows linearly, the second sets its unit
_CHECKED = 8192  # held labels on which the step is chosen


@dataclass(frozen=True)
class LetOnlyConfig:
    """How the model without spectra is trained.

    Attributes:
        steps: optimiser steps of one network.
        labels_per_step: labels that enter one step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        width: of the hidden layers.
        lines_per_voxel: cell lines for which a voxel is labelled.
        copies: of every plan in other geometries (`dose_geometry.varied`).
        crossings: made-up plans of two crossing beams, for networks without an axis.
        held_fraction: of the cubes of voxels, kept out to choose the step at which the network was best.
        patience: checks, one in fifty steps, without gain after which training stops.
        threads: of torch; the result is exact for one number of threads.
    """

    steps: int = 1500
    labels_per_step: int = 2048
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    width: int = 32
    lines_per_voxel: int = 2
    copies: int = 12
    crossings: int = 12
    held_fraction: float = 0.15
    patience: int = 12
    threads: int = 1

    def __post_init__(self) -> None:
        sizes = (self.steps, self.labels_per_step, self.width, self.lines_per_voxel, self.patience, self.threads)
        if min(sizes) < 1 or min(self.crossings, self.copies) < 0:
            raise ConfigError(
                "steps, labels_per_step, width, lines_per_voxel, patience and threads must be at least 1, and "
                "copies and crossings not negative"
            )
        if not 0 < self.held_fraction < 1 or self.learning_rate <= 0:
            raise ConfigError("held_fraction must lie between 0 and 1, and learning_rate be positive")


@dataclass(frozen=True, eq=False)
class FittedRegression:
    """A trained network.

    Attributes:
        network: in evaluation mode, as it was at the step that was best on the held voxels.
        prior: what it corrects.
        channel_low: (channel,) normalised value below which `BEYOND` of the voxels trained on lie.
        channel_high: (channel,) above which as many lie.
        held_rms: relative RMS error of the effect at the held voxels.
        held_ratio: RMS error over predicted deviation there.
        steps: that were made before training stopped.
    """

    network: RegressionNetwork
    prior: SmoothPrior
    channel_low: tuple[float, ...]
    channel_high: tuple[float, ...]
    held_rms: float
    held_ratio: float
    steps: int


@dataclass(frozen=True, eq=False)
class _Tensors:
    """Labels as tensors, the prior already applied."""

    channels: Tensor
    voxel: Tensor
    photon: Tensor
    linear: Tensor
    quadratic: Tensor
    effect: Tensor
    relative_se: Tensor


@without_denormals()
def fit_let_only(
    rows: Rows, doses: Sequence[float], config: LetOnlyConfig, seed: int, progress: Progress | None = None
) -> FittedRegression:
    """Train one network; equal input, seed and number of threads give equal weights.

    Args:
        rows: labelled voxels.
        doses: (dose,) ladder of the labels, Gy.
        config: how.
        seed: of weights, held voxels and order.
        progress: called after every step with steps done and all.

    Raises:
        ValueRangeError: there are too few voxels to hold some back.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    held = _held(rows, config.held_fraction, rng)
    fitting, checking = np.flatnonzero(~held), rng.permutation(np.flatnonzero(held))[:_CHECKED]
    prior = _prior(rows, fitting[:: max(1, len(fitting) // 60_000)], np.asarray(doses, dtype=float))
    network = RegressionNetwork(RegressionShape(rows.channels.shape[1], config.width))
    network.channel_mean.copy_(torch.from_numpy(rows.channels.mean(axis=0)))
    network.channel_std.copy_(torch.from_numpy(np.maximum(rows.channels.std(axis=0), 1e-3)))
    data, ladder = _tensors(rows, prior), torch.tensor(doses, dtype=torch.float32)
    steps = _fit(network, data, ladder, fitting, checking, config, rng, progress)
    network.eval()
    with torch.no_grad():
        _, _, error, spread = _losses(network, data, ladder, torch.from_numpy(checking))
        seen = network.normalised(data.channels[torch.from_numpy(np.unique(rows.voxel[fitting]))]).numpy()
    rms = float(error.square().mean().sqrt())
    low, high = np.quantile(seen, (BEYOND, 1 - BEYOND), axis=0).tolist()
    return FittedRegression(network, prior, tuple(low), tuple(high), rms, rms / float(spread.mean().sqrt()), steps)


def _held(rows: Rows, fraction: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(label,) whether it lies in a cube that is kept out."""
    blocks = np.unique(rows.block)
    n = round(fraction * len(blocks))
    if not 0 < n < len(blocks):
        raise ValueRangeError(f"{len(blocks)} cubes of voxels are too few to hold some back; give larger plans")
    return np.asarray(np.isin(rows.block, rng.permutation(blocks)[:n])[rows.voxel])


def _prior(rows: Rows, labels: npt.NDArray[np.int64], doses: npt.NDArray[np.float64]) -> SmoothPrior:
    """The prior of the lowest and a high dose of the labels, from which alpha and beta follow."""
    slope = rows.effect[labels].astype(float) / doses
    high = int(np.searchsorted(doses, 3.0, side="right")) - 1
    beta = (slope[:, high] - slope[:, 0]) / (doses[high] - doses[0])
    alpha, photon = slope[:, 0] - beta * doses[0], rows.photon[labels]
    usable = (alpha > 0) & (beta > 0)
    LET = np.exp(rows.channels[rows.voxel[labels], 0].astype(float))
    ratios = alpha / photon[:, 0], np.sqrt(np.maximum(beta, 0.0) / photon[:, 1])
    return SmoothPrior.fit(LET[usable], photon[usable], ratios[0][usable], ratios[1][usable])


def _tensors(rows: Rows, prior: SmoothPrior) -> _Tensors:
    log_alpha, log_root = prior(np.exp(rows.channels[rows.voxel, 0].astype(float)), rows.photon)
    coefficients = rows.photon[:, 0] * np.exp(log_alpha), rows.photon[:, 1] * np.exp(2 * log_root)
    linear, quadratic, photon = (
        torch.from_numpy(values.astype(np.float32)) for values in (*coefficients, photon_features(rows.photon))
    )
    effect = torch.from_numpy(rows.effect)
    relative_se = torch.from_numpy(rows.effect_se) / effect
    voxel = torch.from_numpy(rows.voxel)
    return _Tensors(torch.from_numpy(rows.channels), voxel, photon, linear, quadratic, effect, relative_se)


def _fit(
    network: RegressionNetwork,
    data: _Tensors,
    ladder: Tensor,
    fitting: npt.NDArray[np.int64],
    checking: npt.NDArray[np.int64],
    config: LetOnlyConfig,
    rng: np.random.Generator,
    progress: Progress | None,
) -> int:
    """Train until the steps are done or the held voxels have not gained for long; returns the steps made."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.1
    )
    best, kept, waited = float("inf"), _weights(network), 0
    for step in range(1, config.steps + 1):
        loss, likelihood, _, _ = _losses(
            network, data, ladder, torch.from_numpy(rng.choice(fitting, config.labels_per_step))
        )
        optimiser.zero_grad()
        torch.autograd.backward(loss + likelihood)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step, config.steps)
        if step % 50 == 0 or step == config.steps:
            with torch.no_grad():
                now = float(_losses(network, data, ladder, torch.from_numpy(checking))[0])
            best, kept, waited = (now, _weights(network), 0) if now < best else (best, kept, waited + 1)
            if waited >= config.patience:
                break
    network.load_state_dict(kept)
    return step


def _weights(network: RegressionNetwork) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _losses(
    network: RegressionNetwork, data: _Tensors, ladder: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss of the effect, likelihood of its deviation, and (label, dose) relative error and its expected square.

    The error enters the likelihood detached, so that it trains the deviation alone.
    """
    log_alpha, log_root, log_std = network(data.channels[data.voxel[labels]], data.photon[labels])
    alpha = data.linear[labels] * torch.exp(log_alpha)
    beta = data.quadratic[labels] * torch.exp(2 * log_root)
    error = (alpha[:, None] * ladder + beta[:, None] * ladder**2) / data.effect[labels] - 1
    variance = data.relative_se[labels] ** 2
    weight = 1 / (variance + LABEL_FLOOR**2)
    huber = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=_HUBER)
    loss = 2 * (weight * huber).sum() / weight.sum() / _UNIT**2
    spread = torch.exp(2 * log_std)[:, None] + variance
    likelihood = 0.5 * (torch.log(spread) + error.detach() ** 2 / spread).mean()
    return loss, likelihood, error, spread
