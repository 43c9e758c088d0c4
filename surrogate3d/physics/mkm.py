"""The classic microdosimetric kinetic model (MKM) in closed form, and the parameters that it shares with the SMK.

It takes the dose-mean saturation-corrected specific energy of a domain, `z_star` in Gy, which is linear in the dose
fractions of a mixed field. Inaniwa et al., Phys. Med. Biol. 2010;55:6721, doi 10.1088/0031-9155/55/22/008.
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
