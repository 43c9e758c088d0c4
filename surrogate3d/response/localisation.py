"""Whether maps of held-out lesions point at the planted resistant region.

Maps, truth and lesion are cubes of the same voxels; positive values speak for no response. A voxel belongs to the
lesion, or to the region, where at least half of it does. Lesions without a planted region, or with one that fills no
voxel by half, are not judged: their scores are NaN.

Scores of a lesion (`SCORES`), with the map as it is, never rectified:

* Pointing (Zhang et al. 2018, IJCV 126:1084): whether the largest value lies in the region, without tolerance. Equal
  largest values count by their share in the region.
* Dice of the voxels at or above a threshold. A threshold is one number per fold, chosen on the lesions that were learnt
  from, so maps are brought to one scale first, by a rule that needs no truth; both are in `response.map_scale`.
* AUROC and average precision of the lesion's voxels: they need neither threshold nor scale.

Means are over repeats, then over lesions; intervals are bootstraps of whole patients. Where all lesions are pointed at,
a bootstrap has no width; so pointing has Wilson's interval as well, which takes lesions as independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.map_scale import Cubes, Flags, ends_of_ties, lesion_voxels, region_voxels
from surrogate3d.training.bootstrap import Estimate, estimate, resampled, wilson

Floats = npt.NDArray[np.float64]

SCORES: Mapping[str, str] = {
    "pointing": "the largest value inside the lesion lies in the region",
    "pointing_near": "the same, or in one of the 26 neighbours of a voxel of the region",
    "pointing_anywhere": "the largest value of the whole cube lies in the region",
    "dice": "Dice of the lesion's voxels at or above the threshold",
    "dice_anywhere": "Dice of all voxels of the cube at or above a threshold that was chosen for that",
    "auroc": "AUROC of the lesion's voxels; NaN where the region is the whole lesion",
    "average_precision": "average precision of the lesion's voxels",
}


@dataclass(frozen=True, eq=False)
class Found:
    """Scores of each lesion.

    Attributes:
        patient: (n,) names.
        lesion_voxels: (n,) size of the lesion.
        region_voxels: (n,) size of the planted region; 0 where there is none.
        scores: (repeat, n) by the names of `SCORES`; NaN where there is no region.
    """

    patient: npt.NDArray[np.str_]
    lesion_voxels: npt.NDArray[np.int64]
    region_voxels: npt.NDArray[np.int64]
    scores: Mapping[str, Floats]


@dataclass(frozen=True)
class Localisation:
    """Scores of a method over lesions.

    Attributes:
        lesions: with a planted region.
        patients: that these belong to.
        region_voxels: size of the smallest and of the largest region.
        chance: mean share of the lesion that is region: `pointing`, and nearly `average_precision`, of random maps.
        scores: means by the names of `SCORES`.
        pointing_wilson: ends of Wilson's 95 % interval of `pointing`.
    """

    lesions: int
    patients: int
    region_voxels: tuple[int, int]
    chance: float
    scores: Mapping[str, Estimate]
    pointing_wilson: tuple[float, float]


def localise(
    maps: Cubes,
    truth: Cubes,
    inside: Cubes,
    threshold: Floats | float,
    patient: npt.NDArray[np.str_],
    anywhere: Floats | float | None = None,
) -> Found:
    """Scores of one repeat.

    Args:
        maps: (n, s, s, s), each by a network that had not seen the lesion, standardised as for the threshold.
        truth: (n, s, s, s) fraction of each voxel in the planted region.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        threshold: that of each lesion's fold (n,), or one for all.
        patient: (n,) names.
        anywhere: threshold for the whole cube; the same by default.

    Returns:
        Scores with one repeat.

    Raises:
        GridMismatchError: the shapes differ.
        ValueRangeError: a region outside its lesion, or as `standardised`.
    """
    lesion = lesion_voxels(maps, inside)
    region = region_voxels(truth, inside)
    if np.shape(threshold) not in ((), (len(maps),)) or np.shape(patient) != (len(maps),):
        raise GridMismatchError(
            f"expected thresholds and patients of {len(maps)} maps, found {np.shape(threshold)} and {np.shape(patient)}"
        )
    near = binary_dilation(region, np.ones((1, 3, 3, 3), dtype=bool))
    chosen, everywhere = (
        maps >= np.broadcast_to(value, len(maps))[:, None, None, None]
        for value in (threshold, threshold if anywhere is None else anywhere)
    )
    curves = np.array([_curve(*each) for each in zip(maps, region, lesion, strict=True)])
    scores = {
        "pointing": _pointing(maps, region, lesion),
        "pointing_near": _pointing(maps, near, lesion),
        "pointing_anywhere": _pointing(maps, region, np.ones_like(lesion)),
        "dice": _dice(chosen & lesion, region),
        "dice_anywhere": _dice(everywhere, region),
        "auroc": curves[:, 0],
        "average_precision": curves[:, 1],
    }
    size = region.sum(axis=(1, 2, 3))
    known = {name: np.where(size > 0, score, np.nan)[None] for name, score in scores.items()}
    return Found(np.asarray(patient, dtype=np.str_), lesion.sum(axis=(1, 2, 3)), size, known)


def stacked(repeats: Sequence[Found]) -> Found:
    """Several repeats of the same lesions as one.

    Raises:
        GridMismatchError: other lesions.
    """
    for each in repeats[1:]:
        _require_same(repeats[0], each)
    scores = {name: np.concatenate([each.scores[name] for each in repeats]) for name in SCORES}
    return Found(repeats[0].patient, repeats[0].lesion_voxels, repeats[0].region_voxels, scores)


def localisation(found: Found, rows: Flags | None = None, seed: int = 0) -> Localisation:
    """Means over the lesions that have a planted region.

    Args:
        found: by `localise` or `stacked`.
        rows: (n,) lesions to judge; None for all.
        seed: of the bootstrap.

    Raises:
        ValueRangeError: none of them has a planted region.
    """
    chosen = _judged(found, rows)
    size = found.region_voxels[chosen]
    scores = {name: _mean(found.scores[name].mean(axis=0), chosen, found.patient, seed) for name in SCORES}
    return Localisation(
        lesions=int(chosen.sum()),
        patients=len(np.unique(found.patient[chosen])),
        region_voxels=(int(size.min()), int(size.max())),
        chance=float((size / found.lesion_voxels[chosen]).mean()),
        scores=scores,
        pointing_wilson=wilson(scores["pointing"].value, len(size)),
    )


def by_size(found: Found, parts: int = 3, seed: int = 0) -> tuple[Localisation, ...]:
    """Means over lesions with small to large regions, like numbers in each part; regions of one size stay together.

    Raises:
        ValueRangeError: none has a planted region.
    """
    chosen = _judged(found)
    edges = np.quantile(found.region_voxels[chosen], np.arange(1, parts) / parts)
    part = np.searchsorted(edges, found.region_voxels, side="left")
    return tuple(localisation(found, part == one, seed) for one in np.unique(part[chosen]))


def localisation_differences(one: Found, other: Found, seed: int = 0) -> dict[str, Estimate]:
    """Scores of one method of maps less those of another, lesion by lesion, by the names of `SCORES`.

    Raises:
        GridMismatchError: they were judged on other lesions.
        ValueRangeError: none has a planted region.
    """
    _require_same(one, other)
    chosen = _judged(one)
    gain = {name: one.scores[name].mean(axis=0) - other.scores[name].mean(axis=0) for name in SCORES}
    return {name: _mean(each, chosen, one.patient, seed) for name, each in gain.items()}


def _judged(found: Found, rows: Flags | None = None) -> Flags:
    """(n,) lesions with a planted region among those asked for."""
    chosen = found.region_voxels > 0 if rows is None else (found.region_voxels > 0) & rows
    if not chosen.any():
        raise ValueRangeError(
            f"none of {len(chosen)} lesions asked for has a planted region; only a synthetic cohort has them"
        )
    return np.asarray(chosen)


def _mean(score: Floats, chosen: Flags, patient: npt.NDArray[np.str_], seed: int) -> Estimate:
    """Mean of (n,) scores over the chosen lesions that have one."""
    rows = chosen & np.isfinite(score)
    if not rows.any():
        return Estimate(np.nan, np.nan, np.nan)
    draws = resampled(patient[rows], seed)
    return estimate(draws @ score[rows] / draws.sum(axis=1))


def _pointing(maps: Cubes, target: Flags, among: Flags) -> Floats:
    """(n,) share of the largest values among some voxels that lie in the target."""
    values = np.where(among, maps, -np.inf)
    largest = values == values.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray((largest & target).sum(axis=(1, 2, 3)) / largest.sum(axis=(1, 2, 3)))


def _dice(chosen: Flags, region: Flags) -> Floats:
    """(n,) Dice; 0 where both are empty, which is not judged."""
    both, sizes = (chosen & region).sum(axis=(1, 2, 3)), (chosen.sum(axis=(1, 2, 3)) + region.sum(axis=(1, 2, 3)))
    return np.asarray(2 * both / np.maximum(sizes, 1))


def _curve(values: Cubes, region: Flags, lesion: Flags) -> tuple[float, float]:
    """AUROC and average precision (the sum of precision times the gain in recall) of one lesion's voxels."""
    value, of = values[lesion], region[lesion]
    order = np.argsort(-value, kind="stable")
    ends = ends_of_ties(value[order])
    hits = np.cumsum(of[order])[ends]
    misses = ends + 1 - hits
    if hits[-1] == 0:
        return np.nan, np.nan
    gain = np.diff(hits, prepend=0)
    precision = float((gain * hits / (ends + 1)).sum() / hits[-1])
    if misses[-1] == 0:
        return np.nan, precision
    above = (hits - 0.5 * gain) * np.diff(misses, prepend=0)  # trapezium: equal values count by half
    return float(above.sum() / (hits[-1] * misses[-1])), precision


def _require_same(one: Found, other: Found) -> None:
    alike = (
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("patient", "lesion_voxels", "region_voxels")
    )
    if not all(alike):
        raise GridMismatchError("the maps were not judged on the same lesions and regions; give them in the same order")
