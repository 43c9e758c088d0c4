"""`compare`: maps of any program against one reference map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surrogate3d.cli import show_compare
from surrogate3d.cli.console import answer, document, working
from surrogate3d.cli.files import require_free, write_json
from surrogate3d.cli.options import Json, Overwrite

PROBLEMS, NOT_MET = 3, 4
"""Exit codes: everything was written, but problems are named in it; a limit is not met, with --strict."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: surrogate3d compare maps --reference plan_rbe.dcm --quantity D_RBE --dose plan.field.zarr "
    app.command(epilog=example + "--structures rtstruct.dcm --resample -o comparison.json")(compare)


def compare(
    judged: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]JUDGED...", help="Maps to be judged, on one grid.", show_default=False),
    ],
    reference: Annotated[
        Path, typer.Option(metavar="PATH", help="Map to judge by: image, maps, RTDOSE, TOPAS scorer, plan.")
    ],
    quantity: Annotated[str, typer.Option(metavar="NAME", help="What all of them hold, such as D_RBE, RBE or LET_d.")],
    dose: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Physical dose, which says where and in which strata.")
    ] = None,
    medium: Annotated[Literal["water", "medium"], typer.Option(help="What --dose is absorbed in.")] = "water",
    let: Annotated[Path | None, typer.Option(metavar="PATH", help="LET_d (keV/um), for strata and histograms.")] = None,
    structures: Annotated[
        Path | None, typer.Option(metavar="PATH", help="RTSTRUCT, folder of `dicom masks`, or mask image.")
    ] = None,
    beam: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="Index axis that the beam travels along, such as +z; a field store says it."),
    ] = None,
    base: Annotated[
        float | None, typer.Option(metavar="VALUE", help="What V95 is of, in the quantity's unit: a prescription.")
    ] = None,
    limits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your acceptance limits (TOML); else the shipped ones.")
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Interpolate maps onto the grid of the first judged one.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 4 when a limit is not met.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the JSON object.")
    ] = None,
    tables: Annotated[
        Path | None, typer.Option("--csv", metavar="DIR", help="Write all tables as CSV into a new folder.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare maps with a reference map: errors by group, gamma, histograms, profiles, acceptance limits.

    Errors are judged - reference, relative ones in %. Exit code 3: all was written, but problems are named in it.
    """
    require_free(output, overwrite)
    require_free(tables, overwrite)
    from surrogate3d.pipeline.comparison_files import ComparisonRequest, compare_files
    from surrogate3d.pipeline.comparison_tables import write_tables

    request = ComparisonRequest(
        judged=judged,
        reference=reference,
        quantity=quantity,
        dose=dose,
        medium=medium,
        let=let,
        structures=structures,
        limits=limits,
        beam=beam,
        base=base,
        resample=resample,
    )
    with working("comparing"):
        done = compare_files(request)
    about = done.to_json()
    if tables is not None:
        write_tables(about, tables, overwrite)
    data = {**about, "comparison_schema": about["schema"], "output": output, "csv": tables}
    if output is not None:
        write_json(output, document("compare", data), overwrite)
    show_compare.warnings(data)
    answer("compare", data, as_json, show_compare.comparison)
    if strict and done.found.unmet:
        raise typer.Exit(NOT_MET)
    if done.found.problems:
        raise typer.Exit(PROBLEMS)
