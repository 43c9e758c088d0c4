"""What a TOPAS scorer scored: its header with its values, read slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, QuantityError, ValueRangeError
from surrogate3d.io.given import RowOrder
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_planes import Planes

Array = npt.NDArray[np.float64]

SLAB_BYTES = 32 * 1024**2
_HISTORIES = "Histories_with_Scorer_Active"
_STRUCTURE_FILTER = "OnlyIncludeIfInRTStructure"


@dataclass(frozen=True, eq=False)
class ScoredValues:
    """Values of one scorer. Nothing is read from a `.bin` before it is asked for.

    Values are float64, 0 where a sparse CSV has no row, and NaN where TOPAS says "outside the RT structure".

    Attributes:
        header: what they are.
        planes: where they are.
        files: the files that were read, header first.
        n_missing: rows that a sparse CSV left out; their values are 0.
        row_order: the order that a CSV with indices was seen to have; None when it does not tell.
        assumed_order: the order in which a CSV without indices was read; None for all other files.
    """

    header: ScorerHeader
    planes: Planes
    files: tuple[Path, ...]
    n_missing: int = 0
    row_order: RowOrder | None = None
    assumed_order: RowOrder | None = None

    def slab(self, k0: int, k1: int) -> Array:
        """(i, j, k1 - k0, energy, statistic) values of the planes [k0, k1); underflow first when there are bins.

        Raises:
            ValueRangeError: no such planes.
            FormatError: the file changed, or has the byte order of another machine.
        """
        n = self.header.shape[2]
        if not 0 <= k0 < k1 <= n:
            raise ValueRangeError(f"{self.files[0].name}: expected planes within 0 to {n}, found {k0} to {k1}")
        return _mask_outside_structure(self.planes.read(k0, k1).transpose(2, 1, 0, 3, 4), self.header)

    def energy_slab(self, k0: int, k1: int, name: str = "Sum") -> Array:
        """(i, j, k1 - k0, energy) values of one statistic in the planes [k0, k1).

        Raises:
            FormatError: the scorer did not report it, or as `slab`.
            QuantityError: the statistic of a ratio, which means nothing.
            ValueRangeError: as `slab`.
        """
        statistic = self._statistic(name)
        return np.ascontiguousarray(self.slab(k0, k1)[..., statistic])

    def slabs(self) -> Iterator[tuple[int, int]]:
        """[k0, k1) of slabs that together are the whole, each of about `SLAB_BYTES` and at least one plane."""
        n, plane_bytes = self.header.shape[2], 8 * int(np.prod(self.planes.stored[1:]))
        step = max(1, SLAB_BYTES // plane_bytes)
        return ((k, min(k + step, n)) for k in range(0, n, step))

    @property
    def values(self) -> Array:
        """(i, j, k, energy, statistic), all of them."""
        whole = np.empty((*self.header.shape, *self.planes.stored[3:]))
        for k0, k1 in self.slabs():
            whole[:, :, k0:k1] = self.slab(k0, k1)
        return whole

    def column(self, name: str) -> Array:
        """(i, j, k, energy) values of one statistic.

        Raises:
            FormatError: as `energy_slab`.
            QuantityError: as `energy_slab`.
        """
        whole = np.empty((*self.header.shape, self.planes.stored[3]))
        for k0, k1 in self.slabs():
            whole[:, :, k0:k1] = self.energy_slab(k0, k1, name)
        return whole

    def _statistic(self, name: str) -> int:
        header, where = self.header, self.files[0].name
        if name not in header.columns:
            found = ", ".join(header.columns)
            raise FormatError(f"{where}: column {name} is needed; found {found}. Add it to Report")
        if header.is_ratio and name not in ("Sum", _HISTORIES):
            raise QuantityError(
                f"{where}: {name} of {header.quantity} is that of a numerator, not of the ratio, which is in Sum; "
                "take the deviation between batches"
            )
        if header.is_ratio and header.binning:
            raise QuantityError(
                f"{where}: TOPAS divides {header.quantity} only without bins, these are numerators; score without EBins"
            )
        return header.columns.index(name)


def outside_shares(scored: ScoredValues) -> dict[str, float]:
    """How much of the Sum lies outside the bins, read slab by slab.

    Args:
        scored: a scorer with energy or time bins.

    Returns:
        Fractions of the total by "underflow", "overflow" and, for bins of incident tracks, "no_incident_track"; all 0
        when nothing was scored, and none without bins.

    Raises:
        FormatError: the scorer did not report Sum.
        QuantityError: the scorer holds a ratio.
    """
    binning = scored.header.binning
    if binning is None:
        return {}
    by_bin = np.zeros(binning.n_columns)
    for k0, k1 in scored.slabs():
        by_bin += np.nansum(scored.energy_slab(k0, k1), axis=(0, 1, 2))
    shares = by_bin / by_bin.sum() if by_bin.sum() else by_bin
    names = {"underflow": 0, "overflow": binning.n + 1}
    if binning.mode == "IncidentTrack":
        names["no_incident_track"] = binning.n + 2
    return {name: float(shares[column]) for name, column in names.items()}


def _mask_outside_structure(values: Array, header: ScorerHeader) -> Array:
    """NaN where TOPAS wrote -1 to say "outside the RT structure": in every statistic but the number of histories."""
    if any(name == _STRUCTURE_FILTER for name, _ in header.filters):
        marked = [n for n, name in enumerate(header.columns) if name != _HISTORIES]
        values[(values[..., marked] == -1).all(axis=(-2, -1)) & bool(marked)] = np.nan
    return values
