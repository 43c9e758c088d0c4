"""From a plan simulated twice, with few and with many histories, to training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid import Field
from surrogate3d.model.groups import field_inputs, group_inputs, turn_downstream
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.physics.pooling import pool_accumulators_grouped
from surrogate3d.training.dataset import Example
from surrogate3d.training.noise import thin

Floats = npt.NDArray[np.floating]

REAL_RUN_COPIES = 2
"""How often the real low-statistics run enters among the thinned ones: only its noise is not modelled."""

_MARGIN = 4  # voxels kept around the irradiated volume: what the widest filters of the network still use


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """One plan of the training set.

    Attributes:
        low: the run with few histories, as a user would have it.
        high: the run with many histories; the labels were simulated from its spectra.
        responses: directly simulated voxels of `high`, all cell lines.
    """

    low: Field
    high: Field
    responses: Sequence[VoxelResponse]

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
    """Realisations of a plan at many statistics, with its labels.

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
    inputs = [field_inputs(plan.low, tables)] * REAL_RUN_COPIES + thinned(plan.high, tables, tracks_levels, copies, rng)
    beam = (plan.high.beam_axis, plan.high.beam_sign)
    value, error = (np.ascontiguousarray(turn_downstream(x, *beam)) for x in (value, error))
    weight = tuple(1 / max(grouped_error(x, plan.high.spectra.axes.species, value, doses), 1e-3) ** 2 for x in inputs)
    box = irradiated_box(inputs[0])
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(x[box])) for x in inputs)
    return Example(tensors, weight, torch.from_numpy(value[box].copy()), torch.from_numpy(error[box].copy()))


def thinned(
    field: Field, tables: Sequence[MonoTable], tracks_levels: Sequence[float], copies: int, rng: np.random.Generator
) -> list[npt.NDArray[np.float32]]:
    """Inputs as runs with fewer histories would have given them: per level `copies` arrays of `group_inputs`."""
    fluence = field.spectra.fluence / np.float32(field.dose_scale)
    tracks, dose = field.tracks, field.dose
    typical = float(np.median(tracks[dose > 0.05 * np.nanmax(dose)]))
    inputs = []
    for keep in (level / typical for level in tracks_levels if level < typical / 3):
        for _ in range(copies):
            fewer = thin(fluence, field.spectra.axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
            inputs.append(group_inputs(field.spectra.axes, fewer, field.grid, field.beam_axis, field.beam_sign, tables))
    return inputs


def grouped_error(inputs: Floats, species: Sequence[str], label: Floats, doses: Sequence[float]) -> float:
    """RMS relative error of the effect by grouped pooling at the labelled voxels, first cell line.

    Errors above 30 % count as 30 %, so that a few empty voxels do not decide.
    """
    n_lines = label.shape[0]
    sums = inputs[:, [0, 2, 2 + n_lines]].astype(float)
    alpha, sqrt_beta = pool_accumulators_grouped(sums, tuple(species), beam_axis=2)
    known = np.isfinite(label[0, 0])
    D = np.asarray(doses)[:, None]
    pooled = effect(D, np.nan_to_num(alpha[known]), np.nan_to_num(sqrt_beta[known]) ** 2)
    return float(np.sqrt(np.mean(np.clip(pooled / label[0][:, known] - 1, -0.3, 0.3) ** 2)))


def irradiated_box(inputs: Floats) -> tuple[EllipsisType | slice, ...]:
    """Index of the part of (..., i, j, k) that holds more than 1 % of the largest dose, with a margin."""
    dose = inputs[:, 0].sum(axis=0)
    bounds: list[slice] = []
    for axis in range(3):
        hit = np.flatnonzero((dose > 0.01 * dose.max()).any(axis=tuple(a for a in range(3) if a != axis)))
        bounds.append(slice(max(0, int(hit[0]) - _MARGIN), int(hit[-1]) + 1 + _MARGIN))
    return (..., *bounds)
