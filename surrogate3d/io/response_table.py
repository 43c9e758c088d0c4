"""Tables of alpha and beta over ion and energy that users bring: CSV, or the form that TOPAS reads.

CSV is long: columns `ion,energy_mev_u,alpha,beta` (element symbol, MeV per nucleon, 1/Gy, 1/Gy^2), and the notes
`# alpha_x = ...`, `# beta_x = ...` (photon reference), `# cell_line = ...` and `# source = ...` where they are known.

TOPAS's form is that of its scorer RBE_TabulatedAlphaBeta, read in OpenTOPAS-RBE TsScoreDoseAlpha_Tabulated.cc and
TsScoreDoseSqrtBeta_Tabulated.cc. Below `Sc/<cell line>/<model>/` stand `KineticEnergyPerNucleon` (a vector of energies,
for all particles), `ParticleName` and `ParticleZ`, and for every name `<name>/Alpha` in /Gy and `<name>/Beta` in /Gy2;
with `UseReferenceBeta` the beta of all of them is `Sc/<cell line>/Betax`. TOPAS looks a particle up by its Z and
interpolates linearly in energy; a CSV is interpolated linearly in the logarithm of energy.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from surrogate3d.errors import FormatError, QuantityError, StoreError, UnknownNameError, ValueRangeError
from surrogate3d.grid import SPECIES_Z
from surrogate3d.io.labelled_csv import LabelledCsv, Row, number, read_labelled_csv
from surrogate3d.io.response_limits import require_near_photons, require_units
from surrogate3d.io.topas_parameters import Parameters, read_parameters

_COLUMNS = ("ion", "energy_mev_u", "alpha", "beta")
_NOTES = ("alpha_x", "beta_x", "cell_line", "source")
_PER_NUCLEON = (
    "energies must be per nucleon, in a column 'energy_mev_u'; divide total kinetic energies by the number of nucleons"
)
_ADVICE = {"energy": _PER_NUCLEON, "e_": _PER_NUCLEON, "ekin": _PER_NUCLEON, "kinetic": _PER_NUCLEON}
_MODEL = re.compile(r"sc/([^/]+)/([^/]+)/kineticenergypernucleon")
_PER_GY, _PER_GY2 = "unit /Gy", "unit /Gy2"  # as `topas_units` calls the kinds of TOPAS's own unit names


@dataclass(frozen=True)
class IonResponse:
    """Alpha and beta of one element.

    Attributes:
        Z: atomic number.
        energy_mev_u: ascending, at least two, MeV/u.
        alpha: at each energy, 1/Gy.
        beta: at each energy, 1/Gy^2.
    """

    Z: int
    energy_mev_u: tuple[float, ...]
    alpha: tuple[float, ...]
    beta: tuple[float, ...]


@dataclass(frozen=True)
class ResponseTable:
    """A table.

    Attributes:
        name: of the file, and of the model in it where a file may hold several.
        ions: by ascending atomic number.
        linear_in: what alpha and beta are interpolated in.
        alpha_x: photon alpha that belongs to the table, 1/Gy; None where it does not say.
        beta_x: photon beta that belongs to the table, 1/Gy^2; None where it does not say.
        cell_line: name of the cell line that the table is for; empty where it does not say.
        source: where the numbers come from; empty where the table does not say.
    """

    name: str
    ions: tuple[IonResponse, ...]
    linear_in: Literal["energy", "log energy"]
    alpha_x: float | None = None
    beta_x: float | None = None
    cell_line: str = ""
    source: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides a number, whatever the file is called."""
        rows = [(ion.Z, ion.energy_mev_u, ion.alpha, ion.beta) for ion in self.ions]
        parts = [self.linear_in, self.alpha_x, self.beta_x, self.cell_line, rows]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_response_csv(path: Path) -> ResponseTable:
    """Read a CSV table; its energies may not be 0, as it is interpolated in their logarithm.

    Raises:
        StoreError: there is no such file.
        FormatError: another header, rows that are no numbers, an ion that is none of H to Ne, energies that do not
            ascend or are there twice, or a single energy for an ion.
        ValueRangeError: a negative value, an energy of 0, or units that cannot be right (`io.response_limits`).
    """
    found = read_labelled_csv(path, _COLUMNS, notes=_NOTES, advice=_ADVICE)
    by_ion: dict[str, list[Row]] = {}
    for row in found.rows:
        by_ion.setdefault(_ion(row), []).append(row)
    ions = sorted((_ion_of_rows(SPECIES_Z[symbol], rows) for symbol, rows in by_ion.items()), key=lambda ion: ion.Z)
    alpha_x = _noted_number(found, "alpha_x")
    _require_photons(ions[0], alpha_x, path.name)
    return ResponseTable(
        path.stem,
        tuple(ions),
        "log energy",
        alpha_x,
        _noted_number(found, "beta_x"),
        found.notes.get("cell_line", ""),
        found.notes.get("source", ""),
    )


def read_response_topas(path: Path, model: str = "") -> ResponseTable:
    """Read a table from a TOPAS parameter file and what it includes.

    Args:
        path: of the file.
        model: name of the model in it, as in the scorer's `ModelName`; may be empty where there is one only.

    Raises:
        StoreError: there is no such file.
        UnknownNameError: no table of that name, or several and none is named.
        FormatError: vectors of different lengths, a particle twice, energies that do not ascend; all that
            `read_parameters` refuses.
        QuantityError: a unit of another kind.
        ValueRangeError: a negative value, or units that cannot be right (`io.response_limits`).
    """
    if not path.is_file():
        raise StoreError(f"no file at {path}; check the path")
    parameters = read_parameters(path)
    line, model = _chosen(parameters, model, path)
    prefix = f"Sc/{line}/{model}"
    names, numbers = parameters.strings(f"{prefix}/ParticleName"), parameters.counts(f"{prefix}/ParticleZ")
    if len(names) != len(numbers) or len(set(numbers)) < len(numbers) or min(numbers) < 1:
        where = parameters.by_name[f"{prefix}/ParticleZ".lower()].where
        raise FormatError(
            f"{where}: {prefix}/ParticleZ must hold one atomic number >= 1 for each of the {len(names)} names of "
            f"ParticleName, none twice; found {numbers}"
        )
    particles = sorted(zip(numbers, names, strict=True))
    ions = tuple(_ion_of_topas(parameters, line, model, Z, name) for Z, name in particles)
    alpha_x = _optional(parameters, f"Sc/{line}/Alphax", _PER_GY)
    beta_x = _optional(parameters, f"Sc/{line}/Betax", _PER_GY2)
    _require_photons(ions[0], alpha_x, f"{path.name}, {model}")
    return ResponseTable(f"{path.stem}#{model}", ions, "energy", alpha_x, beta_x)


def _ion(row: Row) -> str:
    symbol = row.word("ion")
    if symbol not in SPECIES_Z:
        aliases = {"p": "H", "proton": "H", "hydrogen": "H", "alpha": "He", "helium": "He", "carbon": "C"}
        near = aliases.get(symbol.lower())
        raise FormatError(
            f"{row.where}: ion must be an element symbol, one of {', '.join(SPECIES_Z)}; found {symbol!r}"
            + (f", write {near!r}" if near else "")
        )
    return symbol


def _ion_of_rows(Z: int, rows: Sequence[Row]) -> IonResponse:
    energy, alpha, beta = (tuple(row.number(column) for row in rows) for column in _COLUMNS[1:])
    if min(energy) <= 0:
        raise ValueRangeError(f"{rows[energy.index(0.0)].where}: energy_mev_u must be above 0")
    return _checked(IonResponse(Z, energy, alpha, beta), lambda n: rows[n].where)


def _ion_of_topas(parameters: Parameters, line: str, model: str, Z: int, name: str) -> IonResponse:
    prefix = f"Sc/{line}/{model}"
    energies = f"{prefix}/KineticEnergyPerNucleon"
    energy, alpha = parameters.numbers(energies, "energy"), _vector(parameters, f"{prefix}/{name}/Alpha", _PER_GY)
    if parameters.boolean(f"{prefix}/UseReferenceBeta", False):
        beta = (parameters.number(f"Sc/{line}/Betax", _PER_GY2),) * len(energy)
    else:
        beta = _vector(parameters, f"{prefix}/{name}/Beta", _PER_GY2)
    for what, values in (("Alpha", alpha), ("Beta", beta)):
        _require_values(values, len(energy), _where(parameters, f"{prefix}/{name}/{what}"), f"{name}/{what}")
    where = _where(parameters, energies)
    _require_values(energy, len(energy), where, "KineticEnergyPerNucleon")
    return _checked(IonResponse(Z, energy, alpha, beta), lambda n: f"{where}, value {n + 1}")


def _require_values(values: Sequence[float], n: int, where: str, what: str) -> None:
    """One for each energy, none negative."""
    if len(values) != n:
        raise FormatError(f"{where}: {what} has {len(values)} values for {n} energies")
    negative = [index for index, value in enumerate(values) if value < 0]
    if negative:
        raise ValueRangeError(
            f"{where}: value {negative[0] + 1} of {what} must not be negative, found {values[negative[0]]:g}"
        )


def _where(parameters: Parameters, name: str) -> str:
    """File and line; where a table states its beta once, its name."""
    found = parameters.by_name.get(name.lower())
    return found.where if found else name


def _checked(ion: IonResponse, where: Callable[[int], str]) -> IonResponse:
    """At least two energies, ascending, and units that can be right."""
    energy = ion.energy_mev_u
    if len(energy) < 2:
        raise FormatError(f"{where(0)}: Z = {ion.Z} has one energy only; interpolation needs two or more")
    for n in range(1, len(energy)):
        if energy[n] == energy[n - 1]:
            raise FormatError(f"{where(n)}: {energy[n]:g} MeV/u of Z = {ion.Z} is there twice, first at {where(n - 1)}")
        if energy[n] < energy[n - 1]:
            raise FormatError(
                f"{where(n)}: energies of Z = {ion.Z} must ascend, found {energy[n]:g} after {energy[n - 1]:g} MeV/u"
            )
    require_units(energy, ion.alpha, ion.beta, where)
    return ion


def _require_photons(lightest: IonResponse, alpha_x: float | None, where: str) -> None:
    """Its last node, where the table states its photons."""
    if alpha_x is not None:
        require_near_photons(lightest.Z, lightest.energy_mev_u[-1], lightest.alpha[-1], alpha_x, where)


def _chosen(parameters: Parameters, model: str, path: Path) -> tuple[str, str]:
    """Cell line and model, as written."""
    found = [tuple(p.name.split("/")[1:3]) for p in parameters if _MODEL.fullmatch(p.name.lower())]
    tables = [(line, name) for line, name in found if not model or name.lower() == model.lower()]
    if len(tables) == 1:
        return tables[0]
    known = ", ".join(name for _, name in found)
    if not found:
        raise UnknownNameError(
            f"{path.name}: no table of alpha and beta; expected parameters Sc/<cell line>/<model>/"
            "KineticEnergyPerNucleon, or a .csv or .json table"
        )
    what = f"no table {model!r}" if model and not tables else f"{len(tables)} tables"
    raise UnknownNameError(f"{path.name}: {what}; it has {known}; name one, as in {path.name}#{found[0][1]}")


def _vector(parameters: Parameters, name: str, kind: str) -> tuple[float, ...]:
    try:
        return parameters.numbers(name, kind)
    except QuantityError as error:
        raise QuantityError(f"{error}; TOPAS takes {kind.removeprefix('unit ')}") from error


def _optional(parameters: Parameters, name: str, kind: str) -> float | None:
    return parameters.number(name, kind) if name in parameters else None


def _noted_number(found: LabelledCsv, key: str) -> float | None:
    return number(found.notes[key], f"{found.path.name}: note {key}") if key in found.notes else None
