"""`nano`: nanodosimetric maps from the spectra of a field store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from surrogate3d.cli.console import answer, show, working
from surrogate3d.cli.options import Json, Overwrite, words


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: surrogate3d nano plan.field.zarr --site-nm 2 -o nano-maps")(nano)


def nano(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="A field store (*.field.zarr) with spectra.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New directory for the maps.")],
    site_nm: Annotated[
        float, typer.Option("--site-nm", metavar="NM", help="Diameter of the spheres in nm: 2, 5 or 10.")
    ] = 2.0,
    convention: Annotated[
        Literal["crossing", "central"],
        typer.Option(help="Ions cross the sphere at random, or through its centre as in ion counters."),
    ] = "crossing",
    at_bins: Annotated[
        bool, typer.Option("--at-bins", help="At the bins' energies, not averaged along the simulation's steps.")
    ] = False,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Any of nifti,mha,nrrd,zarr, separated by commas.")
    ] = "nifti",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Derive ionisation cluster sizes (M1, F1, F2, F3) and DNA damage yields from a field's spectra, dose-weighted."""
    from surrogate3d.pipeline.nano_maps import nano_store

    with working("deriving"):
        found = nano_store(
            field,
            output,
            site_nm,
            convention=convention,
            along_steps=not at_bins,
            formats=words(formats),
            overwrite=overwrite,
        )
    answer("nano", {"field": field, **found}, as_json, _show)


def _show(data: Mapping[str, Any]) -> None:
    definition = data["definition"]
    show("{site}; {convention_meaning}; {averaging}".format(**definition))
    for name, part in data["irradiated"].items():
        known = part["median"] is not None
        show(f"{name}: " + ("{median:.4g} ({p5:.4g} to {p95:.4g})".format(**part) if known else "no values"))
    for name, reason in definition["left_out"].items():
        show(f"{name}: left out, {reason}")
    show(f"written: {data['output']} ({len(data['files'])} files)")
