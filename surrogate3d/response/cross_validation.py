"""Train and judge on lesions of other patients, again and again.

For every fold of every repeat an ensemble is trained and calibrated on the other folds alone (early stopping and
calibration use parts of those), and answers for the fold. Nothing is trained twice: what else is to be asked of an
ensemble about the lesions that it has not seen, such as maps, is asked by a callback while it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.folds import require_no_leakage
from surrogate3d.response.model import logits
from surrogate3d.response.network import ResponseNetwork
from surrogate3d.response.patches import Patches
from surrogate3d.response.side_by_side import Progress, run_each
from surrogate3d.response.training import known_response, train_response

Floats = npt.NDArray[np.float64]
Folds = npt.NDArray[np.int64]
Callback = Callable[[tuple[ResponseNetwork, ...], Patches], Any]


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """What was said of lesions that were held out.

    Attributes:
        folds: (repeat, n) in which each lesion was held out.
        raw: (repeat, n) mean of the members' logits of no response.
        logits: (repeat, n) calibrated log odds of no response.
        spread: (repeat, n) standard deviation of the calibrated log odds between members.
        slopes: (repeat, fold) slope of each calibration.
        results: of the callback by repeat and fold; empty without one.
    """

    folds: Folds
    raw: Floats
    logits: Floats
    spread: Floats
    slopes: Floats
    results: tuple[tuple[Any, ...], ...] = ()

    def by_lesion(self, repeat: int) -> npt.NDArray[Any]:
        """Results of a callback that gives an array (m, ...) for the m lesions held out, put together to (n, ...)."""
        parts = [np.asarray(each) for each in self.results[repeat]]
        whole = np.empty((self.folds.shape[1], *parts[0].shape[1:]), dtype=parts[0].dtype)
        for fold, part in enumerate(parts):
            whole[self.folds[repeat] == fold] = part
        return whole


def cross_validate(
    patches: Patches,
    response: npt.ArrayLike,
    folds: Folds,
    config: ResponseConfig,
    seed: int,
    *,
    callback: Callback | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> CrossValidated:
    """Cross-validate.

    Args:
        patches: cut as `config` says.
        response: (n,) 1 where a lesion responded, 0 where not.
        folds: (repeat, n) fold of each lesion, 0 to the last; see `folds.repeated_folds`.
        config: how ensembles are trained.
        seed: of everything random; results do not depend on the number of processes.
        callback: asked for each ensemble with its networks and the patches that were held out; its answer travels
            between processes. With more than one process it is a function of a module, or a partial of one.
        processes: ensembles that are trained side by side.
        progress: called after each ensemble with ensembles done and all.

    Raises:
        GridMismatchError: folds or responses do not fit the lesions, or a fold is empty.
        ValueRangeError: a patient in two folds, a response that is not known, or too few patients of a class.
    """
    labels = known_response(patches, response)
    folds = np.asarray(folds)
    n_folds = _require_folds(folds, patches)
    tasks = [(repeat, np.flatnonzero(row == fold)) for repeat, row in enumerate(folds) for fold in range(n_folds)]
    seeds = np.random.SeedSequence(seed).generate_state(len(tasks))
    shared = (patches, labels, config, callback)
    said = run_each(_held_out, list(zip(tasks, seeds.tolist(), strict=True)), shared, processes, progress)
    raw, calibrated, spread = (np.full(folds.shape, np.nan) for _ in range(3))
    for (repeat, held), (members, slope, intercept, _) in zip(tasks, said, strict=True):
        raw[repeat, held] = members.mean(axis=0)
        calibrated[repeat, held] = slope * raw[repeat, held] + intercept
        spread[repeat, held] = slope * members.std(axis=0)
    slopes = np.array([slope for _, slope, _, _ in said]).reshape(-1, n_folds)
    results = [result for *_, result in said]
    by_repeat = tuple(tuple(results[n : n + n_folds]) for n in range(0, len(results), n_folds))
    return CrossValidated(folds, raw, calibrated, spread, slopes, by_repeat if callback is not None else ())


def _held_out(
    shared: tuple[Patches, Floats, ResponseConfig, Callback | None], task: tuple[tuple[int, Folds], int]
) -> tuple[Floats, float, float, Any]:
    """(member, m) logits of the lesions held out, slope and intercept, and what the callback said."""
    patches, response, config, callback = shared
    (_, held), seed = task
    rest = np.setdiff1d(np.arange(len(patches)), held)
    require_no_leakage(patches.patient[rest], patches.patient[held])
    model = train_response(patches.subset(rest), response[rest], config, seed)
    unseen = patches.subset(held)
    found = None if callback is None else callback(model.networks, unseen)
    return logits(model.networks, unseen), model.calibration.slope, model.calibration.intercept, found


def _require_folds(folds: Folds, patches: Patches) -> int:
    """How many folds there are."""
    if folds.ndim != 2 or folds.shape[1] != len(patches) or not folds.size:
        raise GridMismatchError(f"expected folds (repeat, {len(patches)}), found shape {folds.shape}")
    n_folds = int(folds.max()) + 1
    for repeat, row in enumerate(folds):
        if not np.array_equal(np.unique(row), np.arange(n_folds)) or n_folds < 2:
            raise GridMismatchError(
                f"repeat {repeat}: expected lesions in each of at least 2 folds, numbered from 0; found folds "
                f"{np.unique(row).tolist()}"
            )
    return n_folds
