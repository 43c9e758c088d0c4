"""The local effect model, version I, in its rapid form: alpha and beta of single ions in closed form.

What a dose does is taken to depend on its local value only. The expected number of lethal events in a nucleus is then
the photon response, integrated over the radial dose of the track; the response is linear-quadratic up to a threshold
dose and goes on straight above it. Krämer and Scholz, Phys. Med. Biol. 2006;51:1959 (the rapid form), with the track of
Scholz and Kraft, Adv. Space Res. 1996;18:5.

Limits. The track passes through the centre of the nucleus, and only dose inside it counts, so that alpha at low LET
comes out some per cent below alpha_x. LEM I was made for carbon ions. Threshold doses of LEM IV, as published for HSG
and V79 cells, do not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.stopping_power import stopping_power

Floats = npt.NDArray[np.float64]

R_MIN_UM = 0.01
"""Radius inside which the dose of the track is constant, um (Scholz and Kraft 1996)."""


@dataclass(frozen=True)
class LemParameters:
    """One parameter set of LEM I.

    Attributes:
        alpha_x: photon alpha, 1/Gy.
        beta_x: photon beta, 1/Gy^2.
        D_t: dose above which the photon response goes on straight, Gy.
        r_n: radius of the nucleus, um.
        source: publication.

    Raises:
        ValueRangeError: threshold or radius is not positive.
    """

    alpha_x: float
    beta_x: float
    D_t: float
    r_n: float
    source: str

    def __post_init__(self) -> None:
        if not (self.D_t > 0 and self.r_n > R_MIN_UM):
            raise ValueRangeError(f"LEM I needs D_t > 0 Gy and r_n > {R_MIN_UM} um, found {self.D_t} and {self.r_n}")

    @property
    def s_max(self) -> float:
        """Slope of the photon response above the threshold, 1/Gy."""
        return self.alpha_x + 2 * self.beta_x * self.D_t


def penumbra_radius_um(energy_mev_u: npt.ArrayLike) -> Floats:
    """R_p = 0.05 E^1.7, um (Scholz and Kraft 1996), never less than the core radius."""
    return np.maximum(0.05 * np.asarray(energy_mev_u, dtype=float) ** 1.7, R_MIN_UM)


def core_dose(LET: npt.ArrayLike, energy_mev_u: npt.ArrayLike) -> Floats:
    """Dose inside `R_MIN_UM`, Gy, from which it falls as 1/r^2 out to R_p; LET (keV/um) fixes it."""
    spread = 1 + 2 * np.log(penumbra_radius_um(energy_mev_u) / R_MIN_UM)
    return np.asarray(K_GY * np.asarray(LET, dtype=float) / (np.pi * R_MIN_UM**2 * spread))


def lethal_events(dose: npt.ArrayLike, parameters: LemParameters) -> Floats:
    """Expected lethal events of photons, nu(D) = alpha_x D + beta_x D^2 up to D_t, then straight with slope s_max."""
    D = np.asarray(dose, dtype=float)
    low = np.minimum(D, parameters.D_t)
    return np.asarray((parameters.alpha_x + parameters.beta_x * low) * low + parameters.s_max * (D - low))


def lethal_events_per_track(LET: npt.ArrayLike, energy_mev_u: npt.ArrayLike, parameters: LemParameters) -> Floats:
    """Lethal events of one track through the centre of a nucleus, N_1 = Int nu(D(r)) dA / A_nucleus.

    D(r) is constant, then falls as 1/r^2: nu is integrated in closed form over the core, over the part of the penumbra
    above the threshold and over the part below it.

    Args:
        LET: keV/um; broadcasts with the energy.
        energy_mev_u: kinetic energy per nucleon, MeV/u.
        parameters: a LEM I set.
    """
    core = core_dose(LET, energy_mev_u)
    end = np.minimum(penumbra_radius_um(energy_mev_u), parameters.r_n)
    turn = np.clip(R_MIN_UM * np.sqrt(core / parameters.D_t), R_MIN_UM, end)  # where D falls below the threshold
    at_threshold = lethal_events(parameters.D_t, parameters) - parameters.s_max * parameters.D_t
    line = np.pi * R_MIN_UM**2 * core  # D(r) = line / (pi r^2) in the penumbra
    total = np.pi * R_MIN_UM**2 * lethal_events(core, parameters)
    total += at_threshold * np.pi * (turn**2 - R_MIN_UM**2) + 2 * parameters.s_max * line * np.log(turn / R_MIN_UM)
    total += 2 * parameters.alpha_x * line * np.log(end / turn)
    total += parameters.beta_x * line**2 / np.pi * (1 / turn**2 - 1 / end**2)
    return np.asarray(total / (np.pi * parameters.r_n**2))


def lem1(
    Z: npt.ArrayLike, energy_mev_u: npt.ArrayLike, parameters: LemParameters, LET: npt.ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Alpha and beta of single ions in the rapid LEM I.

    With d_1 = K LET / A_nucleus, the dose of one track: alpha_z = N_1 / d_1, alpha = (1 - exp(-N_1)) / d_1 and
    beta = (s_max - alpha_z) / (2 D_t) (alpha / alpha_z)^2.

    Args:
        Z: atomic number, 1 to 10; broadcasts with the energy.
        energy_mev_u: kinetic energy per nucleon, MeV/u.
        parameters: a LEM I set.
        LET: keV/um; the stopping power of water where not given.

    Returns:
        alpha (1/Gy) and beta (1/Gy^2), of the broadcast shape.

    Raises:
        ValueRangeError: an atomic number or an energy without stopping power.
    """
    line = stopping_power(Z, energy_mev_u) if LET is None else np.asarray(LET, dtype=float)
    events = lethal_events_per_track(line, energy_mev_u, parameters)
    dose = K_GY * line / (np.pi * parameters.r_n**2)
    alpha_z, alpha = events / dose, -np.expm1(-events) / dose
    beta = (parameters.s_max - alpha_z) / (2 * parameters.D_t) * (alpha / alpha_z) ** 2
    return np.asarray(alpha), np.asarray(beta)
