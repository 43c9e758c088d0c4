"""Maps of any quantity by every method: from the surrogate's survival curves, from alpha and beta of the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.grid import Field
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.maps import Fractionation, VoxelCurves, derive_values, on_grid
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable, zr_table
from surrogate3d.pipeline.validation import SURROGATE
from surrogate3d.validation.baselines import Baseline

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


def method_maps(
    curves: CurveMap,
    baselines: Mapping[str, Baseline],
    field: Field,
    line: CellLine,
    how: Fractionation,
    name: str,
) -> dict[str, Floats]:
    """One quantity by the surrogate and by cheap methods, at the doses of a field.

    Args:
        curves: of the surrogate.
        baselines: alpha and beta of the cheap methods.
        field: whose dose is taken.
        line: photon reference.
        how: fraction dose and number.
        name: of a map of `inference.maps.ALWAYS` or `PRESCRIBED` that curves tell.

    Returns:
        (i, j, k) float32 by method; NaN where the surrogate, or the method, does not answer.

    Raises:
        ValueRangeError: a voxel's dose per fraction is beyond the simulated doses.
    """
    own = VoxelCurves(curves.doses, curves.effect, curves.relative_std, curves.interval, _doses(field, curves.mask))
    maps: dict[str, Floats] = {SURROGATE: on_grid(derive_values(own, line, how, [name])[name], curves.mask)}
    for method, (alpha, beta, *_) in baselines.items():
        maps[method] = _of_LQ(alpha, beta, curves.mask, curves.doses, field, line, how, name)
    return maps


def of_table(field: Field, table: MonoTable, mask: Mask, line: CellLine, how: Fractionation, name: str) -> Floats:
    """(i, j, k) one quantity by the Zaider-Rossi table on a field's own spectra, at its own dose, within a mask."""
    alpha, beta = zr_table(field.spectra.axes, field.spectra.fluence, table)
    return _of_LQ(alpha, beta, mask, np.asarray(DOSE_LADDER), field, line, how, name)


def _of_LQ(
    alpha: Floats, beta: Floats, mask: Mask, doses: Floats, field: Field, line: CellLine, how: Fractionation, name: str
) -> Floats:
    """The effect over the dose of an LQ curve is a straight line, which the ladder's interpolation gives exactly."""
    answered = mask & np.isfinite(alpha) & np.isfinite(beta)
    curves = effect(np.asarray(doses, dtype=float), alpha[answered][:, None], beta[answered][:, None])
    nothing = np.zeros(len(curves))
    given = VoxelCurves(np.asarray(doses, dtype=float), curves, nothing, nothing, _doses(field, answered))
    return on_grid(derive_values(given, line, how, [name])[name], answered)


def _doses(field: Field, mask: Mask) -> Floats:
    return np.asarray(np.nan_to_num(field.dose[mask]), dtype=float)
