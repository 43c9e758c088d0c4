"""Learning curves of one strategy and one seed: choose, label, fit, judge, at growing budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sampling_plans import Offer
from sampling_points import Point
from sampling_regression import Regression, fit

from surrogate3d.sampling.acquisition import STRATEGIES, Pool, Strategy, largest_cluster
from surrogate3d.validation.metrics import error_summary

Rows = npt.NDArray[np.int64]

WAYS = STRATEGIES | {"lcmd_cubes": Strategy(largest_cluster, True)}
"""The engine's strategies, and LCMD among one candidate per coarse cube."""


def curve(
    offered: Offer, regime: str, strategy: str, seed: int, budgets: Sequence[int], regression: str
) -> Iterator[Point]:
    """Points at ascending budgets; every strategy has the same model, features, whitening and held-out voxels."""
    asked = WAYS[strategy].needs == "members"
    last: Regression | None = None
    rows = chosen(offered, "random" if asked else strategy, budgets[0] if asked else budgets[-1], seed)
    for budget in budgets:
        if asked and last is not None:
            rows = np.concatenate([rows, doubted(offered, rows, budget - len(rows), seed, last)])
        used = rows[:budget]  # smaller budgets are prefixes of larger ones
        last = fit(offered.features[used], offered.labels[used], seed, offered.features, regression)
        R2, NRMSE = judged(offered, last)
        yield Point(regime, strategy, regression, seed, budget, len(used), tuple(R2), tuple(NRMSE))


def chosen(offered: Offer, strategy: str, budget: int, seed: int) -> Rows:
    """Rows in order of choice."""
    way, pool = WAYS[strategy], _pool(offered, seed)
    nothing = np.empty(0, dtype=np.int64)
    if not way.one_per_cube:
        return way.acquire(pool, nothing, budget)
    return offered.candidates[way.acquire(pool.take(offered.candidates), nothing, budget)]


def doubted(offered: Offer, rows: Rows, more: int, seed: int, last: Regression) -> Rows:
    """The next rows of `ensemble`, which begins at random: those on which the last fit's members disagree."""
    apart = last.members(offered.features) - last.predict(offered.features)
    scaled = apart / offered.labels[rows].std(axis=0)  # the outputs weigh alike
    members = np.concatenate(list(np.moveaxis(scaled, 2, 0)))
    return WAYS["ensemble"].acquire(replace(_pool(offered, seed), members=members), rows, more)


def _pool(offered: Offer, seed: int) -> Pool:
    lot = np.random.default_rng([seed, 1]).random(len(offered.labels))
    return Pool(offered.points, lot, offered.strata, plan=offered.keys[:, 0])


def judged(offered: Offer, regression: Regression) -> tuple[list[float], list[float]]:
    """R2 and NRMSE by output, each of the worst plan."""
    plans = [(regression.predict(features), truth) for features, truth in offered.held]
    errors = [[error_summary(p[:, n], t[:, n]) for p, t in plans] for n in range(plans[0][1].shape[1])]
    return [min(e.R2 for e in by) for by in errors], [max(e.NRMSE_range for e in by) for by in errors]
