"""`view`: the viewer of a plan, served on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_view
from surrogate3d.cli.console import answer, working
from surrogate3d.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: surrogate3d view plan.field.zarr --cell-line HSG --cell-line V79 --structures structures.dcm"
    app.command(epilog=example)(view)


def view(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="The field store (*.field.zarr).")],
    maps: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MAPS]...", help="Folders of maps, or images, on its grid.", show_default=False),
    ] = None,
    structures: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="An RTSTRUCT file, a `dicom masks` folder or a mask image."),
    ] = None,
    ct: Annotated[
        Path | None, typer.Option("--ct", metavar="PATH", help="CT, an image or the folder of a series: interpolated.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Network on spectra, a path or a shipped name; else the shipped one.",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[
        list[str] | None,
        typer.Option(
            "--cell-line", metavar="NAME", help="Predict for this cell line; may be repeated.", show_default=False
        ),
    ] = None,
    fraction_dose: Annotated[
        float | None,
        typer.Option(metavar="GY", help="Dose of one fraction; else the prescribed dose over the fractions, or 2 Gy."),
    ] = None,
    fractions: Annotated[int, typer.Option(help="Number of equal fractions.")] = 1,
    port: Annotated[int, typer.Option(help="Of the loopback address; 0 takes one that is free.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    as_json: Json = False,
) -> None:
    """Look at a plan in the browser: linked slices, histograms, profiles, and single voxels.

    Volumes stay on disk and are read where they are looked at. With --cell-line survival curves are predicted once;
    cell line, fraction dose (Gy) and number of fractions then change D_RBE and its histograms at once. Maps of alpha
    and beta allow the same for their cell line. The address holds a token and works on this machine only. Ctrl-C ends
    it.
    """
    from surrogate3d.pipeline.scenes import SceneRequest
    from surrogate3d.pipeline.viewing import facts, open_view, serve

    asked = SceneRequest(field, tuple(maps or ()), structures, ct, model, tuple(lines or ()), fraction_dose, fractions)
    with working("reading" if not lines else "predicting"):
        server = open_view(asked, port)
    answer("view", facts(server), as_json, show_view.served)
    sys.stdout.flush()  # a program that started this one waits for the address
    serve(server, browser=not no_browser)
