"""`sample` and `simulate`: choose the voxels worth a full simulation, and simulate them."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from surrogate3d.cli import show_design
from surrogate3d.cli.back_end_options import (
    Command,
    InTime,
    Jobs,
    NucleusSpread,
    Oxygen,
    Response,
    Scheduler,
    TimeLimit,
    Workers,
)
from surrogate3d.cli.console import answer, counting, line, working
from surrogate3d.cli.files import read_selection, require_free, write_json
from surrogate3d.cli.options import Backend, CellLines, Fields, Json, Overwrite, TargetSe


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: surrogate3d sample high.field.zarr --budget 200 -o selection.json")(sample)
    example = "Example: surrogate3d simulate selection.json high.field.zarr --ledger ledger --cell-line HSG"
    app.command(epilog=example)(simulate)


def sample(
    fields: Fields,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The selection, a JSON file.")],
    budget: Annotated[int, typer.Option(help="Voxels to choose for training, over all fields.", show_default=False)],
    cube_mm: Annotated[
        float, typer.Option(metavar="MM", help="Edge of the coarse cubes; each offers one candidate (adaptive).")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of all lots.")] = 0,
    worst: Annotated[int, typer.Option(help="Voxels to hold out: the least similar to the chosen ones.")] = 0,
    random: Annotated[int, typer.Option(help="Voxels to hold out: at random from the rest.")] = 0,
    min_dose: Annotated[
        float, typer.Option(metavar="FRACTION", help="Least dose of a voxel, as fraction of its field's largest.")
    ] = 0.05,
    strategy: Annotated[
        Literal["adaptive", "random", "stratified", "both", "k_centre", "lcmd"],
        typer.Option(help="How voxels are chosen (docs/sampling.md)."),
    ] = "lcmd",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Choose the voxels worth a full simulation: those whose spectra stand for most others (or see --strategy).

    Take the runs with many histories: their spectra are the truth of the training.
    """
    from surrogate3d.pipeline.design import read_fields
    from surrogate3d.pipeline.design import sample as run

    require_free(output, overwrite)
    with working("choosing voxels"):
        selection = run(read_fields(fields), budget, cube_mm, seed, worst, random, min_dose, strategy=strategy)
    write_json(output, selection.to_json(), overwrite)
    answer("sample", {"output": output, **show_design.selected(selection)}, as_json, show_design.selection)


def simulate(
    selection: Annotated[Path, typer.Argument(metavar="SELECTION", help="What `sample` wrote.")],
    fields: Fields,
    ledger: Annotated[Path, typer.Option(metavar="DIR", help="Where all responses are kept; made if missing.")],
    cell_lines: CellLines,
    backend: Backend = "gsm2_mc",
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    target_se: TargetSe = 0.01,
    role: Annotated[Literal["chosen", "worst", "random", "all"], typer.Option(help="Which voxels.")] = "all",
    oxygen: Oxygen = None,
    in_time: InTime = False,
    nucleus_spread: NucleusSpread = 0.0,
    command: Command = None,
    jobs: Jobs = None,
    time_limit: TimeLimit = None,
    response: Response = None,
    workers: Workers = 0,
    scheduler: Scheduler = "",
    as_json: Json = False,
) -> None:
    """Simulate the selected voxels directly (dose in Gy, alpha in 1/Gy), each with its Monte Carlo standard error.

    It can be interrupted and run again: every finished voxel is in the ledger, and nothing is paid for twice. Voxels
    that cannot be simulated are reported at the end, with exit code 1; they do not stop the others.
    """
    from surrogate3d.direct.campaign import failed
    from surrogate3d.pipeline.back_ends import OwnRuns, conditions_for, configured
    from surrogate3d.pipeline.design import SimulationSettings, campaign, engine, read_fields

    chosen = read_selection(selection)
    voxels = list(chosen.voxels) if role == "all" else chosen.of_role(role)
    if not voxels:
        raise typer.BadParameter(f"{selection} has no voxel of the role {role}")
    settings, start = SimulationSettings(backend, tuple(cell_lines), seed, target_se), time.perf_counter()
    model = configured(backend, seed, nucleus_spread, OwnRuns(command, jobs, time_limit, response))
    plans, work = read_fields(fields), engine(workers, scheduler)
    around, notes = conditions_for(plans, oxygen, in_time)
    for note in notes:
        line(f"note: {note}")
    with counting("simulating voxels") as progress:
        done = campaign(voxels, plans, ledger, settings, progress, work, backend=model, conditions=around)
    data = {"ledger": ledger, "role": role, **show_design.simulated(settings, done.responses, len(voxels))}
    data |= {"oxygen": notes, "in_time": in_time, "nucleus_spread": nucleus_spread}
    data |= {"failed": [asdict(failure) for failure in done.failures]}
    data |= {"core_seconds": done.core_seconds, "seconds": time.perf_counter() - start}
    answer("simulate", data, as_json, show_design.simulation)
    if done.failures:
        line(f"error: {failed(done.failures)}")
        raise typer.Exit(1)
