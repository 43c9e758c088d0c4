"""`train` and `predict`: make a surrogate, and apply it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_invitro, show_model, show_published
from surrogate3d.cli.back_end_options import NucleusSpread, Oxygen
from surrogate3d.cli.console import answer, counting, working
from surrogate3d.cli.files import read_selection, require_free
from surrogate3d.cli.options import (
    Backend,
    CellLineOrAssignment,
    CellLines,
    FractionDose,
    Json,
    Overwrite,
    TargetSe,
    words,
)
from surrogate3d.cli.pairs import plan_pair, require_pairs

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


def register(app: typer.Typer) -> None:
    """Add the commands."""
    pair = "Example: surrogate3d train --low low.field.zarr --high high.field.zarr --selection selection.json "
    app.command(epilog=pair + "--ledger ledger --cell-line HSG -o model.bundle")(train)
    fit = "Example: surrogate3d predict plan.field.zarr --model model.bundle --cell-line HSG --fraction-dose 2 -o maps"
    app.command(epilog=fit)(predict)


def train(
    low: Annotated[list[Path], typer.Option(metavar="FIELD", help="Run with few histories; repeat for each plan.")],
    high: Annotated[list[Path], typer.Option(metavar="FIELD", help="Its run with many histories, in the same order.")],
    selection: Annotated[Path, typer.Option(metavar="FILE", help="What `sample` wrote for the --high fields.")],
    ledger: Annotated[Path, typer.Option(metavar="DIR", help="Where `simulate` keeps its responses.")],
    cell_lines: CellLines,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The model bundle, a directory.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="How to train, TOML (configs/); else the defaults.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random in the training.")] = 0,
    oxygen: Oxygen = None,
    nucleus_spread: NucleusSpread = 0.0,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep checkpoints and learning curves here; a killed training goes on."),
    ] = None,
    backend: Backend = "gsm2_mc",
    sim_seed: Annotated[int, typer.Option(help="--seed of `simulate`.")] = 0,
    target_se: TargetSe = 0.01,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a surrogate on pairs of runs of the same plan and on the simulated voxels of the better one.

    Doses are in Gy, energies in MeV/u; --backend, --sim-seed, --target-se, --oxygen and --nucleus-spread must be those
    given to `simulate`. A model of labels under oxygen needs the pressures at prediction, too (docs/oxygen.md).
    """
    require_pairs(low, high)
    require_free(output, overwrite)
    from surrogate3d.config import load_train_config
    from surrogate3d.model.bundle import save_bundle
    from surrogate3d.pipeline.design import SimulationSettings
    from surrogate3d.pipeline.oxygen_surrogate import train_by_oxygen
    from surrogate3d.training.settings import TrainConfig

    how = load_train_config(config) if config else TrainConfig()
    design, start = read_selection(selection), time.perf_counter()
    settings = SimulationSettings(backend, tuple(cell_lines), sim_seed, target_se)
    runs = zip(low, high, strict=True)
    pairs = [plan_pair(few, many, design, ledger, settings, oxygen, nucleus_spread) for few, many in runs]
    with counting("training") as progress:
        surrogate = train_by_oxygen(pairs, cell_lines, how, seed, oxygen, progress, state)
    done = {"output": output, "bundle_id": save_bundle(surrogate, output, overwrite), **show_model.card(surrogate.card)}
    answer("train", {**done, "seconds": time.perf_counter() - start}, as_json, show_model.trained)


def predict(
    field: Annotated[Path, typer.Argument(metavar="FIELD", help="A field store (*.field.zarr).")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Directory of the maps.")],
    line: CellLineOrAssignment,
    fraction_dose: FractionDose,
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
    fractions: Annotated[int, typer.Option(help="Number of equal fractions.")] = 1,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Any of nifti,mha,nrrd,zarr, separated by commas.")
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
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Predict maps of survival and RBE of a whole field, with their uncertainty and a mask.

    Always alpha (1/Gy), beta (1/Gy^2), RBE10, and RBE_ref at --fraction-dose (Gy) in every voxel. With a prescription
    also RBE, D_RBE (Gy, RBE-weighted), BED and EQD2 (Gy), survival and -ln S at the voxel's own dose; a field without
    one refuses them. The model let-only and a published model (constant, mcnamara, wedenberg, carabe, rorvik, mairani)
    need dose and LET_d only; the latter makes RBE_ref, outside (its validity) and what needs a prescription. With cell
    lines by structure, every voxel is against photons on its own line; overlapping structures are refused without
    --first-wins. A --survival-model answers for measured cells, and also makes importance_nanometre,
    importance_micrometre and importance_LET: which scale it looked at (docs/in-vitro.md).
    """
    require_free(output, overwrite)
    from surrogate3d.inference.maps import Fractionation
    from surrogate3d.inference.regression import LetOnlyGiven
    from surrogate3d.pipeline.cell_line_assignment import parse_assignment
    from surrogate3d.pipeline.invitro_prediction import predict_in_vitro_store
    from surrogate3d.pipeline.prediction import MapOutput, Structures, predict_store
    from surrogate3d.pipeline.predictors import MapRequest

    cells = Structures(parse_assignment(line), structures, "first" if first_wins else "refuse")
    how, names = Fractionation(fraction_dose, fractions), words(maps) if maps else None
    asked = MapRequest(how, names, LetOnlyGiven(radiation, accept_let), oxygen)
    written = MapOutput(output, words(formats), overwrite)
    with working("predicting"):
        if survival_model is None:
            found = predict_store(field, model, cells, asked, written)
        else:
            found = predict_in_vitro_store(field, survival_model, model, cells, asked, written)
    said = show_published if survival_model is None else show_invitro
    said.warnings(found)
    answer("predict", {"field": field, **found, "output": output}, as_json, said.predicted)
