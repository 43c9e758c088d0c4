"""Cell survival experiments as PIDE lists them: an ion and its photon reference, LQ pairs and survival points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Points = tuple[tuple[float, float], ...]

ELEMENTS = (
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S",
    "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",
)  # fmt: skip
"""Symbols by atomic number, from 1."""

_PHASES = {
    "a": "asynchronous", "as": "asynchronous", "asynchronous": "asynchronous",
    "g0": "G1", "g1": "G1", "g0/g1": "G1", "g1/g0": "G1",
    "g1/s": "G1/S",
    "s": "S", "se": "S", "sm": "S", "sl": "S",
    "g2": "G2/M", "m": "G2/M", "g2/m": "G2/M",
}  # fmt: skip


@dataclass(frozen=True)
class LqPair:
    """ln S = -alpha D - beta D^2; None where it is not known. Negative values do occur.

    Attributes:
        alpha: 1/Gy.
        beta: 1/Gy^2.
    """

    alpha: float | None
    beta: float | None


@dataclass(frozen=True, eq=False)
class Experiment:
    """An ion survival curve with its photon reference. NaN is not known.

    Attributes:
        number: PIDE's running number, ExpID.
        publication: short name, first author and year.
        cells: name of the cell line, verbatim.
        cell_class: normal or tumour.
        cell_origin: human or rodent.
        cell_cycle: verbatim; `phase` is what it means.
        dna_content_gbp: genome of the diploid cell, 10^9 base pairs.
        photon_radiation: verbatim, such as "200kVp" or "60Co"; empty where it is not known.
        ion: with its mass number, such as "12C".
        species: element symbol.
        Z: atomic number, by the symbol.
        A: mass number.
        spread_out: a spread-out Bragg peak; otherwise monoenergetic.
        LET: in water, keV/um; of a spread-out peak a dose or a track mean, as its authors gave.
        energy_mev_u: at the cells, MeV/u; of a spread-out peak that of one energy with the same LET.
        photon_paper: photon pair as published.
        photon_fit: photon pair that PIDE fitted to the points.
        ion_paper: ion pair as published.
        ion_fit: ion pair that PIDE fitted to the points.
        photon_points: (dose in Gy, survival), in the order of the file; empty where there are none.
        ion_points: the same of the ion. Doses may be slightly below 0, as they were read from figures.
    """

    number: int
    publication: str
    cells: str
    cell_class: Literal["normal", "tumour"]
    cell_origin: Literal["human", "rodent"]
    cell_cycle: str
    dna_content_gbp: float
    photon_radiation: str
    ion: str
    species: str
    Z: int
    A: int
    spread_out: bool
    LET: float
    energy_mev_u: float
    photon_paper: LqPair | None
    photon_fit: LqPair | None
    ion_paper: LqPair | None
    ion_fit: LqPair | None
    photon_points: Points
    ion_points: Points

    @property
    def phase(self) -> str:
        """Of the cell cycle: asynchronous, G1 (also G0), G1/S, S (early to late), G2/M, or "" where it is not known."""
        return phase_of(self.cell_cycle)


@dataclass(frozen=True)
class Note:
    """Something odd that was kept.

    Attributes:
        what: it, in words.
        numbers: ExpIDs that it is true of; empty where it is of the files.
    """

    what: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Experiments:
    """What was read from a folder.

    Attributes:
        experiments: by ascending number.
        version: of PIDE, such as "3.4".
        source: SHA-256 by name of each file that was read.
        left_out: (ExpID, reason) of what cannot be.
        notes: what is odd but kept.
    """

    experiments: tuple[Experiment, ...]
    version: str
    source: Mapping[str, str]
    left_out: tuple[tuple[int, str], ...] = ()
    notes: tuple[Note, ...] = field(default=())


def phase_of(cell_cycle: str) -> str:
    """Normalised phase of a cell cycle entry; "" if it is not known."""
    return _PHASES.get(cell_cycle.strip().lower(), "")


def spelling(name: str) -> str:
    """A name without case, marks and leading zeros: equal for variants such as "92-1" and "92.1"."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]", "", name.casefold()))
