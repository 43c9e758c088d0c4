"""`train`: make a surrogate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_model
from surrogate3d.cli.back_end_options import NucleusSpread, Oxygen
from surrogate3d.cli.console import answer, counting
from surrogate3d.cli.files import read_selection, require_free
from surrogate3d.cli.options import (
    Backend,
    CellLines,
    Json,
    Overwrite,
    TargetSe,
)
from surrogate3d.cli.pairs import plan_pair, require_pairs


def register(app: typer.Typer) -> None:
    """Add the command."""
    pair = "Example: surrogate3d train --low low.field.zarr --high high.field.zarr --selection selection.json "
    app.command(epilog=pair + "--ledger ledger --cell-line HSG -o model.bundle")(train)


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
