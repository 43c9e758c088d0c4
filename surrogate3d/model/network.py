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

from surrogate3d.model.channels import FILTERS, NEIGHBOURHOOD, channel_names, smooth

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

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        n_channels = len(channel_names())
        self.register_buffer("channel_mean", torch.zeros(n_channels))
        self.register_buffer("channel_std", torch.ones(n_channels))
        self.stem = nn.Conv3d(n_channels, config.width, 1)
        self.blocks = nn.Sequential(*(_Block(config.width) for _ in range(config.blocks)))
        self.weights = nn.Linear(config.width, len(_OFFSETS) + len(FILTERS))
        self.head = nn.Sequential(
            nn.Linear(config.width + 2 * config.n_lines, config.head_width),
            nn.SiLU(),
            nn.Linear(config.head_width, config.n_lines * (config.n_doses + 1)),
        )
        self._start()

    def _start(self) -> None:
        """Start at no correction, and at weights that prefer the fixed filters to single neighbours."""
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            last.bias[-self.config.n_lines :] = -4.6  # a relative standard deviation of 1 %
            self.weights.weight *= 0.1
            self.weights.bias.fill_(-2.0)
            self.weights.bias[[len(_OFFSETS) // 2, len(_OFFSETS)]] = 2.0  # the voxel itself, the narrowest filter

    def context(self, channels: Tensor) -> Tensor:
        """Hidden state of every voxel: (group, channel, i, j, k) to (group, width, i, j, k)."""
        shape = (1, -1, 1, 1, 1)
        normal = (channels - self.channel_mean.reshape(shape)) / self.channel_std.reshape(shape)
        hidden: Tensor = self.blocks(self.stem(normal.contiguous(memory_format=torch.channels_last_3d)))
        return hidden

    def forward(self, channels: Tensor, accumulators: Tensor, voxels: Tensor, photon: Tensor) -> Prediction:
        """Predict some voxels of a volume.

        Args:
            channels: (group, channel, i, j, k) from `model.channels.channels`.
            accumulators: (group, 1 + 2 * line, i, j, k): dose, then dose_alpha and dose_sqrt_beta of each cell line.
            voxels: (voxel, 3) indices of the voxels that are asked for.
            photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
        """
        return self.answer(self.context(channels), accumulators, smooth_all(accumulators), voxels, photon)

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
        out = self.head(torch.cat([*seen, sqrt_beta / photon[1][:, None] - 1]).T).T
        split = n * self.config.n_doses
        correction = MAX_CORRECTION * torch.tanh(out[:split].reshape(n, self.config.n_doses, -1))
        return Prediction(alpha, sqrt_beta, correction, out[split:].clamp(*LOG_STD_RANGE))


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
