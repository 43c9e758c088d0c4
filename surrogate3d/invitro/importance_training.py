"""Importances of groups from cross-validation by publication, with networks of many seeds.

Each seed deals the publications into folds of its own and starts its networks anew, one for each fold. All that is
found about an experiment comes from networks that were trained without its publication.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.errors import UnknownNameError
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.fitting import Examples, InVitroConfig, train_networks
from surrogate3d.invitro.importance import Errors
from surrogate3d.invitro.importance_network import Seen, integrated_gradients, orders, said, seen, shuffled
from surrogate3d.invitro.network import InVitroNetwork, NetworkConfig
from surrogate3d.invitro.scales import FEATURES, GROUPS, SCALE_OF_GROUP, SCALES
from surrogate3d.model.denormals import without_denormals
from surrogate3d.physics import linear_quadratic
from surrogate3d.training.grouped_folds import grouped_folds

Floats = npt.NDArray[np.float64]
Folds = npt.NDArray[np.int64]

NO_LIMIT_KEV_UM = 1e-6
"""A half LET so small that the photon limit is 1 for all ions, and LET enters no more through it."""

LET_BANDS = 5
"""Bands of LET within which `conditional` shuffles, beside the ion."""

PARTS: Mapping[str, tuple[str, ...]] = {
    **{group: (group,) for group in GROUPS},
    **{scale: tuple(group for group in GROUPS if SCALE_OF_GROUP[group] == scale) for scale in SCALES},
}
"""Groups, and scales, by the groups that they are made of."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Networks of all folds of one seed.

    Attributes:
        fold: (n,) the fold in which each experiment is held out.
        networks: one for each fold, trained on the others.
        alpha: (n,) of held-out experiments, 1/Gy.
        beta: (n,) 1/Gy^2.
    """

    fold: Folds
    networks: tuple[InVitroNetwork, ...]
    alpha: Floats
    beta: Floats


def without_parts(config: NetworkConfig) -> dict[str, NetworkConfig]:
    """Networks that lack a group or a scale, that have one scale beside biology only, and that know no LET at all.

    The last has no photon limit, either, through which LET enters the others.
    """
    parts = {name: tuple(g for g in GROUPS if g not in PARTS[name]) for name in PARTS}
    single = {f"only {scale}": PARTS[scale] + PARTS["biology"] for scale in SCALES if scale != "biology"}
    found = {name: replace(config, groups=kept) for name, kept in (parts | single).items()}
    return found | {"LET and limit": replace(found["LET"], half_LET=NO_LIMIT_KEV_UM)}


def judged_networks(data: InVitroData, config: InVitroConfig, n_folds: int, seeds: Sequence[int]) -> list[Judged]:
    """Train and judge one network for each fold of each seed."""
    examples, found = Examples.of(data), []
    for seed in seeds:
        fold = grouped_folds(data.publication, n_folds, seed)
        chosen = np.stack([fold != n for n in range(n_folds)])
        networks = tuple(train_networks(examples, chosen, [seed * n_folds + n for n in range(n_folds)], config))
        alpha, beta = _held_out(data, fold, networks)
        found.append(Judged(fold, networks, alpha, beta))
    return found


def _held_out(data: InVitroData, fold: Folds, networks: Sequence[InVitroNetwork]) -> tuple[Floats, Floats]:
    pair = np.empty((2, len(data)))
    for n, network in enumerate(networks):
        own = np.flatnonzero(fold == n)
        with torch.no_grad():
            answer = said(network, seen(network, data.features[own], data.photon[own]))
        pair[:, own] = answer.alpha.double().numpy(), answer.beta.double().numpy()
    return pair[0], pair[1]


def errors(data: InVitroData, alpha: Floats, beta: Floats) -> Errors:
    """Errors of alpha and beta (n,) of all experiments."""
    RBE10 = linear_quadratic.RBE10(alpha, beta, *data.photon.T)
    dose = np.nan_to_num(data.dose)
    apart = linear_quadratic.effect(dose, alpha[:, None], beta[:, None]) + np.nan_to_num(data.log_survival)
    return Errors(np.abs(RBE10 / data.RBE10 - 1), (data.weight * apart**2).sum(axis=1))


def ensemble_errors(data: InVitroData, judged: Sequence[Judged]) -> Errors:
    """Errors of the mean of alpha and of beta over the seeds."""
    return errors(data, np.mean([one.alpha for one in judged], axis=0), np.mean([one.beta for one in judged], axis=0))


@without_denormals()
def mask_importance(data: InVitroData, judged: Judged) -> Floats:
    """(n, group) importance of the masks for held-out experiments, of sum 1."""
    found = np.empty((len(data), len(GROUPS)))
    for n, network in enumerate(judged.networks):
        own = np.flatnonzero(judged.fold == n)
        rows, pair = (torch.tensor(values[own], dtype=torch.float32) for values in (data.features, data.photon))
        with torch.no_grad():
            found[own] = network(rows, pair).importance.double().numpy()
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def gradient_importance(data: InVitroData, judged: Judged, steps: int = 64) -> Floats:
    """(n, group) integrated gradients of ln RBE10 of held-out experiments."""
    found = np.empty((len(data), len(GROUPS)))
    for n, network in enumerate(judged.networks):
        own = np.flatnonzero(judged.fold == n)
        found[own] = integrated_gradients(network, seen(network, data.features[own], data.photon[own]), steps)
    return found


def strata(data: InVitroData) -> npt.NDArray[np.int64]:
    """(n,) number of the ion and band of LET of each experiment; bands hold a like number of an ion's experiments."""
    LET = data.features[:, [feature.name for feature in FEATURES].index("LET_d")]
    ion = np.unique(np.where(np.isin(data.species, ("H", "He", "C")), data.species, "heavy"), return_inverse=True)[1]
    band = np.empty(len(data), dtype=np.int64)
    for each in np.unique(ion):
        rows = np.flatnonzero(ion == each)
        band[rows] = np.argsort(np.argsort(LET[rows], kind="stable")) * LET_BANDS // len(rows)
    return np.asarray(ion * LET_BANDS + band)


def permutation_errors(
    data: InVitroData, judged: Judged, parts: Mapping[str, tuple[str, ...]], repeats: int, seed: int, *, within: bool
) -> dict[str, list[Errors]]:
    """Errors of held-out experiments where groups are shuffled among those of the same fold.

    Args:
        data: all experiments.
        judged: networks.
        parts: groups that are shuffled together, by name.
        repeats: orders.
        seed: of the orders.
        within: shuffle only within `strata`.

    Returns:
        By name `repeats` errors.
    """
    kind, rng = strata(data), np.random.default_rng(seed)
    pairs = {name: np.empty((repeats, 2, len(data))) for name in parts}
    for n, network in enumerate(judged.networks):
        own = np.flatnonzero(judged.fold == n)
        given = seen(network, data.features[own], data.photon[own])
        drawn = orders(len(own), repeats, rng, kind[own] if within else None)
        for name, groups in parts.items():
            mixed = [shuffled(network, given, groups, order) for order in drawn]
            pairs[name][:, :, own] = _answers(network, mixed)
    return {name: [errors(data, *pair) for pair in each] for name, each in pairs.items()}


@without_denormals()
def _answers(network: InVitroNetwork, mixed: Sequence[Seen]) -> Floats:
    """(repeat, 2, n) alpha and beta, all repeats in one pass."""
    with torch.no_grad():
        answer = said(network, Seen(*(torch.cat(column) for column in zip(*mixed, strict=True))))
    pair = torch.stack([answer.alpha, answer.beta]).double().numpy()
    return np.moveaxis(pair.reshape(2, len(mixed), -1), 1, 0)


Progress = Callable[[str], None]
"""Called with the name of each part before networks are trained without it."""


def retrained(
    data: InVitroData,
    config: InVitroConfig,
    n_folds: int,
    seeds: Sequence[int],
    names: Sequence[str] | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, list[Judged]]:
    """Networks that lack a group or a scale, on the folds of these seeds.

    Parts that are made of the same groups, such as the one group of a scale, are trained once.

    Args:
        data: all experiments.
        config: how the full networks are trained.
        n_folds: parts of the publications.
        seeds: of the divisions and the networks.
        names: of `without_parts`; all of them when not given.
        progress: called with each part that is trained.

    Returns:
        By name what the networks of each seed answer.

    Raises:
        UnknownNameError: no such part.
    """
    parts = without_parts(config.network)
    if unknown := set(names or ()) - set(parts):
        raise UnknownNameError(f"unknown parts {', '.join(sorted(unknown))}; known: {', '.join(parts)}")
    found: dict[NetworkConfig, list[Judged]] = {}
    for name in names or parts:
        if parts[name] not in found:
            progress(name)
            found[parts[name]] = judged_networks(data, replace(config, network=parts[name]), n_folds, seeds)
    return {name: found[parts[name]] for name in names or parts}
