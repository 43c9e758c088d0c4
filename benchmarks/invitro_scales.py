"""Which scale matters for survival in vitro: five ways of asking, their spread over seeds, and how far they agree.

    python benchmarks/invitro_scales.py STORE [--json FILE] [--figures FOLDER]

STORE is the file that `surrogate3d invitro import` makes. Every number is of experiments whose publication was held
out; errors of RBE10 are medians over H and C. `invitro.importance` says what the methods are. A model is the mean of
two seeds, ten networks, which is the size of the ensemble that is shipped. Nothing of the experiments is written, only
means over them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.invitro.dataset import InVitroData, dataset
from surrogate3d.invitro.fitting import InVitroConfig
from surrogate3d.invitro.importance import (
    ByLET,
    Interval,
    MethodImportance,
    agreement,
    by_scale,
    claims,
    clustered_difference,
    over_LET,
    rank_correlations,
    seeds_for,
)
from surrogate3d.invitro.importance_training import (
    PARTS,
    Judged,
    ensemble_errors,
    errors,
    gradient_importance,
    judged_networks,
    mask_importance,
    permutation_errors,
    retrained,
)
from surrogate3d.invitro.scales import FEATURES, GROUPS, SCALES
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.pide_store import read_experiments
from surrogate3d.report.invitro_figures import importance_methods, importance_over_LET, write_png

Floats = npt.NDArray[np.float64]

REPEATS = 5
"""Random orders of each shuffled group."""

PER_SCALE = by_scale(np.ones(len(GROUPS)))
"""(scale,) number of groups."""

LET_COLUMN = [feature.name for feature in FEATURES].index("LET_d")


@dataclass(frozen=True, eq=False)
class Found:
    """What one run finds.

    Attributes:
        masks: (seed, n, group).
        gradients: (seed, n, group), signed.
        permutation: by part the growth of the error (seed,), in per cent of RBE10.
        conditional: likewise.
        retraining: by part the growth with an interval over publications, in per cent of RBE10.
        retrained_rms: by part RMSE of ln S over that of the full networks.
        seed_errors: (seed,) median error of RBE10 of single seeds, per cent.
        error: of all seeds together, per cent.
        rms: of ln S, all seeds together.
    """

    masks: Floats
    gradients: Floats
    permutation: Mapping[str, Floats]
    conditional: Mapping[str, Floats]
    retraining: Mapping[str, Interval]
    retrained_rms: Mapping[str, float]
    seed_errors: Floats
    error: float
    rms: float

    @property
    def by_method(self) -> dict[str, Floats]:
        """(seed, group) importance by method; of retraining there is one row."""
        pulled = np.abs(self.gradients)
        return {
            "masks": self.masks.mean(axis=1),
            "gradients": (pulled / pulled.sum(axis=-1, keepdims=True)).mean(axis=1),
            "permutation": np.stack([self.permutation[group] for group in GROUPS], axis=1),
            "conditional": np.stack([self.conditional[group] for group in GROUPS], axis=1),
            "retraining": np.array([[self.retraining[group].value for group in GROUPS]]),
        }


def find(data: InVitroData, config: InVitroConfig, folds: int, seeds: int, retraining_seeds: int) -> Found:
    """Train, and ask in all ways."""
    clock = time.time()

    def say(text: str) -> None:
        print(f"{time.time() - clock:6.0f} s  {text}", flush=True)

    say(f"{seeds} seeds of {folds} folds")
    judged = np.isin(data.species, ("H", "C")) & np.isfinite(data.RBE10)
    base = judged_networks(data, config, folds, range(seeds))
    own = [errors(data, one.alpha, one.beta) for one in base]
    say("masks and gradients")
    masks = np.stack([mask_importance(data, one) for one in base])
    gradients = np.stack([gradient_importance(data, one) for one in base])
    say("shuffling")
    before = [each.median_RBE10(judged) for each in own]
    permutation, conditional = (_grown(data, base, before, judged, within=within) for within in (False, True))
    without = retrained(data, config, folds, range(retraining_seeds), progress=lambda name: say(f"retraining: {name}"))
    start, whole = ensemble_errors(data, base[:retraining_seeds]), ensemble_errors(data, base)
    lacking = {name: ensemble_errors(data, each) for name, each in without.items()}
    say("done")
    return Found(
        masks,
        gradients,
        permutation,
        conditional,
        {name: _percent(clustered_difference(e, start, data.publication, judged)) for name, e in lacking.items()},
        {name: e.rms_log_survival(judged) / start.rms_log_survival(judged) for name, e in lacking.items()},
        100 * np.array([each.median_RBE10(judged) for each in own]),
        100 * whole.median_RBE10(judged),
        whole.rms_log_survival(judged),
    )


def _grown(
    data: InVitroData, base: Sequence[Judged], own: Sequence[float], judged: npt.NDArray[np.bool_], *, within: bool
) -> dict[str, Floats]:
    found: dict[str, list[float]] = {name: [] for name in PARTS}
    for seed, (one, before) in enumerate(zip(base, own, strict=True)):
        for name, after in permutation_errors(data, one, PARTS, REPEATS, seed, within=within).items():
            found[name].append(100 * (float(np.mean([each.median_RBE10(judged) for each in after])) - before))
    return {name: np.array(values) for name, values in found.items()}


def _percent(interval: Interval) -> Interval:
    return Interval(*(100 * value for value in interval))


def paired(rows: Floats) -> Floats:
    """(model, ...) mean of two seeds each, of (seed, ...)."""
    half = len(rows) // 2
    return np.asarray(rows[: 2 * half].reshape(half, 2, *rows.shape[1:]).mean(axis=1))


def bars(found: Found) -> list[MethodImportance]:
    """What the global picture shows."""
    values, seeds = found.by_method, len(found.masks)
    units = {
        "masks": "share / %", "gradients": "share / %", "permutation": "growth of the error / points of %",
        "conditional": "growth of the error / points of %",
    }  # fmt: skip
    shown = []
    for name, unit in units.items():
        rows = paired(values[name]) * (100 if "share" in unit else 1)
        spread = f"range of {seeds // 2} models"
        shown.append(MethodImportance(name, unit, rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0), spread))
    value, low, high = np.array([found.retraining[group] for group in GROUPS]).T
    spread = "95 % interval over publications"
    return [*shown, MethodImportance("retraining", units["conditional"], value, low, high, spread)]


def summary(data: InVitroData, found: Found) -> dict[str, Any]:
    """All numbers, as plain data."""
    values = found.by_method
    scales = {name: by_scale(paired(rows)) for name, rows in values.items() if name in ("masks", "gradients")}
    pairs = {"single seeds": values, "models": {name: paired(rows) for name, rows in values.items()}}
    pairs["models, mean over the groups of each scale"] = {name: rows / PER_SCALE for name, rows in scales.items()}
    stable = {
        what: {name: _spread(rank_correlations(rows)) for name, rows in each.items() if name != "retraining"}
        for what, each in pairs.items()
    }
    mean = {name: rows.mean(axis=0) for name, rows in values.items()}
    judged = {name: asdict(claims(rows)) for name, rows in values.items()}
    masks = values["masks"]
    apart = np.std(found.masks.mean(axis=0), axis=0)
    return {
        "experiments": len(data), "publications": len(np.unique(data.publication)), "seeds": len(found.masks),
        "error_RBE10_percent": found.error, "rms_log_survival": found.rms,
        "error_of_seeds_percent": _spread(found.seed_errors),
        "by_group": {name: dict(zip(GROUPS, rows.tolist(), strict=True)) for name, rows in mean.items()},
        "by_scale": {name: {s: _spread(rows[:, n]) for n, s in enumerate(SCALES)} for name, rows in scales.items()},
        "mask_of_seeds": {group: _spread(masks[:, n]) for n, group in enumerate(GROUPS)},
        "mask_between_experiments_std": dict(zip(GROUPS, apart.tolist(), strict=True)),
        "mask_rank_correlation_per_experiment": _per_experiment(found.masks),
        "permutation": {name: _spread(v) for name, v in found.permutation.items()},
        "conditional": {name: _spread(v) for name, v in found.conditional.items()},
        "retraining": {name: v._asdict() for name, v in found.retraining.items()},
        "retraining_rms_ratio": dict(found.retrained_rms),
        "stability": stable,
        "seeds_for_0.8": {name: seeds_for(each["mean"]) for name, each in stable["single seeds"].items()},
        "agreement": {f"{one}, {other}": value for (one, other), value in agreement(mean).items()},
        "claims": judged,
    }  # fmt: skip


def _per_experiment(masks: Floats) -> dict[str, float]:
    """Rank correlation over the groups between the masks that two models give the same experiment."""
    models = paired(masks)
    return _spread(np.concatenate([rank_correlations(models[:, n]) for n in range(masks.shape[1])]))


def _spread(values: Floats) -> dict[str, float]:
    return {
        "mean": float(values.mean()), "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "least": float(values.min()), "largest": float(values.max()),
    }  # fmt: skip


HEAD = ("part", "mask %", "gradient %", "permutation", "conditional", "retraining (95 %)", "RMSE of ln S, ratio")


def table(result: Mapping[str, Any]) -> str:
    """The numbers by group and part, as Markdown; the deviation between seeds, or an interval, in brackets."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for name, change in result["retraining"].items():
        shares = [_share(result, method, name) for method in ("masks", "gradients")]
        grown = [
            f"{result[way][name]['mean']:+.2f} ({result[way][name]['std']:.2f})" if name in PARTS else ""
            for way in ("permutation", "conditional")
        ]
        interval = f"{change['value']:+.2f} ({change['low']:+.2f} to {change['high']:+.2f})"
        lines.append((name, *shares, *grown, interval, f"{result['retraining_rms_ratio'][name]:.3f}"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(result: Mapping[str, Any], method: str, name: str) -> str:
    if name in GROUPS:
        return f"{100 * result['by_group'][method][name]:.1f}"
    return f"{100 * result['by_scale'][method][name]['mean']:.1f}" if name in SCALES else ""


def curves(data: InVitroData, found: Found) -> tuple[ByLET, ...]:
    """Shares of the masks over LET by ion."""
    return over_LET(paired(found.masks), data.features[:, LET_COLUMN], data.species)


def main() -> None:
    """Read, find, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="experiments that `surrogate3d invitro import` wrote")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    parser.add_argument("--figures", type=Path, help="folder for the pictures")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10, help="of the full networks; two make a model")
    parser.add_argument("--retraining-seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100, help="of a training")
    given = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.time()
    data = dataset(read_experiments(given.store).experiments)
    config = replace(InVitroConfig(), steps=given.steps)
    found = find(data, config, given.folds, given.seeds, given.retraining_seeds)
    result = summary(data, found) | {
        "folds": given.folds, "retraining_seeds": given.retraining_seeds, "config": asdict(config),
        "seconds": time.time() - begin, "processor_seconds": time.process_time(), "torch": torch.__version__,
        "machine": platform.machine(),
    }  # fmt: skip
    print(table(result))
    print(json.dumps({name: result[name] for name in ("stability", "seeds_for_0.8", "agreement", "claims")}, indent=1))
    if given.json:
        with atomic_file(given.json, overwrite=True) as path:
            path.write_text(json.dumps(result, indent=1) + "\n")
    if given.figures:
        write_png(importance_over_LET(curves(data, found)), given.figures / "invitro-importance-let.png")
        write_png(importance_methods(bars(found)), given.figures / "invitro-importance-methods.png")


if __name__ == "__main__":
    main()
