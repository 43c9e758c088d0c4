"""The stochastic microdosimetric kinetic model (SMK) in closed form.

Inaniwa and Kanematsu, Phys. Med. Biol. 2018;63:095011, doi 10.1088/1361-6560/aabede. It takes three dose-mean specific
energies, which are linear in the dose fractions of a mixed field: `z_star` (saturation-corrected, domain), `z_D`
(domain) and `z_nD` (nucleus), all in Gy. Its parameter sets are its own, z0 included: those of the classic MKM
(`mkm`) do not belong here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.mkm import MkmParameters

Floats = npt.NDArray[np.float64]


class SmkMoments(NamedTuple):
    """Dose-mean specific energies of single events, Gy; arrays of one shape.

    Attributes:
        z_star: saturation-corrected, in the domain.
        z_D: in the domain.
        z_nD: in the nucleus.
    """

    z_star: Floats
    z_D: Floats
    z_nD: Floats


def moments(
    Z: npt.ArrayLike, energy_mev_u: npt.ArrayLike, parameters: MkmParameters, LET: npt.ArrayLike | None = None
) -> SmkMoments:
    """Moments of single ions from their Kiefer-Chatterjee tracks.

    Args:
        Z: atomic number.
        energy_mev_u: kinetic energy per nucleon, MeV/u; broadcasts with Z and LET.
        parameters: an SMK parameter set; its radii and z0 are used.
        LET: keV/um; the stopping power of water where not given.

    Raises:
        ValueRangeError: as for `site_moments`.
    """
    domain = site_moments(parameters.r_d, Z, energy_mev_u, parameters.z0, LET)
    return SmkMoments(domain.z_star, domain.z_D, site_moments(parameters.R_n, Z, energy_mev_u, None, LET).z_D)


def coefficients(z_star: npt.ArrayLike, z_D: npt.ArrayLike, parameters: MkmParameters) -> tuple[Floats, Floats]:
    """Coefficients of the SMK before the nuclear correction: a = alpha0 + beta0 z*, b = beta0 z* / z_D.

    Args:
        z_star: dose-mean saturation-corrected specific energy of the domain, Gy.
        z_D: dose-mean specific energy of the domain, Gy.
        parameters: an SMK parameter set.

    Returns:
        a (1/Gy) and b (1/Gy^2) in the broadcast shape.
    """
    z = np.asarray(z_star, dtype=float)
    ratio = z / np.asarray(z_D, dtype=float)
    return np.asarray(parameters.alpha0 + parameters.beta0 * z + 0.0 * ratio), np.asarray(parameters.beta0 * ratio)


def nuclear_correction(
    dose: npt.ArrayLike, z_star: npt.ArrayLike, z_D: npt.ArrayLike, z_nD: npt.ArrayLike, parameters: MkmParameters
) -> Floats:
    """Factor of the SMK for the spread of dose over the nuclei, 1 + D z_nD [(a + 2 b D)^2 / 2 - b].

    The first two terms of a series in z_nD. Arguments as in `survival`.
    """
    D = np.asarray(dose, dtype=float)
    a, b = coefficients(z_star, z_D, parameters)
    return np.asarray(1 + D * np.asarray(z_nD, dtype=float) * ((a + 2 * b * D) ** 2 / 2 - b))


def survival(
    dose: npt.ArrayLike, z_star: npt.ArrayLike, z_D: npt.ArrayLike, z_nD: npt.ArrayLike, parameters: MkmParameters
) -> Floats:
    """SMK surviving fraction exp(-a D - b D^2) times `nuclear_correction`.

    A truncated series in z_nD: exact at low LET, too low at high LET together with high dose.

    Args:
        dose: Gy.
        z_star: dose-mean saturation-corrected specific energy of the domain, Gy.
        z_D: dose-mean specific energy of the domain, Gy.
        z_nD: dose-mean specific energy of the nucleus, Gy.
        parameters: an SMK parameter set.
    """
    D = np.asarray(dose, dtype=float)
    a, b = coefficients(z_star, z_D, parameters)
    return np.asarray(np.exp(-a * D - b * D * D) * nuclear_correction(D, z_star, z_D, z_nD, parameters))


def initial_slope(z_star: npt.ArrayLike, z_D: npt.ArrayLike, z_nD: npt.ArrayLike, parameters: MkmParameters) -> Floats:
    """Slope of -ln S of the SMK at zero dose, a - z_nD (a^2 / 2 - b), 1/Gy; arguments as in `survival`."""
    a, b = coefficients(z_star, z_D, parameters)
    return np.asarray(a - np.asarray(z_nD, dtype=float) * (a * a / 2 - b))
