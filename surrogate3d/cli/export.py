"""`export`: a trained surrogate for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from surrogate3d.cli.console import answer, show, working
from surrogate3d.cli.files import require_free
from surrogate3d.cli.options import Json, Overwrite


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: surrogate3d export proton -o proton-onnx --format onnx")(export)


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Shipped model by name, or a bundle's path.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New folder.")],
    kind: Annotated[
        Literal["onnx", "monai"], typer.Option("--format", help="ONNX graphs, or a MONAI bundle.")
    ] = "onnx",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Export a surrogate as ONNX graphs, run against its networks before, or as a MONAI bundle (docs/export.md)."""
    require_free(output, overwrite)
    from surrogate3d.pipeline.exporting import export_model

    with working("exporting"):
        found = export_model(model, output, kind, overwrite)
    answer("export", {**found, "output": output}, as_json, _show)


def _show(data: Mapping[str, Any]) -> None:
    for name, graph in data.get("graphs", {}).items():
        show(f"{name}: spectra of {'+'.join(graph['species'])}; answers within {graph['largest_difference']:.1e}")
    show(f"written: {data['output']} ({len(data['files'])} files; bundle {data['bundle_id'][:12]})")
