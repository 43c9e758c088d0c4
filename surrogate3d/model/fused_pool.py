"""Kernels of a block of voxels: softmax over the places around each, and the dose spectra pooled by it.

The twin of `network.KernelNetwork._weights` and `network.pool`. A few places are taken at a time, from their logits to
their weighted values, so that logits stay in the first cache: what is summed so far is scaled whenever a larger logit
is found. Logits are powers of two, not of e: their layers are scaled when they are packed. The four bands of a group
are written out, so that their sums stay in registers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from surrogate3d.model.fused_functions import ROWS, exp2, packed_layer
from surrogate3d.model.fused_lanes import LANES, broadcast, fetch, fused, largest, load, splat, store

Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

LEAST_DOSE = 1e-12
"""Of a pooled total dose whose maximum is one, as in `model.network`."""

SUMS = 20
"""Rows of sums: per band the weights, the total dose, the three accumulators."""

PORTION = 24
"""Places that are taken at a time."""

NO_LOGIT = -1e30
_LEAST_POWER = -100.0  # of a weight: nothing beside `LEAST_DOSE` squared, and no product of it is lost


class Places(NamedTuple):
    """Where the values and keys of some places are, for a block and a group."""

    values: Floats32  # lines, or blocks of one filter after the other
    at: int  # where the group's planes begin for the block: three accumulators of each of four bands
    row: int  # numbers from one plane to the next
    total_row: int  # numbers from `at` to the plane of the total dose
    offsets: Ints  # in `values`, in pairs
    key: Floats32  # lines of keys
    key_at: int  # where the block is in them
    key_row: int  # numbers from one of their planes to the next
    key_offsets: Ints
    likeness: int  # features of a key; zero where keys do not matter
    edge: Ints  # offsets of those places that the block after this one does not share with it: they are fetched early
    step: int  # numbers from this block to that


def padded(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Places in pairs: one that is alone is taken twice, without a weight."""
    return np.concatenate([places, places[-1:]]) if len(places) % 2 else places


def packed_logits(
    weight: npt.NDArray[np.floating], bias: npt.NDArray[np.floating], counts: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Layer of the logits of (band, place), for `add_weighted`.

    Args:
        weight: (band, place, input).
        bias: (band, place).
        counts: of places in a row that are padded to pairs.
    """
    parts, first = [], 0
    for count in counts:
        more = count % 2
        w = np.pad(weight[:, first : first + count], ((0, 0), (0, more), (0, 0)))
        b = np.pad(bias[:, first : first + count], ((0, 0), (0, more)), constant_values=NO_LOGIT)
        parts.append(packed_layer(w.swapaxes(0, 1).reshape(-1, w.shape[-1]), b.T.ravel()))
        first += count
    return np.concatenate(parts)


@njit(cache=True)
def start_sums(work, peaks, sums):  # type: ignore[no-untyped-def]  # compiled
    """Nothing is summed yet."""
    for band in range(4):
        store(work, peaks + band * LANES, splat(NO_LOGIT))
    for n in range(SUMS):
        store(work, sums + n * LANES, splat(0.0))


@njit(cache=True)
def _find_logits(layer, w, width, key, at, row, offsets, first, last, likeness, work, rows, seen):  # type: ignore[no-untyped-def]  # compiled
    """Logits of places `first` to `last`, less what their keys are apart from the voxel's own; their largest."""
    p0, p1, p2, p3 = splat(NO_LOGIT), splat(NO_LOGIT), splat(NO_LOGIT), splat(NO_LOGIT)
    to = rows.logits
    for n in range(first, last, 2):
        a0, a1, a2, a3 = broadcast(layer, w), broadcast(layer, w + 1), broadcast(layer, w + 2), broadcast(layer, w + 3)
        w += 4
        b0, b1, b2, b3 = broadcast(layer, w), broadcast(layer, w + 1), broadcast(layer, w + 2), broadcast(layer, w + 3)
        w += 4
        for m in range(width):
            v = load(work, seen + m * LANES)
            a0 = fused(broadcast(layer, w), v, a0)
            a1 = fused(broadcast(layer, w + 1), v, a1)
            a2 = fused(broadcast(layer, w + 2), v, a2)
            a3 = fused(broadcast(layer, w + 3), v, a3)
            b0 = fused(broadcast(layer, w + 4), v, b0)
            b1 = fused(broadcast(layer, w + 5), v, b1)
            b2 = fused(broadcast(layer, w + 6), v, b2)
            b3 = fused(broadcast(layer, w + 7), v, b3)
            w += ROWS
        here, there, strict, own = at + offsets[n], at + offsets[n + 1], rows.strict, rows.own
        for _ in range(likeness):
            mine = load(work, own)
            a, b = load(key, here) - mine, load(key, there) - mine
            a, b = a * a, b * b
            s0, s1 = load(work, strict), load(work, strict + LANES)
            s2, s3 = load(work, strict + 2 * LANES), load(work, strict + 3 * LANES)
            a0, a1, a2, a3 = fused(s0, a, a0), fused(s1, a, a1), fused(s2, a, a2), fused(s3, a, a3)
            b0, b1, b2, b3 = fused(s0, b, b0), fused(s1, b, b1), fused(s2, b, b2), fused(s3, b, b3)
            here, there, strict, own = here + row, there + row, strict + 4 * LANES, own + LANES
        p0, p1 = largest(p0, largest(a0, b0)), largest(p1, largest(a1, b1))
        p2, p3 = largest(p2, largest(a2, b2)), largest(p3, largest(a3, b3))
        store(work, to, a0)
        store(work, to + LANES, a1)
        store(work, to + 2 * LANES, a2)
        store(work, to + 3 * LANES, a3)
        store(work, to + 4 * LANES, b0)
        store(work, to + 5 * LANES, b1)
        store(work, to + 6 * LANES, b2)
        store(work, to + 7 * LANES, b3)
        to += 8 * LANES
    store(work, rows.highest, p0)
    store(work, rows.highest + LANES, p1)
    store(work, rows.highest + 2 * LANES, p2)
    store(work, rows.highest + 3 * LANES, p3)


@njit(cache=True)
def _add_places(values, at, row, offsets, first, last, total_row, work, rows):  # type: ignore[no-untyped-def]  # compiled
    """Add the values at places `first` to `last` with their weights; scale the sums to the highest logit so far."""
    logits, peaks, highest, sums = rows.logits, rows.peaks, rows.highest, rows.sums
    for _ in range(2):  # two bands at a time, whose sums are as many as there are registers
        old0, old1 = load(work, peaks), load(work, peaks + LANES)
        peak0, peak1 = largest(old0, load(work, highest)), largest(old1, load(work, highest + LANES))
        store(work, peaks, peak0)
        store(work, peaks + LANES, peak1)
        old0 = exp2(largest(old0 - peak0, splat(_LEAST_POWER)))
        old1 = exp2(largest(old1 - peak1, splat(_LEAST_POWER)))
        n0, t0 = load(work, sums) * old0, load(work, sums + LANES) * old0
        x0, y0 = load(work, sums + 2 * LANES) * old0, load(work, sums + 3 * LANES) * old0
        z0, n1 = load(work, sums + 4 * LANES) * old0, load(work, sums + 5 * LANES) * old1
        t1, x1 = load(work, sums + 6 * LANES) * old1, load(work, sums + 7 * LANES) * old1
        y1, z1 = load(work, sums + 8 * LANES) * old1, load(work, sums + 9 * LANES) * old1
        logit = logits
        for n in range(first, last):
            here = at + offsets[n]
            total = load(values, here + total_row)
            w0 = exp2(largest(load(work, logit) - peak0, splat(_LEAST_POWER)))
            w1 = exp2(largest(load(work, logit + LANES) - peak1, splat(_LEAST_POWER)))
            n0, t0 = n0 + w0, fused(w0, total, t0)
            x0 = fused(w0, load(values, here), x0)
            y0 = fused(w0, load(values, here + row), y0)
            z0 = fused(w0, load(values, here + 2 * row), z0)
            n1, t1 = n1 + w1, fused(w1, total, t1)
            x1 = fused(w1, load(values, here + 3 * row), x1)
            y1 = fused(w1, load(values, here + 4 * row), y1)
            z1 = fused(w1, load(values, here + 5 * row), z1)
            logit += 4 * LANES
        store(work, sums, n0)
        store(work, sums + LANES, t0)
        store(work, sums + 2 * LANES, x0)
        store(work, sums + 3 * LANES, y0)
        store(work, sums + 4 * LANES, z0)
        store(work, sums + 5 * LANES, n1)
        store(work, sums + 6 * LANES, t1)
        store(work, sums + 7 * LANES, x1)
        store(work, sums + 8 * LANES, y1)
        store(work, sums + 9 * LANES, z1)
        at, total_row = at + 6 * row, total_row - 6 * row
        logits, peaks, highest, sums = logits + 2 * LANES, peaks + 2 * LANES, highest + 2 * LANES, sums + 10 * LANES


@njit(cache=True)
def add_weighted(places, layer, w, sizes, work, rows, seen):  # type: ignore[no-untyped-def]  # compiled
    """Add the values at some places to the sums of a group, each with its weight.

    Args:
        places: where they are.
        layer: of the logits.
        w: where it begins for these places.
        sizes: of the network.
        work: of the block, in which `rows.own` and `rows.strict` (negative) are known.
        rows: of `work`.
        seen: where the state is.
    """
    values, at, row, offsets, total_row = places.values, places.at, places.row, places.offsets, places.total_row
    key, key_at, key_row, likeness = places.key, places.key_at, places.key_row, places.likeness
    edge, step = places.edge, places.step
    portions = (offsets.size + PORTION - 1) // PORTION
    for portion in range(portions):
        first, last = portion * PORTION, min((portion + 1) * PORTION, offsets.size)
        at_w = w + first * 4 * (1 + sizes.width)
        _find_logits(
            layer, at_w, sizes.width, key, key_at, key_row, places.key_offsets, first, last, likeness, work, rows, seen
        )
        _add_places(values, at, row, offsets, first, last, total_row, work, rows)
        for n in range(portion * edge.size // portions, (portion + 1) * edge.size // portions):
            for plane in range(13):
                there = at + step + edge[n] + (plane * row if plane < 12 else total_row)
                fetch(values, there)
                fetch(values, there + LANES)
            for feature in range(likeness):
                there = key_at + step + edge[n] + feature * key_row
                fetch(key, there)
                fetch(key, there + LANES)


@njit(cache=True)
def take_ratios(work, sums, pooled):  # type: ignore[no-untyped-def]  # compiled
    """The three accumulators of each band per unit of the total dose, from `SUMS`."""
    for _ in range(4):
        weight = load(work, sums)
        per_total = 1.0 / (largest(load(work, sums + LANES) / weight, splat(LEAST_DOSE)) * weight)
        for a in range(3):
            store(work, pooled + a * LANES, load(work, sums + (2 + a) * LANES) * per_total)
        sums += 5 * LANES
        pooled += 3 * LANES
