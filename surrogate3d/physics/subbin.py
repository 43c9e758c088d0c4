"""Where inside a coarse energy bin the particles are: from spectra in few bins to spectra in many.

The energy of a bin is taken for its middle, which is wrong by a few per cent of RBE when bins are wide. A particle that
slows down leaves fluence in proportion to dE / S(E), so a spectrum without sources or losses is flat in residual range,
and its cumulative fluence is a straight line there. The cumulative spectrum is known without error at every bin edge;
between them it is interpolated by a monotone cubic (Fritsch and Carlson 1980, SIAM J. Numer. Anal. 17:238, with the
slopes of Fritsch and Butland 1984, SIAM J. Sci. Stat. Comput. 5:300): no fluence becomes negative, that of every bin is
kept exactly, and neighbouring bins tell the trend. Fluence below the first edge is one more bin.

Two things bend the line, and both are put into the coordinate (`booked_range`), not into the interpolation:

* A simulation that bins each step by the energy before it books nothing at energies that it steps over. Near the end of
  the range Geant4's steps are as long as its step function allows (`explained.STEP_FUNCTIONS`, `Steps` of a store), so
  below 3 MeV a proton field has a small part of dE / S(E). The booked length follows from the step function alone.
* In the field of a proton beam all heavier ions are fragments of the target, set free at a few MeV. They are taken to
  be emitted as evaporated particles are, with E exp(-E / T) (Weisskopf 1937, Phys. Rev. 52:295, at constant
  cross-section); `TEMPERATURE_MEV` was chosen on development runs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.grid.spectrum import SPECIES_A, SPECIES_Z, SpectrumAxes
from surrogate3d.physics.explained import STEP_FUNCTIONS, StepFunction
from surrogate3d.physics.stopping_power import csda_range_mm

Floats = npt.NDArray[np.float64]

TEMPERATURE_MEV = 2.8
"""Of helium set free by protons; its spectrum in `proton_slab` (8 M histories of 100-130 MeV) over the booked length is
(1 + E / T) exp(-E / T) with this T within a tenth of its largest value from 1 to 40 MeV."""

_PARTICLES = 20_000  # followed through their steps, evenly spread: the booked length is then known within some 1e-3
_PORTION = 4096  # voxels interpolated at a time: bounds the memory
_LEAST = 1e-6  # of the booked length: the coordinate must ascend where nothing is booked


def refined(
    axes: SpectrumAxes,
    fluence: npt.NDArray[np.floating],
    underflow: npt.NDArray[np.floating],
    wanted: SpectrumAxes,
    primary: str,
    longest_mm: float,
    physics_list: str = "default",
) -> npt.NDArray[np.float32]:
    """Spectra on other energy bins; the fluence of every given bin whose edges are among the wanted is kept.

    Args:
        axes: species and energy bins as scored.
        fluence: (species, bin, ...) fluence per bin, any one unit.
        underflow: (species, ...) fluence below the first edge.
        wanted: the same species, other edges. What lies outside of them is left out.
        primary: species of the beam.
        longest_mm: longest step of the simulation: the way through a voxel, or a shorter limit.
        physics_list: key of `explained.STEP_FUNCTIONS`.

    Returns:
        (species, wanted bin, ...) fluence per bin.

    Raises:
        GridMismatchError: the shapes do not fit, or the species differ.
        UnknownNameError: an unknown physics list.
        ValueRangeError: the longest step is not positive.
    """
    if axes.species != wanted.species:
        raise GridMismatchError(f"wanted are bins of {wanted.species}, the spectra are of {axes.species}")
    lead = (len(axes.species), axes.n_bins)
    if fluence.shape[:2] != lead or underflow.shape != (lead[0], *fluence.shape[2:]):
        raise GridMismatchError(f"spectra must be {lead} + voxels, found {fluence.shape} and below {underflow.shape}")
    made = np.empty((lead[0], wanted.n_bins, *fluence.shape[2:]), dtype=np.float32)
    for s, name in enumerate(axes.species):
        both = (axes.edges_mev_u[s], wanted.edges_mev_u[s])
        own, target = (booked_range(name, E, primary, longest_mm, physics_list) for E in both)
        flat = fluence[s].reshape(axes.n_bins, -1)
        below, out = underflow[s].reshape(1, -1), made[s].reshape(wanted.n_bins, -1)
        for start in range(0, flat.shape[1], _PORTION):
            part = slice(start, start + _PORTION)
            out[:, part] = between(own, flat[:, part], below[:, part], target)
    return made


def between(
    edges: Floats, fluence: npt.NDArray[np.floating], below: npt.NDArray[np.floating], wanted: Floats
) -> Floats:
    """Fluence of wanted bins by a monotone cubic through the cumulative fluence.

    Args:
        edges: (bin + 1,) ascending from 0 or above, in a coordinate that is 0 at zero energy.
        fluence: (bin, voxel) per bin.
        below: (1, voxel) below the first edge.
        wanted: (wanted bin + 1,) ascending edges in the same coordinate.

    Returns:
        (wanted bin, voxel), not negative.
    """
    from scipy.interpolate import PchipInterpolator  # here, as it is slow to load

    if edges[0] > 0:
        edges, fluence = np.concatenate([[0.0], edges]), np.concatenate([below, fluence])
    zero = np.zeros((1, fluence.shape[1]))
    cumulative = np.concatenate([zero, np.cumsum(fluence, axis=0, dtype=float)])
    at = np.clip(wanted, edges[0], edges[-1])
    return np.maximum(np.diff(PchipInterpolator(edges, cumulative, axis=0)(at), axis=0), 0.0)


def booked_range(
    species: str, energy_mev_u: npt.ArrayLike, primary: str, longest_mm: float, physics_list: str = "default"
) -> Floats:
    """Length that a stopping particle books below an energy, mm: the coordinate in which spectra are near to flat.

    With short steps and without sources it is the residual range.

    Args:
        species: of the particle.
        energy_mev_u: energies per nucleon, any shape.
        primary: species of the beam.
        longest_mm: longest step.
        physics_list: key of `explained.STEP_FUNCTIONS`.

    Raises:
        UnknownNameError: an unknown physics list.
        ValueRangeError: the longest step is not positive.
    """
    if not longest_mm > 0:
        raise ValueRangeError(f"the longest step must be positive in mm, found {longest_mm}")
    if physics_list not in STEP_FUNCTIONS:
        raise UnknownNameError(f"unknown step function {physics_list!r}; known: {', '.join(STEP_FUNCTIONS)}")
    Z, A, E = SPECIES_Z[species], SPECIES_A[species], np.asarray(energy_mev_u, dtype=float)
    function = STEP_FUNCTIONS[physics_list][min(Z, 3) - 1]
    length = _booked(csda_range_mm(Z, A, E), function, longest_mm)
    if Z == 1 or primary != "H":
        return length
    nodes = np.concatenate([[0.0], np.geomspace(1e-3, max(1e3, float(E.max())), 6000)])
    middle = 0.5 * A * (nodes[1:] + nodes[:-1]) / TEMPERATURE_MEV
    emitted = (1 + middle) * np.exp(-middle) + _LEAST
    steps = np.diff(_booked(csda_range_mm(Z, A, nodes), function, longest_mm))
    return np.asarray(np.interp(E, nodes, np.concatenate([[0.0], np.cumsum(steps * emitted)])))


def _booked(range_mm: Floats, function: StepFunction, longest_mm: float) -> Floats:
    """(...) length booked at residual ranges below `range_mm`, of a particle that comes from far above."""
    nodes, booked = _booked_table(function, longest_mm)
    inside = np.interp(range_mm, nodes, booked)
    return np.asarray(inside + np.maximum(range_mm - nodes[-1], 0.0) + _LEAST * range_mm)


@lru_cache(maxsize=32)
def _booked_table(function: StepFunction, longest_mm: float) -> tuple[Floats, Floats]:
    """Residual ranges and the mean length booked below them, by following particles that are evenly out of step."""
    f, F = function
    top = 2.0 * longest_mm / f + 2.0 * F  # above it all steps end at faces
    number = np.arange(_PARTICLES)
    R = top + longest_mm * (1.0 + (number + 0.5) / _PARTICLES)
    to_face = longest_mm * ((number * 0.5 * (np.sqrt(5.0) - 1.0)) % 1.0)
    starts, lengths = [], []
    while R.size:
        allowed = np.where(R > F, f * R + F * (1.0 - f) * (2.0 - F / R), R)
        step = np.minimum(np.minimum(allowed, to_face), R)
        starts.append(R)
        lengths.append(step)
        R, to_face = R - step, to_face - step
        to_face = np.where(to_face < 1e-9 * longest_mm, longest_mm, to_face)
        left = R > 1e-9
        R, to_face = R[left], to_face[left]
    where, length = np.concatenate(starts), np.concatenate(lengths)
    order = np.argsort(where, kind="stable")
    nodes = np.concatenate([[0.0], np.geomspace(1e-6, top, 4000)])
    booked = np.interp(nodes, where[order], np.cumsum(length[order]) / _PARTICLES, left=0.0)
    return nodes, booked
