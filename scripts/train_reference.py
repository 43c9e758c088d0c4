"""Make the shipped model: three OpenTOPAS plans, two cell lines, one ensemble.

    python scripts/train_reference.py ARCHIVES WORK BUNDLE

ARCHIVES is the folder of run archives, WORK keeps stores and ledger (an interrupted run goes on), BUNDLE is written.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from reference_runs import TRAINED_ON, stores, trainable

from surrogate3d.config import load_train_config
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import save_bundle
from surrogate3d.pipeline.design import SimulationSettings, sample, simulate
from surrogate3d.pipeline.training import PlanPair, train

BUDGET, CUBE_MM, SEED = 900, 5.0, 0
SIMULATION = SimulationSettings("gsm2_mc", ("HSG", "V79"), seed=0, target_se=0.003)
CONFIG = Path(__file__).parents[1] / "configs" / "train_reference.toml"


def main() -> None:
    """Train and save."""
    archives, work, bundle = (Path(argument) for argument in sys.argv[1:4])
    plans = {name: pair for name, pair in stores(archives, work / "stores").items() if name in TRAINED_ON}
    ids = {name: field_id(high) for name, (_, high) in plans.items()}
    highs = {ids[name]: read_field(high) for name, (_, high) in plans.items()}
    within = {ids[name]: trainable(name, highs[ids[name]]) for name in plans}
    selection = sample(highs, BUDGET, CUBE_MM, SEED, 0, 0, within=within)
    print(selection.statement)
    start = time.time()
    responses = simulate(selection.of_role("chosen"), highs, work / "ledger", SIMULATION)
    print(f"{len(responses)} responses in {time.time() - start:.0f} s")
    pairs = [
        PlanPair(
            field_id(low), read_field(low), ids[name], highs[ids[name]],
            [r for r in responses if r.field_id == ids[name]],
        )
        for name, (low, _) in plans.items()
    ]  # fmt: skip
    start = time.time()
    surrogate = train(pairs, SIMULATION.cell_lines, load_train_config(CONFIG), SEED, _print_progress)
    print(f"trained in {time.time() - start:.0f} s; loss {surrogate.card.training['final_loss']}")
    print(save_bundle(surrogate, bundle, overwrite=True))


def _print_progress(done: int, total: int) -> None:
    if done % 250 == 0:
        print(f"{done} of {total} steps", flush=True)


if __name__ == "__main__":
    main()
