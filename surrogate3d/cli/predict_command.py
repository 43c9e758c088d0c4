"""`predict`: maps of survival and RBE of one plan or many."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from surrogate3d.cli import show_invitro, show_published
from surrogate3d.cli.back_end_options import Oxygen, Scheduler, Workers
from surrogate3d.cli.console import answer, counting, show, warn, working
from surrogate3d.cli.files import require_free
from surrogate3d.cli.options import Fields, Json, Overwrite, words

AnyModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Shipped model by name, a bundle's path, or a published LET model such as wedenberg; else the shipped "
        "model for what the store holds.",
        show_default=False,
    ),
]
Lines = Annotated[
    list[str],
    typer.Option(
        "--cell-line",
        metavar="NAME",
        help="Cell line, such as HSG, or your own .toml file; may be repeated. Or by structure: "
        "Tumour=HSG,Brainstem=V79,*=HSG.",
        show_default=False,
    ),
]
FractionDoses = Annotated[
    list[float],
    typer.Option(
        "--fraction-dose",
        metavar="GY",
        help="Physical dose of one fraction in Gy; may be repeated.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    one = "Example: surrogate3d predict plan.field.zarr --model model.bundle --cell-line HSG --fraction-dose 2 -o maps"
    app.command(epilog=one)(predict)


def predict(
    fields: Fields,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Directory of the maps, or of one for each set.")
    ],
    lines: Lines,
    fraction_doses: FractionDoses,
    model: AnyModel = None,
    survival_model: Annotated[
        str | None,
        typer.Option(
            "--survival-model",
            metavar="BUNDLE",
            help="In place of --model: your model of survival in vitro, a path, or invitro for your usual one.",
            show_default=False,
        ),
    ] = None,
    fractions: Annotated[
        list[int] | None,
        typer.Option(help="Number of equal fractions, 1 if not given; one for all doses, or one for each."),
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="LIST",
            help="Any of nifti,nii,mha,nrrd,zarr,rtdose, separated by commas. rtdose is for D_RBE, BED and EQD2, with "
            "0 where there is no answer; alone it refuses other maps.",
        ),
    ] = "nifti",
    maps: Annotated[
        str | None, typer.Option(metavar="LIST", help="Which maps, such as RBE,D_RBE; else all that are possible.")
    ] = None,
    structures: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where its structures are: an RTSTRUCT file, or a `dicom masks` folder."),
    ] = None,
    first_wins: Annotated[
        bool, typer.Option("--first-wins", help="Where structures overlap, the first of --cell-line has the voxel.")
    ] = False,
    radiation: Annotated[
        str | None,
        typer.Option(metavar="ION", help="Ion of the beam, such as H, where a field without spectra does not say it."),
    ] = None,
    accept_let: Annotated[
        bool, typer.Option("--accept-let", help="Take LET of another definition; every voxel is then marked.")
    ] = False,
    oxygen: Oxygen = None,
    device: Annotated[str, typer.Option(help="Of networks on spectra: cpu, cuda, or auto.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of their convolutions: float32, bfloat16, or auto.")] = "auto",
    memory: Annotated[
        float, typer.Option(metavar="GB", help="That a tile of a field may take; larger fields are cut into more.")
    ] = 1.9,
    workers: Workers = 0,
    scheduler: Scheduler = "",
    dtype: Annotated[
        str, typer.Option(help="Of voxels in NIfTI: float32, or int16 with a scale, and 0 where there is no answer.")
    ] = "float32",
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave complete maps, and go on with those that were interrupted.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Predict maps of survival and RBE of whole fields, with their uncertainty and a mask.

    Always alpha (1/Gy), beta (1/Gy^2), RBE10, and RBE_ref at --fraction-dose (Gy) in every voxel. With a prescription
    also RBE, D_RBE (Gy, RBE-weighted), BED and EQD2 (Gy), survival and -ln S at the voxel's own dose; a field without
    one refuses them. The model let-only and a published model (constant, mcnamara, wedenberg, carabe, rorvik, mairani)
    need dose and LET_d only; the latter makes RBE_ref, outside (its validity) and what needs a prescription. With cell
    lines by structure, every voxel is against photons on its own line; overlapping structures are refused without
    --first-wins. A --survival-model answers for measured cells, and also makes importance_nanometre,
    importance_micrometre and importance_LET: which scale it looked at (docs/in-vitro.md).

    Several plans, cell lines or fraction doses get a folder each; those of one plan cost little more than one.
    """
    from surrogate3d.inference.compute import compute_of
    from surrogate3d.inference.maps import fractionations_of
    from surrogate3d.inference.regression import LetOnlyGiven
    from surrogate3d.model.freed_memory import keep_freed_memory
    from surrogate3d.pipeline.cell_line_assignment import parse_assignment
    from surrogate3d.pipeline.map_output import map_output
    from surrogate3d.pipeline.prediction import Structures, predict_store
    from surrogate3d.pipeline.predictors import MapRequest

    if not resume:
        require_free(output, overwrite)
    keep_freed_memory()
    hows, names = fractionations_of(fraction_doses, fractions or [1]), words(maps) if maps else None
    let, on = LetOnlyGiven(radiation, accept_let), compute_of(device, precision, memory)
    asked, written = (
        MapRequest(hows[0], names, let, oxygen, on),
        map_output(output, words(formats), overwrite, resume, dtype),
    )
    if len(fields) * len(lines) * len(hows) > 1 or workers or scheduler:
        from surrogate3d.pipeline.design import engine
        from surrogate3d.pipeline.many_predictions import order_of, predict_plans

        order = order_of(model, lines, hows, asked, survival_model, structures)
        with counting("predicting") as told:
            many = predict_plans(fields, order, written, engine(workers, scheduler), told)
        for each in many["predictions"]:
            show_published.warnings(each)
        answer("predict-plans", {**many, "output": output}, as_json, _predicted)
        if many["failed"]:
            raise typer.Exit(1)
        return
    cells = Structures(parse_assignment(lines[0]), structures, "first" if first_wins else "refuse")
    with working("predicting"):
        if survival_model is None:
            found = predict_store(fields[0], model, cells, asked, written)
        else:
            from surrogate3d.pipeline.invitro_prediction import predict_in_vitro_store

            found = predict_in_vitro_store(fields[0], survival_model, model, cells, asked, written)
    said = show_published if survival_model is None else show_invitro
    said.warnings(found)
    answer("predict", {"field": fields[0], **found, "output": output}, as_json, said.predicted)


def _predicted(data: Mapping[str, Any]) -> None:
    for each in data["predictions"]:
        show_published.predicted({**each, "output": each["folder"]})
    for each in data["failed"]:
        warn(f"{each['field']}: {each['reason']}")
    show(f"{len(data['predictions'])} sets of maps in {data['output']}; {len(data['failed'])} plans were refused")
