"""From pooled spectra to the answer of a block of voxels: shares set right, what the table says, the head.

The twin of `shares.ShareFactors`, of the end of `network.KernelNetwork.denoise`, and of `head`.
"""

from __future__ import annotations

from numba import njit

from surrogate3d.model.fused_functions import dense, exp, log, silu, tanh
from surrogate3d.model.fused_lanes import LANES, broadcast, fused, largest, load, root, smallest, splat, store
from surrogate3d.model.fused_pool import LEAST_DOSE
from surrogate3d.model.head import LOG_STD_RANGE
from surrogate3d.model.shares import MAX_LOG_FACTOR

_LOWEST, _HIGHEST = LOG_STD_RANGE
_LEAST_SHARE = 1e-6  # as in `model.shares`
_LEAST_ALPHA = 1e-3  # as in `model.head`
_TINY = 1.1754944e-38  # the smallest float32 that is not subnormal

SHARE_ROWS = 9
"""Of what the shares' layers see beside the state: own shares, those of all groups, whether it is the beam itself."""

FIELD_ROWS = 16
"""Of what the head sees beside conditions and state: twelve shares, two of the table, two of the cell line."""


@njit(cache=True)
def set_shares_right(work, rows, sizes, layers, primary):  # type: ignore[no-untyped-def]  # compiled
    """Multiply the pooled accumulators of each group and band by the factor of the shares' layers."""
    seen_rows = (sizes.width + SHARE_ROWS) * LANES
    total = splat(0.0)
    for n in range(4 * sizes.groups):
        total = total + load(work, rows.pooled + 3 * n * LANES)
    total = largest(total, splat(_TINY))
    for band in range(4):
        every = splat(0.0)
        for group in range(sizes.groups):
            share = load(work, rows.pooled + (12 * group + 3 * band) * LANES) / total
            own = rows.seen + group * seen_rows + (sizes.width + band) * LANES
            store(work, own, log(largest(share, splat(_LEAST_SHARE))) * (1 / 3))
            every = every + share
        every = log(largest(every, splat(_LEAST_SHARE))) * (1 / 3)
        for group in range(sizes.groups):
            store(work, rows.seen + group * seen_rows + (sizes.width + 4 + band) * LANES, every)
    for group in range(sizes.groups):
        seen = rows.seen + group * seen_rows
        store(work, seen + (sizes.width + 8) * LANES, splat(1.0 if primary[group] else 0.0))
        dense(layers.share_hidden, sizes.width + SHARE_ROWS, work, seen, rows.hidden)
        silu(work, rows.hidden, sizes.share_hidden)
        dense(layers.share_last, sizes.share_hidden, work, rows.hidden, rows.other)
        for band in range(4):
            factor = exp(MAX_LOG_FACTOR * tanh(load(work, rows.other + band * LANES)))
            for a in range(3):
                at = rows.pooled + (12 * group + 3 * band + a) * LANES
                store(work, at, load(work, at) * factor)


@njit(cache=True)
def see_field(work, rows, sizes, kind):  # type: ignore[no-untyped-def]  # compiled
    """Put shares by kind of ion, the table's answer, and the mean state to the head's features.

    Args:
        work: of the block.
        rows: of `work`.
        sizes: of the network.
        kind: (group,) 0 for hydrogen, 1 for helium, 2 for heavier ions, -1 for none of them.
    """
    total, alpha, sqrt_beta = splat(0.0), splat(0.0), splat(0.0)
    for n in range(4 * sizes.groups):
        at = rows.pooled + 3 * n * LANES
        total = total + load(work, at)
        alpha = alpha + load(work, at + LANES)
        sqrt_beta = sqrt_beta + load(work, at + 2 * LANES)
    total = largest(total, splat(LEAST_DOSE))
    store(work, rows.table, alpha / total)
    store(work, rows.table + LANES, sqrt_beta / total)
    state = rows.features + (FIELD_ROWS + sizes.conditions) * LANES
    for n in range(12):
        store(work, rows.features + n * LANES, splat(0.0))
    for n in range(sizes.width):
        store(work, state + n * LANES, splat(0.0))
    for group in range(sizes.groups):
        whole = splat(0.0)
        for band in range(4):
            share = load(work, rows.pooled + (12 * group + 3 * band) * LANES) / total
            whole = whole + share
            if kind[group] >= 0:
                at = rows.features + (4 * kind[group] + band) * LANES
                store(work, at, load(work, at) + share)
        seen = rows.seen + group * (sizes.width + SHARE_ROWS) * LANES
        for n in range(sizes.width):
            at = state + n * LANES
            store(work, at, fused(whole, load(work, seen + n * LANES), load(work, at)))
    for n in range(12):
        at = rows.features + n * LANES
        store(work, at, root(largest(load(work, at), splat(0.0)) + 1e-6))


@njit(cache=True)
def see_conditions(work, rows, sizes, values, first, voxel):  # type: ignore[no-untyped-def]  # compiled
    """Put the conditions of the block's voxels to the head's features, and what a closed form says to the table's.

    Args:
        work: of the block.
        rows: of `work`.
        sizes: of the network.
        values: (condition, voxel).
        first: of the lanes in `voxel`.
        voxel: of each lane, -1 for none.
    """
    for condition in range(sizes.conditions):
        at = rows.features + (FIELD_ROWS + condition) * LANES
        for lane in range(LANES):
            who = voxel[first + lane]
            work[at + lane] = values[condition, who] if who >= 0 else 0.0
        if condition == sizes.log_alpha:
            store(work, rows.table, load(work, rows.table) * exp(load(work, at)))
        if condition == sizes.log_sqrt_beta:
            store(work, rows.table + LANES, load(work, rows.table + LANES) * exp(load(work, at)))


@njit(cache=True)
def answer_block(work, rows, sizes, layers, photon, doses, max_log):  # type: ignore[no-untyped-def]  # compiled
    """Effect, logarithm of its correction, and logarithm of its relative deviation of a block.

    Args:
        work: of the block.
        rows: of `work`.
        sizes: of the network.
        layers: of the network.
        photon: alpha_x, sqrt_beta_x, and the two features of the cell line.
        doses: Gy.
        max_log: bound of the logarithm of the correction.
    """
    alpha, sqrt_beta = load(work, rows.table), load(work, rows.table + LANES)
    table = rows.features + 12 * LANES
    store(work, table, log(largest(alpha, splat(_LEAST_ALPHA)) / broadcast(photon, 0)))
    store(work, table + LANES, sqrt_beta / broadcast(photon, 1) - 1.0)
    store(work, table + 2 * LANES, broadcast(photon, 2))
    store(work, table + 3 * LANES, broadcast(photon, 3))
    seen = FIELD_ROWS + sizes.conditions
    dense(layers.correction_1, seen, work, rows.features, rows.hidden)
    silu(work, rows.hidden, sizes.head)
    dense(layers.correction_2, sizes.head, work, rows.hidden, rows.other)
    silu(work, rows.other, sizes.head)
    dense(layers.correction_3, sizes.head, work, rows.other, rows.correction)
    for n in range(doses.size):
        at = n * LANES
        log_correction = max_log * tanh(load(work, rows.correction + at))
        dose = broadcast(doses, n)
        quadratic = sqrt_beta * dose
        store(work, rows.correction + at, log_correction)
        store(work, rows.effect + at, fused(quadratic, quadratic, alpha * dose) * exp(log_correction))
    dense(layers.spread_1, seen + sizes.width, work, rows.features, rows.hidden)
    silu(work, rows.hidden, sizes.head)
    dense(layers.spread_2, sizes.head, work, rows.hidden, rows.other)
    silu(work, rows.other, sizes.head)
    dense(layers.spread_3, sizes.head, work, rows.other, rows.log_std)
    log_std = largest(load(work, rows.log_std), splat(_LOWEST))
    store(work, rows.log_std, smallest(log_std, splat(_HIGHEST)))
