"""Closed forms for cells short of oxygen: mixing under a pressure that changes from voxel to voxel.

There is no mixing rule for this. What a table of full oxygen allows are two guesses: divide the dose of every voxel by
the OER at its LET_d (`dose_divided`), or that of every ion by its own (`hypoxic_table`). Both scale alpha with the
yield of lesions, while the part of alpha that is due to pairs of lesions in the track of one ion goes with its square.
Tables that were simulated at each pressure (`direct.mono_oxygen`) do without the guess. `OxygenTables` mixes with
tables at a few pressures and interpolates between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, ValueRangeError
from surrogate3d.grid import SPECIES_Z, SpectrumAxes
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.mixing import MonoTable, mix_accumulators, species_accumulators
from surrogate3d.physics.oxygen import AIR_MMHG, OxygenEffect, relative_yield
from surrogate3d.physics.pooling import pool_accumulators_grouped
from surrogate3d.physics.stopping_power import stopping_power

Floats = npt.NDArray[np.float64]

LARGEST_MMHG = 760.0
"""Pure oxygen at sea level: the last of the nodes."""


def pressure_nodes(n: int = 12) -> tuple[float, ...]:
    """Ascending pressures from 0 to `LARGEST_MMHG` between which alpha and sqrt(beta) are nearly linear in the yield.

    They are evenly spaced in `relative_yield` at low LET.
    """
    if n < 2:
        raise ValueRangeError(f"at least two pressures are needed, found {n}")
    known, (low, high) = OxygenEffect(), relative_yield(0.0, np.array([0.0, LARGEST_MMHG]))
    in_air = 1 + known.b_mmHg * (known.M0 - 1) / (known.b_mmHg + AIR_MMHG)
    inner = in_air / np.linspace(low, high, n)[1:-1] - 1
    return (0.0, *(known.b_mmHg * ((known.M0 - 1) / inner - 1)).tolist(), LARGEST_MMHG)


def dose_divided(
    alpha: npt.ArrayLike, beta: npt.ArrayLike, LET: npt.ArrayLike, pO2_mmHg: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Alpha / OER and beta / OER^2 at the LET_d of a voxel: the dose of the whole voxel divided by one OER.

    Args:
        alpha: at full oxygen, 1/Gy.
        beta: at full oxygen, 1/Gy^2.
        LET: LET_d of the voxel, keV/um.
        pO2_mmHg: oxygen pressure, mmHg.

    Returns:
        alpha (1/Gy) and beta (1/Gy^2) in the broadcast shape.

    Raises:
        ValueRangeError: a LET or pressure is negative or NaN.
    """
    factor = relative_yield(LET, pO2_mmHg)
    return np.asarray(np.asarray(alpha) * factor), np.asarray(np.asarray(beta) * factor**2)


def hypoxic_table(table: MonoTable, pO2_mmHg: float) -> MonoTable:
    """A table of full oxygen, each ion's alpha divided by its OER and beta by the square.

    Exact at low LET, where lesions of different tracks make all pairs; too much alpha is left where one track makes
    them. Mixing it is alpha = sum d_i alpha_i / OER_i and sqrt(beta) = sum d_i sqrt(beta_i) / OER_i.

    Args:
        table: at full oxygen (`AIR_MMHG`).
        pO2_mmHg: oxygen pressure, mmHg.

    Raises:
        ValueRangeError: the pressure is negative or NaN.
    """
    Z = np.array([SPECIES_Z[name] for name in table.species])[:, None]
    factor = relative_yield(stopping_power(Z, table.energy_mev_u), pO2_mmHg)
    scaled = {"alpha": factor, "alpha_se": factor, "beta": factor**2, "beta_se": factor**2}
    columns = {name: getattr(table, name) * by for name, by in scaled.items()}
    return replace(table, **columns, source={**table.source, "pO2_mmHg": pO2_mmHg, "oxygen": "alpha/OER, beta/OER^2"})


@dataclass(frozen=True, eq=False)
class OxygenTables:
    """Mono-energetic tables of one cell line at several oxygen pressures.

    Attributes:
        pO2_mmHg: ascending pressures, mmHg.
        tables: one for each.
        oxic: that of full oxygen (`AIR_MMHG`), made in the same way.

    Raises:
        FormatError: pressures do not ascend, or there are not as many tables, or fewer than two.
    """

    pO2_mmHg: tuple[float, ...]
    tables: tuple[MonoTable, ...]
    oxic: MonoTable

    def __post_init__(self) -> None:
        if len(self.tables) != len(self.pO2_mmHg) or len(self.tables) < 2 or not (np.diff(self.pO2_mmHg) > 0).all():
            raise FormatError(
                f"expected tables at two or more ascending pressures, found {len(self.tables)} at {self.pO2_mmHg}"
            )

    @staticmethod
    def scaled(table: MonoTable) -> OxygenTables:
        """`hypoxic_table` at `pressure_nodes`."""
        nodes = pressure_nodes()
        return OxygenTables(nodes, tuple(hypoxic_table(table, p) for p in nodes), table)

    def coefficients(
        self, mixed: Callable[[MonoTable], tuple[Floats, Floats]], pO2_mmHg: npt.ArrayLike
    ) -> tuple[Floats, Floats]:
        """Alpha and sqrt(beta) under a pressure in each voxel.

        Args:
            mixed: makes alpha (1/Gy) and sqrt(beta) (1/Gy), (...) each, of a table.
            pO2_mmHg: (...) or one pressure, mmHg.

        Returns:
            alpha (1/Gy) and sqrt(beta) (1/Gy), each (...).

        Raises:
            ValueRangeError: a pressure is NaN or outside the tables.
        """
        left, t = self._place(pO2_mmHg)
        found = [np.zeros(0), np.zeros(0)]
        for n, table in enumerate(self.tables):
            weight = np.where(left == n, 1 - t, 0.0) + np.where(left + 1 == n, t, 0.0)
            if not weight.any():
                continue
            parts = [np.where(weight > 0, weight * values, 0.0) for values in mixed(table)]
            found = parts if not found[0].size else [a + b for a, b in zip(found, parts, strict=True)]
        return found[0], found[1]

    def _place(self, pO2_mmHg: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], Floats]:
        """Node to the left of each pressure, and the way from there to the next, in relative yield at low LET."""
        p, nodes = np.asarray(pO2_mmHg, dtype=float), np.asarray(self.pO2_mmHg)
        if not ((p >= nodes[0]) & (p <= nodes[-1])).all():
            raise ValueRangeError(
                f"oxygen pressures must lie between {nodes[0]:g} and {nodes[-1]:g} mmHg, where there are tables; found "
                f"{float(np.min(p)):g} to {float(np.max(p)):g}"
            )
        x, at = relative_yield(0.0, p), relative_yield(0.0, nodes)
        left = np.clip(np.searchsorted(nodes, p, side="right") - 1, 0, len(nodes) - 2)
        return left, np.asarray((x - at[left]) / (at[left + 1] - at[left]))


def mixed_under(
    axes: SpectrumAxes, fluence: npt.NDArray[np.floating], tables: OxygenTables, pO2_mmHg: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Alpha and beta of fluence spectra under an oxygen pressure in each voxel, without pooling.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, ...) fluence per bin, any one unit.
        tables: of the cell line.
        pO2_mmHg: (...) or one pressure, mmHg.

    Returns:
        alpha (1/Gy) and beta (1/Gy^2), each (...); NaN where there is no fluence.

    Raises:
        ValueRangeError: a pressure is NaN or outside the tables.
    """
    dose = bin_dose(axes, fluence)

    def mixed(table: MonoTable) -> tuple[Floats, Floats]:
        whole, dose_alpha, dose_sqrt_beta = mix_accumulators(dose, *table.at(axes))
        known = np.where(whole > 0, whole, np.nan)
        return dose_alpha / known, dose_sqrt_beta / known

    alpha, sqrt_beta = tables.coefficients(mixed, pO2_mmHg)
    return alpha, sqrt_beta**2


def oxygen_factors(
    axes: SpectrumAxes,
    fluence: npt.NDArray[np.floating],
    tables: OxygenTables,
    pO2_mmHg: npt.NDArray[np.floating],
    beam_axis: int | None,
) -> tuple[Floats, Floats]:
    """What an oxygen pressure does to alpha and sqrt(beta), as factors: the noise of the spectra goes out of them.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, i, j, k) fluence per bin, any one unit.
        tables: of the cell line.
        pO2_mmHg: (i, j, k) pressures, mmHg.
        beam_axis: axis along depth for `pooling.pool_accumulators_grouped`; None takes each voxel alone.

    Returns:
        alpha over alpha at full oxygen, and the same of sqrt(beta), each (i, j, k); NaN where there is no fluence.

    Raises:
        GridMismatchError: pressures and spectra have other grids.
        ValueRangeError: a pressure is NaN or outside the tables.
    """
    if pO2_mmHg.shape != fluence.shape[2:]:
        raise GridMismatchError(f"oxygen has the shape {pO2_mmHg.shape}, the spectra {fluence.shape[2:]}")
    dose = bin_dose(axes, fluence)

    def mixed(table: MonoTable) -> tuple[Floats, Floats]:
        sums = species_accumulators(dose, *table.at(axes))
        if beam_axis is not None:
            return pool_accumulators_grouped(sums, axes.species, beam_axis)
        whole, dose_alpha, dose_sqrt_beta = sums.sum(axis=0)
        known = np.where(whole > 0, whole, np.nan)
        return dose_alpha / known, dose_sqrt_beta / known

    alpha, sqrt_beta = mixed(tables.oxic)
    under_alpha, under_sqrt_beta = tables.coefficients(mixed, pO2_mmHg)
    return under_alpha / alpha, under_sqrt_beta / sqrt_beta
