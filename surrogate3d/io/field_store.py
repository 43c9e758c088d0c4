"""A `Field` on disk: one zarr v3 group (`*.field.zarr`) with a manifest, written whole or not at all."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from surrogate3d.errors import GridMismatchError, StoreError
from surrogate3d.grid import Field, Grid, LetDefinition, Prescription, Spectra, SpectrumAxes, Volume
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.zarr_group import created_group, get_array, get_volumes, open_group, put_array, put_volumes


def write_field(field: Field, path: str | Path, overwrite: bool = False) -> str:
    """Store a field.

    Spectra are kept as float32, volumes in their own precision; of these, what is read back is exactly what was given.

    Args:
        field: what to store; its provenance must be plain data.
        path: the store, by custom `<name>.field.zarr`.
        overwrite: replace an older field store at `path`.

    Returns:
        The field id: SHA-256 of the manifest, and so of the whole content.

    Raises:
        StoreError: `path` exists and is not to be, or must not be, replaced; or the disk is full.
        GridMismatchError: the halves have other spectrum axes than the whole.
    """
    path = Path(path)
    if overwrite and path.exists() and not manifest.has_schema(path / manifest.MANIFEST_NAME, manifest.FIELD_SCHEMA):
        raise StoreError(f"{path} exists and is not a field store, so it is not replaced; choose another name")
    with atomic_directory(path, overwrite, expected_bytes=_size(field)) as scratch:
        with created_group(scratch, _attributes(field)) as group:
            put_volumes(group, field.volumes)
            _put_spectra(group.create_group("spectra"), field.spectra)
            for number, (half, dose) in enumerate(zip(field.halves, field.halves_dose, strict=True)):
                subgroup = group.create_group(f"halves/{number}")
                _put_spectra(subgroup, half)
                put_array(subgroup, "dose", np.asarray(dose), ("i", "j", "k"), {"unit": "Gy"})
        return manifest.write_manifest(scratch)


def read_field(path: str | Path, verify: bool = True) -> Field:
    """Read a field into memory.

    Args:
        path: the store.
        verify: compare the SHA-256 of every file with the manifest; else only names and sizes.

    Returns:
        The field, as it was written.

    Raises:
        StoreError: there is no store, or it is incomplete or damaged; the message names the file.
    """
    group, about = _open(path, verify)
    grid = Grid.from_json(about["grid"])
    axes = SpectrumAxes.from_json(about["axes"])
    halves = [f"halves/{number}" for number in range(about["n_halves"])]
    return Field(
        grid=grid,
        volumes=get_volumes(group, grid, about["volumes"]),
        spectra=_get_spectra(group, "spectra", axes),
        beam_axis=about["beam_axis"],
        beam_sign=about["beam_sign"],
        histories=about["histories"],
        halves=tuple(_get_spectra(group, name, axes) for name in halves),
        halves_dose=tuple(get_array(group, f"{name}/dose") for name in halves),
        let_definitions={name: LetDefinition(**words) for name, words in about["let_definitions"].items()},
        prescription=Prescription(**about["prescription"]) if about["prescription"] else None,
        provenance=about["provenance"],
    )


def field_id(path: str | Path) -> str:
    """SHA-256 of a store's manifest, which identifies its content. Names and sizes are checked, contents are not.

    Raises:
        StoreError: there is no store, or it is incomplete.
    """
    return manifest.verify(path, hashes=False)


def describe(path: str | Path) -> dict[str, Any]:
    """What a store holds, as plain data, without reading its spectra.

    Returns:
        What `write_field` noted of the field (grid, axes, beam, histories, prescription, LET definitions, provenance,
        the fraction of fluence outside the energy bins), with `field_id`, and `volumes` as name -> symbol, unit,
        definition, minimum and maximum of the finite values (None if there are none) and number of NaN.

    Raises:
        StoreError: there is no store, or it is incomplete.
    """
    group, about = _open(path, hashes=False)
    volumes = get_volumes(group, Grid.from_json(about["grid"]), about["volumes"])
    summaries = {name: summarise(volume) for name, volume in volumes.items()}
    return {**about, "volumes": summaries, "field_id": field_id(path)}


def summarise(volume: Volume) -> dict[str, Any]:
    """Symbol, unit, definition, range of the finite values and number of NaN of a volume, as plain data."""
    finite = volume.values[np.isfinite(volume.values)]
    quantity = volume.quantity
    return {
        "symbol": quantity.symbol,
        "unit": quantity.unit,
        "definition": quantity.definition,
        "minimum": float(finite.min()) if finite.size else None,
        "maximum": float(finite.max()) if finite.size else None,
        "n_nan": int(np.isnan(volume.values).sum()),
    }


def _open(path: str | Path, hashes: bool) -> tuple[zarr.Group, dict[str, Any]]:
    manifest.verify(path, hashes=hashes)
    return open_group(Path(path))


def _attributes(field: Field) -> dict[str, Any]:
    return {
        "schema": manifest.FIELD_SCHEMA,
        "grid": field.grid.to_json(),
        "axes": field.spectra.axes.to_json(),
        "volumes": list(field.volumes),
        "n_halves": len(field.halves),
        "beam_axis": field.beam_axis,
        "beam_sign": field.beam_sign,
        "histories": field.histories,
        "let_definitions": {name: asdict(definition) for name, definition in field.let_definitions.items()},
        "prescription": asdict(field.prescription) if field.prescription else None,
        "outside_bins": _outside_bins(field.spectra),
        "provenance": field.provenance,
    }


def _outside_bins(spectra: Spectra) -> dict[str, dict[str, float]]:
    """Fraction of each species' fluence below and above its energy bins; 0 for a species without fluence."""
    voxels = (-3, -2, -1)
    below, above = (side.sum(axis=voxels, dtype=float) for side in (spectra.underflow, spectra.overflow))
    whole = below + above + spectra.fluence.sum(axis=(1, *voxels), dtype=float)
    return {
        name: {"underflow": float(low / total) if total else 0.0, "overflow": float(high / total) if total else 0.0}
        for name, low, high, total in zip(spectra.axes.species, below, above, whole, strict=True)
    }


def _put_spectra(group: zarr.Group, spectra: Spectra) -> None:
    unit = {"quantity": "fluence", "unit": "1/mm^2"}
    space = ("i", "j", "k")
    put_array(group, "fluence", spectra.fluence.astype(np.float32, copy=False), ("species", "bin", *space), unit)
    put_array(group, "underflow", spectra.underflow.astype(np.float32, copy=False), ("species", *space), unit)
    put_array(group, "overflow", spectra.overflow.astype(np.float32, copy=False), ("species", *space), unit)


def _get_spectra(group: zarr.Group, name: str, axes: SpectrumAxes) -> Spectra:
    return Spectra(axes, *(get_array(group, f"{name}/{part}") for part in ("fluence", "underflow", "overflow")))


def _size(field: Field) -> int:
    """Bytes of the arrays before compression. Halves with other axes than the whole could not be read back."""
    for half in field.halves:
        if not half.axes.matches(field.spectra.axes, rtol=0.0):
            raise GridMismatchError("the spectra of a field's halves must have the axes of the whole")
    channels = sum(s.fluence.size + s.underflow.size + s.overflow.size for s in (field.spectra, *field.halves))
    return 4 * channels + sum(volume.values.nbytes for volume in field.volumes.values())
