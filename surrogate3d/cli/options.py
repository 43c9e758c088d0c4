"""Options that several commands share, with their units, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead (docs/cli-json.md).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an older output.")]
Fields = Annotated[
    list[Path], typer.Argument(metavar="FIELD...", help="Field stores (*.field.zarr).", show_default=False)
]
CellLine = Annotated[
    str,
    typer.Option(
        "--cell-line",
        metavar="NAME",
        help="Cell line: a shipped name such as HSG, or your own .toml file.",
        show_default=False,
    ),
]
CellLineOrAssignment = Annotated[
    str,
    typer.Option(
        "--cell-line",
        metavar="NAME",
        help="Cell line, such as HSG, or your own .toml file; or by structure: Tumour=HSG,Brainstem=V79,*=HSG.",
        show_default=False,
    ),
]
CellLines = Annotated[
    list[str],
    typer.Option(
        "--cell-line",
        metavar="NAME",
        help="Cell line, such as HSG, or your own .toml file; may be repeated.",
        show_default=False,
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Direct simulation: gsm2_mc, gsm2_fft, zr_table:NAME, a table of your own, or another of docs/method.md.",
    ),
]
TargetSe = Annotated[
    float, typer.Option(metavar="FRACTION", help="Relative standard error of survival at which a voxel is done.")
]
Model = Annotated[
    str, typer.Option(metavar="BUNDLE", help="Model bundle: a path, or the name of a shipped one.", show_default=False)
]
FractionDose = Annotated[
    float,
    typer.Option("--fraction-dose", metavar="GY", help="Physical dose of one fraction in Gy.", show_default=False),
]


def words(text: str) -> tuple[str, ...]:
    """A comma-separated list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
