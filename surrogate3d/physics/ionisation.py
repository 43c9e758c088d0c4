"""Ionisation of liquid water by ions: how often, in which shell, and with what energy of the ejected electron.

The semi-empirical form of Rudd, Kim, Madison and Gay, Rev. Mod. Phys. 1992;64:441 (doi 10.1103/RevModPhys.64.441), for
protons, with the constants for liquid water of Dingfelder, Inokuti and Paretzke, Radiat. Phys. Chem. 2000;59:255 (doi
10.1016/S0969-806X(00)00263-2). Fast ions follow with the relativistic logarithm of Plante and Cucinotta, New J. Phys.
2008;10:125020. The cut-off at the largest energy transfer is here the relativistic one. Constants as printed in two
public programs; they differ in B2 (14.6 and 11.6, see `OUTER`), and 14.6 is used.

An ion of charge Z at the speed of the proton has Zeff(Z)^2 / Zeff(1)^2 times its cross-sections, with the effective
charge of Barkas: the form is fitted to protons as they are, with the electrons that they pick up when slow.

Excitation takes energy but leaves no ion: Miller and Green's form with the constants of Dingfelder et al. (2000).

Energies of electrons are in eV, lengths in nm; water has 1 g/cm^3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.constants import AMU_MEV, ELECTRON_MEV
from surrogate3d.physics.stopping_power import velocity
from surrogate3d.physics.track import effective_charge

Floats = npt.NDArray[np.float64]

ELECTRON_EV = ELECTRON_MEV * 1e6
BOHR_NM = 0.0529177210903
"""Bohr radius (CODATA 2018)."""
RYDBERG_EV = 13.605693
MOLECULES_NM3 = 33.4281
"""Water molecules per nm^3 at 1 g/cm^3: 6.02214076e23 / 18.01528 per cm^3."""
PROTON_ELECTRON_MASS = 1836.15267

SHELLS = ("1b1", "3a1", "1b2", "2a1", "1a1")
"""Molecular orbitals of water, outermost first; each holds two electrons."""
BINDING_LIQUID_EV: Floats = np.array([10.79, 13.39, 16.05, 32.30, 539.0])
"""Energy that an ionisation of liquid water takes beside the electron's, by shell (Dingfelder et al. 2000)."""
BINDING_VAPOUR_EV: Floats = np.array([12.61, 14.73, 18.55, 32.2, 539.7])
"""Binding energies in water vapour, the unit of energy of the fit."""
PARTITION: Floats = np.array([0.99, 1.11, 1.11, 0.52, 1.0])
"""G_j: shares of the shells, by which the fit was matched to the Born approximation for the liquid."""


class Rudd(NamedTuple):
    """Constants of the fit."""

    A1: float
    B1: float
    C1: float
    D1: float
    E1: float
    A2: float
    B2: float
    C2: float
    D2: float
    alpha: float


OUTER = Rudd(1.02, 82.0, 0.45, -0.80, 0.38, 1.07, 14.6, 0.60, 0.04, 0.64)
"""The four outer shells. With the other B2, 11.6, the rate is 4 % lower at 0.1 to 0.3 MeV and 2 % lower at 1 MeV."""
INNER = Rudd(1.25, 0.5, 1.00, 1.00, 3.00, 1.10, 1.30, 1.00, 0.00, 0.66)
"""The K shell of oxygen."""

EXCITATION_EV: Floats = np.array([8.17, 10.13, 11.31, 12.91, 14.50])
"""Excited states of liquid water: A1B1, B1A1, two Rydberg series, diffuse bands (Dingfelder et al. 2000)."""
_MILLER_A = np.array([876.0, 2084.0, 1373.0, 692.0, 900.0])
_MILLER_J = np.array([19820.0, 23490.0, 27770.0, 30830.0, 33080.0])
_MILLER_OMEGA = np.array([0.85, 0.88, 0.88, 0.78, 0.78])
_MILLER_SIGMA0_NM2 = 0.01  # 1e-16 cm^2


def charge_factor(Z: int, energy_mev_u: float) -> float:
    """Cross-sections of an ion over those of a proton of equal speed, Zeff(Z)^2 / Zeff(1)^2.

    Raises:
        ValueRangeError: the energy is not positive.
    """
    energy_mev_u = _checked(energy_mev_u)
    return float((effective_charge(Z, energy_mev_u) / effective_charge(1, energy_mev_u)) ** 2)


def largest_transfer_ev(energy_mev_u: float) -> float:
    """Largest energy that a free electron takes from a much heavier particle, 2 m c^2 beta^2 gamma^2, eV."""
    x = energy_mev_u / AMU_MEV
    return 2.0 * ELECTRON_EV * x * (2.0 + x)


def ejection_cross_section(energy_mev_u: float, electron_ev: npt.ArrayLike, shell: int) -> Floats:
    """Cross-section for a proton to eject an electron of energy W from one shell, per eV.

    Args:
        energy_mev_u: kinetic energy per nucleon, MeV/u.
        electron_ev: W, any shape, eV.
        shell: index into `SHELLS`.

    Returns:
        nm^2/eV per molecule, of the shape of `electron_ev`; times `charge_factor` for another ion.

    Raises:
        ValueRangeError: the energy is not positive.
    """
    x = _checked(energy_mev_u) / AMU_MEV
    p, B = (INNER if shell == len(SHELLS) - 1 else OUTER), BINDING_VAPOUR_EV[shell]
    w = np.asarray(electron_ev, dtype=float) / B
    gamma2 = (1.0 + x) ** 2
    beta2 = 1.0 - 1.0 / gamma2
    v2 = 0.5 * ELECTRON_EV * beta2 / B
    v = np.sqrt(v2)
    soft = p.A1 * (np.log((1.0 + v2) * gamma2) - beta2) / (p.B1 / v2 + v2) + p.C1 * v**p.D1 / (
        1.0 + p.E1 * v ** (p.D1 + 4.0)
    )
    slow, fast = p.C2 * v**p.D2, p.A2 / v2 + p.B2 / v2**2
    hard = slow * fast / (slow + fast)
    cut = largest_transfer_ev(energy_mev_u) / B - 2.0 * v - RYDBERG_EV / (4.0 * B)
    scale = PARTITION[shell] * 8.0 * np.pi * BOHR_NM**2 * (RYDBERG_EV / B) ** 2 / B
    damping = 1.0 / (1.0 + np.exp(np.minimum(p.alpha * (w - cut) / v, 700.0)))
    return np.asarray(scale * (soft + w * hard) / (1.0 + w) ** 3 * damping, dtype=float)


class IonRates(NamedTuple):
    """What an ion does per nm of its track.

    Attributes:
        ionisations: (shell,) ionisations per nm.
        ionisation_loss: energy that ionisations take, eV/nm, which is keV/um.
        excitation_loss: energy that excitations take, eV/nm.
        electron_ev: (node,) grid of the energy of the ejected electron, eV.
        spectrum: (shell, node) ejected electrons per nm and eV.
    """

    ionisations: Floats
    ionisation_loss: float
    excitation_loss: float
    electron_ev: Floats
    spectrum: Floats

    @property
    def mean_free_path_nm(self) -> float:
        """Mean distance between ionisations by the ion itself, nm."""
        return float(1.0 / self.ionisations.sum())


def ion_rates(Z: int, energy_mev_u: float) -> IonRates:
    """Ionisation and excitation of liquid water by one ion.

    Args:
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u.

    Raises:
        ValueRangeError: as `ejection_cross_section`.
    """
    factor = MOLECULES_NM3 * charge_factor(Z, energy_mev_u)
    W = np.concatenate([[0.0], np.geomspace(1e-2, 3.0 * largest_transfer_ev(energy_mev_u) + 100.0, 2000)])
    spectrum = factor * np.stack([ejection_cross_section(energy_mev_u, W, j) for j in range(len(SHELLS))])
    rates = np.trapezoid(spectrum, W, axis=1)
    loss = np.trapezoid(spectrum * (W + BINDING_LIQUID_EV[:, None]), W, axis=1).sum()
    beta2 = float(velocity(energy_mev_u)) ** 2
    excited = factor * excitation_cross_sections(0.5 * ELECTRON_EV * PROTON_ELECTRON_MASS * beta2) @ EXCITATION_EV
    return IonRates(rates, float(loss), float(excited), W, spectrum)


def excitation_cross_sections(proton_ev: npt.ArrayLike) -> Floats:
    """Cross-sections of a proton for the states of `EXCITATION_EV`.

    The form was made for protons up to 0.5 MeV; above, it falls somewhat faster than Bethe's form.

    Args:
        proton_ev: 1/2 M v^2 of a proton of that speed, any shape, eV.

    Returns:
        (..., state) nm^2 per molecule.
    """
    t = np.asarray(proton_ev, dtype=float)[..., None]
    power = _MILLER_OMEGA + 1.0
    rise = (10.0 * _MILLER_A) ** _MILLER_OMEGA * np.maximum(t - EXCITATION_EV, 0.0)
    return np.asarray(_MILLER_SIGMA0_NM2 * rise / (_MILLER_J**power + t**power), dtype=float)


def _checked(energy_mev_u: float) -> float:
    if not (np.isfinite(energy_mev_u) and energy_mev_u > 0.0):
        raise ValueRangeError(f"energy must be positive in MeV/u, found {energy_mev_u}")
    return energy_mev_u
