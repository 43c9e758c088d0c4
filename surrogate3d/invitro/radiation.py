"""Features of an irradiation: one ion, or any spectrum of ions, averaged by energy deposit.

Every feature is the ratio of two sums over the spectrum that are linear in the fluence, so parts of a spectrum add by
dose, and a field takes one matrix product. Clusters come from `physics.nano_table` (H to O), damage yields from PARTRAC
(H to C), lineal energies from amorphous tracks (any ion whose LET is known).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.grid.spectrum import SPECIES_Z, SpectrumAxes
from surrogate3d.invitro.lineal import HIGHEST_MEV_U, LOWEST_MEV_U, lineal_at, lineal_features
from surrogate3d.invitro.scales import LET_BANDS_KEV_UM, NANO_SITES_NM, RADIATION
from surrogate3d.io.pide_experiment import ELEMENTS
from surrogate3d.physics.gsm2 import LESION_COEFFICIENTS, LesionKind, lesion_yield
from surrogate3d.physics.nano_table import MEASURES, nano_table
from surrogate3d.physics.nanodosimetry import energies_along_steps
from surrogate3d.physics.stopping_power import stopping_power

Floats = npt.NDArray[np.float64]

LEAST_KNOWN = 0.95
"""Least share of a spectrum's dose that a feature must be known for; the mean is then over that share."""

LARGEST_DISAGREEMENT = 1.3
"""Ratio of a stated LET to that of the stated energy, either way, beyond which the two contradict each other."""

CHUNK = 1 << 16
"""Voxels in one matrix product."""

DAMAGE: tuple[LesionKind, ...] = ("DSB", "complex_DSB")
_N_NANO = sum(feature.group == "nano" for feature in RADIATION)
_N_LINEAL = sum(feature.scale == "micrometre" for feature in RADIATION)
_LET_ROWS = [n for n, feature in enumerate(RADIATION) if feature.name in ("LET_d", "LET_t")]
_HARMONIC = np.array([feature.mean == "harmonic" for feature in RADIATION])


def mono_features(species: str, energy_mev_u: float, LET: float | None = None) -> Floats:
    """Features of one ion of one energy.

    From H to Ne the energy decides, and a stated LET is only compared with ours. Without energy it is solved for from
    the LET, on the side of faster ions. Heavier ions have no stopping power here: lineal energies then come from the
    stated LET and energy (the track takes its penumbra from Barkas' effective charge and its core from the LET), and
    nanometre features are NaN.

    Args:
        species: element symbol.
        energy_mev_u: kinetic energy per nucleon, MeV/u; NaN where not known.
        LET: stated, keV/um; None or NaN where not known.

    Returns:
        (n_radiation,) in the order of `RADIATION`; NaN where not known.

    Raises:
        QuantityError: LET and energy contradict each other, or there is not enough of them.
        UnknownNameError: no such element.
        ValueRangeError: energy or LET not positive, or an LET that the ion never has.
    """
    stated = np.nan if LET is None else float(LET)
    if min(energy_mev_u, stated) <= 0:
        raise ValueRangeError(f"energy and LET must be positive, found {energy_mev_u} MeV/u and {stated} keV/um")
    if species not in SPECIES_Z:
        return _heavy(species, energy_mev_u, stated)
    energy = energy_of_LET(species, stated) if np.isnan(energy_mev_u) else float(energy_mev_u)
    own = float(stopping_power(SPECIES_Z[species], energy))
    if not np.isnan(stated) and abs(np.log(stated / own)) > np.log(LARGEST_DISAGREEMENT):
        raise QuantityError(
            f"the stated LET of {stated:g} keV/um contradicts the stated energy: {species} of {energy:g} MeV/u has "
            f"{own:.4g}; correct one of them, or leave the energy out to use the LET"
        )
    return _of_ion(species, np.array([[energy]]), np.array([own]))[:, 0]


def radiation_features(
    axes: SpectrumAxes, fluence: npt.NDArray[np.floating], *, step_mm: npt.ArrayLike | None = None
) -> npt.NDArray[np.floating]:
    """Features of fluence spectra, averaged by energy deposit as `Feature.mean` says.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, ...) fluence per bin, any one unit, none negative.
        step_mm: length of the simulation's steps, mm, such as `explained.geant4_step_mm`, for spectra that book a step
            at the energy of its start; None for the bins' energies.

    Returns:
        (n_radiation, ...) in the order of `RADIATION` and the precision of `fluence`. NaN without fluence, and where
        less than `LEAST_KNOWN` of the dose is of ions and energies that the feature is known for.

    Raises:
        GridMismatchError: the leading axes of `fluence` are not those of `axes`.
        ValueRangeError: a step is not positive.
    """
    if fluence.shape[:2] != (len(axes.species), axes.n_bins):
        expected = (len(axes.species), axes.n_bins)
        raise GridMismatchError(f"fluence must be {expected} + trailing axes, found shape {fluence.shape}")
    rows, index = np.unique(_sums(axes, step_mm), axis=0, return_inverse=True)
    weights = rows.astype(fluence.dtype)
    index = index.reshape(-1)
    spectra = fluence.reshape(weights.shape[1], -1)
    features = np.empty((len(RADIATION), spectra.shape[1]), dtype=fluence.dtype)
    for start in range(0, spectra.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        features[:, part] = _ratios((weights @ spectra[:, part])[index])
    return features.reshape(len(RADIATION), *fluence.shape[2:])


def energy_of_LET(species: str, LET: float) -> float:
    """Energy at which an ion has an LET, MeV/u, on the side where LET falls with energy.

    Raises:
        ValueRangeError: outside the LET that the ion has there.
        QuantityError: the LET is not known, either.
    """
    if np.isnan(LET):
        raise QuantityError(f"{species} has neither energy nor LET; state one of them")
    energy = np.geomspace(LOWEST_MEV_U, HIGHEST_MEV_U, 2001)
    own = stopping_power(SPECIES_Z[species], energy)
    peak = int(own.argmax())
    if not own[-1] <= LET <= own[peak]:
        raise ValueRangeError(f"{species} has an LET from {own[-1]:.3g} to {own[peak]:.4g} keV/um, stated is {LET:g}")
    return float(np.exp(np.interp(-np.log(LET), -np.log(own[peak:]), np.log(energy[peak:]))))


def _heavy(species: str, energy_mev_u: float, LET: float) -> Floats:
    """Features of an ion beyond neon, from its stated LET."""
    if species not in ELEMENTS:
        raise UnknownNameError(f"{species!r} is no element's symbol; expected one such as 'C' or 'Fe'")
    if np.isnan(LET):
        raise QuantityError(f"no stopping power of {species} is known, so its LET must be stated")
    lineal = np.full(_N_LINEAL, np.nan)
    if LOWEST_MEV_U <= energy_mev_u <= HIGHEST_MEV_U:
        lineal = lineal_features(ELEMENTS.index(species) + 1, energy_mev_u, LET).ravel()
    above = [float(band < LET) for band in LET_BANDS_KEV_UM]
    return np.array([*np.full(_N_NANO, np.nan), *lineal, LET, LET, *above])


def _of_ion(species: str, energy_mev_u: Floats, LET: Floats) -> Floats:
    """(n_radiation, bin) of energies (node, bin) that have equal parts of the dose of their bin, with its LET (bin,).

    Where a node lies below the tables, the values at their lowest energy stand for it, if the bin itself is not below.
    """
    Z = SPECIES_Z[species]
    inside = np.maximum(energy_mev_u, LOWEST_MEV_U)
    lineal = lineal_at(Z, inside).reshape(_N_LINEAL, *inside.shape)
    local = stopping_power(Z, inside)
    above = [(local > band).astype(float) for band in LET_BANDS_KEV_UM]
    nodes = np.stack([*_nano(species, inside), *lineal, local, local, *above])
    values = nodes.mean(axis=1)
    values[_HARMONIC] = 1.0 / (1.0 / nodes[_HARMONIC]).mean(axis=1)
    values[_LET_ROWS] = LET
    values[: _N_NANO + _N_LINEAL, energy_mev_u[0] < LOWEST_MEV_U] = np.nan
    return np.asarray(values)


def _nano(species: str, energy_mev_u: Floats) -> list[Floats]:
    """Clusters and damage yields in the order of `RADIATION`."""
    table, unknown = nano_table(), np.full(energy_mev_u.shape, np.nan)
    clusters: list[Floats] = []
    for site in NANO_SITES_NM:
        known = table.at(species, energy_mev_u, site, "crossing") if species in table.species else {}
        clusters += [known.get(measure, unknown) for measure in MEASURES]
    Z = SPECIES_Z[species]
    LET = stopping_power(Z, energy_mev_u)
    yields = [lesion_yield(Z, LET, kind) if max(LESION_COEFFICIENTS[kind]) >= Z else unknown for kind in DAMAGE]
    return [*clusters, *yields]


def _sums(axes: SpectrumAxes, step_mm: npt.ArrayLike | None) -> Floats:
    """(3 n_radiation + 1, species * bin) weights of the fluence: numerators, denominators, known dose; all dose."""
    energies, LET = energies_along_steps(axes, step_mm)
    per_species = [_of_ion(name, energies[:, n], LET[n]) for n, name in enumerate(axes.species)]
    values = np.stack(per_species, axis=1)  # (feature, species, bin)
    known = np.isfinite(values)
    dose = np.where(known, LET, 0.0)
    numerator, denominator = dose * np.where(known, values, 0.0), dose.copy()
    numerator[_HARMONIC] = dose[_HARMONIC]
    denominator[_HARMONIC] /= np.where(known, values, 1.0)[_HARMONIC]
    return np.concatenate([numerator, denominator, dose, LET[None]]).reshape(3 * len(RADIATION) + 1, -1)


def _ratios(sums: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """(n_radiation, voxel) from the sums that `_sums` weighs."""
    numerator, denominator, known = sums[:-1].reshape(3, len(RADIATION), -1)
    enough = (known >= LEAST_KNOWN * sums[-1]) & (sums[-1] > 0)
    return np.asarray(np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=enough))
