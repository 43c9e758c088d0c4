"""Predict the survival curve of every voxel of a field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Field
from surrogate3d.inference.domain import out_of_domain, require_fit, strangest
from surrogate3d.model.bundle import Surrogate
from surrogate3d.model.channels import channels
from surrogate3d.model.groups import field_inputs, turn_back, turn_downstream
from surrogate3d.model.network import smooth_all, without_tracks
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect as effect_of
from surrogate3d.physics.pooling import pool_accumulators_grouped

Floats = npt.NDArray[np.float64]

MIN_DOSE_FRACTION = 0.05
"""Below this fraction of the field's largest dose there are too few tracks to say anything."""

_PORTION = 16384  # voxels answered at a time: bounds the memory of the neighbourhoods


@dataclass(frozen=True, eq=False)
class CurveMap:
    """Survival curves of the voxels where the surrogate answers.

    Attributes:
        mask: (i, j, k) where it answers: enough dose, and a spectrum that can explain it.
        doses: (dose,) ladder, Gy.
        effect: (voxel, dose) -ln S, in the order of `np.argwhere(mask)`.
        relative_std: (voxel,) predicted relative standard deviation of the effect.
        out_of_domain: (i, j, k) where the training says nothing; there the answer is that of grouped pooling, or of the
            table on the voxel alone where beams cross.
        strangest: what puts most of these voxels out of the domain; "" if there are none.
    """

    mask: npt.NDArray[np.bool_]
    doses: Floats
    effect: Floats
    relative_std: Floats
    out_of_domain: npt.NDArray[np.bool_]
    strangest: str = ""

    def volume(self, values: Floats) -> Floats:
        """(voxel,) values on the grid, NaN where the surrogate does not answer."""
        grid = np.full(self.mask.shape, np.nan)
        grid[self.mask] = values
        return grid


def predict_curves(
    field: Field, surrogate: Surrogate, line: CellLine, min_dose_fraction: float = MIN_DOSE_FRACTION
) -> CurveMap:
    """Survival curves of a whole field.

    Dose that the spectra do not explain (electrons, heavier ions, recoils: 4-6 % in OpenTOPAS plans) is taken to act
    like the dose that they do explain: the curve is per Gy of scored dose, its shape from the spectrum.
    Where the voxel is out of the model's domain the answer is that of the table on species-grouped pooling, and its
    deviation is at least what separates the two. Where beams come from several directions there is no axis to pool
    along: every voxel is out of the domain, and the answer is that of the table on the voxel alone.

    Args:
        field: with the low-statistics spectra.
        surrogate: the model.
        line: cell line; the model must have been trained for it.
        min_dose_fraction: voxels with less of the field's largest dose are left out.

    Raises:
        BundleError: the field does not fit the model.
        UnknownNameError: the model was not trained for the cell line.
        ValueRangeError: no voxel has enough dose.
    """
    require_fit(field, surrogate.card, line)
    index = surrogate.line_index(line.name)
    beam = (field.beam_axis, field.beam_sign)
    inputs = field_inputs(field, surrogate.tables)
    mask = irradiated(field, min_dose_fraction) & (field.spectra.fluence.sum(axis=(0, 1)) > 0) & ~faulty(field)
    if not mask.any():
        raise ValueRangeError("no voxel of the field has enough dose and a spectrum; there is nothing to predict")
    turned = turn_downstream(mask, *beam)
    answers = _members(surrogate, inputs, np.argwhere(turned), index)
    effect, std = _ensemble(answers)
    species = field.spectra.axes.species
    crossing = field.several_directions
    strange = out_of_domain(surrogate, inputs, species, crossing)
    outside = strange[turned]
    table_answer = _alone if crossing else _grouped
    pooled = table_answer(inputs, species, index, len(surrogate.tables), np.array(surrogate.card.doses))[:, turned]
    std[outside] = np.maximum(std[outside], np.abs(effect / pooled - 1).max(axis=0)[outside])
    effect[:, outside] = pooled[:, outside]
    ordered = [_reorder(values, turned, mask, beam) for values in (*effect, std)]
    doses, strange = np.array(surrogate.card.doses), turn_back(strange, *beam) & mask
    why = strangest(surrogate, inputs, species, turned, crossing)
    return CurveMap(mask, doses, np.stack(ordered[:-1], axis=1), ordered[-1], strange, why)


def irradiated(field: Field, min_dose_fraction: float = MIN_DOSE_FRACTION) -> npt.NDArray[np.bool_]:
    """(i, j, k) where there is enough dose to say anything."""
    return np.asarray(field.dose >= min_dose_fraction * np.nanmax(field.dose))


def faulty(field: Field) -> npt.NDArray[np.bool_]:
    """(i, j, k) where the spectrum cannot explain the dose (volume `spectrum_fault`), so nothing follows from it."""
    if "spectrum_fault" not in field.volumes:
        return np.zeros(field.grid.shape, dtype=bool)
    return np.asarray(field.volumes["spectrum_fault"].values > 0)


def _ensemble(answers: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Mean effect (dose, voxel) of the members; relative standard deviation (voxel,) of their own and their spread."""
    effects, variances = (np.stack(parts) for parts in zip(*answers, strict=True))
    effect = effects.mean(axis=0)
    spread = (effects / effect).var(axis=0, ddof=1).mean(axis=0) if len(effects) > 1 else 0.0
    return effect, np.sqrt(variances.mean(axis=0) + spread)


def _grouped(
    inputs: npt.NDArray[np.float32], species: tuple[str, ...], line: int, n_lines: int, doses: Floats
) -> Floats:
    """(dose, i, j, k) effect by the table on species-grouped pooling: the answer outside the model's domain."""
    sums = inputs[:, [0, 2 + line, 2 + n_lines + line]].astype(np.float64)
    alpha, sqrt_beta = pool_accumulators_grouped(sums, species, beam_axis=2)
    return effect_of(doses.reshape(-1, 1, 1, 1), alpha, sqrt_beta**2)


def _alone(inputs: npt.NDArray[np.float32], species: tuple[str, ...], line: int, n_lines: int, doses: Floats) -> Floats:
    """(dose, i, j, k) effect by the table on each voxel's own spectrum; NaN where there is none."""
    dose, dose_alpha, dose_sqrt_beta = inputs[:, [0, 2 + line, 2 + n_lines + line]].sum(axis=0, dtype=float)
    known = np.where(dose > 0, dose, np.nan)
    return effect_of(doses.reshape(-1, 1, 1, 1), dose_alpha / known, (dose_sqrt_beta / known) ** 2)


@torch.no_grad()
def _members(
    surrogate: Surrogate, inputs: npt.NDArray[np.float32], voxels: npt.NDArray[np.int64], line: int
) -> list[tuple[Floats, Floats]]:
    """Of each network: effect (dose, voxel) and variance of its relative error (voxel,)."""
    tensor, at = torch.from_numpy(inputs), torch.from_numpy(voxels)
    photon, doses = surrogate.photon, torch.tensor(surrogate.card.doses)
    seen, accumulators = channels(tensor, photon[0, 0]), without_tracks(tensor)
    smoothed = smooth_all(accumulators)
    answers = []
    for network, scale in zip(surrogate.networks, surrogate.card.std_scale, strict=True):
        hidden = network.context(seen)
        parts = [network.answer(hidden, accumulators, smoothed, part, photon) for part in torch.split(at, _PORTION)]
        effect = torch.cat([part.effect(doses)[line] for part in parts], dim=1).double().numpy()
        log_std = torch.cat([part.log_std[line] for part in parts]).double().numpy()
        answers.append((effect, (scale * np.exp(log_std)) ** 2))
    return answers


def _reorder(
    values: Floats, turned: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_], beam: tuple[int, int]
) -> Floats:
    """Values in the order of the turned mask, put in the order of the field's."""
    grid = np.zeros(turned.shape)
    grid[turned] = values
    return np.asarray(turn_back(grid, *beam)[mask], dtype=np.float64)
