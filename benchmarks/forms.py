"""Forms of the network that predicts kernels, each trained on one development plan and judged on the other.

    python benchmarks/forms.py STORES WORK [--steps 300] [--seeds 2] [--forms NAME ...] [--swap] [--show]

STORES holds `<plan>_low.field.zarr` and `<plan>_high.field.zarr` as `scripts/reference_runs.py` makes them. All forms
have the same realisations, steps and seeds. `distilled` also learns what three networks of the form `kernels` answer to
the same noisy inputs. WORK keeps checkpoints and figures: a run that was stopped goes on where it was, and `--show`
only prints what is there. The form `unet` needs MONAI 1.6. Trained on `proton_slab` and judged on `proton_deep`;
`--swap` the other way round. Truth: `zr_table` on high statistics with the noise of its helium pooled away. A voxel
in which nothing was scored has no answer by table or grouped pooling, and is left out of their figures only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from forms_judge import (
    answers,
    figures,
    grouped_RBE,
    judged_voxels,
    network_RBE,
    realisations,
    table_RBE,
    true_RBE,
)
from forms_networks import FORMS, Form, FormNetwork
from forms_plans import FormPlan, read_plan
from torch import Tensor

from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.freed_memory import keep_freed_memory
from surrogate3d.model.network import NetworkConfig
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table
from surrogate3d.training.dataset import Example
from surrogate3d.training.kernel_training import KernelTraining
from surrogate3d.training.settings import TrainConfig

PLANS = ("proton_slab", "proton_deep")
LEVELS = (600.0, 150.0, 30.0)
LINE = cell_line("HSG")
DOSES_GY = torch.tensor([0.5, 1.0, 2.0, 4.0, 6.0])
TEACHERS = 3

Point = dict[str, Any]


@dataclass(eq=False)
class Bench:
    """One direction: a plan to train on, a plan to judge on, and the networks trained so far.

    Attributes:
        learnt: plan that is trained on.
        judged: plan that is judged on.
        config: of every training.
        work: folder of the checkpoints.
        trained: networks and processor seconds per step, by form and seed.
    """

    learnt: FormPlan
    judged: FormPlan
    config: TrainConfig
    work: Path
    trained: dict[tuple[str, int], tuple[FormNetwork, float]] = field(default_factory=dict)

    def network(self, name: str, seed: int) -> tuple[FormNetwork, float]:
        """The trained network of a form, from its checkpoint if it is there, and its processor seconds per step."""
        if (name, seed) not in self.trained:
            form = FORMS[name]
            example = prepared(self.learnt, form)
            if form.distilled:
                example = distilled(example, [self.network("kernels", n)[0] for n in range(TEACHERS)])
            state = self.work / f"{self.learnt.name}_{name}_{seed}_{self.config.steps}"
            # A distilled network must not begin as one of its teachers.
            self.trained[name, seed] = fit(form, example, self.config, seed + TEACHERS * form.distilled, state)
        return self.trained[name, seed]

    def judge(self, name: str, seed: int) -> Point:
        """Train and judge one network."""
        network, seconds = self.network(name, seed)
        return {**self._point(name, seed, [network], FORMS[name]), "seconds_per_step": seconds}

    def judge_three(self) -> Point:
        """The mean of the networks that are distilled."""
        return self._point(
            "three kernels", 0, [self.network("kernels", n)[0] for n in range(TEACHERS)], FORMS["kernels"]
        )

    def _point(self, name: str, seed: int, networks: Sequence[FormNetwork], form: Form) -> Point:
        return self.point(
            name, seed, lambda n: np.mean([network_RBE(m, form, self.judged, n, LINE) for m in networks], axis=0)
        )

    def point(self, name: str, seed: int, found: Any) -> Point:
        """Figures of an answer, given as a function of the realisation, at all statistics."""
        truth = true_RBE(self.judged, LINE)
        by_level = {
            f"{level:.0f}": figures([found(n) for n in which], truth)
            for level, which in realisations(self.judged, LEVELS).items()
        }
        return {
            "trained_on": self.learnt.name, "judged_on": self.judged.name, "form": name, "seed": seed,
            "steps": self.config.steps, "tracks": by_level,
        }  # fmt: skip

    def baselines(self) -> list[Point]:
        """What needs no training."""
        return [
            self.point("zr_table", 0, lambda n: table_RBE(self.judged, n, LINE)),
            self.point("grouped pooling", 0, lambda n: grouped_RBE(self.judged, n, LINE)),
        ]


def prepared(plan: FormPlan, form: Form) -> Example:
    """The plan's example with the inputs of a form."""
    return replace(plan.example, inputs=tuple(form.prepare(x, plan.material) for x in plan.example.inputs))


def distilled(example: Example, teachers: Sequence[FormNetwork]) -> Example:
    """Every realisation twice: with the noisy target, and with the mean of what the teachers answer to it."""
    voxels = example.learnt.nonzero()
    taught = []
    for inputs, target in zip(example.inputs, example.target, strict=True):
        alpha_x = torch.tensor(LINE.alpha_x)
        mean = torch.stack([answers(one, inputs, example.charge, alpha_x, voxels) for one in teachers]).mean(dim=0)
        i, j, k = voxels.unbind(1)
        answer = torch.zeros_like(target)
        answer[:, i, j, k] = torch.cat([torch.ones_like(mean[:1]), mean]) * target[0, i, j, k]
        taught.append(answer)
    return replace(
        example, inputs=example.inputs * 2, target=(*example.target, *taught), weight=tuple(example.weight) * 2
    )


def fit(form: Form, example: Example, config: TrainConfig, seed: int, state: Path) -> tuple[FormNetwork, float]:
    """Train the kernels of one network by the package's loop; processor seconds per step, NaN if it was there."""
    torch.manual_seed(seed)
    network = form.network(NetworkConfig())
    alpha_x = torch.tensor(LINE.alpha_x)
    normalise(network, example, alpha_x)
    start, steps = time.process_time(), list[int]()
    with without_denormals():
        training = KernelTraining(
            network, [example], alpha_x, DOSES_GY, config, seed, np.random.default_rng(seed), state
        )
        training.fit(lambda step, _: steps.append(step))
    seconds = (time.process_time() - start) / len(steps) if steps else float("nan")
    return network.eval(), seconds


def normalise(network: FormNetwork, example: Example, alpha_x: Tensor) -> None:
    """Set the channels' mean and standard deviation over the voxels of all inputs, as the package does."""
    with torch.no_grad():
        seen = [network.view(x, alpha_x, example.charge)[2].transpose(0, 1).flatten(1)[:, ::7] for x in example.inputs]
        values = torch.cat(seen, dim=1)
        network.channel_mean.copy_(values.mean(dim=1))
        network.channel_std.copy_(values.std(dim=1).clamp_min(1e-2))


def measure(given: argparse.Namespace, points: Path) -> None:
    """Add what the points lack."""
    torch.set_num_threads(1)
    keep_freed_memory()
    table = mono_table("HSG")
    names = PLANS[::-1] if given.swap else PLANS
    plans = [read_plan(given.stores, name, table, seed=0) for name in names]
    config = TrainConfig(steps=given.steps, threads=1)
    bench = Bench(plans[0], plans[1], config, given.work / "training")
    bench.work.mkdir(parents=True, exist_ok=True)
    done = {_key(point) for point in read_points(points)}
    print(f"trained on {names[0]}, judged on {names[1]}: {len(judged_voxels(plans[1])):,} voxels", flush=True)
    if (names[0], given.steps, "zr_table", 0) not in done:
        for point in bench.baselines():
            append(points, point)
    for seed in range(given.seeds):
        for name in given.forms:
            if (names[0], given.steps, name, seed) not in done:
                append(points, bench.judge(name, seed))
    if "distilled" in given.forms and (names[0], given.steps, "three kernels", 0) not in done:
        append(points, bench.judge_three())


def _key(point: Point) -> tuple[str, int, str, int]:
    return point["trained_on"], point["steps"], point["form"], point["seed"]


def read_points(path: Path) -> list[Point]:
    """All points; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, point: Point) -> None:
    """Add a point and print it."""
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(point) + "\n")
    found = {level: f"{x['RMS']:.3f}/{x['p95']:.2f} ({x['bias']:+.2f})" for level, x in point["tracks"].items()}
    print(point["form"], point["seed"], found, f"{point.get('seconds_per_step', float('nan')):.3f} s/step", flush=True)


def show(points: Sequence[Point]) -> None:
    """Print a table for each direction: means over seeds, ranges of the RMS in brackets."""
    for trained_on, steps in sorted({(p["trained_on"], p["steps"]) for p in points}):
        of_run = [p for p in points if (p["trained_on"], p["steps"]) == (trained_on, steps)]
        levels = list(of_run[0]["tracks"])
        print(f"\ntrained on {trained_on}, {steps} steps, judged on {of_run[0]['judged_on']}; RMS / p95 in %\n")
        print(f"| form | seeds | s per step | {' | '.join(levels)} tracks |")
        print("|---" * (3 + len(levels)) + "|")
        for form in dict.fromkeys(p["form"] for p in of_run):
            seeds = [p for p in of_run if p["form"] == form]
            seconds = [p["seconds_per_step"] for p in seeds if p.get("seconds_per_step", 0) > 0]
            cells = [_cell([p["tracks"][level] for p in seeds]) for level in levels]
            print(f"| {form} | {len(seeds)} | {f'{np.mean(seconds):.2f}' if seconds else ''} | {' | '.join(cells)} |")


def _cell(found: Sequence[dict[str, float]]) -> str:
    RMS = [x["RMS"] for x in found]
    spread = f" ({min(RMS):.3f}-{max(RMS):.3f})" if len(found) > 1 else ""
    return f"{np.mean(RMS):.3f}{spread} / {np.mean([x['p95'] for x in found]):.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=tuple(FORMS))
    parser.add_argument("--swap", action="store_true", help="train on proton_deep and judge on proton_slab")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    points = given.work / "points.jsonl"
    if not given.show:
        measure(given, points)
    show(read_points(points))


if __name__ == "__main__":
    main()
