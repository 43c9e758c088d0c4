"""The nearest of some hundred points to each of millions of others, exactly.

Points of one kind lie near a plane of few dimensions. With the origin in the middle of the chosen points c, P the
projection on their main axes, and R what it leaves out,

    |a - c|^2 >= |a|^2 + |c|^2 - 2 Pa Pc - 2 |Ra| |Rc|,

as the product of two vectors is at most that of their lengths. This bound is a product of a few numbers a point, made
in float32 for all c. The distance to the c of the least bound is taken from differences in float64, and so is that to
any other c of which the bound, less the largest rounding error that it can have ((n + 2) u |a| |c| for n terms and the
unit roundoff u; Higham 2002, Accuracy and Stability of Numerical Algorithms, 3.1), is smaller: most points have none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange, uintp

_POINTS = 64  # compared in one go
_TERMS = 8  # coordinates added in one loop
_LEFT_OUT = 1e-4  # largest share of the variance of the chosen points off the main axes
_UNIT = 2.0**-24  # roundoff of float32

Floats = npt.NDArray[np.floating]


def nearest(points: Floats, chosen: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Which of the chosen points is the nearest to each of many, and how far it is.

    Args:
        points: (n, m) float32 or float64.
        chosen: (k, m), k at least 1.

    Returns:
        (n,) index of the nearest and (n,) Euclidean distance to it.
    """
    known = np.ascontiguousarray(chosen, dtype=np.float64)
    middle = known.mean(axis=0)
    basis = _main_axes(known - middle)
    inside = (known - middle) @ basis.T
    square = np.square(known - middle).sum(axis=1)
    outside = np.sqrt(np.maximum(square - np.square(inside).sum(axis=1), 0.0))
    coordinates = np.concatenate([outside[:, None], inside], axis=1)
    near = np.zeros((len(known), -(-coordinates.shape[1] // _TERMS) * _TERMS), dtype=np.float32)
    near[:, : coordinates.shape[1]] = coordinates
    at, distance = np.empty(len(points), dtype=np.int64), np.empty(len(points))
    _find(np.ascontiguousarray(points), known, middle, basis, near, (0.5 * square).astype(np.float32), at, distance)
    return at, distance


def _main_axes(centred: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(axis, m) orthonormal axes that leave out little of the points' variance."""
    variance, axes = np.linalg.eigh(centred.T @ centred)
    left_out = np.cumsum(np.maximum(variance, 0.0))  # in ascending order
    few = int((left_out > _LEFT_OUT * left_out[-1]).sum())
    wanted = min(-(-(few + 1) // _TERMS) * _TERMS - 1, len(variance))  # one more number is the length of the rest
    return np.ascontiguousarray(axes[:, len(variance) - wanted :].T)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _subtract(total: Any, x: Any, at: Any, c: Any, first: Any) -> None:
    """Eight coordinates of c times those of all points of a block; unsigned offsets need no check for negative ones."""
    a, b, d, e = c[first], c[first + 1], c[first + 2], c[first + 3]
    f, g, h, k = c[first + 4], c[first + 5], c[first + 6], c[first + 7]
    s1, s2, s3, s4 = uintp(_POINTS), uintp(2 * _POINTS), uintp(3 * _POINTS), uintp(4 * _POINTS)
    s5, s6, s7 = uintp(5 * _POINTS), uintp(6 * _POINTS), uintp(7 * _POINTS)
    for n in range(uintp(_POINTS)):
        i = at + n
        half = total[n] - a * x[i] - b * x[i + s1] - d * x[i + s2] - e * x[i + s3]
        total[n] = half - f * x[i + s4] - g * x[i + s5] - h * x[i + s6] - k * x[i + s7]


@njit(cache=True, nogil=True)
def _rank(total: Any, p: Any, best: Any, second: Any, index: Any) -> None:
    """Least and second least so far, and which is the least."""
    for n in range(uintp(_POINTS)):
        now, least = total[n], best[n]
        second[n] = min(second[n], max(least, now))
        index[n] = p if now < least else index[n]
        best[n] = min(least, now)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _project(points: Any, start: Any, count: Any, middle: Any, basis: Any, x: Any, square: Any) -> None:
    """Coordinates of the points of a block, x (coordinate, point): first the length of the rest; square is |a|^2."""
    turned, rest, line = np.empty((len(middle), _POINTS)), np.zeros(_POINTS), np.empty(_POINTS)
    square[:], x[:] = 0, 0
    for n in range(_POINTS):
        own = points[start + min(n, count - 1)]  # the last block repeats its last point
        for m in range(len(middle)):
            turned[m, n] = own[m] - middle[m]
    for m in range(len(middle)):
        row = turned[m]
        for n in range(_POINTS):
            square[n] += row[n] * row[n]
    rest[:] = square
    for r in range(len(basis)):
        line[:] = 0
        for m in range(len(middle)):
            row, weight = turned[m], basis[r, m]
            for n in range(_POINTS):
                line[n] += weight * row[n]
        for n in range(_POINTS):
            rest[n] -= line[n] * line[n]
            x[(r + 1) * _POINTS + n] = line[n]
    for n in range(_POINTS):
        x[n] = np.sqrt(max(rest[n], 0.0))


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _square_apart(point: Any, other: Any) -> Any:
    total = 0.0
    for m in range(len(point)):
        apart = point[m] - other[m]
        total += apart * apart
    return total


@njit(cache=True, nogil=True)
def _refine(point: Any, known: Any, near: Any, half: Any, x: Any, n: Any, square: Any, error: Any, first: Any) -> Any:
    """The nearest among all points of which the bound is not beyond the distance to the first."""
    least, at = _square_apart(point, known[first]), first
    for p in range(len(known)):
        bound = half[p]
        for r in range(near.shape[1]):
            bound -= near[p, r] * x[r * _POINTS + n]
        if p != first and square + 2 * bound - error <= least:
            apart = _square_apart(point, known[p])
            if apart < least:
                least, at = apart, p
    return least, at


@njit(cache=True, nogil=True)
def _find_block(
    points: Any, start: Any, known: Any, middle: Any, basis: Any, near: Any, half: Any, longest: Any, at: Any, far: Any
) -> None:
    count = min(_POINTS, len(points) - start)
    x, square = np.empty(near.shape[1] * _POINTS, np.float32), np.empty(_POINTS)
    best, second = np.full(_POINTS, np.float32(np.inf)), np.full(_POINTS, np.float32(np.inf))
    total, index = np.empty(_POINTS, np.float32), np.zeros(_POINTS, np.int32)
    _project(points, start, count, middle, basis, x, square)
    for p in range(len(near)):
        total[:] = half[p]
        for r in range(0, near.shape[1], _TERMS):
            _subtract(total, x, uintp(r * _POINTS), near[p], r)
        _rank(total, np.int32(p), best, second, index)
    for n in range(count):
        first = np.int64(index[n])
        error = 2 * (near.shape[1] + 8) * _UNIT * longest * (np.sqrt(square[n]) + longest)
        least = _square_apart(points[start + n], known[first])
        if not square[n] + 2 * np.float64(second[n]) - error > least:
            least, first = _refine(points[start + n], known, near, half, x, n, square[n], error, first)
        at[start + n], far[start + n] = first, np.sqrt(least)


@njit(cache=True, nogil=True, parallel=True)
def _find(points: Any, known: Any, middle: Any, basis: Any, near: Any, half: Any, at: Any, distance: Any) -> None:
    """Blocks of points shared among threads."""
    longest = np.sqrt(2 * np.float64(half.max()))
    for block in prange((len(points) + _POINTS - 1) // _POINTS):
        _find_block(points, block * _POINTS, known, middle, basis, near, half, longest, at, distance)
