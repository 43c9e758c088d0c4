"""Gaussian pooling of planes of sums, only where voxels are asked for; compiled, for volumes of millions of voxels.

A plane is copied once into a buffer with zeros between its lines and slabs. A step along any axis is then a step in
flat memory, and the three passes are the same loop. The sums run from the farthest neighbours to the nearest and are
rounded to the precision of the plane after each axis: with weights in float64 that is, bit for bit, what
`scipy.ndimage.correlate1d` gives on the whole grid. With weights in float32 it takes half the time and differs by 1e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import njit, prange, uintp

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]
Box = tuple[slice, slice, slice]

_BLOCK = 2048  # voxels summed in one go: they stay in the first-level cache over all neighbours
_VOXELS = 128  # voxels normalised in one go
_AT_ONCE = 3  # pairs of neighbours added in one loop


@dataclass(frozen=True, eq=False)
class Voxels:
    """Some voxels of a box, slab by slab across the first axis, in the order of `np.argwhere`.

    Attributes:
        at: (voxel, 3) indices.
        slabs: (slab, 5) index of the slab, first row and the one past the last, first voxel and the one past the last.
    """

    at: Integers
    slabs: Integers

    @staticmethod
    def of(mask: npt.NDArray[np.bool_]) -> Voxels:
        """The voxels of a mask (i, j, k)."""
        at = np.argwhere(mask)
        if not len(at):
            return Voxels(at, np.zeros((0, 5), dtype=np.int64))
        first = np.flatnonzero(np.diff(at[:, 0], prepend=-1))
        past = np.append(first[1:], len(at))
        rows = np.minimum.reduceat(at[:, 1], first), np.maximum.reduceat(at[:, 1], first) + 1
        return Voxels(at, np.stack([at[first, 0], *rows, first, past], axis=1))


def pooled(planes: Floats, box: Box, taps: Sequence[Floats], voxels: Voxels) -> Floats:
    """Planes pooled with a symmetric filter along each axis at some voxels of a box; nothing beyond it is seen.

    Args:
        planes: (plane, i, j, k).
        box: part of the planes.
        taps: of each axis the weights from the voxel itself to its farthest neighbour, all of one precision: that of
            the sums.
        voxels: of the box.

    Returns:
        (plane, voxel) in the precision of `planes`.
    """
    out = np.empty((len(planes), len(voxels.at)), dtype=planes.dtype)
    if out.size:
        w0, w1, w2 = (np.append(w, np.zeros(-(len(w) - 1) % _AT_ONCE, dtype=w.dtype)) for w in taps)
        ends = np.array([part.indices(n)[:2] for part, n in zip(box, planes.shape[1:], strict=True)])
        first = np.repeat(voxels.slabs[:, 1], voxels.slabs[:, 4] - voxels.slabs[:, 3])
        places = (voxels.at[:, 1] - first) * (ends[2, 1] - ends[2, 0] + len(w2) - 1) + voxels.at[:, 2]
        threads = min(numba.get_num_threads(), len(planes))
        _pool(np.ascontiguousarray(planes), ends, w0, w1, w2, voxels.slabs, places, out, threads)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _start(total: Any, count: Any, x: Any, o: Any, p: Any, q: Any, r: Any, z: Any, u: Any, v: Any, w: Any) -> None:
    """Each voxel of a run from offset o and three pairs of its neighbours; unsigned, which needs no check of signs."""
    kind = total.dtype.type
    for n in range(count):
        at = o + n
        first = kind(x[at]) * z + (kind(x[at - p]) + kind(x[at + p])) * u
        total[n] = (first + (kind(x[at - q]) + kind(x[at + q])) * v) + (kind(x[at - r]) + kind(x[at + r])) * w


@njit(cache=True, nogil=True, error_model="numpy")
def _add(total: Any, count: Any, x: Any, o: Any, p: Any, q: Any, r: Any, u: Any, v: Any, w: Any) -> None:
    """Three more pairs."""
    kind = total.dtype.type
    for n in range(count):
        at = o + n
        first = total[n] + (kind(x[at - p]) + kind(x[at + p])) * u
        total[n] = (first + (kind(x[at - q]) + kind(x[at + q])) * v) + (kind(x[at - r]) + kind(x[at + r])) * w


@njit(cache=True, nogil=True, error_model="numpy")
def _filter(out: Any, first: Any, count: Any, x: Any, at: Any, step: Any, weights: Any, total: Any) -> None:
    """out[first + n] = sum over t of weights[|t|] x[at + n + t step], for n below count."""
    far = len(weights) - 1
    for start in range(uintp(0), count, uintp(_BLOCK)):
        size, o = min(uintp(_BLOCK), count - start), at + start
        if far == 0:
            for n in range(size):
                total[n] = x[o + n] * weights[0]
        for t in range(far, 0, -_AT_ONCE):
            p, q, r = uintp(t) * step, uintp(t - 1) * step, uintp(t - 2) * step
            u, v, w = weights[t], weights[t - 1], weights[t - 2]
            if t == far:
                _start(total, size, x, o, p, q, r, weights[0], u, v, w)
            else:
                _add(total, size, x, o, p, q, r, u, v, w)
        for n in range(size):
            out[first + start + n] = total[n]


@njit(cache=True, nogil=True, error_model="numpy")
def _pad(plane: Any, ends: Any, padded: Any, at: Any, line: Any, size: Any) -> None:
    """Copy a box of a plane, its lines and slabs so far apart, from an offset on."""
    lines, voxels = ends[1, 1] - ends[1, 0], uintp(ends[2, 1] - ends[2, 0])
    first = uintp(ends[2, 0])
    for i in range(ends[0, 1] - ends[0, 0]):
        for j in range(lines):
            to, a, b = uintp(at + i * size + j * line), uintp(ends[0, 0] + i), uintp(ends[1, 0] + j)
            for n in range(voxels):
                padded[to + n] = plane[a, b, first + n]


@njit(cache=True, nogil=True, error_model="numpy")
def _pool_plane(
    plane: Any, ends: Any, w0: Any, w1: Any, w2: Any, slabs: Any, places: Any, out: Any, space: Any
) -> None:
    """One plane: i, then j, then k; lines are followed by len(w2) - 1 zeros, slabs by len(w1) - 1 lines of zeros."""
    padded, slab, rows, total = space
    t0, t1, t2 = len(w0) - 1, len(w1) - 1, len(w2) - 1
    line = ends[2, 1] - ends[2, 0] + t2
    size, head = (ends[1, 1] - ends[1, 0] + t1) * line, t2 + t1 * line
    _pad(plane, ends, padded, head + t0 * size, line, size)
    for i, low, high, first, past in slabs:
        count = (high - low) * line
        at = head + (i + t0) * size + (low - t1) * line
        _filter(slab, uintp(t2), uintp(count + 2 * t1 * line), padded, uintp(at), uintp(size), w0, total)
        _filter(rows, uintp(t2), uintp(count), slab, uintp(head), uintp(line), w1, total)
        if t2 == 0:  # nothing is pooled along k
            for n in range(first, past):
                out[n] = rows[places[n]]
            continue
        rows[t2 + count : count + 2 * t2] = 0
        _filter(slab, uintp(0), uintp(count), rows, uintp(t2), uintp(1), w2, total)
        for n in range(first, past):
            out[n] = slab[places[n]]


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def _pool(planes: Any, ends: Any, w0: Any, w1: Any, w2: Any, slabs: Any, places: Any, out: Any, threads: int) -> None:
    """Planes shared among threads."""
    n_i, n_j, n_k = ends[0, 1] - ends[0, 0], ends[1, 1] - ends[1, 0], ends[2, 1] - ends[2, 0]
    t0, t1, t2 = len(w0) - 1, len(w1) - 1, len(w2) - 1
    line = n_k + t2
    size, head = (n_j + t1) * line, t2 + t1 * line
    for thread in prange(threads):
        padded = np.zeros((n_i + 2 * t0) * size + 2 * head, planes.dtype)
        slab, rows = np.zeros(size + head + t2, planes.dtype), np.zeros(size + 2 * t2, planes.dtype)
        space = (padded, slab, rows, np.empty(_BLOCK, w0.dtype))
        for p in range(thread, len(planes), threads):
            _pool_plane(planes[p], ends, w0, w1, w2, slabs, places, out[p], space)


@njit(cache=True, nogil=True, error_model="numpy")
def _ratio(out: Any, values: Any, first: Any, second: Any) -> None:
    for v in range(len(out)):
        out[v] = out.dtype.type(values[v]) / first[v] / second[v]


@njit(cache=True, nogil=True, error_model="numpy")
def _add_noise(square: Any, share: Any, variance: Any, varied: Any) -> None:
    """A node's variance onto the sum of all.

    A part and the whole share their noise: var(x / w) = (var x (1 - 2 F) + F^2 var w) / w^2 to first order.
    """
    kind = square.dtype.type
    one, two, none = kind(1), kind(2), kind(0)
    for v in range(len(square)):
        noise = variance[v] * (one - two * share[v]) + share[v] * share[v] * varied[v]
        square[v] += noise if noise > none else none


@njit(cache=True, nogil=True, error_model="numpy")
def _points_of_block(
    pools: Any, scale: Any, per_track: Any, step: Any, start: Any, stop: Any, points: Any, noise: Any
) -> None:
    kind, nodes, n = scale.dtype.type, pools.shape[1] // 2, stop - start
    whole, varied, square = np.zeros(n, scale.dtype), np.zeros(n, scale.dtype), np.zeros(n, scale.dtype)
    share, variance, part = np.empty(n, scale.dtype), np.empty(n, scale.dtype), np.empty((nodes, n), np.float32)
    squared = scale[:, start:stop] * scale[:, start:stop] / per_track
    for s in range(len(pools)):
        for v in range(n):
            whole[v] += kind(pools[s, nodes - 1, start + v]) / scale[s, start + v]
    wholes, length = whole * whole, np.sqrt(step)
    for s in range(len(pools)):
        _ratio(variance, pools[s, 2 * nodes - 1, start:stop], squared[s], wholes)
        for v in range(n):
            varied[v] += variance[v]
    for s in range(len(pools)):
        for node in range(nodes):
            _ratio(share, pools[s, node, start:stop], scale[s, start:stop], whole)
            _ratio(variance, pools[s, nodes + node, start:stop], squared[s], wholes)
            _add_noise(square, share, variance, varied)
            for v in range(n):
                part[node, v] = share[v] * length
        for v in range(n):
            for node in range(nodes):
                points[start + v, s * nodes + node] = part[node, v]
    for v in range(n):
        noise[start + v] = np.sqrt(step * square[v])


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def points_of(pools: Any, scale: Any, per_track: Any, step: Any, points: Any, noise: Any) -> None:
    """From pooled sums to points and their noise.

    Args:
        pools: (species, 2 x node, voxel) pooled sums.
        scale: (species, voxel) dose of all species, pooled as those of the species.
        per_track: number by which the squares are still to be multiplied.
        step: between nodes in ln E; these three in one precision, that of the work.
        points: (voxel, species x node) float32, written.
        noise: (voxel,) float64, written.
    """
    for block in prange((len(noise) + _VOXELS - 1) // _VOXELS):
        start = block * _VOXELS
        _points_of_block(pools, scale, per_track, step, start, min(start + _VOXELS, len(noise)), points, noise)
