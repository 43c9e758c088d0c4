"""Closed forms for alpha and beta of hypoxic cells, on the same spectra: what a network has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.physics.let import bin_dose, bin_LET
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.physics.oxygen import AIR_MMHG, relative_yield
from surrogate3d.physics.oxygen_mixing import OxygenTables, dose_divided, hypoxic_table, pressure_nodes
from surrogate3d.physics.pooling import pool_grouped

Floats = npt.NDArray[np.float64]

SIMULATED_MMHG = (0.0, 1.0, 4.0, 14.0, AIR_MMHG)
"""Pressures at which mono-energetic ions are simulated; between them the ratio to `hypoxic_table` is interpolated."""

EVERY = 4
"""Of the energies of the standard bins, one in so many is simulated."""


def simulated_tables(table: MonoTable) -> OxygenTables:
    """Tables at several pressures by `gsm2_fft`, relative to its own in air: what it lacks of `table` goes out."""
    energy = [SpectrumAxes.logarithmic((name,)).energy_mev_u[0, ::EVERY] for name in table.species]
    pairs = np.array([[_pairs(name, table.cell_line, p) for name in table.species] for p in SIMULATED_MMHG])
    LET = [bin_LET(SpectrumAxes.logarithmic((name,)))[0, ::EVERY] for name in table.species]
    y = relative_yield(np.array(LET), np.array(SIMULATED_MMHG)[:, None, None])  # (pressure, species, energy)
    ratio = pairs / pairs[-1] / np.moveaxis([y, y], 0, -1)  # of alpha and sqrt(beta), over those of `hypoxic_table`
    at = relative_yield(0.0, np.array(SIMULATED_MMHG))
    between = PchipInterpolator(at, ratio, axis=0, extrapolate=True)

    def made(pressure: float) -> MonoTable:
        under = hypoxic_table(table, pressure)
        r = between(float(relative_yield(0.0, pressure)))  # (species, energy, 2)
        x = np.log(table.energy_mev_u)
        a, b = (np.array([np.interp(x[s], np.log(energy[s]), r[s, :, n]) for s in range(len(energy))]) for n in (0, 1))
        return replace(under, alpha=under.alpha * a, beta=under.beta * b**2)

    nodes = pressure_nodes()
    return OxygenTables(nodes, tuple(map(made, nodes)), table)


def _pairs(species: str, cell_line: str, pressure: float) -> Floats:
    """(energy, 2) alpha and sqrt(beta) of ions of one energy."""
    axes, fft = SpectrumAxes.logarithmic((species,)), Gsm2Fft()
    rows, around = np.eye(axes.n_bins)[::EVERY], Conditions(pressure)
    found = fft.simulate([VoxelTask(row[None], axes, float("nan"), (cell_line,), conditions=around) for row in rows])
    return np.array([[answer.alpha, np.sqrt(max(answer.beta, 1e-6))] for answer in found])


@dataclass(frozen=True, eq=False)
class Forms:
    """Closed forms of some voxels.

    Attributes:
        fractions: (species, bin, voxel) dose fractions that they are made of.
        alpha: (voxel,) at full oxygen, 1/Gy.
        sqrt_beta: (voxel,) at full oxygen, 1/Gy.
        factors: by form, the factors (2, voxel) on them.
    """

    fractions: Floats
    alpha: Floats
    sqrt_beta: Floats
    factors: dict[str, Floats]

    def effects(
        self, doses: Sequence[float], alpha: Floats | None = None, sqrt_beta: Floats | None = None
    ) -> dict[str, Floats]:
        """(voxel, dose) -ln S by form; with coefficients at full oxygen from elsewhere, such as a network's."""
        a = self.alpha if alpha is None else alpha
        b = self.sqrt_beta if sqrt_beta is None else sqrt_beta
        return {
            name: effect(np.asarray(doses), (a * f)[:, None], (b * g)[:, None] ** 2)
            for name, (f, g) in self.factors.items()
        }


def fractions_at(field: Field, voxels: npt.NDArray[np.int64], pooled: bool) -> Floats:
    """(species, bin, voxel) dose fractions of some voxels, grouped-pooled or each voxel alone."""
    axes, at = field.spectra.axes, (slice(None), slice(None), *voxels.T)
    dose = bin_dose(axes, field.spectra.fluence)
    found = pool_grouped(dose, axes, field.beam_axis)[at] if pooled else np.asarray(dose[at], dtype=float)
    return np.asarray(found / found.sum(axis=(0, 1)))


def closed_forms(axes: SpectrumAxes, fractions: Floats, pO2: Floats, tables: dict[str, OxygenTables]) -> Forms:
    """All forms for dose fractions (species, bin, voxel) and pressures (voxel,) in mmHg; tables by name of the form."""

    def mixed(table: MonoTable) -> tuple[Floats, Floats]:
        alpha, beta = table.at(axes)
        return np.einsum("sb,sbv->v", alpha, fractions), np.einsum("sb,sbv->v", np.sqrt(beta), fractions)

    alpha, sqrt_beta = mixed(next(iter(tables.values())).oxic)
    one = np.ones(len(pO2))
    divided, _ = dose_divided(one, one, np.einsum("sb,sbv->v", bin_LET(axes), fractions), pO2)
    factors = {"none": np.stack([one, one]), "OER at LET_d": np.stack([divided, divided])}
    for name, known in tables.items():
        a, b = known.coefficients(mixed, pO2)
        factors[name] = np.stack([a / alpha, b / sqrt_beta])
    return Forms(fractions, alpha, sqrt_beta, factors)


Maker = Callable[[MonoTable], OxygenTables]
FORMS: dict[str, Maker] = {"OER of every ion": OxygenTables.scaled, "tables at pressures": simulated_tables}
"""Forms that mix, by name."""
