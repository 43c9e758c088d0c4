"""Cross-validation of methods, and their scores with intervals that take a publication as the unit.

Experiments of one publication err together, so intervals come from a bootstrap of whole publications, whatever was left
out. Folds of several seeds are pooled: a publication brings all its rows of all seeds, or none. Judged are experiments
whose RBE10 was measured and that the method answered.

* RBE10: median of |predicted / measured - 1|; R2 = 1 - sum of squared errors / sum of squared deviations from the mean.
* ln S: root of the mean over experiments of the weighted squared error (`points` has the weights of an experiment's
  points; they add up to 1, so all experiments count alike).
* Coverage: share of the measured RBE10, and weighted share of the measured ln S, inside the 90 % intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.invitro.baseline_protocol import Curves, FoldMethod, Method, Model
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.training.bootstrap import Estimate, estimate, resampled

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a method said of experiments that it had not seen; NaN where it said nothing.

    Attributes:
        publication: (n,) names.
        species: (n,) element symbols.
        measured: (n,) RBE10.
        RBE10: (n,) predicted.
        squared: (n,) weighted mean square of the error of ln S.
        RBE10_inside: (n,) 1 where the measured RBE10 lies inside the interval, else 0.
        log_survival_inside: (n,) weighted share of the points inside.
    """

    publication: npt.NDArray[np.str_]
    species: npt.NDArray[np.str_]
    measured: Floats
    RBE10: Floats
    squared: Floats
    RBE10_inside: Floats
    log_survival_inside: Floats

    def __len__(self) -> int:
        return len(self.measured)


@dataclass(frozen=True)
class Scores:
    """Scores of a method, see the head of this module.

    Attributes:
        experiments: how many with a measured RBE10 were answered, each counted once for each seed of the folds.
        unanswered: how many were not.
        RBE10_error: median absolute relative error.
        RBE10_R2: coefficient of determination.
        log_survival_rms: root-mean-square error of ln S.
        RBE10_coverage: None for a method without intervals.
        log_survival_coverage: likewise.
    """

    experiments: int
    unanswered: int
    RBE10_error: Estimate
    RBE10_R2: Estimate
    log_survival_rms: Estimate
    RBE10_coverage: Estimate | None
    log_survival_coverage: Estimate | None


def held_out(
    method: Method,
    data: InVitroData,
    folds: Sequence[npt.NDArray[np.int64]],
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> HeldOut:
    """Fit a method without each fold in turn, and let it answer for that fold.

    Args:
        method: what is fitted.
        data: all experiments.
        folds: (n,) fold of each experiment, for each seed of the folds; the same for all methods.
        seed: of the fits.
        progress: called with a word on each seed of the folds.

    Returns:
        len(folds) * n rows.

    Raises:
        GridMismatchError: folds of another length.
    """
    parts = []
    for which, fold in enumerate(folds):
        if fold.shape != (len(data),):
            raise GridMismatchError(f"expected the folds of {len(data)} experiments, found shape {fold.shape}")
        if progress is not None:
            progress(f"folds {which + 1} of {len(folds)}")
        numbers = np.unique(fold)
        learnt = fold != numbers[:, None]
        models = _fitted(method, data, learnt, seed)
        rows = [np.flatnonzero(~row) for row in learnt]
        judged = _joined([_judged(model, data.subset(row)) for model, row in zip(models, rows, strict=True)])
        parts.append(_taken(judged, np.argsort(np.concatenate(rows))))
    return _joined(parts)


def scores(found: HeldOut, species: Sequence[str] | None = None, seed: int = 0) -> Scores:
    """Scores of what was held out.

    Args:
        found: by `held_out`.
        species: element symbols to judge on; None for all.
        seed: of the bootstrap.

    Raises:
        ValueRangeError: nothing of these species was answered.
    """
    asked = chosen(found, species)
    judged = asked & np.isfinite(found.RBE10)
    if not judged.any():
        raise ValueRangeError(f"nothing was answered of {'all species' if species is None else ', '.join(species)}")
    part = _taken(found, judged)
    draws = resampled(part.publication, seed)
    return Scores(
        experiments=len(part),
        unanswered=int(asked.sum() - judged.sum()),
        RBE10_error=estimate(relative_median(part, draws)),
        RBE10_R2=estimate(_R2(part, draws)),
        log_survival_rms=estimate(np.sqrt(_mean(part.squared, draws))),
        RBE10_coverage=_share(part.RBE10_inside, draws),
        log_survival_coverage=_share(part.log_survival_inside, draws),
    )


def differences(
    one: HeldOut, other: HeldOut, species: Sequence[str] | None = None, seed: int = 0
) -> tuple[Estimate, Estimate]:
    """How much better `one` is than `other`, on the rows that both answered and with the same publications drawn.

    Returns:
        RBE10 median error of `one` less that of `other`, and the ratio of their ln S errors less 1; both are negative
        where `one` is better.

    Raises:
        GridMismatchError: rows of other experiments.
        ValueRangeError: no rows that both answered.
    """
    if len(one) != len(other) or not np.array_equal(one.measured, other.measured, equal_nan=True):
        raise GridMismatchError("the two methods were not judged on the same experiments and folds")
    both = chosen(one, species) & np.isfinite(one.RBE10) & np.isfinite(other.RBE10)
    if not both.any():
        raise ValueRangeError("there is no experiment that both methods answered")
    a, b = _taken(one, both), _taken(other, both)
    draws = resampled(a.publication, seed)
    error = relative_median(a, draws) - relative_median(b, draws)
    ratio = np.sqrt(_mean(a.squared, draws) / _mean(b.squared, draws)) - 1.0
    return estimate(error), estimate(ratio)


def chosen(found: HeldOut, species: Sequence[str] | None) -> Flags:
    """(n,) rows of some species with a measured RBE10."""
    known: Flags = np.isfinite(found.measured)
    return known if species is None else known & np.isin(found.species, list(species))


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """(draw,) medians of (n,) values that count by (draw, n); between two values where half the weight is reached."""
    order = np.argsort(values)
    ordered, reached = values[order], np.cumsum(weights[:, order], axis=1)
    half = 0.5 * reached[:, -1:]
    low, high = (reached >= half).argmax(axis=1), (reached > half).argmax(axis=1)
    return np.asarray(0.5 * (ordered[low] + ordered[high]))


def relative_median(found: HeldOut, draws: Floats) -> Floats:
    """(draw,) median absolute relative error of RBE10."""
    return weighted_median(np.abs(found.RBE10 / found.measured - 1.0), draws)


def _fitted(method: Method, data: InVitroData, learnt: Flags, seed: int) -> Sequence[Model]:
    if isinstance(method, FoldMethod):
        return method.fit_folds(data, learnt, seed)
    return [method.fit(data.subset(row), seed) for row in learnt]


def _judged(model: Model, data: InVitroData) -> HeldOut:
    """Compare the answers with what was measured; only what was not measured is handed to the model."""
    said = model.predict(data.features, data.photon, data.species)
    dose = np.nan_to_num(data.dose)
    error = -effect(dose, said.alpha[:, None], said.beta[:, None]) - np.nan_to_num(data.log_survival)
    RBE10_inside, log_survival_inside = _inside(said, data, dose)
    answered = np.isfinite(said.alpha) & np.isfinite(said.beta)
    RBE10 = np.where(answered, said.RBE10, np.nan)
    squared = (data.weight * error**2).sum(axis=1)
    return HeldOut(data.publication, data.species, data.RBE10, RBE10, squared, RBE10_inside, log_survival_inside)


def _inside(said: Curves, data: InVitroData, dose: Floats) -> tuple[Floats, Floats]:
    RBE10, log_survival = np.full((2, len(data)), np.nan)
    if said.RBE10_interval is not None:
        low, high = said.RBE10_interval
        RBE10 = ((low <= data.RBE10) & (high >= data.RBE10)).astype(float)
    if said.log_survival_interval is not None:
        low, high = said.log_survival_interval(dose)
        measured = np.nan_to_num(data.log_survival)
        between = (measured >= low) & (measured <= high)
        log_survival = (data.weight * between).sum(axis=1)
    return RBE10, log_survival


def _joined(parts: Sequence[HeldOut]) -> HeldOut:
    return HeldOut(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(HeldOut)))


def _taken(found: HeldOut, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> HeldOut:
    return HeldOut(*(getattr(found, one.name)[rows] for one in fields(HeldOut)))


def _mean(values: Floats, draws: Floats) -> Floats:
    return np.asarray(draws @ values / draws.sum(axis=1))


def _R2(found: HeldOut, draws: Floats) -> Floats:
    y = found.measured
    spread = _mean(y**2, draws) - _mean(y, draws) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1.0 - _mean((found.RBE10 - y) ** 2, draws) / spread)


def _share(inside: Floats, draws: Floats) -> Estimate | None:
    return None if np.isnan(inside).any() else estimate(_mean(inside, draws))
