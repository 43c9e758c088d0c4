"""Ionisation cluster sizes of mono-energetic ions: the table by ion, energy and diameter of a sphere.

M1 is the mean number of ionisations nu in a sphere of liquid water, F_k the probability of nu >= k; absolute, so
spheres without any ionisation count. Made by `direct.ionisation_tracks` in two conventions:

* "central": the ion passes through the centre of the sphere, as in the ion counters;
* "crossing": it crosses the sphere at random, uniformly over its cross-section. Maps use this one.

Spheres that the ion passes by, and electrons alone reach, are in neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, UnknownNameError, ValueRangeError

Floats = npt.NDArray[np.float64]

SCHEMA = "surrogate3d.nano_table/1"
MEASURES = ("M1", "F1", "F2", "F3")
CONVENTIONS = ("central", "crossing")


@dataclass(frozen=True, eq=False)
class NanoTable:
    """Cluster sizes of mono-energetic ions.

    Attributes:
        species: element symbols.
        energy_mev_u: (n,) ascending, MeV/u, the same for every species.
        site_nm: diameters of the spheres.
        values: M1, F1, F2, F3, each (convention, site, species, n) in the order of `CONVENTIONS`.
        standard_errors: Monte Carlo standard errors of the same shapes.
        source: how and with what the table was made.

    Raises:
        FormatError: a measure is missing, shapes do not fit, or a value is not positive and finite.
    """

    species: tuple[str, ...]
    energy_mev_u: Floats
    site_nm: tuple[float, ...]
    values: Mapping[str, Floats]
    standard_errors: Mapping[str, Floats]
    source: Mapping[str, Any]

    def __post_init__(self) -> None:
        shape = (len(CONVENTIONS), len(self.site_nm), len(self.species), len(self.energy_mev_u))
        if not (np.diff(self.energy_mev_u) > 0).all() or not (np.asarray(self.energy_mev_u) > 0).all():
            raise FormatError("nanodosimetric table: energy_mev_u must ascend from above 0")
        for part, least in ((self.values, np.finfo(float).tiny), (self.standard_errors, 0.0)):
            for name in MEASURES:
                found = np.asarray(part.get(name, ()), dtype=float)
                if found.shape != shape or not (np.isfinite(found) & (found >= least)).all():
                    raise FormatError(f"nanodosimetric table: {name} must be positive and {shape}, found {found.shape}")

    def at(self, species: str, energy_mev_u: npt.ArrayLike, site_nm: float, convention: str) -> dict[str, Floats]:
        """Values of one ion, interpolated linearly in the logarithms of energy and value.

        Args:
            species: element symbol.
            energy_mev_u: any shape, MeV/u.
            site_nm: diameter, one of `site_nm`.
            convention: one of `CONVENTIONS`.

        Returns:
            By measure, of the shape of `energy_mev_u`; NaN at energies outside the table.

        Raises:
            UnknownNameError: no such convention or ion.
            ValueRangeError: no such site.
        """
        if convention not in CONVENTIONS:
            raise UnknownNameError(f"unknown convention {convention!r}; known: {', '.join(CONVENTIONS)}")
        if species not in self.species:
            raise UnknownNameError(f"no cluster sizes of {species!r}; the table has {', '.join(self.species)}")
        if site_nm not in self.site_nm:
            known = ", ".join(f"{d:g}" for d in self.site_nm)
            raise ValueRangeError(f"no table for sites of {site_nm:g} nm; diameters known: {known} nm")
        place = CONVENTIONS.index(convention), self.site_nm.index(site_nm), self.species.index(species)
        x, nodes = np.log(np.asarray(energy_mev_u, dtype=float)), np.log(self.energy_mev_u)
        rows = {name: np.log(self.values[name][place]) for name in MEASURES}
        return {name: np.exp(np.interp(x, nodes, row, left=np.nan, right=np.nan)) for name, row in rows.items()}


@cache
def nano_table() -> NanoTable:
    """The shipped table, made by scripts/make_nano_tables.py."""
    text = (files("surrogate3d.physics") / "data" / "nano" / "water.json").read_text(encoding="utf-8")
    return table_from_json(json.loads(text))


def table_from_json(data: Mapping[str, Any]) -> NanoTable:
    """A table from its plain form.

    Raises:
        FormatError: another schema, a missing key, or as `NanoTable`.
    """
    if data.get("schema") != SCHEMA:
        raise FormatError(f"expected a table of schema {SCHEMA}, found {data.get('schema')!r}")
    try:
        return NanoTable(
            tuple(data["species"]),
            np.asarray(data["energy_mev_u"], dtype=float),
            tuple(float(d) for d in data["site_nm"]),
            {name: np.asarray(data["values"][name], dtype=float) for name in MEASURES},
            {name: np.asarray(data["standard_errors"][name], dtype=float) for name in MEASURES},
            data["source"],
        )
    except KeyError as missing:
        raise FormatError(f"nanodosimetric table: key {missing} is missing") from missing
