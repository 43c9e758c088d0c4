"""Values of TOPAS binned scorers: CSV bodies and `.bin` files, placed on (i, j, k).

The order of rows and bytes is that of OpenTOPAS scoring/TsVBinnedScorer.cc (PrintASCII, PrintBinary) at every tag.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError
from surrogate3d.io.topas_header import ScorerHeader

RowOrder = Literal["x_fastest", "z_fastest"]
ROW_ORDERS: tuple[RowOrder, ...] = ("x_fastest", "z_fastest")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoredValues:
    """Values of one scorer.

    Attributes:
        header: what they are.
        values: (i, j, k, energy, statistic); energy has length 1 without binning, else underflow first.
        files: the files that were read, header first.
        n_missing: rows that a sparse CSV left out; their values are 0.
        row_order: the order that a CSV with indices was seen to have; None when it does not tell.
    """

    header: ScorerHeader
    values: Array
    files: tuple[Path, ...]
    n_missing: int = 0
    row_order: RowOrder | None = None

    def column(self, name: str) -> Array:
        """(i, j, k, energy) values of one statistic.

        Raises:
            FormatError: the scorer did not report it.
        """
        if name not in self.header.columns:
            found = ", ".join(self.header.columns)
            raise FormatError(f"{self.files[0].name}: column {name} is needed; found {found}. Add it to Report")
        return np.asarray(self.values[..., self.header.columns.index(name)], dtype=float)


def read_values(path: Path, header: ScorerHeader, row_order: RowOrder | None = None) -> ScoredValues:
    """Read the values that belong to a header.

    Args:
        path: the `.csv` or `.binheader` file.
        header: as read from it.
        row_order: order of the rows of an energy-binned CSV, which has no indices (see `decide_row_order`).

    Raises:
        FormatError: missing, truncated or oversized data, doubled or missing voxels, or an unknown row order.
    """
    if path.suffix == ".binheader":
        binary = find_binary(path, header)
        return ScoredValues(header, _mask_outside_structure(read_binary(binary, header), header), (path, binary))
    scored = read_csv(path, header, row_order)
    return replace(scored, values=_mask_outside_structure(scored.values, header))


def find_binary(path: Path, header: ScorerHeader) -> Path:
    """The `.bin` beside a `.binheader`: same stem first, since the printed name is stale after renaming.

    Raises:
        FormatError: neither exists.
    """
    candidates = [path.with_suffix(".bin")]
    if header.binary_file:
        candidates.append(path.parent / Path(header.binary_file).name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    names = " or ".join(dict.fromkeys(c.name for c in candidates))
    raise FormatError(f"{path.name}: expected {names} beside it, found neither; copy the .bin file of the run there")


def read_binary(path: Path, header: ScorerHeader) -> Array:
    """Read a `.bin`: little-endian float64 with Z slowest, then Y, X, energy, statistic.

    Returns:
        (i, j, k, energy, statistic).

    Raises:
        FormatError: the size is not what the header promises.
    """
    nx, ny, nz = header.shape
    stored = (nz, ny, nx, header.n_energy, len(header.columns))
    expected, found = 8 * int(np.prod(stored)), path.stat().st_size
    if found != expected:
        raise FormatError(
            f"{path.name}: expected {expected} bytes for (Z, Y, X, energy, statistic) = {stored}, found {found}; "
            "the run was cut short or the header belongs to another run"
        )
    return np.fromfile(path, dtype="<f8").reshape(stored).transpose(2, 1, 0, 3, 4)


def read_csv(path: Path, header: ScorerHeader, row_order: RowOrder | None = None) -> ScoredValues:
    """Read a CSV body; index columns decide placement wherever they exist.

    Raises:
        FormatError: wrong number of columns or rows, index outside the grid, doubled or missing voxels, no number.
    """
    table = _table(path)
    n_columns, n_voxels = header.n_energy * len(header.columns), int(np.prod(header.shape))
    flat = _voxel_of_row(table, header, row_order, path.name)
    n_index = table.shape[1] - n_columns
    values = np.zeros((n_voxels, n_columns))
    values[flat] = table[:, n_index:]
    shape = (*header.shape, header.n_energy, len(header.columns))
    order = _observed_order(flat, header.shape) if n_index else None
    return ScoredValues(header, values.reshape(shape), (path,), n_voxels - len(flat), order)


def decide_row_order(
    header: ScorerHeader, where: str, given: RowOrder | None, observed: Sequence[RowOrder]
) -> RowOrder | None:
    """Row order of an energy-binned CSV, which has no indices.

    OpenTOPAS turned the loops round in v4.1.1 (banner 4.1.p1, X fastest); up to 3.9 Z is fastest. Development builds
    with the banners 4.0 and 4.1 may do either.

    Args:
        header: of the file.
        where: its name.
        given: what the user said.
        observed: orders seen in CSV files with indices, written by the same TOPAS in the same run.

    Returns:
        The order, or None when it makes no difference.

    Raises:
        FormatError: the order is unknown, or what the user said contradicts the run's other files.
    """
    if sum(n > 1 for n in header.shape) < 2:
        return None
    seen = set(observed)
    if len(seen) > 1:
        raise FormatError(f"{where}: CSV files with indices of the same run are in different orders; were they mixed?")
    if given is not None:
        if seen and given not in seen:
            raise FormatError(f"{where}: row_order={given} given, but the CSV files with indices show {seen.pop()}")
        return given
    if seen:
        return seen.pop()
    version = header.version_number
    if version is not None and version >= (4, 1, 1):
        return "x_fastest"
    if version is not None and version < (4, 0, 0):
        return "z_fastest"
    raise FormatError(
        f"{where}: TOPAS version {header.version!r} does not tell the row order of a CSV without indices; "
        "give row_order x_fastest or z_fastest, or score an un-binned CSV beside it"
    )


def _observed_order(flat: npt.NDArray[np.int_], shape: tuple[int, int, int]) -> RowOrder | None:
    """The order in which rows with indices were written; None when both fit or none does."""
    fortran = np.ravel_multi_index(np.unravel_index(flat, shape), shape, order="F")
    z_fastest, x_fastest = bool((np.diff(flat) > 0).all()), bool((np.diff(fortran) > 0).all())
    if z_fastest == x_fastest:
        return None
    return "z_fastest" if z_fastest else "x_fastest"


def _table(path: Path) -> Array:
    with path.open(encoding="utf-8") as stream:
        body = "".join(line for line in stream if not line.startswith("#") and line.strip())
    if not body:
        raise FormatError(f"{path.name}: expected rows of numbers after the header, found none; the run was cut short")
    try:
        return np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2)
    except ValueError as error:
        raise FormatError(f"{path.name}: a row is cut or holds something that is not a number ({error})") from error


def _voxel_of_row(table: Array, header: ScorerHeader, row_order: RowOrder | None, where: str) -> npt.NDArray[np.int_]:
    """C-order index of the voxel of every row."""
    n_voxels = int(np.prod(header.shape))
    n_index = 0 if header.binning or n_voxels == 1 else 1 if header.single_index else 3
    expected = n_index + header.n_energy * len(header.columns)
    if table.shape[1] != expected:
        raise FormatError(f"{where}: expected {expected} columns ({n_index} of indices), found {table.shape[1]}")
    if n_index == 0:
        return _ordered_rows(len(table), header, row_order, where)
    flat = _indexed_rows(table[:, :n_index], header, where)
    if len(np.unique(flat)) < len(flat):
        voxel = np.unravel_index(np.flatnonzero(np.bincount(flat) > 1)[0], header.shape)
        raise FormatError(f"{where}: voxel {tuple(int(n) for n in voxel)} is there more than once; were files joined?")
    if len(flat) < n_voxels and header.sparse is None:
        raise FormatError(f"{where}: expected {n_voxels} voxels, found {len(flat)} and no notice of sparse output")
    return flat


def _ordered_rows(n_rows: int, header: ScorerHeader, row_order: RowOrder | None, where: str) -> npt.NDArray[np.int_]:
    n_voxels = int(np.prod(header.shape))
    if n_rows != n_voxels:
        raise FormatError(f"{where}: expected {n_voxels} rows, one per voxel, found {n_rows}; the run was cut short")
    if row_order is None and sum(n > 1 for n in header.shape) > 1:
        raise FormatError(f"{where}: rows have no indices and their order is not known; give row_order")
    c_order = np.arange(n_voxels).reshape(header.shape)
    return c_order.ravel(order="F" if row_order == "x_fastest" else "C")


def _indexed_rows(index: Array, header: ScorerHeader, where: str) -> npt.NDArray[np.int_]:
    shape = header.shape if index.shape[1] == 3 else (int(np.prod(header.shape)),)
    whole = index.astype(int)
    bad = ((whole != index) | (whole < 0) | (whole >= np.array(shape))).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise FormatError(f"{where}: index {index[row].tolist()} in data row {row + 1} is outside the grid {shape}")
    return np.asarray(np.ravel_multi_index(tuple(whole.T), shape))


def _mask_outside_structure(values: Array, header: ScorerHeader) -> Array:
    """NaN where TOPAS wrote -1 in every statistic to say "outside the RT structure"."""
    if not any(name == "OnlyIncludeIfInRTStructure" for name, _ in header.filters):
        return values
    outside = (values == -1).all(axis=(-2, -1))
    return np.where(outside[..., None, None], np.nan, values)
