"""Where each key of a ledger is: sorted arrays of numbers, which numpy searches for many keys at once.

A number is the upper 36 bits of a key's hash and, below, its position in 28 bits: such numbers are sorted ten times as
fast as pairs are. What the upper bits find is confirmed by all 64. New keys come as a small array; whenever an array is
at least half as long as the one before it, the two become one, so that there are never more than some thirty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import StoreError

Heads = npt.NDArray[np.uint64]

_BITS = 28
_POSITION = np.uint64(2**_BITS - 1)
_UPPER = ~_POSITION


def heads_of(keys: Sequence[str]) -> Heads:
    """(key,) 64 bits of a hash of each key."""
    return np.frombuffer(b"".join([hashlib.blake2b(k.encode(), digest_size=8).digest() for k in keys]), dtype="<u8")


class KeyIndex:
    """Positions 0, 1, ... by head; a head is there once."""

    def __init__(self) -> None:
        self._heads = np.zeros(1024, dtype=np.uint64)  # by position; longer than needed
        self._n = 0
        self._levels: list[Heads] = []

    def __len__(self) -> int:
        return self._n

    def add(self, heads: Heads) -> None:
        """Note heads that are not there yet, at the next positions.

        Raises:
            StoreError: there are more than 2^28.
        """
        end = self._n + len(heads)
        if end > 2**_BITS:
            raise StoreError(f"a ledger holds at most {2**_BITS} responses; begin another one")
        if end > len(self._heads):
            self._heads = np.concatenate([self._heads[: self._n], np.zeros(end, dtype=np.uint64)])
        self._heads[self._n : end] = heads
        self._levels.append(np.sort((heads & _UPPER) | np.arange(self._n, end, dtype=np.uint64)))
        self._n = end
        while len(self._levels) > 1 and 2 * len(self._levels[-1]) >= len(self._levels[-2]):
            self._levels.append(np.sort(np.concatenate([self._levels.pop(), self._levels.pop()])))

    def find(self, heads: Heads) -> npt.NDArray[np.int64]:
        """(key,) positions; -1 where a head is not there."""
        found = np.full(len(heads), -1, dtype=np.int64)
        for level in self._levels:
            open_ = np.flatnonzero(found < 0)
            at = np.searchsorted(level, heads[open_] & _UPPER)
            while len(open_):
                numbers = level[np.minimum(at, len(level) - 1)]
                same = (at < len(level)) & ((numbers ^ heads[open_]) & _UPPER == 0)
                positions = (numbers & _POSITION).astype(np.int64)
                hit = same & (self._heads[positions] == heads[open_])
                found[open_[hit]] = positions[hit]
                open_, at = open_[same & ~hit], at[same & ~hit] + 1  # another key with the same upper bits
        return found
