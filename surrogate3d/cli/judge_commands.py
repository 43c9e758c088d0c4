"""`validate`: judge a surrogate, beside cheap methods, against direct simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_validation
from surrogate3d.cli.console import answer, counting, document, working
from surrogate3d.cli.files import require_free, write_json
from surrogate3d.cli.options import CellLine, FractionDose, Json, Model, Overwrite
from surrogate3d.cli.scratch import ledger_directory


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: surrogate3d validate low.field.zarr --reference high.field.zarr --model model.bundle "
    app.command(epilog=example + "--cell-line HSG --fraction-dose 2 --report report.html")(validate)


def validate(
    low: Annotated[Path, typer.Argument(metavar="LOW", help="The input: a field store with few histories.")],
    model: Model,
    line: CellLine,
    fraction_dose: FractionDose,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="HIGH", help="Another run of the plan with many histories; without it LOW judges itself."),
    ] = None,
    truth: Annotated[
        str, typer.Option(metavar="NAME", help="gsm2_mc on random voxels; gsm2_fft or zr_table on all.")
    ] = "gsm2_mc",
    voxels: Annotated[int, typer.Option(help="Random voxels for gsm2_mc.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of voxels and simulation.")] = 1,
    target_se: Annotated[
        float, typer.Option(metavar="FRACTION", help="Relative standard error of survival of gsm2_mc.")
    ] = 0.003,
    ledger: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the simulated voxels here; else they are not kept.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML report.")] = None,
    survival_model: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE", help="Show your model of survival in vitro beside, in the report: a path, or invitro."
        ),
    ] = None,
    fractions: Annotated[int, typer.Option(help="Number of equal fractions, for D_RBE in the report.")] = 1,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the JSON object.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare the surrogate and cheap methods, all on LOW, with direct simulation on HIGH.

    RBE, alpha (1/Gy) and -ln S at --fraction-dose (Gy) in every voxel; errors are relative, in %, by region.
    """
    require_free(report, overwrite)
    require_free(output, overwrite)
    from surrogate3d.cli.judgement import Judgement
    from surrogate3d.pipeline.validation import ValidationSettings

    settings = ValidationSettings(fraction_dose, truth, voxels, seed, target_se)
    with working("reading"):
        judgement = Judgement.read(low, reference, model, line, settings)
    if report is not None:
        judgement.require_fractions(fractions)
    with ledger_directory(ledger, truth != "zr_table") as directory, counting("simulating the truth") as progress:
        validation = judgement.validate(directory, progress)
    if report is not None:
        with working("writing the report"):
            judgement.report(validation, report, fractions, survival_model)
    data = {**judgement.summary(validation), "ledger": ledger, "report": report}
    if output is not None:
        write_json(output, document("validate", data), overwrite)
    show_validation.warnings(data)
    answer("validate", data, as_json, show_validation.validation)
