"""Units of TOPAS parameters, by the names and symbols of the Geant4 units table.

Values are kept in the units that Geant4 computes in, so that sums and comparisons round as they do in TOPAS.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_DEGREE = 0.017453292519943295

UNITS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "um": ("length", 1e-3),
        "mm": ("length", 1.0),
        "cm": ("length", 10.0),
        "m": ("length", 1000.0),
        "nm": ("length", 1e-6),
        "km": ("length", 1e6),
        "micrometer": ("length", 1e-3),
        "millimeter": ("length", 1.0),
        "centimeter": ("length", 10.0),
        "meter": ("length", 1000.0),
        "deg": ("angle", _DEGREE),
        "mrad": ("angle", 1e-3),
        "rad": ("angle", 1.0),
        "degree": ("angle", _DEGREE),
        "milliradian": ("angle", 1e-3),
        "radian": ("angle", 1.0),
        "eV": ("energy", 1e-6),
        "keV": ("energy", 1e-3),
        "MeV": ("energy", 1.0),
        "GeV": ("energy", 1e3),
        "ns": ("time", 1.0),
        "us": ("time", 1e3),
        "ms": ("time", 1e6),
        "s": ("time", 1e9),
        "MeV/mm/(g/cm3)": ("LET", 1.0),
        "keV/um/(g/cm3)": ("LET", 1.0),
        "MeV/cm/(g/cm3)": ("LET", 0.1),
    }
)
"""Unit to (kind, factor): results are in mm, rad, MeV, ns and MeV/mm/(g/cm3), which is keV/um at unit density."""


def unit_of(word: str) -> tuple[str, float]:
    """(kind, factor) of a unit; one that is not in `UNITS` is a kind of its own, so it agrees only with itself."""
    return UNITS.get(word, (f"unit {word}", 1.0))
