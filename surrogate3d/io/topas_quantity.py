"""What the numbers of a TOPAS scorer mean, as one of the engine's quantities, from header and unit.

The RBE extension prints the same quantity for several outputs; the unit tells alpha (/Gy), beta (/Gy2) and rbe_x_dose
(Gy), but RBE and surviving fraction are both pure numbers (OpenTOPAS-RBE, OutputQuantity).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from surrogate3d.errors import QuantityError
from surrogate3d.grid import Quantity, quantity
from surrogate3d.io.topas_header import ScorerHeader

Meaning = Literal["rbe", "survivalfraction"]

_DOSES = {"DoseToWater": "dose_to_water", "DoseToMedium": "dose_to_medium"}
_RBE_BY_UNIT = {"/Gy": "alpha", "/Gy2": "beta", "Gy": "D_RBE"}
_MEANINGS = {"rbe": "RBE", "survivalfraction": "survival"}
_LET_UNIT = "MeV/mm/(g/cm3)"
_COUNTS = ("Histories_with_Scorer_Active", "Count_in_Bin")
_SQUARES = ("Variance", "Second_Moment")


def quantity_of(
    header: ScorerHeader,
    statistic: str = "Sum",
    meaning: Meaning | None = None,
    weighting: Literal["dose", "track"] | None = None,
) -> Quantity:
    """What a statistic of a scorer is.

    Args:
        header: of the scorer.
        statistic: column of the file.
        meaning: of an RBE scorer without unit, which the header does not tell.
        weighting: of LET, which the header does not tell; without it the quantity is named "LET".

    Raises:
        QuantityError: an RBE scorer without unit and meaning, a meaning that does not fit, or a wrong unit.
    """
    found = _of_sum(header, meaning, weighting)
    if header.filters:
        only = ", ".join(f"{name} = {value}" for name, value in header.filters)
        found = replace(found, definition=f"{found.definition}; only {only}")
    if statistic == "Sum":
        return found
    unit = found.unit
    if statistic in _COUNTS:
        unit = "1"
    elif statistic in _SQUARES and unit != "1":
        unit = f"({unit})^2"
    definition = f"{statistic} over histories of: {found.definition}"
    return Quantity(f"{found.name}_{statistic}", f"{statistic}({found.symbol})", unit, definition)


def _of_sum(header: ScorerHeader, meaning: Meaning | None, weighting: str | None) -> Quantity:
    name, unit = header.quantity, header.unit
    if name.startswith("RBE_"):
        return _rbe(header, meaning)
    if meaning is not None:
        raise QuantityError(f"{header.scorer}: {name} is no RBE scorer, so it cannot be taken as {meaning}")
    if name in _DOSES:
        _require_unit(header, "Gy")
        return quantity(_DOSES[name])
    if name == "ProtonLET":
        _require_unit(header, _LET_UNIT)
        if weighting is not None:
            return quantity("LET_d" if weighting == "dose" else "LET_t")
        words = "LET of protons in the local medium at unit density; whether dose- or track-averaged is not known"
        return Quantity("LET", "LET", "keV/um", words)
    return Quantity(name, name, unit, f"{name} as scored by TOPAS, sum over histories")


def _rbe(header: ScorerHeader, meaning: Meaning | None) -> Quantity:
    if header.unit == "1":
        if meaning is None:
            raise QuantityError(
                f"{header.scorer}: {header.quantity} without unit is RBE or surviving fraction, which its header does "
                "not tell; say which (rbe or survivalfraction)"
            )
        found = quantity(_MEANINGS[meaning])
    elif header.unit not in _RBE_BY_UNIT:
        known = ", ".join(_RBE_BY_UNIT)
        raise QuantityError(f"{header.scorer}: {header.quantity} in {header.unit!r}; known units are {known} and none")
    elif meaning is not None:
        raise QuantityError(f"{header.scorer}: {header.quantity} in {header.unit} is not {meaning}")
    else:
        found = quantity(_RBE_BY_UNIT[header.unit])
    words = f"{found.definition}; by TOPAS ({header.quantity}), in its own scaling to a prescribed dose"
    return replace(found, definition=words)


def _require_unit(header: ScorerHeader, unit: str) -> None:
    if header.unit != unit:
        raise QuantityError(f"{header.scorer}: {header.quantity} must be in {unit}, found {header.unit}")
