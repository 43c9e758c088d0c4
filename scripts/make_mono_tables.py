"""Remake surrogate3d/physics/data/mono/*.json: alpha and beta of monoenergetic ions, by direct Monte Carlo.

One voxel per species and energy bin of the engine's standard axes, irradiated with the bin's representative energy
only. Every energy is simulated until its own standard errors reach the targets, nothing is smoothed, and all cell
lines share their tracks. With the default targets this takes about ten minutes on one core.

    python scripts/make_mono_tables.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.direct.curve import FIT_DOSE_MAX, FIT_SURVIVAL_MIN
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.grid import SpectrumAxes

SPECIES = ("H", "He", "Li", "Be", "B", "C")
FOLDER = Path(__file__).parents[1] / "surrogate3d" / "physics" / "data" / "mono"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell-lines", nargs="+", default=["HSG", "V79"])
    parser.add_argument("--alpha-se", type=float, default=0.003, help="target relative standard error of alpha")
    parser.add_argument("--rbe-se", type=float, default=0.0015, help="target relative standard error of RBE(2 Gy)")
    parser.add_argument("--max-nuclei", type=int, default=1_500_000, help="for one energy")
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--out", type=Path, default=FOLDER)
    return parser.parse_args()


def converged(response: VoxelResponse, alpha_se: float, rbe_se: float, max_nuclei: int) -> bool:
    """Whether the targets, or the limit of work, are reached."""
    precise = response.alpha_se <= alpha_se * response.alpha and response.RBE_ref_se <= rbe_se * response.RBE_ref
    return precise or response.n_nuclei >= max_nuclei


def simulate(task: VoxelTask, args: argparse.Namespace) -> list[VoxelResponse]:
    """One energy: the target on survival is tightened until alpha and RBE are precise enough."""
    simulator = Gsm2MonteCarlo(max_nuclei=args.max_nuclei)
    target = 0.02
    while True:
        responses = simulator.simulate([task], args.seed, target)
        if all(converged(r, args.alpha_se, args.rbe_se, args.max_nuclei) for r in responses):
            return responses
        target *= 0.6


def table(name: str, axes: SpectrumAxes, rows: list[list[VoxelResponse]], args: argparse.Namespace) -> dict[str, Any]:
    """The shipped form of one cell line's table."""
    data: dict[str, Any] = {
        "schema": "surrogate3d.mono_table/1",
        "cell_line": name,
        "species": list(axes.species),
        "energy_mev_u": [[float(f"{e:.8g}") for e in row] for row in axes.energy_mev_u],
    }
    for key in ("alpha", "alpha_se", "beta", "beta_se"):
        data[key] = [[float(f"{getattr(r, key):.6g}") for r in row] for row in rows]
    every = [r for row in rows for r in row]
    data["source"] = {
        "made_by": "scripts/make_mono_tables.py",
        "backend": every[0].backend,
        "method": "monoenergetic tracks, Kiefer-Chatterjee amorphous track structure, GSM2 response",
        "fit": f"least squares of -ln S / D, weights D, beta >= 0, D <= {FIT_DOSE_MAX} Gy, S > {FIT_SURVIVAL_MIN}",
        "doses_gy": [d for d in every[0].doses if d <= FIT_DOSE_MAX],
        "seed": args.seed,
        "target_relative_se": {"alpha": args.alpha_se, "RBE_2Gy": args.rbe_se},
        "largest_relative_se": {
            "alpha": round(max(r.alpha_se / r.alpha for r in every), 5),
            "RBE_2Gy": round(max(r.RBE_ref_se / r.RBE_ref for r in every), 5),
        },
        "nuclei": sum(r.n_nuclei for r in every),
    }
    return data


def write(path: Path, data: dict[str, Any]) -> None:
    """Replace the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".json.new")
    new.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    os.replace(new, path)


def main() -> None:
    """Simulate all energies and write the tables."""
    args = options()
    axes = SpectrumAxes.logarithmic(SPECIES)
    rows: dict[str, list[list[VoxelResponse]]] = {name: [] for name in args.cell_lines}
    start = time.monotonic()
    for s, species in enumerate(SPECIES):
        answers = []
        for n in range(axes.n_bins):
            fluence = np.zeros((len(SPECIES), axes.n_bins))
            fluence[s, n] = 1.0
            answers.append(simulate(VoxelTask(fluence, axes, float("nan"), tuple(args.cell_lines)), args))
        for line, name in enumerate(args.cell_lines):
            rows[name].append([answer[line] for answer in answers])
        print(f"{species}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    for name in args.cell_lines:
        write(args.out / f"{name}.json", table(name, axes, rows[name], args))


if __name__ == "__main__":
    main()
