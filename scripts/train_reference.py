"""Make a shipped model from OpenTOPAS plans: labels by direct simulation, an ensemble, its calibration and domain.

    python scripts/train_reference.py MODEL ARCHIVES WORK BUNDLE [--steps N] [--seed N] [--leave-out PLAN]

MODEL is `proton` or `ion`. ARCHIVES is the folder of run archives, WORK keeps stores, cell lines, ledger and
checkpoints (an interrupted run goes on), BUNDLE is written. `--leave-out` makes a model to judge on a development plan.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from reference_lines import KNOWN, family_files, training_lines
from reference_runs import TRAINED_ON, stores, trainable

from surrogate3d.config import load_train_config
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import save_bundle
from surrogate3d.pipeline.design import SimulationSettings, sample, simulate
from surrogate3d.pipeline.plan_pairs import PlanPair
from surrogate3d.pipeline.training import train

LABELS_PER_PLAN, CUBE_MM = 200, 5.0
CONFIGS = Path(__file__).parents[1] / "configs"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(TRAINED_ON))
    for name in ("archives", "work", "bundle"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", type=int, help="instead of those of the configuration")
    parser.add_argument("--members", type=int, help="instead of those of the configuration")
    parser.add_argument("--threads", type=int, help="instead of those of the configuration")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leave-out", default="", help="a plan not to train on")
    return parser.parse_args()


def plan_pair(name: str, low: Path, high: Path, work: Path, lines: tuple[str, ...]) -> PlanPair:
    """A plan with its labels; simulated voxels are taken from the ledger."""
    identity, field = field_id(high), read_field(high)
    within = trainable(name, field)
    selection = sample(
        {identity: field}, LABELS_PER_PLAN, CUBE_MM, 0, 0, 0, within={identity: within}, strategy="adaptive"
    )
    settings = SimulationSettings("gsm2_mc", lines, seed=0, target_se=0.003)
    start = time.time()
    responses = simulate(selection.of_role("chosen"), {identity: field}, work / "ledger", settings)
    print(f"{name}: {selection.statement}; {len(responses)} responses in {time.time() - start:.0f} s", flush=True)
    return PlanPair(field_id(low), read_field(low), identity, field, responses, within)


def main() -> None:
    """Train and save."""
    args = options()
    paths, _ = family_files(args.work / "lines")
    plans = {
        name: pair
        for name, pair in stores(args.archives, args.work / "stores").items()
        if name in TRAINED_ON[args.model] and name != args.leave_out
    }
    lines = (*KNOWN, *map(str, paths))
    pairs = [plan_pair(name, low, high, args.work, lines) for name, (low, high) in plans.items()]
    given = {key: getattr(args, key) for key in ("steps", "members", "threads") if getattr(args, key)}
    config = replace(load_train_config(CONFIGS / f"train_{args.model}.toml"), **given)
    state = args.work / "training" / args.bundle.name
    state.mkdir(parents=True, exist_ok=True)
    start = time.time()
    surrogate = train(pairs, KNOWN, config, args.seed, _print_progress, others=training_lines(paths), state=state)
    print(f"trained in {time.time() - start:.0f} s; loss {surrogate.card.training['final_loss']}")
    print(f"calibration {surrogate.card.calibration}")
    print(save_bundle(surrogate, args.bundle, overwrite=True))


def _print_progress(done: int, total: int) -> None:
    if done % 250 == 0:
        print(f"{done} of {total} steps", flush=True)


if __name__ == "__main__":
    main()
