"""Elementary functions and dense layers of sixteen voxels at once, for compiled code; see `model.fused_lanes`.

Right to some 2e-7 (relative; of tanh: of one), like the float32 arithmetic around them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from surrogate3d.model.fused_lanes import (
    LANES,
    broadcast,
    exponent,
    fused,
    largest,
    load,
    scale,
    smallest,
    splat,
    store,
    whole,
)

ROWS = 8
"""Outputs of a dense layer that are summed together: as many sums hide the latency of a fused product."""

LOG2_E = math.log2(math.e)
LN_2 = math.log(2.0)
_LOG2_E_HIGH = float(np.float32(LOG2_E))
_LOG2_E_LOW = LOG2_E - _LOG2_E_HIGH  # what float32 leaves of it, which would cost digits where x is large

# The polynomial of degree 5 nearest to 2^x for |x| <= 1/2: relative error 8e-8.
_P0, _P1, _P2, _P3, _P4, _P5 = (1.00000012, 0.693146944, 0.240221202, 0.0555071309, 0.00967554096, 0.00132764713)


@njit(cache=True)
def exp2(x):  # type: ignore[no-untyped-def]  # compiled
    """2^x for -126 <= x < 128; not checked."""
    n = whole(x)
    f = x - n
    p = fused(fused(splat(_P5), f, splat(_P4)), f, splat(_P3))
    p = fused(fused(fused(p, f, splat(_P2)), f, splat(_P1)), f, splat(_P0))
    return scale(p, n)


@njit(cache=True)
def exp(x):  # type: ignore[no-untyped-def]  # compiled
    """e^x, of x limited to [-80, 80]."""
    x = smallest(largest(x, splat(-80.0)), splat(80.0))
    n = whole(x * _LOG2_E_HIGH)
    f = fused(x, splat(_LOG2_E_HIGH), splat(0.0) - n) + x * _LOG2_E_LOW
    p = fused(fused(splat(_P5), f, splat(_P4)), f, splat(_P3))
    p = fused(fused(fused(p, f, splat(_P2)), f, splat(_P1)), f, splat(_P0))
    return scale(p, n)


@njit(cache=True)
def _twice_atanh(s):  # type: ignore[no-untyped-def]  # compiled
    """log((1 + s) / (1 - s)) for |s| <= 1/3, by its series."""
    t = s * s
    p = fused(fused(splat(2 / 13), t, splat(2 / 11)), t, splat(2 / 9))
    p = fused(fused(fused(p, t, splat(2 / 7)), t, splat(2 / 5)), t, splat(2 / 3))
    return fused(p, t, splat(2.0)) * s


@njit(cache=True)
def log(x):  # type: ignore[no-untyped-def]  # compiled
    """Natural logarithm of a positive number that is not subnormal; not checked."""
    n = exponent(x)
    m = scale(x, splat(0.0) - n)
    return fused(n, splat(LN_2), _twice_atanh((m - 1.0) / (m + 1.0)))


@njit(cache=True)
def softplus(x):  # type: ignore[no-untyped-def]  # compiled
    """log(1 + e^x); small answers are right to all their digits, too."""
    e = exp(smallest(x, splat(0.0) - x))
    return largest(x, splat(0.0)) + _twice_atanh(e / (e + 2.0))


@njit(cache=True)
def tanh(x):  # type: ignore[no-untyped-def]  # compiled
    """Hyperbolic tangent."""
    return 1.0 - 2.0 / (exp(x + x) + 1.0)


@njit(cache=True)
def silu(work, at, rows):  # type: ignore[no-untyped-def]  # compiled
    """Each x of rows of `work` becomes x / (1 + e^-x)."""
    for row in range(rows):
        x = load(work, at + row * LANES)
        store(work, at + row * LANES, x / (exp(splat(0.0) - x) + 1.0))


def packed_layer(weight: npt.NDArray[np.floating], bias: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """A dense layer as `dense` takes it: of every `ROWS` outputs, their bias, then the weights of each input.

    Args:
        weight: (output, input); outputs that are missing to a multiple of `ROWS` become zeros.
        bias: (output,).
    """
    n_out, n_in = weight.shape
    rows = np.zeros((-(-n_out // ROWS) * ROWS, 1 + n_in), np.float32)
    rows[:n_out, 0], rows[:n_out, 1:] = bias, weight
    return np.ascontiguousarray(rows.reshape(-1, ROWS, 1 + n_in).transpose(0, 2, 1)).ravel()


@njit(cache=True)
def dense(layer, n_in, work, x, y):  # type: ignore[no-untyped-def]  # compiled
    """Rows of `work` from `y` on become the `packed_layer` of those from `x` on; they must not overlap."""
    w = 0
    while w < layer.size:
        a0, a1, a2, a3 = broadcast(layer, w), broadcast(layer, w + 1), broadcast(layer, w + 2), broadcast(layer, w + 3)
        a4, a5, a6, a7 = (
            broadcast(layer, w + 4),
            broadcast(layer, w + 5),
            broadcast(layer, w + 6),
            broadcast(layer, w + 7),
        )
        for n in range(n_in):
            w += ROWS
            v = load(work, x + n * LANES)
            a0 = fused(broadcast(layer, w), v, a0)
            a1 = fused(broadcast(layer, w + 1), v, a1)
            a2 = fused(broadcast(layer, w + 2), v, a2)
            a3 = fused(broadcast(layer, w + 3), v, a3)
            a4 = fused(broadcast(layer, w + 4), v, a4)
            a5 = fused(broadcast(layer, w + 5), v, a5)
            a6 = fused(broadcast(layer, w + 6), v, a6)
            a7 = fused(broadcast(layer, w + 7), v, a7)
        w += ROWS
        store(work, y, a0)
        store(work, y + LANES, a1)
        store(work, y + 2 * LANES, a2)
        store(work, y + 3 * LANES, a3)
        store(work, y + 4 * LANES, a4)
        store(work, y + 5 * LANES, a5)
        store(work, y + 6 * LANES, a6)
        store(work, y + 7 * LANES, a7)
        y += ROWS * LANES
