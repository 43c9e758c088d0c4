"""`handover`: a folder for 3D Slicer and planning systems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from surrogate3d.cli.console import answer, show, warn, working
from surrogate3d.cli.options import Json, Overwrite


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: surrogate3d handover plan.field.zarr --maps maps --structures rtstruct.dcm "
    app.command(epilog=example + "--reference ct.dcm --plan plan.dcm -o handover")(handover)


def handover(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="The plan: a field store (*.field.zarr).")],
    maps: Annotated[Path, typer.Option(metavar="DIR", help="Maps of `predict` of this plan, with D_RBE.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="New folder.")],
    structures: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="RTSTRUCT, a `dicom masks` folder, or a folder of mask images."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CT slice, RTDOSE, RTSTRUCT or RTPLAN of the patient.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="RT (Ion) Plan that the doses are of; else --reference's.")
    ] = None,
    outside: Annotated[
        Literal["nan", "zero"], typer.Option(help="Voxels without an answer in NRRD; in RT Dose they are always 0.")
    ] = "nan",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write every map as NRRD, doses as RT Dose (Gy), and regions and structures as a segmentation of 3D Slicer.

    D_RBE, BED and EQD2 are EFFECTIVE, the plan's own dose is PHYSICAL. index.json lists every file with its SHA-256,
    quantity and unit. Exit code 3: written, but a structure is empty or outside, and named.
    """
    from surrogate3d.io.dicom_reference import read_reference
    from surrogate3d.pipeline.handover import HandoverOptions, hand_over

    whose, nan_as = read_reference(reference, plan), 0.0 if outside == "zero" else None
    options = HandoverOptions(structures=structures, reference=whose, nan_as=nan_as)
    with working("writing"):
        found = hand_over(field, maps, output, options, overwrite)
    for problem in found["problems"]:
        warn(problem["sentence"])
    answer("handover", {**found, "output": output}, as_json, _written)
    if found["problems"]:
        raise typer.Exit(3)


def _written(data: Mapping[str, Any]) -> None:
    for note in data["notes"]:
        warn(note)
    segments = ", ".join(each["name"] for each in data["segments"])
    show(f"segments: {segments}", f"written: {data['output']} ({len(data['files']) + 2} files)")
