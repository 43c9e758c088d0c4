"""Order of the rows of an energy- or time-binned TOPAS CSV, which has no indices.

OpenTOPAS turned the loops round in v4.1.1 (banner 4.1.p1, X fastest); up to 3.9 Z is fastest. Development builds with
the banners 4.0 and 4.1 may do either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError
from surrogate3d.io.given import RowOrder
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_scored import ScoredValues

_SAME = 1e-6
"""Of the largest value: sums in another order, printed with 16 digits, differ by far less; neighbours by far more."""


def order_matters(shape: tuple[int, int, int]) -> bool:
    """Whether the two orders differ: not on a line of voxels."""
    return sum(n > 1 for n in shape) > 1


def decide_row_order(
    header: ScorerHeader, where: str, given: RowOrder | None, observed: Sequence[RowOrder]
) -> RowOrder | None:
    """Row order of a CSV without indices.

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
    if not order_matters(header.shape):
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


def order_by_reference(scored: ScoredValues, plain: ScoredValues) -> RowOrder | None:
    """Row order by an un-binned grid of the same quantity, to which the bins (all of them) of every voxel must add up.

    Args:
        scored: a CSV without indices, read in either order.
        plain: the same quantity and filters without bins, in a form that needs no order (indices, or `.bin`).

    Returns:
        The order that fits, or None when it makes no difference.

    Raises:
        GridMismatchError: another grid.
        QuantityError: another quantity, unit or filter.
        FormatError: neither order fits, or both.
    """
    _require_comparable(scored, plain)
    if not order_matters(scored.header.shape) or scored.assumed_order is None:
        return None
    rows = _sums_in_file_order(scored)
    expected = plain.column("Sum")[..., 0]
    shape = expected.shape
    fits: list[RowOrder] = []
    if _same(rows.reshape(shape, order="F"), expected, plain.n_missing > 0):
        fits.append("x_fastest")
    if _same(rows.reshape(shape, order="C"), expected, plain.n_missing > 0):
        fits.append("z_fastest")
    if len(fits) == 1:
        return fits[0]
    how = "both row orders fit" if fits else "neither row order fits"
    what = "compare with a field that is not symmetric" if fits else "they are not of the same run and particles"
    raise FormatError(
        f"{scored.files[0].name}: expected its bins to add up to {plain.files[0].name} in one order of its rows, found "
        f"that {how}; {what}, or give row_order"
    )


def _require_comparable(scored: ScoredValues, plain: ScoredValues) -> None:
    one, other, what = scored.header, plain.header, f"{scored.files[0].name} and {plain.files[0].name}"
    if one.shape != other.shape:
        raise GridMismatchError(f"{what}: {one.shape} and {other.shape} voxels; compare scorers of one grid")
    same = (one.quantity, one.unit, one.filters, one.component) == (
        other.quantity,
        other.unit,
        other.filters,
        other.component,
    )
    if not same:
        raise QuantityError(f"{what}: expected the same quantity, unit, filters and component, found others")
    if other.binning is not None:
        raise QuantityError(f"{what}: expected the second without bins, found {other.binning.mode} bins")


def _sums_in_file_order(scored: ScoredValues) -> npt.NDArray[np.float64]:
    """(row,) sums over all bins, in the order of the file's rows."""
    sums = np.empty(scored.header.shape)
    for k0, k1 in scored.slabs():
        sums[:, :, k0:k1] = scored.energy_slab(k0, k1).sum(axis=-1)
    return sums.ravel(order="F" if scored.assumed_order == "x_fastest" else "C")


def _same(sums: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], sparse: bool) -> bool:
    """Whether two grids agree; rows that a sparse file left out (0 here) are no evidence."""
    compared = expected != 0 if sparse else np.ones(expected.shape, dtype=bool)
    tolerance = _SAME * float(np.nanmax(np.abs(expected), initial=0.0))
    return bool(np.allclose(sums[compared], expected[compared], rtol=0, atol=tolerance, equal_nan=True))
