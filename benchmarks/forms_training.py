"""Ways to train the shipped form of the network: mixed precision, early stopping, made-up plans beside a real one.

    python benchmarks/forms_training.py STORES [--steps 300] [--every N] [--seeds 2] [--ways NAME ...] [--swap]

STORES and the judgement are those of `forms.py`. At the end of every training, and every N steps, one line: the error
at the voxels kept out of it (with patience only), and RMS / 95th percentile (bias) of the error of RBE on the other
plan, in %, by tracks. A patience that never runs out shows where any other would have ended: it changes no step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from forms import DOSES_GY, LEVELS, LINE, PLANS, normalise, prepared
from forms_judge import figures, network_RBE, realisations, true_RBE
from forms_networks import FORMS, FormNetwork
from forms_plans import FormPlan, read_plan
from synthetic_plan import BroadBeam, synthetic_example, synthetic_field

from surrogate3d.grid import Grid
from surrogate3d.io.field_store import read_field
from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.freed_memory import keep_freed_memory
from surrogate3d.model.network import NetworkConfig
from surrogate3d.physics.mixing import mono_table
from surrogate3d.training.dataset import Example
from surrogate3d.training.kernel_training import KernelTraining
from surrogate3d.training.settings import TrainConfig

FORM = FORMS["kernels"]
NEVER = 1_000_000


@dataclass(frozen=True)
class Way:
    """One way to train.

    Attributes:
        precision: of `TrainConfig`.
        patience: of `TrainConfig`.
        synthetic: made-up plans.
        real_share: of the steps that are made on the real plan, if there are made-up ones.
    """

    precision: str = "fp32"
    patience: int = 0
    synthetic: int = 0
    real_share: float = 0.5


WAYS = {
    "as shipped": Way(),
    "bf16": Way(precision="bf16"),
    "watched": Way(patience=NEVER),
    "patience 3": Way(patience=3),
    "half synthetic": Way(synthetic=4),
    "fifth synthetic": Way(synthetic=4, real_share=0.8),
}
"""By name."""


def examples_of(way: Way, plan: FormPlan, stores: Path, seed: int) -> list[Example]:
    """The real plan as often as its share of the steps asks for, and the made-up ones."""
    real, times = prepared(plan, FORM), round(way.synthetic * way.real_share / (1 - way.real_share))
    return [real] * max(times, 1) + list(synthetic_examples(way.synthetic, stores, plan.name, seed))


def synthetic_examples(n: int, stores: Path, name: str, seed: int) -> Iterator[Example]:
    """Made-up plans with the bins, the grid and the statistics of a real one."""
    real, table, settings = read_field(stores / f"{name}_high.field.zarr"), mono_table(LINE.name), TrainConfig()
    axes, grid = real.spectra.axes, Grid(real.grid.shape, real.grid.spacing_mm, (0.0, 0.0, 0.0))
    rng = np.random.default_rng((seed, n))
    for _ in range(n):
        field = synthetic_field(axes, grid, BroadBeam.draw(rng))
        yield synthetic_example(field, table, settings.tracks_levels, settings.copies, rng)


def run(way: Way, examples: Sequence[Example], judged: FormPlan, steps: int, every: int, seed: int, name: str) -> None:
    """Train, and print the figures on the way and in the end."""
    torch.manual_seed(seed)
    network, alpha_x = FORM.network(NetworkConfig()), torch.tensor(LINE.alpha_x)
    normalise(network, examples[0], alpha_x)
    config = TrainConfig(steps=steps, threads=1, precision=way.precision, patience=way.patience)
    rng = np.random.default_rng(seed)
    training = KernelTraining(network, examples, alpha_x, DOSES_GY, config, seed, rng, None)
    start, spent = time.process_time(), [0.0]

    def told(step: int, _: int) -> None:
        if step % every == 0:
            before = time.process_time()
            print(f"{name} {seed} step {step}: {_figures(training, network, judged)}", flush=True)
            spent[0] += time.process_time() - before

    with without_denormals():
        training.fit(told)
    seconds = time.process_time() - start - spent[0]
    print(f"{name} {seed} taken: {_figures(training, network, judged)}; {seconds:.0f} s of CPU time", flush=True)


def _figures(training: KernelTraining, network: FormNetwork, judged: FormPlan) -> str:
    truth = true_RBE(judged, LINE)
    found = []
    for level, which in realisations(judged, LEVELS).items():
        got = figures([network_RBE(network, FORM, judged, n, LINE) for n in which], truth)
        found.append(f"{level:.0f}: {got['RMS']:.3f}/{got['p95']:.2f} ({got['bias']:+.2f})")
    watched = training.judged
    error = "" if watched is None else f"stop_loss {watched.error(network, training.alpha_x, training.doses):.4f}; "
    return error + ", ".join(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=NEVER, help="steps between two lines")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=tuple(WAYS))
    parser.add_argument("--swap", action="store_true", help="train on proton_deep and judge on proton_slab")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    table = mono_table(LINE.name)
    names = PLANS[::-1] if given.swap else PLANS
    learnt, judged = (read_plan(given.stores, name, table, seed=0) for name in names)
    for seed in range(given.seeds):
        for name in given.ways:
            examples = examples_of(WAYS[name], learnt, given.stores, seed)
            run(WAYS[name], examples, judged, given.steps, given.every, seed, name)


if __name__ == "__main__":
    main()
