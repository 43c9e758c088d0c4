"""Judge models on plans and voxels that they were not trained on; prints the tables of docs/results.md.

    python scripts/judge_reference.py ARCHIVES WORK [MODEL ...] [--left-out PLAN=MODEL ...] [--json FILE]

ARCHIVES is the folder of run archives, WORK keeps stores and ledger. MODEL is a shipped name or a bundle; several are
taken as trainings with other seeds, and their spread is given. `--left-out` replaces them on one plan, by models that
have not seen it: another split, or another ion. Inputs are the low run and its thinned versions, with several seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from judge_figures import Row
from judge_inputs import Plan, plan_of, simulated_truth, table_truth
from judge_markdown import tables
from judge_methods import Quartic, calibrated_quartic
from judge_plan import Judge
from reference_runs import TRAINED_ON, stores, trainable

from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.pipeline.models import resolve

SHIPPED = "proton"
SCHEMA = "surrogate3d.judgement/1"


def quartic_for(plan: Plan, others: dict[str, Plan], line: CellLine) -> Quartic | None:
    """Calibrated on the training plans of the same ion; on the plan's own trainable part if there is no other."""
    same_ion = {n: p for n, p in others.items() if n in TRAINED_ON and n.split("_")[0] == plan.name.split("_")[0]}
    chosen = {n: p for n, p in same_ion.items() if n != plan.name} or same_ion
    return calibrated_quartic({n: (p.high, p.judged & trainable(n, p.high)) for n, p in chosen.items()}, line)


def main() -> None:
    """Judge, print, write."""
    options = _options()
    start = time.time()
    found = stores(options.archives, options.work / "stores")
    plans = {name: plan_of(name, *pair) for name, pair in found.items()}
    main_models = _load(options.models or [SHIPPED])
    left_out: dict[str, list[str]] = {}
    for name, model in options.left_out:
        left_out.setdefault(name, []).append(model)
    rows: list[Row] = []
    about_truth: list[Row] = []
    bundles: dict[str, str] = {}
    for name in options.plans or plans:
        models = _load(left_out[name]) if name in left_out else main_models
        bundles |= {model: loaded.bundle_id for model, loaded in models.items()}
        for line in map(cell_line, options.lines):
            plan = plans[name]
            truths = [table_truth(plan, line)]
            if options.voxels:
                truths.append(
                    simulated_truth(plan, line, options.voxels, options.truth_se, options.work / "judge_ledger")
                )
                about_truth.append({"plan": name, "line": line.name, **truths[-1].about})
            rows += Judge(plan, line, truths, quartic_for(plan, plans, line)).rows(models, options.seeds)
            print(f"{name}, {line.name}: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    print(tables(rows, about_truth))
    if options.json:
        data = {"schema": SCHEMA, "bundles": bundles, "truth": about_truth, "rows": rows}
        options.json.write_text(json.dumps(_plain(data), indent=0, allow_nan=False), encoding="utf-8")


def _load(names: Sequence[str]) -> dict[str, Surrogate]:
    return {str(name): load_bundle(resolve(name)) for name in names}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archives", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("models", nargs="*", help=f"shipped names or bundles; {SHIPPED} if not given")
    parser.add_argument("--left-out", action="append", default=[], type=_pair, metavar="PLAN=MODEL")
    parser.add_argument("--plans", nargs="+", help="only these")
    parser.add_argument("--lines", nargs="+", default=["HSG"], help="cell lines")
    parser.add_argument("--seeds", type=int, default=3, help="thinning seeds")
    parser.add_argument("--voxels", type=int, default=300, help="directly simulated voxels a part; 0 for none")
    parser.add_argument("--truth-se", type=float, default=0.0015, help="relative standard error of survival")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _pair(text: str) -> tuple[str, str]:
    plan, equals, model = text.partition("=")
    if not (plan and equals and model):
        raise argparse.ArgumentTypeError(f"expected PLAN=MODEL, found {text!r}")
    return plan, model


def _plain(value: Any) -> Any:
    """Numbers that are not known become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    main()
