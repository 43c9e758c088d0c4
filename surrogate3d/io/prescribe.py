"""From the dose that was simulated to the dose that the plan shall have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, PrescriptionError
from surrogate3d.grid import Grid, Prescription

Array = npt.NDArray[np.float64]
Box = tuple[tuple[int, int, int], tuple[int, int, int]]

MAX_OVER_PRESCRIBED = 1.5
"""A larger ratio of the largest to the prescribed dose is remarked on."""


@dataclass(frozen=True, eq=False)
class PrescribeRequest:
    """Which dose the plan shall have, and where.

    Attributes:
        dose_gy: prescribed physical dose, Gy.
        at: "max", "mean", or "pNN" for the NN-th percentile of the voxel doses, such as "p50".
        box: half-open voxel box ((i0, j0, k0), (i1, j1, k1)), or a boolean mask (i, j, k), in which the statistic is
            taken; None is the whole grid, which only "max" allows.
        mask_name: what the mask is called, for the statement.
    """

    dose_gy: float
    at: str = "max"
    box: Box | npt.NDArray[np.bool_] | None = None
    mask_name: str | None = None


def given_scale(dose_scale: float) -> Prescription:
    """The scale that the user gave.

    Raises:
        PrescriptionError: it is not a positive number.
    """
    if not np.isfinite(dose_scale) or dose_scale <= 0:
        raise PrescriptionError(f"dose scale must be a positive number, found {dose_scale}")
    return Prescription(float(dose_scale), f"dose scale {dose_scale:g} given")


def prescribed(
    request: PrescribeRequest, grid: Grid, doses: Iterable[tuple[int, Array]], dose_name: str
) -> tuple[Prescription, tuple[str, ...]]:
    """The scale that gives the plan its dose.

    Args:
        request: which dose, and where.
        grid: of the plan.
        doses: first plane and (i, j, planes) simulated dose, block by block.
        dose_name: which dose it is, for the statement.

    Returns:
        The prescription, and what speaks against it: it is in the wrong place more often than one thinks.

    Raises:
        PrescriptionError: it cannot be applied.
        GridMismatchError: the mask is not on the grid.
    """
    if not np.isfinite(request.dose_gy) or request.dose_gy <= 0:
        raise PrescriptionError(f"prescribed dose must be positive, found {request.dose_gy} Gy")
    where = _region_in_words(request, grid)
    parts, largest = [], 0.0
    for k0, dose in doses:
        chosen = _chosen(request, k0, dose)
        finite = chosen[np.isfinite(chosen)]
        largest = max(largest, float(np.nanmax(dose, initial=0.0)))
        parts.append(finite.max(keepdims=True) if request.at == "max" and finite.size else finite)
    inside = np.concatenate(parts)
    if not inside.size:
        raise PrescriptionError(f"{where} holds no voxel with a dose")
    level = _statistic(inside, request.at)
    if not np.isfinite(level) or level <= 0:
        raise PrescriptionError(f"{request.at} of {where} is {level:g}; there is no dose to scale")
    scale = float(request.dose_gy / level)
    statement = f"{request.dose_gy:g} Gy at {request.at} of {where} ({dose_name})"
    doubts = tuple(_doubts(request, where, inside * scale, largest * scale))
    return Prescription(scale, statement, float(request.dose_gy)), doubts


def _doubts(request: PrescribeRequest, where: str, inside: Array, largest: float) -> Iterable[str]:
    ratio = largest / request.dose_gy
    if ratio > MAX_OVER_PRESCRIBED:
        yield f"the largest dose is {ratio:.1f} times the prescribed one; is the box or mask inside the target?"
    if request.at != "max" and np.percentile(inside, 5) < 0.5 * request.dose_gy:
        yield f"the dose in {where} falls below half of the prescribed one; it is not all inside the target"


def _region_in_words(request: PrescribeRequest, grid: Grid) -> str:
    if request.box is None:
        if request.at != "max":
            raise PrescriptionError(
                f"{request.at} needs a mask or a box of voxels; only max is taken on the whole grid"
            )
        return "the grid"
    if isinstance(request.box, np.ndarray):
        if request.box.shape != grid.shape:
            raise GridMismatchError(f"prescription mask has shape {request.box.shape}, the grid {grid.shape}")
        called = f"the mask {request.mask_name}" if request.mask_name else "a mask"
        return f"{called} of {int(request.box.astype(bool).sum())} voxels"
    low, high = request.box
    if any(not 0 <= a < b <= n for a, b, n in zip(low, high, grid.shape, strict=True)):
        raise PrescriptionError(f"box {low}-{high} is empty or leaves the grid {grid.shape}")
    return f"the box {tuple(low)}-{tuple(high)}"


def _chosen(request: PrescribeRequest, k0: int, dose: Array) -> Array:
    """(n,) doses of the region in a block of planes that begins at k0."""
    if request.box is None:
        return dose.ravel()
    if isinstance(request.box, np.ndarray):
        return np.asarray(dose[request.box[:, :, k0 : k0 + dose.shape[2]].astype(bool)])
    (i0, j0, low), (i1, j1, high) = request.box
    return dose[i0:i1, j0:j1, max(low - k0, 0) : max(high - k0, 0)].ravel()


def _statistic(dose: Array, at: str) -> float:
    if at == "max":
        return float(dose.max())
    if at == "mean":
        return float(dose.mean())
    found = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?|100)", at)
    if not found:
        raise PrescriptionError(f"prescription at {at!r} is not known; use max, mean or a percentile such as p50")
    return float(np.percentile(dose, float(found[1])))
