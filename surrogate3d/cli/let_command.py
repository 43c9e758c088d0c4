"""`let`: LET maps by definition, from the spectra of a field store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from surrogate3d.cli.console import answer, show, working
from surrogate3d.cli.options import Json, Overwrite, words


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: surrogate3d let plan.field.zarr --particles H -o let-protons")(let)


def let(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="A field store (*.field.zarr) with spectra.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New directory for the maps.")],
    weighting: Annotated[Literal["dose", "track", "both"], typer.Option(help="Average by dose or by track.")] = "both",
    particles: Annotated[
        str | None, typer.Option(metavar="H,He", help="Species that count; else all of the spectra.")
    ] = None,
    restricted: Annotated[
        float | None,
        typer.Option(metavar="KEV", help="Without delta electrons above this energy in keV; unrestricted by default."),
    ] = None,
    at_bins: Annotated[
        bool, typer.Option("--at-bins", help="LET at the bins' energies, not the mean along the simulation's steps.")
    ] = False,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Any of nifti,mha,nrrd,zarr, separated by commas.")
    ] = "nifti",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Derive LET_d and LET_t (keV/um, in water) from a field's spectra by definition, beside what TOPAS scored."""
    from surrogate3d.pipeline.let_maps import let_store

    with working("deriving"):
        found = let_store(
            field,
            output,
            ("dose", "track") if weighting == "both" else (weighting,),
            species=words(particles) if particles else None,
            restricted_kev=restricted,
            along_steps=not at_bins,
            formats=words(formats),
            overwrite=overwrite,
        )
    answer("let", {"field": field, **found}, as_json, _show)


def _show(data: Mapping[str, Any]) -> None:
    for name, definition in data["let_definitions"].items():
        kind = "restricted" if definition["restricted"] else "unrestricted"
        show(f"{name}: {definition['weighting']}-averaged; {definition['particles']}; {definition['medium']}; {kind}")
    for weighting, part in data["against_scored"].items():
        ends = (f"{100 * part['difference'][key]:+.1f}" for key in ("median", "p5", "p95"))
        show("{}-averaged, against the scored: {} % ({} to {} %)".format(weighting, *ends))
        for difference in part["definitions_differ_in"]:
            show(f"  by definition they differ in {difference}")
    show(f"written: {data['output']} ({len(data['files'])} files)")
