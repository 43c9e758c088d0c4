"""A model of in-vitro survival: an ensemble of networks with calibrated intervals.

*Ensemble.* Publications are divided into parts, and each member is trained without one part. The prediction averages
alpha and beta over the members, so ln S is the mean of theirs.

*Intervals.* An experiment is judged by the members that were trained without its publication. Its score is the error
over the predicted deviation, and a level's factor a quantile of the scores: split conformal prediction with the parts
in turn (cross-conformal: Vovk 2015, Ann Math Artif Intell 74:9). Experiments of one publication err together, so they
are no independent scores. As in Dunn, Wasserman and Ramdas 2023 (JASA 118:2491, doi 10.1080/01621459.2022.2060112)
a new publication is the unit: of G publications, weighted by their experiments, one more of mean size is taken to lie
beyond any bound, so the quantile is that of level (1 + 1 / G). Members that left a part out are fewer than the whole
ensemble, and a little worse; the intervals err on the wide side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.inference.calibration import LEVELS
from surrogate3d.invitro.network import LET_COLUMN, RBE10_STD, InVitroNetwork, typical_std
from surrogate3d.invitro.scales import FEATURES
from surrogate3d.model.denormals import without_denormals
from surrogate3d.physics import linear_quadratic

Floats = npt.NDArray[np.float64]

_ROWS = 16384  # at a time, so that embeddings stay some ten megabytes


@dataclass(frozen=True)
class Intervals:
    """Factors on the predicted deviation.

    Attributes:
        levels: ascending, in (0, 1).
        RBE10: one factor for each level.
        log_survival: likewise.
        publications: how many were judged.
        experiments: how many.
    """

    levels: tuple[float, ...]
    RBE10: tuple[float, ...]
    log_survival: tuple[float, ...]
    publications: int
    experiments: int

    def factor(self, quantity: str, level: float) -> float:
        """Half of the interval's width over the predicted deviation.

        Args:
            quantity: "RBE10" or "log_survival".
            level: one of `levels`.

        Raises:
            QuantityError: a level that was not calibrated.
        """
        at = np.flatnonzero(np.isclose(self.levels, level, rtol=0, atol=1e-9))
        if not len(at):
            known = ", ".join(f"{100 * one:g} %" for one in self.levels)
            raise QuantityError(f"the intervals were calibrated at {known}, not at {100 * level:g} %; ask for one")
        values: tuple[float, ...] = {"RBE10": self.RBE10, "log_survival": self.log_survival}[quantity]
        return values[int(at[0])]


@dataclass(frozen=True, eq=False)
class InVitroPrediction:
    """What a model says of some rows.

    Attributes:
        alpha: (n,) 1/Gy.
        beta: (n,) 1/Gy^2.
        photon: (n, 2) alpha_x and beta_x that were given.
        log_std: (n,) logarithm of the predicted deviation, in units of what repeats scatter: `typical_std` of ln S at
            its effect, `RBE10_STD` of ln RBE10.
        spread: (n,) standard deviation of ln RBE10 between the members.
        importance: (n, group) of sum 1, in the order of `scales.GROUPS`.
        masks: (n, step, group) mean of the members' masks.
        intervals: None before calibration.
    """

    alpha: Floats
    beta: Floats
    photon: Floats
    log_std: Floats
    spread: Floats
    importance: Floats
    masks: Floats
    intervals: Intervals | None = None

    def log_survival(self, dose: npt.ArrayLike) -> Floats:
        """Ln S at doses in Gy, (n,) or (n, point), or one dose for all."""
        return -linear_quadratic.effect(dose, *self._at(dose))

    @property
    def RBE10(self) -> Floats:
        """(n,) RBE at 10 % survival."""
        return linear_quadratic.RBE10(self.alpha, self.beta, *self.photon.T)

    def log_survival_std(self, dose: npt.ArrayLike) -> Floats:
        """Predicted deviation of a measured ln S at doses, of the shape of `log_survival`."""
        usual = typical_std(torch.as_tensor(-self.log_survival(dose))).numpy()
        deviation = np.exp(self.log_std)
        return np.asarray(usual * (deviation[:, None] if np.ndim(dose) == 2 else deviation))

    def interval(self, level: float = 0.9) -> tuple[Floats, Floats]:
        """(n,) ends of the interval of RBE10 in which a measurement of another publication lies at this level.

        Raises:
            QuantityError: a level that was not calibrated, or a model without calibration.
        """
        half = self._factor("RBE10", level) * RBE10_STD * np.exp(self.log_std)
        return self.RBE10 * np.exp(-half), self.RBE10 * np.exp(half)

    def log_survival_interval(self, dose: npt.ArrayLike, level: float = 0.9) -> tuple[Floats, Floats]:
        """Ends of the interval of a measured ln S at doses; above 0 near S = 1, as measurements are.

        Raises:
            QuantityError: as of `interval`.
        """
        half, middle = self._factor("log_survival", level) * self.log_survival_std(dose), self.log_survival(dose)
        return middle - half, middle + half

    def _at(self, dose: npt.ArrayLike) -> tuple[Floats, Floats]:
        return (self.alpha[:, None], self.beta[:, None]) if np.ndim(dose) == 2 else (self.alpha, self.beta)

    def _factor(self, quantity: str, level: float) -> float:
        if self.intervals is None:
            raise QuantityError("the model has no calibrated intervals; train it on more publications")
        return self.intervals.factor(quantity, level)


@dataclass(frozen=True, eq=False)
class InVitroModel:
    """A trained model.

    Attributes:
        networks: members, in evaluation mode.
        intervals: None before calibration.
        low: (feature,) least of each feature in training; NaN where it was never known.
        high: (feature,) largest.
        training: settings, seeds, data and versions, for the card.
        bundle_id: SHA-256 of the bundle's manifest; empty before it is saved.
    """

    networks: tuple[InVitroNetwork, ...]
    intervals: Intervals | None
    low: Floats
    high: Floats
    training: Mapping[str, Any] = field(default_factory=dict)
    bundle_id: str = ""

    @without_denormals()
    def predict(self, features: npt.ArrayLike, photon: npt.ArrayLike) -> InVitroPrediction:
        """Predict some rows.

        Args:
            features: (n, feature) in the order of `scales.FEATURES`, NaN where not known.
            photon: (n, 2) alpha_x in 1/Gy and beta_x in 1/Gy^2; or (2,) for all rows.

        Raises:
            GridMismatchError: shapes that do not fit.
            QuantityError: LET_d is not known in some row.
            ValueRangeError: LET_d below 0, or a photon curve without slope.
        """
        rows, pairs = _checked(features, photon)
        parts = [
            predicted(self.networks, rows[n : n + _ROWS], pairs[n : n + _ROWS]) for n in range(0, len(rows), _ROWS)
        ]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return InVitroPrediction(photon=pairs, intervals=self.intervals, **columns)

    def in_domain(self, features: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(n,) whether every known feature lies between the least and the largest of the training."""
        values = np.asarray(features, dtype=float)
        inside = (values >= self.low) & (values <= self.high)
        return np.asarray((inside | np.isnan(values)).all(axis=-1))


def predicted(networks: Sequence[InVitroNetwork], features: Floats, photon: Floats) -> dict[str, Floats]:
    """What an ensemble says, by name of the attribute of `InVitroPrediction`."""
    x, pair = (torch.tensor(values, dtype=torch.float32) for values in (features, photon))
    with torch.inference_mode():
        said = [network(x, pair) for network in networks]
    each = {name: np.stack([getattr(one, name).double().numpy() for one in said]) for name in said[0]._fields}
    importance = each["importance"].mean(axis=0)
    return {
        "alpha": each["alpha"].mean(axis=0),
        "beta": each["beta"].mean(axis=0),
        "log_std": 0.5 * np.log(np.exp(2 * each["log_std"]).mean(axis=0)),
        "spread": each["log_RBE10"].std(axis=0),
        "importance": importance / importance.sum(axis=-1, keepdims=True),  # exactly one, of numbers of 32 bits
        "masks": each["masks"].mean(axis=0),
    }


def conformal_factors(
    score: Floats, weight: Floats, publication: npt.NDArray[np.integer], levels: Sequence[float] = LEVELS
) -> tuple[float, ...]:
    """Quantiles of scores that are alike within a publication; see the top of this page.

    Args:
        score: (k,) not negative.
        weight: (k,) how much each counts; an experiment with many points may count once.
        publication: (k,) number of the publication of each.
        levels: ascending; those that so few publications cannot tell are left out at the end.

    Returns:
        (level,) factors, of the first levels.
    """
    publications = len(np.unique(publication))
    order = np.argsort(score)
    reached = np.cumsum(weight[order]) / weight.sum()
    wanted = [level * (1 + 1 / publications) for level in levels]
    return tuple(float(score[order][np.searchsorted(reached, each - 1e-12)]) for each in wanted if each <= 1)


def _checked(features: npt.ArrayLike, photon: npt.ArrayLike) -> tuple[Floats, Floats]:
    rows, pairs = np.asarray(features, dtype=float), np.asarray(photon, dtype=float)
    if rows.ndim != 2 or rows.shape[1] != len(FEATURES):
        raise GridMismatchError(f"expected features (n, {len(FEATURES)}), found shape {rows.shape}")
    if pairs.shape not in ((2,), (len(rows), 2)):
        raise GridMismatchError(f"expected photon pairs ({len(rows)}, 2) or (2,), found shape {pairs.shape}")
    pairs = np.broadcast_to(pairs, (len(rows), 2))
    LET = rows[:, LET_COLUMN]
    if not np.isfinite(LET).all():
        row = int(np.flatnonzero(~np.isfinite(LET))[0])
        raise QuantityError(f"LET_d of row {row} is not known, and the model needs it; leave such rows out")
    if (LET < 0).any():
        raise ValueRangeError(f"LET_d must not be negative, found {LET.min():g} keV/um in row {int(LET.argmin())}")
    usable = np.isfinite(pairs).all(axis=1) & (pairs >= 0).all(axis=1) & (pairs.sum(axis=1) > 0)
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise ValueRangeError(
            f"row {row}: alpha_x and beta_x must not be negative, and one of them positive; found {pairs[row]}"
        )
    return rows, np.array(pairs)
