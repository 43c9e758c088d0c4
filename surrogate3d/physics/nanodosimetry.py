"""Nanodosimetry of a spectrum: ionisation cluster sizes in nanometre sites, and yields of DNA damage.

Cluster sizes are those of `nano_table`, damage yields the PARTRAC fits of `gsm2.lesion_yield`. Both are averaged by
energy deposit: the weight of a bin is its dose, so a value is the mean over all the energy that the ions lose.

Spectra of TOPAS book a step at the energy of its start. With `step_mm` the mean runs over the energies that the
particle has along the step; without, it takes the bins at their representative energies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.grid.spectrum import SPECIES_A, SpectrumAxes
from surrogate3d.physics.explained import step_corrected_LET
from surrogate3d.physics.gsm2 import LESION_COEFFICIENTS, LesionKind, lesion_yield
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.nano_table import MEASURES, NanoTable, nano_table
from surrogate3d.physics.stopping_power import csda_range_mm, stopping_power

Floats = npt.NDArray[np.float64]

DAMAGE_KINDS: tuple[LesionKind, ...] = get_args(LesionKind)
N_NODES = 16
"""Energies along a step."""


def nanodosimetry_of(
    axes: SpectrumAxes,
    fluence: npt.NDArray[np.floating],
    site_nm: float,
    *,
    convention: str = "crossing",
    step_mm: npt.ArrayLike | None = None,
    table: NanoTable | None = None,
) -> dict[str, Floats]:
    """Dose-weighted M1, F1, F2 and F3 of a spectrum.

    Along a step that ends below the table's lowest energy, the values at that energy stand for the rest.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, ...) fluence per bin, any one unit.
        site_nm: diameter of the sphere, one of the table's, nm.
        convention: "crossing" or "central", see `nano_table`.
        step_mm: length of the simulation's steps, mm, such as `explained.geant4_step_mm`; None for the bins' energies.
        table: the shipped one where not given.

    Returns:
        By measure (...); NaN where there is no fluence.

    Raises:
        GridMismatchError: the leading axes of `fluence` are not those of `axes`.
        UnknownNameError: no such convention, or an ion that the table does not have.
        ValueRangeError: no such site, fluence at energies that the table does not have, or a step that is not positive.
    """
    table = table or nano_table()
    nodes, LET = energies_along_steps(axes, step_mm)
    low, high = table.energy_mev_u[[0, -1]]
    _require(axes, fluence, (axes.energy_mev_u >= low) & (axes.energy_mev_u <= high), "table of cluster sizes")
    rows = [table.at(s, np.clip(nodes[:, n], low, high), site_nm, convention) for n, s in enumerate(axes.species)]
    values = {name: np.stack([row[name].mean(axis=0) for row in rows]) for name in MEASURES}
    return _dose_averages(LET, values, fluence)


def damage_yields_of(
    axes: SpectrumAxes,
    fluence: npt.NDArray[np.floating],
    kinds: Sequence[LesionKind] = DAMAGE_KINDS,
    *,
    step_mm: npt.ArrayLike | None = None,
) -> dict[str, Floats]:
    """Dose-weighted yields of DNA damage, per Gy and Gbp.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, ...) fluence per bin, any one unit.
        kinds: of "DSB_site", "DSB" and "complex_DSB"; only sites are known for ions heavier than carbon.
        step_mm: as `nanodosimetry_of`.

    Returns:
        By kind (...); NaN where there is no fluence.

    Raises:
        GridMismatchError: the leading axes of `fluence` are not those of `axes`.
        UnknownNameError: no such kind.
        ValueRangeError: fluence of ions that a kind of damage is not known for, or a step that is not positive.
    """
    nodes, LET = energies_along_steps(axes, step_mm)
    yields: dict[str, Floats] = {}
    for kind in kinds:
        known = damage_known(axes, kind)
        _require(axes, fluence, np.broadcast_to(known[:, None], axes.energy_mev_u.shape), f"{kind} yield")
        Z = axes.Z[known, None]
        yields[kind] = np.zeros(LET.shape)
        yields[kind][known] = lesion_yield(Z, stopping_power(Z, nodes[:, known]), kind).mean(axis=0)
    return _dose_averages(LET, yields, fluence)


def damage_known(axes: SpectrumAxes, kind: LesionKind) -> npt.NDArray[np.bool_]:
    """(species,) whether a kind of damage is known for the ion.

    Raises:
        UnknownNameError: no such kind.
    """
    if kind not in LESION_COEFFICIENTS:
        raise UnknownNameError(f"unknown lesion kind {kind!r}; known: {', '.join(LESION_COEFFICIENTS)}")
    fitted, charge = LESION_COEFFICIENTS[kind], axes.Z
    return np.asarray((charge >= min(fitted)) & (charge <= max(fitted)))


def energies_along_steps(axes: SpectrumAxes, step_mm: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    """(node, species, bin) energies with equal parts of the dose of their bin, and (species, bin) LET."""
    E = axes.energy_mev_u
    if step_mm is None:
        return E[None], bin_LET(axes)
    LET = step_corrected_LET(axes, step_mm)
    A = np.array([SPECIES_A[s] for s in axes.species])[:, None]
    way = np.minimum(np.broadcast_to(np.asarray(step_mm, dtype=float), E.shape), csda_range_mm(axes.Z[:, None], A, E))
    lost = np.minimum(LET * way / A, E)  # keV/um times mm is MeV
    part = (np.arange(N_NODES) + 0.5) / N_NODES
    return E - part[:, None, None] * lost, LET


def _require(axes: SpectrumAxes, fluence: npt.NDArray[np.floating], known: npt.NDArray[np.bool_], what: str) -> None:
    """Refuse fluence in a bin that is not known."""
    expected = (len(axes.species), axes.n_bins)
    if fluence.shape[:2] != expected:
        raise GridMismatchError(f"fluence must be {expected} + trailing axes, found shape {fluence.shape}")
    for s, b in np.argwhere(~known):
        hit = np.argwhere(fluence[s, b] > 0)
        if len(hit):
            energy, voxel = axes.energy_mev_u[s, b], tuple(int(n) for n in hit[0])
            raise ValueRangeError(
                f"the {what} has no {axes.species[s]} of {energy:.4g} MeV/u, but the spectrum has fluence there, "
                f"first at voxel {voxel}; leave that bin or species out"
            )


def _dose_averages(LET: Floats, values: Mapping[str, Floats], fluence: npt.NDArray[np.floating]) -> dict[str, Floats]:
    """Sum of fluence LET value over that of fluence LET, by name; one pass over the spectra, species by species."""
    weights = LET * np.stack([*values.values(), np.ones_like(LET)])
    sums = np.zeros((len(weights), int(np.prod(fluence.shape[2:]))))
    for s, spectra in enumerate(fluence):
        sums += weights[:, s] @ spectra.reshape(spectra.shape[0], -1)
    means = np.full((len(values), *fluence.shape[2:]), np.nan)
    dose = sums[-1].reshape(fluence.shape[2:])
    np.divide(sums[:-1].reshape(means.shape), dose, out=means, where=dose > 0)
    return dict(zip(values, means, strict=True))
