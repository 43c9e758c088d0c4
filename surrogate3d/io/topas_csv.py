"""CSV bodies of TOPAS binned scorers, parsed block by block and placed in the order of a `.bin` file.

The form of the rows is that of OpenTOPAS scoring/TsVBinnedScorer.cc (PrintASCII): `i, j, k, values` without energy or
time bins, one index and values with SingleIndex, bare values where there are bins, or a single voxel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, UnsupportedError
from surrogate3d.io.given import RowOrder
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_order import order_matters
from surrogate3d.io.topas_planes import HeldPlanes, new_values
from surrogate3d.io.topas_rows import Rows, read_rows
from surrogate3d.io.topas_scored import ScoredValues

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST_VOXELS = 2**29
"""Of a CSV file: that many rows are tens of gigabytes of text."""


def read_csv(
    path: Path, header: ScorerHeader, row_order: RowOrder | None = None, spool_dir: Path | None = None
) -> ScoredValues:
    """Read a CSV body; index columns decide placement wherever they exist.

    Args:
        path: the file.
        header: as read from it.
        row_order: order of the rows of a file without indices (see `topas_order.decide_row_order`).
        spool_dir: folder of the temporary file that takes values beyond `topas_planes.HELD_BYTES`.

    Raises:
        FormatError: wrong number of columns or rows, a cut line, index outside the grid, doubled or missing voxels, no
            number, or an unknown row order.
        StoreError: no room for the temporary file.
        UnsupportedError: more than `MOST_VOXELS` voxels.
    """
    nx, ny, nz = header.shape
    n_columns = header.n_energy * len(header.columns)
    single_voxel = nx * ny * nz == 1
    n_index = 0 if header.binning or single_voxel else 1 if header.single_index else 3
    if n_index == 0 and row_order is None and order_matters(header.shape):
        raise FormatError(f"{path.name}: rows have no indices and their order is not known; give row_order")
    _require_possible(path, header, n_columns)
    array = new_values((nz, ny, nx, header.n_energy, len(header.columns)), spool_dir)
    flat = array.reshape(nx * ny * nz, n_columns)
    places = _Places(path.name, header, row_order)
    for rows in read_rows(path, n_index, n_columns):
        position = places.of(rows)
        if position.size:
            flat[_as_slice(position)] = rows.values
    places.require_all()
    return ScoredValues(
        header=header,
        planes=HeldPlanes(array),
        files=(path,),
        n_missing=nx * ny * nz - places.n_rows,
        row_order=places.observed_order if n_index else None,
        assumed_order=row_order if n_index == 0 and order_matters(header.shape) else None,
    )


def _require_possible(path: Path, header: ScorerHeader, n_columns: int) -> None:
    """Refuse a grid for which the file is far too short, before room is made for it."""
    n_voxels, size = math.prod(header.shape), path.stat().st_size
    if header.sparse is None and size < 2 * n_columns * n_voxels:  # a digit and a comma or line end for each value
        raise FormatError(
            f"{path.name}: expected {n_voxels} rows of {n_columns} values by its header, found a file of {size} bytes; "
            "the run was cut short, or the header belongs to another run"
        )
    if n_voxels > MOST_VOXELS:
        raise UnsupportedError(
            f"{path.name}: {n_voxels} voxels as text are not read, at most {MOST_VOXELS}; score as binary"
        )


def _as_slice(position: Indices) -> slice | Indices:
    """Rows that follow each other, which is the rule in files of the present version, are written as one run."""
    if position[-1] - position[0] == len(position) - 1 and (np.diff(position) == 1).all():
        return slice(int(position[0]), int(position[-1]) + 1)
    return position


@dataclass(eq=False)
class _Places:
    """Where rows go, X fastest, and what was seen so far of the voxels and of the order of the rows."""

    where: str
    header: ScorerHeader
    row_order: RowOrder | None
    n_rows: int = 0
    seen: npt.NDArray[np.bool_] = field(init=False)
    ascends: dict[RowOrder, bool] = field(init=False)
    last: dict[RowOrder, int] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = np.zeros(int(np.prod(self.header.shape)), dtype=bool)
        self.ascends = {"x_fastest": True, "z_fastest": True}
        self.last = {"x_fastest": -1, "z_fastest": -1}

    @property
    def observed_order(self) -> RowOrder | None:
        """The order in which rows with indices were written; None when both fit or none does."""
        fits = [order for order, ascends in self.ascends.items() if ascends]
        return fits[0] if len(fits) == 1 else None

    def of(self, rows: Rows) -> Indices:
        """(n,) position of each row in the order of a `.bin`."""
        n = len(rows.values)
        position = self._indexed(rows) if rows.index.shape[1] else self._ordered(n)
        self.n_rows += n
        return position

    def require_all(self) -> None:
        """Refuse a file that ended before its last voxel, unless it is sparse."""
        n, expected, sparse = self.n_rows, len(self.seen), self.header.sparse is not None
        if n == expected or (sparse and self.header.binning is None):
            return
        if n == 0:
            raise FormatError(
                f"{self.where}: expected rows of numbers after the header, found none; the run was cut short"
            )
        missing = "" if self.header.binning else f", none of voxel {self._voxel(int(np.argmin(self.seen)))},"
        why = "rows without indices cannot be sparse" if sparse else "the run was cut short, or lines were deleted"
        raise FormatError(f"{self.where}: expected {expected} rows, one per voxel, found {n}{missing}; {why}")

    def _voxel(self, position: int) -> tuple[int, int, int]:
        i, j, k = (int(n) for n in np.unravel_index(position, self.header.shape, order="F"))
        return (i, j, k)

    def _ordered(self, n: int) -> Indices:
        row = np.arange(self.n_rows, self.n_rows + n)
        if self.n_rows + n > len(self.seen):
            raise FormatError(
                f"{self.where}: expected {len(self.seen)} rows, one per voxel, found more; were files joined?"
            )
        if self.row_order != "z_fastest":
            return row
        i, j, k = np.unravel_index(row, self.header.shape)
        return np.asarray(np.ravel_multi_index((i, j, k), self.header.shape, order="F"))

    def _indexed(self, rows: Rows) -> Indices:
        shape = self.header.shape
        limits = shape if rows.index.shape[1] == 3 else (len(self.seen),)
        bad = ((rows.index < 0) | (rows.index >= np.array(limits))).any(axis=1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FormatError(
                f"{self.where}, line {rows.line(row)}: index {rows.index[row].tolist()} is outside the grid {limits}"
            )
        i, j, k = rows.index.T if rows.index.shape[1] == 3 else np.unravel_index(rows.index[:, 0], shape)
        position: Indices = i + shape[0] * (j + shape[1] * k)
        ascends = self._follow("x_fastest", position)
        ascends |= self._follow("z_fastest", k + shape[2] * (j + shape[1] * i))
        self._refuse_doubled(rows, position, ascends)
        return position

    def _follow(self, order: RowOrder, position: Indices) -> bool:
        """Whether these rows ascend in an order, so that none of them is there twice."""
        ascends = bool((np.diff(position) > 0).all())
        self.ascends[order] &= ascends and (not position.size or int(position[0]) > self.last[order])
        self.last[order] = int(position[-1]) if position.size else self.last[order]
        return ascends

    def _refuse_doubled(self, rows: Rows, position: Indices, distinct: bool) -> None:
        again = self.seen[position]
        if not again.any() and not distinct:
            again = np.ones(len(position), dtype=bool)
            again[np.unique(position, return_index=True)[1]] = False
        if again.any():
            row = int(np.flatnonzero(again)[0])
            voxel = self._voxel(int(position[row]))
            raise FormatError(
                f"{self.where}, line {rows.line(row)}: voxel {voxel} is there more than once; were files joined?"
            )
        self.seen[position] = True
