"""Values of TOPAS binned scorers: CSV bodies and `.bin` files, placed on (i, j, k).

The order of rows and bytes is that of OpenTOPAS scoring/TsVBinnedScorer.cc (PrintASCII, PrintBinary) at every tag.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError
from surrogate3d.io.given import ROW_ORDERS, RowOrder
from surrogate3d.io.topas_csv import read_csv
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_order import decide_row_order, order_by_reference
from surrogate3d.io.topas_planes import FilePlanes
from surrogate3d.io.topas_scored import ScoredValues, outside_shares

__all__ = [
    "ROW_ORDERS",
    "RowOrder",
    "ScoredValues",
    "decide_row_order",
    "find_binary",
    "order_by_reference",
    "outside_shares",
    "read_binary",
    "read_csv",
    "read_values",
]


def read_values(
    path: Path, header: ScorerHeader, row_order: RowOrder | None = None, spool_dir: Path | None = None
) -> ScoredValues:
    """Open the values that belong to a header: a `.bin` is read when its slabs are asked for, a CSV now.

    Args:
        path: the `.csv` or `.binheader` file.
        header: as read from it.
        row_order: order of the rows of an energy-binned CSV, which has no indices (see `decide_row_order`).
        spool_dir: folder of the temporary file that takes the values of a large CSV; the system's own when None.

    Raises:
        FormatError: missing, truncated or oversized data, doubled or missing voxels, or an unknown row order.
        StoreError: no room for the temporary file.
    """
    if path.suffix.lower() == ".binheader":
        binary = find_binary(path, header)
        return ScoredValues(header, FilePlanes(binary, _stored(header)), (path, binary))
    return read_csv(path, header, row_order, spool_dir)


def find_binary(path: Path, header: ScorerHeader) -> Path:
    """The `.bin` beside a `.binheader`: same stem first, since the printed name is stale after renaming.

    Raises:
        FormatError: neither exists.
    """
    candidates = [path.with_suffix(".BIN" if path.suffix.isupper() else ".bin")]
    if header.binary_file:
        candidates.append(path.parent / Path(header.binary_file).name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    names = " or ".join(dict.fromkeys(c.name for c in candidates))
    raise FormatError(f"{path.name}: expected {names} beside it, found neither; copy the .bin file of the run there")


def read_binary(path: Path, header: ScorerHeader) -> npt.NDArray[np.float64]:
    """Read a whole `.bin`: little-endian float64 with Z slowest, then Y, X, energy, statistic.

    Returns:
        (i, j, k, energy, statistic).

    Raises:
        FormatError: the size is not what the header promises, or the byte order is of another machine.
    """
    planes = FilePlanes(path, _stored(header))
    return planes.read(0, header.shape[2]).transpose(2, 1, 0, 3, 4)


def _stored(header: ScorerHeader) -> tuple[int, int, int, int, int]:
    nx, ny, nz = header.shape
    return (nz, ny, nx, header.n_energy, len(header.columns))
