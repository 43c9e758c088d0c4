"""A network's weights in the layout of the compiled code, and its work on a run of blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import nn

from surrogate3d.model.fused_answer import (
    FIELD_ROWS,
    SHARE_ROWS,
    answer_block,
    see_conditions,
    see_field,
    set_shares_right,
)
from surrogate3d.model.fused_functions import LOG2_E, ROWS, dense, packed_layer, softplus
from surrogate3d.model.fused_lanes import LANES, load, splat, store
from surrogate3d.model.fused_pool import PORTION, SUMS, Places, add_weighted, packed_logits, start_sums, take_ratios
from surrogate3d.model.fused_smooth import Blocks, Lines, line_at
from surrogate3d.model.groups import BANDS
from surrogate3d.model.head import CLOSED_FORM
from surrogate3d.model.network import KernelNetwork

Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Layers(NamedTuple):
    """Packed by `fused_functions.packed_layer`."""

    other_logits: Floats32  # of groups that are not the beam itself
    primary_logits: Floats32
    strictness: Floats32
    share_hidden: Floats32
    share_last: Floats32
    correction_1: Floats32
    correction_2: Floats32
    correction_3: Floats32
    spread_1: Floats32
    spread_2: Floats32
    spread_3: Floats32


class Packed(NamedTuple):
    """Accumulators of a tile."""

    lines: Lines
    blocks: Blocks
    packed: Floats32  # lines
    smoothed: Floats32  # lines under the wide places' filter
    filtered: Floats32  # (plane, block, filter, lane)
    near: Ints  # offsets of the near places
    wide: Ints
    filters: Ints
    near_edge: Ints  # offsets of the near places that the next line does not share
    wide_edge: Ints


class Keys(NamedTuple):
    """Of a network, in a tile."""

    lines: Lines
    packed: Floats32  # lines of each group
    near: Ints  # offsets of the near places
    wide: Ints


class Case(NamedTuple):
    """What is asked."""

    primary: npt.NDArray[np.bool_]  # (group,)
    kind: Ints  # (group,) 0 for hydrogen, 1 for helium, 2 for heavier ions, -1 for none of them
    photon: Floats32  # alpha_x, sqrt_beta_x, and the two features of the cell line
    doses: Floats32  # Gy
    max_log: np.float32  # bound of the logarithm of the correction


class Sizes(NamedTuple):
    """Of a network and a field."""

    groups: int
    width: int
    likeness: int
    share_hidden: int
    head: int
    doses: int
    conditions: int
    log_alpha: int  # which condition a closed form speaks of; -1 for none
    log_sqrt_beta: int


class Rows(NamedTuple):
    """Where things are in the memory of a block: rows of sixteen voxels."""

    seen: int  # of each group: state, and what the shares' layers see beside it
    pooled: int  # of each group and band: three accumulators
    own: int  # keys of the voxels
    strict: int  # of each feature: of each band
    logits: int  # of each place of a portion: of each band
    highest: int  # logit of each band, among some places
    peaks: int  # among all so far
    sums: int
    hidden: int
    other: int
    features: int
    table: int
    correction: int
    effect: int
    log_std: int
    size: int


def rows_of(sizes: Sizes) -> Rows:
    """A layout in which every dense layer may write a multiple of `ROWS`."""
    widest = max(sizes.share_hidden, sizes.head)
    counts = (
        sizes.groups * (sizes.width + SHARE_ROWS), sizes.groups * 12, sizes.likeness, 4 * sizes.likeness,
        4 * PORTION, 4, 4, SUMS, widest, widest, FIELD_ROWS + sizes.conditions + sizes.width, 2, sizes.doses,
        sizes.doses, 1,
    )  # fmt: skip
    starts = np.cumsum([0, *(-(-count // ROWS) * ROWS for count in counts)]) * LANES
    return Rows(*map(int, starts))


def sizes_of(network: KernelNetwork, groups: int) -> Sizes:
    """Of a network and a field of some groups."""
    config = network.config
    known = set(CLOSED_FORM) <= set(config.conditions)
    form = tuple(config.conditions.index(name) if known else -1 for name in CLOSED_FORM)
    hidden = _layers(network.share_factors.mlp)[0].out_features
    return Sizes(
        groups, config.width, config.likeness, hidden, config.head_width, config.n_doses, len(config.conditions), *form,
    )  # fmt: skip


def layers_of(network: KernelNetwork) -> Layers:
    """The network's weights; what the softmax sees is scaled, as it takes powers of two."""
    n_weights, n_like = network.n_weights, network.config.likeness
    by_feature = np.arange(len(BANDS) * n_like).reshape(len(BANDS), n_like).T.ravel()
    logits = _array(network.weights.weight).reshape(len(BANDS), n_weights, -1) * LOG2_E
    priors = [_array(prior).reshape(len(BANDS), n_weights) * LOG2_E for prior in network.prior]
    n_near, n_places = network.config.n_near, len(network.config.places)
    counts = (n_near, n_places - n_near, n_weights - n_places)
    strictness = network.strictness
    packed = [packed_logits(logits, prior, counts) for prior in priors]
    packed.append(packed_layer(_array(strictness.weight)[by_feature], _array(strictness.bias)[by_feature]))
    for mlp in (network.share_factors.mlp, network.head.correction, network.head.spread):
        packed += [packed_layer(_array(layer.weight), _array(layer.bias)) for layer in _layers(mlp)]
    return Layers(*packed)


def _layers(mlp: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in mlp if isinstance(layer, nn.Linear)]


def _array(values: torch.Tensor) -> npt.NDArray[np.float64]:
    return values.detach().double().numpy()


@njit(cache=True, nogil=True)
def pack_keys(i, key, lines, wanted, packed):  # type: ignore[no-untyped-def]  # compiled
    """Row i of the lines that are `wanted` (i, 2), from (i, j, k, likeness)."""
    for j in range(wanted[i, 0], wanted[i, 1]):
        at = line_at(lines, i, j)
        for k in range(lines.nk):
            for feature in range(lines.planes):
                packed[at + feature * lines.plane + k] = key[i, j, k, feature]


@njit(cache=True)
def _take_state(state, i, j, k, work, at):  # type: ignore[no-untyped-def]  # compiled
    """Rows of a block from (i, j, k, width); behind the grid its last voxel again."""
    for lane in range(LANES):
        depth = min(k + lane, state.shape[2] - 1)
        for n in range(state.shape[3]):
            work[at + n * LANES + lane] = state[i, j, depth, n]


@njit(cache=True)
def _pool_group(group, block, field, keys, state, sizes, rows, layers, primary, work):  # type: ignore[no-untyped-def]  # compiled
    """Pooled accumulators of a group, to `rows.pooled`."""
    i, j, k = field.blocks.i[block], field.blocks.j[block], field.blocks.k[block]
    seen = rows.seen + group * (sizes.width + SHARE_ROWS) * LANES
    _take_state(state[group], i, j, k, work, seen)
    dense(layers.strictness, sizes.width, work, seen, rows.strict)
    for n in range(4 * sizes.likeness):
        at = rows.strict + n * LANES
        store(work, at, splat(0.0) - softplus(load(work, at)) * LOG2_E)
    key, key_at, key_row = keys.packed[group], line_at(keys.lines, i, j) + k, keys.lines.plane
    for n in range(sizes.likeness):
        store(work, rows.own + n * LANES, load(key, key_at + n * key_row))
    start_sums(work, rows.peaks, rows.sums)
    likeness, first, total = sizes.likeness, 12 * group, 12 * (sizes.groups - group)
    layer, w = layers.primary_logits if primary[group] else layers.other_logits, 0
    row, here = field.lines.plane, line_at(field.lines, i, j) + k
    after = min(block + 1, len(field.blocks.i) - 1)
    step = line_at(field.lines, field.blocks.i[after], field.blocks.j[after]) + field.blocks.k[after] - here
    here += first * row
    near = Places(
        field.packed,
        here,
        row,
        total * row,
        field.near,
        key,
        key_at,
        key_row,
        keys.near,
        likeness,
        field.near_edge,
        step,
    )
    add_weighted(near, layer, w, sizes, work, rows, seen)
    w += field.near.size * 4 * (1 + sizes.width)
    wide = Places(
        field.smoothed,
        here,
        row,
        total * row,
        field.wide,
        key,
        key_at,
        key_row,
        keys.wide,
        likeness,
        field.wide_edge,
        step,
    )
    add_weighted(wide, layer, w, sizes, work, rows, seen)
    w += field.wide.size * 4 * (1 + sizes.width)
    row = len(field.blocks.i) * field.filters.size * LANES
    here = first * row + block * field.filters.size * LANES
    filters = Places(
        field.filtered, here, row, total * row, field.filters, key, key_at, 0, field.filters, 0, field.near_edge[:0], 0
    )
    add_weighted(filters, layer, w, sizes, work, rows, seen)
    take_ratios(work, rows.sums, rows.pooled + 12 * group * LANES)


@njit(cache=True, nogil=True)
def answer_blocks(first, last, field, keys, state, sizes, rows, layers, case, voxel, conditions, out):  # type: ignore[no-untyped-def]  # compiled
    """The answer of blocks `first` to `last`, for the voxels of their lanes.

    Args:
        first: block.
        last: block, not included.
        field: `Packed` accumulators.
        keys: `Keys` of the network.
        state: (group, i, j, k, width) hidden.
        sizes: of network and field.
        rows: of a block's memory.
        layers: of the network.
        case: what is asked.
        voxel: (lane,) index of the voxel of every lane of every block, -1 for none.
        conditions: (condition, voxel).
        out: effect (dose, voxel), log_std (voxel,), log_correction (dose, voxel).
    """
    memory = np.empty(rows.size + 2 * LANES, np.float32)
    begin = (-(memory.ctypes.data >> 2)) & (LANES - 1)  # a row is a line of the cache
    work = memory[begin:]
    for block in range(first, last):
        lanes = block * LANES
        asked = False
        for lane in range(LANES):
            asked = asked or voxel[lanes + lane] >= 0
        if not asked:
            continue
        for group in range(sizes.groups):
            _pool_group(group, block, field, keys, state, sizes, rows, layers, case.primary, work)
        set_shares_right(work, rows, sizes, layers, case.primary)
        see_field(work, rows, sizes, case.kind)
        see_conditions(work, rows, sizes, conditions, lanes, voxel)
        answer_block(work, rows, sizes, layers, case.photon, case.doses, case.max_log)
        for lane in range(LANES):
            who = voxel[lanes + lane]
            if who >= 0:
                out.log_std[who] = work[rows.log_std + lane]
                for dose in range(sizes.doses):
                    out.effect[dose, who] = work[rows.effect + dose * LANES + lane]
                    out.log_correction[dose, who] = work[rows.correction + dose * LANES + lane]
