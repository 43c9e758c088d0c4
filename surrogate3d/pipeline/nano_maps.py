"""Nanodosimetric maps of a field: ionisation cluster sizes and DNA damage yields, dose-weighted over its spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.grid import Field, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.io.images import write_maps
from surrogate3d.physics.explained import geant4_step_mm
from surrogate3d.physics.nano_table import nano_table
from surrogate3d.physics.nanodosimetry import DAMAGE_KINDS, damage_known, damage_yields_of, nanodosimetry_of
from surrogate3d.pipeline.conversion import irradiated, percentiles
from surrogate3d.pipeline.spectrum_checks import steps_of

CONVENTION = {
    "crossing": "ions cross the sphere at random, uniformly over its cross-section",
    "central": "ions pass through the centre of the sphere",
}


def nano_of_field(
    field: Field, site_nm: float, *, convention: str = "crossing", along_steps: bool = True
) -> tuple[VolumeSet, dict[str, Any]]:
    """M1, F1, F2, F3 and damage yields of a field.

    Args:
        field: with spectra.
        site_nm: diameter of the spheres, one of the table's, nm.
        convention: "crossing" or "central".
        along_steps: averaged over the energies along the simulation's steps; else at the energies of the bins.

    Returns:
        Volumes, NaN where there is no fluence, and their definition as plain data. A kind of damage that is not known
        for an ion of the spectrum is left out and named under "left_out".

    Raises:
        UnknownNameError, ValueRangeError: as `physics.nanodosimetry.nanodosimetry_of`.
    """
    axes, fluence = field.spectra.axes, field.spectra.fluence
    step = geant4_step_mm(axes, *asdict(steps_of(field)).values()) if along_steps else None
    maps = nanodosimetry_of(axes, fluence, site_nm, convention=convention, step_mm=step)
    unknown = {kind: _lacking(field, ~damage_known(axes, kind)) for kind in DAMAGE_KINDS}
    answered = [kind for kind in DAMAGE_KINDS if not unknown[kind]]
    yields = damage_yields_of(axes, fluence, answered, step_mm=step)
    maps |= {f"{kind}_yield": values for kind, values in yields.items()}
    volumes = {name: Volume(field.grid, values.astype(np.float32), quantity(name)) for name, values in maps.items()}
    definition = {
        "site": f"sphere of {site_nm:g} nm diameter in liquid water of 1 g/cm3",
        "site_nm": site_nm,
        "convention": convention,
        "convention_meaning": CONVENTION[convention],
        "probabilities": "absolute: sites without an ionisation count",
        "averaging": "by energy deposit (dose-weighted)",
        "along_steps": along_steps,
        "particles": list(axes.species),
        "table": dict(nano_table().source),
        "damage": "PARTRAC fits of LET, Kundrat et al., Sci. Rep. 2020;10:15775, per Gy and Gbp",
        "left_out": {f"{kind}_yield": f"not known for {', '.join(ions)}" for kind, ions in unknown.items() if ions},
    }
    return VolumeSet(field.grid, volumes), definition


def nano_store(
    path: Path,
    output: Path,
    site_nm: float,
    *,
    convention: str = "crossing",
    along_steps: bool = True,
    formats: Sequence[str] = ("nifti",),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write nanodosimetric maps of a field store; arguments as for `nano_of_field`.

    Returns:
        The definition, by map the median and range of the irradiated voxels, and the files.
    """
    field = read_field(path)
    volumes, definition = nano_of_field(field, site_nm, convention=convention, along_steps=along_steps)
    inside = irradiated(field.volumes)
    about = {
        "field_id": field_id(path),
        "definition": definition,
        "irradiated": {name: _summary(volumes[name], inside) for name in volumes},
    }
    files = write_maps(volumes, output, formats, about, overwrite=overwrite)
    return {**about, "output": str(output), "files": [file.name for file in files]}


def _summary(volume: Volume, inside: np.ndarray[Any, np.dtype[np.bool_]]) -> Mapping[str, float]:
    values = volume.values[inside]
    return percentiles(values[np.isfinite(values)])


def _lacking(field: Field, unknown: np.ndarray[Any, np.dtype[np.bool_]]) -> list[str]:
    """The ions among `unknown` (species,) that the field has fluence of."""
    pairs = zip(field.spectra.axes.species, unknown, field.spectra.fluence, strict=True)
    return [name for name, is_unknown, fluence in pairs if is_unknown and fluence.any()]
