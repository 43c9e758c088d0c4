"""Accumulators of a tile as lines of lanes, and under the fixed Gaussian filters where voxels are asked for.

A *line* is the run of voxels along the beam at one (i, j): the next voxel is the next number, and sixteen neighbours
along the beam are one load. Before the grid a line has `pad` zeros; they are also the zeros behind the line before.
Around the grid are `margin` lines of zeros. A *plane* is all lines of one quantity: of each group and band its
accumulators, last the total dose. Voxels are asked for in *blocks* of up to sixteen neighbours of a line
(`model.fused_blocks`). The lateral passes are shared by the filters of one width and taken at the lines that need them;
the passes along the beam are taken at the blocks only.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

from surrogate3d.model.channels import FILTERS, Filter, reach, smooth
from surrogate3d.model.fused_lanes import LANES, broadcast, fused, load, store
from surrogate3d.model.network import WIDE_FILTER

Floats32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

LATERAL = tuple(sorted({gaussian.lateral for gaussian in FILTERS}))
"""Widths of the lateral passes, voxels."""

LATERAL_REACH = max(reach(sigma) for sigma in LATERAL)
DEPTH_REACH = max(reach(gaussian.depth) for gaussian in FILTERS)

WIDE_WIDTH = LATERAL.index(FILTERS[WIDE_FILTER].lateral)
"""Which of `LATERAL` is that of the wide places' filter, which has no pass along the beam."""

GUARD = 64
"""Numbers before and behind an array of lines that may be read, and mean nothing."""


class Lines(NamedTuple):
    """Where things are in an array of lines."""

    ni: int
    nj: int
    nk: int
    margin: int
    pad: int
    row: int  # numbers of a line
    plane: int  # numbers from one plane to the next
    planes: int

    @property
    def size(self) -> int:
        """Numbers of the whole array."""
        return self.planes * self.plane + 2 * GUARD


def lines_of(shape: tuple[int, int, int], margin: int, pad: int, planes: int) -> Lines:
    """Lines for a tile of a shape. Planes are an odd number of cache lines apart, so that they share no place there."""
    ni, nj, nk = shape
    row = -(-(nk + pad) // LANES) * LANES
    plane = (ni + 2 * margin) * (nj + 2 * margin) * row
    return Lines(ni, nj, nk, margin, pad, row, plane + LANES * (1 - plane // LANES % 2), planes)


class Blocks(NamedTuple):
    """Sixteen neighbours along the beam, of which some are asked for; in the order of the work."""

    i: npt.NDArray[np.int64]
    j: npt.NDArray[np.int64]
    k: npt.NDArray[np.int64]
    of_line: npt.NDArray[np.int64]  # blocks sorted by line
    line_start: npt.NDArray[np.int64]  # (ni * nj + 1,) first of each line in `of_line`


class Taps(NamedTuple):
    """Gaussian kernels from their centre on."""

    lateral: Floats32  # (width * tap,)
    lateral_reach: npt.NDArray[np.int64]
    depth: Floats32  # (filter * tap,)
    depth_reach: npt.NDArray[np.int64]
    width_of_filter: npt.NDArray[np.int64]


@cache
def taps() -> Taps:
    """Of `FILTERS`."""
    lateral, depth = ([_half_kernel(sigma) for sigma in sigmas] for sigmas in (LATERAL, [f.depth for f in FILTERS]))
    width_of_filter = np.array([LATERAL.index(gaussian.lateral) for gaussian in FILTERS])
    return Taps(*_table(lateral, LATERAL_REACH), *_table(depth, DEPTH_REACH), width_of_filter)


def _half_kernel(sigma: float) -> npt.NDArray[np.float64]:
    radius = reach(sigma)
    impulse = torch.zeros(1, 1, 2 * radius + 1, dtype=torch.float64)
    impulse[..., radius] = 1.0
    return smooth(impulse, Filter(0.0, sigma)).numpy()[0, 0, radius:]


def _table(kernels: list[npt.NDArray[np.float64]], longest: int) -> tuple[Floats32, npt.NDArray[np.int64]]:
    rows = [np.pad(kernel, (0, longest + 1 - len(kernel))) for kernel in kernels]
    return np.concatenate(rows).astype(np.float32), np.array([len(kernel) - 1 for kernel in kernels])


def spans_of(lines: Bools) -> Ints:
    """(i, 2) range of j that holds the lines of each row."""
    first, last = lines.argmax(axis=1), lines.shape[1] - lines[:, ::-1].argmax(axis=1)
    return np.stack([first, np.where(lines.any(axis=1), last, 0)], axis=1)


def around(spans: Ints, distance: int, nj: int) -> Ints:
    """(i, 2) ranges within a square about those given, in rows of `nj` lines."""
    ni, some = len(spans), spans[:, 1] > spans[:, 0]
    first, last = np.where(some, spans[:, 0], nj), np.where(some, spans[:, 1], -distance)
    windows = [slice(max(0, i - distance), i + distance + 1) for i in range(ni)]
    low = np.array([first[window].min() - distance for window in windows])
    high = np.array([last[window].max() + distance for window in windows])
    return np.stack([np.maximum(low, 0), np.minimum(high, nj)], axis=1)


@njit(cache=True)
def line_at(lines, i, j):  # type: ignore[no-untyped-def]  # compiled
    """Where voxel (i, j, 0) of the first plane is; i and j may be outside by `margin`."""
    return GUARD + ((i + lines.margin) * (lines.nj + 2 * lines.margin) + j + lines.margin) * lines.row + lines.pad


@njit(cache=True, nogil=True)
def pack_plane(plane, accumulators, lines, wanted, packed):  # type: ignore[no-untyped-def]  # compiled
    """Put a plane of (plane, i, j, k) to the lines of each row that are `wanted` (i, 2); the last is the total dose."""
    first = plane if plane < lines.planes - 1 else 0
    last = plane + 1 if plane < lines.planes - 1 else plane
    for i in range(lines.ni):
        for j in range(wanted[i, 0], wanted[i, 1]):
            at = line_at(lines, i, j) + plane * lines.plane
            packed[at : at + lines.nk] = accumulators[first, i, j]
            for n in range(first + 3, last, 3):
                packed[at : at + lines.nk] += accumulators[n, i, j]


@njit(cache=True)
def _smooth_run(values, at, step, before, behind, kernel, tap, size, out, to):  # type: ignore[no-untyped-def]  # compiled
    """Smooth a run of numbers over those `step` apart, so many `before` and `behind`, by the kernel from `tap` on."""
    both, more = min(before, behind), max(before, behind)
    side = step if behind > before else -step
    wide = 4 * LANES
    for n in range(at, at + size - wide + 1, wide):  # four sums hide the latency of each other
        w = broadcast(kernel, tap)
        a, b = w * load(values, n), w * load(values, n + LANES)
        c, d = w * load(values, n + 2 * LANES), w * load(values, n + 3 * LANES)
        for t in range(1, both + 1):
            w, p, q = broadcast(kernel, tap + t), n - t * step, n + t * step
            a = fused(w, load(values, p) + load(values, q), a)
            b = fused(w, load(values, p + LANES) + load(values, q + LANES), b)
            c = fused(w, load(values, p + 2 * LANES) + load(values, q + 2 * LANES), c)
            d = fused(w, load(values, p + 3 * LANES) + load(values, q + 3 * LANES), d)
        for t in range(both + 1, more + 1):
            w, p = broadcast(kernel, tap + t), n + t * side
            a, b = fused(w, load(values, p), a), fused(w, load(values, p + LANES), b)
            c, d = fused(w, load(values, p + 2 * LANES), c), fused(w, load(values, p + 3 * LANES), d)
        store(out, to + n - at, a)
        store(out, to + n - at + LANES, b)
        store(out, to + n - at + 2 * LANES, c)
        store(out, to + n - at + 3 * LANES, d)
    for n in range(at + size // wide * wide, at + size, LANES):
        a = broadcast(kernel, tap) * load(values, n)
        for t in range(1, both + 1):
            a = fused(broadcast(kernel, tap + t), load(values, n - t * step) + load(values, n + t * step), a)
        for t in range(both + 1, more + 1):
            a = fused(broadcast(kernel, tap + t), load(values, n + t * side), a)
        store(out, to + n - at, a)


@njit(cache=True, nogil=True)
def smooth_plane(plane, packed, lines, blocks, taps, spans, smoothed, filtered):  # type: ignore[no-untyped-def]  # compiled
    """Filter a plane of all lines: what the passes across the beam read then fits into a core's cache.

    Args:
        plane: which.
        packed: lines.
        lines: their places.
        blocks: that are asked for.
        taps: kernels.
        spans: (width, i, 2) lines of each row, from j to j, at which the lateral passes are needed.
        smoothed: lines, to become those under the wide places' filter.
        filtered: (plane, block, filter, lane) to become the blocks under each filter.
    """
    row, n_blocks, n_filters = lines.row, len(blocks.i), len(taps.depth_reach)
    step = row * (lines.nj + 2 * lines.margin)
    across = np.zeros((lines.nj + 2 * LATERAL_REACH) * row, np.float32)
    both = np.zeros(lines.nj * row + 2 * GUARD, np.float32)
    for i in range(lines.ni):
        at = line_at(lines, i, 0) - lines.pad + plane * lines.plane
        for width in range(len(taps.lateral_reach)):
            first, last = spans[width, i]
            if last <= first:
                continue
            radius, tap = taps.lateral_reach[width], width * (LATERAL_REACH + 1)
            low, high = max(0, first - radius), min(lines.nj, last + radius)
            before, behind, here = min(radius, i), min(radius, lines.ni - 1 - i), (LATERAL_REACH + low) * row
            size = (high - low) * row
            _smooth_run(packed, at + low * row, step, before, behind, taps.lateral, tap, size, across, here)
            here, to, size = (LATERAL_REACH + first) * row, GUARD + first * row, (last - first) * row
            _smooth_run(across, here, row, radius, radius, taps.lateral, tap, size, both, to)
            if width == WIDE_WIDTH:
                smoothed[at + first * row : at + last * row] = both[to : to + size]
            for n in range(blocks.line_start[i * lines.nj], blocks.line_start[(i + 1) * lines.nj]):
                block = blocks.of_line[n]
                here = GUARD + blocks.j[block] * row + lines.pad + blocks.k[block]
                to = (plane * n_blocks + block) * n_filters * LANES
                for f in range(n_filters):
                    if taps.width_of_filter[f] == width:
                        radius, tap = taps.depth_reach[f], f * (DEPTH_REACH + 1)
                        _smooth_run(both, here, 1, radius, radius, taps.depth, tap, LANES, filtered, to + f * LANES)
