"""Survival data of a cell line: a CSV with one row for each measured point.

`dose_gy` and either `survival` (a fraction, with an optional standard error `survival_se`), or the counted `colonies`
and `cells_seeded`. Optional: `experiment` (any label; the replicates of one day belong to one experiment), `radiation`
("photon", or the symbol of an ion), and for ions `energy_mev_u` (MeV per nucleon) or `LET_kev_um`, or both.

Rows of dose 0 are the controls of their experiment, whatever their radiation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from surrogate3d.errors import FormatError, ValueRangeError
from surrogate3d.grid import SPECIES_Z
from surrogate3d.io.labelled_csv import LabelledCsv, Row, read_labelled_csv

PHOTON = "photon"

_OPTIONAL = (
    "survival", "survival_se", "colonies", "cells_seeded", "experiment", "radiation", "energy_mev_u", "LET_kev_um",
)  # fmt: skip
_ADVICE = {
    "dose": "write the dose in Gy in a column 'dose_gy'",
    "energy": "ion energies must be per nucleon, in a column 'energy_mev_u'",
    "sd": "state the standard error of the survival in that row, as 'survival_se'",
}
_CONTROL = (0.8, 1.2)
_LARGEST_SURVIVAL = 1.2
_LARGEST_DOSE = 100.0
"""Gy. No cell forms colonies after it; doses in cGy go beyond it."""


@dataclass(frozen=True)
class SurvivalPoint:
    """One measured point.

    Attributes:
        where: "file, line N".
        dose_gy: Gy; 0 for a control.
        log_survival: ln S; for counted colonies ln(colonies / cells seeded), which holds the plating efficiency.
        sd: standard error of `log_survival`; None where it is not stated, 0 for a control that is 1 by definition.
        experiment: label; "" where there is only one.
        radiation: "photon" or the symbol of an ion; "" for a control that does not say.
        energy_mev_u: of ions, MeV/u; None where the LET alone is stated.
        LET: of ions, keV/um; None where the energy alone is stated.
    """

    where: str
    dose_gy: float
    log_survival: float
    sd: float | None
    experiment: str
    radiation: str
    energy_mev_u: float | None
    LET: float | None


@dataclass(frozen=True)
class SurvivalData:
    """The content of a file.

    Attributes:
        file: name.
        sha256: of the file.
        points: in order.
        errors: what their standard errors are from.
        raw: whether the points are colonies per seeded cell rather than survival.
    """

    file: str
    sha256: str
    points: tuple[SurvivalPoint, ...]
    errors: Literal["stated", "counted", "unknown"]
    raw: bool


def read_survival(path: Path) -> SurvivalData:
    """Read a file.

    Raises:
        StoreError: there is no such file.
        FormatError: another header, columns that do not go together, values that are none, a radiation that is not
            known or has no energy, standard errors for some points only, or counts of an experiment without control.
        ValueRangeError: a dose that is negative or above 100 Gy, a survival that is not above 0 or is above 1.2, a
            control of another survival than 1, or an error as large as the value.
    """
    found = read_labelled_csv(path, ("dose_gy",), _OPTIONAL, advice=_ADVICE)
    raw = _form(found) == "colonies"
    points = tuple(_point(row, raw, found.columns) for row in found.rows)
    _require_all_or_none(points)
    if raw:
        _require_controls(points)
    errors: Literal["stated", "counted", "unknown"] = "unknown" if points[-1].sd is None else "stated"
    return SurvivalData(path.name, found.sha256, points, "counted" if raw else errors, raw)


def _form(found: LabelledCsv) -> str:
    columns, where = set(found.columns), found.path.name
    survival, counts = columns & {"survival", "survival_se"}, columns & {"colonies", "cells_seeded"}
    if survival and counts:
        raise FormatError(
            f"{where}: give survival with its standard error, or colonies and cells_seeded, not both; found "
            f"{', '.join(sorted(survival | counts))}"
        )
    if not ("survival" in survival or len(counts) == 2):
        raise FormatError(f"{where}: needs a column 'survival', or the columns 'colonies' and 'cells_seeded'")
    return "colonies" if counts else "survival"


def _point(row: Row, raw: bool, columns: Sequence[str]) -> SurvivalPoint:
    dose = row.number("dose_gy")
    if dose > _LARGEST_DOSE:
        raise ValueRangeError(
            f"{row.where}: dose_gy must be at most {_LARGEST_DOSE:g} Gy, found {dose:g}; check that doses are in Gy"
        )
    log_survival, sd = _counted(row) if raw else _stated(row, dose, "survival_se" in columns)
    experiment = row.word("experiment") if "experiment" in columns else ""
    return SurvivalPoint(row.where, dose, log_survival, sd, experiment, *_radiation(row, dose, columns))


def _stated(row: Row, dose: float, with_errors: bool) -> tuple[float, float | None]:
    """Logarithm of the survival, and its standard error."""
    survival = row.number("survival")
    if survival == 0:
        raise ValueRangeError(
            f"{row.where}: survival must be above 0; no colony is a bound and not a value, so leave the row out"
        )
    if survival > _LARGEST_SURVIVAL:
        raise ValueRangeError(
            f"{row.where}: survival must be a fraction, at most {_LARGEST_SURVIVAL:g}, found {survival:g}; divide per "
            "cent by 100, and counts by the plating efficiency"
        )
    if dose == 0 and not _CONTROL[0] <= survival <= _CONTROL[1]:
        raise ValueRangeError(
            f"{row.where}: the control at 0 Gy must have a survival of about 1 ({_CONTROL[0]:g} to {_CONTROL[1]:g}), "
            f"found {survival:g}; divide all by the plating efficiency, or give colonies and cells_seeded"
        )
    if not with_errors or not row.has("survival_se"):
        return math.log(survival), None
    error = row.number("survival_se")
    if error >= survival or (error == 0 and not (dose == 0 and survival == 1)):
        raise ValueRangeError(
            f"{row.where}: survival_se must be above 0 and below the survival of {survival:g}, found {error:g}; only a "
            "control that is 1 by definition has no error"
        )
    return math.log(survival), error / survival


def _counted(row: Row) -> tuple[float, float]:
    """Logarithm of colonies over cells, and its standard error, that of a Poisson count."""
    colonies, cells = row.number("colonies"), row.number("cells_seeded")
    if colonies < 1 or not (colonies.is_integer() and cells.is_integer()) or colonies > cells:
        raise ValueRangeError(
            f"{row.where}: colonies and cells_seeded must be whole numbers with 1 <= colonies <= cells_seeded, found "
            f"{colonies:g} and {cells:g}; add up dishes of one dose, and leave a dose without any colony out"
        )
    return math.log(colonies / cells), 1 / math.sqrt(colonies)


def _radiation(row: Row, dose: float, columns: Sequence[str]) -> tuple[str, float | None, float | None]:
    """Radiation, energy per nucleon and LET."""
    radiation = row.values.get("radiation", PHOTON)
    energy, LET = (
        row.number(column) if column in columns and row.has(column) else None
        for column in ("energy_mev_u", "LET_kev_um")
    )
    if dose == 0 and radiation in ("", PHOTON):
        return radiation, None, None
    if radiation not in (PHOTON, *SPECIES_Z):
        raise FormatError(
            f"{row.where}: radiation must be {PHOTON!r} or an element symbol, one of {', '.join(SPECIES_Z)}; found "
            f"{radiation!r}"
        )
    if radiation == PHOTON and (energy, LET) != (None, None):
        raise FormatError(f"{row.where}: leave energy_mev_u and LET_kev_um of photons empty, found {energy or LET:g}")
    if radiation != PHOTON and dose > 0 and energy is None and LET is None:
        raise FormatError(f"{row.where}: ions of {radiation} need energy_mev_u or LET_kev_um")
    if 0.0 in (energy, LET):
        raise ValueRangeError(f"{row.where}: energy_mev_u and LET_kev_um of ions must be above 0")
    return radiation, energy, LET


def _require_all_or_none(points: Sequence[SurvivalPoint]) -> None:
    without = [point for point in points if point.sd is None]
    if 0 < len(without) < len(points):
        raise FormatError(
            f"{without[0].where}: survival_se is empty, but {len(points) - len(without)} other rows have one; "
            "state all or none"
        )


def _require_controls(points: Sequence[SurvivalPoint]) -> None:
    controlled = {point.experiment for point in points if point.dose_gy == 0}
    for point in points:
        if point.experiment not in controlled:
            name = f"experiment {point.experiment!r}" if point.experiment else "the file"
            raise FormatError(f"{point.where}: {name} has no row of 0 Gy, so its plating efficiency is unknown")
