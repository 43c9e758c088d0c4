"""`topas scorers`: the scorers that the engine needs, as a parameter file to include in a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from surrogate3d.cli.console import answer, show, warn
from surrogate3d.cli.options import Json, Overwrite, words

if TYPE_CHECKING:
    from surrogate3d.io.topas_scorers import ScorerBlock


def register(topas_app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: surrogate3d topas scorers -o scorers.txt --component Grid --beam carbon --plan plan.txt"
    topas_app.command(epilog=example)(scorers)


def scorers(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The parameter file to include.")],
    component: Annotated[str, typer.Option(metavar="NAME", help="Component to score on: NAME in Ge/NAME/XBins.")],
    beam: Annotated[
        Literal["proton", "helium", "carbon", "oxygen"],
        typer.Option(help="Particles of the beam; they decide which species are scored.", show_default=False),
    ],
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parameter file of the plan, for the grid and the threads.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="NX,NY,NZ", help="Or the number of voxels along X, Y and Z.")
    ] = None,
    bins: Annotated[
        int | None, typer.Option(metavar="N", help="Energy bins of each species; 64, or as many as fit.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Report the scored steps of each bin too.")] = False,
    isotopes: Annotated[
        bool, typer.Option("--isotopes", help="Score protons, deuterons and tritons apart, in place of H.")
    ] = False,
    memory: Annotated[
        float, typer.Option(metavar="GB", help="What all scorers of the run may take together, 10^9 bytes.")
    ] = 16.0,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads of the run; those of the plan where not given.")
    ] = None,
    output_type: Annotated[Literal["binary", "csv"], typer.Option(help="Form of TOPAS's output files.")] = "binary",
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="Put before scorer and file names, if the plan has such.")
    ] = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write the scorers that the engine needs, for `includeFile` in an OpenTOPAS plan.

    Dose to water (Gy) with its deviation, dose to medium (Gy), ProtonLET (keV/um), and fluence (1/mm^2) of each species
    in logarithmic bins of the energy before each step, 0.1-500 MeV/u: as many as OpenTOPAS's index and memory allow.
    """
    from surrogate3d.io.topas_scorer_request import ScorerRequest, scoring_grid
    from surrogate3d.io.topas_scorers import scorer_block, write_scorers

    grid, planned = scoring_grid(component, _voxels(shape), plan, prefix)
    request = ScorerRequest(
        beam=beam,
        bins=bins,
        count=count,
        isotopes=isotopes,
        memory_gb=memory,
        threads=planned if threads is None else threads,
        output_type=output_type,
        prefix=prefix,
    )
    block = scorer_block(grid, request)
    write_scorers(block, output, overwrite)
    for warning in block.warnings:
        warn(warning)
    answer("topas-scorers", {"output": output, "shape": grid.shape, **_described(block)}, as_json, _display)


def _voxels(shape: str | None) -> tuple[int, int, int] | None:
    if shape is None:
        return None
    numbers = words(shape)
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        raise typer.BadParameter(
            f"expected three whole numbers such as 20,20,64, found {shape!r}", param_hint="--shape"
        )
    i, j, k = map(int, numbers)
    return i, j, k


def _described(block: ScorerBlock) -> dict[str, Any]:
    names = ("scorers", "bins", "count", "memory_gb", "step_limit_mm", "step_advice", "warnings")
    return {name: getattr(block, name) for name in names}


def _display(data: dict[str, Any]) -> None:
    show(
        f"{data['output']}: {len(data['scorers'])} scorers, {data['bins']} energy bins"
        f"{' with counts' if data['count'] else ''}, about {data['memory_gb']:.2g} GB of memory",
        f"include it in the plan: includeFile = {data['output']}",
        *data["step_advice"],
    )
