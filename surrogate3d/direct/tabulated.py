"""A user's own table of alpha and beta as a back end: `tabulated(path)` makes one, beside those of `BACKENDS`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.closed_form import ClosedForm, protraction
from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.validity import dose_share
from surrogate3d.errors import FormatError, StoreError, UnsupportedError
from surrogate3d.grid import SPECIES_Z, SpectrumAxes
from surrogate3d.io.response_limits import require_units
from surrogate3d.io.response_table import IonResponse, ResponseTable, read_response_csv, read_response_topas
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable, mix
from surrogate3d.physics.protraction import repair_rate_of

Floats = npt.NDArray[np.float64]

LEAST_COVERAGE = 0.95
"""Share of the dose that must lie within the table for a voxel not to be flagged."""

LEAST_ANSWERED = 0.5
"""Share below which there is no answer: the lesser part would speak for the greater."""

SAME_PAIR = 1e-6
"""Relative difference up to which two photon references are the same."""


@dataclass(frozen=True)
class Tabulated(ClosedForm):
    """A table of mono-energetic alpha and beta that a user brings, mixed by Zaider and Rossi.

    Source: the table's own; the rule is that of `physics.mixing` (Zaider and Rossi, Radiat. Res. 1980). A CSV or JSON
    table is interpolated linearly in the logarithm of energy, one of TOPAS linearly in energy, as TOPAS does. Valid for
    the ions and energies of the table: nothing is extrapolated. Dose from others is taken to act like the rest, and
    flagged above 5 %; a voxel with more than half of its dose from others has no answer. A table that states its photon
    reference, or its cell line, serves only cell lines that have it. Cost: about 1 ms.

    In time an approximation, as of `zr_table`: beta becomes G beta, with the repair rate of the cell line.

    Attributes:
        table: alpha and beta over ion and energy.
    """

    table: ResponseTable = field(kw_only=True)

    follows: ClassVar[dict[str, bool]] = {"oxygen": False, "time": True}

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers; the table by its digest, and whatever its file is called."""
        return {"name": "table", "version": self.version, "doses": self.doses, "table": self.table.digest}

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """The table's digest, and the repair rate for delivery in time.

        Raises:
            UnsupportedError: the table is for another photon reference or another cell line.
        """
        for name, stated, own in (
            ("alpha_x", self.table.alpha_x, line.alpha_x),
            ("beta_x", self.table.beta_x, line.beta_x),
        ):
            if stated is not None and not math.isclose(stated, own, rel_tol=SAME_PAIR):
                raise UnsupportedError(
                    f"{self.name} belongs to photons of {name} = {stated:g}, but cell line {line.name} has {own:g}; "
                    f"use a cell line with the table's photon reference, in a file of your own"
                )
        if self.table.cell_line not in ("", line.name):
            raise UnsupportedError(f"{self.name} is for cell line {self.table.cell_line}, not for {line.name}")
        return {"table": self.table.digest, "repair_rate": repair_rate_of(line.gsm2)}

    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """-ln S of the mixed alpha and beta.

        Raises:
            UnsupportedError: less than half of the dose is of ions and energies of the table.
        """
        alpha, beta, covered = on_axes(self.table, task.axes)
        share = dose_share(task) * covered
        within = float(share.sum())
        if within < LEAST_ANSWERED:
            raise UnsupportedError(
                f"{task.where}: only {100 * within:.3g} % of the dose is of ions and energies of the table "
                f"{self.table.name}, which has {self._extent()}; half is needed, so bring a table with more"
            )
        alpha, beta = mix(share, alpha, beta)
        return effect(self.doses, alpha, protraction(task, line) * beta)

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Ions that the table lacks, or energies beyond it."""
        covered = float(dose_share(task)[on_axes(self.table, task.axes)[2]].sum())
        reason = f"more than {100 * (1 - LEAST_COVERAGE):.0f} % of the dose from ions or energies that the table lacks"
        return reason if covered < LEAST_COVERAGE else ""

    def _extent(self) -> str:
        symbols = {Z: symbol for symbol, Z in SPECIES_Z.items()}
        parts = (
            f"{symbols.get(ion.Z, f'Z = {ion.Z}')} {ion.energy_mev_u[0]:g}-{ion.energy_mev_u[-1]:g}"
            for ion in self.table.ions
        )
        return f"{', '.join(parts)} MeV/u"


def on_axes(table: ResponseTable, axes: SpectrumAxes) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """A table at the bins of a spectrum.

    Args:
        table: of a user.
        axes: species and bins.

    Returns:
        (species, bin) alpha in 1/Gy, beta in 1/Gy^2, and whether the bin's energy lies within the table; alpha and beta
        are 0 where it does not.
    """
    energy = axes.energy_mev_u
    alpha, beta, covered = np.zeros(energy.shape), np.zeros(energy.shape), np.zeros(energy.shape, dtype=bool)
    by_Z = {ion.Z: ion for ion in table.ions}
    for s, Z in enumerate(axes.Z):
        ion = by_Z.get(int(Z))
        if ion is None:
            continue
        x, nodes = energy[s], np.array(ion.energy_mev_u)
        covered[s] = (x >= nodes[0]) & (x <= nodes[-1])
        if table.linear_in == "log energy":
            x, nodes = np.log(x), np.log(nodes)
        for values, column in ((alpha, ion.alpha), (beta, ion.beta)):
            values[s] = np.where(covered[s], np.interp(x, nodes, column), 0.0)
    return alpha, beta, covered


def tabulated(path: str | Path) -> Tabulated:
    """The back end of a table.

    Args:
        path: a `.csv` table, a `.json` table of the schema `surrogate3d.mono_table/1`, or a TOPAS parameter file; there
            "FILE#MODEL" names one of several tables.

    Raises:
        StoreError: there is no such file.
        FormatError, QuantityError, ValueRangeError: it is no such table; the message names file and line.
        UnknownNameError: a TOPAS file without that table.
    """
    name, _, model = str(path).partition("#") if not Path(path).exists() else (str(path), "", "")
    file = Path(name)
    if file.suffix.lower() == ".json":
        table = _of_json(file)
    elif file.suffix.lower() == ".csv":
        table = read_response_csv(file)
    else:
        table = read_response_topas(file, model)
    return Tabulated(name=f"table:{table.name}", table=table)


def _of_json(path: Path) -> ResponseTable:
    if not path.is_file():
        raise StoreError(f"no file at {path}; check the path")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path.name}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise FormatError(f"{path.name}: expected a JSON object, a table of direct simulations")
    mono = MonoTable.from_json(data)
    unknown = [symbol for symbol in mono.species if symbol not in SPECIES_Z]
    if unknown:
        raise FormatError(f"{path.name}: species must be among {', '.join(SPECIES_Z)}, found {unknown[0]!r}")
    ions = _rows(mono)
    for symbol, ion in zip(mono.species, ions, strict=True):
        _require_units(ion, f"{path.name}: {symbol}")
    return ResponseTable(path.stem, tuple(ions), "log energy", cell_line=mono.cell_line)


def _require_units(ion: IonResponse, where: str) -> None:
    require_units(ion.energy_mev_u, ion.alpha, ion.beta, lambda n: f"{where}, node {n + 1}")


def _rows(mono: MonoTable) -> Sequence[IonResponse]:
    columns = (mono.energy_mev_u.tolist(), mono.alpha.tolist(), mono.beta.tolist())
    return [
        IonResponse(SPECIES_Z[symbol], tuple(energy), tuple(alpha), tuple(beta))
        for symbol, energy, alpha, beta in zip(mono.species, *columns, strict=True)
    ]
