"""`direct`: maps of a whole field by direct simulation, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

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
from surrogate3d.cli.console import answer, counting, line, show, warn
from surrogate3d.cli.files import require_free
from surrogate3d.cli.options import Backend, CellLine, FractionDose, Json, Overwrite, TargetSe, words
from surrogate3d.cli.scratch import ledger_directory


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: surrogate3d direct plan.field.zarr --backend smk --cell-line HSG --fraction-dose 2 -o maps"
    app.command(epilog=example)(direct)


def direct(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="A field store (*.field.zarr) with spectra.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Directory of the maps.")],
    cell_line: CellLine,
    fraction_dose: FractionDose,
    backend: Backend = "gsm2_fft",
    fractions: Annotated[int, typer.Option(help="Number of equal fractions.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    target_se: TargetSe = 0.01,
    min_dose: Annotated[
        float, typer.Option(metavar="FRACTION", help="Least dose of a voxel, as fraction of the field's largest.")
    ] = 0.05,
    oxygen: Oxygen = None,
    in_time: InTime = False,
    nucleus_spread: NucleusSpread = 0.0,
    command: Command = None,
    jobs: Jobs = None,
    time_limit: TimeLimit = None,
    response: Response = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the simulated voxels here; else they are not kept.")
    ] = None,
    workers: Workers = 0,
    scheduler: Scheduler = "",
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Any of nifti,mha,nrrd,zarr, separated by commas.")
    ] = "nifti",
    maps: Annotated[
        str | None, typer.Option(metavar="LIST", help="Which maps, such as RBE,D_RBE; else all that are possible.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Simulate every voxel of a field directly, and write maps of survival and RBE as `predict` does.

    For back ends that take milliseconds a voxel (zr_table, mkm, smk, lem1, LET models, gsm2_fft, your own tables), or
    for whoever has the time: gsm2_mc takes about a second a voxel. Voxels outside the validity of the back end are
    flagged in the map `outside`, those that it cannot answer are gaps. Use runs with many histories: nothing here takes
    noise out of the spectra.
    """
    require_free(output, overwrite)
    from surrogate3d.inference.maps import Fractionation
    from surrogate3d.pipeline.back_ends import OwnRuns, configured
    from surrogate3d.pipeline.design import engine
    from surrogate3d.pipeline.direct_maps import DirectSettings, direct_store

    model = configured(backend, seed, nucleus_spread, OwnRuns(command, jobs, time_limit, response))
    settings = DirectSettings(model, cell_line, seed, target_se, min_dose, in_time=in_time)
    how, names = Fractionation(fraction_dose, fractions), words(maps) if maps else None
    with ledger_directory(ledger, False) as folder, counting("simulating voxels") as progress:
        work = engine(workers, scheduler)
        found = direct_store(
            field, settings, how, output, folder, work, words(formats), names, progress, overwrite, oxygen
        )
    _warn(found)
    answer("direct", {"field": field, **found}, as_json, _show)


def _warn(found: Mapping[str, Any]) -> None:
    if found["oxygen"]:
        line(f"note: {found['oxygen']}")
    for why, n in found["outside"].items():
        warn(f"{n} of {found['voxels_answered']} voxels lie outside the validity of the back end: {why}; map `outside`")
    if found["extrapolated_D10"]:
        n = found["extrapolated_D10"]
        warn(f"RBE10 of {n} voxels is extrapolated: their 10 % survival lies beyond the simulated doses")
    if found["voxels_failed"]:
        warn(f"{found['voxels_failed']} voxels have no answer; the first: {found['first_failed']}")
    if found["refused"]:
        warn(f"no maps of {', '.join(found['refused'])}: the field has no prescription")


def _show(data: Mapping[str, Any]) -> None:
    table = Table("map", "minimum", "median", "maximum")
    for name, row in data["ranges"].items():
        table.add_row(name, *("-" if x is None else f"{x:.4g}" for x in row.values()))
    words_ = f"{data['voxels_answered']} voxels with {data['backend']['name']} in {data['seconds']:.1f} s"
    show(table, f"{words_}; cell line {data['cell_line']['name']}", f"written: {data['output']}")
