"""Response of lesions from a table of features: an ensemble of support vector machines, by scikit-learn.

As Peng et al. judged radiomics and gradient features: 15 machines, each on a bootstrap of whole patients with features
of its own. Kernel, C, gamma and the number of features are those with the best mean AUC in an inner
cross-validation grouped by patient; the mean decision value becomes a probability by Platt's method, fitted on decision
values of ensembles that have not seen the patient. All of it sees rows that are learnt from only.

What comes out is the log odds of *no* response, as from the other methods; `response` is 1 where a lesion responded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from surrogate3d.errors import GridMismatchError, UnsupportedError
from surrogate3d.response.calibration import Platt, fit_platt
from surrogate3d.response.feature_selection import Scale, fit_scale, ranked_features
from surrogate3d.response.feature_table import Table
from surrogate3d.response.folds import repeated_folds, require_classes, require_no_leakage

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Option:
    """What is tuned.

    Attributes:
        n_features: how many features a machine takes at most.
        kernel: "linear" or "rbf".
        C: cost of a lesion on the wrong side.
        gamma: of the RBF kernel, in units of 1 / number of features.
    """

    n_features: int
    kernel: str
    C: float
    gamma: float = 1.0


NUMBERS = (6, 16, 40, 100)
"""How many features; a machine with a small C bears more of them than there are lesions."""
OPTIONS = tuple(
    [Option(k, "linear", C) for k, C in product(NUMBERS, (0.01, 0.1))]
    + [Option(k, "rbf", C, gamma) for k, C, gamma in product(NUMBERS, (0.3, 3.0), (0.3, 1.0))]
)
"""Simple ones first: the first of the best is taken."""


@dataclass(frozen=True)
class SupportVectorEnsemble:
    """How to fit.

    Attributes:
        members: machines.
        options: to choose from.
        inner_folds: of the inner cross-validations, or as many as there are patients.
        inner_repeats: of each of them.
    """

    members: int = 15
    options: tuple[Option, ...] = OPTIONS
    inner_folds: int = 5
    inner_repeats: int = 3

    def fit(self, values: Floats, response: Floats, patients: Names | Sequence[str], seed: int) -> SupportVectorModel:
        """Fit on lesions, one thread.

        Args:
            values: (n, f) features; NaN where not defined.
            response: (n,) 1 where the lesion responded, 0 where not.
            patients: (n,) patient of each lesion.
            seed: of bootstraps and inner folds.

        Raises:
            GridMismatchError: values, responses and patients differ in number.
            ValueRangeError: an unknown response, a class with fewer than two patients, or no feature that varies.
            UnsupportedError: scikit-learn is not installed.
        """
        group, answers = np.asarray(patients, dtype=np.str_), np.asarray(response, dtype=np.float64)
        require_classes(answers, group)
        if len(values) != len(answers):
            raise GridMismatchError(
                f"expected a row of features for each of {len(answers)} lesions, found {len(values)}"
            )
        resists, rng = answers == 0.0, np.random.default_rng(seed)
        n_folds = min(self.inner_folds, len(np.unique(group)))
        folds = repeated_folds(group, answers, n_folds, self.inner_repeats, int(rng.integers(2**31)))
        option = self._tuned(values, resists, folds)
        apart = repeated_folds(group, answers, n_folds, self.inner_repeats, int(rng.integers(2**31)))
        unit, calibration = self._calibrated(values, resists, group, apart, option, rng)
        return SupportVectorModel(option, self._ensemble(values, resists, group, option, rng), unit, calibration)

    def _tuned(self, values: Floats, resists: Bools, folds: Indices) -> Option:
        """The option with the largest mean AUC over the folds that have both classes."""
        scores = []
        for learn in _rows_to_learn(folds):
            if resists[~learn].all() or not resists[~learn].any():
                continue
            scale = fit_scale(values[learn])
            scaled, held = scale(values[learn]), scale(values[~learn])
            ranked = ranked_features(scaled, resists[learn], max(option.n_features for option in self.options))
            decisions = []
            for option in self.options:
                some = ranked[: option.n_features]
                machine = _machine(option, len(some)).fit(scaled[:, some], resists[learn])
                decisions.append(machine.decision_function(held[:, some]))
            scores.append(area_under_curve(np.array(decisions), resists[~learn]))
        return self.options[int(np.mean(scores, axis=0).argmax())] if scores else self.options[0]

    def _calibrated(
        self, values: Floats, resists: Bools, group: Names, folds: Indices, option: Option, rng: np.random.Generator
    ) -> tuple[float, Platt]:
        """Spread and calibration of the decision values of ensembles that were fitted without the patient."""
        decisions, labels = [], []
        for learn in _rows_to_learn(folds):
            ensemble = self._ensemble(values[learn], resists[learn], group[learn], option, rng)
            decisions.append(ensemble.decision(values[~learn]))
            labels.append(resists[~learn])
        held = np.concatenate(decisions)
        unit = float(held.std()) or 1.0
        return unit, fit_platt(held / unit, np.concatenate(labels))

    def _ensemble(
        self, values: Floats, resists: Bools, group: Names, option: Option, rng: np.random.Generator
    ) -> Ensemble:
        scale = fit_scale(values)
        scaled, members = scale(values), []
        for rows in _bootstraps(resists, group, self.members, rng):
            features = ranked_features(scaled[rows], resists[rows], option.n_features)
            members.append(
                (features, _machine(option, len(features)).fit(scaled[np.ix_(rows, features)], resists[rows]))
            )
        return Ensemble(scale, tuple(members))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Support vector machines, each with features of its own.

    Attributes:
        scale: of the features.
        members: columns of the scaled features, and scikit-learn's machine on them.
    """

    scale: Scale
    members: tuple[tuple[Indices, Any], ...]

    def decision(self, values: Floats) -> Floats:
        """(n,) mean distance from the boundaries in margins, positive where a lesion looks resistant."""
        scaled = self.scale(values)
        each = [machine.decision_function(scaled[:, features]) for features, machine in self.members]
        return np.asarray(np.mean(each, axis=0))


@dataclass(frozen=True, eq=False)
class SupportVectorModel:
    """A fitted ensemble.

    Attributes:
        option: that was chosen.
        ensemble: the machines.
        unit: standard deviation of decision values of patients that were not learnt from.
        calibration: log odds from decision values in that unit.
    """

    option: Option
    ensemble: Ensemble
    unit: float
    calibration: Platt

    def predict(self, values: Floats) -> Floats:
        """(n, f) features to (n,) calibrated log odds of no response."""
        return self.calibration(self.ensemble.decision(values) / self.unit)


def cross_validate(
    table: Table,
    response: Floats | Sequence[float],
    folds: Indices,
    patients: Names | Sequence[str],
    seed: int,
    *,
    method: SupportVectorEnsemble | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:
    """Calibrated log odds of no response of every lesion, from ensembles that never saw its patient.

    Args:
        table: (n, f) features.
        response: (n,) 1 where the lesion responded, 0 where not.
        folds: (repeat, n) fold of each lesion in each repeat; see `folds.repeated_folds`.
        patients: (n,) patient of each lesion.
        seed: of everything random.
        method: how to fit; the default settings if None.
        progress: is told how many fits of how many are done.

    Returns:
        (repeat, n).

    Raises:
        GridMismatchError: table, responses, patients and folds differ in number.
        ValueRangeError: a patient in two folds, an unknown response, or too few patients of a class.
        UnsupportedError: scikit-learn is not installed.
    """
    answers, group = np.asarray(response, dtype=np.float64), np.asarray(patients, dtype=np.str_)
    if folds.ndim != 2 or not len(table) == folds.shape[1] == len(answers) == len(group):
        raise GridMismatchError(
            f"expected folds (repeat, {len(table)}) and as many responses and patients, found {folds.shape}, "
            f"{len(answers)} and {len(group)}"
        )
    chosen = method or SupportVectorEnsemble()
    logits = np.full(folds.shape, np.nan)
    tasks = [(repeat, fold) for repeat, dealt in enumerate(folds) for fold in np.unique(dealt)]
    for done, (repeat, fold) in enumerate(tasks, 1):
        learn = folds[repeat] != fold
        require_no_leakage(group[learn], group[~learn])
        own = int(np.random.default_rng([seed, repeat, int(fold)]).integers(2**31))
        logits[repeat, ~learn] = chosen.fit(table.values[learn], answers[learn], group[learn], own).predict(
            table.values[~learn]
        )
        if progress is not None:
            progress(done, len(tasks))
    return logits


def area_under_curve(decisions: Floats, positive: Bools) -> Floats:
    """Area under the ROC curve: the share of pairs in the right order, ties as half.

    Args:
        decisions: (..., n).
        positive: (n,), both classes there.

    Returns:
        (...).
    """
    ranks, n = rankdata(decisions, axis=-1), int(positive.sum())
    rise = ranks[..., positive].sum(axis=-1) - n * (n + 1) / 2
    return np.asarray(rise / (n * (len(positive) - n)))


def _rows_to_learn(folds: Indices) -> list[Bools]:
    """(n,) rows of each fit of an inner cross-validation."""
    return [dealt != fold for dealt in folds for fold in np.unique(dealt)]


def _bootstraps(resists: Bools, group: Names, number: int, rng: np.random.Generator) -> list[Indices]:
    """Rows of as many patients as there are, drawn with replacement, drawn anew until both classes are there."""
    names, which = np.unique(group, return_inverse=True)
    rows_of = [np.flatnonzero(which == one) for one in range(len(names))]
    drawn: list[Indices] = []
    while len(drawn) < number:
        rows = np.concatenate([rows_of[one] for one in rng.integers(len(names), size=len(names))])
        if 0 < resists[rows].sum() < len(rows):
            drawn.append(rows)
    return drawn


def _machine(option: Option, n_features: int) -> Any:
    try:
        from sklearn.svm import SVC
    except ImportError as missing:
        raise UnsupportedError(
            "support vector machines need scikit-learn; pip install 'surrogate3d[response]', or leave these methods out"
        ) from missing
    return SVC(C=option.C, kernel=option.kernel, gamma=option.gamma / max(n_features, 1), class_weight="balanced")
