"""`invitro`: cell survival that was measured in vitro."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_invitro
from surrogate3d.cli.console import answer, counting, working
from surrogate3d.cli.files import require_free
from surrogate3d.cli.options import Json, Overwrite

invitro_app = typer.Typer(name="invitro", help="Cell survival measured in vitro.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group with its commands."""
    example = "Example: surrogate3d invitro import PIDE3.4 -o experiments.json"
    invitro_app.command("import", epilog=example)(import_)
    invitro_app.command(epilog="Example: surrogate3d invitro train experiments.json --species H --species C")(train)
    app.add_typer(invitro_app)


def import_(
    folder: Annotated[Path, typer.Argument(metavar="PIDE_FOLDER", help="Your unpacked download of PIDE 3.x.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The experiments, a .json file.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Read and check PIDE 3.x (cell survival after ions and photons), and keep it in a file of your own.

    Says what was left out and why, and what is odd but kept. PIDE comes from GSI (www.gsi.de/bio-pide): cite it, and
    do not pass on its files or this one (docs/in-vitro.md).
    """
    require_free(output, overwrite)
    from surrogate3d.pipeline.invitro_import import import_pide

    with working("reading PIDE"):
        found = import_pide(folder, output, overwrite)
    answer("invitro-import", found, as_json, show_invitro.imported)


def train(
    experiments: Annotated[Path, typer.Argument(metavar="EXPERIMENTS", help="What `invitro import` wrote.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="BUNDLE", help="The model, a directory; else where `--survival-model invitro` is."
        ),
    ] = None,
    species: Annotated[
        list[str] | None, typer.Option(metavar="ION", help="Learn from these ions only, such as C; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random in the training.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model of survival in vitro on your experiments, for `predict --survival-model`.

    No model is shipped, as PIDE may not be passed on: this one is yours, and stays in your own data folder if no
    --output is named ($XDG_DATA_HOME or ~/.local/share). It takes minutes.
    """
    from surrogate3d.pipeline.invitro_training import train_store, usual_path

    path = output or usual_path()
    require_free(path, overwrite)
    with counting("training") as progress:
        found = train_store(experiments, path, species=species, seed=seed, overwrite=overwrite, progress=progress)
    answer("invitro-train", found, as_json, show_invitro.trained)
