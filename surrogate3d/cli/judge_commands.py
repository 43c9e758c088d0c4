"""`validate`: judge a surrogate, beside cheap methods, against direct simulation or another engine's map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from surrogate3d.cli import show_validation
from surrogate3d.cli.compare_command import NOT_MET, PROBLEMS
from surrogate3d.cli.console import answer, counting, document, working
from surrogate3d.cli.files import require_free, write_json
from surrogate3d.cli.options import CellLine, FractionDose, Json, Model, Overwrite
from surrogate3d.cli.scratch import ledger_directory

if TYPE_CHECKING:
    from surrogate3d.cli.judgement import Judgement  # which loads the networks


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
        typer.Option(
            metavar="HIGH",
            help="Another run of the plan with many histories, or with --quantity a map; else LOW judges itself.",
        ),
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
    quantity: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="--reference is a map of another engine, and holds this, such as D_RBE."),
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Interpolate that map onto the grid of LOW, if it is on another.")
    ] = False,
    structures: Annotated[
        Path | None, typer.Option(metavar="PATH", help="RTSTRUCT, folder of `dicom masks`, or mask image.")
    ] = None,
    ct: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Image, or folder of a CT series, for the report's viewer.")
    ] = None,
    limits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your acceptance limits (TOML); else the shipped ones.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 4 when a limit is not met.")] = False,
    fractions: Annotated[int, typer.Option(help="Number of equal fractions, for D_RBE.")] = 1,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the JSON object.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare the surrogate and cheap methods, all on LOW, with direct simulation on HIGH.

    RBE, alpha (1/Gy) and -ln S at --fraction-dose (Gy) in every voxel; errors are relative, in %, by region, stratum
    and structure; D_RBE of whole maps with gamma and histograms. With --quantity the reference is another engine's map
    instead, and all of it is compared. Exit code 3: all was written, but problems are named
    in it; 4 with --strict: a limit is not met.
    """
    require_free(report, overwrite)
    require_free(output, overwrite)
    from surrogate3d.cli.judgement import Against, Beside, Judgement
    from surrogate3d.pipeline.validation import ValidationSettings

    settings = ValidationSettings(fraction_dose, truth, voxels, seed, target_se)
    against = Against(reference, quantity, resample)
    beside = Beside(structures, limits, ct, survival_model)
    with working("reading"):
        judgement = Judgement.read(low, against, model, line, settings, fractions, beside)
    judgement.require_fractions()
    done = _by_map(judgement, report) if quantity is not None else _by_simulation(judgement, report, ledger)
    data = {**done.data, "ledger": ledger, "report": report}
    if output is not None:
        write_json(output, document("validate", data), overwrite)
    show_validation.warnings(data)
    answer("validate", data, as_json, show_validation.validation)
    if strict and done.unmet:
        raise typer.Exit(NOT_MET)
    if done.data["problems"]:
        raise typer.Exit(PROBLEMS)


class _Done(NamedTuple):
    """What was found, and whether a limit is not met."""

    data: dict[str, Any]
    unmet: bool


def _by_simulation(judgement: Judgement, report: Path | None, ledger: Path | None) -> _Done:
    with (
        ledger_directory(ledger, judgement.settings.truth != "zr_table") as directory,
        counting("simulating the truth") as progress,
    ):
        found, appraisal = judgement.validate(directory, progress)
    if report is not None:
        with working("writing the report"):
            judgement.report(found, appraisal, report)
    return _Done(judgement.summary(found, appraisal), appraisal.unmet)


def _by_map(judgement: Judgement, report: Path | None) -> _Done:
    with working("comparing"):
        found = judgement.validate_by_map()
    if report is not None:
        with working("writing the report"):
            judgement.report_by_map(found, report)
    return _Done(judgement.summary_by_map(found), found.unmet)
