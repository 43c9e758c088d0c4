"""TOPAS run folders to a field store, and what a field store holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.errors import QuantityError
from surrogate3d.grid import Field
from surrogate3d.io.convert import PrescribeRequest
from surrogate3d.io.convert import convert as read_and_merge
from surrogate3d.io.field_store import describe, read_field, write_field
from surrogate3d.io.topas_grid import RowOrder
from surrogate3d.physics.let import dose_from_spectra

MAX_EXPLAINED = 1.5
"""Largest 95th percentile of dose from the spectra over scored dose that noise can explain."""

MIN_DOSE_FRACTION = 0.05
"""Statistics of a field are over voxels with at least this fraction of its largest dose."""


def convert(
    run_dirs: Sequence[Path],
    output: Path,
    *,
    dose_scale: float | None = None,
    prescribe: PrescribeRequest | None = None,
    row_order: RowOrder | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Convert one or several runs of a plan.

    Returns:
        `info` of the new store, and under "conversion" what was read and what was not.
    """
    field, report = read_and_merge(run_dirs, dose_scale=dose_scale, prescribe=prescribe, row_order=row_order)
    _require_consistent(consistency(field))
    write_field(field, output, overwrite=overwrite)
    return {**info(output), "conversion": report.to_json()}


def _require_consistent(explained: dict[str, float]) -> None:
    """Refuse spectra that explain more dose than was scored: they lie in other voxels, or in other bins."""
    if explained["p95"] > MAX_EXPLAINED:
        raise QuantityError(
            f"the spectra explain {explained['median']:.2f} of the scored dose in the median voxel and "
            f"{explained['p95']:.2f} at the 95th percentile, which cannot be: the row order of a CSV, a species or its "
            "energy bins are wrong; give --row-order, or mend the scorers"
        )


def info(path: Path) -> dict[str, Any]:
    """What is inside a field store, with its consistency line."""
    field = read_field(path)
    return {**describe(path), "consistency": consistency(field), "tracks_per_voxel": tracks(field)}


def consistency(field: Field) -> dict[str, float]:
    """Dose from the spectra over the scored dose: median and 5th and 95th percentile over the irradiated voxels.

    Below one: electrons set free elsewhere, heavier ions and recoils are scored as dose and not as spectra, and
    pre-step binning puts the last long step of a stopping track at too high an energy.
    """
    inside = field.dose >= MIN_DOSE_FRACTION * np.nanmax(field.dose)
    explained = dose_from_spectra(field.spectra.axes, field.spectra.fluence)[inside] / field.dose[inside]
    low, median, high = np.percentile(explained, [5, 50, 95])
    return {"median": float(median), "p5": float(low), "p95": float(high)}


def tracks(field: Field) -> dict[str, float]:
    """Tracks per voxel over the irradiated voxels: median, smallest and largest."""
    n = field.tracks[field.dose >= MIN_DOSE_FRACTION * np.nanmax(field.dose)]
    return {"median": float(np.median(n)), "minimum": float(n.min()), "maximum": float(n.max())}
