"""How many labels a choice of voxels costs: strategies against random choice, without a table inside the regression.

    python benchmarks/sampling.py STORES --points FILE.jsonl [--seeds 10] [--json FILE] [--figure FILE]

STORES holds `<plan>_low.field.zarr` and `<plan>_high.field.zarr` as `scripts/reference_runs.py` makes them. Voxels are
chosen and features made from the run with few histories; labels and truth are `zr_table` on that with many (carbon: the
proximal two thirds). A fifth of each plan's voxels, at random by seed, is never offered and judges. Every fit is added
to the points at once; a run that was stopped goes on where it was. `--show` only prints what the points say.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sampling_figure import draw
from sampling_points import STRATEGIES, append, read
from sampling_tables import summarised, tables

REGIMES = (("proton_slab",), ("proton_deep",), ("carbon_slab",), ("proton_slab", "proton_deep", "carbon_slab"))
BUDGETS = (10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)
CUBE_MM = 5.0


def measure(given: argparse.Namespace) -> None:
    """Add what the points lack, seed by seed."""
    from sampling_curves import curve  # with torch, which `--show` does without
    from sampling_plans import offer, read_plans

    names = list(dict.fromkeys(name for regime in REGIMES for name in regime))
    plans = {plan.name: plan for plan in read_plans(given.stores, names, given.cell_line)}
    done = {point.key for point in read(given.points)}
    for seed in range(given.first_seed, given.seeds):
        for regime in REGIMES:
            name = "+".join(regime)
            missing = [
                way for way in given.strategies
                if not all((name, way, given.regression, seed, budget) in done for budget in given.budgets)
            ]  # fmt: skip
            if not missing:
                continue
            offered = offer([plans[one] for one in regime], seed, CUBE_MM)
            for way in missing:
                for point in curve(offered, name, way, seed, given.budgets, given.regression):
                    append(given.points, [point] if point.key not in done else [])
        print(f"seed {seed} is complete", flush=True)


def main() -> None:
    """Measure, print, write."""
    given = _given()
    if not given.show:
        measure(given)
    summary = summarised(read(given.points), given.regression)
    print(tables(summary))
    if given.json:
        given.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    if given.figure:
        draw(summary, given.figure)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path)
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--regression", choices=("kernel", "network"), default="kernel")
    parser.add_argument("--cell-line", default="HSG")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
