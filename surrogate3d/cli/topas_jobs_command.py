"""`topas jobs`: runs of OpenTOPAS for chosen voxels, to be read back by `simulate --backend topas_job`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from surrogate3d.cli.console import answer, counting, line, show
from surrogate3d.cli.files import read_selection
from surrogate3d.cli.options import Fields, Json


def register(topas_app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: surrogate3d topas jobs selection.json high.field.zarr -o jobs --histories 200000"
    topas_app.command(epilog=example)(jobs)


def jobs(
    selection: Annotated[Path, typer.Argument(metavar="SELECTION", help="What `sample` wrote.")],
    fields: Fields,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Directory of the jobs.")],
    detector_radius: Annotated[
        float, typer.Option(metavar="UM", help="Radius of the counting sphere in um: that of the model's domain.")
    ] = 0.9,
    beam_margin: Annotated[
        float, typer.Option(metavar="UM", help="By which the beam's radius is larger, in um.")
    ] = 2.0,
    buildup: Annotated[float, typer.Option(metavar="UM", help="Water before the sphere, in um.")] = 2.0,
    histories: Annotated[int, typer.Option(metavar="N", help="Ions shot for a voxel, all kinds together.")] = 100_000,
    least_share: Annotated[
        float, typer.Option(metavar="FRACTION", help="Leave out ions with a smaller share of the dose.")
    ] = 1e-3,
    physics: Annotated[
        Literal["livermore", "penelope", "opt4"], typer.Option(help="Electromagnetic physics.")
    ] = "livermore",
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Geometry and physics of your own (docs/topas-jobs.md).")
    ] = None,
    response: Annotated[Literal["gsm2", "mkm"], typer.Option(help="What the spectra are folded into.")] = "gsm2",
    seed: Annotated[int, typer.Option(help="Seed of the simulation; give `simulate` the same.")] = 0,
    role: Annotated[Literal["chosen", "worst", "random", "all"], typer.Option(help="Which voxels.")] = "all",
    as_json: Json = False,
) -> None:
    """Write one folder per chosen voxel with a run of OpenTOPAS for each kind of ion, that counts lineal energies.

    It needs OpenTOPAS with its microdosimetry extension to run them. A job that is there already is never overwritten.
    """
    from surrogate3d.pipeline.design import read_fields
    from surrogate3d.pipeline.topas_jobs import job_settings, write_jobs, written

    chosen = read_selection(selection)
    voxels = list(chosen.voxels) if role == "all" else chosen.of_role(role)
    backend = job_settings(
        output, detector_radius, beam_margin, buildup, histories, least_share, physics, template, response
    )
    with counting("writing jobs") as progress:
        found = write_jobs(voxels, read_fields(fields), backend, seed, progress)
    answer("topas-jobs", {"output": output, "role": role, "seed": seed, **written(found, backend)}, as_json, display)
    if found.failures:
        line(f"error: {len(found.failures)} voxels have no job; the first: {found.failures[0]}")
        raise typer.Exit(1)


def display(data: Mapping[str, Any]) -> None:
    """Print the jobs, and how to run them."""
    table = Table("field id", "voxel", "ions", "histories", "finished", "folder")
    for job in data["jobs"][:20]:
        finished = f"{job['n_finished']} of {len(job['runs'])}"
        voxel, ions = " ".join(map(str, job["voxel"])), " ".join(job["runs"])
        table.add_row(job["field_id"][:12], voxel, ions, str(job["histories"]), finished, Path(job["folder"]).name)
    more = [f"and {len(data['jobs']) - 20} more"] if len(data["jobs"]) > 20 else []
    show(
        table,
        *more,
        f"{len(data['jobs'])} voxels, {data['n_new']} new folders, {data['n_runs']} runs, {data['n_unfinished']} to do",
        "run them: surrogate3d simulate SELECTION FIELD... --ledger LEDGER --cell-line NAME --backend topas_job "
        f'--jobs {data["output"]} --seed {data["seed"]} --command "topas {{parameters}}"',
        "or by hand, in each folder of a kind of ion: topas parameters.txt; then the same without --command",
    )
