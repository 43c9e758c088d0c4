"""Survival curves of three voxels along the beam: from a model, with their intervals, or from alpha and beta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import effect_at
from surrogate3d.grid import Field
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.linear_quadratic import survival
from surrogate3d.pipeline.figure_inputs import FigureInputs
from surrogate3d.report.paper_curves import SurvivalCurve

Floats = npt.NDArray[np.float64]
Voxel = tuple[int, int, int]

LAST_GY, STEPS = 8.0, 161
DISTAL = 0.5
"""The distal voxel is the last one with a value that gets this share of the line's largest dose."""


@dataclass(frozen=True, eq=False)
class Survivals:
    """Attributes: curves in the beam, that of photons, and the caption."""

    curves: tuple[SurvivalCurve, ...]
    photons: SurvivalCurve
    caption: str


def survival_of(inputs: FigureInputs) -> Survivals | str:
    """Curves, or why there are none.

    Raises:
        Surrogate3dError: the model cannot be read, or does not fit the field.
    """
    line = inputs.about.get("cell_line")
    if not isinstance(line, Mapping) or not {"alpha", "beta"} <= set(inputs.maps):
        return "no maps of alpha and beta of one cell line were given"
    if (voxels := _voxels(inputs)) is None:
        return "the beam's direction is not known, or no voxel of its line has an answer"
    doses = np.linspace(0.0, LAST_GY, STEPS)
    if inputs.request.model is None:
        curves = tuple(_of_maps(inputs, name, voxel, doses) for name, voxel in voxels.items())
        how = "by the linear-quadratic fit of each voxel"
    else:
        answered = _of_model(inputs, line, voxels)
        if isinstance(answered, str):
            return answered
        curves, doses = answered, np.linspace(0.0, float(answered[0].doses[-1]), STEPS)
        how = "as predicted; bands: intervals that are to cover 90 %"
    curves = tuple(
        replace(curve, name=name + _depth(inputs, voxel))
        for curve, (name, voxel) in zip(curves, voxels.items(), strict=True)
    )
    x, beta = float(line["alpha_x"]), float(line["beta_x"])
    photons = SurvivalCurve("photons", doses, survival(doses, x, beta))
    places = "; ".join(f"{name}: voxel {voxel}" for name, voxel in voxels.items())
    caption = (
        f"Survival after one dose in three voxels along the beam, {how}; depth from the first voxel. {places}. "
        f"Photons: alpha_x = {x:g} /Gy, "
        f"beta_x = {beta:g} /Gy\N{SUPERSCRIPT TWO}."
    )
    return Survivals(curves, photons, caption)


def _voxels(inputs: FigureInputs) -> dict[str, Voxel] | None:
    """Entrance, middle and distal edge on the line through the focus."""
    view = inputs.view
    if view.beam_axis is None:
        return None
    part: list[Any] = list(view.focus)
    part[view.beam_axis] = slice(None)
    known = np.isfinite(inputs.maps["alpha"].values[tuple(part)]) & np.isfinite(inputs.maps["beta"].values[tuple(part)])
    dose = np.where(known, view.dose[tuple(part)], -np.inf)
    if not known.any():
        return None
    order = np.arange(len(dose))[:: view.beam_sign]
    answered = order[known[order]]
    high = order[dose[order] >= DISTAL * dose.max()]
    middle = answered[int(np.abs(answered - view.focus[view.beam_axis]).argmin())]
    places = {"entrance": answered[0], "middle": middle, "distal edge": high[-1]}
    return {name: _voxel(view.focus, view.beam_axis, int(at)) for name, at in places.items()}


def _voxel(focus: Voxel, axis: int, at: int) -> Voxel:
    i, j, k = (at if a == axis else n for a, n in enumerate(focus))
    return i, j, k


def _depth(inputs: FigureInputs, voxel: Voxel) -> str:
    axis = inputs.view.beam_axis or 0
    last = inputs.view.grid.shape[axis] - 1
    planes = voxel[axis] if inputs.view.beam_sign > 0 else last - voxel[axis]
    return f", {planes * inputs.view.grid.spacing_mm[axis]:.0f} mm"


def _of_maps(inputs: FigureInputs, name: str, voxel: Voxel, doses: Floats) -> SurvivalCurve:
    alpha, beta = (float(inputs.maps[key].values[voxel]) for key in ("alpha", "beta"))
    return SurvivalCurve(name, doses, survival(doses, alpha, beta))


def _of_model(
    inputs: FigureInputs, line: Mapping[str, Any], voxels: Mapping[str, Voxel]
) -> tuple[SurvivalCurve, ...] | str:
    """From the tiles that hold the voxels, and no others."""
    from surrogate3d.inference.tile_predictor import TilePredictor  # here, as most figures need no network
    from surrogate3d.model.bundle import load_bundle
    from surrogate3d.pipeline.in_memory import table_for
    from surrogate3d.pipeline.models import resolve

    if not isinstance(inputs.field, Field):
        return "the field has no spectra, so a model of spectra cannot answer"
    cells, bundle = cell_line(str(line["name"])), load_bundle(resolve(str(inputs.request.model)))
    if (cells.alpha_x, cells.beta_x) != (line["alpha_x"], line["beta_x"]):
        return f"the maps' cell line {cells.name} has other photon parameters than the known one of that name"
    predictor = TilePredictor(inputs.field, bundle, {cells: table_for(bundle, cells)})
    asked = np.zeros(predictor.mask.shape, dtype=bool)
    asked[tuple(np.array(list(voxels.values())).T)] = True
    if not predictor.mask[asked].all():
        return "the model does not answer in the voxels that the maps answer"
    effects: dict[Voxel, tuple[Floats, float]] = {}
    for answer in predictor.answers(predictor.tiles_of(asked)):
        told = answer.lines[cells]
        for row in np.flatnonzero(asked[tuple(answer.voxels.T)]):
            i, j, k = (int(n) for n in answer.voxels[row])
            effects[i, j, k] = told.effect[row], float(told.interval[row])
    return tuple(_of_effect(name, predictor.doses, *effects[voxel]) for name, voxel in voxels.items())


def _of_effect(name: str, doses: Floats, effect: Floats, half_width: float) -> SurvivalCurve:
    """On a fine ladder, between the model's own doses as everywhere (`direct.curve.effect_at`)."""
    fine = np.linspace(0.0, float(doses[-1]), STEPS)
    between = np.array([float(effect_at(dose, doses, effect)) for dose in fine])
    low, high = (np.exp(-between * (1 + sign * half_width)) for sign in (1, -1))
    return SurvivalCurve(name, fine, np.exp(-between), low, high)
