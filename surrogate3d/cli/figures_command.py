"""`figures`: the standard pictures of a plan for papers, as vector graphics with captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from surrogate3d.cli.console import answer, show, warn, working
from surrogate3d.cli.options import Json, Overwrite, words


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: surrogate3d figures plan.field.zarr --maps maps -o figures --format pdf,png")(figures)


def figures(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="A field store (*.field.zarr).")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New directory for the figures.")],
    maps: Annotated[Path | None, typer.Option(metavar="DIR", help="Maps of that field, as predict wrote them.")] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Map to compare with: an image, maps, RTDOSE (docs/compare.md).")
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which map the reference is of, such as D_RBE.")
    ] = None,
    structures: Annotated[
        Path | None, typer.Option(metavar="PATH", help="RTSTRUCT, folder of masks, or mask image.")
    ] = None,
    structure: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this structure; may be repeated.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="BUNDLE", help="Survival curves of this model with intervals; else of alpha and beta."),
    ] = None,
    training: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Learning curves: a member's .csv, or the folder of them.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What validate -o wrote: errors by method and region.")
    ] = None,
    resample: Annotated[bool, typer.Option("--resample", help="Carry a reference from another grid.")] = False,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Any of pdf,svg,png, separated by commas.")
    ] = "pdf",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Draw maps with contours, profiles, histograms, parity, survival and learning curves: 85 or 180 mm wide.

    No figure has a title; captions.txt says what each shows. What cannot be drawn is named with the reason.
    """
    from surrogate3d.pipeline.figure_inputs import FigureRequest
    from surrogate3d.pipeline.figures import write_figures

    names = tuple(structure or ())
    request = FigureRequest(field, maps, reference, quantity, structures, names, model, training, validation, resample)
    with working("drawing"):
        found = write_figures(request, output, words(formats), overwrite)
    for problem in found["problems"]:
        warn(problem["sentence"])
    answer("figures", {"field": field, **found}, as_json, _show)


def _show(data: Mapping[str, Any]) -> None:
    for each in data["figures"]:
        show(f"{each['name']}: {each['size_mm'][0]:g} x {each['size_mm'][1]:g} mm")
    for name, reason in data["left_out"].items():
        show(f"no {name}: {reason}")
    show(f"written: {data['output']} ({len(data['figures'])} figures, captions.txt)")
