"""Voxels by what a quantity is there: strata of the dose, as parts of a stated dose, and of the LET, by its quantiles.

A stratum holds its lower edge and not its upper one, the first and the last are open, and NaN is in none; so every
voxel with a value is in exactly one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError

BoolArray = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

DOSE_EDGES_PERCENT = (5.0, 20.0, 50.0, 80.0, 95.0)
"""Of the stated dose: out of field, low, penumbra, shoulder and target. This project's choice."""

LET_QUANTILES = (0.25, 0.5, 0.75)
"""Quarters of the compared voxels. This project's choice."""


def strata(values: Floats, edges: Sequence[float], symbol: str, unit: str) -> dict[str, BoolArray]:
    """Masks of the voxels between edges.

    Args:
        values: any shape; NaN is in no stratum.
        edges: ascending, in the unit of the values.
        symbol: of the quantity, for the names.
        unit: for the names; "1" is not printed.

    Returns:
        One mask more than edges, from low to high, such as "D < 5 %", "5 <= D < 20 %", "D >= 20 %".

    Raises:
        ValueRangeError: there are no edges, or they do not ascend or are not finite.
    """
    bounds = np.asarray(edges, dtype=np.float64)
    if not bounds.size or not np.isfinite(bounds).all() or (np.diff(bounds) <= 0).any():
        raise ValueRangeError(f"strata of {symbol} need finite edges that ascend, found {list(edges)}")
    which = np.searchsorted(bounds, values, side="right")
    known = ~np.isnan(values)
    return {name: known & (which == number) for number, name in enumerate(_names(bounds, symbol, unit))}


def dose_strata(
    dose: Floats, base: float, edges_percent: Sequence[float] = DOSE_EDGES_PERCENT, symbol: str = "D"
) -> dict[str, BoolArray]:
    """Strata of the dose as a part of a stated one.

    Args:
        dose: any shape, any unit.
        base: the dose that the percentages are of, such as the prescribed or the largest one, in that unit.
        edges_percent: ascending, %.
        symbol: for the names.

    Raises:
        ValueRangeError: the base is not finite and positive, or as `strata`.
    """
    if not 0 < base < np.inf:
        raise ValueRangeError(f"strata of dose need a finite, positive dose that they are parts of, found {base}")
    return strata(100 * np.asarray(dose, dtype=np.float64) / base, edges_percent, symbol, "%")


def quantile_edges(
    values: Floats, compared: BoolArray, quantiles: Sequence[float] = LET_QUANTILES
) -> tuple[float, ...]:
    """Edges that part the compared voxels into equal numbers, as far as their values differ.

    Args:
        values: any shape; NaN is left out.
        compared: mask of the voxels that count, of the same shape.
        quantiles: ascending, above 0 and below 1.

    Returns:
        The edges, each once, and all above the least value, so that no stratum of them is empty: fewer than quantiles
        where many voxels have one value, and none without voxels.

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: a quantile is not above 0 and below 1, or they do not ascend.
    """
    if values.shape != compared.shape:
        raise GridMismatchError(f"values have shape {values.shape}, the mask of compared voxels {compared.shape}")
    asked = np.asarray(quantiles, dtype=np.float64)
    if not ((asked > 0) & (asked < 1)).all() or (np.diff(asked) <= 0).any():
        raise ValueRangeError(f"quantiles must ascend, above 0 and below 1; found {list(quantiles)}")
    chosen = values[compared & np.isfinite(values)].astype(np.float64)
    if not chosen.size:
        return ()
    edges = np.unique(np.quantile(chosen, asked))
    return tuple(edges[edges > chosen.min()].tolist())


def _names(edges: npt.NDArray[np.float64], symbol: str, unit: str) -> list[str]:
    """Names with as many digits as it takes to tell the edges apart, 3 at least."""
    digits = next(n for n in range(3, 18) if len({f"{edge:.{n}g}" for edge in edges}) == len(edges))
    told, suffix = [f"{edge:.{digits}g}" for edge in edges], "" if unit == "1" else f" {unit}"
    between = [f"{low} <= {symbol} < {high}" for low, high in pairwise(told)]
    return [name + suffix for name in (f"{symbol} < {told[0]}", *between, f"{symbol} >= {told[-1]}")]
