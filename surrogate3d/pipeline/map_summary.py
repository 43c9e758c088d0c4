"""What every map of a field stands under, and what is said of maps that were made or left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import surrogate3d
from surrogate3d.grid import DoseField, VolumeSet
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.maps import PRESCRIBED, Fractionation
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


def common(field: DoseField, name: str, line: CellLine, fractionation: Fractionation) -> dict[str, Any]:
    """Of all maps of a field, whatever made them."""
    return {
        "field_id": name,
        "cell_line": {"name": line.name, "alpha_x": line.alpha_x, "beta_x": line.beta_x, "source": line.source},
        "fraction_dose_gy": fractionation.fraction_dose_gy,
        "fractions": fractionation.fractions,
        "dose": field.dose_name,
        "prescription": field.prescription.statement if field.prescription else None,
        "surrogate3d_version": surrogate3d.__version__,
    }


def value_range(values: npt.NDArray[np.floating]) -> dict[str, float]:
    """Range of the values that are known."""
    known = values[np.isfinite(values)]
    low, median, high = np.percentile(known, [0, 50, 100]) if known.size else (float("nan"),) * 3
    return {"minimum": float(low), "median": float(median), "maximum": float(high)}


def refused(made: Collection[str], field: DoseField) -> dict[str, str]:
    """Maps that were left out, each with the reason."""
    if field.prescription is not None:
        return {}
    reason = "the field has no prescription; convert with --prescribe or --dose-scale"
    return {name: reason for name in PRESCRIBED if name not in made}


def largest_dose_gy(field: DoseField, fractionation: Fractionation) -> float | None:
    """Of a fraction; to be compared with the fraction dose where no prescription says it. None in arbitrary scale."""
    return float(np.nanmax(field.dose)) / fractionation.fractions if field.prescription else None


def comment(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Words for Dose Comment from the metadata of maps, the most important first."""
    line, words = metadata.get("cell_line") or {}, []
    if line:
        words.append(str(line["name"]))
    model = metadata.get("model") or str(metadata.get("bundle_id") or "")[:8]
    if name := model.get("name") if isinstance(model, Mapping) else model:
        words.append(f"model {name}")
    if metadata.get("fraction_dose_gy"):
        words.append(f"{metadata.get('fractions', 1)}x{metadata['fraction_dose_gy']:g}Gy")
    if line and line.get("alpha_x") is not None:  # lines by structure have no one pair
        words.append(f"ax={line['alpha_x']:.4g} bx={line['beta_x']:.4g}")
    return tuple(words)
