"""What the benchmark of sampling strategies chooses from, learns from and is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import SPECIES_Z, Field
from surrogate3d.io.field_store import read_field
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.physics.let import LET_d, bin_dose
from surrogate3d.physics.linear_quadratic import RBE10, effect
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.physics.pooling import pool_grouped
from surrogate3d.sampling.candidates import PlanFeatures, candidates
from surrogate3d.sampling.similarity import embed
from surrogate3d.sampling.strata import gradient_per_mm, plan_strata
from surrogate3d.training.label_efficiency import feature_names, regression_features

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

OUTPUTS = ("-ln S(2 Gy)", "alpha", "beta", "RBE10")
PROXIMAL = {"carbon_slab": 2 / 3}
"""Fraction of the depth that may be used; the rest is kept for the final judgement of the engine's models."""

MIN_DOSE = 0.05
HELD_OUT = 0.2
_NO_SHARE = np.log(1e-3)  # what `regression_features` says of a species without dose


@dataclass(frozen=True, eq=False)
class BenchmarkPlan:
    """One plan; rows are its usable voxels.

    Attributes:
        name: of the plan.
        high: many histories: the truth.
        species: of all plans of the benchmark.
        columns: names of the features.
        features: (n, m) of the run with few histories, for the regression.
        choice: what the choice is based on, of the run with few histories.
        truth: (n, 4) `OUTPUTS` of `zr_table` on the run with many histories.
    """

    name: str
    high: Field
    columns: tuple[str, ...]
    features: Floats
    choice: PlanFeatures
    truth: Floats


@dataclass(frozen=True, eq=False)
class Offer:
    """What one seed offers of some plans; rows run over all plans.

    Attributes:
        points: (n, m) embedded spectra, whose distance is the dissimilarity.
        strata: (n,) material, LET_d, dose and gradient.
        candidates: rows of the one voxel drawn in each coarse cube.
        features: (n, m) for the regression.
        labels: (n, 4) of the oracle.
        held: features and truth of the held-out voxels, plan by plan.
        held_rows: rows of each plan that are held out, in random order.
        keys: (n, 2) plan and row of that plan.
    """

    points: Floats
    strata: Rows
    candidates: Rows
    features: Floats
    labels: Floats
    held: list[tuple[Floats, Floats]]
    held_rows: list[Rows]
    keys: Rows


def outputs(alpha: npt.ArrayLike, beta: npt.ArrayLike, line: CellLine) -> Floats:
    """(n, 4) `OUTPUTS` of linear-quadratic parameters."""
    RBE = RBE10(alpha, beta, line.alpha_x, line.beta_x)
    return np.stack([effect(2.0, alpha, beta), np.asarray(alpha), np.asarray(beta), RBE], axis=-1)


def read_plans(stores: Path, names: Sequence[str], line_name: str) -> list[BenchmarkPlan]:
    """Plans with the same columns: what a plan's spectra do not name has no share of its dose."""
    fields = {name: [read_field(stores / f"{name}_{run}.field.zarr") for run in ("low", "high")] for name in names}
    scored = {species for low, _ in fields.values() for species in low.spectra.axes.species}
    species = sorted(scored, key=SPECIES_Z.__getitem__)
    plans = [_plan(name, low, high, species, line_name) for name, (low, high) in fields.items()]
    columns = tuple(dict.fromkeys(column for plan in plans for column in plan.columns))
    return [_with_columns(plan, columns) for plan in plans]


def _plan(name: str, low: Field, high: Field, species: Sequence[str], line_name: str) -> BenchmarkPlan:
    axes = high.spectra.axes
    alpha, beta = zr_table(axes, high.spectra.fluence, mono_table(line_name))
    mask = (low.dose > MIN_DOSE * np.nanmax(low.dose)) & low.spectra.fluence.any(axis=(0, 1)) & np.isfinite(alpha)
    depth = np.indices(low.grid.shape)[low.beam_axis]
    depth = depth if low.beam_sign > 0 else depth.max() - depth
    mask &= depth < int(PROXIMAL.get(name, 1.0) * low.grid.shape[low.beam_axis])
    features = regression_features(low, np.argwhere(mask))
    truth = outputs(alpha[mask], beta[mask], cell_line(line_name))
    return BenchmarkPlan(name, high, feature_names(axes), features, _choice(name, low, mask, species), truth)


def _choice(name: str, field: Field, mask: npt.NDArray[np.bool_], species: Sequence[str]) -> PlanFeatures:
    """Grouped-pooled dose fractions, as `surrogate3d sample` takes them, and the quantities of the strata."""
    axes = field.spectra.axes
    pooled = pool_grouped(bin_dose(axes, field.spectra.fluence), axes, field.beam_axis)
    fractions = np.zeros((len(species), *pooled.shape[1:]), dtype=np.float32)
    fractions[[species.index(s) for s in axes.species]] = pooled
    LET = LET_d(axes, field.spectra.fluence)
    traits = {"LET_d": LET, "LET_gradient": gradient_per_mm(LET, field.grid),
              "dose_gradient": gradient_per_mm(np.nan_to_num(field.dose), field.grid)}  # fmt: skip
    rows = fractions[:, :, mask].reshape(-1, int(mask.sum())).T
    return PlanFeatures(
        name, field.grid, rows, field.dose[mask], np.argwhere(mask), {key: value[mask] for key, value in traits.items()}
    )


def _with_columns(plan: BenchmarkPlan, columns: tuple[str, ...]) -> BenchmarkPlan:
    features = np.full((len(plan.features), len(columns)), _NO_SHARE)
    features[:, [columns.index(column) for column in plan.columns]] = plan.features
    return BenchmarkPlan(plan.name, plan.high, columns, features, plan.choice, plan.truth)


def offer(plans: Sequence[BenchmarkPlan], seed: int, cube_mm: float) -> Offer:
    """Hold out a random fifth of every plan's voxels and offer the others."""
    kept, held, held_rows = [], [], []
    for plan in plans:
        order = np.random.default_rng([seed, len(plan.truth)]).permutation(len(plan.truth))
        n = round(HELD_OUT * len(order))
        held.append((plan.features[order[:n]], plan.truth[order[:n]]))
        held_rows.append(order[:n])
        kept.append(np.sort(order[n:]))
    choices = [_part(plan.choice, rows) for plan, rows in zip(plans, kept, strict=True)]
    drawn = candidates(choices, cube_mm, seed)
    start = np.cumsum([0, *map(len, kept)])[:-1]
    return Offer(
        np.concatenate([embed(c.dose_fractions, c.relative_dose) for c in choices]),
        plan_strata(choices),
        start[drawn.plan] + drawn.row,
        np.concatenate([plan.features[rows] for plan, rows in zip(plans, kept, strict=True)]),
        np.concatenate([plan.truth[rows] for plan, rows in zip(plans, kept, strict=True)]),
        held,
        held_rows,
        np.concatenate([np.stack([np.full(len(r), p), r], axis=1) for p, r in enumerate(kept)]),
    )


def _part(plan: PlanFeatures, rows: Rows) -> PlanFeatures:
    traits = {key: value[rows] for key, value in plan.traits.items()}
    return PlanFeatures(plan.field_id, plan.grid, plan.dose_fractions[rows], plan.dose[rows], plan.voxels[rows], traits)
