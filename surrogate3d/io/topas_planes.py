"""Values of a TOPAS scorer in the order of its `.bin` file, read a few planes at a time.

A `.bin` holds float64 with Z slowest, then Y, X, energy and statistic, so planes of constant Z are contiguous. CSV
files are brought into the same order, in memory or, where they are large, in a temporary file.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, StoreError

Array = npt.NDArray[np.float64]
Stored = tuple[int, int, int, int, int]

HELD_BYTES = 256 * 1024**2
"""Values of a CSV file beyond this go to a temporary file."""

_LARGEST, _SMALLEST = 1e200, 1e-200
"""No scorer writes numbers beyond; TOPAS marks bins without a hit by 9e99 in Min and -9e99 in Max."""


_STRETCHES, _STRETCH = 16, 4096
"""Of a slab that are looked at for its byte order."""


class Planes(Protocol):
    """Planes of constant Z."""

    @property
    def stored(self) -> Stored:
        """(Z, Y, X, energy, statistic) of the whole."""

    def read(self, k0: int, k1: int) -> Array:
        """(k1 - k0, Y, X, energy, statistic) values of the planes [k0, k1), a copy."""


@dataclass(frozen=True, eq=False)
class HeldPlanes:
    """Planes in memory, or in the temporary file of `new_values`, which goes with its last reference."""

    array: Array

    @property
    def stored(self) -> Stored:
        """(Z, Y, X, energy, statistic)."""
        nz, ny, nx, energies, statistics = self.array.shape
        return (nz, ny, nx, energies, statistics)

    def read(self, k0: int, k1: int) -> Array:
        """A copy of some planes."""
        return np.array(self.array[k0:k1], subok=False)


@dataclass(frozen=True, eq=False)
class FilePlanes:
    """Planes of a `.bin` file, little-endian; nothing is held.

    Raises:
        FormatError: the size of the file is not that of `stored`.
    """

    path: Path
    stored: Stored

    def __post_init__(self) -> None:
        expected, found = 8 * int(np.prod(self.stored)), self.path.stat().st_size
        if found != expected:
            raise FormatError(
                f"{self.path.name}: expected {expected} bytes for (Z, Y, X, energy, statistic) = {self.stored}, found "
                f"{found}; the run was cut short or the header belongs to another run"
            )

    def read(self, k0: int, k1: int) -> Array:
        """Some planes, straight from the file.

        Raises:
            FormatError: the file has shrunk, or was written by a machine of the other byte order.
        """
        plane = int(np.prod(self.stored[1:]))
        values = np.fromfile(self.path, dtype="<f8", count=(k1 - k0) * plane, offset=8 * k0 * plane)
        if values.size != (k1 - k0) * plane:
            raise FormatError(f"{self.path.name}: planes {k0} to {k1} are cut; the file changed while it was read")
        self._refuse_other_byte_order(values, k0)
        return values.reshape(k1 - k0, *self.stored[1:]).astype(np.float64, copy=False)

    def _refuse_other_byte_order(self, values: Array, k0: int) -> None:
        some = _sample(values)
        if _absurd(some) > 0.1 and _absurd(some.byteswap()) < 1e-3:
            raise FormatError(
                f"{self.path.name}: expected little-endian float64, found values from plane {k0} on that make sense "
                "big-endian only; convert the file on the machine that wrote it, or score as csv"
            )


def _sample(values: Array) -> Array:
    """Some stretches of many values, which tell a byte order as well; all of them where those are empty."""
    if values.size <= _STRETCHES * _STRETCH:
        return values
    starts = np.linspace(0, values.size - _STRETCH, _STRETCHES).astype(int)
    some = values[starts[:, None] + np.arange(_STRETCH)]
    return some if some.any() else values


def _absurd(values: Array) -> float:
    """Share of the values other than 0 that no scorer writes: not finite, huge or denormal."""
    magnitude = np.abs(values[values != 0])
    if not magnitude.size:
        return 0.0
    return 1.0 - float(np.mean((magnitude > _SMALLEST) & (magnitude < _LARGEST)))


def new_values(stored: Stored, spool_dir: Path | None) -> Array:
    """Zeros to be filled: in memory up to `HELD_BYTES`, else in a temporary file that has no name and so cannot stay.

    Args:
        stored: (Z, Y, X, energy, statistic).
        spool_dir: folder of the temporary file; the system's own when None.

    Raises:
        StoreError: the disk has no room for it.
    """
    n_bytes = 8 * int(np.prod(stored))
    if n_bytes <= HELD_BYTES:
        return np.zeros(stored)
    try:
        with tempfile.TemporaryFile(dir=spool_dir) as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, n_bytes)  # a full disk is an error here, and a crash later
            return np.memmap(file, dtype=np.float64, mode="r+", shape=stored)
    except OSError as error:
        where = spool_dir or tempfile.gettempdir()
        raise StoreError(
            f"{where}: expected room for {n_bytes / 1e9:.3g} GB of temporary values, found {error.strerror}; "
            "give a spool_dir on a larger disk"
        ) from error
