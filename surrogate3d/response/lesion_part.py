"""Numbers of what a part of a lesion got, each voxel of the dose counting by the fraction that lies in the part.

D_x is the largest dose that at least x % of the volume receives (ICRU Report 83). LET_d is its mean weighted by dose.
Survival is the mean over the volume of S, from a map of S, or from D_RBE, the photon dose of equal effect, as
-ln S = alpha_x D_RBE + beta_x D_RBE^2 / n for n equal fractions with full repair between (`physics.linear_quadratic`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Lesion, Volume
from surrogate3d.grid.carry import carried
from surrogate3d.physics.linear_quadratic import effect

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PhotonCurve:
    """How the cells of a lesion survive photons, as the user states it.

    Attributes:
        alpha_x: 1/Gy.
        beta_x: 1/Gy^2.
        fractions: number of equal fractions.

    Raises:
        ValueRangeError: a coefficient is negative or not finite, both are 0, or there is no fraction.
    """

    alpha_x: float
    beta_x: float
    fractions: int

    def __post_init__(self) -> None:
        pair = (self.alpha_x, self.beta_x)
        if not all(math.isfinite(each) and each >= 0 for each in pair) or not sum(pair) or self.fractions < 1:
            raise ValueRangeError(
                f"survival needs alpha_x and beta_x, not negative and not both 0, and at least one fraction; found "
                f"{self.alpha_x:g} /Gy, {self.beta_x:g} /Gy^2 and {self.fractions}"
            )

    def effect(self, D_RBE: npt.ArrayLike) -> Floats:
        """-ln S after all fractions: n (alpha_x d + beta_x d^2) with d = D_RBE / n."""
        return self.fractions * effect(np.asarray(D_RBE, dtype=float) / self.fractions, self.alpha_x, self.beta_x)


@dataclass(frozen=True)
class Spread:
    """One quantity over a part of a lesion; NaN where it is not known.

    Attributes:
        mean: volume-weighted.
        D2: largest value that at least 2 % of the volume receives; near the maximum.
        D50: the same of 50 %.
        D98: the same of 98 %; near the minimum.
    """

    mean: float = math.nan
    D2: float = math.nan
    D50: float = math.nan
    D98: float = math.nan

    def minus(self, other: Spread) -> Spread:
        """Number by number."""
        return Spread(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(Spread)))


@dataclass(frozen=True)
class Part:
    """A part of a lesion, or the difference of two.

    Attributes:
        voxels: of the image.
        volume_cm3: of these voxels.
        dose_voxels: voxels of the delivered dose that lie in it at least in part.
        known: fraction of the volume where the dose is known.
        dose: Gy.
        D_RBE: Gy (RBE).
        LET_d: dose-weighted mean, keV/um.
        survival: mean of S over the volume.
        log10_survival: its logarithm, which does not run out of digits.
    """

    voxels: int
    volume_cm3: float
    dose_voxels: int
    known: float = math.nan
    dose: Spread = field(default_factory=Spread)
    D_RBE: Spread = field(default_factory=Spread)
    LET_d: float = math.nan
    survival: float = math.nan
    log10_survival: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain data; null for what is not known."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self)}


def part_of(lesion: Lesion, voxels: Bools, weights: Mapping[str, Floats], photons: PhotonCurve | None) -> Part:
    """Numbers of some voxels of a lesion.

    Args:
        lesion: with a dose or D_RBE.
        voxels: (i, j, k) of its image; none give a part without numbers.
        weights: (i, j, k) fraction in them of each voxel of each delivered quantity, by name.
        photons: for survival from D_RBE, where there is no map of it.
    """
    if not voxels.any():
        return Part(0, 0.0, 0)
    volume_mm3 = float(voxels.sum()) * lesion.image.grid.voxel_volume_mm3
    main = lesion.delivered[main_dose(lesion)]
    logarithm = _log_survival(lesion.delivered, weights, photons)
    return Part(
        voxels=int(voxels.sum()),
        volume_cm3=volume_mm3 / 1000,
        dose_voxels=int(((weights[main_dose(lesion)] > 0) & np.isfinite(main.values)).sum()),
        known=known_mm3(main, weights[main_dose(lesion)]) / volume_mm3,
        dose=_spread(lesion.delivered.get("dose"), weights.get("dose")),
        D_RBE=_spread(lesion.delivered.get("D_RBE"), weights.get("D_RBE")),
        LET_d=_mean_LET(lesion.delivered, weights),
        survival=math.exp(logarithm),
        log10_survival=logarithm / math.log(10),
    )


def _spread(volume: Volume | None, weights: Floats | None) -> Spread:
    if volume is None or weights is None:
        return Spread()
    counts = np.isfinite(volume.values) & (weights > 0)
    value, weight = volume.values[counts].astype(float), weights[counts]
    if not value.size:
        return Spread()
    order = np.argsort(-value, kind="stable")
    received = np.cumsum(weight[order]) / weight.sum()

    def at_least(percent: float) -> float:
        # rounding of the sum must not push 98 % to the voxel after the one that reaches it
        number = int(np.searchsorted(received, percent / 100 * (1 - 1e-9)))
        return float(value[order[min(number, len(order) - 1)]])

    return Spread(float(np.average(value, weights=weight)), at_least(2), at_least(50), at_least(98))


def _mean_LET(volumes: Mapping[str, Volume], weights: Mapping[str, Floats]) -> float:
    """Weighted by dose, where the dose on the voxels of LET is known and not zero."""
    if "LET_d" not in volumes or "dose" not in volumes:
        return math.nan
    LET, dose = volumes["LET_d"], volumes["dose"]
    values = dose.values if dose.grid == LET.grid else carried(dose.values, dose.grid, LET.grid)
    energy = np.where(np.isfinite(LET.values) & np.isfinite(values), weights["LET_d"] * np.nan_to_num(values), 0.0)
    return float(np.average(np.nan_to_num(LET.values), weights=energy)) if energy.sum() > 0 else math.nan


def _log_survival(volumes: Mapping[str, Volume], weights: Mapping[str, Floats], photons: PhotonCurve | None) -> float:
    """Natural logarithm of the mean of S: of a map of it, or from D_RBE."""
    if "survival" in volumes:
        values, weight = volumes["survival"].values, weights["survival"]
        with np.errstate(divide="ignore"):
            return _log_mean(np.log(values.astype(float)), weight)
    if "D_RBE" in volumes and photons is not None:
        return _log_mean(-photons.effect(volumes["D_RBE"].values), weights["D_RBE"])
    return math.nan


def _log_mean(logarithms: Floats, weights: Floats) -> float:
    """Logarithm of a weighted mean of numbers that may be too small for a double."""
    counts = ~np.isnan(logarithms) & (weights > 0)
    values, weight = logarithms[counts], weights[counts]
    if not values.size:
        return math.nan
    top = float(values.max())
    return top if math.isinf(top) else top + math.log(float(np.average(np.exp(values - top), weights=weight)))


def plain(value: Any) -> Any:
    """Plain data for JSON; null for what is not known or not finite."""
    if isinstance(value, Spread):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main_dose(lesion: Lesion) -> str:
    """Name of the quantity that tells where the dose of a lesion is known."""
    return "dose" if "dose" in lesion.delivered else "D_RBE"


def known_mm3(volume: Volume, weights: Floats) -> float:
    """Volume of a part where a quantity is known, mm^3."""
    return float(weights[np.isfinite(volume.values)].sum()) * volume.grid.voxel_volume_mm3
