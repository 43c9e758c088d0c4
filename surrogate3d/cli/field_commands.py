"""`convert` and `info`: from TOPAS run folders to a field store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_field
from surrogate3d.cli.console import answer, counting, working
from surrogate3d.cli.given_options import (
    BeamDirection,
    ConstantRbe,
    DicomDir,
    Direction,
    Histories,
    LetDefinitionText,
    LetImage,
    LetWeighting,
    Medium,
    Origin,
    PlanName,
    Radiation,
    RowOrderOption,
    given_of,
)
from surrogate3d.cli.options import Json, Overwrite
from surrogate3d.cli.prescription import request


def register(app: typer.Typer) -> None:
    """Add the commands."""
    example = 'Example: surrogate3d convert runs/low_1 runs/low_2 -o plan.field.zarr --prescribe "2 Gy" --at p50 '
    app.command(epilog=example + "--box 5:15,5:15,36:44")(convert)
    app.command(epilog="Example: surrogate3d info plan.field.zarr --json")(info)


def convert(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PLAN...",
            help="TOPAS run folders of one plan (outputs with their parameter file); or RTDOSE files; or a folder of "
            "pyRadPlan or MCsquare.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FIELD", help="The store: NAME.field.zarr.")],
    dose_scale: Annotated[
        float | None, typer.Option(metavar="FACTOR", help="Factor from the simulated dose to absolute dose.")
    ] = None,
    prescribe: Annotated[
        str | None, typer.Option(metavar="DOSE", help='Physical dose of the whole treatment, such as "2 Gy".')
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="STATISTIC", help="Where: max (default), mean, or a percentile such as p50.")
    ] = None,
    box: Annotated[
        str | None, typer.Option(metavar="BOX", help="In voxels i0:i1,j0:j1,k0:k1, ends not included.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Or in this mask on the same grid (.nii.gz, .mha or .nrrd).")
    ] = None,
    origin: Origin = None,
    direction: Direction = None,
    beam: BeamDirection = None,
    histories: Histories = None,
    let_weighting: LetWeighting = None,
    dicom_dir: DicomDir = None,
    row_order: RowOrderOption = None,
    radiation: Radiation = None,
    medium: Medium = None,
    plan: PlanName = None,
    let: LetImage = None,
    let_definition: LetDefinitionText = None,
    constant_rbe: ConstantRbe = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Convert the TOPAS runs of one plan, or a planning system's dose and LET, into one field store.

    Grids are in mm, dose in Gy, LET in keV/um, energies in MeV/u, fluence in 1/mm^2.
    Two or more runs with different seeds are added, and give the noise of their sum. DICOM RTDOSE files and folders of
    pyRadPlan and MCsquare have no spectra: published LET models predict from them, and let-only for protons.
    An interrupted conversion goes on where it stopped when the same command is given again.
    """
    from surrogate3d.pipeline.any_input import convert_any, grid_of_any
    from surrogate3d.pipeline.reduced import PlanFacts, definition_of

    given = given_of(
        origin=origin,
        direction=direction,
        beam=beam,
        histories=histories,
        let_weighting=let_weighting,
        dicom_dir=dicom_dir,
        row_order=row_order,
    )
    definition = None if let_definition is None else definition_of(let_definition)
    facts = PlanFacts(radiation, medium, plan, let, definition, constant_rbe)
    wish = request(prescribe, at, box, mask, lambda: grid_of_any(run_dirs, facts, given))
    with counting("converting") as progress:
        found = convert_any(
            run_dirs,
            output,
            facts,
            given,
            dose_scale=dose_scale,
            prescribe=wish,
            overwrite=overwrite,
            progress=progress,
        )
    answer("convert", {"output": output, **show_field.described(found)}, as_json, show_field.conversion)


def info(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="A field store (*.field.zarr).")],
    check: Annotated[bool, typer.Option("--check", help="Compare every file with its SHA-256, too.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a field store holds: grid (mm), dose (Gy), LET (keV/um), energy bins (MeV/u), statistics, provenance."""
    from surrogate3d.pipeline.conversion import info as run

    with working("reading"):
        found = run(field, check=check)
    answer("info", {"field": field, **show_field.described(found)}, as_json, show_field.information)
