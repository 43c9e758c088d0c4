"""`dicom write`: a map or dose as RT Dose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from surrogate3d.cli.console import answer, show, warn, working
from surrogate3d.cli.options import Json, Overwrite


def register(dicom_app: typer.Typer) -> None:
    """Add the command to `surrogate3d dicom`."""
    example = "Example: surrogate3d dicom write maps --quantity D_RBE --reference ct.dcm --plan plan.dcm "
    dicom_app.command("write", epilog=example + "--outside zero -o D_RBE.dcm")(write)


def write(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Maps of `predict`, an image in mm and Gy, or a field store.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="A .dcm file, or a directory.")],
    name: Annotated[
        str,
        typer.Option(
            "--quantity",
            metavar="NAME",
            help="D_RBE, BED, EQD2, dose_to_water, dose_to_medium; with --let LET_d or LET_t.",
        ),
    ],
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CT slice, RTDOSE, RTSTRUCT or RTPLAN of the patient.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="RT (Ion) Plan that the dose is of; else --reference's.")
    ] = None,
    outside: Annotated[
        Literal["refuse", "zero"], typer.Option(help="Voxels without an answer: refuse them, or store them as 0.")
    ] = "refuse",
    let: Annotated[bool, typer.Option("--let", help="Write LET_d or LET_t, which is not a dose, as RELATIVE.")] = False,
    let_as_gy: Annotated[
        bool, typer.Option("--let-as-gy", help="With --let, write Dose Units GY, as some programs expect.")
    ] = False,
    seed: Annotated[
        str | None, typer.Option(metavar="TEXT", help="UIDs follow from TEXT, time and content; else random.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a dose as DICOM RT Dose (Gy), with a JSON file of cell line, model and fractions beside it.

    D_RBE, BED and EQD2 are written as EFFECTIVE dose, dose to water and medium as PHYSICAL. Patient, study, frame of
    reference and plan come from --reference and --plan; the volume must be in that patient's coordinates.
    """
    from surrogate3d.io.dicom_reference import read_reference
    from surrogate3d.io.dicom_write import RtDoseOptions
    from surrogate3d.pipeline.dicom_export import export_dose

    nan_as, whose = 0.0 if outside == "zero" else None, read_reference(reference, plan)
    options = RtDoseOptions(reference=whose, nan_as=nan_as, let=let, let_as_gy=let_as_gy, seed=seed)
    with working("writing"):
        done = export_dose(source, output, name, options, overwrite)
    for note in done["notes"]:
        warn(note)
    answer("dicom-write", done, as_json, written)


def written(data: Mapping[str, Any]) -> None:
    """Print what was written."""
    show(
        f"{data['output']}: {data['quantity']['name']}, {data['dose_type']} in {data['dose_units']}, summed over "
        f"{data['dose_summation_type']}; up to {data['maximum']:.4g}, in steps of {data['dose_grid_scaling']:.2g}",
        f"comment: {data['dose_comment']}",
    )
