"""Gamma of judged doses against a reference dose, and how many points pass in all and in each structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Volume
from surrogate3d.validation.gamma import gamma, pass_rate
from surrogate3d.validation.problems import Problem

CUTOFF_PERCENT = 10.0
"""Of the largest reference value; points below are left out, as TG-218 has it (Med. Phys. 45, e53 (2018))."""

MAX_GAMMA = 2.0
"""The search ends there: larger values mean no more than this."""


@dataclass(frozen=True, eq=False)
class GammaResult:
    """Gamma of one map by one criterion.

    Attributes:
        method: whose map was judged.
        dose_percent: tolerated difference, % of the largest reference value (global).
        distance_mm: tolerated distance, mm.
        values: (i, j, k) gamma up to `MAX_GAMMA`; NaN below the cut-off.
        pass_rates: by group: % of the points with gamma <= 1, and their number.
    """

    method: str
    dose_percent: float
    distance_mm: float
    values: npt.NDArray[np.float32]
    pass_rates: Mapping[str, tuple[float, int]]

    @property
    def criterion(self) -> str:
        """Such as "3%/2mm"."""
        return f"{self.dose_percent:g}%/{self.distance_mm:g}mm"

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the map."""
        return {
            "method": self.method,
            "criterion": self.criterion,
            "dose_percent": self.dose_percent,
            "distance_mm": self.distance_mm,
            "cutoff_percent": CUTOFF_PERCENT,
            "normalisation": "global, the largest reference value",
            "max_gamma": MAX_GAMMA,
            "pass_rates": [
                {"group": name, "percent": rate if n else None, "n": n} for name, (rate, n) in self.pass_rates.items()
            ],
        }


def gamma_results(
    judged: Mapping[str, npt.NDArray[np.floating]],
    reference: Volume,
    within: Mapping[str, npt.NDArray[np.bool_]],
    criteria: Sequence[tuple[float, float]],
) -> tuple[tuple[GammaResult, ...], tuple[Problem, ...]]:
    """Gamma of every map by every criterion.

    Args:
        judged: (i, j, k) maps by method, on the reference's grid.
        reference: a dose; NaN where there is none.
        within: (i, j, k) masks by name in which points are counted, beside all of them.
        criteria: dose in % of the largest reference value, and distance in mm.

    Returns:
        The results, and a problem where there are no points, as of a reference that is nowhere positive.

    Raises:
        ValueRangeError: a criterion is not positive.
    """
    dose = np.where(np.isfinite(reference.values), reference.values, np.nan)
    if not np.nanmax(dose, initial=0.0) > 0:
        told = "the reference is nowhere positive, so no dose difference is a part of it; gamma is left out"
        return (), (Problem("gamma_not_computed", "reference", told),)
    axes = [reference.grid.axis_mm(axis) for axis in range(3)]
    found = []
    for method, values in judged.items():
        evaluation = np.where(np.isfinite(values), values, np.nan)
        for percent, distance in criteria:
            index = gamma(
                axes,
                dose,
                axes,
                evaluation,
                percent,
                distance,
                lower_percent_dose_cutoff=CUTOFF_PERCENT,
                max_gamma=MAX_GAMMA,
            )
            rates = {"all": pass_rate(index), **{name: pass_rate(index, mask) for name, mask in within.items()}}
            found.append(GammaResult(method, float(percent), float(distance), index.astype(np.float32), rates))
    return tuple(found), tuple(_without_points(found))


def _without_points(found: Sequence[GammaResult]) -> Iterator[Problem]:
    """Structures without a point above the cut-off; the same for all maps and criteria."""
    for name, (_, n) in found[0].pass_rates.items() if found else ():
        if not n:
            told = f"no voxel of structure {name!r} has {CUTOFF_PERCENT:g} % of the largest reference value; no gamma"
            yield Problem("gamma_not_computed", f"structure {name!r}", told)
