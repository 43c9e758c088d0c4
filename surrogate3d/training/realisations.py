"""From a plan simulated twice, with few and with many histories, to training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import EllipsisType

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid import Field
from surrogate3d.model.groups import field_inputs, group_inputs, species_sums, turn_downstream
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.physics.pooling import pool_accumulators_grouped
from surrogate3d.training.dataset import Example
from surrogate3d.training.noise import thin

Floats = npt.NDArray[np.floating]

REAL_RUN_COPIES = 2
"""How often the real low-statistics run enters among the thinned ones: only its noise is not modelled."""

LEAST_DOSE = 0.02
"""Fraction of the largest dose from which on a voxel is learnt from: below it even the target is noise."""

_MARGIN = 4  # voxels kept around the irradiated volume: what the widest filters of the network still use


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """One plan of the training set.

    Attributes:
        low: the run with few histories, as a user would have it.
        high: the run with many histories; the labels were simulated from its spectra.
        responses: directly simulated voxels of `high`, all cell lines.
        within: (i, j, k) voxels that may be learnt from; None for all.
        held: (i, j, k) voxels kept out of the training; None for none.
        conditions: (condition, i, j, k) features of the conditions of the cells; None for those of the calibration.
    """

    low: Field
    high: Field
    responses: Sequence[VoxelResponse]
    within: npt.NDArray[np.bool_] | None = None
    held: npt.NDArray[np.bool_] | None = None
    conditions: Floats | None = None

    def __post_init__(self) -> None:
        self.low.require_same_plan(self.high, "low- and high-statistics run of a training plan")


def labels(plan: TrainingPlan, cell_lines: Sequence[str], doses: Sequence[float]) -> tuple[Floats, Floats]:
    """Effect and its relative standard error at the simulated voxels.

    Returns:
        Two arrays (line, dose, i, j, k), NaN elsewhere, in the orientation of the field.

    Raises:
        QuantityError: a response has other doses, or a voxel lacks a cell line.
    """
    shape = (len(cell_lines), len(doses), *plan.high.grid.shape)
    value, error = np.full(shape, np.nan, dtype=np.float32), np.full(shape, np.nan, dtype=np.float32)
    for response in plan.responses:
        if response.cell_line not in cell_lines:
            continue
        if not np.allclose(response.doses, doses):
            raise QuantityError(f"voxel {response.voxel}: simulated at doses {response.doses}, expected {tuple(doses)}")
        at = (cell_lines.index(response.cell_line), slice(None), *response.voxel)
        value[at] = response.effect
        error[at] = np.divide(response.effect_se, response.effect)
    known = np.isfinite(value[:, 0])
    if (known != known[0]).any():
        raise QuantityError(f"some voxels were simulated for some of {tuple(cell_lines)} only; simulate them for all")
    return value, error


def example(
    plan: TrainingPlan,
    tables: Sequence[MonoTable],
    doses: Sequence[float],
    tracks_levels: Sequence[float],
    copies: int,
    rng: np.random.Generator,
) -> Example:
    """Realisations of a plan at many statistics, with what they should have shown, and the labels.

    Args:
        plan: runs and labels.
        tables: mono-energetic table of each cell line; their order is that of the labels.
        doses: dose ladder of the labels, Gy.
        tracks_levels: tracks per voxel (median over the irradiated volume) to which the high run is thinned; levels
            above a third of what it has are left out.
        copies: realisations per level.
        rng: source of randomness.
    """
    value, error = labels(plan, [table.cell_line for table in tables], doses)
    if not np.isfinite(value).any():
        raise ValueRangeError(
            "a training plan has no simulated voxel of these cell lines; simulate its selected voxels or leave it out"
        )
    axes, beam = plan.high.spectra.axes, (plan.high.beam_axis, plan.high.beam_sign)
    pairs = [(field_inputs(plan.low, tables), accumulators(field_inputs(plan.high, tables)))] * REAL_RUN_COPIES
    pairs += thinned(plan.high, tables, tracks_levels, copies, rng)
    learnt, held = (np.ascontiguousarray(turn_downstream(x, *beam)) for x in _roles(plan))
    value, error = (np.ascontiguousarray(turn_downstream(x, *beam)) for x in (value, error))
    weight = tuple(1 / max(grouped_error(x, axes.species, t, learnt), 2e-3) ** 2 for x, t in pairs)
    box = irradiated_box(pairs[0][0])
    cut = [[torch.from_numpy(np.ascontiguousarray(x[box])) for x in part] for part in zip(*pairs, strict=True)]
    rest = [torch.from_numpy(np.ascontiguousarray(x[box])) for x in (learnt, held, value, error)]
    charge = torch.from_numpy(np.asarray(axes.Z, dtype=np.int64))
    made = Example(tuple(cut[0]), tuple(cut[1]), weight, rest[0], rest[1], charge, rest[2], rest[3])
    if plan.conditions is None:
        return made
    around = np.ascontiguousarray(turn_downstream(plan.conditions, *beam)[box], dtype=np.float32)
    return replace(made, conditions=torch.from_numpy(around))


def _roles(plan: TrainingPlan) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(i, j, k) voxels learnt from, and those kept out, both with enough dose."""
    enough = plan.high.dose > LEAST_DOSE * np.nanmax(plan.high.dose)
    learnt = enough if plan.within is None else enough & plan.within
    held = np.zeros_like(learnt) if plan.held is None else learnt & plan.held
    return learnt & ~held, held


def accumulators(inputs: Floats) -> npt.NDArray[np.float32]:
    """(1 + 2 * line, i, j, k) dose, dose_alpha and dose_sqrt_beta of all groups and bands together."""
    sums = inputs.sum(axis=(0, 1))
    return np.concatenate([sums[:1], sums[2:]])


def thinned(
    field: Field, tables: Sequence[MonoTable], tracks_levels: Sequence[float], copies: int, rng: np.random.Generator
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Inputs as runs with fewer histories would have given them, each with the `accumulators` of all other histories.

    What is left of a thinned Poisson number is independent of what was taken, so no noise is in both.
    """
    fluence = field.spectra.fluence / np.float32(field.dose_scale)
    axes, beam = field.spectra.axes, (field.beam_axis, field.beam_sign)
    tracks, dose = field.tracks, field.dose
    typical = float(np.median(tracks[dose > 0.05 * np.nanmax(dose)]))
    pairs = []
    for keep in (level / typical for level in tracks_levels if level < typical / 3):
        for _ in range(copies):
            fewer = thin(fluence, axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
            rest = group_inputs(axes, np.maximum(fluence - fewer, 0), field.grid, *beam, tables)
            pairs.append((group_inputs(axes, fewer, field.grid, *beam, tables), accumulators(rest)))
    return pairs


def grouped_error(
    inputs: Floats, species: Sequence[str], target: Floats, learnt: npt.NDArray[np.bool_], dose_gy: float = 2.0
) -> float:
    """RMS relative error of the effect by grouped pooling at the voxels learnt from, first cell line.

    Errors above 30 % count as 30 %, so that a few empty voxels do not decide.
    """
    alpha, sqrt_beta = pool_accumulators_grouped(species_sums(inputs), tuple(species), beam_axis=2)
    known = learnt & (target[0] > 0)
    n_lines = (len(target) - 1) // 2
    true_alpha, true_sqrt_beta = target[1][known] / target[0][known], target[1 + n_lines][known] / target[0][known]
    pooled = effect(dose_gy, np.nan_to_num(alpha[known]), np.nan_to_num(sqrt_beta[known]) ** 2)
    true = effect(dose_gy, true_alpha.astype(float), true_sqrt_beta.astype(float) ** 2)
    return float(np.sqrt(np.mean(np.clip(pooled / true - 1, -0.3, 0.3) ** 2)))


def irradiated_box(inputs: Floats) -> tuple[EllipsisType | slice, ...]:
    """Index of the part of (..., i, j, k) that holds more than 1 % of the largest dose, with a margin."""
    dose = inputs[:, :, 0].sum(axis=(0, 1))
    bounds: list[slice] = []
    for axis in range(3):
        hit = np.flatnonzero((dose > 0.01 * dose.max()).any(axis=tuple(a for a in range(3) if a != axis)))
        bounds.append(slice(max(0, int(hit[0]) - _MARGIN), int(hit[-1]) + 1 + _MARGIN))
    return (..., *bounds)
