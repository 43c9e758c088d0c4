"""Group-wise kernel prediction: denoise each particle group's dose spectrum, then apply the table, then correct it.

A small 3-D CNN predicts, for every particle group and voxel, softmax weights over the voxels of a neighbourhood and a
few fixed Gaussian filters. The weights act on dose-fraction spectra (through accumulators that are linear in them), so
the result is a physically possible mixed field for every cell line. A small head, zero at the start, adds the relative
correction of the Zaider-Rossi effect that directly simulated voxels demand, and predicts its own standard deviation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from surrogate3d.model.channels import FILTERS, NEIGHBOURHOOD, channel_names, channels, smooth

_OFFSETS = tuple(itertools.product(*(range(n) for n in NEIGHBOURHOOD)))
_TINY = 1e-12  # of a dose whose maximum is one

LOG_STD_RANGE = (-8.0, 0.0)
"""Bounds of the logarithm of the predicted relative standard deviation: 0.03 % to 100 %."""

MAX_CORRECTION = 0.15
"""Bound of the head's relative correction of the effect: it mends the mixing rule, it does not replace it."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        width: channels of the hidden layers.
        blocks: residual 3 x 3 x 3 blocks; two convolutions each.
        head_width: hidden width of the correction head.
        n_lines: cell lines that the head corrects.
        n_doses: doses at which the effect is corrected.
    """

    width: int = 16
    blocks: int = 2
    head_width: int = 16
    n_lines: int = 1
    n_doses: int = 11


class _Block(nn.Module):
    """Pre-activated residual block without normalisation layers, so that tiles equal the whole."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.SiLU(), nn.Conv3d(width, width, 3, padding=1), nn.SiLU(), nn.Conv3d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of some voxels.

    Attributes:
        alpha: (line, voxel) of the denoised field by the table, 1/Gy.
        sqrt_beta: (line, voxel), 1/Gy.
        correction: (line, dose, voxel) relative correction of the effect.
        log_std: (line, voxel) logarithm of the predicted relative standard deviation of the effect.
    """

    alpha: Tensor
    sqrt_beta: Tensor
    correction: Tensor
    log_std: Tensor

    def effect(self, doses: Tensor) -> Tensor:
        """(line, dose, voxel) effect -ln S at `doses` in Gy."""
        d = doses.reshape(1, -1, 1)
        table = self.alpha[:, None] * d + (self.sqrt_beta[:, None] * d) ** 2
        return table * (1 + self.correction)


class KernelNetwork(nn.Module):
    """The network; see the module's text."""

    channel_mean: Tensor
    channel_std: Tensor
    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        n_channels = len(channel_names())
        self.register_buffer("channel_mean", torch.zeros(n_channels))
        self.register_buffer("channel_std", torch.ones(n_channels))
        self.stem = nn.Conv3d(n_channels, config.width, 1)
        self.blocks = nn.Sequential(*(_Block(config.width) for _ in range(config.blocks)))
        self.weights = nn.Linear(config.width, len(_OFFSETS) + len(FILTERS))
        seen = config.width + 2 * config.n_lines
        self.correction = _mlp(seen, config.head_width, config.n_lines * config.n_doses)
        self.spread = _mlp(seen, config.head_width, config.n_lines)
        self._start()

    def _start(self) -> None:
        """Start at no correction, and at weights that prefer the voxel itself and the narrowest filter."""
        with torch.no_grad():
            for mlp, start in ((self.correction, 0.0), (self.spread, -4.6)):  # no correction; 1 % of deviation
                last = mlp[-1]
                assert isinstance(last, nn.Linear)
                last.weight.zero_()
                last.bias.fill_(start)
            self.weights.weight *= 0.1
            self.weights.bias.fill_(-2.0)
            self.weights.bias[[len(_OFFSETS) // 2, len(_OFFSETS)]] = 2.0

    def context(self, channels: Tensor) -> Tensor:
        """Hidden state of every voxel: (group, channel, i, j, k) to (group, width, i, j, k)."""
        shape = (1, -1, 1, 1, 1)
        normal = (channels - self.channel_mean.reshape(shape)) / self.channel_std.reshape(shape)
        hidden: Tensor = self.blocks(self.stem(normal.contiguous(memory_format=torch.channels_last_3d)))
        return hidden

    def forward(self, inputs: Tensor, voxels: Tensor, photon: Tensor) -> Prediction:
        """Predict some voxels of a volume.

        Args:
            inputs: (group, 2 + 2 * line, i, j, k) as of `model.groups.group_inputs`.
            voxels: (voxel, 3) indices of the voxels that are asked for.
            photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
        """
        accumulators = without_tracks(inputs)
        hidden = self.context(channels(inputs, photon[0, 0]))
        return self.answer(hidden, accumulators, smooth_all(accumulators), voxels, photon)

    def answer(
        self, hidden: Tensor, accumulators: Tensor, smoothed: Tensor, voxels: Tensor, photon: Tensor
    ) -> Prediction:
        """The second half of `forward`, for voxels in portions: `hidden` of `context`, `smoothed` of `smooth_all`."""
        i, j, k = voxels.unbind(1)
        state = hidden[:, :, i, j, k].transpose(1, 2)  # (group, voxel, width)
        weights = torch.softmax(self.weights(state), dim=-1)  # (group, voxel, weight)
        pooled = pool(weights, accumulators, smoothed, voxels)  # (group, accumulator, voxel)
        whole = pooled.sum(dim=0)
        total, n = whole[:1].clamp_min(_TINY), self.config.n_lines
        alpha, sqrt_beta = whole[1 : 1 + n] / total, whole[1 + n :] / total
        share = pooled[:, :1] / total
        seen = [(share * state.transpose(1, 2)).sum(dim=0), torch.log(alpha.clamp_min(1e-3) / photon[0][:, None])]
        features = torch.cat([*seen, sqrt_beta / photon[1][:, None] - 1]).T  # (voxel, feature)
        raw = self.correction(features).T.reshape(n, self.config.n_doses, -1)
        log_std = self.spread(features.detach()).T.clamp(*LOG_STD_RANGE)
        return Prediction(alpha, sqrt_beta, MAX_CORRECTION * torch.tanh(raw), log_std)


def _mlp(n_in: int, width: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, width), nn.SiLU(), nn.Linear(width, n_out))


def without_tracks(inputs: Tensor) -> Tensor:
    """(group, 1 + 2 * line, i, j, k): dose, then dose_alpha and dose_sqrt_beta of each cell line."""
    return torch.cat([inputs[:, :1], inputs[:, 2:]], dim=1)


def smooth_all(accumulators: Tensor) -> Tensor:
    """(group, filter, accumulator + 1, i, j, k): accumulators and total dose (last) under each of `FILTERS`."""
    stacked = _with_total(accumulators)
    return torch.stack([smooth(stacked, gaussian) for gaussian in FILTERS], dim=1)


def _with_total(accumulators: Tensor) -> Tensor:
    total = accumulators[:, :1].sum(dim=0, keepdim=True).expand_as(accumulators[:, :1])
    return torch.cat([accumulators, total], dim=1)


def pool(weights: Tensor, accumulators: Tensor, smoothed: Tensor, voxels: Tensor) -> Tensor:
    """Pool every group with its own weights, as a ratio to the equally pooled total dose.

    Args:
        weights: (group, voxel, weight), summing to one over the weights: neighbourhood first, then `FILTERS`.
        accumulators: (group, accumulator, i, j, k), dose first.
        smoothed: `smooth_all(accumulators)`.
        voxels: (voxel, 3) indices.

    Returns:
        (group, accumulator, voxel) accumulators per unit of total dose.
    """
    i, j, k = voxels.unbind(1)
    near = _neighbours(_with_total(accumulators), voxels)  # (group, accumulator, voxel, offset)
    wide = smoothed[:, :, :, i, j, k].permute(0, 2, 3, 1)  # (group, accumulator, voxel, filter)
    pooled = torch.einsum("gvw,gavw->gav", weights, torch.cat([near, wide], dim=-1))
    return pooled[:, :-1] / pooled[:, -1:].clamp_min(_TINY)


def _neighbours(values: Tensor, voxels: Tensor) -> Tensor:
    """(group, accumulator, voxel, offset) values around each voxel, zeros outside the grid."""
    pad = [n // 2 for n in NEIGHBOURHOOD]
    padded = nn.functional.pad(values, (pad[2], pad[2], pad[1], pad[1], pad[0], pad[0]))
    at = voxels[:, None] + torch.tensor(_OFFSETS, device=voxels.device)[None]
    return padded[:, :, at[..., 0], at[..., 1], at[..., 2]]
