"""How far a form's RBE is from the truth, beside `zr_table` and grouped pooling on the same inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from forms_networks import Form, FormNetwork
from forms_plans import FormPlan
from torch import Tensor

from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.groups import species_sums
from surrogate3d.model.network import smooth_all, without_tracks
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import RBE_at_dose, effect
from surrogate3d.physics.pooling import pool_accumulators_grouped

Floats = npt.NDArray[np.float64]
Figures = dict[str, float]

DOSE_GY, LEAST_DOSE = 2.0, 0.05
_PORTION = 8192


def judged_voxels(plan: FormPlan) -> Tensor:
    """(voxel, 3) indices of voxels with enough dose."""
    dose = plan.truth[0]
    return (plan.example.learnt & (dose > LEAST_DOSE * dose.max())).nonzero()


@torch.no_grad()
@without_denormals()
def answers(network: FormNetwork, inputs: Tensor, charge: Tensor, alpha_x: Tensor, voxels: Tensor) -> Tensor:
    """(2, voxel) alpha and sqrt(beta) of a network on inputs that were prepared for it."""
    groups, charge, seen = network.view(inputs, alpha_x, charge)
    accumulators = without_tracks(groups)
    hidden, smoothed = network.context(seen), smooth_all(accumulators)
    found = [network.denoise(hidden, accumulators, smoothed, v, charge) for v in torch.split(voxels, _PORTION)]
    return torch.cat([torch.stack([d.alpha[0], d.sqrt_beta[0]]) for d in found], dim=1)


def realisations(plan: FormPlan, levels: Sequence[float]) -> dict[float, list[int]]:
    """By tracks, the realisations of the real run and of the given levels; the real run once."""
    chosen = {plan.tracks[0]: [0]}
    chosen |= {level: [n for n, tracks in enumerate(plan.tracks) if tracks == level] for level in levels}
    return chosen


def true_RBE(plan: FormPlan, line: CellLine) -> Floats:
    """(voxel,) of `judged_voxels`."""
    i, j, k = judged_voxels(plan).unbind(1)
    dose, alpha, sqrt_beta = plan.truth[:, i, j, k].double().numpy()
    return _RBE(alpha / dose, sqrt_beta / dose, line)


def network_RBE(network: FormNetwork, form: Form, plan: FormPlan, n: int, line: CellLine) -> Floats:
    """(voxel,) of `judged_voxels`, on realisation `n`."""
    inputs = form.prepare(plan.example.inputs[n], plan.material)
    found = answers(network, inputs, plan.example.charge, torch.tensor(line.alpha_x), judged_voxels(plan))
    alpha, sqrt_beta = found.double().numpy()
    return _RBE(alpha, sqrt_beta, line)


def table_RBE(plan: FormPlan, n: int, line: CellLine) -> Floats:
    """(voxel,) of the voxel's own spectrum; NaN where nothing was scored."""
    sums = species_sums(plan.example.inputs[n].numpy()).sum(axis=0)
    return _at(plan, *_ratios(sums), line)


def grouped_RBE(plan: FormPlan, n: int, line: CellLine) -> Floats:
    """(voxel,) of the grouped-pooled spectrum; NaN where nothing was scored."""
    sums = species_sums(plan.example.inputs[n].numpy())
    return _at(plan, *pool_accumulators_grouped(sums, plan.species, beam_axis=2), line)


def figures(found: Sequence[Floats], truth: Floats) -> Figures:
    """Relative errors in % over the voxels of several realisations that have an answer."""
    error = np.concatenate([100 * (values / truth - 1) for values in found])
    error = error[np.isfinite(error)]
    return {
        "n": len(error),
        "RMS": float(np.sqrt(np.mean(error**2))),
        "p95": float(np.percentile(np.abs(error), 95)),
        "bias": float(error.mean()),
    }


def _ratios(sums: Floats) -> tuple[Floats, Floats]:
    dose = np.where(sums[0] > 0, sums[0], np.nan)
    return sums[1] / dose, sums[2] / dose


def _at(plan: FormPlan, alpha: Floats, sqrt_beta: Floats, line: CellLine) -> Floats:
    at = tuple(judged_voxels(plan).numpy().T)
    return _RBE(alpha[at], sqrt_beta[at], line)


def _RBE(alpha: Floats, sqrt_beta: Floats, line: CellLine) -> Floats:
    return RBE_at_dose(DOSE_GY, effect(DOSE_GY, alpha, sqrt_beta**2), line.alpha_x, line.beta_x)
