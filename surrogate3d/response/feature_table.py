"""Features of lesions as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers by lesion and feature.

    Attributes:
        names: (f,) of the features, each once.
        values: (n, f); NaN where a feature is not defined for a lesion.

    Raises:
        ValueRangeError: names that are there twice or do not fit the values, or an infinite value.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise ValueRangeError(
                f"a table of {len(self.names)} features needs values (n, {len(self.names)}), found {self.values.shape}"
            )
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ValueRangeError(f"features need names of their own; there twice: {', '.join(twice)}")
        rows, columns = np.nonzero(np.isinf(self.values))
        if len(rows):
            raise ValueRangeError(
                f"row {rows[0]}, {self.names[columns[0]]}: infinite; a feature that is not defined is to be NaN"
            )

    def __len__(self) -> int:
        return len(self.values)

    def beside(self, other: Table) -> Table:
        """Both tables of the same lesions as one.

        Raises:
            ValueRangeError: another number of lesions, or a name that is in both.
        """
        if len(self) != len(other):
            raise ValueRangeError(f"tables of {len(self)} and {len(other)} lesions cannot stand beside each other")
        return Table(self.names + other.names, np.hstack([self.values, other.values]))


def table_of(rows: Sequence[Mapping[str, float]]) -> Table:
    """A table from the features of each lesion, in the order of the first; what is infinite is not defined (NaN).

    Raises:
        ValueRangeError: no lesion, or lesions with other features.
    """
    if not rows:
        raise ValueRangeError("a table needs at least one lesion, found none")
    names = tuple(rows[0])
    for number, row in enumerate(rows):
        if tuple(row) != names:
            raise ValueRangeError(f"row {number} has {len(row)} features that are not the {len(names)} of row 0")
    values = np.array([list(row.values()) for row in rows], dtype=np.float64)
    return Table(names, np.where(np.isinf(values), np.nan, values))
