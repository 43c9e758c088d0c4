"""Amorphous ion track of Kiefer and Chatterjee, and the specific energy that it leaves in a disc.

Radial dose: a flat core inside R_c, K_p / r^2 out to the penumbra radius R_p, nothing beyond. The core dose is not a
parameter: it is what is left of the LET (energy conservation). Sources: Kiefer and Straaten, Phys Med Biol
1986;31:1201; Chatterjee and Schaefer, Radiat Environ Biophys 1976;13:215 (doi 10.1007/BF01330766); combined as in
Inaniwa et al., Phys Med Biol 2010;55:6721 (doi 10.1088/0031-9155/55/22/008).

The site is a cylinder parallel to the track, so only its cross-section, a disc, enters. The model has no stochastics of
single ionisations: it is meaningful for sites of about 0.1 um and larger, not for nanometres.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.stopping_power import stopping_power, velocity

FloatArray = npt.NDArray[np.float64]

_ARC_NODES, _ARC_WEIGHTS = np.polynomial.legendre.leggauss(48)
_IMPACT_NODES, _IMPACT_WEIGHTS = np.polynomial.legendre.leggauss(12)


class Track(NamedTuple):
    """Radial dose profile of one ion; every entry of the broadcast shape of Z and energy.

    Attributes:
        core_radius_um: R_c.
        penumbra_radius_um: R_p, never less than R_c.
        penumbra_constant: K_p, Gy um^2; the penumbra dose is K_p / r^2.
        core_dose: Gy, constant inside R_c.
    """

    core_radius_um: FloatArray
    penumbra_radius_um: FloatArray
    penumbra_constant: FloatArray
    core_dose: FloatArray


def core_radius_um(energy_mev_u: npt.ArrayLike) -> FloatArray:
    """R_c = 0.0116 beta, um (Chatterjee and Schaefer 1976)."""
    return 0.0116 * velocity(energy_mev_u)


def penumbra_radius_um(energy_mev_u: npt.ArrayLike) -> FloatArray:
    """R_p = 0.0616 E^1.7, um (Kiefer and Straaten 1986), never less than the core radius."""
    return np.maximum(0.0616 * np.asarray(energy_mev_u, dtype=float) ** 1.7, core_radius_um(energy_mev_u))


def effective_charge(Z: npt.ArrayLike, energy_mev_u: npt.ArrayLike) -> FloatArray:
    """Barkas' effective charge, Z (1 - exp(-125 beta Z^(-2/3)))."""
    number = np.asarray(Z, dtype=float)
    return -number * np.expm1(-125.0 * velocity(energy_mev_u) * number ** (-2.0 / 3.0))


def track(Z: npt.ArrayLike, energy_mev_u: npt.ArrayLike, LET: npt.ArrayLike | None = None) -> Track:
    """The radial dose profile of an ion, normalised to its LET.

    An LET that is smaller than what the penumbra alone would spend (possible when it is not the ion's own LET in water)
    would make the core dose negative; the penumbra is then rescaled to join the core without a step, LET kept.

    Args:
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u, positive.
        LET: keV/um; the stopping power of water where not given (Z from 1 to 10).

    Returns:
        The profile; its entries have the broadcast shape of the arguments.

    Raises:
        ValueRangeError: an energy is not positive, or a Z without stopping power is given without LET.
    """
    if not (np.asarray(energy_mev_u, dtype=float) > 0.0).all():
        raise ValueRangeError(f"a track needs a positive energy in MeV/u, found {np.min(energy_mev_u)}")
    line_dose = K_GY * (stopping_power(Z, energy_mev_u) if LET is None else np.asarray(LET, dtype=float))
    Rc, Rp = core_radius_um(energy_mev_u), penumbra_radius_um(energy_mev_u)
    Kp = 1.25e-4 * (effective_charge(Z, energy_mev_u) / velocity(energy_mev_u)) ** 2
    fall = 2.0 * np.log(Rp / Rc)
    core = (line_dose / np.pi - Kp * fall) / Rc**2
    joined = line_dose / (np.pi * (1.0 + fall))
    Kp, core = np.where(core < 0.0, joined, Kp), np.where(core < 0.0, joined / Rc**2, core)
    return Track(*np.broadcast_arrays(Rc, Rp, Kp, core))


def radial_dose(
    r_um: npt.ArrayLike, Z: npt.ArrayLike, energy_mev_u: npt.ArrayLike, LET: npt.ArrayLike | None = None
) -> FloatArray:
    """Dose at a distance from the track.

    Args:
        r_um: distance, um; broadcasts with the other arguments.
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u.
        LET: keV/um; the stopping power of water where not given.

    Returns:
        Dose, Gy, of the broadcast shape.

    Raises:
        ValueRangeError: as for `track`.
    """
    Rc, Rp, Kp, core = track(Z, energy_mev_u, LET)
    r = np.asarray(r_um, dtype=float)
    penumbra = Kp / np.maximum(r, Rc) ** 2
    return np.where(r <= Rc, core, np.where(r <= Rp, penumbra, 0.0))


def specific_energy(
    b_um: npt.ArrayLike, radius_um: float, Z: int, energy_mev_u: float, LET: float | None = None
) -> FloatArray:
    """Specific energy that one ion leaves in a disc, z(b) = 1/(pi R^2) Int D(r) r theta(r; b, R) dr.

    The core is exact (area of two overlapping discs). The penumbra is exact, too, as long as the disc cuts neither the
    core nor the rim of the penumbra; only there is the arc theta integrated, by Gauss-Legendre in ln r.

    Args:
        b_um: distance of the track from the centre of the disc, um, any shape.
        radius_um: radius R of the disc, um.
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u.
        LET: keV/um; the stopping power of water where not given.

    Returns:
        Specific energy, Gy, of the shape of `b_um`.

    Raises:
        ValueRangeError: as for `track`, or the radius is not positive.
    """
    if not radius_um > 0.0:
        raise ValueRangeError(f"radius of the site must be positive in um, found {radius_um}")
    Rc, Rp, Kp, core = (float(value) for value in track(Z, energy_mev_u, LET))
    b = np.atleast_1d(np.asarray(b_um, dtype=float))
    total = core * _overlap_area(b, radius_um, Rc) + Kp * _inverse_square(b, radius_um, Rc, Rp)
    return (total / (np.pi * radius_um**2)).reshape(np.shape(b_um))


def impact_quadrature(radius_um: float, energy_mev_u: float) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights for Int f(b) db over all tracks that reach a disc, 0 <= b <= R + R_p.

    Composite Gauss-Legendre, refined geometrically towards b = R, where z(b) falls within a core radius.

    Args:
        radius_um: radius R of the disc, um.
        energy_mev_u: kinetic energy per nucleon, MeV/u.

    Returns:
        (node,) impact parameters b, um, ascending, and (node,) weights of db, um.
    """
    Rc, Rp = float(core_radius_um(energy_mev_u)), float(penumbra_radius_um(energy_mev_u))
    steps = Rc * 10.0 ** np.arange(-1.0, 8.25, 0.25)
    rims = [0.0, radius_um, abs(radius_um - Rp), radius_um + Rp]
    breaks = np.unique(np.concatenate([radius_um - steps, radius_um + steps, rims]))
    breaks = breaks[(breaks >= 0.0) & (breaks <= radius_um + Rp)]
    half, middle = 0.5 * np.diff(breaks)[:, None], 0.5 * (breaks[1:] + breaks[:-1])[:, None]
    return (middle + half * _IMPACT_NODES).ravel(), (half * _IMPACT_WEIGHTS).ravel()


def _arc(r: FloatArray, b: FloatArray, R: float) -> FloatArray:
    """Angle of the circle of radius r about the track that lies in the disc; atan2 keeps it exact near 0 and 2 pi."""
    # 16 times the squared area of the triangle (b, r, R), by Heron's formula
    heron = (b + r + R) * (r + R - b) * (b + r - R) * (b - r + R)
    return 2.0 * np.arctan2(np.sqrt(np.maximum(heron, 0.0)), (b - R) * (b + R) + r**2)


def _overlap_area(b: FloatArray, R: float, Rc: float) -> FloatArray:
    """Area that the disc of radius R at distance b has in common with the core, um^2."""
    heron = (b + Rc + R) * (Rc + R - b) * (b + Rc - R) * (b - Rc + R)
    root = np.sqrt(np.maximum(heron, 0.0))
    core_part = Rc**2 * np.arctan2(root, (b - R) * (b + R) + Rc**2)
    disc_part = R**2 * np.arctan2(root, (b - Rc) * (b + Rc) + R**2)
    lens = core_part + disc_part - 0.5 * root
    inside = np.pi * min(R, Rc) ** 2
    return np.where(b >= R + Rc, 0.0, np.where(b <= abs(R - Rc), inside, lens))


def _inverse_square(b: FloatArray, R: float, Rc: float, Rp: float) -> FloatArray:
    """Integral of 1/r^2 over the part of the disc with Rc < r <= Rp."""
    out = np.zeros(b.shape)
    within = b + R <= Rp
    crossed, missed = within & (R - b >= Rc), within & (b - R >= Rc)
    # The two parts of a chord through a point multiply to |R^2 - b^2| in every direction: the integral is closed.
    out[crossed] = np.pi * np.log((R - b[crossed]) * (R + b[crossed]) / Rc**2)
    out[missed] = -np.pi * np.log1p(-((R / b[missed]) ** 2))
    cut = ~crossed & ~missed & (b < R + Rp)
    out[cut] = _inverse_square_cut(b[cut], R, Rc, Rp)
    return out


def _inverse_square_cut(b: FloatArray, R: float, Rc: float, Rp: float) -> FloatArray:
    """The same by quadrature: full rings, then the arcs between |R - b| and R + b."""
    rings = 2.0 * np.pi * np.log(np.clip(R - b, Rc, Rp) / Rc)
    low, high = np.clip(np.abs(R - b), Rc, Rp), np.clip(R + b, Rc, Rp)
    # r = exp(m + h sin u) takes the square roots out of both ends; smooth enough in ln r for one Gauss rule.
    angle = 0.5 * np.pi * _ARC_NODES
    half = 0.5 * np.log(high / low)[:, None]
    r = np.sqrt(low * high)[:, None] * np.exp(half * np.sin(angle))
    integrand = _arc(r, b[:, None], R) * np.cos(angle) * half
    arcs: FloatArray = 0.5 * np.pi * (integrand @ _ARC_WEIGHTS)
    return rings + arcs
