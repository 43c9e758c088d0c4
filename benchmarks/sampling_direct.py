"""The same comparison with labels that were paid for: random choice against LCMD at one budget, by direct simulation.

    python benchmarks/sampling_direct.py STORES --ledger FOLDER [--plan carbon_slab] [--budget 100] [--seeds 3]

Labels and truth are `gsm2_mc` on the run with many histories; the ledger keeps them, so that a stopped run goes on. The
held-out voxels are random ones of those that are never offered. Prints R2 and NRMSE by output beside those with labels
and truth from the table on the same voxels, and the standard error of the simulated truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sampling import CUBE_MM
from sampling_curves import chosen
from sampling_plans import OUTPUTS, BenchmarkPlan, offer, outputs, read_plans
from sampling_regression import fit

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.design import SimulationSettings, simulate
from surrogate3d.sampling import SelectedVoxel
from surrogate3d.validation.metrics import error_summary

Floats = npt.NDArray[np.float64]


def simulated(plan: BenchmarkPlan, rows: npt.NDArray[np.int64], given: argparse.Namespace) -> tuple[Floats, Floats]:
    """(n, 4) outputs of direct simulation, and the mean standard errors of alpha, beta and RBE10."""
    index = plan.choice.voxels[rows]
    voxels = [SelectedVoxel(plan.name, (int(i), int(j), int(k)), "chosen", None) for i, j, k in index]
    settings = SimulationSettings(cell_lines=(given.cell_line,), target_se=given.target_se)
    found: Sequence[VoxelResponse] = simulate(voxels, {plan.name: plan.high}, given.ledger, settings)
    parameters = np.array([(response.alpha, response.beta) for response in found])
    errors = np.mean([(response.alpha_se, response.beta_se, response.RBE10_se) for response in found], axis=0)
    return outputs(parameters[:, 0], parameters[:, 1], cell_line(given.cell_line)), errors


def main() -> None:
    """Simulate, fit, judge, print."""
    given = _given()
    plan = read_plans(given.stores, [given.plan], given.cell_line)[0]
    print("| seed | strategy | labels and truth | " + " | ".join(f"{name}: R2, NRMSE %" for name in OUTPUTS) + " |")
    print("|---" * (3 + len(OUTPUTS)) + "|")
    for seed in range(given.seeds):
        offered = offer([plan], seed, CUBE_MM)
        held = offered.held_rows[0][: given.judged]
        direct_truth, errors = simulated(plan, held, given)
        for strategy in ("random", "lcmd"):
            rows = chosen(offered, strategy, given.budget, seed)
            own = offered.keys[rows, 1]
            both = {"gsm2_mc": (simulated(plan, own, given)[0], direct_truth),
                    "zr_table": (plan.truth[own], plan.truth[held])}  # fmt: skip
            for source, (labels, truth) in both.items():
                fitted = fit(offered.features[rows], labels, seed, offered.features, "kernel")
                predicted = fitted.predict(plan.features[held])
                found = [error_summary(predicted[:, n], truth[:, n]) for n in range(len(OUTPUTS))]
                cells = " | ".join(f"{e.R2:.3f}, {100 * e.NRMSE_range:.1f}" for e in found)
                print(f"| {seed} | {strategy} | {source} | {cells} |", flush=True)
        ranges = np.ptp(direct_truth[:, 1:], axis=0)
        print(f"seed {seed}: mean standard error of alpha, beta, RBE10 over their ranges: {100 * errors / ranges} %")


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--plan", default="carbon_slab")
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--judged", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--target-se", type=float, default=0.005)
    parser.add_argument("--cell-line", default="HSG")
    return parser.parse_args()


if __name__ == "__main__":
    main()
