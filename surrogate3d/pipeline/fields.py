"""Field stores to field stores: several fields to one plan, another grid, a box of a field.

What is made from dose and spectra (`pipeline.spectrum_checks`) is made anew for the result; for a sum, with the steps
of the field of most dose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, cast

import numpy as np

import surrogate3d
from surrogate3d.errors import GeometryError, QuantityError, StoreError
from surrogate3d.grid import DoseField, Field
from surrogate3d.grid.combine import Time, combine, dose_integral
from surrogate3d.grid.resample import Box, box_above, crop_field, regridded, resample_field
from surrogate3d.grid.summed import Outside
from surrogate3d.io.field_store import field_id, read_dose_field, write_field
from surrogate3d.physics.let import dose_from_spectra
from surrogate3d.pipeline.dicom_files import grid_like
from surrogate3d.pipeline.spectrum_checks import Steps, with_checks
from surrogate3d.pipeline.training import scored_runs

STORE_SUFFIX = ".field.zarr"


def combine_stores(
    paths: Sequence[Path],
    output: Path,
    *,
    weights: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    times: Sequence[Time] | None = None,
    like: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Add the fields of a plan and store the sum.

    Args:
        paths: two or more field stores.
        output: where the sum goes.
        weights: factor on the dose of each; None, for 1, where all are prescribed.
        names: of the beams; those of the stores if not given.
        times: start and duration of the delivery of each, s.
        like: what has the grid of the sum, as of `dicom_files.grid_like`; else the finest of the fields'.
        overwrite: replace an older store.

    Returns:
        The grid and `conservation` of the sum, the parts with theirs, and what was left out.

    Raises:
        QuantityError: two stores hold the same field, or the same histories, also as a part of a sum.
        Surrogate3dError: as `surrogate3d.grid.combine.combine`.
    """
    _require_other(output, paths)
    fields = [read_dose_field(path) for path in paths]
    ids = [field_id(path) for path in paths]
    _require_different(fields, ids, paths)
    names = list(names) if names else [path.name.removesuffix(STORE_SUFFIX) for path in paths]
    grid = grid_like(like)[0] if like else None
    whole = combine(fields, weights, names=names, grid=grid, times=times)
    parts = [{**part, "field_id": name} for part, name in zip(whole.provenance["parts"], ids, strict=True)]
    whole = _dated(whole, parts=parts)
    if isinstance(whole, Field):
        whole = with_checks(whole, _steps_of_most_dose(fields, parts))
    shown = [
        {**{key: value for key, value in part.items() if key != "provenance"}, **conservation(field)}
        for part, field in zip(parts, fields, strict=True)
    ]
    return {**_stored(whole, output, overwrite), "parts": shown}


def resample_store(
    path: Path,
    output: Path,
    *,
    spacing_mm: tuple[float, float, float] | None = None,
    like: Path | None = None,
    outside: Outside = "refuse",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Carry a field to another grid and store it.

    Args:
        path: the field store.
        output: where the new one goes.
        spacing_mm: voxel size; the grid is then the largest of such voxels inside the old one.
        like: or what has the grid that it shall have, as of `dicom_files.grid_like`.
        outside: as `surrogate3d.grid.resample.resample_field`.
        overwrite: replace an older store.

    Returns:
        The new grid, `conservation` before and after, and what was left out.

    Raises:
        GeometryError: not one of `spacing_mm` and `like`.
        Surrogate3dError: as `resample_field`.
    """
    if (spacing_mm is None) == (like is None):
        raise GeometryError("say either the voxel spacing or the store or image whose grid is wanted")
    field = read_dose_field(path)
    grid = regridded(field.grid, spacing_mm) if spacing_mm else grid_like(like)[0] if like else field.grid
    new = resample_field(field, grid, outside)
    if isinstance(new, Field) and isinstance(field, Field):
        new = with_checks(new, _steps(field))
    return _changed(path, field, new, output, overwrite)


def crop_store(
    path: Path,
    output: Path,
    *,
    box: Box | None = None,
    above: float | None = None,
    margin_mm: float = 0.0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Cut a box out of a field and store it.

    Args:
        path: the field store.
        output: where the new one goes.
        box: half-open, in voxels.
        above: or all voxels with at least this fraction of the largest dose.
        margin_mm: around these.
        overwrite: replace an older store.

    Returns:
        As `resample_store`, and the box.

    Raises:
        GeometryError: not one of `box` and `above`, or the box is not inside the grid.
        ValueRangeError: the fraction or the margin makes no sense.
    """
    if (box is None) == (above is None):
        raise GeometryError("say either the box or the fraction of the largest dose to keep")
    field = read_dose_field(path)
    chosen = box if box is not None else box_above(field, above or 0.0, margin_mm)
    summary = _changed(path, field, crop_field(field, chosen), output, overwrite)
    return {**summary, "box": [list(end) for end in chosen]}


def conservation(field: DoseField) -> dict[str, Any]:
    """What resampling keeps: integrals over the volume, and the bounds of LET.

    Returns:
        `dose_integral_gy_mm3`; `spectra_integral_gy_mm3`, the same of the dose that the spectra explain (K sum Phi L;
        None without spectra); `LET_d_kev_um` and `LET_t_kev_um` as [minimum, maximum], None where there is none.
    """
    spectral = None
    if isinstance(field, Field):
        explained = dose_from_spectra(field.spectra.axes, field.spectra.fluence)
        spectral = float(explained.sum()) * field.grid.voxel_volume_mm3
    bounds = {f"{name}_kev_um": _bounds(field, name) for name in ("LET_d", "LET_t")}
    return {"dose_integral_gy_mm3": dose_integral(field), "spectra_integral_gy_mm3": spectral, **bounds}


def _bounds(field: DoseField, name: str) -> list[float] | None:
    if name not in field.volumes or not np.isfinite(field.volumes[name].values).any():
        return None
    values = field.volumes[name].values
    return [float(np.nanmin(values)), float(np.nanmax(values))]


def _require_different(fields: Sequence[DoseField], ids: Sequence[str], paths: Sequence[Path]) -> None:
    for a, b in combinations(range(len(fields)), 2):
        runs = product(scored_runs(fields[a]), scored_runs(fields[b]))
        if ids[a] == ids[b] or any(one <= other or other <= one for one, other in runs):
            raise QuantityError(
                f"{paths[a].name} and {paths[b].name} hold the same histories, whose noise would not average out; "
                "give a field once, with a larger weight"
            )


def _steps(field: Field) -> Steps:
    """How the simulation stepped: as stored, or through the voxels that it was scored in."""
    stored = field.provenance.get("steps")
    return Steps(**stored) if stored else Steps.through(field.grid, field.beam_axis, None, False)


def _steps_of_most_dose(fields: Sequence[DoseField], parts: Sequence[dict[str, Any]]) -> Steps:
    doses = [part["weight"] * part["dose_integral_gy_mm3"] for part in parts]
    return _steps(cast(Field, fields[int(np.argmax(doses))]))


def _dated(field: DoseField, **about: Any) -> DoseField:
    provenance = {**field.provenance, **about, "surrogate3d_version": surrogate3d.__version__}
    return replace(field, provenance=provenance)


def _changed(path: Path, old: DoseField, new: DoseField, output: Path, overwrite: bool) -> dict[str, Any]:
    _require_other(output, [path])
    source = {"name": path.name, "field_id": field_id(path)}
    summary = _stored(_dated(new, source=source), output, overwrite)
    return {"from": {**source, "grid": old.grid.to_json(), **conservation(old)}, **summary}


def _require_other(output: Path, sources: Sequence[Path]) -> None:
    if any(output.resolve() == source.resolve() for source in sources):
        raise StoreError(f"{output} is an input; its source would be lost, so choose another name for the result")


def _stored(field: DoseField, output: Path, overwrite: bool) -> dict[str, Any]:
    name = write_field(field, output, overwrite=overwrite)
    changes = field.provenance.get("changes", [])
    return {
        "field_id": name,
        "grid": field.grid.to_json(),
        **conservation(field),
        "remarks": changes[-1].get("remarks", []) if changes else [],
        "spectra": isinstance(field, Field),
        "several_directions": field.several_directions,
        "prescription": field.prescription.statement if field.prescription else None,
    }
