"""Calibrate what a trained model says of its own error, on voxels kept out of its training.

The kernels' error is seen at all statistics in many voxels, against the table on all other histories of the plan. What
the head leaves of the difference between table and direct simulation is seen in the simulated voxels. The two are
independent and add in quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.grid import Field
from surrogate3d.grid.regions import region_names, regions
from surrogate3d.inference.calibration import calibrate
from surrogate3d.inference.curves import CurveMap, predict_curves
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect as effect_of
from surrogate3d.physics.mixing import MonoTable, zr_table
from surrogate3d.pipeline.plan_pairs import PlanPair
from surrogate3d.training.noise import thin

Floats = npt.NDArray[np.float64]

DOSE_GY = 2.0
"""At which the relative error of the effect is taken."""

FEWEST = 100
"""Held voxels that a calibration needs; with fewer the predicted deviation is left as it is."""


def calibrated(
    surrogate: Surrogate,
    line: CellLine,
    pairs: Sequence[PlanPair],
    held: Sequence[npt.NDArray[np.bool_]],
    tracks_levels: Sequence[float],
    rng: np.random.Generator,
) -> Surrogate:
    """The same model with its calibration on the card.

    Args:
        surrogate: trained.
        line: cell line from which the channels are made.
        pairs: plans of the training.
        held: (i, j, k) of each plan, voxels kept out.
        tracks_levels: tracks per voxel at which errors are taken, beside the real runs.
        rng: thins the runs.
    """
    residual = residual_std(surrogate, line, pairs)
    parts = [
        _errors(surrogate, line, pair, kept, run, share)
        for pair, kept in zip(pairs, held, strict=True)
        for run, share in _runs(pair, tracks_levels, rng)
    ]
    error, std, label_se = (np.concatenate([part[n] for part in parts]) for n in range(3))
    region = np.concatenate([part[3] for part in parts])
    if len(error) < FEWEST:
        return replace(surrogate, card=replace(surrogate.card, calibration={"residual_std": residual}))
    # The head's error is not in these, so it is drawn: an interval is for the whole answer.
    error = error + residual * rng.standard_normal(len(error))
    found = calibrate(error, np.hypot(std, residual), label_se, region).to_json()
    return replace(surrogate, card=replace(surrogate.card, calibration={**found, "residual_std": residual}))


def residual_std(surrogate: Surrogate, line: CellLine, pairs: Sequence[PlanPair]) -> float:
    """Relative scatter of simulated voxels about the corrected table on clean spectra, their own noise taken out."""
    squares, noise = list[float](), list[float]()
    for pair in pairs:
        curves = predict_curves(pair.high, surrogate, line)
        alpha, beta = zr_table(pair.high.spectra.axes, pair.high.spectra.fluence, surrogate.guide)
        correction = curves.volume(_at_dose(curves, curves.log_correction))
        for response in _labels(pair.responses, line):
            simulated, se = _simulated(response)
            table = float(effect_of(DOSE_GY, alpha[response.voxel], beta[response.voxel]))
            apart = math.log(simulated / table) - float(correction[response.voxel])
            if np.isfinite(apart):
                squares.append(apart**2)
                noise.append(se**2)
    return math.sqrt(max(float(np.mean(squares)) - float(np.mean(noise)), 0.0)) if squares else 0.0


def _labels(responses: Sequence[VoxelResponse], line: CellLine) -> list[VoxelResponse]:
    return [response for response in responses if response.cell_line == line.name]


def _simulated(response: VoxelResponse) -> tuple[float, float]:
    """Effect at `DOSE_GY` and its relative standard error."""
    at = int(np.argmin(np.abs(np.asarray(response.doses) - DOSE_GY)))
    return response.effect[at], response.effect_se[at] / response.effect[at]


def _at_dose(curves: CurveMap, values: Floats | None) -> Floats:
    """(voxel,) column of (voxel, dose) nearest to `DOSE_GY`."""
    at = int(np.argmin(np.abs(curves.doses - DOSE_GY)))
    return np.zeros(len(curves.effect)) if values is None else values[:, at]


def _runs(pair: PlanPair, tracks_levels: Sequence[float], rng: np.random.Generator) -> list[tuple[Field, float]]:
    """The real run and thinned ones, each with its share of the histories of the better one."""
    enough = pair.high.dose > 0.05 * np.nanmax(pair.high.dose)
    typical = float(np.median(pair.high.tracks[enough]))
    real = float(np.median(pair.low.tracks[enough])) / typical
    # A thinned run is a part of the truth that it is compared with; of a tenth that hardly matters.
    shares = [level / typical for level in tracks_levels if level < typical / 10]
    return [(pair.low, real), *((thinned_field(pair.high, share, rng), share) for share in shares)]


def thinned_field(field: Field, keep: float, rng: np.random.Generator) -> Field:
    """The same plan with fewer histories (spectra only; dose and LET as scored)."""
    spectra, scale = field.spectra, np.float32(field.dose_scale)
    fewer = thin(spectra.fluence / scale, spectra.axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
    return replace(
        field, spectra=replace(spectra, fluence=fewer), halves=(), halves_dose=(), prescription=None, beams=()
    )


def _errors(
    surrogate: Surrogate, line: CellLine, pair: PlanPair, held: npt.NDArray[np.bool_], run: Field, share: float
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.str_]]:
    """Of the held voxels: relative error of the denoised effect, predicted deviation, error of the truth, region."""
    curves = predict_curves(run, surrogate, line)
    true, own = (_table_effect(field, surrogate.guide) for field in (pair.high, run))
    found = curves.volume(_at_dose(curves, curves.effect) * np.exp(-_at_dose(curves, curves.log_correction)))
    names = region_names(
        regions(np.nan_to_num(pair.high.dose), pair.high.beam_axis, pair.high.beam_sign, pair.high.grid.spacing_mm)
    )
    judged = held & curves.mask & np.isfinite(found) & (true > 0) & (names != "")
    truth_se = np.zeros(names.shape)
    for name in np.unique(names[judged]):
        part = (names == name) & curves.mask & (true > 0) & np.isfinite(own)
        # The table on the noisy voxel is off by its noise, and the truth by that much less as it has more histories.
        rms = float(np.sqrt(np.mean(np.clip(own[part] / true[part] - 1, -0.3, 0.3) ** 2)))
        truth_se[names == name] = rms * np.sqrt(share)
    std = curves.volume(curves.relative_std)
    return (found / np.where(true > 0, true, 1.0) - 1)[judged], std[judged], truth_se[judged], names[judged]


def _table_effect(field: Field, table: MonoTable) -> Floats:
    alpha, beta = zr_table(field.spectra.axes, field.spectra.fluence, table)
    return np.asarray(effect_of(DOSE_GY, alpha, beta))
