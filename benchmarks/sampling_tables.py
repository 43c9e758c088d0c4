"""Summary of the learning curves as plain data, and as markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sampling_points import STRATEGIES, Point
from sampling_statistics import interval, labels_to_reach, ratio

TARGETS = (0.90, 0.95)
PUBLISHED = 2000
"""Labels of the published axonal method; no run of this benchmark."""

Summary = dict[str, dict[str, Any]]


def summarised(points: Iterable[Point], regression: str) -> Summary:
    """By regime and strategy: curves of the worst output, labels to reach the targets, ratios to random choice."""
    chosen = [point for point in points if point.regression == regression]
    found: Summary = {}
    for regime in dict.fromkeys(point.regime for point in chosen):
        of = {way: _by_seed([p for p in chosen if (p.regime, p.strategy) == (regime, way)]) for way in STRATEGIES}
        found[regime] = {way: _strategy(seeds, of["random"]) for way, seeds in of.items() if seeds}
    return found


def _by_seed(points: Sequence[Point]) -> dict[int, dict[int, Point]]:
    """Points by seed and budget; seeds that lack a budget are left out."""
    budgets = {point.budget for point in points}
    seeds = {seed: {p.budget: p for p in points if p.seed == seed} for seed in sorted({p.seed for p in points})}
    return {seed: by for seed, by in seeds.items() if len(by) == len(budgets)}


def _strategy(seeds: dict[int, dict[int, Point]], random: dict[int, dict[int, Point]]) -> dict[str, Any]:
    both = [seed for seed in seeds if seed in random]
    budgets = sorted(next(iter(seeds.values())))
    worst = {b: [min(seeds[s][b].R2) for s in both] for b in budgets}
    error = {b: [max(seeds[s][b].NRMSE) for s in both] for b in budgets}
    reference = {b: [max(random[s][b].NRMSE) for s in both] for b in budgets}
    return {
        "seeds": len(both),
        "budgets": budgets,
        "labels": [float(np.mean([seeds[s][b].labels for s in both])) for b in budgets],
        "R2": [interval(worst[b]) for b in budgets],
        "R2_range": [(min(worst[b]), max(worst[b])) for b in budgets],
        "NRMSE": [interval(error[b], np.mean) for b in budgets],
        "ratio": [ratio(error[b], reference[b]) for b in budgets],
        "reach": {f"{target:g}": _reach(seeds, random, both, budgets, target) for target in TARGETS},
    }


def _reach(
    seeds: dict[int, dict[int, Point]], random: dict[int, dict[int, Point]], both: list[int], budgets: list[int],
    target: float,
) -> dict[str, Any]:  # fmt: skip
    """Labels to a target; a seed that does not arrive counts as twice the largest budget in medians."""

    def labels(of: dict[int, dict[int, Point]]) -> list[float]:
        found = [labels_to_reach(budgets, [min(of[s][b].R2) for b in budgets], target) for s in both]
        return [min(n, 2.0 * budgets[-1]) for n in found]

    mine, others = labels(seeds), labels(random)
    return {
        "labels": interval(mine),
        "ratio": ratio(mine, others, np.median),
        "arrived": sum(n <= budgets[-1] for n in mine),
        "largest": budgets[-1],
    }  # fmt: skip


def tables(summary: Summary) -> str:
    """Two tables a regime: labels to the targets, and error over that of random choice at equal budgets."""
    text = []
    for regime, ways in summary.items():
        n = {way["seeds"] for way in ways.values()}
        text += [f"\n**{regime.replace('+', ' + ')}**, {min(n)} to {max(n)} seeds\n", _reached(ways), "", _ratios(ways)]
    return "\n".join(text)


def _reached(ways: dict[str, Any]) -> str:
    head = "| strategy | " + " | ".join(f"labels to R2 {t:g} | over random" for t in TARGETS) + " |"
    rows = [head, "|---" * (1 + 2 * len(TARGETS)) + "|"]
    for name, way in ways.items():
        cells = [cell for t in TARGETS for cell in _reach_cells(way["reach"][f"{t:g}"], way["seeds"])]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _reach_cells(reach: dict[str, Any], seeds: int) -> tuple[str, str]:
    middle, low, high = (f"{n:.0f}" if n <= reach["largest"] else f">{reach['largest']}" for n in reach["labels"])
    missing = f", {reach['arrived']} of {seeds} seeds" if reach["arrived"] < seeds else ""
    if not reach["arrived"] * 2 > seeds:
        return f"not reached{missing}", "-"
    return f"{middle} ({low} to {high}){missing}", _three(reach["ratio"])


def _ratios(ways: dict[str, Any]) -> str:
    budgets = next(iter(ways.values()))["budgets"]
    rows = ["| error over random at | " + " | ".join(map(str, budgets)) + " |", "|---" * (1 + len(budgets)) + "|"]
    for name, way in ways.items():
        by = dict(zip(way["budgets"], zip(way["ratio"], way["labels"], way["NRMSE"], strict=True), strict=True))
        cells = [_ratio_cell(name, budget, *by[budget]) if budget in by else "" for budget in budgets]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _ratio_cell(name: str, budget: int, found: Sequence[float], labels: float, NRMSE: Sequence[float]) -> str:
    if name == "random":
        return f"NRMSE {100 * NRMSE[0]:.1f} %"
    return _three(found) if math.isclose(labels, budget) else "no voxels left"


def _three(found: Sequence[float]) -> str:
    middle, low, high = found
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"
