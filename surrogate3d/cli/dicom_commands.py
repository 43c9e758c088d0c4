"""`dicom`: what DICOM files are, and DICOM as images and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surrogate3d.cli import dicom_write_command, show_dicom
from surrogate3d.cli.console import answer, working
from surrogate3d.cli.files import require_free
from surrogate3d.cli.options import Json, Overwrite

dicom_app = typer.Typer(
    name="dicom", help="Read and write DICOM: doses, structures, CT series, plans.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the group with its commands."""
    dicom_app.command("info", epilog="Example: surrogate3d dicom info rtdose.dcm rtstruct.dcm --json")(info)
    example = "Example: surrogate3d dicom masks rtstruct.dcm -o masks --like plan.field.zarr --structure PTV"
    dicom_app.command("masks", epilog=example)(masks)
    dicom_app.command("image", epilog="Example: surrogate3d dicom image rtdose.dcm -o dose.nii.gz --medium water")(
        image
    )
    dicom_write_command.register(dicom_app)
    app.add_typer(dicom_app)


def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="DICOM files.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Say what DICOM files are and what they are read as: grid in mm, dose in Gy, volumes in cm3."""
    from surrogate3d.pipeline.dicom_files import info as run

    with working("reading"):
        found = run(files)
    answer("dicom-info", found, as_json, show_dicom.information)


def masks(
    structures: Annotated[Path, typer.Argument(metavar="RTSTRUCT", help="A DICOM structure set.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New folder: one image a structure.")],
    like: Annotated[
        Path, typer.Option(metavar="GRID", help="On whose grid: an image, a field store, an RTDOSE or a CT folder.")
    ],
    structure: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this structure; may be repeated.")
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="The fraction of each voxel inside, instead of 1 where it is at least half."),
    ] = False,
    slab: Annotated[
        float | None, typer.Option(metavar="MM", help="Thickness of structures that lie in a single plane.")
    ] = None,
    mha: Annotated[bool, typer.Option("--mha", help="Write MetaImage instead of NIfTI.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write structures as masks on a grid."""
    from surrogate3d.pipeline.dicom_files import masks as run

    require_free(output, overwrite)
    kind, names = ".mha" if mha else ".nii.gz", structure or []
    with working("laying structures on the grid"):
        found = run(
            structures, output, like=like, names=names, partial=partial, slab_mm=slab, suffix=kind, overwrite=overwrite
        )
    answer("dicom-masks", {"output": output, **found}, as_json, show_dicom.masks)


def image(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="An RTDOSE file, or the folder of a CT series.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="IMAGE", help="NAME.nii.gz, .mha or .nrrd.")],
    medium: Annotated[
        Literal["water", "medium"] | None, typer.Option(help="What a physical dose is to; DICOM does not say it.")
    ] = None,
    as_quantity: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the values are, such as LET_d, against what the file says.")
    ] = None,
    unit: Annotated[Literal["GY", "RELATIVE"] | None, typer.Option(help="Dose unit, for files that have none.")] = None,
    constant_rbe: Annotated[
        float | None, typer.Option(metavar="FACTOR", help="Divide an RBE-weighted dose by this, such as 1.1.")
    ] = None,
    density_table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HU,density_g_cm3 as CSV or JSON: a CT becomes density.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write an RTDOSE (Gy) or a CT series (HU, or density in g/cm3) as an image."""
    from surrogate3d.pipeline.dicom_field import DoseAsked
    from surrogate3d.pipeline.dicom_files import image as run

    require_free(output, overwrite)
    asked = DoseAsked(medium=medium, as_quantity=as_quantity, unit_given=unit, constant_rbe=constant_rbe)
    with working("reading"):
        found = run(source, output, asked=asked, density_table=density_table, overwrite=overwrite)
    answer("dicom-image", {"output": output, **found}, as_json, show_dicom.image)
