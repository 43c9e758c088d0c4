"""Group-wise kernel prediction: denoise the dose spectrum of each particle group, then apply the table.

A small 3-D CNN predicts, for every particle group, energy band and voxel, softmax weights over the voxels of a near
neighbourhood, over smoothed values of a wide one, and over a few fixed Gaussian filters. A neighbour's weight falls
with the distance of the two voxels' keys, a few learnt features of what they show: kernels follow slanted fronts and
take in far voxels that look the same, and a voxel decides only how strict to be. The weights act on
dose-fraction spectra (through accumulators that are linear in them), so the result is a physically possible mixed
field, and every cell line that has a table is answered by it. What the mixing rule itself gets wrong is left to
`model.head`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from surrogate3d.errors import ConfigError
from surrogate3d.model.channels import FILTERS, Filter, channel_names, channels, is_primary, smooth
from surrogate3d.model.groups import BANDS
from surrogate3d.model.head import MAX_LOG_CORRECTION, Denoised, EffectHead
from surrogate3d.model.shares import ShareFactors

WIDE_STRIDE = (3, 3, 1)
"""Voxels between the places of the wide neighbourhood: far across the beam, where kernels follow a slanted front."""

WIDE_FILTER = FILTERS.index(Filter(1.0, 0.0))
"""The values at its places are means over the voxels between them."""

_TINY = 1e-12  # of a dose whose maximum is one


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        width: channels of the hidden layers, at least 2.
        blocks: residual 3 x 3 x 3 blocks; two convolutions each.
        neighbourhood: voxels of the near neighbourhood, across, across and along the beam; odd.
        wide: places of the wide neighbourhood, likewise, `WIDE_STRIDE` voxels apart; zeros for none.
        likeness: number of features by which two voxels are compared, at least 1.
        head_width: hidden width of the head.
        n_doses: doses at which the effect is corrected.
        conditions: names of the conditions that the head knows of, in order.
        max_log_correction: bound of the logarithm of the head's correction.
    """

    width: int = 16
    blocks: int = 2
    neighbourhood: tuple[int, int, int] = (5, 5, 3)
    wide: tuple[int, int, int] = (5, 5, 5)
    likeness: int = 8
    head_width: int = 24
    n_doses: int = 11
    conditions: tuple[str, ...] = ()
    max_log_correction: float = MAX_LOG_CORRECTION

    def __post_init__(self) -> None:
        if self.width < 2:  # the hidden state is divided by its deviation over the channels
            raise ConfigError(f"width of the network must be at least 2, found {self.width}")
        if self.likeness < 1:
            raise ConfigError(f"likeness of the network must be at least 1, found {self.likeness}")

    @property
    def places(self) -> tuple[tuple[int, int, int], ...]:
        """Offsets of the near places, then of the wide ones, from the voxel."""
        return (*_offsets(self.neighbourhood, (1, 1, 1)), *_offsets(self.wide, WIDE_STRIDE))

    @property
    def n_near(self) -> int:
        """Number of near places."""
        return len(_offsets(self.neighbourhood, (1, 1, 1)))


def _offsets(size: tuple[int, int, int], stride: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    axes = [[(n - count // 2) * step for n in range(count)] for count, step in zip(size, stride, strict=True)]
    return tuple((a, b, c) for a in axes[0] for b in axes[1] for c in axes[2])


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
        denoised: field, and what the table makes of it.
        log_correction: (line, dose, voxel) logarithm of the correction of the effect.
        log_std: (line, voxel) logarithm of the predicted relative standard deviation of the effect.
    """

    denoised: Denoised
    log_correction: Tensor
    log_std: Tensor

    def effect(self, doses: Tensor) -> Tensor:
        """(line, dose, voxel) effect -ln S at `doses` in Gy."""
        return self.denoised.effect(doses) * torch.exp(self.log_correction)


class Context(NamedTuple):
    """What the network makes of the channels of a volume.

    Attributes:
        state: (group, width, i, j, k) hidden state.
        key: (group, i, j, k, likeness) features by which voxels are compared.
    """

    state: Tensor
    key: Tensor


class KernelNetwork(nn.Module):
    """The network; see the module's text."""

    channel_mean: Tensor
    channel_std: Tensor
    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        n_channels, n_bands = len(channel_names()), len(BANDS)
        self.register_buffer("channel_mean", torch.zeros(n_channels))
        self.register_buffer("channel_std", torch.ones(n_channels))
        self.stem = nn.Conv3d(n_channels, config.width, 1)
        self.blocks = nn.Sequential(*(_Block(config.width) for _ in range(config.blocks)))
        self.n_weights = len(config.places) + len(FILTERS)
        self.weights = nn.Linear(config.width, n_bands * self.n_weights, bias=False)
        self.prior = nn.Parameter(torch.zeros(2, n_bands * self.n_weights))  # of other groups, of the primary
        n_like = config.likeness
        self.strictness = nn.Linear(config.width, n_bands * n_like)
        self.key = nn.Linear(config.width + n_channels, n_like)
        self.share_factors = ShareFactors(config.width)
        self.head = EffectHead(
            config.width, config.head_width, config.n_doses, len(config.conditions), config.max_log_correction
        )
        self._start()

    def _start(self) -> None:
        """Start near species-grouped pooling: the beam from itself and its nearest, other groups from far around."""
        n_near, n_places = self.config.n_near, len(self.config.places)
        start = torch.full((2, self.n_weights), -2.0)
        start[:, n_near:n_places] = -4.0
        start[1, [n_near // 2, n_places]] = 1.0
        start[0, n_places + FILTERS.index(Filter(3.0, 2.0))] = 2.0
        with torch.no_grad():
            self.weights.weight *= 0.1
            self.strictness.bias.fill_(-1.0)
            self.prior.copy_(start.repeat(1, len(BANDS)))

    def context(self, channels: Tensor) -> Context:
        """Hidden state and keys of every voxel from its channels (group, channel, i, j, k)."""
        shape = (1, -1, 1, 1, 1)
        normal = (channels - self.channel_mean.reshape(shape)) / self.channel_std.reshape(shape)
        normal = normal.clamp(-6.0, 6.0)
        hidden: Tensor = self.blocks(self.stem(normal.contiguous(memory_format=torch.channels_last_3d)))
        # Normalised voxel by voxel, so that tiles equal the whole: else weights can saturate, and learn no more.
        deviation, mean = torch.std_mean(hidden, dim=1, keepdim=True)
        state = (hidden - mean) / (deviation + 1e-3)
        return Context(state, self.key(torch.cat([state, normal], dim=1).permute(0, 2, 3, 4, 1)))

    def forward(self, inputs: Tensor, voxels: Tensor, charge: Tensor, alpha_x: Tensor) -> Denoised:
        """Denoise some voxels of a volume.

        Under torch's autocast the context alone is of lower precision: rounded sums would be wrong by half a percent.

        Args:
            inputs: (group, band, 2 + 2 * line, i, j, k) as of `model.groups.group_inputs`; the channels are made from
                the first line.
            voxels: (voxel, 3) indices of the voxels that are asked for.
            charge: (group,) charge numbers.
            alpha_x: photon alpha of the first line, 1/Gy.
        """
        with torch.autocast(inputs.device.type, enabled=False):
            accumulators = without_tracks(inputs)
            seen, smoothed = channels(inputs, alpha_x, charge), smooth_all(accumulators)
        context = self.context(seen)
        with torch.autocast(inputs.device.type, enabled=False):
            context = Context(context.state.float(), context.key.float())
            return self.denoise(context, accumulators, smoothed, voxels, charge)

    def denoise(
        self,
        context: Context,
        accumulators: Tensor,
        smoothed: Tensor,
        voxels: Tensor,
        charge: Tensor,
        primary: Tensor | None = None,
    ) -> Denoised:
        """The second half of `forward`, for voxels in portions: `context` of the method, `smoothed` of `smooth_all`.

        `primary` (group,) tells which group is the beam where the accumulators are a tile of the field.
        """
        i, j, k = voxels.unbind(1)
        state = context.state[:, :, i, j, k].transpose(1, 2)  # (group, voxel, width)
        primary = is_primary(accumulators) if primary is None else primary
        weights = self._weights(state, context.key, primary, voxels)
        pooled = pool(weights, accumulators, smoothed, voxels, self.config)  # (group, band, accumulator, voxel)
        pooled = pooled * torch.exp(self.share_factors(state, pooled[:, :, 0], primary))[:, :, None]
        whole = pooled.sum(dim=(0, 1))
        total, n = whole[:1].clamp_min(_TINY), (len(whole) - 1) // 2
        share = pooled[:, :, 0] / total  # (group, band, voxel)
        kinds = torch.cat([share[of_kind].sum(dim=0) for of_kind in (charge == 1, charge == 2, charge > 2)])
        mean_state = (share.sum(dim=1)[..., None] * state).sum(dim=0)
        return Denoised(kinds, mean_state, whole[1 : 1 + n] / total, whole[1 + n :] / total)

    def answer(self, denoised: Denoised, photon: Tensor, conditions: Tensor | None = None) -> Prediction:
        """What follows for cell lines of `photon` (2, line) from the denoised field; see `EffectHead`."""
        under = denoised.under(self.config.conditions, conditions)  # the head corrects the closed form, as in training
        return Prediction(under, *self.head(under, photon, conditions))

    def _weights(self, state: Tensor, key: Tensor, primary: Tensor, voxels: Tensor) -> Tensor:
        """(voxel, group, band, weight), summing to one over the weights."""
        groups, n_voxels, bands = state.shape[0], state.shape[1], len(BANDS)
        logits = self.weights(state) + self.prior[primary.long()][:, None]
        logits = logits.reshape(groups, n_voxels, bands, self.n_weights)
        i, j, k = voxels.unbind(1)
        near = torch.stack([_gather(of_group, voxels, self.config.places) for of_group in key])
        apart = (near - key[:, i, j, k][:, :, None]).square()  # (group, voxel, place, likeness)
        strictness = nn.functional.softplus(self.strictness(state)).reshape(groups, n_voxels, bands, -1)
        unlike = strictness @ apart.transpose(-1, -2)  # (group, voxel, band, place)
        logits = logits - nn.functional.pad(unlike, (0, len(FILTERS)))
        return torch.softmax(logits, dim=-1).transpose(0, 1)


def without_tracks(inputs: Tensor) -> Tensor:
    """(group, band, 1 + 2 * line, i, j, k): dose, then dose_alpha and dose_sqrt_beta of each cell line."""
    return torch.cat([inputs[:, :, :1], inputs[:, :, 2:]], dim=2)


def smooth_all(accumulators: Tensor) -> Tensor:
    """(filter, group * band * accumulator + 1, i, j, k): accumulators and total dose (last) under each of `FILTERS`."""
    stacked = _with_total(accumulators)
    return torch.stack([smooth(stacked, gaussian) for gaussian in FILTERS])


def _with_total(accumulators: Tensor) -> Tensor:
    total = accumulators[:, :, 0].sum(dim=(0, 1))
    return torch.cat([accumulators.flatten(0, 2), total[None]])


def pool(weights: Tensor, accumulators: Tensor, smoothed: Tensor, voxels: Tensor, config: NetworkConfig) -> Tensor:
    """Pool every group and band with its own weights, as a ratio to the equally pooled total dose.

    Args:
        weights: (voxel, group, band, weight), summing to one: near places, wide places, then `FILTERS`.
        accumulators: (group, band, accumulator, i, j, k), dose first.
        smoothed: `smooth_all(accumulators)`.
        voxels: (voxel, 3) indices.
        config: of the network.

    Returns:
        (group, band, accumulator, voxel) accumulators per unit of total dose.
    """
    i, j, k = voxels.unbind(1)
    groups, bands, n = accumulators.shape[:3]
    places, n_near = config.places, config.n_near
    values = (  # (voxel, weight, value)
        _gather(_with_total(accumulators).permute(1, 2, 3, 0), voxels, places[:n_near]),
        _gather(smoothed[WIDE_FILTER].permute(1, 2, 3, 0), voxels, places[n_near:]),
        smoothed[:, :, i, j, k].permute(2, 0, 1),
    )
    parts = torch.split(weights.flatten(1, 2), [n_near, len(places) - n_near, len(FILTERS)], dim=-1)
    # Every kernel acts on the values of all groups and bands, of which only its own are kept: one product a voxel.
    pooled = sum((part @ value for part, value in zip(parts, values, strict=True)), torch.zeros(()))
    own = pooled[:, :, :-1].reshape(len(voxels), groups * bands, groups * bands, n).diagonal(dim1=1, dim2=2)
    ratio = own.movedim(0, -1).movedim(1, 0) / pooled[:, :, -1].T[:, None].clamp_min(_TINY)
    return ratio.reshape(groups, bands, n, len(voxels))


def _gather(values: Tensor, voxels: Tensor, places: tuple[tuple[int, int, int], ...]) -> Tensor:
    """(voxel, place, value) of (i, j, k, value) at places around each voxel, zeros outside the grid."""
    if not places:
        return values.new_zeros(len(voxels), 0, values.shape[-1])
    offsets = torch.tensor(places, device=voxels.device)
    pad = [int(n) for n in offsets.abs().amax(dim=0)]
    padded = nn.functional.pad(values, (0, 0, pad[2], pad[2], pad[1], pad[1], pad[0], pad[0]))
    at = voxels[:, None] + offsets[None] + torch.tensor(pad, device=voxels.device)
    flat = (at[..., 0] * padded.shape[1] + at[..., 1]) * padded.shape[2] + at[..., 2]
    rows: Tensor = nn.functional.embedding(flat, padded.flatten(0, 2))
    return rows
