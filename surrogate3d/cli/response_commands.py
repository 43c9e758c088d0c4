"""`response`: whether lesions respond, which part of them resists, and what it got. Research only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_response
from surrogate3d.cli.console import answer, steps, working
from surrogate3d.cli.files import require_free
from surrogate3d.cli.options import Json, Overwrite

response_app = typer.Typer(
    name="response", help="Response of lesions, and their subregions: research only.", no_args_is_help=True
)

_CohortFolder = Annotated[Path, typer.Argument(metavar="COHORT", help="Folder of a cohort (docs/cohorts.md).")]


def register(app: typer.Typer) -> None:
    """Add the group with its commands."""
    prefix = "Example: surrogate3d response"
    response_app.command(epilog=f"{prefix} simulate --variant noise -o cohort")(simulate)
    response_app.command(epilog=f"{prefix} train cohort -o response.bundle")(train)
    response_app.command(epilog=f"{prefix} predict response.bundle cohort -o prediction")(predict)
    response_app.command(epilog=f"{prefix} report prediction -o report.html")(report)
    app.add_typer(response_app)


def simulate(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="COHORT", help="The cohort, a folder.")],
    variant: Annotated[
        str, typer.Option(help="default, noise, shift, small-effect, confounded or intensity.")
    ] = "default",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    lesions: Annotated[int, typer.Option(min=1, help="How many lesions.")] = 69,
    patients: Annotated[int, typer.Option(min=1, help="Of how many patients.")] = 39,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a synthetic cohort whose planted resistant subregions determine the response."""
    require_free(output, overwrite)
    from surrogate3d.pipeline.response_simulation import simulate_to_folder

    with working("simulating"):
        found = simulate_to_folder(
            output, variant=variant, seed=seed, lesions=lesions, patients=patients, overwrite=overwrite
        )
    answer("response-simulate", found, as_json, show_response.simulated)


def train(
    cohort: _CohortFolder,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The model, a directory.")],
    config: Annotated[Path | None, typer.Option(metavar="TOML", help="Settings; see configs/response.toml.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often the patients are dealt into folds.")] = 10,
    folds: Annotated[int, typer.Option(min=2, help="Folds; lesions of one patient stay together.")] = 5,
    shrinkage: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="A lesion responds that lost more of its volume; else 0.2.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Trainings side by side.")] = 2,
    compare: Annotated[
        bool, typer.Option(help="Judge radiomics and gradient features on the same folds as well.")
    ] = True,
    judge: Annotated[bool, typer.Option(help="Judge by cross-validation before the final training.")] = True,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model of response, judged on lesions of patients that it had not seen. Research only."""
    require_free(output, overwrite)
    from surrogate3d.pipeline.response_training import ResponseTraining, read_config, train_cohort

    how = ResponseTraining(
        config=read_config(config, shrinkage),
        repeats=repeats,
        folds=folds,
        seed=seed,
        processes=processes,
        compare=compare,
        judge=judge,
        overwrite=overwrite,
    )
    with steps() as progress:
        found = train_cohort(cohort, output, how, progress)
    answer("response-train", found, as_json, show_response.trained)


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What `response train` wrote.")],
    cohort: _CohortFolder,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="The prediction, a folder.")],
    method: Annotated[
        str, typer.Option(help="Map: hirescam, grad-cam, grad-cam++ or integrated-gradients.")
    ] = "hirescam",
    alpha_x: Annotated[float | None, typer.Option(help="Of the lesions' cells for photons, 1/Gy.")] = None,
    beta_x: Annotated[float | None, typer.Option(help="Of the lesions' cells for photons, 1/Gy^2.")] = None,
    fractions: Annotated[int | None, typer.Option(help="Number of equal fractions.")] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="DICOM", help="File of the patient in the image's frame, for the RTSTRUCT.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Predict response, resistance map, what the response-related region got, and a boost. Research only.

    Survival inside and outside the region needs D_RBE, --alpha-x, --beta-x and --fractions.
    """
    require_free(output, overwrite)
    from surrogate3d.pipeline.response_prediction import ResponseRequest, photon_curve, predict_cohort

    photons = photon_curve(alpha_x, beta_x, fractions)
    asked = ResponseRequest(method=method, photons=photons, reference=reference, overwrite=overwrite)
    with steps() as progress:
        found = predict_cohort(bundle, cohort, output, asked, progress)
    answer("response-predict", found, as_json, show_response.predicted)


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `response predict` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page, an .html file.")],
    cohort: Annotated[
        Path | None, typer.Option(metavar="COHORT", help="The cohort's folder, if it is no longer where it was.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Show a prediction as one HTML page: images, maps, regions and what they got. Research only."""
    require_free(output, overwrite)
    from surrogate3d.pipeline.response_reporting import report_prediction

    with steps() as progress:
        found = report_prediction(folder, output, cohort=cohort, overwrite=overwrite, progress=progress)
    answer("response-report", found, as_json, show_response.reported)
