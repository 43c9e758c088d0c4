"""Sums over the bins of fluence spectra, many weights at once: what tiles of a large field are made of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.spectrum import Box, FluencePart, StoredFluence, box_within

Single = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_PART_VOXELS = 16384
"""Of a fluence in memory: 4 MB of 64 bins, which stay in the cache."""

_BLOCK = 512
"""Voxels whose bins stay in the first or second cache while all rows are summed."""


class SumRequest(NamedTuple):
    """Sums that are wanted; see `linear_sums`.

    Attributes:
        weights: (species, row, bin).
        box: slices of i, j and k; None is the whole grid.
    """

    weights: npt.NDArray[np.floating]
    box: Box | None = None


def linear_sums(
    fluence: npt.NDArray[np.floating] | StoredFluence,
    weights: npt.NDArray[np.floating],
    box: Box | None = None,
    threads: int | None = None,
) -> Single:
    """Sum the bins of every species with weights, in float32.

    Made for weights that are mostly zero (a bin belongs to one band, and lies between two nodes): these cost nothing.
    For 16 rows of four bands that is faster than a matrix product, for 82 rows with nodes three times, and there are no
    threads of a BLAS library that wait for each other. Parts of a stored fluence that are zero are not even decoded.

    Args:
        fluence: (species, bin, i, j, k), an array or one that is read from disk part by part.
        weights: (species, row, bin) such as `mixing.band_weights`; a change of scale belongs into them.
        box: slices of i, j and k without steps; None is the whole grid.
        threads: that read, decode and sum; None is one a core.

    Returns:
        (species, row, i, j, k) of the box, in float32: sums of positive terms are good to some 1e-6 of their value.

    Raises:
        GridMismatchError: the weights have other species or bins than the fluence, or the box is none of the grid.
        ValueRangeError: the store holds a fluence that is negative or not finite.
        StoreError: the store is damaged.
    """
    return joint_sums(fluence, [SumRequest(weights, box)], threads)[0]


def joint_sums(
    fluence: npt.NDArray[np.floating] | StoredFluence, requests: Sequence[SumRequest], threads: int | None = None
) -> list[Single]:
    """`linear_sums` of several weights and boxes, for which the fluence is read once; arguments and errors as there."""
    wanted = [_Wanted(each, fluence.shape) for each in requests]
    whole = _around([each.box for each in wanted])

    def add(part: FluencePart) -> None:
        for each in wanted:
            each.add(part, whole)

    if isinstance(fluence, np.ndarray):
        with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
            list(pool.map(add, _parts(fluence[(slice(None), slice(None), *whole)])))
    else:
        fluence.visit(add, whole, threads)
    return [each.sums for each in wanted]


class _Wanted:
    """The sums of a request while they are made."""

    def __init__(self, request: SumRequest, shape: tuple[int, ...]) -> None:
        weights = np.asarray(request.weights)
        if len(shape) != 5 or weights.ndim != 3 or (weights.shape[0], weights.shape[2]) != shape[:2]:
            raise GridMismatchError(
                f"weights must be (species, row, bin) = ({shape[0]}, row, {shape[1]}) for a fluence of shape {shape}, "
                f"found {weights.shape}"
            )
        self.box = box_within(request.box, shape[2:])
        self.sums = np.zeros((*weights.shape[:2], *(s.stop - s.start for s in self.box)), np.float32)
        self._terms = [_terms(each) for each in weights]

    def add(self, part: FluencePart, read: Box) -> None:
        """Take in what a part of the box that is read has of this one."""
        place, own = list[slice](), list[slice]()
        for at, first, box in zip(part.place, read, self.box, strict=True):
            low, high = max(at.start + first.start, box.start), min(at.stop + first.start, box.stop)
            if low >= high:
                return
            place.append(slice(low - box.start, high - box.start))
            own.append(slice(low - at.start - first.start, high - at.start - first.start))
        i, j, k = own
        near = part.values[:, i, j, k]
        values = np.ascontiguousarray(near.reshape(len(near), -1), dtype=np.float32)
        rows = np.empty((self.sums.shape[1], values.shape[1]), np.float32)
        _sum_rows(values, *self._terms[part.species], rows)
        x, y, z = place
        self.sums[part.species, :, x, y, z] = rows.reshape(-1, *near.shape[1:])


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box around some."""
    a, b, c = (slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))
    return a, b, c


def _terms(weights: npt.NDArray[np.floating]) -> tuple[Integers, Integers, Single]:
    """Where each row's terms begin, and of every term that is not zero its bin and weight."""
    rows, bins = np.nonzero(weights)
    return np.searchsorted(rows, np.arange(len(weights) + 1)), bins, weights[rows, bins].astype(np.float32)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _sum_rows(values: Single, starts: Integers, bins: Integers, weights: Single, sums: Single) -> None:
    """Four terms at a time, so that a sum is loaded and stored once for each four products."""
    n = values.shape[1]
    for low in range(0, n, _BLOCK):
        high = min(low + _BLOCK, n)
        for row in range(sums.shape[0]):
            total = sums[row, low:high]
            total[:] = np.float32(0)
            term, end = starts[row], starts[row + 1]
            while term + 4 <= end:
                w0, w1, w2, w3 = weights[term], weights[term + 1], weights[term + 2], weights[term + 3]
                x0, x1 = values[bins[term], low:high], values[bins[term + 1], low:high]
                x2, x3 = values[bins[term + 2], low:high], values[bins[term + 3], low:high]
                for v in range(high - low):
                    total[v] += w0 * x0[v] + w1 * x1[v] + w2 * x2[v] + w3 * x3[v]
                term += 4
            while term < end:
                w0, x0 = weights[term], values[bins[term], low:high]
                for v in range(high - low):
                    total[v] += w0 * x0[v]
                term += 1


def _parts(values: npt.NDArray[np.floating]) -> Iterator[FluencePart]:
    """A fluence in memory, in parts that are thin enough for the cache."""
    nx, ny, nz = values.shape[2:]
    dj = min(ny, max(1, _PART_VOXELS // max(1, nz)))
    di = max(1, _PART_VOXELS // max(1, ny * nz))
    for species in range(len(values)):
        for i in range(0, nx, di):
            for j in range(0, ny, max(1, dj)):
                place = slice(i, min(i + di, nx)), slice(j, min(j + dj, ny)), slice(0, nz)
                yield FluencePart(species, place, values[(species, slice(None), *place)])
