"""`cell-line`: which cell lines there are, what is known of them, and calibrating one of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surrogate3d.cli import show_cell_line
from surrogate3d.cli.console import answer, counting, line, warn, working
from surrogate3d.cli.files import require_free
from surrogate3d.cli.options import Json, Overwrite, words

cell_line_app = typer.Typer(
    name="cell-line", help="Cell lines: those that are shipped, and your own.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the group with its commands."""
    cell_line_app.command("list", epilog="Example: surrogate3d cell-line list --json")(list_)
    cell_line_app.command("show", epilog="Example: surrogate3d cell-line show HSG")(show)
    example = "Example: surrogate3d cell-line fit survival.csv -o mine.toml --name mine"
    cell_line_app.command("fit", epilog=example)(fit)
    example = "Example: surrogate3d cell-line table mine.toml -o mine.mono.json"
    cell_line_app.command("table", epilog=example)(table)
    app.add_typer(cell_line_app)


def list_(as_json: Json = False) -> None:
    """List the shipped cell lines with their photon pair (1/Gy, 1/Gy^2), models and back ends."""
    from surrogate3d.pipeline.cell_line_facts import list_cell_lines

    answer("cell-line-list", {"cell_lines": list_cell_lines()}, as_json, show_cell_line.listed)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped name such as HSG, or a .toml file.")],
    as_json: Json = False,
) -> None:
    """Show a cell line: parameters of its models with their sources, and which back ends can use it."""
    from surrogate3d.pipeline.cell_line_facts import show_cell_line as run

    answer("cell-line-show", run(name), as_json, show_cell_line.shown)


def fit(
    data: Annotated[Path, typer.Argument(metavar="SURVIVAL.CSV", help="Survival data (docs/cell-lines.md).")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The cell line, a .toml file.")],
    name: Annotated[str, typer.Option(metavar="TEXT", help="Name of the cell line.", show_default=False)],
    species: Annotated[str, typer.Option(metavar="TEXT", help="Animal species.")] = "not stated",
    tissue: Annotated[str, typer.Option(metavar="TEXT", help="Origin of the line.")] = "not stated",
    domain_radius: Annotated[float, typer.Option(metavar="UM", help="Domain radius of GSM2 in um.")] = 0.9,
    nucleus_radius: Annotated[float, typer.Option(metavar="UM", help="Nucleus radius of GSM2 in um.")] = 4.5,
    repair_rate: Annotated[float, typer.Option(metavar="PER_H", help="Repair rate of GSM2 in 1/h.")] = 2.5,
    genome_gbp: Annotated[float, typer.Option(metavar="GBP", help="Size of the genome in Gbp.")] = 6.2,
    mkm_radius: Annotated[float, typer.Option(metavar="UM", help="Nucleus radius of the MKM in um.")] = 3.9,
    smk_radius: Annotated[float, typer.Option(metavar="UM", help="Nucleus radius of the SMK in um.")] = 8.1,
    lem_radius: Annotated[float, typer.Option(metavar="UM", help="Nucleus radius of LEM I in um.")] = 5.0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Calibrate a cell line on survival data of photons (and ions), with 95 % intervals, and write it.

    Says which models can be calibrated and why others cannot. A line that GSM2 cannot reproduce is reported and not
    written, with exit code 1.
    """
    from surrogate3d.pipeline.cell_line_calibration import Assumed
    from surrogate3d.pipeline.cell_line_fit import fit_cell_line, write_cell_line

    require_free(output, overwrite)
    radii = (mkm_radius, smk_radius, lem_radius)
    assumed = Assumed(name, species, tissue, domain_radius, nucleus_radius, repair_rate, genome_gbp, *radii)
    with working("fitting"):
        found = fit_cell_line(data, assumed)
    complete = found.model("gsm2").calibrated
    if complete:
        write_cell_line(found, output, overwrite)
    for text in found.warnings:
        warn(text)
    written = {"output": output if complete else None}
    answer("cell-line-fit", {**written, **found.to_json()}, as_json, show_cell_line.fitted)
    if not complete:
        line(f"error: nothing written, as a cell line needs GSM2: {found.model('gsm2').why}")
        raise typer.Exit(1)


def table(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped name such as HSG, or a .toml file.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The table, a .json file.")],
    species: Annotated[str, typer.Option(metavar="LIST", help="Ions, separated by commas.")] = "H,He,Li,Be,B,C",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Make it anew, and keep nothing for next time.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write alpha (1/Gy) and beta (1/Gy^2) of ions of one energy, 0.1 to 500 MeV/u, by GSM2, in seconds.

    What predictions for the cell line mix. A shipped line has its shipped table; others are kept in the user's cache
    folder ($XDG_CACHE_HOME or ~/.cache). The file can be given as --backend, too.
    """
    require_free(output, overwrite)
    from surrogate3d.pipeline.cell_line_table import write_mono_table

    with counting("simulating ions") as progress:
        kinds = words(species)
        found = write_mono_table(name, output, kinds, use_cache=not no_cache, overwrite=overwrite, progress=progress)
    for text in found["warnings"]:
        warn(text)
    answer("cell-line-table", found, as_json, show_cell_line.tabulated)
