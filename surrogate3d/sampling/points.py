"""Points as whole numbers: compact enough for millions of voxels, and exact to compare.

Distances between codes are sums of squared integers, so they do not depend on the order of summation, on threads or on
the machine. Rounding is the only error, and it is known: a distance is wrong by at most `PackedPoints.error`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.sampling.similarity import MAGNITUDE_WEIGHT, FloatArray

FINE_BYTES = 1_000_000_000
"""Pools that need more than this with 4 bytes a coordinate are kept with 2."""

_FINE_LEVELS, _COARSE_LEVELS = 2.0**26, 65_000.0
_ROWS_AT_ONCE = 65_536
_HIGHEST = float(np.sqrt(0.5))  # coordinate of a spectrum in one channel


@dataclass(frozen=True, eq=False)
class PackedPoints:
    """Points in units of `step`, shifted by a constant.

    Attributes:
        codes: (n, m) int16 or int32.
        step: features per code.
    """

    codes: npt.NDArray[np.int16] | npt.NDArray[np.int32]
    step: float

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def error(self) -> float:
        """Most by which a distance between two points can be wrong: every coordinate is off by half a step."""
        return float(np.sqrt(self.codes.shape[1]) * self.step)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> PackedPoints:
        """The points of some rows."""
        return PackedPoints(self.codes[rows], self.step)

    def distance_to(self, row: int) -> FloatArray:
        """(n,) distances to one of the points."""
        difference = self.codes.astype(np.int64) - self.codes[row]
        return np.asarray(self.step * np.sqrt(np.einsum("nm,nm->n", difference, difference).astype(float)))


def pack(points: npt.NDArray[np.floating], fine_bytes: int = FINE_BYTES) -> PackedPoints:
    """Round points to codes of 4 bytes, or of 2 if they would need more than `fine_bytes`.

    Args:
        points: (n, m) finite features.
        fine_bytes: see `FINE_BYTES`.

    Raises:
        GridMismatchError: not a matrix.
        ValueRangeError: no points, or a feature that is not finite.
    """
    if points.ndim != 2:
        raise GridMismatchError(f"points must be (n, features), found {points.shape}")
    if not points.size or not np.isfinite(points).all():
        raise ValueRangeError(f"points must be finite and at least one, found {points.shape}")
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    chunks = (points[n : n + _ROWS_AT_ONCE] for n in range(0, len(points), _ROWS_AT_ONCE))
    return pack_chunks(chunks, len(points), low, high, 4 * points.size <= fine_bytes)


def pack_chunks(
    chunks: Iterable[npt.NDArray[np.floating]], n: int, low: FloatArray, high: FloatArray, fine: bool = False
) -> PackedPoints:
    """Round points that come in pieces and would not fit into memory as floating-point numbers.

    Args:
        chunks: (rows, m) each, in order.
        n: rows in all.
        low: (m,) least value of each feature.
        high: (m,) largest value of each feature.
        fine: 4 bytes a coordinate rather than 2.

    Returns:
        The points. With 2 bytes the step is the widest range / 65,000; with 4 the diagonal of all ranges / 2^26.

    Raises:
        GridMismatchError: the chunks do not add up to (n, m).
        ValueRangeError: a value outside its range, or not finite.
    """
    span = np.asarray(high, dtype=float) - low
    widest = float(np.linalg.norm(span)) / _FINE_LEVELS if fine else float(span.max()) / _COARSE_LEVELS
    step = widest or 1.0
    middle = 0.5 * (np.asarray(high, dtype=float) + low)
    codes = np.empty((n, len(middle)), dtype=np.int32 if fine else np.int16)
    start = 0
    for chunk in chunks:
        if chunk.shape[1:] != middle.shape or start + len(chunk) > n:
            raise GridMismatchError(f"chunks of {(n, len(middle))} points: found {chunk.shape} after {start} rows")
        if not ((chunk >= low - step) & (chunk <= high + step)).all():
            raise ValueRangeError(f"a feature of rows {start} to {start + len(chunk) - 1} is not within its range")
        codes[start : start + len(chunk)] = np.rint((chunk - middle) / step)
        start += len(chunk)
    if start != n:
        raise GridMismatchError(f"expected {n} points, found {start}")
    return PackedPoints(codes, step)


def pack_spectra(
    chunks: Iterable[tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]],
    n: int,
    channels: int,
    least_dose: float,
) -> PackedPoints:
    """The points of `similarity.embed`, made and rounded chunk by chunk, 2 bytes a channel.

    Args:
        chunks: (rows, channels) dose fractions and (rows,) dose over the plan's maximum, in order.
        n: voxels in all.
        channels: species x energy bins.
        least_dose: least dose over the plan's maximum, positive.

    Raises:
        GridMismatchError: the chunks do not add up.
        ValueRangeError: a dose below `least_dose`, or a spectrum that is empty or not finite.
    """
    if not 0 < least_dose <= 1:
        raise ValueRangeError(f"the least relative dose must be above 0 and at most 1, found {least_dose}")
    deepest = float(-MAGNITUDE_WEIGHT * np.log(least_dose))
    step = max(_HIGHEST, deepest) / _COARSE_LEVELS
    codes, start = np.empty((n, channels + 1), dtype=np.int16), 0
    for fractions, dose in chunks:
        stop = start + len(dose)
        if fractions.shape != (len(dose), channels) or stop > n:
            raise GridMismatchError(f"spectra of {(n, channels)}: found {fractions.shape} after {start} rows")
        if not ((dose >= least_dose) & (dose <= 1)).all():
            raise ValueRangeError(f"a relative dose of rows {start} to {stop - 1} is not within {least_dose} and 1")
        magnitude = MAGNITUDE_WEIGHT * np.log(np.asarray(dose, dtype=float)) + 0.5 * deepest
        codes[start:stop, -1] = np.rint(magnitude / step)
        if not _code_roots(np.asarray(fractions, dtype=np.float32), codes[start:stop], step):
            raise ValueRangeError(f"a spectrum of rows {start} to {stop - 1} is empty, negative or not finite")
        start = stop
    if start != n:
        raise GridMismatchError(f"expected {n} voxels, found {start}")
    return PackedPoints(codes, step)


@njit(cache=True, parallel=True)
def _code_roots(fractions, codes, step):  # type: ignore[no-untyped-def]  # compiled
    """Write the Hellinger part of `similarity.embed` in units of the step; whether all spectra are sound."""
    n, channels = fractions.shape
    sound = 0
    for row in prange(n):
        total, negative = 0.0, False
        for c in range(channels):
            total += fractions[row, c]
            negative |= fractions[row, c] < 0
        if negative or not (0 < total < np.inf):
            continue
        sound += 1
        for c in range(channels):
            codes[row, c] = round((np.sqrt(0.5 * fractions[row, c] / total) - 0.5 * _HIGHEST) / step)
    return sound == n
