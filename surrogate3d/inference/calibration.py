"""Intervals that cover as often as they say: split-conformal calibration of a predicted standard deviation.

On voxels kept out of the training the score |relative error| / predicted standard deviation is taken, and a level's
factor is the ceil((n + 1) level)-th smallest of the n scores: half the width of the interval is then factor x standard
deviation (locally weighted split conformal prediction: Lei et al. 2018, JASA 113:1094, doi
10.1080/01621459.2017.1307116, section 5.2; compare Romano, Patterson and Candes 2019, "Conformalized quantile
regression", NeurIPS 32). If new voxels are exchangeable with those, the interval covers at least as often as its level.

*By region.* Scores are ranked within each region of the field (Mondrian conformal prediction: Vovk, Gammerman and
Shafer 2005, "Algorithmic learning in a random world"), as errors at a distal edge are no errors of an entrance. A
region of few voxels borrows from all: the logarithm of its factor is drawn towards that of the whole by the share that
its own sampling variance has in the scatter between regions, and below `MIN_REGION` voxels it has the whole's factor.

*Noise of the labels.* The truth is a Monte Carlo result, so an error holds the label's own; intervals from raw scores
are too wide for the true value (Einbinder et al. 2024, JMLR 25(328)). It is subtracted in quadrature voxel by
voxel: with u the score with its sign, t the label's standard error in the same unit and c^2 the variance of the scores
without noise (from sum u^2 / (c^2 + t^2) = n, Paule and Mandel 1982, J. Res. NBS 87:377), u becomes
u c / sqrt(c^2 + t^2). That is exact where both are Gaussian, keeps the second moment otherwise, and changes nothing
without noise. Borrowing and subtraction are estimates: the guarantee is exact for one region and labels without noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError

LEVELS = (0.5, 0.68, 0.9, 0.95)
"""Levels that every calibration answers."""

WHOLE = "all"
"""Name under which the factors of all voxels together are kept."""

MIN_REGION = 30
"""A region of fewer calibration voxels takes the factors of the whole."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Factors on a predicted standard deviation, by region and level.

    Attributes:
        levels: ascending, in (0, 1).
        factors: by region one factor for each level; `WHOLE` is always there.
        voxels: calibration voxels by region.
        noise_share: share of the mean squared score that was noise of the labels, by region.
        level: the level that is meant when none is given.
    """

    levels: tuple[float, ...]
    factors: Mapping[str, tuple[float, ...]]
    voxels: Mapping[str, int]
    noise_share: Mapping[str, float]
    level: float = 0.9

    def quantile_factor(self, region: str = WHOLE, level: float | None = None) -> float:
        """Half of the interval's width over the predicted standard deviation.

        Args:
            region: one that was not calibrated has the factor of the whole.
            level: one of `levels`; the calibration's own when not given.

        Raises:
            QuantityError: a level that was not calibrated.
        """
        wanted = self.level if level is None else level
        at = np.flatnonzero(np.isclose(self.levels, wanted, rtol=0, atol=1e-9))
        if not len(at):
            known = ", ".join(f"{100 * known:g} %" for known in self.levels)
            raise QuantityError(
                f"the intervals were calibrated at {known}, not at {100 * wanted:g} %; ask for one of them"
            )
        return self.factors.get(region, self.factors[WHOLE])[int(at[0])]

    def half_width(
        self, std: npt.NDArray[np.floating], region: npt.NDArray[np.str_] | str = WHOLE, level: float | None = None
    ) -> Floats:
        """Half of the width of the intervals: the truth is said to lie within prediction x (1 +- this).

        Args:
            std: predicted relative standard deviation, any shape.
            region: name of the region of each voxel, same shape (`grid.regions.region_names`), or of all.
            level: as of `quantile_factor`.

        Returns:
            Relative half widths, same shape.

        Raises:
            QuantityError: a level that was not calibrated.
            GridMismatchError: `region` has another shape.
        """
        names = np.asarray(region)
        if names.ndim and names.shape != std.shape:
            raise GridMismatchError(f"the regions have shape {names.shape}, the standard deviations {std.shape}")
        unique, inverse = np.unique(names, return_inverse=True)
        factor = np.array([self.quantile_factor(str(name), level) for name in unique])
        return np.asarray(std * factor[inverse].reshape(names.shape), dtype=float)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a card."""
        return {
            "levels": list(self.levels),
            "factors": {name: list(values) for name, values in self.factors.items()},
            "voxels": dict(self.voxels),
            "noise_share": dict(self.noise_share),
            "level": self.level,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_json`."""
        factors = {str(name): tuple(float(x) for x in values) for name, values in data["factors"].items()}
        voxels = {str(name): int(n) for name, n in data["voxels"].items()}
        shares = {str(name): float(x) for name, x in data["noise_share"].items()}
        return Calibration(tuple(float(x) for x in data["levels"]), factors, voxels, shares, float(data["level"]))


def calibrate(
    error: npt.NDArray[np.floating],
    std: npt.NDArray[np.floating],
    label_se: npt.NDArray[np.floating],
    region: npt.NDArray[np.str_],
    level: float = 0.9,
) -> Calibration:
    """Calibrate the predicted standard deviation on voxels that took no part in the training.

    Args:
        error: (voxel,) relative error, predicted / label - 1.
        std: (voxel,) predicted relative standard deviation.
        label_se: (voxel,) relative standard error of the label.
        region: (voxel,) name of each voxel's region.
        level: what an interval covers when no level is asked for; `LEVELS` are calibrated besides.

    Raises:
        GridMismatchError: the arguments differ in length.
        QuantityError: a region is called as the whole is.
        ValueRangeError: a value without meaning, or too few voxels for the highest level.
    """
    scores, noise = scores_of(error, std, label_se, region)
    if not 0 < level < 1:
        raise ValueRangeError(f"the level of an interval must be between 0 and 1, found {level}")
    levels = tuple(sorted({*LEVELS, level}))
    names = [str(name) for name in np.unique(region) if np.count_nonzero(region == name) >= MIN_REGION]
    clean = without_noise(scores, noise)  # the few of small regions are too few for a variance of their own
    for name in names:
        clean[region == name] = without_noise(scores[region == name], noise[region == name])
    whole = conformal_quantiles(clean, levels)
    own = {name: conformal_quantiles(clean[region == name], levels) for name in names}
    counts = {str(name): int(np.count_nonzero(region == name)) for name in np.unique(region)}
    drawn = _drawn_together(own, whole, [counts[name] for name in names], levels)
    masks = {WHOLE: np.ones(len(scores), dtype=bool)} | {name: region == name for name in names}
    return Calibration(
        levels=levels,
        factors={WHOLE: _plain(whole)} | {name: _plain(values) for name, values in drawn.items()},
        voxels={WHOLE: len(scores), **counts},
        noise_share={name: _noise_share(scores[mask], clean[mask]) for name, mask in masks.items()},
        level=level,
    )


def without_noise(scores: Floats, noise: Floats) -> Floats:
    """Scores with the noise of the labels subtracted in quadrature, voxel by voxel; see the top of this page.

    The variance without noise is taken to be at least the smallest that so many voxels can tell from noise alone,
    sqrt(2 / n) of the mean squared noise, so that labels worse than the model give no intervals of zero width.

    Args:
        scores: (voxel,) errors over any positive scale.
        noise: (voxel,) standard errors of the labels over the same scale.

    Returns:
        (voxel,) scores as labels without noise would give them in distribution, not each by itself.
    """
    variance = _variance(scores, noise)
    shrunk = scores * np.sqrt(variance / np.where(noise > 0, variance + noise**2, 1.0))
    return np.where(noise > 0, shrunk, scores)


def _variance(scores: Floats, noise: Floats) -> float:
    """c^2 of Paule and Mandel by bisection: the sum of u^2 / (c^2 + t^2) falls with c^2."""
    low, high = 0.0, float(np.square(scores).max(initial=0.0))
    for _ in range(100):
        middle = 0.5 * (low + high)
        terms = np.divide(scores**2, middle + noise**2, out=np.zeros_like(scores), where=scores != 0)
        low, high = (middle, high) if terms.sum() > len(scores) else (low, middle)
    return max(high, float(np.sqrt(2 / max(len(scores), 1)) * np.mean(noise**2)))


def conformal_quantiles(scores: Floats, levels: Sequence[float]) -> Floats:
    """(level,) finite-sample quantiles of the absolute scores: the ceil((n + 1) level)-th smallest.

    Raises:
        ValueRangeError: too few scores for the highest level.
    """
    ordered, n = np.sort(np.abs(scores)), len(scores)
    ranks = [int(np.ceil((n + 1) * level - 1e-9)) for level in levels]
    if ranks[-1] > n:
        needed = int(np.ceil(levels[-1] / (1 - levels[-1]) - 1e-9))
        raise ValueRangeError(
            f"{n} calibration voxels cannot tell a {100 * levels[-1]:g} % interval, {needed} can; keep more voxels out"
        )
    return np.array([ordered[rank - 1] for rank in ranks])


def _drawn_together(
    own: Mapping[str, Floats], whole: Floats, counts: Sequence[int], levels: Sequence[float]
) -> dict[str, Floats]:
    """Factors of the regions, drawn towards the whole's by how little their voxels can tell; ascending with level."""
    if not own:
        return {}
    per_voxel = np.array([quantile_variance(level) for level in levels])
    sampling = per_voxel / np.asarray(counts, dtype=float)[:, None]  # (region, level)
    tiny = np.finfo(float).tiny
    apart = np.log(np.maximum(list(own.values()), tiny)) - np.log(np.maximum(whole, tiny))
    between = np.maximum((apart**2 - sampling).mean(axis=0), 0.0)
    factors = whole * np.exp(apart * between / (between + sampling))
    return dict(zip(own, np.maximum.accumulate(factors, axis=1), strict=True))


def quantile_variance(level: float) -> float:
    """Variance, times their number, of the logarithm of a sample quantile of half-normal scores."""
    from scipy.stats import norm  # here, as it is slow to load and only calibrating needs it

    z = norm.ppf(0.5 * (1 + level))
    return float(level * (1 - level) / (2 * norm.pdf(z) * z) ** 2)


def _noise_share(scores: Floats, clean: Floats) -> float:
    total = float(np.square(scores).sum())
    return 1.0 - float(np.square(clean).sum()) / total if total > 0 else 0.0


def _plain(values: Floats) -> tuple[float, ...]:
    return tuple(float(x) for x in values)


def scores_of(
    error: npt.NDArray[np.floating],
    std: npt.NDArray[np.floating],
    label_se: npt.NDArray[np.floating],
    region: npt.NDArray[np.str_],
) -> tuple[Floats, Floats]:
    """Errors and standard errors of the labels over the predicted standard deviation, after checks."""
    shapes = {array.shape for array in (error, std, label_se, region)}
    if len(shapes) != 1 or error.ndim != 1:
        raise GridMismatchError(f"error, std, label_se and region must be (voxel,) alike, found {sorted(shapes)}")
    if (region == WHOLE).any():
        raise QuantityError(f"no region may be called {WHOLE!r}; that name is kept for all voxels together")
    if not np.isfinite(error).all():
        raise ValueRangeError("an error is not finite; leave voxels without an answer out of the calibration")
    if not (np.isfinite(std) & (std > 0)).all():
        raise ValueRangeError("predicted standard deviations must be finite and positive")
    if not (np.isfinite(label_se) & (label_se >= 0)).all():
        raise ValueRangeError("standard errors of the labels must be finite and not negative")
    scale = np.asarray(std, dtype=float)
    return np.asarray(error / scale, dtype=float), np.asarray(label_se / scale, dtype=float)
