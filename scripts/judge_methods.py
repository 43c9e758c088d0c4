"""What every method of `judge_reference.py` answers, as maps of the judged quantities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import analyse, effect_at
from surrogate3d.grid import Field
from surrogate3d.inference.curves import CurveMap, predict_curves
from surrogate3d.inference.maps import effect_at_each
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import D10, RBE_at_dose, effect, isoeffective_dose
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.validation import UNIFORM_METHODS, baseline_effects

Floats = npt.NDArray[np.float64]
Maps = dict[str, Floats]
Interval = Callable[[CurveMap, npt.NDArray[np.str_]], Floats]
"""Half the relative width of the 90 % interval of the effect, (voxel,), from the curves and each voxel's region."""

QUANTITIES = ("RBE", "RBE10", "effect at 2 Gy", "effect as prescribed")
REFERENCE_GY = 2.0
DEGREE = 4

TABLE, GROUPED, QUARTIC, SURROGATE = "zr_table", "zr_table, grouped pooling", "quartic in LET_d", "surrogate"
UNIFORM = "best uniform pooling (hindsight)"
POOLED = (TABLE, *UNIFORM_METHODS)
"""Of these the best is taken, with hindsight, as the best uniform pooling; no pooling is one of them."""

_LEAST_DOSE_FRACTION = 0.02
"""Voxels beside the judged ones are answered, too: gamma looks at them."""


def maps_of_LQ(alpha: Floats, beta: Floats, dose_gy: Floats, line: CellLine) -> Maps:
    """The judged quantities of alpha and beta; `dose_gy` is the dose of each voxel as prescribed."""
    at_2, own = effect(REFERENCE_GY, alpha, beta), effect(dose_gy, alpha, beta)
    return _maps(at_2, own, D10(line.alpha_x, line.beta_x) / D10(alpha, beta), line)


def maps_of_curves(
    doses: Floats, effects: Floats, mask: npt.NDArray[np.bool_], dose_gy: Floats, line: CellLine
) -> Maps:
    """The same of survival curves, (voxel, dose) in the order of `np.argwhere(mask)`."""
    found = (
        effect_at(REFERENCE_GY, doses, effects),
        effect_at_each(dose_gy[mask], doses, effects),
        analyse(doses, np.exp(-effects), line)["RBE10"],
    )
    grids = [np.full(mask.shape, np.nan) for _ in found]
    for grid, values in zip(grids, found, strict=True):
        grid[mask] = values
    return _maps(grids[0], grids[1], grids[2], line)


def _maps(at_2: Floats, own: Floats, RBE10: Floats, line: CellLine) -> Maps:
    return {
        "RBE": np.asarray(RBE_at_dose(REFERENCE_GY, at_2, line.alpha_x, line.beta_x)),
        "RBE10": RBE10,
        "effect at 2 Gy": at_2,
        "effect as prescribed": own,
        "D_RBE": isoeffective_dose(own, line.alpha_x, line.beta_x),
    }


@dataclass(frozen=True, eq=False)
class Quartic:
    """Alpha and sqrt(beta) as polynomials of the scored LET_d, calibrated on other plans.

    Attributes:
        coefficients: (2, 5), highest power first.
        LET_range: of the calibration, keV/um; beyond it the nearest is taken.
    """

    coefficients: Floats
    LET_range: tuple[float, float]

    def __call__(self, field: Field) -> tuple[Floats, Floats]:
        """Alpha and beta."""
        LET = np.clip(np.asarray(field.volumes["LET_d"].values, dtype=float), *self.LET_range)
        alpha, root = (np.polyval(row, LET) for row in self.coefficients)
        return np.maximum(alpha, 0.0), np.maximum(root, 0.0) ** 2


def calibrated_quartic(fields: Mapping[str, tuple[Field, npt.NDArray[np.bool_]]], line: CellLine) -> Quartic | None:
    """Fit relative deviations from `zr_table` on high-statistics fields, at the voxels of their masks."""
    rows = []
    for field, mask in fields.values():
        if "LET_d" not in field.volumes:
            return None
        alpha, beta = zr_table(field.spectra.axes, field.spectra.fluence, mono_table(line.name))
        rows.append(np.stack([field.volumes["LET_d"].values[mask], alpha[mask], np.sqrt(beta[mask])]))
    if not rows:
        return None
    LET, *targets = np.concatenate(rows, axis=1).astype(float)
    fits = [np.polyfit(LET, target, DEGREE, w=1 / target) for target in targets]
    return Quartic(np.array(fits), (float(LET.min()), float(LET.max())))


def cheap_answers(field: Field, dose_gy: Floats, line: CellLine, quartic: Quartic | None) -> dict[str, Maps]:
    """The table, all poolings, and the quartic where there is one."""
    found = {
        name: (b.alpha, b.beta)
        for name, b in baseline_effects(field, line, mono_table(line.name)).items()
        if b.kind == "baseline"
    }
    if quartic is not None:
        found[QUARTIC] = quartic(field)
    return {name: maps_of_LQ(*pair, dose_gy, line) for name, pair in found.items()}


def answer(field: Field, surrogate: Surrogate, line: CellLine) -> CurveMap:
    """The surrogate's curves."""
    return predict_curves(field, surrogate, line, _LEAST_DOSE_FRACTION)


def own_interval(curves: CurveMap, region: npt.NDArray[np.str_]) -> Floats:
    """Half of the 90 % interval that the model states, which knows its own regions."""
    assert region.shape == curves.relative_std.shape
    return np.asarray(curves.interval)
