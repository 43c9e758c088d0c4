"""Maps of lesions that an ensemble has not seen: scored and checked where the ensemble was trained.

Called after each fold of a cross-validation, so that nothing is trained twice, and scores travel instead of maps. What
makes a region of a map (`map_scale.best_scale`) is chosen on lesions of the other folds, with maps of the ensemble that
has learnt from them. Those maps are better than maps of unseen lesions, so the choice is not the best one for these;
but it owes them nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.model.denormals import without_denormals
from surrogate3d.response.activation import ensemble_maps
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.localisation import SCORES, Found, localise
from surrogate3d.response.map_agreement import Agreement
from surrogate3d.response.map_scale import MapScale, best_scale, best_threshold, region_voxels
from surrogate3d.response.model import one_thread
from surrogate3d.response.network import ResponseNetwork
from surrogate3d.response.patches import Patches
from surrogate3d.response.removal import RemovalCurves
from surrogate3d.response.sanity import MapChecks, Randomisation, check_maps

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

LEARNT = 24
"""Lesions that were learnt from, with a planted region, on which the scale of a map is chosen, at most."""

SLOW = ("integrated-gradients",)
"""Kinds of maps that take a hundred passes of the networks: they are scored in the first repeat only."""
SLOW_LEARNT = 8
"""Lesions of a fold on which their scale is chosen."""

CHECKED, CHECKED_LESIONS = "hirescam", 3
"""The kind of map whose sanity is checked, and on how many lesions of a fold: a check takes hundreds of passes."""

UNTRAINED = 2
"""Networks with fresh weights of the randomisation."""


@dataclass(frozen=True, eq=False)
class HeldOutMaps:
    """Scores of the maps of one fold.

    Attributes:
        rows: (m,) lesions that were held out.
        found: their scores by kind of map, of one repeat; empty where a planted region is not known.
        scales: how the maps became regions, by kind of map; likewise.
        checks: sanity checks of `CHECKED`; empty but for the first repeat.
        seconds: that all of it took.
    """

    rows: Rows
    found: dict[str, Found]
    scales: dict[str, MapScale]
    checks: dict[str, MapChecks]
    seconds: float


def held_out_maps(
    patches: Patches,
    config: ResponseConfig,
    methods: tuple[str, ...],
    first: frozenset[frozenset[str]],
    networks: tuple[ResponseNetwork, ...],
    held: Patches,
) -> HeldOutMaps:
    """Score and check the maps of a fold; with the first four bound, a callback of `cross_validation.cross_validate`.

    Args:
        patches: all lesions; those of patients that are not in `held` were learnt from.
        config: of the networks.
        methods: kinds of maps, of `activation.METHODS`.
        first: patients of each fold of the first repeat, in which one kind is checked, and slow ones are scored.
        networks: of the ensemble.
        held: lesions that were held out.
    """
    start = time.perf_counter()
    seen, truth = ~np.isin(patches.patient, held.patient), known_truth(patches)
    found, scales, checks = dict[str, Found](), dict[str, MapScale](), dict[str, MapChecks]()
    in_first = frozenset(held.patient.tolist()) in first
    asked = [each for each in methods if in_first or each not in SLOW]
    with one_thread(), without_denormals():
        if truth is not None:
            scales, found = _scored(patches, truth, asked, networks, seen, held)
        if in_first and CHECKED in methods:
            checks[CHECKED] = _checked(config, CHECKED, networks, held)
    return HeldOutMaps(np.flatnonzero(~seen), found, scales, checks, time.perf_counter() - start)


def known_truth(patches: Patches) -> Floats | None:
    """(n, s, s, s) fraction of each voxel in the planted region; None where that of any lesion is not known."""
    return patches.truth if patches.truth is not None and np.isfinite(patches.truth).all() else None


def whole_repeat(folds: Sequence[HeldOutMaps], method: str) -> Found:
    """Scores of all lesions, in their order, from those of the folds of a repeat."""
    order = np.argsort(np.concatenate([each.rows for each in folds]))
    parts = [each.found[method] for each in folds]
    patient, lesion, region = (
        np.concatenate([getattr(each, name) for each in parts])[order]
        for name in ("patient", "lesion_voxels", "region_voxels")
    )
    scores = {name: np.concatenate([each.scores[name] for each in parts], axis=1)[:, order] for name in SCORES}
    return Found(patient, lesion, region, scores)


def all_checks(folds: Sequence[HeldOutMaps], method: str) -> MapChecks:
    """Checks of all lesions, from those of the folds of a repeat."""
    parts = [each.checks[method] for each in folds]
    curves = [each.removal for each in parts]
    deletion, insertion, random = (
        np.concatenate([getattr(each, name) for each in curves]) for name in ("deletion", "insertion", "random")
    )
    return MapChecks(
        method,
        max(each.completeness for each in parts),
        Randomisation(parts[0].randomisation.layers, _beside([each.randomisation.agreement for each in parts])),
        RemovalCurves(curves[0].fractions, deletion, insertion, random),
        _beside([each.noise for each in parts]),
        parts[0].sigma,
        _beside([each.reseeding for each in parts]),
    )


def _scored(
    patches: Patches,
    truth: Floats,
    methods: Sequence[str],
    networks: Sequence[ResponseNetwork],
    seen: npt.NDArray[np.bool_],
    held: Patches,
) -> tuple[dict[str, MapScale], dict[str, Found]]:
    """Scales chosen on lesions with a planted region that were learnt from, and scores of those held out."""
    learnt = np.flatnonzero(seen)
    there = learnt[region_voxels(truth[learnt], patches.inside[learnt]).any(axis=(1, 2, 3))]
    scales, found = dict[str, MapScale](), dict[str, Found]()
    quick, slow = [each for each in methods if each not in SLOW], [each for each in methods if each in SLOW]
    for together, most in ((quick, LEARNT), (slow, SLOW_LEARNT)):
        rows = _evenly(there, most)
        chosen_on, inside = _maps(networks, patches.subset(rows), together), patches.inside[rows]
        unseen = _maps(networks, held, together)
        for method in together:
            scale = scales[method] = best_scale(chosen_on[method], truth[rows], inside)
            # Whatever lies outside the lesion has a threshold of its own, so that no kind of map is wronged there.
            anywhere = best_threshold(scale(chosen_on[method], inside), truth[rows], inside, anywhere=True)
            maps = scale(unseen[method], held.inside)
            found[method] = localise(maps, truth[~seen], held.inside, scale.threshold, held.patient, anywhere)
    return scales, found


def _maps(networks: Sequence[ResponseNetwork], patches: Patches, methods: Sequence[str]) -> dict[str, Floats]:
    return {name: each.map for name, each in ensemble_maps(networks, patches.values, patches.inside, methods).items()}


def _evenly(rows: Rows, most: int) -> Rows:
    """Some of the rows, evenly from all, so from many patients."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)]


def _checked(config: ResponseConfig, method: str, networks: Sequence[ResponseNetwork], held: Patches) -> MapChecks:
    some = held.subset(_evenly(np.arange(len(held)), CHECKED_LESIONS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = [ResponseNetwork(config, len(held.channels)).eval() for _ in range(UNTRAINED)]
        for network in untrained:  # a classifier that starts from zero would leave a map of zeros, which is like none
            torch.nn.init.normal_(network.classifier.weight)
    return check_maps(networks, untrained, some.values, some.inside, method)


def _beside(parts: Sequence[Agreement]) -> Agreement:
    """Agreements of other lesions as one; lesions are the last axis."""
    measures = {name: np.concatenate([each.measures[name] for each in parts], axis=-1) for name in parts[0].measures}
    return Agreement(**measures, fraction=parts[0].fraction)
