"""What a model says of the error of its whole answer, at every statistics.

A network's own deviation is learnt in all voxels and at all statistics together, so it is right on the average only. A
factor puts it right by region and by tracks in the voxel: in bins of half a decade of tracks it is the `LEVEL` quantile
of the scores |error| / deviation over that of a Gaussian, with the noise of the labels subtracted as in
`inference.calibration`. Between the bins its logarithm is linear in that of the tracks; outside, the ends hold.

*Regions.* ln f(region, bin) = w(bin) + m(region) + d(region, bin): all voxels of the bin, the region's mean distance
from them, and what is left. The last is drawn towards zero by the share that its sampling variance has in the scatter
(empirical Bayes, as in `inference.calibration`); in a bin with fewer than `MIN_REGION` voxels of the region it is zero.

*The whole answer* adds what the head leaves of the difference between table and simulation:

    std^2 = (f(region, tracks) std_network)^2 + residual^2

and the half width of its interval is the conformal factor of the region (`inference.calibration`) times that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError
from surrogate3d.inference.calibration import (
    MIN_REGION,
    WHOLE,
    Calibration,
    conformal_quantiles,
    quantile_variance,
    scores_of,
    without_noise,
)

LEVEL = 0.9
"""Of the interval that a factor makes right: the one that maps state."""

BINS_PER_DECADE = 2
"""Of tracks in the voxel."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DeviationScale:
    """Factors on the deviation that networks predict, by region and by tracks in the voxel.

    Attributes:
        tracks: (bin,) tracks per voxel, ascending.
        factors: by region (bin,) factors; `WHOLE` is always there.
        voxels: by region (bin,) voxels from which they were found.
    """

    tracks: tuple[float, ...]
    factors: Mapping[str, tuple[float, ...]]
    voxels: Mapping[str, tuple[int, ...]]

    def factor(self, tracks: npt.NDArray[np.floating], region: npt.NDArray[np.str_]) -> Floats:
        """Factor of each voxel.

        Args:
            tracks: in the voxel, any shape; below the first bin, and without any, the first holds.
            region: its name, same shape; one that is not known has the factor of the whole.

        Raises:
            GridMismatchError: the shapes differ.
        """
        if tracks.shape != region.shape:
            raise GridMismatchError(f"the regions have shape {region.shape}, the tracks {tracks.shape}")
        at, nodes = np.log(np.maximum(tracks, self.tracks[0])), np.log(self.tracks)
        found = np.empty(tracks.shape)
        for name in np.unique(region):
            mask = region == name
            rows = self.factors.get(str(name), self.factors[WHOLE])
            found[mask] = np.exp(np.interp(at[mask], nodes, np.log(rows)))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain data for a card."""
        return {
            "tracks": list(self.tracks),
            "factors": {name: list(values) for name, values in self.factors.items()},
            "voxels": {name: list(values) for name, values in self.voxels.items()},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> DeviationScale:
        """The inverse of `to_json`."""
        return DeviationScale(
            tuple(float(x) for x in data["tracks"]),
            {str(name): tuple(float(x) for x in values) for name, values in data["factors"].items()},
            {str(name): tuple(int(n) for n in values) for name, values in data["voxels"].items()},
        )


def fit_deviation(
    error: npt.NDArray[np.floating],
    std: npt.NDArray[np.floating],
    label_se: npt.NDArray[np.floating],
    tracks: npt.NDArray[np.floating],
    region: npt.NDArray[np.str_],
) -> DeviationScale:
    """Find the factors on voxels that took no part in the training.

    Bins with fewer than `MIN_REGION` voxels are left out; without any other, all voxels are one bin.

    Args:
        error: (voxel,) relative error, predicted / label - 1.
        std: (voxel,) predicted relative standard deviation.
        label_se: (voxel,) relative standard error of the label.
        tracks: (voxel,) tracks that the prediction saw in the voxel; voxels without any belong to no bin.
        region: (voxel,) name of each voxel's region.

    Raises:
        GridMismatchError: the arguments differ in length.
        QuantityError: a region is called as the whole is.
        ValueRangeError: a value without meaning, or fewer voxels than tell the quantile.
    """
    scores, noise = scores_of(error, std, label_se, region)
    if tracks.shape != error.shape:
        raise GridMismatchError(f"tracks must be (voxel,) as the errors are, found {tracks.shape} and {error.shape}")
    bins = np.where(tracks > 0, np.rint(BINS_PER_DECADE * np.log10(np.maximum(tracks, 1e-9))), np.nan)
    kept, counts = np.unique(bins[~np.isnan(bins)], return_counts=True)
    kept = kept[counts >= MIN_REGION]
    if not len(kept):
        bins, kept = np.zeros(len(scores)), np.zeros(1)
    cells = {str(name): [(bins == b) & (region == name) for b in kept] for name in np.unique(region)}
    clean = scores.copy()
    for mask in (mask for masks in cells.values() for mask in masks if mask.any()):
        clean[mask] = without_noise(scores[mask], noise[mask])
    voxels = {name: tuple(int(np.count_nonzero(mask)) for mask in masks) for name, masks in cells.items()}
    whole = np.log([_scale(clean[bins == b]) for b in kept])
    apart = {
        name: np.array([np.log(_scale(clean[m])) if m.sum() >= MIN_REGION else np.nan for m in masks]) - whole
        for name, masks in cells.items()
    }
    logs = {WHOLE: whole} | {name: whole + drawn for name, drawn in _drawn(apart, voxels).items()}
    return DeviationScale(
        tracks=tuple(float(np.median(tracks[bins == b])) for b in kept),
        factors={name: tuple(float(x) for x in np.exp(values)) for name, values in logs.items()},
        voxels={WHOLE: tuple(int(np.count_nonzero(bins == b)) for b in kept), **voxels},
    )


def _scale(scores: Floats) -> float:
    """`LEVEL` quantile of the absolute scores over that of a Gaussian."""
    from scipy.stats import norm  # here, as it is slow to load and only calibrating needs it

    found = float(conformal_quantiles(scores, (LEVEL,))[0])
    return max(found, float(np.finfo(np.float32).tiny)) / float(norm.ppf(0.5 * (1 + LEVEL)))


def _drawn(apart: Mapping[str, Floats], voxels: Mapping[str, tuple[int, ...]]) -> dict[str, Floats]:
    """(bin,) logarithm of each region's factors over the whole's; regions without a full bin are left out."""
    mean, rest, sampling = dict[str, float](), dict[str, Floats](), dict[str, Floats]()
    for name, distance in apart.items():
        known = np.isfinite(distance)
        if known.any():
            counts = np.asarray(voxels[name], dtype=float)
            mean[name] = float(np.average(distance[known], weights=counts[known]))
            rest[name] = np.where(known, distance - mean[name], 0.0)
            sampling[name] = np.where(known, quantile_variance(LEVEL) / np.maximum(counts, 1), np.inf)
    if not mean:
        return {}
    excess = np.concatenate([rest[n] ** 2 - sampling[n] for n in mean])
    between = max(float(np.mean(excess[np.isfinite(excess)])), 0.0)
    return {name: mean[name] + rest[name] * between / (between + sampling[name]) for name in mean}


def whole_answer(
    calibration: Mapping[str, Any],
    std: npt.NDArray[np.floating],
    tracks: npt.NDArray[np.floating],
    region: npt.NDArray[np.str_],
    least: npt.NDArray[np.floating] | float = 0.0,
) -> tuple[Floats, Floats | None]:
    """Standard deviation of the whole answer, and half the width of the interval.

    Args:
        calibration: as on a card; what is not in it adds nothing.
        std: (voxel,) relative standard deviation that the networks predict.
        tracks: (voxel,) in the voxel.
        region: (voxel,) name of its region.
        least: (voxel,) what the networks' deviation is at least, whatever they say, such as out of their domain.

    Returns:
        Both (voxel,) and relative; no width for a model without calibrated intervals.
    """
    factor: Floats | float = 1.0
    if "deviation" in calibration:
        factor = DeviationScale.from_json(calibration["deviation"]).factor(tracks, region)
    network = np.maximum(factor * std, least)
    whole = np.sqrt(network**2 + float(calibration.get("residual_std", 0.0)) ** 2)
    width = Calibration.from_json(calibration).half_width(whole, region) if "factors" in calibration else None
    return np.asarray(whole, dtype=float), width


def interval_of(relative_std: Floats, half_width: Floats | None) -> Floats:
    """(voxel,) half width of the interval of 90 % where one was calibrated, else that of a Gaussian."""
    if half_width is not None:
        return half_width
    from scipy.special import ndtri  # here, as it is slow to load and a shipped model is calibrated

    return np.asarray(ndtri(0.95) * relative_std)
