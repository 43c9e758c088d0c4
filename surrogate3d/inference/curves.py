"""Predict the survival curve of every voxel of a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import norm

from surrogate3d.errors import BundleError, QuantityError, ValueRangeError
from surrogate3d.grid import Field
from surrogate3d.inference.deviation import whole_answer
from surrogate3d.inference.domain import domain_map, require_fit
from surrogate3d.inference.spectrum_domain import SpectrumDomain
from surrogate3d.inference.steady_regions import steady_regions
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.model.channels import channels
from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.groups import field_inputs, species_sums, turn_back, turn_downstream
from surrogate3d.model.network import smooth_all, without_tracks
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect as effect_of
from surrogate3d.physics.mixing import MonoTable
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
        out_of_domain: (i, j, k) where the training says nothing. The answer is that of grouped pooling for a beam of
            another ion, and that of the table on the voxel alone where beams cross.
        strangest: what puts most of these voxels out of the domain; "" if there are none.
        domain_score: (voxel,) distance of the spectrum to those of the training over what is allowed.
        log_correction: (voxel, dose) logarithm of what the head makes of the mixing rule's effect; 0 out of the domain.
        half_width: (voxel,) relative half width of the interval of 90 % about the effect.
    """

    mask: npt.NDArray[np.bool_]
    doses: Floats
    effect: Floats
    relative_std: Floats
    out_of_domain: npt.NDArray[np.bool_]
    strangest: str = ""
    domain_score: Floats | None = None
    log_correction: Floats | None = None
    half_width: Floats | None = None

    @property
    def interval(self) -> Floats:
        """(voxel,) `half_width`; of a Gaussian where nothing was calibrated."""
        return np.asarray(norm.ppf(0.95) * self.relative_std) if self.half_width is None else self.half_width

    def volume(self, values: Floats) -> Floats:
        """(voxel,) values on the grid, NaN where the surrogate does not answer."""
        grid = np.full(self.mask.shape, np.nan)
        grid[self.mask] = values
        return grid


def predict_curves(
    field: Field,
    surrogate: Surrogate,
    line: CellLine,
    min_dose_fraction: float = MIN_DOSE_FRACTION,
    table: MonoTable | None = None,
    conditions: Mapping[str, Floats] | None = None,
) -> CurveMap:
    """Survival curves of a whole field.

    Dose that the spectra do not explain (electrons, heavier ions, recoils: 4-6 % in OpenTOPAS plans) is taken to act
    like the dose that they do explain: the curve is per Gy of scored dose, its shape from the spectrum.
    Where the voxel is out of the model's domain its deviation is at least what separates it from the table on
    species-grouped pooling. That is the answer itself where the network knows nothing of the beam: all voxels of a beam
    of another ion. Where beams come from several directions there is no axis to pool along: the answer is that of the
    table on the voxel alone.

    Args:
        field: with the low-statistics spectra.
        surrogate: the model.
        line: cell line, any that has a table.
        min_dose_fraction: voxels with less of the field's largest dose are left out.
        table: mono-energetic table of the cell line; not needed for those that the model was trained with.
        conditions: (i, j, k) features of the conditions by name, for a model that was trained with them.

    Raises:
        BundleError: the field does not fit the model, or the conditions do not.
        QuantityError: the table is of another cell line.
        UnknownNameError: the model was not trained for the cell line, and there is no table.
        ValueRangeError: no voxel has enough dose.
    """
    require_fit(field, surrogate.card, line)
    if table is not None and table.cell_line != line.name:
        raise QuantityError(f"expected the table of the cell line {line.name}, found that of {table.cell_line}")
    beam = (field.beam_axis, field.beam_sign)
    own = table or surrogate.table_of(line)
    inputs = field_inputs(field, (surrogate.guide, own))
    mask = irradiated(field, min_dose_fraction) & (field.spectra.fluence.sum(axis=(0, 1)) > 0) & ~faulty(field)
    if not mask.any():
        raise ValueRangeError("no voxel of the field has enough dose and a spectrum; there is nothing to predict")
    turned = turn_downstream(mask, *beam)
    around = _conditions(surrogate.card, conditions, turned, beam, field.several_directions)
    answers = _members(surrogate, inputs, field.spectra.axes.Z, np.argwhere(turned), line, around)
    effect, std, correction = _ensemble(answers)
    doses = np.array(surrogate.card.doses)
    where = domain_map(field, surrogate.card.primaries, SpectrumDomain.from_arrays(surrogate.domain), mask)
    outside = turn_downstream(where.outside, *beam)[turned]
    least = np.zeros(len(std))
    if around is None:
        table_answer = _alone if field.several_directions else _grouped
        pooled = table_answer(inputs, field.spectra.axes.species, doses)[:, turned]
        least[outside] = np.abs(effect / pooled - 1).max(axis=0)[outside]
        if where.unknown:  # else kernels, which can only mix what is there, follow slanted fronts better
            effect[:, outside] = pooled[:, outside]
            correction[:, outside] = 0.0
    effect, correction = (
        np.stack([_reorder(row, turned, mask, beam) for row in rows], axis=1) for rows in (effect, correction)
    )
    std, least = (_reorder(values, turned, mask, beam) for values in (std, least))
    at = (field.tracks[mask], steady_regions(field)[mask])
    std, half_width = whole_answer(surrogate.card.calibration, std, *at, least)
    return CurveMap(mask, doses, effect, std, where.outside, where.reason, where.score[mask], correction, half_width)


def _conditions(
    card: ModelCard,
    given: Mapping[str, Floats] | None,
    turned: npt.NDArray[np.bool_],
    beam: tuple[int, int],
    crossing: bool,
) -> torch.Tensor | None:
    """(condition, voxel) features in the order of the card; None for a model of the calibration's conditions."""
    names = tuple(card.network.get("conditions", ()))
    if set(names) != set(given or {}):
        raise BundleError(
            f"the model was trained with the conditions {', '.join(names) or 'of the calibration'}, given are "
            f"{', '.join(given or {}) or 'those of the calibration'}; give the same"
        )
    if not given or not names:
        return None
    if crossing:
        raise BundleError("a model of conditions knows single beams, and the field has beams from several directions")
    return torch.from_numpy(np.stack([turn_downstream(given[name], *beam)[turned] for name in names])).float()


def irradiated(field: Field, min_dose_fraction: float = MIN_DOSE_FRACTION) -> npt.NDArray[np.bool_]:
    """(i, j, k) where there is enough dose to say anything."""
    return np.asarray(field.dose >= min_dose_fraction * np.nanmax(field.dose))


def faulty(field: Field) -> npt.NDArray[np.bool_]:
    """(i, j, k) where the spectrum cannot explain the dose (volume `spectrum_fault`), so nothing follows from it."""
    if "spectrum_fault" not in field.volumes:
        return np.zeros(field.grid.shape, dtype=bool)
    return np.asarray(field.volumes["spectrum_fault"].values > 0)


def _ensemble(answers: list[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats, Floats]:
    """Mean effect (dose, voxel), its relative standard deviation (voxel,), mean log correction (dose, voxel)."""
    effects, variances, corrections = (np.stack(parts) for parts in zip(*answers, strict=True))
    effect = effects.mean(axis=0)
    spread = (effects / effect).var(axis=0, ddof=1).mean(axis=0) if len(effects) > 1 else 0.0
    return effect, np.sqrt(variances.mean(axis=0) + spread), corrections.mean(axis=0)


def _grouped(inputs: npt.NDArray[np.float32], species: tuple[str, ...], doses: Floats) -> Floats:
    """(dose, i, j, k) effect by the table on species-grouped pooling: the answer outside the model's domain."""
    alpha, sqrt_beta = pool_accumulators_grouped(species_sums(inputs, 1), species, beam_axis=2)
    return effect_of(doses.reshape(-1, 1, 1, 1), alpha, sqrt_beta**2)


def _alone(inputs: npt.NDArray[np.float32], species: tuple[str, ...], doses: Floats) -> Floats:
    """(dose, i, j, k) effect by the table on each voxel's own spectrum; NaN where there is none."""
    dose, dose_alpha, dose_sqrt_beta = species_sums(inputs, 1).sum(axis=0)
    known = np.where(dose > 0, dose, np.nan)
    return effect_of(doses.reshape(-1, 1, 1, 1), dose_alpha / known, (dose_sqrt_beta / known) ** 2)


@without_denormals()
@torch.no_grad()
def _members(
    surrogate: Surrogate,
    inputs: npt.NDArray[np.float32],
    charge: npt.NDArray[np.int64],
    voxels: npt.NDArray[np.int64],
    line: CellLine,
    conditions: torch.Tensor | None,
) -> list[tuple[Floats, Floats, Floats]]:
    """Of each network: effect (dose, voxel), variance of its relative error (voxel,), log correction (dose, voxel)."""
    tensor, at, Z = torch.from_numpy(inputs), torch.from_numpy(voxels), torch.from_numpy(charge)
    doses = torch.tensor(surrogate.card.doses)
    photon = torch.tensor([[line.alpha_x], [line.beta_x**0.5]])
    seen = channels(tensor, torch.tensor(surrogate.guide_alpha_x), Z)
    accumulators = without_tracks(tensor)[:, :, [0, 2, 4]]  # the guide's part is in the channels
    smoothed = smooth_all(accumulators)
    around = [None] * -(-len(at) // _PORTION) if conditions is None else torch.split(conditions, _PORTION, dim=1)
    answers = []
    for network in surrogate.networks:
        context = network.context(seen)
        parts = [
            network.answer(network.denoise(context, accumulators, smoothed, part, Z), photon, near)
            for part, near in zip(torch.split(at, _PORTION), around, strict=True)
        ]
        effect = torch.cat([part.effect(doses)[0] for part in parts], dim=1).double().numpy()
        log_std = torch.cat([part.log_std[0] for part in parts]).double().numpy()
        correction = torch.cat([part.log_correction[0] for part in parts], dim=1).double().numpy()
        answers.append((effect, np.exp(2 * log_std), correction))
    return answers


def _reorder(
    values: Floats, turned: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_], beam: tuple[int, int]
) -> Floats:
    """Values in the order of the turned mask, put in the order of the field's."""
    grid = np.zeros(turned.shape)
    grid[turned] = values
    return np.asarray(turn_back(grid, *beam)[mask], dtype=np.float64)
