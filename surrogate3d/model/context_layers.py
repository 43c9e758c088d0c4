"""The layers of the context that act on each voxel alone, compiled; the convolutions between them are torch's.

Hidden channels are padded to whole lanes with zeros: no weight leads to them or from them. Between a layer and a
convolution the values are float32 (`fine`) or bfloat16 as its bits (`rough`); one of the two arrays is empty.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs
# Compiled functions are typed by numba, of whose lanes mypy knows nothing.
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from surrogate3d.model.channels import channel_names
from surrogate3d.model.context_lanes import load_half, store_half, sum_of
from surrogate3d.model.fused_functions import exp, log
from surrogate3d.model.fused_lanes import LANES, broadcast, fused, largest, load, smallest, splat, store
from surrogate3d.model.groups import BANDS

Floats32 = npt.NDArray[np.float32]

N_VARYING = len(channel_names()) - 2
"""Channels that differ between the voxels of a group: all but the last two."""

CHUNK = 1 << 16
"""Numbers that `add_and_activate` takes at once: a multiple of the lanes."""

_N_BANDS = len(BANDS)
_PER_SCALE = _N_BANDS + 4
_TINY = float(np.finfo(np.float32).tiny)
_VOXELS = 4  # of a row whose sums run together, to hide the latency of a product


class FirstLayer(NamedTuple):
    """The stem, and the part of the keys that the channels give.

    Attributes:
        mean: (varying channel,).
        inverse_std: (varying channel,).
        weight: (varying channel, output) of stem and key, each padded to whole lanes.
        bias: (group, output), with what the channels that are the same everywhere give.
    """

    mean: Floats32
    inverse_std: Floats32
    weight: Floats32
    bias: Floats32


@njit(cache=True)
def _log_ratio(numerator, denominator, floor):
    """Where there is no denominator there is no numerator."""
    return log(largest(numerator / largest(denominator, splat(_TINY)), splat(floor)))


@njit(cache=True)
def _log1p(x):
    return log(largest(x, splat(0.0)) + 1.0)


@njit(cache=True)
def _silu(x):
    return x / (exp(splat(0.0) - x) + 1.0)


@njit(cache=True)
def _start(planes, i, j):
    """Where voxel (i, j, 0) of the first plane is."""
    values, margin, before = planes
    return ((i + margin) * values.shape[2] + j + margin) * values.shape[3] + before


@njit(cache=True)
def _scale_channels(planes, i, j, alpha_x, n_groups, first, length, seen):
    """Channels of one scale of row (i, j), from row `first` of each group in `seen` on."""
    values, step = planes[0], planes[0].shape[1] * planes[0].shape[2] * planes[0].shape[3]
    row, per_group, start = seen.shape[2], _N_BANDS + 2, _start(planes, i, j)
    for n in range(0, length, LANES):
        at = start + n
        dose, tracks, alpha = splat(0.0), splat(0.0), splat(0.0)
        for group in range(n_groups):
            of_group = at + group * per_group * step
            for band in range(_N_BANDS):
                dose = dose + load(values, of_group + band * step)
            tracks = tracks + load(values, of_group + _N_BANDS * step)
            alpha = alpha + load(values, of_group + (_N_BANDS + 1) * step)
        log_alpha, log_tracks = _log_ratio(alpha, dose * alpha_x, 0.5), _log1p(tracks)
        for group in range(n_groups):
            of_group, to = at + group * per_group * step, (group * seen.shape[1] + first) * row + n
            own = splat(0.0)
            for band in range(_N_BANDS):
                part = load(values, of_group + band * step)
                own = own + part
                store(seen, to + band * row, _log_ratio(part, dose, 1e-5))
            to += _N_BANDS * row
            store(seen, to, _log_ratio(load(values, of_group + (_N_BANDS + 1) * step), own * alpha_x, 0.5))
            store(seen, to + row, _log1p(load(values, of_group + _N_BANDS * step)))
            store(seen, to + 2 * row, log_alpha)
            store(seen, to + 3 * row, log_tracks)


@njit(cache=True)
def _shape_channels(near, wide, i, j, peak, n_groups, length, seen):
    """The channels of the dose's shape; `wide` is the scale of its surroundings."""
    values, at, row = near[0], _start(near, i, j), seen.shape[2]
    beside, beside_at = wide[0], _start(wide, i, j)
    step = beside.shape[1] * beside.shape[2] * beside.shape[3]
    floor = np.float32(1e-3) * peak
    for n in range(0, length, LANES):
        dose, around = load(values, at + n), splat(0.0)
        for group in range(n_groups):
            for band in range(_N_BANDS):
                around = around + load(beside, beside_at + n + (group * (_N_BANDS + 2) + band) * step)
        contrast = _log_ratio(dose, around, 1e-2)
        slope = log((load(values, at + n + 1) + floor) / (load(values, at + n - 1) + floor))
        height = _log_ratio(dose, splat(peak), 1e-3)
        for group in range(n_groups):
            to = (group * seen.shape[1] + seen.shape[1] - 3) * row + n
            store(seen, to, contrast)
            store(seen, to + row, slope)
            store(seen, to + 2 * row, height)


@njit(cache=True)
def _dense(seen, group, layer, length, out):
    """(voxel, output) of the first layer for a row of channels."""
    n_channels, row, n_out = seen.shape[1], seen.shape[2], layer.weight.shape[1]
    for c in range(n_channels):
        at = (group * n_channels + c) * row
        for n in range(0, length, LANES):
            normal = (load(seen, at + n) - broadcast(layer.mean, c)) * broadcast(layer.inverse_std, c)
            store(seen, at + n, smallest(largest(normal, splat(-6.0)), splat(6.0)))
    for v in range(0, length, _VOXELS):
        for o in range(0, n_out, LANES):
            a = load(layer.bias, group * n_out + o)
            b, c, d = a, a, a
            for channel in range(n_channels):
                at, w = (group * n_channels + channel) * row + v, load(layer.weight, channel * n_out + o)
                a = fused(broadcast(seen, at), w, a)
                b = fused(broadcast(seen, at + 1), w, b)
                c = fused(broadcast(seen, at + 2), w, c)
                d = fused(broadcast(seen, at + 3), w, d)
            to = v * n_out + o
            store(out, to, a)
            store(out, to + n_out, b)
            store(out, to + 2 * n_out, c)
            store(out, to + 3 * n_out, d)


@njit(cache=True, nogil=True)
def first_line(i, scales, near, alpha_x, peak, layer, hidden, fine, rough, key, corner):
    """Line i of hidden state, of its activation and of the channels' part of the keys.

    Args:
        i: of the line.
        scales: `Planes` at each of the scales, without their names.
        near: dose under the narrow filter, likewise.
        alpha_x: 1/Gy.
        peak: of the whole field.
        layer: `FirstLayer`.
        hidden: (group, i, j, k, padded width) of the region, to be written.
        fine: activation, likewise; or empty.
        rough: activation; or empty.
        key: (group, i, j, k, likeness) of the box, to be written from voxel `corner` on.
        corner: (3,).
    """
    n_groups, _, n_j, n_k, width = hidden.shape
    length = -(-n_k // LANES) * LANES
    seen = np.empty((n_groups, N_VARYING, length), np.float32)
    out, half = np.empty(length * layer.weight.shape[1], np.float32), rough.size > 0
    for j in range(n_j):
        for n in range(len(scales)):
            _scale_channels(scales[n], i, j, alpha_x, n_groups, n * _PER_SCALE, length, seen)
        _shape_channels(near, scales[-1], i, j, peak, n_groups, length, seen)
        for group in range(n_groups):
            _dense(seen, group, layer, length, out)
            at = ((group * hidden.shape[1] + i) * n_j + j) * n_k * width
            for k in range(n_k):
                for o in range(0, width, LANES):
                    value = load(out, k * layer.weight.shape[1] + o)
                    store(hidden, at + k * width + o, value)
                    if half:
                        store_half(rough, at + k * width + o, _silu(value))
                    else:
                        store(fine, at + k * width + o, _silu(value))
                for o in range(key.shape[4]):
                    key[group, i + corner[0], j + corner[1], k + corner[2], o] = out[
                        k * layer.weight.shape[1] + width + o
                    ]


@njit(cache=True, nogil=True)
def add_and_activate(n, hidden, fine, rough):
    """Chunk n: add a block's answer to the hidden state, and put the activation in its place."""
    half = rough.size > 0  # asked here: arrays that are handed to a function cost more than the sum
    for at in range(n * CHUNK, min((n + 1) * CHUNK, hidden.size), LANES):
        if half:
            value = load(hidden, at) + load_half(rough, at)
            store_half(rough, at, _silu(value))
        else:
            value = load(hidden, at) + load(fine, at)
            store(fine, at, _silu(value))
        store(hidden, at, value)


@njit(cache=True, nogil=True)
def last_line(i, hidden, fine, rough, inside, weight, state, key, corner):
    """Line i of the state and of the keys of a group, from its hidden state and the last block's answer.

    Args:
        i: of the line, in the part that is asked for.
        hidden: (i, j, k, padded width) of the region.
        fine: the last block's answer, likewise; or empty.
        rough: the same; or empty.
        inside: (padded width,) ones for the channels that there are, else zeros.
        weight: (padded width, padded likeness) of the keys on the state.
        state: (i, j, k, width) of the box, to be written.
        key: (i, j, k, likeness) of the box, the channels' part; to be finished.
        corner: (3, 3) begin and end of what is asked for, and begin of the region, in the box.
    """
    padded, width, n_like, half = hidden.shape[3], state.shape[3], key.shape[3], rough.size > 0
    whole = width == padded
    values, keys = np.zeros(padded, np.float32), np.zeros(weight.shape[1], np.float32)
    for j in range(corner[0, 1], corner[1, 1]):
        line = (i + corner[0, 0] - corner[2, 0]) * hidden.shape[1] + j - corner[2, 1]
        for k in range(corner[0, 2], corner[1, 2]):
            at = (line * hidden.shape[2] + k - corner[2, 2]) * padded
            total = splat(0.0)
            for o in range(0, padded, LANES):
                value = load(hidden, at + o) + (load_half(rough, at + o) if half else load(fine, at + o))
                store(values, o, value)
                total = total + value
            mean = sum_of(total) / np.float32(width)
            square = splat(0.0)
            for o in range(0, padded, LANES):
                apart = (load(values, o) - mean) * load(inside, o)
                store(values, o, apart)
                square = square + apart * apart
            scale = np.float32(1.0) / (np.sqrt(sum_of(square) / np.float32(width - 1)) + np.float32(1e-3))
            to = (((i + corner[0, 0]) * state.shape[1] + j) * state.shape[2] + k) * width
            for o in range(0, padded, LANES):
                value = load(values, o) * scale
                store(values, o, value)
                if whole:
                    store(state, to + o, value)
            if not whole:
                for o in range(width):
                    state[i + corner[0, 0], j, k, o] = values[o]
            for like in range(0, weight.shape[1], LANES):
                a, b = splat(0.0), splat(0.0)
                for o in range(0, padded, 2):
                    w = o * weight.shape[1] + like
                    a = fused(broadcast(values, o), load(weight, w), a)
                    b = fused(broadcast(values, o + 1), load(weight, w + weight.shape[1]), b)
                store(keys, like, a + b)
            for o in range(n_like):
                key[i + corner[0, 0], j, k, o] += keys[o]
