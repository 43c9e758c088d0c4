"""Train models of in-vitro survival: one ensemble, or those of all folds of a cross-validation at once."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch

import surrogate3d
from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.inference.calibration import LEVELS
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.fitting import Examples, InVitroConfig, Progress, train_networks
from surrogate3d.invitro.model import Intervals, InVitroModel, InVitroPrediction, conformal_factors, predicted
from surrogate3d.invitro.network import RBE10_STD, InVitroNetwork

__all__ = ["InVitroConfig", "train_folds", "train_invitro"]

Flags = npt.NDArray[np.bool_]


def train_invitro(
    data: InVitroData, config: InVitroConfig, seed: int, progress: Progress | None = None
) -> InVitroModel:
    """Train a model on all experiments of `data`; see `train_folds`."""
    return train_folds(data, np.ones((1, len(data)), dtype=bool), config, seed, progress)[0]


def train_folds(
    data: InVitroData, chosen: npt.ArrayLike, config: InVitroConfig, seed: int, progress: Progress | None = None
) -> list[InVitroModel]:
    """Train one model on each choice of experiments, all at once.

    Args:
        data: all experiments.
        chosen: (fold, n) which experiments each model learns from; it sees nothing of the others.
        config: how.
        seed: of everything random; a fold gives the model that it would give alone, but for rounding.
        progress: called after every step with steps done and all.

    Returns:
        One model for each fold, with calibrated intervals.

    Raises:
        GridMismatchError: `chosen` does not fit the data.
        ValueRangeError: a fold has fewer publications than its members need, or there are no experiments.
    """
    rows = np.asarray(chosen, dtype=bool)
    if rows.ndim != 2 or rows.shape[1] != len(data):
        raise GridMismatchError(f"expected (fold, {len(data)}) choices of experiments, found shape {rows.shape}")
    examples = Examples.of(data)
    parts = np.stack([_parts(data.publication, row, config, seed) for row in rows])  # (fold, repeat, n)
    learnt = rows[:, None, None] & (parts[:, :, None] != np.arange(config.folds)[:, None])  # (fold, repeat, part, n)
    members = config.repeats * config.folds
    seeds = [seed * members + n for n in range(members)] * len(rows)
    networks = train_networks(examples, learnt.reshape(-1, len(data)), seeds, config, progress)
    ensembles = [tuple(networks[n * members : (n + 1) * members]) for n in range(len(rows))]
    folds = zip(rows, ensembles, parts, strict=True)
    return [_model(data, row, ensemble, part, config, seed) for row, ensemble, part in folds]


def _parts(publication: npt.NDArray[np.str_], row: Flags, config: InVitroConfig, seed: int) -> npt.NDArray[np.int64]:
    """(repeat, n) part of each experiment's publication, publications dealt out evenly; -1 where not chosen."""
    names, which = np.unique(publication[row], return_inverse=True)
    if len(names) < config.folds:
        raise ValueRangeError(
            f"{len(names)} publications cannot be divided into {config.folds} parts; give more, or use fewer folds"
        )
    rng = np.random.default_rng(seed)
    parts = np.full((config.repeats, len(row)), -1)
    for repeat in parts:
        repeat[row] = rng.permutation(np.arange(len(names)) % config.folds)[which]
    return parts


def _model(
    data: InVitroData,
    row: Flags,
    networks: tuple[InVitroNetwork, ...],
    parts: npt.NDArray[np.int64],
    config: InVitroConfig,
    seed: int,
) -> InVitroModel:
    seen = data.subset(row)
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(seen.features, axis=0), np.fmax.reduce(seen.features, axis=0)
    training = {
        "seed": seed,
        "config": asdict(config),
        "experiments": len(seen),
        "publications": len(np.unique(seen.publication)),
        "cells": len(np.unique(seen.cells)),
        "species": sorted(str(name) for name in np.unique(seen.species)),
        "versions": {
            "surrogate3d": surrogate3d.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    return InVitroModel(networks, _calibrated(seen, networks, parts[:, row]), low, high, training)


def _calibrated(
    data: InVitroData, networks: Sequence[InVitroNetwork], parts: npt.NDArray[np.int64]
) -> Intervals | None:
    """Intervals from the members that were trained without each experiment; None where publications are too few."""
    unseen = _unseen(data, networks, parts)
    publication = np.unique(data.publication, return_inverse=True)[1]
    deviation = np.exp(unseen.log_std) * RBE10_STD
    known = np.isfinite(data.RBE10)
    error = np.abs(np.log(unseen.RBE10[known]) - np.log(data.RBE10[known]))
    RBE10 = conformal_factors(error / deviation[known], np.ones(known.sum()), publication[known])
    points = np.nonzero(data.weight > 0)
    dose = np.nan_to_num(data.dose)
    error = np.abs(unseen.log_survival(dose) - data.log_survival)[points] / unseen.log_survival_std(dose)[points]
    log_survival = conformal_factors(error, data.weight[points], publication[points[0]])
    n = min(len(RBE10), len(log_survival))
    judged = int(publication.max()) + 1
    return Intervals(LEVELS[:n], RBE10[:n], log_survival[:n], judged, len(data)) if n else None


def _unseen(data: InVitroData, networks: Sequence[InVitroNetwork], parts: npt.NDArray[np.int64]) -> InVitroPrediction:
    """What the members that were trained without an experiment say of it, by part in turn."""
    repeats, n_parts = len(parts), len(networks) // len(parts)
    mean: dict[str, npt.NDArray[np.float64]] = {}
    for n, network in enumerate(networks):
        repeat, part = divmod(n, n_parts)
        own = parts[repeat] == part
        for name, found in predicted((network,), data.features[own], data.photon[own]).items():
            mean.setdefault(name, np.zeros((len(data), *found.shape[1:])))[own] += found / repeats
    return InVitroPrediction(photon=data.photon, intervals=None, **mean)
