"""Electrons in liquid water from 10 eV to 2 MeV: ionisation, excitation and elastic scattering.

Ionisation: the relativistic binary-encounter-Bethe form (Kim and Rudd, Phys. Rev. A 1994;50:3954, doi
10.1103/PhysRevA.50.3954; Kim, Santos and Parente, Phys. Rev. A 2000;62:052710) with the binding energies of the liquid
and the orbital kinetic energies of the CPA100 set (Bordage et al., Phys. Med. 2016;32:1833). The energy of the ejected
electron follows the differential form of the first paper, the slower of the two electrons being the ejected one.

Excitation: the cross-sections of protons of equal speed (`ionisation`), with a threshold factor 1 - E_k / T.

Elastic: screened Rutherford with the screening of Grosswendt and Waibel, Nucl. Instrum. Methods 1978;155:145, as in
Geant4-DNA. Vibrations, attachment, Auger electrons and the structure of the liquid are left out.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.physics.ionisation import (
    BINDING_LIQUID_EV,
    BOHR_NM,
    ELECTRON_EV,
    EXCITATION_EV,
    MOLECULES_NM3,
    PROTON_ELECTRON_MASS,
    SHELLS,
    excitation_cross_sections,
)

Floats = npt.NDArray[np.float64]

KINETIC_EV: Floats = np.array([61.91, 59.52, 48.36, 70.71, 796.2])
"""Mean kinetic energy of the electrons of each shell (CPA100 set, Bordage et al. 2016)."""

FINE_STRUCTURE = 1.0 / 137.035999
LOWEST_EV = 10.0
HIGHEST_EV = 2e6
N_ENERGIES = 240
N_QUANTILES = 65
COULOMB_EV_NM = 1.43996455
"""e^2 / (4 pi eps_0)."""
ELECTRONS = 10.0
"""Electrons of a water molecule, taken as one scattering centre."""


class ElectronTables(NamedTuple):
    """Rates of electrons on a logarithmic grid of energy.

    Attributes:
        energy_ev: (n,) grid, `LOWEST_EV` to `HIGHEST_EV`.
        elastic, ionisation, excitation: (n,) interactions per nm.
        screening: (n,) eta of the elastic deflection, cos = 1 - 2 eta u / (1 + eta - u) for u in [0, 1).
        shell: (n, shell) cumulative share of the shells in the ionisations.
        state: (n, state) cumulative share of the excited states.
        ejected: (shell, n, quantile) ln(1 + W/B) over its largest value; quantile s is at probability 1 - (1 - s)^4.
    """

    energy_ev: Floats
    elastic: Floats
    ionisation: Floats
    excitation: Floats
    screening: Floats
    shell: Floats
    state: Floats
    ejected: Floats


def ionisation_cross_section(electron_ev: npt.ArrayLike, shell: int) -> Floats:
    """Relativistic binary-encounter-Bethe cross-section of one shell.

    Args:
        electron_ev: kinetic energy T, any shape, eV.
        shell: index into `SHELLS`.

    Returns:
        nm^2 per molecule, 0 below the binding energy.
    """
    B, U = BINDING_LIQUID_EV[shell], KINETIC_EV[shell]
    T = np.maximum(np.asarray(electron_ev, dtype=float), B)
    t, tm, bm = T / B, T / ELECTRON_EV, B / ELECTRON_EV
    beta_t, beta_b, beta_u = (1.0 - 1.0 / (1.0 + x) ** 2 for x in (tm, bm, U / ELECTRON_EV))
    spin = (1.0 + 0.5 * tm) ** 2
    dipole = 0.5 * (np.log(beta_t / (1.0 - beta_t)) - beta_t - np.log(2.0 * bm)) * (1.0 - 1.0 / t**2)
    exchange = np.log(t) / (t + 1.0) * (1.0 + 2.0 * tm) / spin
    collision = 1.0 - 1.0 / t - exchange + bm**2 / spin * 0.5 * (t - 1.0)
    scale = 8.0 * np.pi * BOHR_NM**2 * FINE_STRUCTURE**4 / ((beta_t + beta_u + beta_b) * 2.0 * bm)
    return np.asarray(np.maximum(scale * (dipole + collision), 0.0), dtype=float)


def ejected_share(electron_ev: float, ejected_ev: npt.ArrayLike, shell: int) -> Floats:
    """Share of the ionisations of a shell that eject less than W, W up to (T - B) / 2.

    The integral of Kim and Rudd's differential form, over its value at the upper end.
    """
    B = BINDING_LIQUID_EV[shell]
    t = electron_ev / B
    w = np.asarray(ejected_ev, dtype=float) / B

    def integral(w: Floats) -> Floats:
        left, right = 1.0 + w, t - w
        mixed = -(np.log(left) + np.log(t / right)) / (t + 1.0)
        mott = 1.0 - 1.0 / left + 1.0 / right - 1.0 / t
        dipole = 0.5 * np.log(t) * (1.0 - 1.0 / left**2 + 1.0 / right**2 - 1.0 / t**2)
        return np.asarray(mixed + mott + dipole)

    return np.asarray(integral(w) / integral(np.asarray(0.5 * (t - 1.0))), dtype=float)


def elastic_rates(electron_ev: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Elastic collisions per nm and the screening eta, for kinetic energies in eV."""
    T = np.asarray(electron_ev, dtype=float)
    tau = T / ELECTRON_EV
    eta = (1.64 - 0.0825 * np.log(T)) * 1.7e-5 * ELECTRONS ** (2.0 / 3.0) / (tau * (2.0 + tau))
    length = COULOMB_EV_NM * (T + ELECTRON_EV) / (T * (T + 2.0 * ELECTRON_EV))
    sigma = np.pi * ELECTRONS * (ELECTRONS + 1.0) * length**2 / (eta * (1.0 + eta))
    return MOLECULES_NM3 * sigma, eta


def electron_excitation(electron_ev: npt.ArrayLike) -> Floats:
    """(..., state) excitation cross-sections of electrons, nm^2 per molecule."""
    T = np.asarray(electron_ev, dtype=float)
    beta2 = 1.0 - 1.0 / (1.0 + T / ELECTRON_EV) ** 2
    threshold = np.maximum(1.0 - EXCITATION_EV / T[..., None], 0.0)
    cross_sections = excitation_cross_sections(0.5 * ELECTRON_EV * PROTON_ELECTRON_MASS * beta2)
    return np.asarray(cross_sections * threshold, dtype=float)


@cache
def electron_tables() -> ElectronTables:
    """The tables that the track simulation uses."""
    T = np.geomspace(LOWEST_EV, HIGHEST_EV, N_ENERGIES)
    by_shell = np.stack([ionisation_cross_section(T, j) for j in range(len(SHELLS))], axis=-1)
    by_state = electron_excitation(T)
    elastic, eta = elastic_rates(T)
    ionised, excited = by_shell.sum(axis=-1), by_state.sum(axis=-1)
    share = np.cumsum(by_shell, axis=-1) / np.maximum(ionised, 1e-300)[:, None]
    state = np.cumsum(by_state, axis=-1) / np.maximum(excited, 1e-300)[:, None]
    ejected = np.stack([np.stack([_quantiles(t, j) for t in T]) for j in range(len(SHELLS))])
    return ElectronTables(
        T, elastic, MOLECULES_NM3 * ionised, MOLECULES_NM3 * excited, eta, share, state, np.ascontiguousarray(ejected)
    )


def quantile_levels() -> Floats:
    """Probabilities of the tabulated quantiles, dense towards 1 where the energies are large."""
    return np.asarray(1.0 - (1.0 - np.linspace(0.0, 1.0, N_QUANTILES)) ** 4)


def _quantiles(electron_ev: float, shell: int) -> Floats:
    B = BINDING_LIQUID_EV[shell]
    top = 0.5 * (electron_ev - B)
    if top <= 0.0:
        return np.linspace(0.0, 1.0, N_QUANTILES)
    x = np.linspace(0.0, 1.0, 1000)
    W = B * np.expm1(x * np.log1p(top / B))
    return np.asarray(np.interp(quantile_levels(), ejected_share(electron_ev, W, shell), x))
