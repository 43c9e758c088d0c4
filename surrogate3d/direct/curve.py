"""From survival at a ladder of doses to alpha, beta, D10 and RBE, with jackknife standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import REFERENCE_DOSE, VoxelResponse, VoxelTask
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import LN10, RBE_at_dose, fit_linear_quadratic, isoeffective_dose

Floats = npt.NDArray[np.float64]
Curves = npt.NDArray[np.floating[Any]]

FIT_SURVIVAL_MIN = 1e-3
"""Points of lower survival do not enter the LQ fit."""

FIT_DOSE_MAX = 3.0
"""Points of higher dose do not enter the LQ fit, Gy: GSM2 bends away from LQ above."""

ENDPOINTS = ("alpha", "beta", "D10", "RBE10", "RBE_ref")


BLOCK = 8192
"""Curves analysed at a time: what is made of them then stays in a core's cache."""

_NO_FIT = -np.log(FIT_SURVIVAL_MIN)  # -ln S from which a point does not enter the fit


def effect_at(dose: float, doses: Floats, effects: Curves) -> Floats:
    """-ln S at one dose, (...), with -ln S / D linear between the ladder's doses and beyond its ends."""
    right = int(np.clip(np.searchsorted(doses, dose), 1, len(doses) - 1))
    left = right - 1
    t = (dose - doses[left]) / (doses[right] - doses[left])
    return np.asarray(dose * ((1 - t) / doses[left] * effects[..., left] + t / doses[right] * effects[..., right]))


def dose_at(effect: float, doses: Floats, effects: Curves) -> Floats:
    """Dose in Gy with a given -ln S, (...): the inverse of `effect_at`.

    Within a rung of the ladder the curve is a D + b D^2, which `isoeffective_dose` inverts; beyond the last dose the
    last rung is continued, as a straight line if it bends down.
    """
    right = np.clip((effects < effect).sum(axis=-1, keepdims=True), 1, len(doses) - 1)
    D0, D1 = doses[right - 1], doses[right]
    s0, s1 = (np.take_along_axis(effects, i, axis=-1) / doses[i] for i in (right - 1, right))
    b = (s1 - s0) / (D1 - D0)
    beyond = (effect > s1 * D1) & (b < 0)
    a = np.where(beyond, s1, s0 - b * D0)
    return np.asarray(isoeffective_dose(effect, a, np.where(beyond, 0.0, b))[..., 0])


def fit_alpha_beta(doses: Floats, effects: Curves) -> tuple[Floats, Floats]:
    """The fit of `analyse`: alpha (...) and beta (...) of curves (..., dose) of -ln S."""
    n = max(2, int(np.searchsorted(doses, FIT_DOSE_MAX, side="right")))
    D, E = doses[:n], effects[..., :n]
    weights = np.where((E < _NO_FIT) & (D <= FIT_DOSE_MAX), D, 0.0)
    weights[..., 0] = D[0]  # whatever the radiation and the ladder, there is something to fit
    return fit_linear_quadratic(D, E, weights)


def analyse(doses: Floats, survival: Floats, line: CellLine) -> dict[str, Floats]:
    """Endpoints of survival curves.

    alpha and beta are the least-squares fit of -ln S / D on (1, D) over the doses up to 3 Gy with S > 1e-3, with
    weights proportional to D (the variance of -ln S / D falls as 1 / D for independent tracks) and beta >= 0. The
    weights do not depend on the noise, so that all back ends mean the same by alpha and beta. D10 and RBE are read
    off the curve itself, not off this fit.

    Args:
        doses: (dose,) Gy, rising.
        survival: (..., dose).
        line: its photon alpha_x and beta_x are the reference of RBE.

    Returns:
        Arrays (...) by the names of `ENDPOINTS`.
    """
    flat = survival.reshape(-1, len(doses))
    found = {name: np.empty(len(flat)) for name in ENDPOINTS}
    for start in range(0, len(flat), BLOCK):
        part = slice(start, start + BLOCK)
        curves = np.asfortranarray(flat[part], dtype=float)  # the curves of one dose together, as in all that follows
        for name, values in _endpoints(doses, -np.log(np.maximum(curves, np.finfo(float).tiny)), line).items():
            found[name][part] = values
    return {name: values.reshape(survival.shape[:-1]) for name, values in found.items()}


def _endpoints(doses: Floats, effects: Curves, line: CellLine) -> dict[str, Floats]:
    alpha, beta = fit_alpha_beta(doses, effects)
    D10 = dose_at(LN10, doses, effects)
    reference = effect_at(REFERENCE_DOSE, doses, effects)
    return {
        "alpha": alpha,
        "beta": beta,
        "D10": D10,
        "RBE10": isoeffective_dose(LN10, line.alpha_x, line.beta_x) / D10,
        "RBE_ref": RBE_at_dose(REFERENCE_DOSE, reference, line.alpha_x, line.beta_x),
    }


def jackknife(left_out: Floats) -> Floats:
    """Standard error from leave-one-batch-out estimates (batch, ...); 0 for a single one."""
    n = len(left_out)
    spread = left_out - left_out.mean(axis=0)
    return np.asarray(np.sqrt((n - 1) / n * np.sum(spread**2, axis=0)))


def response(
    task: VoxelTask,
    line: CellLine,
    doses: Sequence[float],
    survival: Floats,
    left_out: Floats,
    n_nuclei: int,
    seed: int,
    backend: str,
    outside: str = "",
) -> VoxelResponse:
    """Assemble the answer.

    Args:
        task: the voxel.
        line: the cell line.
        doses: (dose,) ladder, Gy.
        survival: (dose,) surviving fraction.
        left_out: (batch, dose) the same without each of the batches; `survival[None]` when there is no noise.
        n_nuclei: nuclei in all batches together.
        seed: of the campaign.
        backend: name and version.
        outside: why the voxel lies outside the back end's validity.
    """
    D = np.asarray(doses, dtype=float)
    whole, parts = analyse(D, survival, line), analyse(D, left_out, line)
    numbers = {name: float(whole[name]) for name in ENDPOINTS}
    numbers |= {f"{name}_se": float(jackknife(parts[name])) for name in ENDPOINTS}
    effect, effects = (-np.log(np.maximum(S, np.finfo(float).tiny)) for S in (survival, left_out))
    return VoxelResponse(
        cell_line=line.name,
        voxel=task.voxel,
        field_id=task.field_id,
        doses=tuple(D.tolist()),
        survival=tuple(survival.tolist()),
        survival_se=tuple(jackknife(left_out).tolist()),
        effect=tuple(effect.tolist()),
        effect_se=tuple(jackknife(effects).tolist()),
        explained=task.explained,
        n_nuclei=n_nuclei,
        seed=seed,
        backend=backend + task.conditions.label,
        outside=outside,
        **numbers,
    )
