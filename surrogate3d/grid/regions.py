"""Parts of a treatment field, told from its dose alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError

REGIONS = ("entrance", "target", "distal_edge", "penumbra", "other")

BoolArray = npt.NDArray[np.bool_]


def regions(
    dose: npt.NDArray[np.floating],
    beam_axis: int,
    beam_sign: int,
    spacing_mm: tuple[float, float, float],
    evaluated_fraction: float = 0.05,
) -> dict[str, BoolArray]:
    """Split the evaluated voxels of one field into five disjoint regions that cover them.

    Evaluated are voxels with at least `evaluated_fraction` of the maximum dose. With the *field level* the median dose
    of the voxels above half the maximum, and the *plane level* the same within one plane across the beam axis:

    * target: on each line along the beam axis, everything between the first and the last voxel with at least 90 % of
      the field level (dose ripples between them belong to it);
    * distal_edge: behind the target of its line, where the dose falls at least as steeply along the beam axis as
      across it (an oblique field also leaves a line sideways, and that is penumbra);
    * entrance: of the rest, at least 80 % of the plane level and either in front of the target of its line or in a
      plane in front of all target voxels;
    * penumbra: of the rest, at least 20 % of the plane level and no deeper than the last target plane, together with
      what lies behind the target of its line but falls mainly sideways;
    * other: what remains: the low-dose halo beside the field and the fragment tail behind it.

    The definitions are this project's; the 20-80 % width is the usual one of lateral penumbrae.

    Args:
        dose: (i, j, k) dose of one field, any scale. Use the most precise dose there is.
        beam_axis: index axis nearest to the beam's direction.
        beam_sign: +1 when the beam travels towards larger indices, else -1.
        spacing_mm: voxel spacing along i, j, k, mm.
        evaluated_fraction: least evaluated dose over the maximum.

    Returns:
        (i, j, k) masks by the names in `REGIONS`, in that order.

    Raises:
        ValueRangeError: the dose is not finite and not negative, or nowhere positive.
        QuantityError: the beam does not run along an index axis.
        GridMismatchError: the dose is not three-dimensional.
    """
    _check(dose, beam_axis, beam_sign)
    depth_first = _beam_frame(np.asarray(dose, dtype=float), beam_axis, beam_sign)
    masks = _regions_along_axis_0(depth_first, np.roll(np.asarray(spacing_mm), -beam_axis), evaluated_fraction)
    return {name: _grid_frame(masks[name], beam_axis, beam_sign) for name in REGIONS}


def union(masks: Mapping[str, BoolArray], shape: tuple[int, ...]) -> BoolArray:
    """Voxels in any of the masks; every voxel when there are no masks.

    Raises:
        GridMismatchError: a mask does not have the shape.
    """
    together = np.full(shape, not masks)
    for name, mask in masks.items():
        if mask.shape != shape:
            raise GridMismatchError(f"region {name!r} has shape {mask.shape}, the values {shape}")
        together |= mask
    return together


def region_names(masks: Mapping[str, BoolArray]) -> npt.NDArray[np.str_]:
    """(i, j, k) name of the region of each voxel, "" where it is in none; where masks overlap the last one counts.

    Raises:
        GridMismatchError: there is no mask, or their shapes differ.
    """
    shapes = {mask.shape for mask in masks.values()}
    if len(shapes) != 1:
        raise GridMismatchError(f"regions must be masks of one shape, found {sorted(shapes)}")
    names = np.full(shapes.pop(), "", dtype=f"<U{max(map(len, masks))}")
    for name, mask in masks.items():
        names[mask] = name
    return names


def _check(dose: npt.NDArray[np.floating], beam_axis: int, beam_sign: int) -> None:
    if dose.ndim != 3:
        raise GridMismatchError(f"regions need a dose of shape (i, j, k), found {dose.shape}")
    if beam_axis not in (0, 1, 2) or beam_sign not in (-1, 1):
        raise QuantityError(f"beam must run along +-axis 0, 1 or 2; found {beam_sign} x {beam_axis}")
    if not np.isfinite(dose).all() or dose.min() < 0 or dose.max() <= 0:
        raise ValueRangeError("regions need a finite, non-negative dose that is positive somewhere")


def _beam_frame(values: npt.NDArray[np.float64], beam_axis: int, beam_sign: int) -> npt.NDArray[np.float64]:
    """Axes rolled so that depth is axis 0 and grows downstream."""
    rolled = np.transpose(values, np.roll((0, 1, 2), -beam_axis))
    return rolled[::beam_sign]


def _grid_frame(mask: BoolArray, beam_axis: int, beam_sign: int) -> BoolArray:
    return np.transpose(mask[::beam_sign], np.roll((0, 1, 2), beam_axis))


def _level(dose: npt.NDArray[np.float64]) -> float:
    """Median of the values above half the maximum: what the field delivers, whatever its peaks and ripples."""
    return float(np.median(dose[dose >= 0.5 * dose.max()]))


def _regions_along_axis_0(
    dose: npt.NDArray[np.float64], spacing_mm: npt.NDArray[np.float64], evaluated_fraction: float
) -> dict[str, BoolArray]:
    evaluated = dose >= evaluated_fraction * dose.max()
    treated = dose >= 0.9 * _level(dose)
    begun = np.logical_or.accumulate(treated, axis=0)
    ahead = np.logical_or.accumulate(treated[::-1], axis=0)[::-1]
    target = evaluated & begun & ahead
    behind = evaluated & begun & ~ahead
    distal_edge = behind & _falls_along_depth(dose, spacing_mm)
    plane_level = np.array([_level(plane) for plane in dose])[:, None, None]
    to_last_target = np.arange(len(dose))[:, None, None] <= np.flatnonzero(target.any(axis=(1, 2))).max()
    in_front = ~begun & (ahead | ~np.logical_or.accumulate(target.any(axis=(1, 2)))[:, None, None])
    rest = evaluated & ~target & ~behind & to_last_target
    entrance = rest & in_front & (dose >= 0.8 * plane_level)
    penumbra = (behind & ~distal_edge) | (rest & ~entrance & (dose >= 0.2 * plane_level))
    other = evaluated & ~(target | distal_edge | penumbra | entrance)
    return {
        "entrance": entrance,
        "target": target,
        "distal_edge": distal_edge,
        "penumbra": penumbra,
        "other": other,
    }


def _falls_along_depth(dose: npt.NDArray[np.float64], spacing_mm: npt.NDArray[np.float64]) -> BoolArray:
    """Whether the depth component of the dose gradient is at least as large as the lateral one."""
    gradient = [
        np.gradient(dose, spacing_mm[axis], axis=axis) if dose.shape[axis] > 1 else np.zeros_like(dose)
        for axis in range(3)
    ]
    return np.asarray(np.abs(gradient[0]) >= np.hypot(gradient[1], gradient[2]))
