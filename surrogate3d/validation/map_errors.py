"""Errors of maps against a reference map, by groups of voxels: regions, structures, strata of dose and of LET.

An error is judged minus reference, a relative error judged / reference - 1. Voxels where the reference is 0 have only
the first; they are counted. What cannot be compared is counted in the row and named as a `Problem`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.validation.metrics import root_mean_square
from surrogate3d.validation.problems import Problem, voxels

BoolArray = npt.NDArray[np.bool_]
Groups = Mapping[str, Mapping[str, BoolArray]]

GROUP_KINDS: dict[str, str] = {
    "all": "all voxels that are compared",
    "dose": "strata of the dose",
    "LET": "strata of the LET",
    "region": "parts of the treatment field",
    "structure": "structures of the patient; voxels that are at least half inside",
}
"""How the voxels of a group were chosen."""

MAP_ERRORS: dict[str, str] = {
    "n": "compared voxels: those with a finite judged and reference value",
    "n_missing": "voxels with a reference, but without a finite judged value",
    "n_unknown": "voxels of the group without a finite reference",
    "n_zero": "compared voxels where the reference is 0: in absolute errors, not in relative ones (%)",
    "bias": "mean of judged - reference, in the unit of the quantity",
    "rms": "root mean square of judged - reference, in the unit of the quantity",
    "R2": "coefficient of determination, 1 - sum (judged - reference)^2 / sum (reference - mean reference)^2",
    "NRMSE_range": "rms over the range (max - min) of the reference",
    "NRMSE_mean": "rms over the absolute value of the mean reference",
    "bias_percent": "mean of the relative error judged / reference - 1, %",
    "rms_percent": "root mean square of the relative error, %; as measured, noise of the reference included",
    "q05_percent": "5th percentile of the signed relative error, %",
    "q50_percent": "median of the signed relative error, %",
    "q95_percent": "95th percentile of the signed relative error, %",
    "p95_percent": "95th percentile of the absolute relative error, %",
    "max_error": "judged - reference where its absolute value is largest, in the unit of the quantity",
    "max_voxel": "the voxel where it is; the first in index order where several are alike",
}
"""Every number of a row with its definition."""


@dataclass(frozen=True)
class MapErrorRow:
    """Errors of one method in one group of voxels; `MAP_ERRORS` defines the numbers.

    What is not defined (no voxels, no spread of the reference, a reference of zero everywhere) is NaN, and
    `max_voxel` is None.

    Attributes:
        method: whose map was judged.
        kind: a key of `GROUP_KINDS`.
        group: name of the group.
    """

    method: str
    kind: str
    group: str
    n: int
    n_missing: int
    n_unknown: int
    n_zero: int
    bias: float
    rms: float
    R2: float
    NRMSE_range: float
    NRMSE_mean: float
    bias_percent: float
    rms_percent: float
    q05_percent: float
    q50_percent: float
    q95_percent: float
    p95_percent: float
    max_error: float
    max_voxel: tuple[int, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Plain data; undefined numbers are null."""
        told = {key: None if value != value else value for key, value in asdict(self).items()}
        return told | {"max_voxel": None if self.max_voxel is None else list(self.max_voxel)}


def map_errors(
    judged: Mapping[str, npt.NDArray[np.floating]], reference: npt.NDArray[np.floating], groups: Groups
) -> tuple[tuple[MapErrorRow, ...], tuple[Problem, ...]]:
    """Judge maps against a reference, group by group.

    A group says where a comparison is asked for: a voxel of it without a judged or reference value is a problem. Leave
    voxels out of the groups that nobody expects to be answered, such as those that were not simulated.

    Args:
        judged: (i, j, k) maps by method, in the reference's unit; NaN where a method gives no answer.
        reference: (i, j, k) the reference; NaN where there is none.
        groups: (i, j, k) masks by kind of group, a key of `GROUP_KINDS`, then by name.

    Returns:
        One row per method, kind and group, in that order as given; and what is wrong, each map and group once.

    Raises:
        GridMismatchError: a map or a mask has another shape than the reference.
        QuantityError: a kind of group is not known.
    """
    _check(judged, reference, groups)
    asked = np.zeros(reference.shape, dtype=bool)
    for masks in groups.values():
        for mask in masks.values():
            asked |= mask
    problems = [*_empty_groups(groups), *_reference_problems(reference, asked)]
    rows = []
    for method, values in judged.items():
        problems += _not_finite(repr(method), values, asked & np.isfinite(reference))
        for kind, masks in groups.items():
            rows += [_row(method, kind, name, values, reference, mask) for name, mask in masks.items()]
    problems += _not_compared(rows)
    return tuple(rows), tuple(problems)


def _row(
    method: str,
    kind: str,
    group: str,
    values: npt.NDArray[np.floating],
    reference: npt.NDArray[np.floating],
    mask: BoolArray,
) -> MapErrorRow:
    x, y = values[mask].astype(np.float64), reference[mask].astype(np.float64)
    known = np.isfinite(y)
    both = known & np.isfinite(x)
    n_missing, n_unknown = int((known & ~both).sum()), int((~known).sum())
    x, y = x[both], y[both]
    error = x - y
    return MapErrorRow(
        method=method,
        kind=kind,
        group=group,
        n=len(x),
        n_missing=n_missing,
        n_unknown=n_unknown,
        n_zero=int((y == 0).sum()),
        **_absolute(error, y),
        **_relative(error[y != 0], y[y != 0]),
        **_largest(error, np.flatnonzero(mask)[both], mask.shape),
    )


def _absolute(error: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> dict[str, Any]:
    if not len(y):
        return dict.fromkeys(("bias", "rms", "R2", "NRMSE_range", "NRMSE_mean"), np.nan)
    rms, spread = root_mean_square(error), float(np.ptp(y))
    variance = float(np.square(y - y.mean()).sum()) if spread > 0 else 0.0  # of equal numbers it is all rounding
    return {
        "bias": float(error.mean()),
        "rms": rms,
        "R2": 1.0 - _ratio(float(np.square(error).sum()), variance),
        "NRMSE_range": _ratio(rms, spread),
        "NRMSE_mean": _ratio(rms, abs(float(y.mean()))),
    }


def _relative(error: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> dict[str, Any]:
    keys = [key for key in MAP_ERRORS if key.endswith("_percent")]
    if not len(y):
        return dict.fromkeys(keys, np.nan)
    relative = 100 * error / y
    quantiles = np.percentile(relative, (5, 50, 95))
    numbers = (relative.mean(), root_mean_square(relative), *quantiles, np.percentile(np.abs(relative), 95))
    return dict(zip(keys, map(float, numbers), strict=True))


def _largest(error: npt.NDArray[np.float64], at: npt.NDArray[np.intp], shape: tuple[int, ...]) -> dict[str, Any]:
    if not len(error):
        return {"max_error": np.nan, "max_voxel": None}
    largest = int(np.argmax(np.abs(error)))
    voxel = tuple(int(index) for index in np.unravel_index(at[largest], shape))
    return {"max_error": float(error[largest]), "max_voxel": voxel}


def _reference_problems(reference: npt.NDArray[np.floating], asked: BoolArray) -> Iterator[Problem]:
    yield from _not_finite("reference", reference, asked)
    zero = asked & (reference == 0)
    if zero.any():
        n, first = _count(zero)
        told = f"the reference is 0 in {voxels(n)}, first {first}; they have no relative error and only absolute ones"
        yield Problem("zero_reference", f"reference, {voxels(n)}", told)


def _not_finite(name: str, values: npt.NDArray[np.floating], asked: BoolArray) -> Iterator[Problem]:
    for kind, mask, word in (
        ("nan_in_map", np.isnan(values), "no value (NaN)"),
        ("infinite_in_map", np.isinf(values), "an infinite value"),
    ):
        bad = asked & mask
        if bad.any():
            n, first = _count(bad)
            told = f"{name} has {word} in {n:,} of {voxels(int(asked.sum()))} where it is asked for, first {first}"
            yield Problem(kind, f"map {name}, {voxels(n)}", f"{told}; they are left out of all errors")


def _empty_groups(groups: Groups) -> Iterator[Problem]:
    for kind, masks in groups.items():
        for name in (name for name, mask in masks.items() if not mask.any()):
            if kind == "structure":
                told = f"structure {name!r} has no voxels to compare; it has no errors"
                yield Problem("empty_structure", f"structure {name!r}", told)
            else:
                told = f"{name!r} ({GROUP_KINDS[kind]}) has no voxels to compare; it has no errors"
                yield Problem("no_voxels_in_stratum", f"{kind} {name!r}", told)


def _not_compared(rows: Sequence[MapErrorRow]) -> Iterator[Problem]:
    """Groups of a map that has no compared voxel in them; of one that has none anywhere, one sentence for all."""
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        for row in own if any(row.n for row in own) else own[:1]:
            if row.n or not row.n_missing + row.n_unknown:
                continue
            told = f"{method!r} is compared in no voxel of {row.kind} {row.group!r}: {row.n_missing} have no judged"
            told += f" and {row.n_unknown} no reference value"
            yield Problem("nothing_compared", f"map {method!r}, {row.kind} {row.group!r}", told)


def _count(mask: BoolArray) -> tuple[int, tuple[int, ...]]:
    return int(mask.sum()), tuple(int(index) for index in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")


def _check(judged: Mapping[str, npt.NDArray[np.floating]], reference: npt.NDArray[np.floating], groups: Groups) -> None:
    for method, values in judged.items():
        if values.shape != reference.shape:
            raise GridMismatchError(f"map {method!r} has shape {values.shape}, the reference {reference.shape}")
    for kind, masks in groups.items():
        if kind not in GROUP_KINDS:
            raise QuantityError(f"unknown kind of group {kind!r}; known: {', '.join(GROUP_KINDS)}")
        for name, mask in masks.items():
            if mask.shape != reference.shape:
                raise GridMismatchError(f"{kind} {name!r} has shape {mask.shape}, the reference {reference.shape}")
