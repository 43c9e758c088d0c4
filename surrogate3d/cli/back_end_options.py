"""Options of the commands that simulate: conditions of the cells, settings of back ends, and who does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Oxygen = Annotated[
    str | None,
    typer.Option(
        metavar="MMHG|IMAGE",
        help="Oxygen pressure at the cells in mmHg (not per cent): one number, or an image on the field's grid.",
        show_default=False,
    ),
]
InTime = Annotated[
    bool, typer.Option("--in-time", help="Deliver the dose at the times that the field's beams state; else acutely.")
]
NucleusSpread = Annotated[
    float, typer.Option(metavar="FRACTION", help="Relative s.d. of the nucleus radius over the cells (gsm2_mc).")
]
Command = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help='For topas_job, such as "topas {parameters}".', show_default=False),
]
Jobs = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="For topas_job: what `topas jobs` wrote, or where to write.", show_default=False),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(metavar="S", help="For topas_job: seconds after which a job is given up.", show_default=False),
]
Response = Annotated[
    Literal["gsm2", "mkm"] | None,
    typer.Option(help="For topas_job: the model that answers; else that which the jobs were written for."),
]
Workers = Annotated[int, typer.Option(metavar="N", help="Processes of a local cluster; 0: this process.")]
Scheduler = Annotated[str, typer.Option(metavar="ADDRESS", help="A running Dask scheduler instead.")]
