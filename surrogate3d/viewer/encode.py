"""Arrays as text in a page: rounded to integers, differences, byte planes, zlib, base64.

Values become codes: 0 is no value (NaN), code c is `lo + (c - 1) step`. Codes of 8, 16 or 32 bits are written as
differences of successive ones in C order, modulo their range: smooth maps then are mostly small numbers. All lowest
bytes come first, then all next ones. The result is zlib, which browsers inflate natively, in base64.

Only the box of the voxels that differ from the value at the corner (0, 0, 0) is kept; that value is `outside`, null for
NaN. The box counts in voxels that are kept: with a stride of n, those are 0, n, 2 n, ... of the grid.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError

Floats = npt.NDArray[np.floating]
Codes = npt.NDArray[np.unsignedinteger[Any]]
Box = tuple[slice, slice, slice]

_TYPES = {8: np.uint8, 16: np.uint16, 32: np.uint32}
_ONE: Box = (slice(0, 1), slice(0, 1), slice(0, 1))


@dataclass(frozen=True)
class Encoded:
    """An array as text, and what is needed to read it back.

    Attributes:
        text: base64.
        entry: bits, lo and step; of volumes also box and outside.
        rounding: largest difference between a value and what is read back; 0 where it is exact.
    """

    text: str
    entry: dict[str, Any]
    rounding: float


def packed(codes: Codes) -> str:
    """Codes of any shape as text."""
    flat = np.ascontiguousarray(codes).ravel()
    differences = flat.copy()
    np.subtract(flat[1:], flat[:-1], out=differences[1:])
    planes = differences.astype(differences.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, flat.itemsize).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")


def rounded(values: Floats, bits: int) -> tuple[Codes, float, float]:
    """Codes of values, with `lo` and `step`.

    Integers that fit are exact: their step is 1.

    Args:
        values: any shape; NaN is no value.
        bits: 8 or 16.

    Raises:
        ValueRangeError: a value is infinite.
    """
    if np.isinf(values).any():
        raise ValueRangeError("expected finite values or NaN to embed, found infinite ones; mask them first")
    known = np.isfinite(values)
    found = np.asarray(values[known], dtype=float)
    codes = np.zeros(values.shape, dtype=_TYPES[bits])
    if not found.size:
        return codes, 0.0, 0.0
    lo, span, most = float(found.min()), float(found.max() - found.min()), 2**bits - 2
    step = 1.0 if span <= most and bool((found == np.rint(found)).all()) else span / most
    codes[known] = 1 + (np.rint((found - lo) / step) if step > 0 else 0)
    return codes, lo, step


def decoded(codes: Codes, lo: float, step: float) -> npt.NDArray[np.float64]:
    """Values of codes; the inverse of `rounded` up to half a step."""
    return np.where(codes > 0, lo + (codes.astype(float) - 1) * step, np.nan)


def encode_volume(values: Floats, bits: int) -> Encoded:
    """A volume with its box.

    Args:
        values: (i, j, k); NaN is no value.
        bits: 8 or 16; integers of a range of 8 bits always take 8.

    Raises:
        ValueRangeError: a value is infinite.
    """
    corner = float(values[0, 0, 0])
    box = _box(np.isfinite(values) if np.isnan(corner) else ~(values == corner))
    inside = values[box]
    codes, lo, step = rounded(inside, bits)
    if step == 1.0 and int(codes.max()) <= 255:
        codes, bits = codes.astype(np.uint8), 8
    known = codes > 0
    rounding = float(np.abs(decoded(codes, lo, step)[known] - inside[known]).max(initial=0.0))
    entry = {
        "box": [[side.start, side.stop] for side in box],
        "bits": bits,
        "lo": lo,
        "step": step,
        "outside": None if np.isnan(corner) else corner,
    }
    return Encoded(packed(codes), entry, rounding)


def _box(differs: npt.NDArray[np.bool_]) -> Box:
    """The smallest box that holds all that is true; one voxel if nothing is."""
    if not differs.any():
        return _ONE
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        at = np.flatnonzero(differs.any(axis=others))
        sides.append(slice(int(at[0]), int(at[-1]) + 1))
    return sides[0], sides[1], sides[2]


def encode_fraction(fraction: Floats) -> Encoded:
    """A structure: fractions 0 to 1 in steps of 1 / 254, so that 0 and 1 are exact.

    Raises:
        ValueRangeError: a fraction is not between 0 and 1.
    """
    if not ((fraction >= 0) & (fraction <= 1)).all():
        raise ValueRangeError("expected fractions of voxels from 0 to 1")
    box = _box(fraction > 0)
    codes = (1 + np.rint(fraction[box].astype(float) * 254)).astype(np.uint8)
    sides = [[side.start, side.stop] for side in box]
    return Encoded(packed(codes), {"box": sides, "bits": 8, "lo": 0.0, "step": 1 / 254, "outside": 0.0}, 1 / 508)


def encode_list(values: Floats, bits: int = 16) -> Encoded:
    """An array that is no volume, in C order; as `encode_volume` without a box."""
    codes, lo, step = rounded(values, bits)
    return Encoded(packed(codes), {"bits": bits, "lo": lo, "step": step}, step / 2)


def encode_integers(values: npt.NDArray[np.integer], bits: int) -> Encoded:
    """Non-negative integers as they are: code and value are the same.

    Raises:
        ValueRangeError: a value does not fit.
    """
    if values.size and not (values.min() >= 0 and values.max() < 2**bits):
        raise ValueRangeError(f"expected integers from 0 to {2**bits - 1}, found {values.min()} to {values.max()}")
    return Encoded(packed(values.astype(_TYPES[bits])), {"bits": bits}, 0.0)
