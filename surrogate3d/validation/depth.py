"""Profiles along the beam, and the depths at which a dose has fallen: R90, R80, R50.

Depth is counted along the index axis of the beam from the centre of the most upstream plane of the grid, so it is no
depth in water, and only differences of depths on one grid mean something beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError

Floats = npt.NDArray[np.float64]
Voxel = tuple[int, int, int]

RANGE_PERCENTS = (90.0, 80.0, 50.0)
"""Levels of the ranges, % of the largest dose of the profile."""


@dataclass(frozen=True, eq=False)
class DepthProfile:
    """Values along the beam.

    Attributes:
        depth_mm: (depth,) from the centre of the most upstream plane, mm, ascending.
        values: (depth,) in the quantity's unit; NaN where there is none.
        how: "line" or "mean".
        line: index of the line on the two axes across the beam, in ascending order of axes; None of a mean.
    """

    depth_mm: Floats
    values: Floats
    how: str
    line: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; values that are not known are null."""
        values = [value if np.isfinite(value) else None for value in self.values.tolist()]
        line = None if self.line is None else list(self.line)
        return {"how": self.how, "line": line, "depth_mm": self.depth_mm.tolist(), "values": values}


def depth_profile(
    values: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating],
    beam_axis: int,
    beam_sign: int,
    spacing_mm: Sequence[float],
    how: Literal["line", "mean"] = "line",
    voxel: Voxel | None = None,
) -> DepthProfile:
    """A profile along the beam, from its upstream end.

    Args:
        values: (i, j, k) any map; NaN where it has no value.
        weights: (i, j, k) dose: of a mean, the weight of each voxel of a plane; of a line, what chooses it. Finite and
            not negative. Ones give the plain mean over the plane, as of a depth dose.
        beam_axis: index axis of the beam.
        beam_sign: +1 when the beam travels towards larger indices, else -1.
        spacing_mm: of the voxels along i, j, k, mm.
        how: "line" is the line of voxels through `voxel`; "mean" the weighted mean over the plane across the beam, of
            the voxels that have a value.
        voxel: of the line; None takes the line on which the weights have the largest sum, the first of equal ones.

    Returns:
        The profile. A plane without weight where there are values is NaN.

    Raises:
        GridMismatchError: the arrays are not three-dimensional and alike, or the voxel is outside.
        QuantityError: the beam does not run along an index axis, or `how` is another word.
        ValueRangeError: a weight is negative or not finite, or no weight is positive.
    """
    _check(values, weights, beam_axis, beam_sign, how)
    depth_first, dose_first = (
        np.moveaxis(np.asarray(array, dtype=np.float64), beam_axis, 0)[::beam_sign] for array in (values, weights)
    )
    depth_mm = np.arange(len(depth_first), dtype=np.float64) * spacing_mm[beam_axis]
    if how == "mean":
        return DepthProfile(depth_mm, _weighted(depth_first, dose_first), how)
    line = _heaviest(dose_first) if voxel is None else _across(voxel, beam_axis, values.shape)
    return DepthProfile(depth_mm, depth_first[:, line[0], line[1]].copy(), how, line)


def distal_depth(profile: DepthProfile, percent: float, base: float | None = None) -> float | None:
    """The depth beyond which the profile stays below a level, interpolated linearly between two planes.

    Args:
        profile: of a dose.
        percent: the level, % of the base.
        base: None takes the largest value of the profile.

    Returns:
        mm, on the scale of the profile; None where the profile does not reach the level, does not fall below it before
        its end, or has no value behind the last plane that reaches it.

    Raises:
        ValueRangeError: a percentage that is not above 0 and at most 100, or a base that is not positive.
    """
    if not 0 < percent <= 100:
        raise ValueRangeError(f"a distal depth needs a level above 0 and at most 100 %, found {percent}")
    if base is not None and not 0 < base < np.inf:
        raise ValueRangeError(f"a distal depth needs a finite, positive dose that its level is of, found {base}")
    known = profile.values[np.isfinite(profile.values)]
    highest = base if base is not None else float(known.max()) if known.size else 0.0
    reached = np.flatnonzero(profile.values >= percent / 100 * highest)
    if highest <= 0 or not reached.size or reached[-1] + 1 == len(profile.values):
        return None
    last = int(reached[-1])
    (before, after), (near, far) = profile.values[last : last + 2], profile.depth_mm[last : last + 2]
    if not np.isfinite(after):
        return None
    return float(near + (far - near) * (before - percent / 100 * highest) / (before - after))


def distal_depths(profile: DepthProfile, percents: Sequence[float] = RANGE_PERCENTS) -> dict[str, float | None]:
    """Several distal depths of a dose, mm, by name: "R90", "R80", "R50". See `distal_depth`."""
    return {f"R{percent:g}": distal_depth(profile, percent) for percent in percents}


def range_difference(judged: DepthProfile, reference: DepthProfile, percent: float = 80.0) -> float | None:
    """Distal depth of the judged profile less that of the reference, each of its own largest value, mm.

    Returns:
        None where either is not known.

    Raises:
        GridMismatchError: the two have other depths.
        ValueRangeError: see `distal_depth`.
    """
    if judged.depth_mm.shape != reference.depth_mm.shape or not np.array_equal(judged.depth_mm, reference.depth_mm):
        raise GridMismatchError("the judged and the reference profile have other depths; take both on one grid")
    one, other = distal_depth(judged, percent), distal_depth(reference, percent)
    return None if one is None or other is None else one - other


def _weighted(values: Floats, weights: Floats) -> Floats:
    known = np.isfinite(values)
    heavy = np.where(known, weights, 0.0)
    total = heavy.sum(axis=(1, 2))
    summed = (np.where(known, values, 0.0) * heavy).sum(axis=(1, 2))
    mean = np.full(len(total), np.nan)
    np.divide(summed, total, out=mean, where=total > 0)
    return mean


def _heaviest(weights: Floats) -> tuple[int, int]:
    row, column = np.unravel_index(int(np.argmax(weights.sum(axis=0))), weights.shape[1:])
    return int(row), int(column)


def _across(voxel: Voxel, beam_axis: int, shape: tuple[int, ...]) -> tuple[int, int]:
    if not all(0 <= index < n for index, n in zip(voxel, shape, strict=True)):
        raise GridMismatchError(f"voxel {tuple(voxel)} of the profile is outside the grid of shape {shape}")
    row, column = (int(voxel[axis]) for axis in range(3) if axis != beam_axis)
    return row, column


def _check(
    values: npt.NDArray[np.floating], weights: npt.NDArray[np.floating], beam_axis: int, beam_sign: int, how: str
) -> None:
    if values.ndim != 3 or values.shape != weights.shape:
        raise GridMismatchError(f"a profile needs values and weights (i, j, k), found {values.shape}, {weights.shape}")
    if beam_axis not in (0, 1, 2) or beam_sign not in (-1, 1):
        raise QuantityError(f"beam must run along +-axis 0, 1 or 2; found {beam_sign} x {beam_axis}")
    if how not in ("line", "mean"):
        raise QuantityError(f'a profile is taken as "line" or "mean", found {how!r}')
    if not np.isfinite(weights).all() or (weights < 0).any() or not (weights > 0).any():
        raise ValueRangeError("weights of a profile must be finite and not negative, and positive somewhere")
