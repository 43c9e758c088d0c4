"""The cheap methods on the same low-statistics input that the surrogate gets.

Two kinds that must not be confused. Tables and pooling share the biology of the truth, so what is left is their error.
Published models of LET_d have another biology, so most of their difference is not error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.let import LET_d
from surrogate3d.physics.linear_quadratic import RBE_at_dose, effect
from surrogate3d.physics.mixing import MonoTable, fluence_accumulators
from surrogate3d.physics.pooling import pool_accumulators_grouped, pool_uniform
from surrogate3d.physics.rbe import PUBLISHED_MODELS, RbeModel

Floats = npt.NDArray[np.float64]
Result = TypeVar("Result")

UNIFORM_SIGMAS_VOXELS = (0.5, 0.75, 1.0, 1.5)
"""Gaussians of the uniform pooling; which of them is best is known only with hindsight, once the truth is."""

UNIFORM_METHODS = tuple(f"zr_table, uniform pooling {sigma:g} voxel" for sigma in UNIFORM_SIGMAS_VOXELS)
"""Names of the uniformly pooled maps, for `ComparisonTable.best`."""

LET_MODELS = {"constant 1.1": "constant", "McNamara": "mcnamara", "Wedenberg": "wedenberg"}
"""Model differences by name in the table, with their key in `PUBLISHED_MODELS`."""

BASELINE_NOTES = (
    "The best of the uniform poolings is chosen with hindsight, by its error against the truth; no user could.",
    "McNamara, Wedenberg and constant 1.1 are proton models with another biology: their rows are model differences.",
)
"""Sentences that belong under every table with these methods."""


class Baseline(NamedTuple):
    """What one cheap method answers.

    Attributes:
        alpha: (i, j, k) 1/Gy, NaN where there is no answer.
        beta: (i, j, k) 1/Gy^2.
        kind: "baseline" or "model_difference", see `table.KINDS`.
        seconds_per_voxel: wall time of the method from spectra (or scored LET_d) to alpha and beta, over all voxels.
    """

    alpha: Floats
    beta: Floats
    kind: str
    seconds_per_voxel: float


def baseline_effects(field: Field, cell_line: CellLine, table: MonoTable) -> dict[str, Baseline]:
    """Alpha and beta of every cheap method.

    Pooling acts on the accumulators dose, dose_alpha and dose_sqrt_beta: mixing is linear in the dose fractions, so
    this equals pooling the spectra, at a small part of the cost.

    Args:
        field: the low-statistics field.
        cell_line: for the published models.
        table: mono-energetic table of the same cell line.

    Returns:
        By name: "zr_table", one per `UNIFORM_METHODS`, "zr_table, grouped pooling", and one per `LET_MODELS`. The LET_d
        of the last is the scored one where the field has it, else that of the H spectrum; without either, and in
        fields of heavier ions, they are left out.

    Raises:
        UnknownNameError: the table is of another cell line, or lacks a species of the field.
    """
    if table.cell_line != cell_line.name:
        raise UnknownNameError(f"expected a table of cell line {cell_line.name!r}, found {table.cell_line!r}")
    return {**_from_table(field, table), **_from_let(field, cell_line)}


def derived_maps(alpha: Floats, beta: Floats, dose: npt.ArrayLike, cell_line: CellLine) -> dict[str, Floats]:
    """The compared quantities.

    Args:
        alpha: (i, j, k) 1/Gy.
        beta: (i, j, k) 1/Gy^2.
        dose: Gy per fraction at which effect and RBE are taken: one number, or (i, j, k).
        cell_line: for the photon reference.

    Returns:
        (i, j, k) maps "RBE", "alpha" and "effect" (-ln S).
    """
    E = effect(dose, alpha, beta)
    return {
        "RBE": RBE_at_dose(dose, E, cell_line.alpha_x, cell_line.beta_x),
        "alpha": np.asarray(alpha, dtype=float),
        "effect": E,
    }


def LQ_of_model(model: RbeModel, LET: Floats, alpha_x: float, beta_x: float) -> tuple[Floats, Floats]:
    """Alpha and beta behind a published model's RBE(D), exact for every model of linear-quadratic form.

    alpha follows from the RBE at no dose, beta from the effect at 10 Gy, where it weighs most.

    Args:
        model: (dose, LET_d, alpha_x, beta_x) -> RBE.
        LET: (...) LET_d, keV/um.
        alpha_x: photon alpha, 1/Gy.
        beta_x: photon beta, 1/Gy^2, positive.

    Returns:
        alpha (1/Gy) and beta (1/Gy^2), each (...).
    """
    dose = 10.0
    alpha = alpha_x * model(0.0, LET, alpha_x, beta_x)
    photon_dose = dose * model(dose, LET, alpha_x, beta_x)
    return alpha, (effect(photon_dose, alpha_x, beta_x) / dose - alpha) / dose


def _from_table(field: Field, table: MonoTable) -> dict[str, Baseline]:
    axes = field.spectra.axes
    sums, preparation = _timed(lambda: fluence_accumulators(axes, field.spectra.fluence, table), field.grid.n_voxels)
    methods: dict[str, Callable[[], tuple[Floats, Floats]]] = {"zr_table": partial(_pooled, sums, 0.0)}
    methods |= {n: partial(_pooled, sums, s) for n, s in zip(UNIFORM_METHODS, UNIFORM_SIGMAS_VOXELS, strict=True)}
    methods["zr_table, grouped pooling"] = partial(_grouped, sums, axes, field.beam_axis)
    return {name: _baseline(method, "baseline", field.grid.n_voxels, preparation) for name, method in methods.items()}


def _from_let(field: Field, cell_line: CellLine) -> dict[str, Baseline]:
    n, axes = field.grid.n_voxels, field.spectra.axes
    if not set(axes.species) <= {"H", "He"}:
        return {}  # proton models say nothing of a field of heavier ions
    if "LET_d" in field.volumes:
        LET, preparation = field.volumes["LET_d"].values.astype(float), 0.0
    elif "H" in axes.species:
        h = axes.species.index("H")
        protons = SpectrumAxes(("H",), axes.edges_mev_u[h : h + 1])
        LET, preparation = _timed(lambda: LET_d(protons, field.spectra.fluence[h : h + 1]), n)
    else:
        return {}
    of_model = partial(LQ_of_model, LET=LET, alpha_x=cell_line.alpha_x, beta_x=cell_line.beta_x)
    return {
        name: _baseline(partial(of_model, PUBLISHED_MODELS[key]), "model_difference", n, preparation)
        for name, key in LET_MODELS.items()
    }


def _baseline(
    method: Callable[[], tuple[Floats, Floats]], kind: str, n_voxels: int, preparation_seconds: float
) -> Baseline:
    (alpha, beta), seconds = _timed(method, n_voxels)
    return Baseline(alpha, beta, kind, preparation_seconds + seconds)


def _timed(method: Callable[[], Result], n_voxels: int) -> tuple[Result, float]:
    """Result and wall seconds per voxel."""
    start = perf_counter()
    result = method()
    return result, (perf_counter() - start) / n_voxels


def _pooled(sums: Floats, sigma_voxels: float) -> tuple[Floats, Floats]:
    """Alpha and beta of (species, 3, i, j, k) accumulators, pooled uniformly; NaN where there is no dose."""
    total = sums.sum(axis=0)
    pooled = pool_uniform(total, sigma_voxels) if sigma_voxels else total
    dose = np.where(total[0] > 0, pooled[0], np.nan)
    return pooled[1] / dose, (pooled[2] / dose) ** 2


def _grouped(sums: Floats, axes: SpectrumAxes, beam_axis: int) -> tuple[Floats, Floats]:
    alpha, sqrt_beta = pool_accumulators_grouped(sums, axes.species, beam_axis)
    return alpha, sqrt_beta**2
