"""Cumulative volume histograms of structures (DVH of a dose, LVH of a LET), by sorting and not by binning.

The value of a voxel holds throughout the voxel, and a voxel counts as much as it is inside the structure. The histogram
is then a step function, V(x) = volume with at least the value x, and all statistics are exact on it, with nothing
interpolated and no bins:

* D2, D50, D98: ICRU Report 83 (J. ICRU 10, No. 1 (2010)), near-maximum, median and near-minimum: the least value of the
  hottest 2, 50, 98 % of the volume. That is the largest value x of a voxel with V(x) of at least that part of the
  volume; the voxel in which the percentage is reached gives the value whole, and voxels of one value count together;
* V95: part of the volume with at least 95 % of a stated value.

Planning systems interpolate within a voxel or a bin of the histogram, so theirs may differ by the step between two
voxels of neighbouring rank, which matters in structures of few voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid.quantity import Quantity
from surrogate3d.validation.problems import Problem, voxels

Floats = npt.NDArray[np.float64]

STATISTICS: dict[str, str] = {
    "mean": "mean over the volume",
    "min": "least value of a voxel of which any part is inside",
    "max": "largest value of such a voxel",
    "D2": "least value of the hottest 2 % of the volume (near-maximum)",
    "D50": "least value of the hottest 50 % of the volume (median)",
    "D98": "least value of the hottest 98 % of the volume (near-minimum)",
    "V95": "part of the volume with at least 95 % of the stated value, %; null where none is stated",
}
"""Keys of the statistics of every histogram, whatever its quantity, with their definitions."""

_ROUNDING = 1e-9
"""Volumes are sums of rounded numbers: this part of the whole is no volume. No structure has a voxel as small."""


@dataclass(frozen=True)
class VolumeHistogram:
    """The cumulative histogram of one map in one structure.

    Attributes:
        structure: its name.
        quantity: identifier of what the map shows.
        symbol: as printed.
        unit: of the levels and of all statistics but V95.
        method: whose map it is, such as "surrogate" or "reference".
        volume_cm3: of the structure on the grid, voxels without a value included.
        n_voxels: voxels of which any part is inside.
        n_missing: those of them without a value; they are in no level and no statistic.
        base: the value that V95 is of; NaN where none is stated.
        levels: ascending values, from 0 (or the least value, if that is below) to the largest, evenly spaced.
        volume_percent: part of the volume that has a value with at least each level, %; exact at the levels.
        statistics: by the keys of `STATISTICS`.
    """

    structure: str
    quantity: str
    symbol: str
    unit: str
    method: str
    volume_cm3: float
    n_voxels: int
    n_missing: int
    base: float
    levels: tuple[float, ...]
    volume_percent: tuple[float, ...]
    statistics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data; undefined numbers are null. `labels` are the statistics as printed."""
        statistics = {key: _defined(value) for key, value in self.statistics.items()}
        labels = statistic_labels(self.symbol, self.unit)
        return asdict(self) | {"base": _defined(self.base), "statistics": statistics, "labels": labels}


def statistic_labels(symbol: str, unit: str) -> dict[str, str]:
    """The statistics as printed: D2% of a dose, L2% of a LET, "RBE 2%" of what has no letter of its own.

    Args:
        symbol: of the quantity.
        unit: of the quantity.

    Returns:
        Labels by the keys of `STATISTICS`.
    """
    letter = "D" if unit.startswith("Gy") else "L" if symbol.startswith("LET") else f"{symbol} "
    return {key: f"{letter}{key[1:]}%" if key[0] == "D" else f"{key}%" if key == "V95" else key for key in STATISTICS}


def volume_histogram(
    values: npt.NDArray[np.floating],
    fraction: npt.NDArray[np.floating] | npt.NDArray[np.bool_],
    voxel_cm3: float,
    structure: str,
    quantity: Quantity,
    method: str,
    base: float | None = None,
    points: int = 256,
    start: tuple[int, int, int] = (0, 0, 0),
) -> tuple[VolumeHistogram | None, tuple[Problem, ...]]:
    """The cumulative histogram of a map in a structure.

    Args:
        values: (i, j, k) the map; NaN where it has no value.
        fraction: (i, j, k) part of each voxel that is inside the structure, 0 to 1, or a mask.
        voxel_cm3: volume of a voxel, cm3.
        structure: its name.
        quantity: of the map.
        method: whose map it is.
        base: the value that V95 is of, such as the prescribed dose, in the map's unit. It is rounded as the values are.
        points: number of levels.
        start: of a box of a grid, the voxel of the grid that it begins with, so that messages name voxels of the grid.

    Returns:
        The histogram, or None where no voxel of the structure has a value; and what is wrong.

    Raises:
        GridMismatchError: values and fraction differ in shape.
        ValueRangeError: a fraction outside 0 to 1, or a volume, base or number of points that is not positive.
    """
    _check(values, fraction, voxel_cm3, base, points, structure)
    inside = fraction > 0
    weights = np.asarray(fraction[inside], dtype=np.float64)
    chosen = values[inside]
    known = np.isfinite(chosen)
    problems = _problems(values, inside, fraction, structure, f"{quantity.symbol} of {method}", start)
    if not known.any():
        return None, problems
    order = np.argsort(chosen[known], kind="stable")[::-1]
    descending, volumes = chosen[known][order], np.cumsum(weights[known][order])
    reached = np.nan if base is None else _at_least(descending, volumes, _as_stored(0.95 * base, descending))
    levels = _levels(descending, points)
    return VolumeHistogram(
        structure=structure,
        quantity=quantity.name,
        symbol=quantity.symbol,
        unit=quantity.unit,
        method=method,
        volume_cm3=float(weights.sum() * voxel_cm3),
        n_voxels=len(weights),
        n_missing=int(len(weights) - known.sum()),
        base=float("nan") if base is None else float(base),
        levels=tuple(levels.tolist()),
        volume_percent=tuple(_at_least(descending, volumes, levels).tolist()),
        statistics={
            "mean": float(np.average(descending.astype(np.float64), weights=weights[known][order])),
            "min": float(descending[-1]),
            "max": float(descending[0]),
            **{f"D{percent}": _hottest(descending, volumes, percent) for percent in (2, 50, 98)},
            "V95": float(reached),
        },
    ), problems


def _hottest(descending: npt.NDArray[np.floating], volumes: Floats, percent: float) -> float:
    """Least value of the hottest part: of the first voxel at which that part of the volume is reached."""
    wanted = (percent / 100 - _ROUNDING) * volumes[-1]
    return float(descending[np.searchsorted(volumes, wanted)])


def _at_least(descending: npt.NDArray[np.floating], volumes: Floats, levels: npt.ArrayLike) -> Floats:
    """Part of the volume with at least each level, %."""
    count = len(descending) - np.searchsorted(descending[::-1], levels, side="left")
    return np.asarray(100 * np.concatenate([[0.0], volumes])[count] / volumes[-1], dtype=np.float64)


def _levels(descending: npt.NDArray[np.floating], points: int) -> Floats:
    """Evenly spaced; one level of a map that is nothing but zero."""
    levels = np.linspace(min(0.0, float(descending[-1])), float(descending[0]), points)
    return levels if levels[0] < levels[-1] else levels[:1]


def _as_stored(level: float, values: npt.NDArray[np.floating]) -> np.floating:
    """The level rounded as the values were: 1.9 is reached by the float32 that stands for 1.9."""
    rounded: np.floating = values.dtype.type(level)
    return rounded


def _problems(
    values: npt.NDArray[np.floating],
    inside: npt.NDArray[np.bool_],
    fraction: npt.NDArray[np.floating] | npt.NDArray[np.bool_],
    structure: str,
    method: str,
    start: tuple[int, int, int],
) -> tuple[Problem, ...]:
    if not inside.any():
        told = f"structure {structure!r} has no voxels on the grid, so {method!r} has no histogram there"
        return (Problem("empty_structure", f"structure {structure!r}", told),)
    whole = float(fraction[inside].sum(dtype=np.float64))
    found = []
    for kind, mask, word in (
        ("nan_in_map", np.isnan(values), "has no value (NaN)"),
        ("infinite_in_map", np.isinf(values), "is infinite"),
    ):
        bad = mask & inside
        if bad.any():
            n, percent = int(bad.sum()), 100 * float(fraction[bad].sum(dtype=np.float64)) / whole
            where = f"map {method!r}, structure {structure!r}, {voxels(n)}"
            told = f"{method!r} {word} in {n:,} of {voxels(int(inside.sum()))} of {structure!r}"
            told += f" ({percent:.3g} % of its volume), first {_first(bad, start)}; they are left out of its histogram"
            found.append(Problem(kind, where, told))
    return tuple(found)


def _first(mask: npt.NDArray[np.bool_], start: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(int(first + index) for first, index in zip(start, np.argwhere(mask)[0], strict=True))


def _check(
    values: npt.NDArray[np.floating],
    fraction: npt.NDArray[np.floating] | npt.NDArray[np.bool_],
    voxel_cm3: float,
    base: float | None,
    points: int,
    structure: str,
) -> None:
    if values.shape != fraction.shape:
        raise GridMismatchError(f"structure {structure!r} has shape {fraction.shape}, the map {values.shape}")
    if fraction.size and not ((fraction >= 0) & (fraction <= 1)).all():
        raise ValueRangeError(f"structure {structure!r}: parts of voxels must be 0 to 1; write its mask again")
    if not voxel_cm3 > 0 or points < 2 or not (base is None or 0 < base < np.inf):
        raise ValueRangeError(
            "a histogram needs a positive voxel volume, a positive base and at least 2 points; "
            f"found {voxel_cm3} cm3, {base} and {points}"
        )


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
