"""Predict the maps of a field and write them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import surrogate3d
from surrogate3d.grid import Field, VolumeSet
from surrogate3d.inference.curves import CurveMap, predict_curves
from surrogate3d.inference.maps import PRESCRIBED, Fractionation, derive_maps, wanted
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.io.images import write_maps
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine


@dataclass(frozen=True, eq=False)
class PredictedMaps:
    """Maps of one field with what they were made from.

    Attributes:
        volumes: by quantity name.
        curves: the survival curves behind them.
        seconds: wall time from the field in memory to the maps.
    """

    volumes: VolumeSet
    curves: CurveMap
    seconds: float


def predict(
    field: Field,
    surrogate: Surrogate,
    line: CellLine,
    fractionation: Fractionation,
    names: tuple[str, ...] | None = None,
) -> PredictedMaps:
    """Predict the maps of a field in memory; arguments as in `inference.maps.derive_maps`."""
    names = wanted(field, fractionation, names)
    start = time.perf_counter()
    curves = predict_curves(field, surrogate, line)
    volumes = derive_maps(curves, field, line, fractionation, names)
    return PredictedMaps(volumes, curves, time.perf_counter() - start)


def predict_store(
    path: Path,
    surrogate: Surrogate,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predict the maps of a field store and write them.

    Returns:
        Summary with the ranges of the maps, what was refused and why, and the files.
    """
    field = read_field(path)
    maps = predict(field, surrogate, line, fractionation, names)
    about = metadata(field, field_id(path), surrogate, line, fractionation)
    files = write_maps(maps.volumes, output, formats, about, overwrite=overwrite)
    mask, strange = maps.curves.mask, maps.curves.out_of_domain
    return {
        **about,
        "files": [file.name for file in files],
        "output": output.name,
        "seconds": maps.seconds,
        "voxels_answered": int(mask.sum()),
        "voxels_out_of_domain": int(strange.sum()),
        "strangest": maps.curves.strangest,
        "refused": refused(maps.volumes, field),
        "ranges": {name: _range(volume.values[mask]) for name, volume in maps.volumes.items()},
    }


def refused(volumes: VolumeSet, field: Field) -> dict[str, str]:
    """Maps that were left out, each with the reason."""
    if field.prescription is not None:
        return {}
    reason = "the field has no prescription; convert with --prescribe or --dose-scale"
    return {name: reason for name in PRESCRIBED if name not in volumes}


def metadata(
    field: Field, name: str, surrogate: Surrogate, line: CellLine, fractionation: Fractionation
) -> dict[str, Any]:
    """What every map stands under, for sidecars and summaries."""
    return {
        "field_id": name,
        "bundle_id": surrogate.bundle_id,
        "cell_line": {"name": line.name, "alpha_x": line.alpha_x, "beta_x": line.beta_x, "source": line.source},
        "fraction_dose_gy": fractionation.fraction_dose_gy,
        "fractions": fractionation.fractions,
        "dose": field.dose_name,
        "prescription": field.prescription.statement if field.prescription else None,
        "unexplained_dose": "dose that the spectra do not explain is taken to act like the dose that they do explain",
        "surrogate3d_version": surrogate3d.__version__,
    }


def _range(values: np.ndarray[Any, Any]) -> dict[str, float]:
    known = values[np.isfinite(values)]
    low, median, high = np.percentile(known, [0, 50, 100]) if known.size else (float("nan"),) * 3
    return {"minimum": float(low), "median": float(median), "maximum": float(high)}
