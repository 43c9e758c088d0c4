"""Features of a position in a spread-out Bragg peak of which only the LET is known.

Databases give one LET for such a position, and the energy of a single ion that would have it, which says nothing about
the spectrum. Assumed is the primary ions' spectrum of a peak of flat dose and a width of 60 mm: with ranges R
proportional to E^p, peaks are superposed with weights (d_b - R)^(-1/p) (Bortfeld and Schlegel, Phys Med Biol
1996;41:1331, doi 10.1088/0031-9155/41/8/006). At a distance t from the distal end the residual ranges r are then
distributed as (t - r)^(-1/p), with r between 0 and t inside the peak, and between t - 60 mm and t before it. The one
parameter, t, is solved for so that the dose-averaged LET is the stated one.

Left out are straggling, fragments, and the tilt of the dose in peaks of carbon that are flat in effect. A track average
of the authors is taken like a dose average, which makes the spectrum too fast: databases do not tell which it was.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid.spectrum import SPECIES_A, SPECIES_Z, SpectrumAxes
from surrogate3d.invitro.lineal import HIGHEST_MEV_U, LOWEST_MEV_U
from surrogate3d.invitro.radiation import radiation_features
from surrogate3d.invitro.scales import RADIATION
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.stopping_power import csda_range_mm, stopping_power

Floats = npt.NDArray[np.float64]

RANGE_EXPONENT = 1.77
"""p of R ~ E^p in water (Bortfeld, Med Phys 1997;24:2024)."""

WIDTH_MM = 60.0
"""Width of a spread-out peak where it is not known, a usual one."""

N_BINS = 256
"""Logarithmic bins of energy."""


def spread_out_features(species: str, energy_mev_u: float, LET: float | None = None) -> Floats:
    """Features inside a spread-out peak.

    Args:
        species: element symbol; heavier than neon only the LET is known.
        energy_mev_u: of the single ion with that LET, MeV/u; used only where no LET is stated.
        LET: dose-averaged, keV/um; None or NaN where not known.

    Returns:
        (n_radiation,) in the order of `RADIATION`; NaN where not known.

    Raises:
        QuantityError: neither LET nor energy is known.
        ValueRangeError: no position in such a peak has that LET.
    """
    stated = np.nan if LET is None else float(LET)
    if species not in SPECIES_Z:
        return np.array([stated if feature.name == "LET_d" else np.nan for feature in RADIATION])
    if np.isnan(stated):
        if np.isnan(energy_mev_u):
            raise QuantityError(f"{species} has neither energy nor LET; state one of them")
        stated = float(stopping_power(SPECIES_Z[species], energy_mev_u))
    axes, fluence = spread_out_spectrum(species, stated)
    return np.asarray(radiation_features(axes, fluence), dtype=float)


def spread_out_spectrum(species: str, LET: float, width_mm: float = WIDTH_MM) -> tuple[SpectrumAxes, Floats]:
    """The spectrum of a spread-out peak where its dose-averaged LET is the one asked for.

    Args:
        species: element symbol, H to Ne.
        LET: dose-averaged, keV/um.
        width_mm: of the peak.

    Returns:
        Energy bins, and (1, bin) fluence of sum 1.

    Raises:
        ValueRangeError: no position in such a peak has that LET.
    """
    axes = SpectrumAxes.logarithmic((species,), N_BINS, LOWEST_MEV_U, HIGHEST_MEV_U)
    ranges = csda_range_mm(SPECIES_Z[species], SPECIES_A[species], axes.edges_mev_u[0])
    line = bin_LET(axes)[0]

    def mean_LET(distal_mm: float) -> float:
        tracks = _fluence(ranges, distal_mm, width_mm)
        return float(tracks @ line**2 / (tracks @ line))

    distances = ranges[1:]
    means = np.array([mean_LET(distance) for distance in distances])
    peak = int(means.argmax())
    if not means[-1] < LET < means[peak]:
        raise ValueRangeError(
            f"a spread-out peak of {species} has a dose-averaged LET from {means[-1]:.3g} to {means[peak]:.4g} keV/um, "
            f"stated is {LET:g}"
        )
    nearest = peak + int(np.flatnonzero(means[peak:] >= LET)[-1])
    distal = brentq(lambda t: mean_LET(t) - LET, distances[nearest], distances[nearest + 1], xtol=1e-9, rtol=1e-12)
    return axes, _fluence(ranges, distal, width_mm)[None]


def _fluence(ranges_mm: Floats, distal_mm: float, width_mm: float) -> Floats:
    """(bin,) share of the ions whose residual range lies between two edges: the integral of (t - r)^(-1/p)."""
    left = np.clip(distal_mm - ranges_mm, 0.0, width_mm) ** (1.0 - 1.0 / RANGE_EXPONENT)
    tracks: Floats = -np.diff(left)
    return np.asarray(tracks / tracks.sum())
