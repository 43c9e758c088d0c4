"""How alike two maps of the same lesion are, looked at inside the lesion only.

* **Spearman** rank correlation of the voxels' values, with their sign.
* **SSIM**, the mean structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861: Gaussian window of 1.5
  voxels over 11, K1 = 0.01, K2 = 0.03). It is made for values from 0 to a known maximum, so both maps are first scaled
  to 0 ... 1 over the lesion. Windows see voxels of the lesion only.
* **Dice** of the hottest fraction of the lesion's voxels in each: two maps that know nothing of each other have a Dice
  equal to that fraction.

A map that is the same everywhere in a lesion has no order, and all three are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from surrogate3d.errors import ValueRangeError
from surrogate3d.response.map_scale import lesion_voxels

HOTTEST = 0.25
"""Fraction of the lesion's voxels that are compared by Dice."""

_SIGMA, _RADIUS, _K1, _K2 = 1.5, 5, 0.01, 0.03

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of maps with a reference, of each lesion.

    Attributes:
        spearman: (..., n) rank correlation.
        ssim: (..., n) mean structural similarity.
        dice: (..., n) of the hottest voxels.
        fraction: of the lesion's voxels that are the hottest; what Dice is by chance.
    """

    spearman: Floats
    ssim: Floats
    dice: Floats
    fraction: float

    @property
    def measures(self) -> dict[str, Floats]:
        """The three measures by name."""
        return {"spearman": self.spearman, "ssim": self.ssim, "dice": self.dice}

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean, spread, mean size and number of each over all lesions and comparisons (`spread_of`).

        The mean size matters where a map may have turned around: its correlation is then far from 0, and negative.
        """
        return {name: spread_of(values) for name, values in self.measures.items()}


def agreement(
    maps: npt.ArrayLike, reference: npt.ArrayLike, inside: npt.ArrayLike, fraction: float = HOTTEST
) -> Agreement:
    """Compare maps with a reference inside the lesions.

    Args:
        maps: (n, s, s, s).
        reference: (n, s, s, s).
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        fraction: of the lesion's voxels that Dice compares.

    Raises:
        GridMismatchError: shapes that differ.
        ValueRangeError: a fraction not between 0 and 1, a map that is not finite, or a lesion that fills no voxel.
    """
    if not 0 < fraction < 1:
        raise ValueRangeError(f"the hottest fraction must lie between 0 and 1, found {fraction:g}")
    one, other, fractions = np.asarray(maps), np.asarray(reference), np.asarray(inside)
    lesion = lesion_voxels(one, fractions) & lesion_voxels(other, fractions)
    rows = [(a[voxels], b[voxels]) for a, b, voxels in zip(one, other, lesion, strict=True)]
    return Agreement(
        np.array([_spearman(a, b) for a, b in rows]),
        _ssim(one, other, lesion),
        np.array([_dice(a, b, fraction) for a, b in rows]),
        fraction,
    )


def stacked(each: Sequence[Agreement]) -> Agreement:
    """Several comparisons as one, along a new first axis."""
    parts = {name: np.stack([one.measures[name] for one in each]) for name in each[0].measures}
    return Agreement(**parts, fraction=each[0].fraction)


def spread_of(values: npt.ArrayLike) -> dict[str, float]:
    """Mean, standard deviation, mean size and number of the values that are known; NaN where none is."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return {"mean": np.nan, "std": np.nan, "mean_absolute": np.nan, "n": 0}
    return {
        "mean": float(known.mean()),
        "std": float(known.std(ddof=1)) if known.size > 1 else np.nan,
        "mean_absolute": float(np.abs(known).mean()),
        "n": known.size,
    }


def _spearman(one: Floats, other: Floats) -> float:
    a, b = (ranks - ranks.mean() for ranks in (rankdata(one), rankdata(other)))
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else np.nan


def _dice(one: Floats, other: Floats, fraction: float) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    count = max(1, round(fraction * one.size))
    mine, theirs = (np.argsort(-each, kind="stable")[:count] for each in (one, other))
    return float(np.intersect1d(mine, theirs).size / count)


def _ssim(maps: npt.NDArray[np.floating], reference: npt.NDArray[np.floating], lesion: npt.NDArray[np.bool_]) -> Floats:
    """(n,) mean over the lesion of local similarities, whose windows are cut at the lesion's surface."""
    x, y = (_scaled(each, lesion) for each in (maps, reference))
    weight = np.where(lesion, _windowed(lesion.astype(np.float64)), 1.0)
    mx, my = _windowed(x) / weight, _windowed(y) / weight
    vx, vy, cov = (
        _windowed(a * b) / weight - ma * mb for a, b, ma, mb in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my))
    )
    each = (2 * mx * my + _K1**2) * (2 * cov + _K2**2) / ((mx**2 + my**2 + _K1**2) * (vx + vy + _K2**2))
    return np.asarray(np.where(lesion, each, 0.0).sum(axis=(1, 2, 3)) / lesion.sum(axis=(1, 2, 3)))


def _scaled(maps: npt.NDArray[np.floating], lesion: npt.NDArray[np.bool_]) -> Floats:
    """From 0 to 1 over the lesion, 0 outside; NaN inside where there is no contrast."""
    found = np.zeros(maps.shape)
    for row, values, voxels in zip(found, maps, lesion, strict=True):
        inner = values[voxels].astype(np.float64)
        height = np.ptp(inner)
        row[voxels] = (inner - inner.min()) / height if height > 0 else np.nan
    return found


def _windowed(values: Floats) -> Floats:
    return gaussian_filter(values, sigma=_SIGMA, radius=_RADIUS, mode="constant", axes=(1, 2, 3))
