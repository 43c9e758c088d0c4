"""Give a trained surrogate to other programs: as ONNX graphs, or as a MONAI bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from surrogate3d.errors import StoreError, UnknownNameError, UnsupportedError, ValueRangeError
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.model.onnx_export import (
    INPUT_AXES,
    OUTPUT_AXES,
    export_onnx,
    graph_inputs,
    graph_notes,
    largest_difference,
    require_packages,
)
from surrogate3d.model.reduced_bundle import is_reduced_bundle
from surrogate3d.pipeline.models import resolve
from surrogate3d.pipeline.monai_bundle import write_monai_bundle

ExportFormat = Literal["onnx", "monai"]

SCHEMA = "surrogate3d.export/1"
"""Of `export.json`, which marks an export."""

TOLERANCE = 1e-4
"""Most by which a graph's answers may differ from the networks': of effects relative, of logarithms as it is."""


def export_model(model: str, output: Path, kind: ExportFormat, overwrite: bool = False) -> dict[str, Any]:
    """Export a surrogate.

    Args:
        model: name of a shipped model, else a path.
        output: the folder; for "onnx" with one graph a set of species that the model accepts.
        kind: "onnx" or "monai".
        overwrite: replace an older export.

    Returns:
        Summary: the model, files, and for "onnx" what goes in and out and by how much the graphs' answers differ.

    Raises:
        UnknownNameError: there is no such model, or no such format.
        UnsupportedError: the model has no networks on spectra, or a package is missing.
        BundleError: the bundle is damaged or of another kind.
        StoreError: `output` exists and is not to be, or must not be, replaced.
        ValueRangeError: a graph's answers differ by more than `TOLERANCE`.
    """
    if kind not in get_args(ExportFormat):
        raise UnknownNameError(f"unknown format {kind!r}; known: {', '.join(get_args(ExportFormat))}")
    source = resolve(model)
    if is_reduced_bundle(source):
        raise UnsupportedError(f"{model} predicts from dose and LET; only models of spectra are exported")
    if overwrite and output.exists() and not manifest.has_schema(output / "export.json", SCHEMA):
        raise StoreError(f"{output} exists and is no export, so it is not replaced; choose another name")
    surrogate = load_bundle(source)
    about: dict[str, Any] = {"schema": SCHEMA, "format": kind, "model": str(model), "bundle_id": surrogate.bundle_id}
    with atomic_directory(output, overwrite) as scratch:
        if kind == "onnx":
            about |= _onnx(surrogate, scratch)
        else:
            write_monai_bundle(surrogate, source, scratch)
        files = sorted(str(file.relative_to(scratch)) for file in scratch.rglob("*") if file.is_file())
        about["files"] = [*files, "export.json"]
        (scratch / "export.json").write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return about


def _onnx(surrogate: Surrogate, folder: Path) -> dict[str, Any]:
    """Write the graphs; each is run against the networks before it is given away."""
    require_packages("ONNX", ("onnx", "onnxscript", "onnxruntime"))
    graphs = {}
    for species in surrogate.card.species_sets:
        name = f"{'_'.join(species)}.onnx"
        export_onnx(surrogate, species, folder / name)
        apart = largest_difference(surrogate, species, folder / name)
        if not apart <= TOLERANCE:
            raise ValueRangeError(
                f"the ONNX graph for {'+'.join(species)} answers {apart:.1e} away from the networks, more than "
                f"{TOLERANCE:g}; the exporter of this version of torch does not suit, install the pinned one"
            )
        notes = graph_notes(surrogate, species)
        graphs[name] = {"species": list(species), "largest_difference": apart, "notes": notes}
    inputs = {name: list(INPUT_AXES[name]) for name in graph_inputs(surrogate.card)}
    return {"graphs": graphs, "inputs": inputs, "outputs": {name: list(axes) for name, axes in OUTPUT_AXES.items()}}
