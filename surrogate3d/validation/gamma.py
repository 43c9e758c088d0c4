"""The gamma index of two doses, in one, two or three dimensions.

Low et al., Med. Phys. 25, 656 (1998): gamma at a point of the reference is the least of
sqrt((dose difference / dose threshold)^2 + (distance / distance threshold)^2) over all points of the evaluation, and
<= 1 passes. The evaluation is searched on shells of growing distance around the point, interpolated linearly between
its voxels, until no further shell can give less (Wendling et al., Med. Phys. 34, 1647 (2007)). The shells are sampled
as PyMedPhys does it, so that the two agree to rounding; names and defaults are PyMedPhys', too. On evaluation axes of
uneven steps they agree with its `interp_algo="scipy"`; its default takes every step to be as wide as the first. Points
of the search on the very edge of the evaluation count here; PyMedPhys loses some of them to rounding, and its gamma of
voxels on the edge can be larger.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from surrogate3d.errors import GridMismatchError, ValueRangeError

Floats = npt.NDArray[np.float64]

GAMMA_CRITERIA = ((1, 1), (2, 2), (3, 2))
"""Dose difference in % and distance in mm that maps are judged by; the last is that of AAPM TG-218 (Miften et al. 2018,
doi 10.1002/mp.12810), the others are stricter."""

_EDGE_MM = 1e-9
"""A point this far outside the evaluation still counts as on its edge: coordinates are sums of rounded numbers."""


def gamma(
    axes_reference: Sequence[npt.ArrayLike],
    dose_reference: npt.NDArray[np.floating],
    axes_evaluation: Sequence[npt.ArrayLike],
    dose_evaluation: npt.NDArray[np.floating],
    dose_percent_threshold: float,
    distance_mm_threshold: float,
    lower_percent_dose_cutoff: float = 20.0,
    interp_fraction: int = 10,
    max_gamma: float | None = None,
    local_gamma: bool = False,
    global_normalisation: float | None = None,
    skip_once_passed: bool = False,
) -> Floats:
    """The gamma index of every point of the reference.

    Args:
        axes_reference: coordinates of the reference along each of its one to three axes, mm, ascending.
        dose_reference: the reference, of that shape; NaN where there is none.
        axes_evaluation: coordinates of the evaluation along the same axes, mm, ascending; another grid will do.
        dose_evaluation: the evaluation, of that shape; NaN where there is none, and points that need it are passed by.
        dose_percent_threshold: tolerated dose difference in % of the normalisation, or of the local reference dose.
        distance_mm_threshold: tolerated distance, mm.
        lower_percent_dose_cutoff: points below this % of the normalisation are left out.
        interp_fraction: steps into which the distance threshold is divided in the search.
        max_gamma: the search ends there, and larger values are given as this one; None searches to the end.
        local_gamma: the dose threshold is of the reference dose at the point, not of the normalisation.
        global_normalisation: dose that the percentages are of; the largest of the reference if not given.
        skip_once_passed: end the search of a point once its gamma is below 1; such values are upper bounds.

    Returns:
        Gamma, of the shape of the reference. NaN where it was left out. A point that no point of the evaluation answers
        fails: it has `max_gamma`, or infinity without it (PyMedPhys leaves such points out).

    Raises:
        GridMismatchError: axes and doses do not fit, or the two doses have different dimensions.
        ValueRangeError: axes do not ascend, the reference is nowhere positive, a threshold is not positive, or an
            infinite dose.
    """
    reference, axes_ref = _grid(axes_reference, dose_reference, "reference")
    evaluation, axes_eval = _grid(axes_evaluation, dose_evaluation, "evaluation")
    n_axes = np.ndim(dose_reference)
    if n_axes != np.ndim(dose_evaluation):
        raise GridMismatchError(f"reference has {n_axes} axes, the evaluation {np.ndim(dose_evaluation)}")
    normalisation = _normalisation(reference, global_normalisation)
    most = np.inf if max_gamma is None else float(max_gamma)
    _require_positive(dose_percent_threshold, distance_mm_threshold, interp_fraction, most)
    chosen = reference >= lower_percent_dose_cutoff / 100 * normalisation
    doses = reference[chosen]
    tolerance = dose_percent_threshold / 100 * (doses if local_gamma else np.full(doses.shape, normalisation))
    index = np.argwhere(chosen)
    points = np.stack([axis[index[:, a]] for a, axis in enumerate(axes_ref)], axis=1)
    step = distance_mm_threshold / interp_fraction
    reach = min(most * distance_mm_threshold, _span(axes_ref, axes_eval))
    found = np.full(len(points), np.inf)
    x, y, z = axes_eval
    per_mm = np.array([(len(axis) - 1) / max(axis[-1] - axis[0], _EDGE_MM) for axis in axes_eval])
    for k in range(int(reach / step * (1 + 1e-12)) + 1):
        open_points = np.flatnonzero((found > k / interp_fraction) & ~((found < 1) & skip_once_passed))
        if not len(open_points):
            break
        offsets = shell(k * step, step, n_axes)
        _search(open_points, points, doses, tolerance, k / interp_fraction, offsets, x, y, z, per_mm, evaluation, found)
    result = np.full(reference.shape, np.nan)
    result[chosen] = np.minimum(found, most)
    return result.reshape(np.shape(dose_reference))


def pass_rate(gamma_index: npt.NDArray[np.floating], within: npt.NDArray[np.bool_] | None = None) -> tuple[float, int]:
    """How many points pass.

    Args:
        gamma_index: of `gamma`.
        within: points that count; all if not given.

    Returns:
        % of the points with gamma <= 1, of those that have one, and their number; NaN and 0 if there are none.

    Raises:
        GridMismatchError: the two differ in shape.
    """
    if within is not None and within.shape != gamma_index.shape:
        raise GridMismatchError(f"gamma has shape {gamma_index.shape}, the mask {within.shape}")
    counted = gamma_index[~np.isnan(gamma_index) & (True if within is None else within)]
    return (100.0 * float(np.mean(counted <= 1)), len(counted)) if len(counted) else (float("nan"), 0)


def shell(distance: float, step: float, n_axes: int) -> Floats:
    """(point, 3) offsets at one distance, at most a step apart: two ends, a circle, or rings of a sphere."""
    if distance == 0:
        return np.zeros((1, 3))
    if n_axes == 1:
        return np.array([[distance, 0.0, 0.0], [-distance, 0.0, 0.0]])
    if n_axes == 2:
        turn = _turns(np.array([np.ceil(2 * np.pi * distance / step) + 1], dtype=int))
        return distance * np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)], axis=1)
    tilts = np.linspace(0, np.pi, int(np.ceil(np.pi * distance / step)) + 1)
    in_ring = np.ceil(2 * np.pi * distance * np.sin(tilts) / step).astype(int) + 1
    turn, tilt = _turns(in_ring), np.repeat(tilts, in_ring)
    return distance * np.stack([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)], axis=1)


def _turns(in_ring: npt.NDArray[np.int_]) -> Floats:
    """Equal parts of the circle, for one ring after the other."""
    place = np.arange(in_ring.sum()) - np.repeat(np.cumsum(in_ring) - in_ring, in_ring)
    return np.asarray(2 * np.pi * place / np.repeat(in_ring, in_ring))


def _grid(axes: Sequence[npt.ArrayLike], dose: npt.NDArray[np.floating], what: str) -> tuple[Floats, list[Floats]]:
    """Dose and coordinates with three axes; those that are missing have one point."""
    known = [np.asarray(axis, dtype=float) for axis in axes]
    if not 1 <= np.ndim(dose) <= 3 or tuple(axis.shape for axis in known) != tuple((n,) for n in np.shape(dose)):
        shapes = [axis.shape for axis in known]
        raise GridMismatchError(
            f"{what}: expected one to three axes and a dose on them, found {shapes} and {dose.shape}"
        )
    if not all(len(axis) and (np.diff(axis) > 0).all() for axis in known):
        raise ValueRangeError(f"{what}: the coordinates of every axis must ascend")
    if np.isinf(dose).any():
        raise ValueRangeError(f"{what}: a dose is infinite; NaN is the mark of no dose")
    missing = 3 - len(known)
    values = np.ascontiguousarray(dose, dtype=float).reshape(*np.shape(dose), *(1,) * missing)
    return values, [*known, *[np.zeros(1)] * missing]


def _normalisation(reference: Floats, given: float | None) -> float:
    normalisation = float(np.nanmax(reference, initial=0.0)) if given is None else float(given)
    if not (np.isfinite(normalisation) and normalisation > 0):
        raise ValueRangeError(f"the dose that percentages are of must be positive, found {normalisation}")
    return normalisation


def _require_positive(dose_percent: float, distance_mm: float, interp_fraction: int, most: float) -> None:
    if not (0 < dose_percent < np.inf and 0 < distance_mm < np.inf and interp_fraction >= 1 and most > 0):
        raise ValueRangeError(
            f"gamma needs positive thresholds, a positive max_gamma and at least one step, found {dose_percent} %, "
            f"{distance_mm} mm, max_gamma {most} and interp_fraction {interp_fraction}"
        )


def _span(axes_ref: list[Floats], axes_eval: list[Floats]) -> float:
    """Largest distance between any two points of both grids, mm."""
    ends = [(min(a[0], b[0]), max(a[-1], b[-1])) for a, b in zip(axes_ref, axes_eval, strict=True)]
    return float(np.linalg.norm([high - low for low, high in ends]))


@njit(cache=True, error_model="numpy", inline="always")
def _place(axis, per_mm, x):  # type: ignore[no-untyped-def]  # compiled
    """Index of the point below x and the fraction of the way to the next; index -1 outside."""
    top = len(axis) - 1
    if not (axis[0] - _EDGE_MM <= x <= axis[top] + _EDGE_MM):
        return -1, 0.0
    if top == 0:
        return 0, 0.0
    i = min(max(int((x - axis[0]) * per_mm), 0), top - 1)  # right at once if the steps are equal
    while i > 0 and x < axis[i]:
        i -= 1
    while i < top - 1 and x >= axis[i + 1]:
        i += 1
    return i, min(max((x - axis[i]) / (axis[i + 1] - axis[i]), 0.0), 1.0)


@njit(cache=True, error_model="numpy")
def _between(values, i, j, k, u, v, w):  # type: ignore[no-untyped-def]  # compiled
    """Linear interpolation; corners without weight are not looked at, so that their NaN does not count."""
    total = 0.0
    for a in range(2):
        p = u if a else 1.0 - u
        if p == 0.0:
            continue
        for b in range(2):
            q = p * (v if b else 1.0 - v)
            if q == 0.0:
                continue
            for c in range(2):
                r = q * (w if c else 1.0 - w)
                if r != 0.0:
                    total += r * values[i + a, j + b, k + c]
    return total


@njit(cache=True, error_model="numpy", inline="always")
def _within(values, i, j, k, u, v, w):  # type: ignore[no-untyped-def]  # compiled
    """The same sum without its branches, where all corners exist; NaN if any of them is."""
    p0, p1, v0, w0 = 1.0 - u, u, 1.0 - v, 1.0 - w
    total = p0 * v0 * w0 * values[i, j, k] + p0 * v0 * w * values[i, j, k + 1]
    total += p0 * v * w0 * values[i, j + 1, k]
    total += p0 * v * w * values[i, j + 1, k + 1]
    total += p1 * v0 * w0 * values[i + 1, j, k]
    total += p1 * v0 * w * values[i + 1, j, k + 1]
    total += p1 * v * w0 * values[i + 1, j + 1, k]
    total += p1 * v * w * values[i + 1, j + 1, k + 1]
    return total


@njit(cache=True, parallel=True, error_model="numpy")
def _search(which, points, doses, tolerance, far, offsets, x_axis, y_axis, z_axis, per_mm, evaluation, found):  # type: ignore[no-untyped-def]  # compiled
    """Lower `found` by what one shell, `far` distance thresholds away, has for the points `which`."""
    solid = min(evaluation.shape) > 1
    for n in prange(len(which)):
        point = which[n]
        at_x, at_y, at_z, wanted, least = points[point, 0], points[point, 1], points[point, 2], doses[point], np.inf
        for m in range(len(offsets)):
            i, u = _place(x_axis, per_mm[0], at_x + offsets[m, 0])
            j, v = _place(y_axis, per_mm[1], at_y + offsets[m, 1])
            k, w = _place(z_axis, per_mm[2], at_z + offsets[m, 2])
            if i < 0 or j < 0 or k < 0:
                continue
            dose = _within(evaluation, i, j, k, u, v, w) if solid else np.nan
            if np.isnan(dose):
                dose = _between(evaluation, i, j, k, u, v, w)
            difference = abs(dose - wanted)
            if difference < least:  # never true of NaN
                least = difference
        ratio = 0.0 if least == 0.0 else least / tolerance[point]  # no dose within no tolerance
        found[point] = min(found[point], np.sqrt(ratio * ratio + far * far))
