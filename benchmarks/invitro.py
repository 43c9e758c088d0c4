"""All methods of in-vitro survival on the same folds of one data set.

    python benchmarks/invitro.py STORE [--methods ...] [--splits ...] [--folds 10] [--seeds 0 1] [--json]

STORE is what `surrogate3d invitro import` wrote from the user's own PIDE folder. Methods whose package is not installed
are left out, and said so. Scores are of experiments that a method had not seen, the folds of all seeds pooled; brackets
are 95 % intervals over publications. The floor is what repeated experiments differ by. With --json the same as one
object; it holds scores, and nothing of single experiments.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surrogate3d.errors import UnsupportedError, ValueRangeError
from surrogate3d.invitro.baselines import METHODS, method
from surrogate3d.invitro.dataset import InVitroData, dataset
from surrogate3d.invitro.evaluation import HeldOut, differences, held_out, scores
from surrogate3d.invitro.evaluation_floor import repeat_floor
from surrogate3d.invitro.folds import SPLITS, groups
from surrogate3d.io.pide import read_experiments
from surrogate3d.training.bootstrap import Estimate
from surrogate3d.training.grouped_folds import grouped_folds

SETS: dict[str, tuple[str, ...] | None] = {"H + C": ("H", "C"), "H": ("H",), "C": ("C",), "all": None}


def main() -> None:
    """Parse, run, print."""
    asked = arguments(sys.argv[1:])
    experiments = read_experiments(asked.store)
    data = dataset(experiments.experiments)
    floors = {name: asdict(repeat_floor(data, species)) for name, species in SETS.items()}
    report: dict[str, Any] = {
        "version": experiments.version,
        "source": dict(experiments.source),
        "experiments": len(data),
        "dropped": len(data.dropped),
        "folds": asked.folds,
        "seeds": asked.seeds,
        "floor": floors,
        "splits": {split: one_split(data, split, asked) for split in asked.splits},
    }
    if asked.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the folds, and of the fits")
    parser.add_argument("--reference", default="forest", help="method that the others are compared with in pairs")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def one_split(data: InVitroData, split: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Scores of all methods, by method and set of ions."""
    folds = [grouped_folds(groups(data, split), asked.folds, seed) for seed in asked.seeds]
    found: dict[str, HeldOut] = {}
    spent: dict[str, float] = {}
    for name in asked.methods:
        start = time.process_time()
        try:
            found[name] = held_out(method(name), data, folds, asked.seeds[0])
        except UnsupportedError as missing:
            print(f"{split}: {name} is left out: {missing}", file=sys.stderr)
            continue
        spent[name] = time.process_time() - start
        print(f"{split}: {name}, {spent[name]:.0f} s", file=sys.stderr, flush=True)
    rows = {name: {"cpu_s": spent[name], "sets": judged(one)} for name, one in found.items()}
    for name, row in rows.items():
        if asked.reference in found and name != asked.reference:
            row["against"] = {asked.reference: against(found[name], found[asked.reference])}
    return rows


def judged(found: HeldOut) -> dict[str, Any]:
    """Scores by set of ions; sets without an answer are left out."""
    rows = {}
    for label, species in SETS.items():
        try:
            rows[label] = asdict(scores(found, species))
        except ValueRangeError:
            continue
    return rows


def against(one: HeldOut, other: HeldOut) -> dict[str, Any]:
    """Paired differences by set of ions."""
    rows = {}
    for label, species in SETS.items():
        try:
            error, ratio = differences(one, other, species)
        except ValueRangeError:
            continue
        rows[label] = {"RBE10_error": asdict(error), "log_survival_rms_ratio": asdict(ratio)}
    return rows


def show(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    print(f"PIDE {report['version']}: {report['experiments']} experiments, {report['dropped']} not usable;", end=" ")
    print(f"{report['folds']} folds, seeds {', '.join(map(str, report['seeds']))}")
    for label, floor in report["floor"].items():
        print(f"floor, {label}: {percent(floor['median_error'])} from {floor['pairs']} repeated pairs", end=" ")
        print(f"of {floor['publications']} publications (rms of ln RBE10 {floor['rms_error']:.2f})")
    for split, rows in report["splits"].items():
        for label in SETS:
            table(f"{split} left out, {label}" if split != "random" else f"random split, {label}", label, rows)


def table(title: str, label: str, rows: dict[str, Any]) -> None:
    """Print the scores of one split and one set of ions."""
    heads = ("RBE10 error, %", "R2", "ln S rms", "RBE10 in 90 %", "ln S in 90 %", "error less reference's, %")
    print(f"\n{title}\n{'method':<24}{'n':>6} " + "".join(f"{head:>27}" for head in heads))
    for name, row in rows.items():
        if label not in row["sets"]:
            continue
        found = row["sets"][label]
        paired = next(iter(row.get("against", {}).values()), {}).get(label, {})
        cells = (
            percent(found["RBE10_error"]),
            plain(found["RBE10_R2"]),
            plain(found["log_survival_rms"]),
            percent(found["RBE10_coverage"]),
            percent(found["log_survival_coverage"]),
            percent(paired.get("RBE10_error")),
        )
        print(f"{name:<24}{found['experiments']:>6} " + "".join(f"{cell:>27}" for cell in cells))


def percent(estimate: dict[str, float] | None) -> str:
    """An estimate times 100, with its interval."""
    return plain(None if estimate is None else {name: 100 * value for name, value in estimate.items()}, 1)


def plain(estimate: dict[str, float] | None, digits: int = 3) -> str:
    """An estimate with its interval."""
    if estimate is None:
        return "-"
    one = Estimate(**estimate)
    return f"{one.value:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}]"


if __name__ == "__main__":
    main()
