"""Lineal energy of single ions in the sites of `scales`: means, and how the dose is distributed over y.

Two choices keep the numbers smooth in energy. An event is at least as large as the first edge, 0.05 keV/um (33 eV in
a site of 1 um, about one ionisation): distant tracks that leave less on average hit fewer sites with that much, and
their dose counts in full as events of this size. And the bins of d(y) overlap: the dose of an event is divided between
the two nearest bin centres by its distance in ln y, because a track through a disc always leaves much the same, and
hard bins would jump from 0 to 1 as it crosses an edge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError
from surrogate3d.invitro.scales import SITES_UM, Y0_KEV_UM, Y_EDGES_KEV_UM
from surrogate3d.physics.microdosimetry import LinealSpectrum, single_event_spectrum, y_D, y_star

Floats = npt.NDArray[np.float64]

SCHEMA = "surrogate3d.lineal_table/1"

N_MEANS = 3
"""y_F, y_D and y* stand before the shares of the dose."""

N_LINEAL = N_MEANS + len(Y_EDGES_KEV_UM) - 1
"""Numbers of one site."""

LOWEST_MEV_U, HIGHEST_MEV_U = 0.1, 1000.0
"""Energies that the tables span, those of the stopping power."""

_ROUNDING = 1e-9
"""An energy at the end of the table may miss it by this much in its logarithm."""

_FINE_EDGES: Floats = np.geomspace(Y_EDGES_KEV_UM[0], Y_EDGES_KEV_UM[-1], 12 * (len(Y_EDGES_KEV_UM) - 1) + 1)
_LOG_CENTRES: Floats = 0.5 * np.log(Y_EDGES_KEV_UM[:-1] * Y_EDGES_KEV_UM[1:])


def lineal_features(Z: int, energy_mev_u: float, LET: float | None = None) -> Floats:
    """Lineal energy of one ion.

    Args:
        Z: atomic number; above 10 the LET must be given.
        energy_mev_u: kinetic energy per nucleon, MeV/u.
        LET: keV/um; the stopping power of water where not given.

    Returns:
        (site, 3 + bin): y_F, y_D, y* in keV/um, then the shares of the dose in the bins of y.

    Raises:
        ValueRangeError: as `physics.track.track`.
    """
    spectra = (single_event_spectrum(0.5 * site, Z, energy_mev_u, LET, _FINE_EDGES) for site in SITES_UM)
    return np.array([_numbers(spectrum) for spectrum in spectra])


def lineal_at(Z: int, energy_mev_u: npt.ArrayLike) -> Floats:
    """The same at many energies from the shipped table: means log-log, shares linearly in ln E.

    Half way between its energies y_F is off by 1.3 % at most, y_D and y* by 0.2 %, shares of the dose by 0.02.

    Args:
        Z: atomic number, 1 to 10.
        energy_mev_u: (...) MeV/u, positive.

    Returns:
        (site, 3 + bin, ...); NaN outside the table's energies.
    """
    nodes, tables = lineal_table()
    x = np.log(np.asarray(energy_mev_u, dtype=float))
    after = np.clip(np.searchsorted(nodes, x), 1, len(nodes) - 1)
    part = ((x - nodes[after - 1]) / (nodes[after] - nodes[after - 1]))[..., None, None]
    values = (1.0 - part) * tables[Z - 1, after - 1] + part * tables[Z - 1, after]
    values[..., :N_MEANS] = np.exp(values[..., :N_MEANS])
    outside = (x < nodes[0] - _ROUNDING) | (x > nodes[-1] + _ROUNDING)
    values[outside] = np.nan
    return np.moveaxis(values, (-2, -1), (0, 1))


@cache
def lineal_table() -> tuple[Floats, Floats]:
    """The shipped table, made by scripts/make_lineal_table.py: see `table_from_json`."""
    text = (files("surrogate3d.invitro") / "data" / "lineal.json").read_text(encoding="utf-8")
    return table_from_json(json.loads(text))


def table_from_json(data: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """A table from its plain form.

    Returns:
        (node,) ln E, and (Z - 1, node, site, 3 + bin) with the logarithms of the three means.

    Raises:
        FormatError: another schema, or made for other sites, bins or energies than those of today.
    """
    if data.get("schema") != SCHEMA:
        raise FormatError(f"expected a table of schema {SCHEMA}, found {data.get('schema')!r}")
    energies = np.asarray(data.get("energy_mev_u", ()), dtype=float)
    values = np.array(data.get("values", ()), dtype=float)
    made_for = (data.get("site_um"), data.get("y_edges_kev_um"))
    today = (list(SITES_UM), Y_EDGES_KEV_UM.round(6).tolist())
    if made_for != today or values.shape[1:] != (len(energies), len(SITES_UM), N_LINEAL):
        raise FormatError("the table of lineal energy has other sites or bins; run scripts/make_lineal_table.py")
    values[..., :N_MEANS] = np.log(values[..., :N_MEANS])
    values[..., N_MEANS:] /= values[..., N_MEANS:].sum(axis=-1, keepdims=True)  # they were rounded
    return np.log(energies), values


def _numbers(spectrum: LinealSpectrum) -> Floats:
    below = spectrum.below_y
    dose = spectrum.events_y.sum() + below
    frequency_mean = dose / (spectrum.events.sum() + below / spectrum.edges_kev_um[0])
    hats = np.eye(len(_LOG_CENTRES))
    share = np.array([spectrum.events_y @ np.interp(np.log(spectrum.y), _LOG_CENTRES, hat) for hat in hats]) / dose
    share[0] += below / dose
    return np.array([frequency_mean, y_D(spectrum), y_star(spectrum, Y0_KEV_UM), *share])
