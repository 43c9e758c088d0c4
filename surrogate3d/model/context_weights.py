"""Weights of a network as `model.context_layers` and the convolutions between them take them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from surrogate3d.model.context_layers import N_VARYING, FirstLayer
from surrogate3d.model.fused_lanes import LANES
from surrogate3d.model.network import KernelNetwork

Floats32 = npt.NDArray[np.float32]


class Convolution(NamedTuple):
    """(padded width, padded width, 3, 3, 3) weights and their bias, in the precision of the convolution."""

    weight: Tensor
    bias: Tensor


class ContextWeights(NamedTuple):
    """All that the context of a tile takes of a network.

    Attributes:
        width: of the hidden layers, padded to whole lanes.
        first: stem, and the part of the keys that the channels give.
        blocks: the two convolutions of each residual block.
        inside: (padded width,) ones for the channels that there are, else zeros.
        key: (padded width, padded likeness) of the keys on the state.
    """

    width: int
    first: FirstLayer
    blocks: tuple[tuple[Convolution, ...], ...]
    inside: Floats32
    key: Floats32


def context_weights(network: KernelNetwork, fixed: Tensor, dtype: torch.dtype) -> ContextWeights:
    """Of a network, for groups whose channels `fixed` (group, channel) are the same in all voxels."""
    width, n_like = network.config.width, network.config.likeness
    padded, more_like = whole_lanes(width), whole_lanes(n_like) - n_like
    key = nn.functional.pad(network.key.weight[:, :width].T, (0, more_like, 0, padded - width))
    blocks = tuple(
        tuple(_convolution(part, padded - width, dtype) for part in block.modules() if isinstance(part, nn.Conv3d))
        for block in network.blocks
    )
    inside = (np.arange(padded) < width).astype(np.float32)
    return ContextWeights(padded, _first_layer(network, fixed), blocks, inside, key.contiguous().numpy())


def whole_lanes(n: int) -> int:
    """The next multiple of the lanes."""
    return -(-n // LANES) * LANES


def _convolution(part: nn.Conv3d, more: int, dtype: torch.dtype) -> Convolution:
    assert part.bias is not None
    weight = nn.functional.pad(part.weight, (0, 0) * 3 + (0, more) * 2).to(dtype)
    return Convolution(
        weight.contiguous(memory_format=torch.channels_last_3d), nn.functional.pad(part.bias, (0, more)).to(dtype)
    )


def _first_layer(network: KernelNetwork, fixed: Tensor) -> FirstLayer:
    assert network.stem.bias is not None
    parts = (
        (network.stem.weight.flatten(1), network.stem.bias),
        (network.key.weight[:, network.config.width :], network.key.bias),
    )
    weight = torch.cat([nn.functional.pad(w, (0, 0, 0, whole_lanes(len(w)) - len(w))) for w, _ in parts])
    bias = torch.cat([nn.functional.pad(b, (0, whole_lanes(len(b)) - len(b))) for _, b in parts])
    mean, std = network.channel_mean, network.channel_std
    normal = ((fixed - mean[N_VARYING:]) / std[N_VARYING:]).clamp(-6.0, 6.0)
    return FirstLayer(
        mean[:N_VARYING].numpy(),
        std[:N_VARYING].reciprocal().numpy(),
        weight[:, :N_VARYING].T.contiguous().numpy(),
        (bias + normal @ weight[:, N_VARYING:].T).numpy(),
    )
