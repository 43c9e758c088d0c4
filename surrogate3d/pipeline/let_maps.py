"""LET of a field by any definition that its spectra can answer, beside what TOPAS scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.grid import Field, LetDefinition, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.io.images import write_maps
from surrogate3d.physics.explained import geant4_step_mm, step_corrected_LET
from surrogate3d.physics.let import LET_of, definition_difference, definition_of
from surrogate3d.pipeline.conversion import irradiated, percentiles
from surrogate3d.pipeline.spectrum_checks import steps_of


def let_of_field(
    field: Field,
    weighting: str,
    *,
    species: tuple[str, ...] | None = None,
    restricted_kev: float | None = None,
    along_steps: bool = True,
) -> tuple[Volume, LetDefinition]:
    """LET of a field by definition.

    Args:
        field: with spectra.
        weighting: "dose" or "track".
        species: those that count, such as ("H",); None for all of the spectrum.
        restricted_kev: cut on the energy of delta electrons, keV; None for unrestricted LET.
        along_steps: with the mean LET along the steps, as TOPAS scores it; else that at the energies of the bins.

    Returns:
        `LET_d_spectra` or `LET_t_spectra`, NaN where those species have no fluence, and its definition.

    Raises:
        QuantityError, UnknownNameError, ValueRangeError: as `physics.let.LET_of`.
    """
    axes = field.spectra.axes
    steps = asdict(steps_of(field)).values()
    LET = step_corrected_LET(axes, geant4_step_mm(axes, *steps)) if along_steps else None
    cut: dict[str, Any] = {"species": species, "restricted_kev": restricted_kev}
    values = LET_of(axes, field.spectra.fluence, weighting, LET=LET, **cut)
    definition = definition_of(axes, weighting, **cut)
    if along_steps:
        definition = replace(definition, source=f"{definition.source}, with the mean LET along the simulation's steps")
    name = "LET_d_spectra" if weighting == "dose" else "LET_t_spectra"
    return Volume(field.grid, values.astype(np.float32), quantity(name)), definition


def let_store(
    path: Path,
    output: Path,
    weightings: Sequence[str] = ("dose", "track"),
    *,
    species: tuple[str, ...] | None = None,
    restricted_kev: float | None = None,
    along_steps: bool = True,
    formats: Sequence[str] = ("nifti",),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write LET maps of a field store; arguments as for `let_of_field`.

    Returns:
        The definitions, ranges, and by scored LET of the same weighting the difference in value and in definition.
    """
    field = read_field(path)
    cut: dict[str, Any] = {"species": species, "restricted_kev": restricted_kev, "along_steps": along_steps}
    made = {weighting: let_of_field(field, weighting, **cut) for weighting in weightings}
    volumes = VolumeSet(field.grid, {volume.quantity.name: volume for volume, _ in made.values()})
    about = {
        "field_id": field_id(path),
        "let_definitions": {volume.quantity.name: asdict(definition) for volume, definition in made.values()},
        "against_scored": {w: _against(field, w, *pair) for w, pair in made.items() if _scored(w) in field.volumes},
    }
    files = write_maps(volumes, output, formats, about, overwrite=overwrite)
    return {**about, "output": str(output), "files": [file.name for file in files]}


def _scored(weighting: str) -> str:
    return "LET_d" if weighting == "dose" else "LET_t"


def _against(field: Field, weighting: str, volume: Volume, definition: LetDefinition) -> Mapping[str, Any]:
    name = _scored(weighting)
    ratio = volume.values / field.volumes[name].values - 1
    inside = irradiated(field.volumes) & np.isfinite(ratio)
    differences = definition_difference(definition, field.let_definitions[name])
    return {"difference": percentiles(ratio[inside]), "definitions_differ_in": differences}
