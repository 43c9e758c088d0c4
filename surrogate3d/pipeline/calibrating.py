"""Calibrate what a trained model says of its own error, on voxels kept out of its training.

The kernels' error is seen at all statistics in many voxels, against the table on all other histories of the plan. What
the head leaves of the difference between table and direct simulation is seen in the simulated voxels that were kept
out. The two are independent and add in quadrature. How the pieces go together is said in `inference.deviation`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.grid import Field
from surrogate3d.inference.calibration import calibrate
from surrogate3d.inference.curves import CurveMap, predict_curves
from surrogate3d.inference.deviation import fit_deviation, whole_answer
from surrogate3d.inference.steady_regions import steady_regions
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

FEWEST_LABELS = 15
"""Held simulated voxels that tell what the head leaves, to a fifth."""


@dataclass(frozen=True, eq=False)
class HeldErrors:
    """Errors of the denoised effect in voxels kept out of the training; all (voxel,).

    Attributes:
        error: relative, against the table on all other histories.
        std: relative standard deviation that the networks predict.
        truth_se: relative standard error of what it is compared with.
        tracks: that the prediction saw in the voxel.
        region: name of its region, as the prediction knows it.
    """

    error: Floats
    std: Floats
    truth_se: Floats
    tracks: Floats
    region: npt.NDArray[np.str_]


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
    plain = replace(surrogate, card=replace(surrogate.card, calibration={}))
    residual, labels = residual_std(plain, line, pairs, held)
    known = {"residual_std": residual, "residual_voxels": labels}
    found = held_errors(plain, line, pairs, held, tracks_levels, rng)
    if len(found.error) >= FEWEST:
        known |= intervals(found, residual, rng)
    return replace(surrogate, card=replace(surrogate.card, calibration=known))


def intervals(found: HeldErrors, residual: float, rng: np.random.Generator) -> dict[str, Any]:
    """Factors of the deviation and of the intervals, as plain data for a card.

    Args:
        found: errors of the denoised effect.
        residual: relative standard deviation that the head leaves. It is not in the errors, so it is drawn: an interval
            is for the whole answer.
        rng: draws it.
    """
    scale = fit_deviation(found.error, found.std, found.truth_se, found.tracks, found.region)
    known = {"residual_std": residual, "deviation": scale.to_json()}
    std, _ = whole_answer(known, found.std, found.tracks, found.region)
    error = found.error + residual * rng.standard_normal(len(found.error))
    return {**known, **calibrate(error, std, found.truth_se, found.region).to_json()}


def residual_std(
    surrogate: Surrogate, line: CellLine, pairs: Sequence[PlanPair], held: Sequence[npt.NDArray[np.bool_]]
) -> tuple[float, int]:
    """Relative scatter of simulated voxels about the corrected table on clean spectra, their own noise taken out.

    Only voxels kept out of the training are looked at. With fewer than `FEWEST_LABELS` of those it is the scatter about
    the table without the correction, in all simulated voxels: the table saw none of them, and a correction that is of
    any use leaves less.

    Args:
        surrogate: without a calibration.
        line: cell line whose labels are compared.
        pairs: plans of the training.
        held: (i, j, k) of each plan, voxels kept out.

    Returns:
        Relative standard deviation, a bias counted in; number of voxels that were kept out.
    """
    parts = [_residuals(surrogate, line, pair, kept) for pair, kept in zip(pairs, held, strict=True)]
    table, corrected, se, out = (np.concatenate([part[n] for part in parts]) for n in range(4))
    kept_out = out > 0
    enough = int(np.count_nonzero(kept_out)) >= FEWEST_LABELS
    apart, noise = (corrected[kept_out], se[kept_out]) if enough else (table, se)
    if not len(apart):
        return 0.0, 0
    return math.sqrt(max(float(np.mean(apart**2) - np.mean(noise**2)), 0.0)), int(np.count_nonzero(kept_out))


def _residuals(
    surrogate: Surrogate, line: CellLine, pair: PlanPair, held: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Of the simulated voxels: log effect over the table's, over the corrected one, its error, whether kept out."""
    curves = predict_curves(pair.high, surrogate, line)
    alpha, beta = zr_table(pair.high.spectra.axes, pair.high.spectra.fluence, surrogate.guide)
    correction = curves.volume(_at_dose(curves, curves.log_correction))
    rows = list[tuple[float, float, float, float]]()
    for response in _labels(pair.responses, line):
        simulated, se = _simulated(response)
        table = float(effect_of(DOSE_GY, alpha[response.voxel], beta[response.voxel]))
        apart = math.log(simulated / table)
        rows.append((apart, apart - float(correction[response.voxel]), se, float(held[response.voxel])))
    found = np.array(rows, dtype=float).reshape(-1, 4)
    first, second, third, fourth = found[np.isfinite(found).all(axis=1)].T
    return first, second, third, fourth


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


def held_errors(
    surrogate: Surrogate,
    line: CellLine,
    pairs: Sequence[PlanPair],
    held: Sequence[npt.NDArray[np.bool_]],
    tracks_levels: Sequence[float],
    rng: np.random.Generator,
) -> HeldErrors:
    """Errors in the held voxels of all plans, of the real runs and of thinned ones; arguments as of `calibrated`."""
    parts = [
        part
        for pair, kept in zip(pairs, held, strict=True)
        for part in plan_errors(surrogate, line, pair, kept, _runs(pair, tracks_levels, rng))
    ]
    columns = ([getattr(part, column.name) for part in parts] for column in fields(HeldErrors))
    return HeldErrors(*(np.concatenate(column) for column in columns))


def _runs(pair: PlanPair, tracks_levels: Sequence[float], rng: np.random.Generator) -> list[Field]:
    """The real run and thinned ones."""
    typical = float(np.median(pair.high.tracks[pair.high.dose > 0.05 * np.nanmax(pair.high.dose)]))
    # A thinned run is a part of the truth that it is compared with; of a tenth that hardly matters.
    levels = [level for level in tracks_levels if level < typical / 10]
    return [pair.low, *(thinned_field(pair.high, level / typical, rng) for level in levels)]


def thinned_field(field: Field, keep: float, rng: np.random.Generator) -> Field:
    """The same plan with fewer histories (spectra only; dose and LET as scored)."""
    spectra, scale = field.spectra, np.float32(field.dose_scale)
    fewer = thin(spectra.fluence / scale, spectra.axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
    return replace(
        field, spectra=replace(spectra, fluence=fewer), halves=(), halves_dose=(), prescription=None, beams=()
    )


def plan_errors(
    surrogate: Surrogate, line: CellLine, pair: PlanPair, judged: npt.NDArray[np.bool_], runs: Sequence[Field]
) -> list[HeldErrors]:
    """Errors of the denoised effect in some voxels of a plan.

    Args:
        surrogate: without a calibration.
        line: cell line from which the channels are made.
        pair: the plan.
        judged: (i, j, k) voxels to look at.
        runs: of few histories: the real one, or parts of the other.
    """
    true = _table_effect(pair.high, surrogate.guide)
    truth_se = _truth_se(pair, true, surrogate.guide)
    found = list[HeldErrors]()
    for run in runs:
        curves = predict_curves(run, surrogate, line)
        own = curves.volume(_at_dose(curves, curves.effect) * np.exp(-_at_dose(curves, curves.log_correction)))
        std, names, tracks = curves.volume(curves.relative_std), steady_regions(run), run.tracks
        seen = judged & curves.mask & np.isfinite(own * truth_se) & (true > 0) & (names != "")
        error = (own / np.where(true > 0, true, 1.0) - 1)[seen]
        found.append(HeldErrors(error, std[seen], truth_se[seen], tracks[seen], names[seen]))
    return found


def _truth_se(pair: PlanPair, true: Floats, table: MonoTable) -> Floats:
    """(i, j, k) relative standard error of the table's effect on the better run; NaN without tracks.

    Error squared times tracks is the same in all voxels of a region, and what separates the two runs shows it.
    """
    names, apart = steady_regions(pair.high), np.full(pair.high.grid.shape, np.nan)
    own, less, more = _table_effect(pair.low, table), pair.low.tracks, pair.high.tracks
    both = (own > 0) & (true > 0) & (less > 0) & (more > 0)
    apart[both] = np.clip(own[both] / true[both] - 1, -0.3, 0.3) ** 2 / (1 / less[both] + 1 / more[both])
    one_track = np.full(names.shape, np.nan)
    for name in np.unique(names[both]):
        one_track[names == name] = np.sqrt(np.mean(apart[both & (names == name)]))
    return np.asarray(np.divide(one_track, np.sqrt(more), out=np.full(names.shape, np.nan), where=more > 0))


def _table_effect(field: Field, table: MonoTable) -> Floats:
    alpha, beta = zr_table(field.spectra.axes, field.spectra.fluence, table)
    return np.asarray(effect_of(DOSE_GY, alpha, beta))
