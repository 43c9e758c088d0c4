"""The first half of the network for a tile: channels, hidden state and keys, of several networks at once.

`KernelNetwork.context(channels(...))` is the slow twin, for training. Here the channels are made once for all networks,
and only where a convolution asks for them; the convolutions run in the order of memory that suits them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from time import perf_counter
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from surrogate3d.model.channels import FILTERS, Whole, channel_reach, channels, reach
from surrogate3d.model.context_layers import CHUNK, add_and_activate, first_line, last_line
from surrogate3d.model.context_planes import Smoothed, in_parallel, smoothed
from surrogate3d.model.context_weights import Convolution, context_weights
from surrogate3d.model.network import WIDE_FILTER, Context, KernelNetwork, NetworkConfig

Precision = Literal["float32", "bfloat16"]
Box = tuple[slice, slice, slice]
Reach = tuple[int, int]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def places_reach(config: NetworkConfig) -> Reach:
    """Voxels, across and along the beam, from a voxel to the farthest places of its kernels."""
    places = config.places
    return max(max(abs(a), abs(b)) for a, b, _ in places), max(abs(c) for *_, c in places)


def context_reach(config: NetworkConfig) -> Reach:
    """Voxels, across and along the beam, that a voxel's hidden state and key see to each side."""
    lateral, depth = channel_reach()
    return lateral + 2 * config.blocks, depth + 2 * config.blocks


def network_reach(config: NetworkConfig) -> Reach:
    """Voxels, across and along the beam, that the answer of a voxel depends on: the halo of a tile."""
    places, wide = places_reach(config), FILTERS[WIDE_FILTER]
    seen = [(reach(f.lateral), reach(f.depth)) for f in FILTERS]
    seen += [_plus(places, context_reach(config)), _plus(places, (reach(wide.lateral), reach(wide.depth)))]
    return max(lateral for lateral, _ in seen), max(depth for _, depth in seen)


def _plus(a: Reach, b: Reach) -> Reach:
    return a[0] + b[0], a[1] + b[1]


def fast_contexts(
    networks: Sequence[KernelNetwork],
    inputs: Tensor,
    alpha_x: Tensor,
    charge: Tensor,
    whole: Whole,
    core: Box,
    precision: Precision = "float32",
) -> Iterator[Context]:
    """Hidden state and keys of a tile by each network, one after the other: only one needs to be held at a time.

    Args:
        networks: of one configuration.
        inputs: (group, band, 2 + 2 * line, i, j, k) of the tile's box, which reaches `network_reach` beyond the core
            or to the border of the grid.
        alpha_x: photon alpha of the first cell line, 1/Gy.
        charge: (group,) charge numbers.
        whole: of the whole field.
        core: voxels of the box whose answers are asked for.
        precision: of the convolutions.

    Returns:
        Contexts of the box, right in the core and at the places about it, float32; elsewhere they say nothing.
    """
    with torch.no_grad():
        if inputs.device.type != "cpu":
            return iter(_by_the_twin(networks, inputs, alpha_x, charge, whole, precision))
        box, config = inputs.shape[3:], networks[0].config
        asked = _widened(core, places_reach(config), box)
        region = _widened(asked, (2 * config.blocks, 2 * config.blocks), box)
        fixed = torch.stack([whole.primary.float(), torch.log(charge.float())], dim=1)
        numbers = np.float32(alpha_x), np.float32(whole.peak)
        seen = _Seen(smoothed(inputs.numpy(), region), numbers, fixed, asked, region, box)
    return (_context(network, seen, precision) for network in networks)


@cache
def fastest_precision() -> Precision:
    """That in which this machine is fastest, by timing a convolution in some hundredths of a second.

    Of bfloat16 the RBE at 2 Gy is off by less than 1e-3: sums, hidden state, keys and all that follows stay float32.
    """
    values = torch.ones(1, 16, 24, 24, 24).contiguous(memory_format=torch.channels_last_3d)
    seconds = {name: _seconds(values.to(dtype)) for name, dtype in _DTYPES.items()}
    return "bfloat16" if seconds["bfloat16"] < 0.8 * seconds["float32"] else "float32"


def _seconds(values: Tensor) -> float:
    """Least time of a few convolutions."""
    weight, times = values.new_ones(16, 16, 3, 3, 3), []
    for _ in range(4):
        start = perf_counter()
        nn.functional.conv3d(values, weight, padding=1)
        times.append(perf_counter() - start)
    return min(times)


def _by_the_twin(
    networks: Sequence[KernelNetwork],
    inputs: Tensor,
    alpha_x: Tensor,
    charge: Tensor,
    whole: Whole,
    precision: Precision,
) -> tuple[Context, ...]:
    seen = channels(inputs, alpha_x, charge, whole)
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        contexts = [network.context(seen) for network in networks]
    return tuple(
        Context(state.float().contiguous(memory_format=torch.channels_last_3d), key.float()) for state, key in contexts
    )


class _Seen(NamedTuple):
    """What all networks see of a tile: planes of the region that convolutions need for what is asked for."""

    planes: Smoothed
    numbers: tuple[np.float32, np.float32]  # alpha_x, peak
    fixed: Tensor
    asked: Box
    region: Box
    box: Sequence[int]


def _widened(core: Box, margin: Reach, box: Sequence[int]) -> Box:
    """Voxels within `margin` of the core, in the box."""
    lateral, depth = margin
    i, j, k = (
        slice(max(s.start - m, 0), min(s.stop + m, n))
        for s, m, n in zip(core, (lateral, lateral, depth), box, strict=True)
    )
    return i, j, k


@torch.no_grad()
def _context(network: KernelNetwork, seen: _Seen, precision: Precision) -> Context:
    """Context of one network; see `fast_contexts`."""
    weights, (begin, end) = context_weights(network, seen.fixed, _DTYPES[precision]), _corners(seen.asked)
    first, _ = _corners(seen.region)
    shape = (len(seen.fixed), *(s.stop - s.start for s in seen.region), weights.width)
    hidden, active = np.empty(shape, np.float32), torch.empty(shape, dtype=_DTYPES[precision])
    state, key = (np.zeros((shape[0], *seen.box, n), np.float32) for n in _sizes(network))
    scales, near = tuple(map(tuple, seen.planes.scales)), tuple(seen.planes.near)
    values = hidden, *_as_numpy(active)
    in_parallel(first_line, shape[1], scales, near, *seen.numbers, weights.first, *values, key, first)
    corners = np.array([begin, end, first])
    for group, of_group in enumerate(hidden):  # one by one: half the memory at a time, which need not be fetched anew
        values = of_group, *_as_numpy(_through_blocks(weights.blocks, of_group, active[group : group + 1])[0])
        answer = weights.inside, weights.key, state[group], key[group]
        in_parallel(last_line, end[0] - begin[0], *values, *answer, corners)
    return Context(torch.from_numpy(state).permute(0, 4, 1, 2, 3), torch.from_numpy(key))


def _through_blocks(blocks: Sequence[Sequence[Convolution]], hidden: npt.NDArray[np.float32], active: Tensor) -> Tensor:
    """Answer of the last block, (1, i, j, k, padded width); those of the others are added to the hidden state.

    Args:
        blocks: residual blocks.
        hidden: (i, j, k, padded width) state before them.
        active: (1, i, j, k, padded width) its activation.
    """
    if not blocks:
        return torch.zeros_like(active)
    for block in blocks[:-1]:
        active = _convolved(block, active)
        in_parallel(add_and_activate, -(-hidden.size // CHUNK), hidden, *_as_numpy(active))
    return _convolved(blocks[-1], active)


def _sizes(network: KernelNetwork) -> tuple[int, int]:
    return network.config.width, network.config.likeness


def _corners(box: Box) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.array([s.start for s in box]), np.array([s.stop for s in box])


def _as_numpy(values: Tensor) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16]]:
    """The numbers as float32, or as the bits of bfloat16; the other is empty."""
    empty = (0,) * values.ndim
    if values.dtype == torch.float32:
        return values.numpy(), np.empty(empty, np.uint16)
    return np.empty(empty, np.float32), values.view(torch.uint16).numpy()


def _convolved(block: Sequence[Convolution], active: Tensor) -> Tensor:
    """(group, i, j, k, padded width) answer of a block whose first activation is done."""
    first, second = block
    values = nn.functional.conv3d(active.permute(0, 4, 1, 2, 3), first.weight, first.bias, padding=1)
    values = nn.functional.silu(values, inplace=True)
    values = nn.functional.conv3d(values, second.weight, second.bias, padding=1)
    return values.permute(0, 2, 3, 4, 1).contiguous()


def fast_context(
    network: KernelNetwork,
    inputs: Tensor,
    alpha_x: Tensor,
    charge: Tensor,
    whole: Whole,
    core: Box,
    precision: Precision = "float32",
) -> Context:
    """`fast_contexts` of one network."""
    return next(fast_contexts((network,), inputs, alpha_x, charge, whole, core, precision))
