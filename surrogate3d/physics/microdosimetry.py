"""Moments and spectra of the energy that single ions, and many of them, leave in a micrometre site.

Frequencies weight tracks by their area element 2 pi b db, so every spectrum here is "events per unit fluence", an area
in um^2, and spectra of a mixed field add with the fluences as weights. Definitions: ICRU Report 36 (1983).

The amorphous track has no energy-loss straggling and no stochastics of delta rays: y_D of low-LET ions is too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.stopping_power import stopping_power
from surrogate3d.physics.track import impact_quadrature, specific_energy

FloatArray = npt.NDArray[np.float64]

LINEAL_EDGES_KEV_UM: FloatArray = np.geomspace(0.01, 1000.0, 61)
"""Default bins of lineal energy: 12 a decade over five decades."""


class SiteMoments(NamedTuple):
    """Single-event moments of the specific energy in a site; every entry of the broadcast shape of Z and energy.

    Attributes:
        m1: Int z 2 pi b db, Gy um^2; equals K_GY LET (the sum rule).
        z_D: dose-mean specific energy per event, Int z^2 b db / Int z b db, Gy.
        z_star: saturation-corrected z_D, Int z0^2 (1 - exp(-(z/z0)^2)) b db / Int z b db, Gy; z_D if no z0 is given.
    """

    m1: FloatArray
    z_D: FloatArray
    z_star: FloatArray


@dataclass(frozen=True, eq=False)
class LinealSpectrum:
    """Histogram of the lineal energy of single events, per unit fluence. Everything but the edges adds over ions.

    Attributes:
        edges_kev_um: (bin + 1,) bin edges, keV/um.
        events: (bin,) events per unit fluence, um^2; the last bin also takes what lies above the last edge.
        events_y: (bin,) sum of y over those events, um^2 keV/um; it keeps each bin's own mean.
        below_y: sum of y over the events below the first edge, um^2 keV/um: distant tracks that touch the site with the
            last of their penumbra. Their number is beyond measurement and the model, their dose is not negligible.
    """

    edges_kev_um: FloatArray
    events: FloatArray
    events_y: FloatArray
    below_y: float

    @property
    def y(self) -> FloatArray:
        """(bin,) mean lineal energy of the events of each bin, keV/um; geometric centre of an empty bin."""
        centre = np.sqrt(self.edges_kev_um[:-1] * self.edges_kev_um[1:])
        return np.divide(self.events_y, self.events, out=centre, where=self.events > 0.0)

    @property
    def f_y(self) -> FloatArray:
        """(bin,) frequency density, um/keV; Int f_y dy = 1 over the edges."""
        density: FloatArray = self.events / (self.events.sum() * np.diff(self.edges_kev_um))
        return density

    @property
    def d_y(self) -> FloatArray:
        """(bin,) dose density, um/keV; Int d_y dy = 1 over the edges."""
        density: FloatArray = self.events_y / (self.events_y.sum() * np.diff(self.edges_kev_um))
        return density


def site_moments(
    radius_um: float,
    Z: npt.ArrayLike,
    energy_mev_u: npt.ArrayLike,
    z0: float | None = None,
    LET: npt.ArrayLike | None = None,
) -> SiteMoments:
    """Single-event moments of a site for one ion or a whole table of them.

    Source of z_star: Kase et al., Radiat Res 2006;166:629; Inaniwa et al., Phys Med Biol 2010;55:6721
    (doi 10.1088/0031-9155/55/22/008).

    Args:
        radius_um: radius of the site (domain or nucleus), um.
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u; broadcasts with Z and LET.
        z0: saturation parameter, Gy.
        LET: keV/um; the stopping power of water where not given.

    Returns:
        m1, z_D and z_star.

    Raises:
        ValueRangeError: as for `track`; radius or z0 not positive.
    """
    if z0 is not None and not z0 > 0.0:
        raise ValueRangeError(f"saturation parameter z0 must be positive in Gy, found {z0}")
    line = stopping_power(Z, energy_mev_u) if LET is None else LET
    ions = np.broadcast(Z, energy_mev_u, line)
    rows = np.array([_moments(radius_um, z, e, float(s), z0) for z, e, s in ions])
    return SiteMoments(*(rows[:, column].reshape(ions.shape)[()] for column in range(3)))


def single_event_spectrum(
    radius_um: float,
    Z: int,
    energy_mev_u: float,
    LET: float | None = None,
    edges_kev_um: FloatArray = LINEAL_EDGES_KEV_UM,
) -> LinealSpectrum:
    """Lineal energy of single events, y = z pi R^2 / K: the energy over the site's chord along the track.

    Args:
        radius_um: radius of the site, um.
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u.
        LET: keV/um; the stopping power of water where not given.
        edges_kev_um: ascending bin edges, keV/um.

    Returns:
        The histogram.

    Raises:
        ValueRangeError: as for `track`.
    """
    b, db = impact_quadrature(radius_um, energy_mev_u)
    y = specific_energy(b, radius_um, Z, energy_mev_u, LET) * np.pi * radius_um**2 / K_GY
    area = 2.0 * np.pi * b * db
    binned = np.minimum(y, edges_kev_um[-1])
    events = np.histogram(binned, edges_kev_um, weights=area)[0]
    events_y = np.histogram(binned, edges_kev_um, weights=area * y)[0]
    below = y < edges_kev_um[0]
    return LinealSpectrum(edges_kev_um, events, events_y, float(area[below] @ y[below]))


def mixed_spectrum(spectra: list[LinealSpectrum], fluence: npt.ArrayLike) -> LinealSpectrum:
    """Lineal-energy spectrum of a mixed field, per unit total fluence.

    Args:
        spectra: one per kind of ion, all on the same edges.
        fluence: (ion,) fluence of each kind, any one unit.

    Returns:
        The fluence-weighted mean of the spectra.

    Raises:
        ValueRangeError: the edges differ, or the fluences are not one for each spectrum, none negative, some positive.
    """
    weight = np.asarray(fluence, dtype=float)
    edges = spectra[0].edges_kev_um
    if not all(np.array_equal(s.edges_kev_um, edges) for s in spectra):
        raise ValueRangeError("lineal-energy spectra can be mixed only on the same edges; rebin them first")
    if weight.shape != (len(spectra),) or (weight < 0.0).any() or not weight.sum() > 0.0:
        raise ValueRangeError(f"expected {len(spectra)} fluences, none negative, some positive; found {weight}")
    weight = weight / weight.sum()
    return LinealSpectrum(
        edges,
        weight @ [s.events for s in spectra],
        weight @ [s.events_y for s in spectra],
        float(weight @ [s.below_y for s in spectra]),
    )


def y_F(spectrum: LinealSpectrum) -> float:
    """Frequency-mean lineal energy of the events within the edges, keV/um (ICRU 36). It depends on the first edge."""
    return float(spectrum.events_y.sum() / spectrum.events.sum())


def y_D(spectrum: LinealSpectrum) -> float:
    """Dose-mean lineal energy of all events, keV/um (ICRU 36): those below the first edge count with their dose."""
    return float(spectrum.events_y @ spectrum.y / (spectrum.events_y.sum() + spectrum.below_y))


def y_star(spectrum: LinealSpectrum, y0: float = 150.0) -> float:
    """Saturation-corrected lineal energy, y0^2 Int (1 - exp(-(y/y0)^2)) f dy / Int y f dy, keV/um.

    Source: Kase et al., Radiat Res 2006;166:629 (y0 = 150 keV/um for HSG). Events below the first edge as in `y_D`.
    """
    saturated = -np.expm1(-((spectrum.y / y0) ** 2))
    return float(y0**2 * (spectrum.events @ saturated) / (spectrum.events_y.sum() + spectrum.below_y))


def multi_event(
    spectrum: LinealSpectrum, radius_um: float, dose: float, n_bins: int = 8192
) -> tuple[FloatArray, FloatArray]:
    """Distribution of the specific energy in a site at a given dose: compound Poisson of the single events.

    The events are split between the two neighbouring points of a linear grid so that their mean is kept; then
    FFT(f) = exp(n (FFT(f_1) - 1)) (Kellerer, in The Dosimetry of Ionizing Radiation I, 1985). The dose below the first
    edge comes as events of that edge's size.

    Args:
        spectrum: single events of the field.
        radius_um: radius of the site, um.
        dose: Gy, positive.
        n_bins: points of the grid; it ends 8 standard deviations and 8 of the largest events above the dose.

    Returns:
        (n_bins,) specific energy z, Gy, and (n_bins,) probability of each point, of sum 1 and mean `dose`.

    Raises:
        ValueRangeError: the dose is not positive.
    """
    if not dose > 0.0:
        raise ValueRangeError(f"dose must be positive in Gy, found {dose}")
    hit = spectrum.events > 0.0
    first = spectrum.edges_kev_um[0]
    z = np.append(spectrum.y[hit], first) * K_GY / (np.pi * radius_um**2)
    events = np.append(spectrum.events[hit], spectrum.below_y / first)
    mean_events = events * dose / (events @ z)
    spread = np.sqrt(mean_events @ z**2)
    step = (dose + 8.0 * spread + 8.0 * z.max()) / (n_bins - 1)
    lower = np.floor(z / step).astype(int)
    upper_part = mean_events * (z / step - lower)
    rate = np.bincount(lower, mean_events - upper_part, n_bins) + np.bincount(lower + 1, upper_part, n_bins)
    density = np.fft.irfft(np.exp(np.fft.rfft(rate) - mean_events.sum()), n_bins)
    return step * np.arange(n_bins), np.maximum(density, 0.0)


def _moments(radius_um: float, Z: int, energy_mev_u: float, LET: float, z0: float | None) -> tuple[float, float, float]:
    b, db = impact_quadrature(radius_um, energy_mev_u)
    z = specific_energy(b, radius_um, Z, energy_mev_u, LET)
    area = 2.0 * np.pi * b * db
    m1, m2 = area @ z, area @ z**2
    saturated = m2 if z0 is None else area @ (-(z0**2) * np.expm1(-((z / z0) ** 2)))
    return float(m1), float(m2 / m1), float(saturated / m1)
