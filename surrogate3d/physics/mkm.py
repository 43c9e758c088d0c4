"""Microdosimetric kinetic models in closed form: MKM (2010) and SMK (2018).

Both take dose-weighted means of specific energy, which are linear in the dose fractions of a mixed field:
`z_star` (saturation-corrected, domain), `z_D` (domain) and `z_nD` (nucleus), all in Gy.
Inaniwa et al., Phys. Med. Biol. 2010;55:6721 (MKM); Inaniwa and Kanematsu, Phys. Med. Biol. 2018;63:095011,
doi 10.1088/1361-6560/aabede (SMK).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MkmParameters:
    """One published parameter set; values of different sets are never mixed.

    Attributes:
        alpha0: initial slope in the limit of no LET, 1/Gy.
        beta0: quadratic coefficient, 1/Gy^2.
        r_d: domain radius, um.
        R_n: nucleus radius, um.
        z0: saturation parameter, Gy.
        source: publication.
    """

    alpha0: float
    beta0: float
    r_d: float
    R_n: float
    z0: float
    source: str


def saturation_z0(r_d: float, R_n: float, beta0: float) -> float:
    """Saturation parameter of the classic MKM, (R_n/r_d)^2 / sqrt(beta0 (1 + (R_n/r_d)^2)), Gy.

    SMK parameter sets state their own z0; this formula does not hold for them.
    """
    ratio = (R_n / r_d) ** 2
    return float(ratio / np.sqrt(beta0 * (1 + ratio)))


def mkm(z_star: npt.ArrayLike, parameters: MkmParameters) -> tuple[Floats, Floats]:
    """Classic MKM: alpha = alpha0 + beta0 z*, beta = beta0.

    Args:
        z_star: dose-mean saturation-corrected specific energy of the domain, Gy.
        parameters: an MKM parameter set.

    Returns:
        alpha (1/Gy) and beta (1/Gy^2), each of the shape of `z_star`.
    """
    z = np.asarray(z_star, dtype=float)
    return parameters.alpha0 + parameters.beta0 * z, np.full(z.shape, parameters.beta0)


def smk(z_star: npt.ArrayLike, z_D: npt.ArrayLike, parameters: MkmParameters) -> tuple[Floats, Floats]:
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


def smk_survival(
    dose: npt.ArrayLike, z_star: npt.ArrayLike, z_D: npt.ArrayLike, z_nD: npt.ArrayLike, parameters: MkmParameters
) -> Floats:
    """SMK surviving fraction exp(-a D - b D^2) {1 + D z_nD [(a + 2 b D)^2 / 2 - b]}.

    A truncated series in z_nD: exact at low LET, too low at high LET together with high dose.

    Args:
        dose: Gy.
        z_star: dose-mean saturation-corrected specific energy of the domain, Gy.
        z_D: dose-mean specific energy of the domain, Gy.
        z_nD: dose-mean specific energy of the nucleus, Gy.
        parameters: an SMK parameter set.
    """
    D = np.asarray(dose, dtype=float)
    a, b = smk(z_star, z_D, parameters)
    nucleus = 1 + D * np.asarray(z_nD, dtype=float) * ((a + 2 * b * D) ** 2 / 2 - b)
    return np.asarray(np.exp(-a * D - b * D * D) * nucleus)


def smk_initial_slope(
    z_star: npt.ArrayLike, z_D: npt.ArrayLike, z_nD: npt.ArrayLike, parameters: MkmParameters
) -> Floats:
    """Slope of -ln S of the SMK at zero dose, a - z_nD (a^2 / 2 - b), 1/Gy; arguments as in `smk_survival`."""
    a, b = smk(z_star, z_D, parameters)
    return np.asarray(a - np.asarray(z_nD, dtype=float) * (a * a / 2 - b))
