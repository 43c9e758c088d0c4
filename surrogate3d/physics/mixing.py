"""Zaider-Rossi mixing: alpha and beta of a mixed field from a table of mono-energetic ones.

Zaider and Rossi, Radiat. Res. 1980: alpha = sum d_i alpha_i and sqrt(beta) = sum d_i sqrt(beta_i), d_i being the dose
fraction of bin i. The rule for alpha is exact for independent tracks, that for beta is an approximation. What adds over
bins, species and fields are the accumulators dose, dose_alpha and dose_sqrt_beta.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, UnknownNameError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.let import bin_LET

Floats = npt.NDArray[np.float64]

SCHEMA = "surrogate3d.mono_table/1"
_COLUMNS = ("energy_mev_u", "alpha", "alpha_se", "beta", "beta_se")
_CHUNK_VOXELS = 16384  # voxels converted to float64 at a time: bounds the memory at a few MB per species


@dataclass(frozen=True, eq=False)
class MonoTable:
    """Direct simulation of mono-energetic ions, as alpha and beta.

    Attributes:
        cell_line: name of the cell line that was simulated.
        species: element symbols.
        energy_mev_u: (species, n) ascending energies, MeV/u.
        alpha: (species, n) 1/Gy.
        alpha_se: (species, n) Monte Carlo standard error of alpha, 1/Gy.
        beta: (species, n) 1/Gy^2, not negative.
        beta_se: (species, n) Monte Carlo standard error of beta, 1/Gy^2.
        source: how and with what the table was made.

    Raises:
        FormatError: shapes do not fit, energies do not ascend from above 0, a value is not finite or negative.
    """

    cell_line: str
    species: tuple[str, ...]
    energy_mev_u: Floats
    alpha: Floats
    alpha_se: Floats
    beta: Floats
    beta_se: Floats
    source: dict[str, Any]

    def __post_init__(self) -> None:
        shape = np.shape(self.energy_mev_u)
        for name in _COLUMNS:
            values = np.asarray(getattr(self, name), dtype=float)
            if values.ndim != 2 or values.shape != shape or len(values) != len(self.species):
                raise FormatError(f"mono table {self.cell_line}: {name} must be (species, n), found {values.shape}")
            if not (np.isfinite(values) & (values >= 0)).all():
                raise FormatError(f"mono table {self.cell_line}: {name} must be finite and not negative")
            object.__setattr__(self, name, values)
        if not ((np.diff(self.energy_mev_u, axis=1) > 0).all() and (self.energy_mev_u > 0).all()):
            raise FormatError(f"mono table {self.cell_line}: energy_mev_u must ascend from above 0 in every species")

    def at(self, axes: SpectrumAxes) -> tuple[Floats, Floats]:
        """Interpolate linearly in the logarithm of energy.

        Outside the table the nearest energy is used; `coverage` tells how much dose that concerns.

        Args:
            axes: species and bins.

        Returns:
            alpha (1/Gy) and beta (1/Gy^2), each (species, bin).

        Raises:
            UnknownNameError: a species of `axes` is not in the table.
        """
        rows = [self._row(name) for name in axes.species]
        x = np.log(axes.energy_mev_u)
        alpha, beta = (
            np.stack([np.interp(x[s], np.log(self.energy_mev_u[row]), column[row]) for s, row in enumerate(rows)])
            for column in (self.alpha, self.beta)
        )
        return alpha, beta

    def coverage(self, axes: SpectrumAxes, bin_dose: npt.NDArray[np.floating]) -> float:
        """Fraction of all the dose that lies in bins inside the table's energy range.

        Args:
            axes: species and bins.
            bin_dose: (species, bin, ...) dose per bin.

        Returns:
            0 to 1; NaN when there is no dose.

        Raises:
            UnknownNameError: a species of `axes` is not in the table.
            GridMismatchError: the leading axes of `bin_dose` are not those of `axes`.
        """
        _require_bins(bin_dose, axes.energy_mev_u.shape)
        energies = self.energy_mev_u[[self._row(name) for name in axes.species]]
        inside = (axes.energy_mev_u >= energies[:, :1]) & (axes.energy_mev_u <= energies[:, -1:])
        per_bin = bin_dose.sum(axis=tuple(range(2, bin_dose.ndim)), dtype=float)
        total = float(per_bin.sum())
        return float(per_bin[inside].sum()) / total if total > 0 else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Plain data of the schema `surrogate3d.mono_table/1`."""
        columns = {name: getattr(self, name).tolist() for name in _COLUMNS}
        head = {"schema": SCHEMA, "cell_line": self.cell_line, "species": list(self.species)}
        return {**head, **columns, "source": self.source}

    @staticmethod
    def from_json(data: dict[str, Any]) -> MonoTable:
        """The inverse of `to_json`.

        Raises:
            FormatError: another schema, missing or unknown keys, or values that are not a table.
        """
        if data.get("schema") != SCHEMA:
            raise FormatError(f"expected a mono table of schema {SCHEMA!r}, found schema {data.get('schema')!r}")
        expected = {"schema", "cell_line", "species", "source", *_COLUMNS}
        if set(data) != expected:
            raise FormatError(f"mono table: keys differ from the schema: {', '.join(sorted(expected ^ set(data)))}")
        try:
            columns = {name: np.asarray(data[name], dtype=float) for name in _COLUMNS}
        except (TypeError, ValueError) as error:
            raise FormatError(f"mono table {data['cell_line']}: not rows of numbers: {error}") from error
        return MonoTable(cell_line=data["cell_line"], species=tuple(data["species"]), source=data["source"], **columns)

    def _row(self, species: str) -> int:
        if species not in self.species:
            raise UnknownNameError(
                f"species {species!r} is not in the mono table of {self.cell_line}, which has {', '.join(self.species)}"
            )
        return self.species.index(species)


def mono_tables() -> tuple[str, ...]:
    """Names of the cell lines whose mono-energetic table is shipped."""
    folder = files("surrogate3d.physics") / "data" / "mono"
    if not folder.is_dir():
        return ()
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".json")))


def mono_table(cell_line: str) -> MonoTable:
    """Load a shipped table.

    Args:
        cell_line: name of the cell line.

    Raises:
        UnknownNameError: no table is shipped under that name.
    """
    if cell_line not in mono_tables():
        known = ", ".join(mono_tables()) or "none"
        raise UnknownNameError(
            f"no mono-energetic table for cell line {cell_line!r}; shipped: {known}; simulate one and load it with "
            f"MonoTable.from_json"
        )
    resource = files("surrogate3d.physics") / "data" / "mono" / f"{cell_line}.json"
    return MonoTable.from_json(json.loads(resource.read_text(encoding="utf-8")))


def species_accumulators(bin_dose: npt.NDArray[np.floating], alpha: npt.ArrayLike, beta: npt.ArrayLike) -> Floats:
    """Sums over the energy bins of each species, in float64 whatever the type of `bin_dose`.

    Args:
        bin_dose: (species, bin, ...) dose per bin, Gy.
        alpha: (species, bin) 1/Gy.
        beta: (species, bin) 1/Gy^2.

    Returns:
        (species, 3, ...): dose (Gy), dose_alpha (1), dose_sqrt_beta (1).

    Raises:
        GridMismatchError: the leading axes of `bin_dose` are not those of `alpha` and `beta`.
    """
    return _accumulate(bin_dose, _weights(np.asarray(alpha, dtype=float), np.asarray(beta, dtype=float)))


def mix_accumulators(
    bin_dose: npt.NDArray[np.floating], alpha: npt.ArrayLike, beta: npt.ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Sums dose, dose_alpha and dose_sqrt_beta over all species, each (...); arguments as in `species_accumulators`."""
    dose, dose_alpha, dose_sqrt_beta = species_accumulators(bin_dose, alpha, beta).sum(axis=0)
    return dose, dose_alpha, dose_sqrt_beta


def mix(bin_dose: npt.NDArray[np.floating], alpha: npt.ArrayLike, beta: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Mix a field: alpha and beta of all its bins together.

    Args:
        bin_dose: (species, bin, ...) dose per bin, in any one unit; the fractions are of its own sum.
        alpha: (species, bin) 1/Gy.
        beta: (species, bin) 1/Gy^2.

    Returns:
        alpha (1/Gy) and beta (1/Gy^2), each (...); NaN where there is no dose.

    Raises:
        GridMismatchError: the leading axes of `bin_dose` are not those of `alpha` and `beta`.
    """
    return _from_accumulators(species_accumulators(bin_dose, alpha, beta).sum(axis=0))


def zr_table(axes: SpectrumAxes, fluence: npt.NDArray[np.floating], table: MonoTable) -> tuple[Floats, Floats]:
    """Map alpha and beta of fluence spectra, the strongest of the cheap predictions.

    Args:
        axes: species and energy bins of the spectra.
        fluence: (species, bin, ...) fluence per bin, 1/mm^2 or any one unit.
        table: mono-energetic table of the cell line.

    Returns:
        alpha (1/Gy) and beta (1/Gy^2), each (...); NaN where there is no fluence.

    Raises:
        UnknownNameError: a species is not in the table.
        GridMismatchError: the leading axes of `fluence` are not those of `axes`.
    """
    return _from_accumulators(fluence_accumulators(axes, fluence, table).sum(axis=0))


def fluence_accumulators(axes: SpectrumAxes, fluence: npt.NDArray[np.floating], table: MonoTable) -> Floats:
    """`species_accumulators` straight from fluence in 1/mm^2, without a dose array of the size of the spectra."""
    dose_per_fluence = K_GY * MM2_PER_UM2 * bin_LET(axes)
    return _accumulate(fluence, _weights(*table.at(axes)) * dose_per_fluence[:, None])


def band_accumulators(
    axes: SpectrumAxes,
    fluence: npt.NDArray[np.floating],
    tables: Sequence[MonoTable],
    edges_mev_u: Sequence[float],
) -> Floats:
    """Sums over bands of energy of each species, of several cell lines at once.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, ...) fluence per bin, 1/mm^2.
        tables: mono-energetic table of each cell line.
        edges_mev_u: ascending energies per nucleon between the bands; a bin belongs where its energy lies.

    Returns:
        (species, band, 2 + 2 * line, ...): dose (Gy), fluence (1/mm^2), dose_alpha of each line, then dose_sqrt_beta of
        each.

    Raises:
        UnknownNameError: a species is not in a table.
        GridMismatchError: the leading axes of `fluence` are not those of `axes`.
    """
    weights = band_weights(axes, tables, edges_mev_u)
    sums = _accumulate(fluence, weights)
    return sums.reshape(len(weights), len(edges_mev_u) + 1, -1, *fluence.shape[2:])


def band_weights(axes: SpectrumAxes, tables: Sequence[MonoTable], edges_mev_u: Sequence[float]) -> Floats:
    """What `band_accumulators` multiplies a fluence of 1/mm^2 in each bin with.

    Args:
        axes: species and energy bins.
        tables: mono-energetic table of each cell line.
        edges_mev_u: ascending energies per nucleon between the bands; a bin belongs where its energy lies.

    Returns:
        (species, row, bin), row being (band, 2 + 2 * line) in one axis: dose (Gy), fluence (1/mm^2), dose_alpha of each
        line, then dose_sqrt_beta of each.

    Raises:
        UnknownNameError: a species is not in a table.
    """
    per_fluence = K_GY * MM2_PER_UM2 * bin_LET(axes)
    of_lines = [table.at(axes) for table in tables]
    rows = [per_fluence, np.ones_like(per_fluence)]
    rows += [per_fluence * alpha for alpha, _ in of_lines] + [per_fluence * np.sqrt(beta) for _, beta in of_lines]
    band = np.searchsorted(np.asarray(edges_mev_u), axes.energy_mev_u, side="right")  # (species, bin)
    within = band[:, None] == np.arange(len(edges_mev_u) + 1)[:, None]  # (species, band, bin)
    weights = within[:, :, None] * np.stack(rows, axis=1)[:, None]  # (species, band, 2 + 2 * line, bin)
    return np.asarray(weights.reshape(len(weights), -1, weights.shape[-1]))


def _weights(alpha: Floats, beta: Floats) -> Floats:
    """(species, 3, bin)."""
    return np.stack([np.ones_like(alpha), alpha, np.sqrt(beta)], axis=1)


def _accumulate(values: npt.NDArray[np.floating], weights: Floats) -> Floats:
    """Contract (species, bin, ...) with (species, row, bin) into (species, row, ...)."""
    _require_bins(values, (weights.shape[0], weights.shape[2]))
    flat = values.reshape(values.shape[0], values.shape[1], -1)
    result = np.empty((*weights.shape[:2], flat.shape[2]))
    for s, weight in enumerate(weights):
        for part in _chunks(flat.shape[2]):
            result[s, :, part] = weight @ flat[s, :, part].astype(float)
    return result.reshape(*weights.shape[:2], *values.shape[2:])


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK_VOXELS) for start in range(0, n, _CHUNK_VOXELS))


def _from_accumulators(total: Floats) -> tuple[Floats, Floats]:
    """Quotients of (3, ...)."""
    dose, dose_alpha, dose_sqrt_beta = total
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.where(dose > 0, dose_alpha / dose, np.nan)
        sqrt_beta = np.where(dose > 0, dose_sqrt_beta / dose, np.nan)
    return alpha, sqrt_beta**2


def _require_bins(values: npt.NDArray[np.floating], expected: tuple[int, ...]) -> None:
    if values.shape[:2] != expected:
        raise GridMismatchError(f"spectra must be {expected} (species, bin) + trailing axes, found {values.shape}")
