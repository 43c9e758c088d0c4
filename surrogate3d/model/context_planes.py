"""What the channels of a tile are made of, smoothed: planes, whose numbers along the beam lie together.

Of each group the dose of every band, the tracks and dose_alpha; last of all the total dose. Planes are padded with
zeros as far as the widest filter reaches, so that no loop asks where the grid ends.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs
# Compiled functions are typed by numba, of whose lanes mypy knows nothing.
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

from surrogate3d.model.channels import CONTEXT_SCALES, NEAR, Filter, channel_reach, kernel_of
from surrogate3d.model.fused_lanes import LANES, broadcast, fused, load, store
from surrogate3d.model.groups import BANDS

Floats32 = npt.NDArray[np.float32]
Box = tuple[slice, slice, slice]

PER_GROUP = len(BANDS) + 2
"""Planes of a group: dose of each band, tracks, dose_alpha."""

_LATERAL, _DEPTH = channel_reach()
_BEFORE = _DEPTH + 1  # numbers before the first voxel of a row: the slope asks for the dose one voxel before


class Planes(NamedTuple):
    """(plane, i, j, k) numbers of a region.

    Attributes:
        values: (plane, i, j, k), padded.
        margin: lines before the first of the region, along i and j.
        before: numbers before the first voxel of a row.
    """

    values: Floats32
    margin: int
    before: int


class Smoothed(NamedTuple):
    """Planes at each of `CONTEXT_SCALES`, and the total dose under `NEAR` with one voxel more at each end of a row."""

    scales: tuple[Planes, ...]
    near: Planes


def smoothed(inputs: Floats32, region: Box) -> Smoothed:
    """Planes of a region of the inputs (group, band, 2 + 2 * line, i, j, k), zeros beyond their box."""
    shape = tuple(s.stop - s.start for s in region)
    n_groups = inputs.shape[0]
    row = _up(_up(shape[2] + 2) + 2 * _BEFORE) + LANES
    packed = np.zeros((n_groups * PER_GROUP + 1, shape[0] + 2 * _LATERAL, shape[1] + 2 * _LATERAL, row), np.float32)
    corner = np.array([s.start - margin for s, margin in zip(region, (_LATERAL, _LATERAL, _BEFORE), strict=True)])
    in_parallel(_pack_line, packed.shape[1], inputs, corner, shape[2] + 2 * _BEFORE, packed)
    scales = [
        _filtered(packed, scale, slice(0, n_groups * PER_GROUP), shape, 0)
        if scale
        else Planes(packed, _LATERAL, _BEFORE)
        for scale in CONTEXT_SCALES
    ]
    near = _filtered(packed, NEAR, slice(n_groups * PER_GROUP, None), shape, 1)
    dose, last = near.values, shape[2]  # beyond the grid the dose goes on as it ends
    if region[2].start == 0:
        dose[..., 0] = dose[..., 1]
    if region[2].stop == inputs.shape[-1]:
        dose[..., last + 1] = dose[..., last]
    return Smoothed(tuple(scales), near)


def in_parallel(line: Callable[..., None], count: int, *arguments: object) -> None:
    """Call `line(n, *arguments)` for every n, in as many threads as torch has; it lets go of Python's lock."""
    threads = torch.get_num_threads()
    if threads == 1:
        for n in range(count):
            line(n, *arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda n: line(n, *arguments), range(count)))


def _up(n: int) -> int:
    return -(-n // LANES) * LANES


def _filtered(packed: Floats32, gaussian: Filter, planes: slice, shape: tuple[int, ...], more: int) -> Planes:
    source = packed[planes]
    out = np.empty((len(source), *shape[:2], _up(shape[2]) + more * LANES), np.float32)
    lateral, depth = (kernel_of(s).numpy().astype(np.float32) for s in (gaussian.lateral, gaussian.depth))
    in_parallel(_filter_line, shape[0], source, lateral, depth, _BEFORE - more, out)
    return Planes(out, 0, more)


@njit(cache=True, nogil=True)
def _pack_line(i, inputs, corner, length, packed):
    """Line i of the planes; `corner` is the voxel of the box where the padded region begins."""
    n_groups, n_bands = inputs.shape[:2]
    at_i, last = i + corner[0], packed.shape[0] - 1
    if at_i < 0 or at_i >= inputs.shape[3]:
        return
    first, stop = max(0, -corner[2]), min(length, inputs.shape[5] - corner[2])
    for j in range(max(0, -corner[1]), min(packed.shape[2], inputs.shape[4] - corner[1])):
        total = packed[last, i, j]
        for group in range(n_groups):
            plane = group * (n_bands + 2)
            tracks, alpha = packed[plane + n_bands, i, j], packed[plane + n_bands + 1, i, j]
            for band in range(n_bands):
                of_band, dose = inputs[group, band, :, at_i, j + corner[1]], packed[plane + band, i, j]
                for k in range(first, stop):
                    value = of_band[0, k + corner[2]]
                    dose[k] = value
                    total[k] += value
                    tracks[k] += of_band[1, k + corner[2]]
                    alpha[k] += of_band[2, k + corner[2]]


@njit(cache=True)
def _weighted(values, at, step, kernel, length, out, to):
    """Sum of runs `step` numbers apart, that at `at` in the middle; the kernel is symmetric."""
    radius = len(kernel) // 2
    for n in range(0, length, LANES):
        total = broadcast(kernel, radius) * load(values, at + n)
        for t in range(1, radius + 1):
            both = load(values, at + n - t * step) + load(values, at + n + t * step)
            total = fused(broadcast(kernel, radius + t), both, total)
        store(out, to + n, total)


@njit(cache=True, nogil=True)
def _filter_line(i, source, lateral, depth, start, out):
    """Line i of every plane under a Gaussian; rows begin at number `start` of those of the source."""
    n_planes, _, n_j, n_k = source.shape
    row, radius, n_out = n_k - LANES, len(lateral) // 2, out.shape[3]
    across, along = np.empty(n_j * n_k, np.float32), np.zeros(n_k + LANES, np.float32)
    for plane in range(n_planes):
        at = (plane * source.shape[1] + i + _LATERAL) * n_j * n_k
        first = _LATERAL - radius
        _weighted(source, at + first * n_k, n_j * n_k, lateral, (n_j - 2 * first) * n_k, across, first * n_k)
        for j in range(out.shape[2]):
            _weighted(across, (j + _LATERAL) * n_k, n_k, lateral, row, along, 0)
            to = ((plane * out.shape[1] + i) * out.shape[2] + j) * n_out
            _weighted(along, start, 1, depth, n_out, out, to)
