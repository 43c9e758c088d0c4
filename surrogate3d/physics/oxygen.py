"""Oxygen: how much more dose hypoxic cells need, and what that does to lesion yields and to alpha and beta.

Two models. `OER` divides the lesions that an ion makes by a function of its LET and of the oxygen pressure; it is for
the direct simulation, ion by ion. `osmk_coefficients` is the SMK with oxygen effect of Inaniwa et al., Phys. Med. Biol.
2021, doi 10.1088/1361-6560/ac29cc, which has parameter sets of its own.

The unit of b. The form of `OER` is that of Scifoni et al. (Phys. Med. Biol. 2013;58:3871); M0 = 3.4, b = 0.41, a =
8.27e5 and gamma = 3 are what the authors of GSM2 code (GSM2_Julia). 0.41 is in per cent of O2, not in mmHg:

* Battestini, Missiaggia, Bolzoni, Cordoni and Scifoni (arXiv:2412.16322v1, eq. 4) write the OER of GSM2 as a function
  of the oxygen concentration: "K_O2 is the flex point for [O2]", with [O2] in per cent throughout (Table 1: 0-21 %).
* The program declares what it adds b to as "Oxygenation [%]" (field O of Cell in src/utilities_structures.jl, read by
  calculate_OER, since the first commit, 6fc8f88), sets it to 21 for normoxic cells, 7 for normal tissue and 1 for
  necrotic cores ("it is defined in percentage", scripts/fit_LQ_data.jl), and converts it nowhere. The "mmHg" of its
  README and of two docstrings came later (commit ee74011), beside an example in which 21 is normoxia.

So they mean 0.41 % or 3.1 mmHg: `GSM2_EFFECT`. The paper of 2013 itself could not be read, and eq. 4 comes without
numbers.

The value of b. In this form the OER is midway at b, and a cell without LET effect is half sensitised at K = b M0. Alper
and Howard-Flanders (Nature 1956;178:978) and, after them, Wenzl and Wilkens (Phys. Med. Biol. 2011;56:3251) and Inaniwa
et al. (2021) have K = 3 mmHg. `GSM2_EFFECT` has K = 10.6 mmHg, and b about where K should be. Of the 13 points between
0.15 and 2 % O2 of Tinganelli et al. (Sci. Rep. 2015;5:17016; CHO cells, photons, C and Si ions) chi squared is 109 with
it, 27 with b = 0.41 mmHg, and 5 with b = K / M0 = 3 / 3.4 = 0.88 mmHg; a fit of b gives 0.93 (0.68 to 1.21) mmHg. Those
points tell b only together with M0: 0.41 % meets them, too, with M0 = 2.2 (chi squared 3), and with M0 and a fitted all
23 points of those cells (M0 2.35, chi squared 22). As the other constants are kept, b is 3 / 3.4 mmHg here. It matters:
at low LET and 2.5 mmHg the dose for equal effect is 1.6 times that in air, with `GSM2_EFFECT` 2.2 times; at 10 mmHg 1.2
and 1.5 times. The points, and the gamma-ray OER of Wenzl and Wilkens that K = 3 mmHg reproduces, were read in the
public compilation of the VOxA model, not in the papers.

M0 belongs to the cell line: 3.4 is higher than the 2.4 to 2.8 that CHO cells show without oxygen. Pressures are partial
pressures at the cell; consumption, diffusion and depletion by the beam are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.gsm2 import lesion_yield
from surrogate3d.physics.let import bin_LET

Floats = npt.NDArray[np.float64]

MMHG_PER_PERCENT = 7.6
"""mmHg per per cent of O2 in dry gas at 760 mmHg."""

AIR_MMHG = 160.0
"""Oxygen pressure at which cell lines are called oxic, that of air (Inaniwa et al. 2021)."""


@dataclass(frozen=True)
class OxygenEffect:
    """Constants of the OER; see the module for their source.

    Attributes:
        M0: dose ratio between no and full oxygen at low LET.
        b_mmHg: pressure at which the OER is midway between its value without oxygen and 1, mmHg.
        a: LET^gamma at which the dose ratio without oxygen is midway between M0 and 1, (keV/um)^gamma.
        gamma: steepness of the decrease with LET.

    Raises:
        ValueRangeError: M0 below 1, or another constant that is not positive.
    """

    M0: float = 3.4
    b_mmHg: float = 3.0 / 3.4
    a: float = 8.27e5
    gamma: float = 3.0

    def __post_init__(self) -> None:
        if not (self.M0 >= 1 and min(self.b_mmHg, self.a, self.gamma) > 0):
            raise ValueRangeError(f"an oxygen effect needs M0 >= 1 and positive b_mmHg, a and gamma, found {self}")


GSM2_EFFECT = OxygenEffect(b_mmHg=0.41 * MMHG_PER_PERCENT)
"""The constants that the authors of GSM2 code, with b = 0.41 % of O2 in mmHg. Not the default: see the module."""


def OER(LET: npt.ArrayLike, pO2_mmHg: npt.ArrayLike, effect: OxygenEffect = OxygenEffect()) -> Floats:
    """Dose at this oxygen pressure over the dose at full oxygen with the same effect.

    [b (a M0 + L^g) / (a + L^g) + p] / (b + p), written as 1 + b (M0 - 1) / [(1 + L^g / a) (b + p)].

    Args:
        LET: keV/um, of single ions; a mixed field is divided ion by ion.
        pO2_mmHg: oxygen pressure, mmHg (not per cent: see `MMHG_PER_PERCENT`); infinite is full oxygen.
        effect: the constants.

    Returns:
        OER >= 1 in the broadcast shape.

    Raises:
        ValueRangeError: a LET or pressure is negative or NaN.
    """
    L, p = _not_negative("LET in keV/um", LET), _not_negative("oxygen pressure in mmHg", pO2_mmHg)
    with np.errstate(over="ignore"):
        high_LET = 1 + L**effect.gamma / effect.a
    return np.asarray(1 + effect.b_mmHg * (effect.M0 - 1) / (high_LET * (effect.b_mmHg + p)))


def relative_yield(
    LET: npt.ArrayLike,
    pO2_mmHg: npt.ArrayLike,
    effect: OxygenEffect = OxygenEffect(),
    reference_mmHg: float = AIR_MMHG,
) -> Floats:
    """Factor on the lesion yield kappa of an ion: OER at the reference pressure over OER at this pressure.

    The reference is the pressure at which the cell line was calibrated: there the factor is exactly 1. Sub-lethal and
    directly lethal lesions share it. It modifies the dose of each ion: at low LET alpha is multiplied by it, and beta
    by its square.

    Args:
        LET: keV/um, of single ions.
        pO2_mmHg: oxygen pressure of the cells, mmHg.
        effect: the constants.
        reference_mmHg: oxygen pressure of the calibration, mmHg.

    Returns:
        Factor in the broadcast shape.

    Raises:
        ValueRangeError: a LET or pressure is negative or NaN.
    """
    return np.asarray(OER(LET, reference_mmHg, effect) / OER(LET, pO2_mmHg, effect))


def lesion_yields(axes: SpectrumAxes, pO2_mmHg: float) -> Floats:
    """(species, bin) DSB sites per Gy per Gbp of the ions of a spectrum at an oxygen pressure.

    Those of `gsm2.lesion_yield`, which are taken for full oxygen (`AIR_MMHG`), times `relative_yield`.

    Args:
        axes: species and energy bins; a bin is represented by the ion at its representative energy.
        pO2_mmHg: oxygen pressure of the cells, mmHg.

    Raises:
        ValueRangeError: the pressure is negative or NaN.
    """
    LET = bin_LET(axes)
    return np.asarray(lesion_yield(axes.Z[:, None], LET) * relative_yield(LET, pO2_mmHg))


@dataclass(frozen=True)
class OsmkParameters:
    """One parameter set of the OSMK.

    Attributes:
        alpha_L: part of alpha that oxygen does not touch, 1/Gy.
        alpha_S: part of alpha that falls as 1 / R, 1/Gy.
        beta0: quadratic coefficient, 1/Gy^2.
        r_d: domain radius, um.
        R_n: nucleus radius, um.
        z0: saturation parameter, Gy.
        z_R: specific energy at which the oxygen effect is half gone, Gy.
        gamma: steepness of its decrease.
        R_m: radioresistance without oxygen at low LET.
        K_mmHg: oxygen pressure of half sensitisation, mmHg.
        source: publication.

    Raises:
        ValueRangeError: R_m below 1, a negative coefficient, or another constant that is not positive.
    """

    alpha_L: float
    alpha_S: float
    beta0: float
    r_d: float
    R_n: float
    z0: float
    z_R: float
    gamma: float
    R_m: float
    K_mmHg: float = 3.0
    source: str = "Inaniwa et al., Phys. Med. Biol. 2021, doi 10.1088/1361-6560/ac29cc"

    def __post_init__(self) -> None:
        positive = (self.r_d, self.R_n, self.z0, self.z_R, self.gamma, self.K_mmHg)
        if not (self.R_m >= 1 and min(self.alpha_L, self.alpha_S, self.beta0) >= 0 and min(positive) > 0):
            raise ValueRangeError(
                f"an OSMK set needs R_m >= 1, alpha_L, alpha_S and beta0 >= 0, and the others positive, found {self}"
            )


OSMK_2021: dict[str, OsmkParameters] = {
    "HSG": OsmkParameters(0.0, 0.21, 0.043, 0.23, 8.1, 88.0, 28.0, 1.30, 2.9),
    "V79": OsmkParameters(0.0, 0.10, 0.026, 0.29, 8.1, 98.0, 29.0, 1.60, 2.5),
    "CHO": OsmkParameters(0.01, 0.17, 0.045, 0.35, 8.1, 46.0, 9.7, 1.31, 3.1),
}
"""Parameter sets of Inaniwa et al. 2021, doi 10.1088/1361-6560/ac29cc, by cell line."""


def radioresistance(z_D: npt.ArrayLike, pO2_mmHg: npt.ArrayLike, parameters: OsmkParameters) -> Floats:
    """Relative radioresistance R = (p + K) / (p + K m), m = [(z_D / z_R)^g + 1] / [(z_D / z_R)^g + R_m].

    Args:
        z_D: dose-mean specific energy of the domain, Gy; of a mixed field its dose-weighted mean.
        pO2_mmHg: oxygen pressure, mmHg; infinite is full oxygen.
        parameters: an OSMK parameter set.

    Returns:
        R >= 1 in the broadcast shape.

    Raises:
        ValueRangeError: a specific energy or pressure is negative or NaN.
    """
    z, p = _not_negative("specific energy in Gy", z_D), _not_negative("oxygen pressure in mmHg", pO2_mmHg)
    power = (z / parameters.z_R) ** parameters.gamma
    m = (power + 1) / (power + parameters.R_m)
    return np.asarray(1 + parameters.K_mmHg * (1 - m) / (p + parameters.K_mmHg * m))


def osmk_coefficients(
    z_star: npt.ArrayLike, z_D: npt.ArrayLike, pO2_mmHg: npt.ArrayLike, parameters: OsmkParameters
) -> tuple[Floats, Floats]:
    """Coefficients of the OSMK, which take the place of a and b of the SMK, its nuclear correction included.

    a = alpha_L + alpha_S / R + beta0 z* / R^2 and b = (z* / z_D) beta0 / R^2.

    Args:
        z_star: dose-mean saturation-corrected specific energy of the domain, Gy, with the set's r_d and z0.
        z_D: dose-mean specific energy of the domain, Gy, positive.
        pO2_mmHg: oxygen pressure, mmHg.
        parameters: an OSMK parameter set.

    Returns:
        a (1/Gy) and b (1/Gy^2) in the broadcast shape.

    Raises:
        ValueRangeError: as for `radioresistance`.
    """
    R = radioresistance(z_D, pO2_mmHg, parameters)
    z = np.asarray(z_star, dtype=float)
    a = parameters.alpha_L + parameters.alpha_S / R + parameters.beta0 * z / R**2
    return np.asarray(a), np.asarray(z / np.asarray(z_D, dtype=float) * parameters.beta0 / R**2)


def _not_negative(what: str, values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, dtype=float)
    if not (array >= 0).all():
        raise ValueRangeError(f"{what} must not be negative or NaN, found {float(np.min(array)):g}")
    return array
