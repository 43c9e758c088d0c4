"""Layers of voxels with similar dose, LET, gradients and material."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import Grid
from surrogate3d.sampling.candidates import PlanFeatures

BINS: dict[str, int] = {"LET_d": 4, "dose": 3, "LET_gradient": 2, "dose_gradient": 1}
"""Quantile bins by quantity, the most telling first: 24 strata a material, for budgets of some hundred voxels."""

MATERIAL_EDGES = (0.5, 1.15)
"""g/cm^3 between lung and soft tissue, and between soft tissue and bone.

They lie in gaps of ICRU Report 46 (1992): lung 0.26, fat 0.95, muscle 1.05, cartilage 1.10, spongiosa 1.18 g/cm^3.
"""

SMALLEST = 4
"""Voxels that a stratum has at least, where the material has as many."""


def quantile_strata(values: Sequence[npt.NDArray[np.floating]], bins: Sequence[int]) -> npt.NDArray[np.int64]:
    """Cross the quantile bins of several quantities, such as dose and LET_d.

    Equal values never part, so quantities with ties can fill fewer bins.

    Args:
        values: (n,) finite arrays, one per quantity.
        bins: number of quantile bins of each quantity, at least 1.

    Returns:
        (n,) stratum numbers 0, 1, ... without gaps.

    Raises:
        GridMismatchError: the arrays differ in length, or `bins` in number.
        ValueRangeError: no quantity, a value that is not finite, or fewer than 1 bin.
    """
    if not values or len(values) != len(bins) or any(v.shape != (len(values[0]),) for v in values):
        raise GridMismatchError("strata need one (n,) array of equal length per number of bins")
    if min(bins) < 1 or not all(np.isfinite(v).all() for v in values):
        raise ValueRangeError("strata need finite values and at least 1 bin per quantity")
    per_quantity = [_quantile_bin(v, n) for v, n in zip(values, bins, strict=True)]
    crossed = np.ravel_multi_index(tuple(per_quantity), tuple(bins))
    return np.asarray(np.unique(crossed, return_inverse=True)[1], dtype=np.int64)


def _quantile_bin(values: npt.NDArray[np.floating], n_bins: int) -> npt.NDArray[np.intp]:
    inner = np.quantile(values, np.arange(1, n_bins) / n_bins) if len(values) else np.empty(0)
    return np.asarray(np.searchsorted(inner, values, side="left"))


def gradient_per_mm(values: npt.NDArray[np.floating], grid: Grid) -> npt.NDArray[np.float64]:
    """Length of the gradient of a volume.

    Args:
        values: (i, j, k); where not finite, the quantity is not known.
        grid: its geometry.

    Returns:
        (i, j, k) in units of the values per mm, from central differences, one-sided where a neighbour is missing or
        not known, 0 along axes on which both are; NaN where the value itself is not known.

    Raises:
        GridMismatchError: the values do not lie on the grid.
    """
    if values.shape != grid.shape:
        raise GridMismatchError(f"expected values on the grid {grid.shape}, found {values.shape}")
    squares = [_slope(np.asarray(values, dtype=float), axis, grid.spacing_mm[axis]) ** 2 for axis in range(3)]
    return np.where(np.isfinite(values), np.sqrt(sum(squares)), np.nan)


def _slope(values: npt.NDArray[np.float64], axis: int, spacing: float) -> npt.NDArray[np.float64]:
    """Mean of the known ones of the two differences with the neighbours along an axis, per mm."""
    step = np.diff(values, axis=axis) / spacing
    pad = [(0, 0)] * 3
    pad[axis] = (1, 1)
    step = np.pad(step, pad, constant_values=np.nan)
    both = np.stack([np.delete(step, 0, axis), np.delete(step, -1, axis)])
    known = np.isfinite(both)
    return np.asarray(np.where(known, both, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def materials(density: npt.NDArray[np.floating], edges: Sequence[float] = MATERIAL_EDGES) -> npt.NDArray[np.int64]:
    """Class of each voxel by its mass density: 0 below the first edge (lung), 1 soft tissue, 2 bone.

    Raises:
        ValueRangeError: a density that is negative or not finite.
    """
    if not np.isfinite(density).all() or (density < 0).any():
        raise ValueRangeError("densities must be finite and not negative, g/cm3")
    return np.asarray(np.searchsorted(np.asarray(edges), density, side="right"), dtype=np.int64)


def nested_strata(
    values: Sequence[npt.NDArray[np.floating]],
    bins: Sequence[int],
    classes: npt.NDArray[np.integer] | None = None,
    smallest: int = SMALLEST,
) -> npt.NDArray[np.int64]:
    """Cut each class into quantile bins of the first quantity, each of these into bins of the second, and so on.

    Unlike crossed bins, nested ones are about equally full, and none is emptier than `smallest` unless its class is:
    what is too small to be cut so often is cut less. Equal values never part.

    Args:
        values: (n,) finite arrays, the most telling first.
        bins: quantile bins of each, at least 1.
        classes: (n,) classes that are never mixed, such as materials; one class if None.
        smallest: least voxels of a stratum.

    Returns:
        (n,) stratum numbers 0, 1, ... without gaps.

    Raises:
        GridMismatchError: see `quantile_strata`; or `classes` has another length.
        ValueRangeError: see `quantile_strata`.
    """
    quantile_strata(values, [1 if n >= 1 else n for n in bins])  # refuses what does not fit
    n = len(values[0])
    strata = np.zeros(n, dtype=np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    if strata.shape != (n,):
        raise GridMismatchError(f"classes must be ({n},), found {strata.shape}")
    for value, parts in zip(values, bins, strict=True):
        finer = np.zeros(n, dtype=np.int64)
        order = np.argsort(strata, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(strata[order])) + 1):
            finer[rows] = _quantile_bin(value[rows], max(1, min(parts, len(rows) // smallest)))
        strata = np.unique(strata * (int(max(bins)) + 1) + finer, return_inverse=True)[1].astype(np.int64)
    return np.asarray(strata, dtype=np.int64)


def plan_strata(plans: Sequence[PlanFeatures], bins: dict[str, int] | None = None) -> npt.NDArray[np.int64]:
    """Strata over all voxels of several plans: material, then quantiles of LET, dose and gradients.

    Dose is relative to each plan's largest. A quantity that some plan lacks is left out for all, so that one voxel's
    stratum does not depend on which plan it is in; the same holds for materials, which need a `density` in every plan.

    Args:
        plans: with `traits`; those named in `BINS`, and `density`, are used.
        bins: quantile bins by quantity, in the order of nesting; `BINS` if None.

    Returns:
        (voxels,) strata, plan after plan as given, rows in the order of each plan.
    """
    columns = [{"dose": plan.relative_dose, **plan.traits} for plan in plans]
    shared = [(name, n) for name, n in (BINS if bins is None else bins).items() if all(name in c for c in columns)]
    values = [np.concatenate([c[name] for c in columns]) for name, _ in shared]
    density = [c["density"] for c in columns if "density" in c]
    classes = materials(np.concatenate(density)) if len(density) == len(columns) else None
    return nested_strata(values, [n for _, n in shared], classes)
