"""`topas info`, `topas image`: single files of TOPAS, without converting a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surrogate3d.cli import scorers_command, show_topas, topas_jobs_command
from surrogate3d.cli.console import answer, working
from surrogate3d.cli.options import Json, Overwrite, words

topas_app = typer.Typer(
    name="topas",
    help="Single files of TOPAS: what they are, as images; scorers and microdosimetry jobs to be run by TOPAS.",
    no_args_is_help=True,
)
_CURVED = "Cylinders and spheres"
RowOrderOption = Annotated[
    Literal["x_fastest", "z_fastest"] | None,
    typer.Option(help="Row order of energy-binned CSV files, where the TOPAS version does not tell."),
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(topas_app)


def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Any outputs of TOPAS.", show_default=False)],
    row_order: RowOrderOption = None,
    as_json: Json = False,
) -> None:
    """Say what files of TOPAS are: scorers with their units and bins, phase spaces, ntuples, lineal-energy spectra.

    Bins of energy are in MeV and of time in ns, lengths in the file's unit, lineal energy in keV/um.
    """
    from surrogate3d.pipeline.topas_files import describe_files

    with working("reading"):
        found = describe_files(files, row_order)
    answer("topas-info", {"files": found}, as_json, show_topas.files)


def image(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One scorer: .csv, .binheader or .bin.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="IMAGE", help="NAME.nii.gz, .mha or .nrrd.")],
    statistic: Annotated[str, typer.Option(metavar="NAME", help="Such as Sum, Mean or Standard_Deviation.")] = "Sum",
    bins: Annotated[
        str | None,
        typer.Option(metavar="WHICH", help="Of energy or time bins: sum (all), under, over, noincident, N or N:M."),
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parameter file of the run, which places the scorer.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Or the centre of the first voxel (of a cylinder or sphere) in mm (LPS)."),
    ] = None,
    direction: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="Nine direction cosines by rows; columns are i, j, k.")
    ] = None,
    dicom_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="CT of a TsDicomPatient, if the parameter file misses it.")
    ] = None,
    meaning: Annotated[
        Literal["rbe", "survivalfraction"] | None,
        typer.Option("--as", help="What an RBE scorer without unit holds; its file does not tell."),
    ] = None,
    row_order: RowOrderOption = None,
    spacing: Annotated[
        float | None, typer.Option(metavar="MM", help="Voxels to put it on, mm.", rich_help_panel=_CURVED)
    ] = None,
    r_min: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Inner radius, mm, without --parameters.", rich_help_panel=_CURVED),
    ] = None,
    phi_start: Annotated[
        float | None, typer.Option(metavar="DEG", help="Where Phi begins, deg, likewise.", rich_help_panel=_CURVED)
    ] = None,
    theta_start: Annotated[
        float | None, typer.Option(metavar="DEG", help="Where Theta begins, deg, likewise.", rich_help_panel=_CURVED)
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write one scorer as an image, placed in mm (LPS) and in its own unit (dose in Gy, LET in keV/um).

    NaN stands outside a structure, and where LET or RBE has no denominator.
    """
    from surrogate3d.pipeline.topas_images import ImageRequest, topas_image

    wish = ImageRequest(
        statistic=statistic,
        bins=bins,
        parameters=parameters,
        origin_mm=_three(origin) if origin else None,
        direction=_cosines(direction) if direction else None,
        dicom_dir=dicom_dir,
        meaning=meaning,
        row_order=row_order,
        spacing_mm=spacing,
        r_min_mm=r_min,
        phi_start_deg=phi_start,
        theta_start_deg=theta_start,
    )
    with working("writing"):
        found = topas_image(file, output, wish, overwrite)
    answer("topas-image", {"file": file, "output": output, **found}, as_json, show_topas.image)


def _three(text: str) -> tuple[float, float, float]:
    x, y, z = _numbers(text, 3, "X,Y,Z in mm")
    return (x, y, z)


def _cosines(text: str) -> tuple[tuple[float, float, float], ...]:
    c = _numbers(text, 9, "nine direction cosines")
    return tuple((c[row], c[row + 1], c[row + 2]) for row in (0, 3, 6))


def _numbers(text: str, n: int, what: str) -> list[float]:
    try:
        numbers = [float(word) for word in words(text)]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        raise typer.BadParameter(f"expected {what}, separated by commas, found {text!r}")
    return numbers


topas_app.command(epilog="Example: surrogate3d topas info Dose.binheader ySpecfile.txt --json")(info)
topas_app.command(epilog="Example: surrogate3d topas image LET.csv --parameters run.txt -o let.nii.gz")(image)
scorers_command.register(topas_app)
topas_jobs_command.register(topas_app)
