"""Maps on one scale, and the threshold that makes a region of them, chosen on the lesions that were learnt from.

Maps may be smoothed first: a region is larger than a voxel, and what the network says of one voxel is noisy. Smoothing,
rule and threshold are chosen together (`best_scale`).

A voxel belongs to the lesion, or to the planted region, where at least half of it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError

Cubes = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

RULES: Mapping[str, str] = {
    "root mean square": "divided by the map's own root mean square inside the lesion: a threshold asks how far a voxel "
    "stands out in its own lesion, whatever the network's gain and the lesion's size; zero stays zero",
    "density": "times the lesion's number of voxels, for maps of contributions that share one sum among the voxels: a "
    "voxel counts alike in small and large lesions, and a lesion without resistance stays below the threshold",
    "absolute": "as it is, in log odds: right where all lesions are of one size",
}
"""How maps are brought to one scale, without looking at the truth."""

SIGMAS = (0.0, 1.0, 1.5, 2.0, 3.0)
"""Of the Gaussian that smooths a map, voxels; 0 leaves it as it is."""

HALF = 0.5
"""Least fraction of a voxel that belongs."""

_BEYOND = 1e-3
"""Rounding of resampled fractions."""

_DIGITS = 9
"""To which a mean Dice is told from another."""


@dataclass(frozen=True)
class MapScale:
    """How maps become regions.

    Attributes:
        rule: of `RULES`.
        sigma: of the Gaussian that smooths them first, voxels.
        threshold: of the smoothed, standardised map; a voxel at or above it is in the region.
        dice: mean over the lesions that it was chosen on, so it flatters.
    """

    rule: str
    sigma: float
    threshold: float
    dice: float

    def __call__(self, maps: Cubes, inside: Cubes) -> Cubes:
        """Smoothed and standardised maps; arguments, result and refusals are those of `standardised`."""
        return standardised(smoothed(maps, inside, self.sigma), inside, self.rule)


def best_scale(maps: Cubes, truth: Cubes, inside: Cubes) -> MapScale:
    """The smoothing, rule and threshold with the greatest mean Dice inside the lesions; the first of equals.

    Args:
        maps: (n, s, s, s) of the lesions that were learnt from, as they are; never of those to be judged.
        truth: (n, s, s, s) fraction of each voxel in the planted region.
        inside: (n, s, s, s) fraction of each voxel in the lesion.

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: no lesion has a planted region, or as `standardised`.
    """
    smooth = {sigma: smoothed(maps, inside, sigma) for sigma in SIGMAS}
    tried = (
        MapScale(rule, sigma, *_threshold(standardised(smooth[sigma], inside, rule), truth, inside))
        for sigma, rule in product(SIGMAS, RULES)
    )
    return max(tried, key=lambda each: round(each.dice, _DIGITS))


def smoothed(maps: Cubes, inside: Cubes, sigma: float) -> Cubes:
    """Maps after a Gaussian that does not cross the edge of the lesion.

    A voxel of the lesion becomes the mean of the lesion's voxels about it, weighted by the Gaussian and by what
    fraction of each is in the lesion; a voxel outside likewise of what is outside. Constant maps stay as they are.

    Args:
        maps: (n, s, s, s).
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        sigma: standard deviation of the Gaussian, voxels; 0 changes nothing.

    Returns:
        (n, s, s, s).

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: a negative sigma, or as `standardised`.
    """
    lesion = lesion_voxels(maps, inside)
    if not 0 <= sigma < float("inf"):
        raise ValueRangeError(f"a map is smoothed by a Gaussian of 0 voxels or more, found sigma {sigma:g}")
    if sigma == 0:
        return maps
    return np.where(lesion, _weighted(maps, inside, lesion, sigma), _weighted(maps, 1 - inside, ~lesion, sigma))


def standardised(maps: Cubes, inside: Cubes, rule: str = "root mean square") -> Cubes:
    """Maps on one scale; a map that is zero all over its lesion stays as it is.

    Args:
        maps: (n, s, s, s).
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        rule: one of `RULES`.

    Returns:
        (n, s, s, s).

    Raises:
        GridMismatchError: the shapes differ.
        UnknownNameError: no such rule.
        ValueRangeError: a value that is not finite, or a lesion that fills no voxel by half.
    """
    if rule not in RULES:
        raise UnknownNameError(f"unknown rule {rule!r} for maps; known: {', '.join(RULES)}")
    lesion = lesion_voxels(maps, inside)
    if rule == "absolute":
        return maps
    scale = lesion.sum(axis=(1, 2, 3)) if rule == "density" else 1 / _rms(maps, lesion)
    return np.asarray(maps * scale[:, None, None, None].astype(maps.dtype))


def best_threshold(maps: Cubes, truth: Cubes, inside: Cubes, *, anywhere: bool = False) -> float:
    """The threshold with the greatest mean Dice inside the lesions; exact, all values are tried.

    Args:
        maps: (n, s, s, s) of the lesions that were learnt from, standardised; never of those to be judged.
        truth: (n, s, s, s) fraction of each voxel in the planted region.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        anywhere: whether all voxels of the cubes count, not those of the lesions alone.

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: no lesion has a planted region, or as `standardised`.
    """
    return _threshold(maps, truth, inside, anywhere)[0]


def _threshold(maps: Cubes, truth: Cubes, inside: Cubes, anywhere: bool = False) -> tuple[float, float]:
    """The best threshold and its mean Dice."""
    among = lesion_voxels(maps, inside) | anywhere
    region = region_voxels(truth, inside)
    values, gains = [], []
    for row in np.flatnonzero(region.any(axis=(1, 2, 3))):
        value, of = maps[row][among[row]], region[row][among[row]]
        order = np.argsort(-value, kind="stable")
        dice = 2 * np.cumsum(of[order]) / (np.arange(1, len(of) + 1) + of.sum())
        values.append(value[order])
        gains.append(np.diff(dice, prepend=0.0))  # what including one more voxel adds to this lesion's Dice
    if not values:
        raise ValueRangeError(
            "none of the lesions that were learnt from has a planted region; no threshold can be chosen"
        )
    value, gain = np.concatenate(values), np.concatenate(gains)
    order = np.argsort(-value, kind="stable")
    total, ends = np.cumsum(gain[order]), ends_of_ties(value[order])
    best = ends[total[ends].argmax()]
    return float(value[order][best]), float(total[best] / len(values))


def lesion_voxels(maps: Cubes, inside: Cubes) -> Flags:
    """(n, s, s, s) voxels of the lesion.

    Args:
        maps: (n, s, s, s), whose values must be finite.
        inside: (n, s, s, s) fraction of each voxel in the lesion.

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: a value that is not finite, or a lesion that fills no voxel by half.
    """
    if np.ndim(maps) != 4 or np.shape(maps) != np.shape(inside):
        raise GridMismatchError(
            f"expected maps and lesions of one shape (n, s, s, s), found {np.shape(maps)} and {np.shape(inside)}"
        )
    for what, values in (("map", maps), ("lesion", inside)):
        bad = ~np.isfinite(values).all(axis=(1, 2, 3))
        if bad.any():
            raise ValueRangeError(f"the {what} of row {bad.argmax()} has values that are not finite; give a whole cube")
    lesion = np.asarray(inside >= HALF)
    empty = ~lesion.any(axis=(1, 2, 3))
    if empty.any():
        raise ValueRangeError(
            f"the lesion of row {empty.argmax()} fills no voxel of its cube by half; use smaller voxels or leave it out"
        )
    return lesion


def region_voxels(truth: Cubes, inside: Cubes) -> Flags:
    """(n, s, s, s) voxels of the planted region; none for a lesion without one.

    Args:
        truth: (n, s, s, s) fraction of each voxel in the planted region.
        inside: (n, s, s, s) fraction of each voxel in the lesion.

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: a fraction that is not finite, or a region outside its lesion.
    """
    if np.shape(truth) != np.shape(inside):
        raise GridMismatchError(f"expected truth of shape {np.shape(inside)}, as the lesions, found {np.shape(truth)}")
    outside = ~(truth <= inside + _BEYOND).all(axis=(1, 2, 3))  # NaN is outside as well
    if outside.any():
        raise ValueRangeError(
            f"the planted region of row {outside.argmax()} reaches outside its lesion, or is not finite; "
            "resample both from the same grid in the same way"
        )
    return np.asarray((truth >= HALF) & (inside >= HALF))


def ends_of_ties(descending: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Positions of the last of each run of equal values."""
    return np.flatnonzero(np.append(np.diff(descending) != 0, True))


def _weighted(maps: Cubes, weight: Cubes, where: Flags, sigma: float) -> Cubes:
    """Weighted local means; 0 elsewhere than asked for, where there may be no weight."""
    blur = (0.0, sigma, sigma, sigma)
    total = gaussian_filter(np.asarray(weight, dtype=maps.dtype), blur, mode="constant")
    return np.divide(gaussian_filter(maps * weight, blur, mode="constant"), total, out=np.zeros_like(maps), where=where)


def _rms(maps: Cubes, lesion: Flags) -> npt.NDArray[np.float64]:
    """(n,) root mean square inside the lesion; 1 where the map is zero there."""
    squared = np.where(lesion, maps, 0).astype(np.float64) ** 2
    rms = np.sqrt(squared.sum(axis=(1, 2, 3)) / lesion.sum(axis=(1, 2, 3)))
    return np.where(rms > 0, rms, 1.0)
