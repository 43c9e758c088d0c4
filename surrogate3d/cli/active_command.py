"""`active`: choose, simulate, train and judge until the surrogate is good enough."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_active
from surrogate3d.cli.console import answer, line, steps
from surrogate3d.cli.options import Backend, CellLines, Json, Overwrite, TargetSe
from surrogate3d.cli.pairs import require_pairs


def register(app: typer.Typer) -> None:
    """Add the command."""
    pair = (
        "Example: surrogate3d active --low low.field.zarr --high high.field.zarr --cell-line HSG --target-nrmse 0.01 "
    )
    app.command(epilog=pair + "--state loop -o model.bundle")(active)


def active(
    low: Annotated[list[Path], typer.Option(metavar="FIELD", help="Run with few histories; repeat for each plan.")],
    high: Annotated[list[Path], typer.Option(metavar="FIELD", help="Its run with many histories, in the same order.")],
    cell_lines: CellLines,
    state: Annotated[Path, typer.Option(metavar="DIR", help="What the loop has done so far; made if missing.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The last round's model bundle.")],
    target_nrmse: Annotated[
        float, typer.Option(metavar="FRACTION", help="Upper 95 % bound of the error at which the loop ends.")
    ] = 0.01,
    budget: Annotated[int, typer.Option(help="Voxels to simulate for training, at most.")] = 500,
    cpu_hours: Annotated[
        float | None, typer.Option(metavar="HOURS", help="CPU time after which no round begins; no limit if left out.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Voxels that each round adds.")] = 50,
    worst: Annotated[int, typer.Option(help="Voxels to hold out: the least similar to the chosen ones.")] = 100,
    random: Annotated[int, typer.Option(help="Voxels to hold out: at random.")] = 100,
    cube_mm: Annotated[
        float, typer.Option(metavar="MM", help="Edge of the coarse cubes; each offers one candidate.")
    ] = 10.0,
    min_dose: Annotated[
        float, typer.Option(metavar="FRACTION", help="Least dose of a voxel, as fraction of its field's largest.")
    ] = 0.05,
    fraction_dose: Annotated[
        float, typer.Option(metavar="GY", help="Physical dose in Gy at which -ln S is judged.")
    ] = 2.0,
    acquisition: Annotated[
        str,
        typer.Option(metavar="NAME", help="How voxels are chosen: lcmd, adaptive, or another of docs/training.md."),
    ] = "lcmd",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="How to train, TOML (configs/); else the defaults.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice and the training.")] = 0,
    backend: Backend = "gsm2_mc",
    sim_seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    target_se: TargetSe = 0.01,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Choose voxels, simulate them, train, and judge on held-out voxels; again, until the error is small enough.

    The error is the NRMSE of -ln S at --fraction-dose (Gy) and of RBE10, on a worst-case and on a random set. The loop
    ends when the upper bound of all is at most --target-nrmse, or the budget is spent; held-out voxels come on top of
    it. It can be killed and run again; with a larger budget or another target, too.
    """
    require_pairs(low, high)
    from surrogate3d.config import load_train_config
    from surrogate3d.pipeline.active import run_active
    from surrogate3d.pipeline.active_rounds import ActiveSettings
    from surrogate3d.pipeline.design import SimulationSettings
    from surrogate3d.training.settings import TrainConfig

    how, start = load_train_config(config) if config else TrainConfig(), time.perf_counter()
    simulation = SimulationSettings(backend, tuple(cell_lines), sim_seed, target_se)
    settings = ActiveSettings(
        target_nrmse, budget, cpu_hours, batch, worst, random, cube_mm, min_dose, fraction_dose, seed, acquisition
    )
    with steps() as shown:
        done = run_active(
            low, high, state, output, simulation, how, settings,
            overwrite=overwrite, report=lambda each: line(show_active.in_words(each)), steps=shown,
        )  # fmt: skip
    data = {"output": output, "state": state, **asdict(settings), **asdict(simulation), "seed": seed}
    data |= {"sim_seed": sim_seed, "met": done.met, **asdict(done), "seconds": time.perf_counter() - start}
    answer("active", data, as_json, show_active.loop)
    show_active.warnings(data)
