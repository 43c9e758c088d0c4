"""Published RBE models of LET_d, one function each: cheap predictions from other data, shown beside the engine's own.

All but `constant` and `unkelbach` share the form of the LQ model with ab = alpha_x / beta_x, RBEmax = alpha / alpha_x
and RBEmin = sqrt(beta / beta_x):

    RBE(D) = (sqrt(ab^2 + 4 D ab RBEmax + 4 D^2 RBEmin^2) - ab) / (2 D).

Coefficients: Table 1 of Br. J. Radiol. 2020;93:20190334, doi 10.1259/bjr.20190334, except McNamara's fourth, which the
table rounds, and Mairani's, which is for helium. `dose` is the absorbed dose per fraction in Gy, `LET_d` in keV/um,
`alpha_x` in 1/Gy, `beta_x` in 1/Gy^2 and positive; everything broadcasts. At no dose RBE is RBEmax, and it is NaN where
dose or LET_d is NaN.

Public implementations differ from the papers in places: OpenTOPAS has 0.834 for Carabe's 0.843, matRad 0.999064 for
McNamara's 0.99064.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnsupportedError

Floats = npt.NDArray[np.float64]
RbeModel = Callable[[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike], Floats]


def RBE_from_limits(dose: npt.ArrayLike, RBEmax: npt.ArrayLike, RBEmin: npt.ArrayLike, ab: npt.ArrayLike) -> Floats:
    """RBE of the LQ model from its limits at low and at high dose.

    Written as 2 (ab RBEmax + D RBEmin^2) / (sqrt(...) + ab), which has no cancellation at low dose.

    Args:
        dose: Gy per fraction.
        RBEmax: alpha / alpha_x.
        RBEmin: sqrt(beta / beta_x).
        ab: alpha_x / beta_x, Gy, positive.
    """
    D, high, low, ratio = (np.asarray(value, dtype=float) for value in (dose, RBEmax, RBEmin, ab))
    root = np.sqrt(ratio**2 + 4 * D * ratio * high + 4 * D**2 * low**2)
    return np.asarray(2 * (ratio * high + D * low**2) / (root + ratio))


def constant(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """1.1 for protons everywhere, the clinical convention."""
    return np.asarray(1.1 + 0.0 * (np.asarray(dose, dtype=float) + np.asarray(LET_d, dtype=float)))


def mcnamara(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """McNamara et al., Phys. Med. Biol. 2015;60:8399, doi 10.1088/0031-9155/60/21/8399: protons, many cell lines."""
    L, ab = _let_and_ratio(LET_d, alpha_x, beta_x)
    return RBE_from_limits(dose, 0.99064 + 0.35605 * L / ab, 1.1012 - 0.0038703 * np.sqrt(ab) * L, ab)


def wedenberg(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Wedenberg et al., Acta Oncol. 2013;52:580, doi 10.3109/0284186X.2012.705892: protons."""
    L, ab = _let_and_ratio(LET_d, alpha_x, beta_x)
    return RBE_from_limits(dose, 1 + 0.434 * L / ab, 1.0, ab)


def carabe(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Carabe et al., Phys. Med. Biol. 2012;57:1159, doi 10.1088/0031-9155/57/5/1159: protons."""
    L, ab = _let_and_ratio(LET_d, alpha_x, beta_x)
    return RBE_from_limits(dose, 0.843 + 0.413644 * L / ab, 1.09 + 0.01612 * L / ab, ab)


def rorvik(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Rorvik et al. 2017, linear fit, as in doi 10.1259/bjr.20190334 Table 1: protons."""
    L, ab = _let_and_ratio(LET_d, alpha_x, beta_x)
    return RBE_from_limits(dose, 1 + 0.645 * L / ab, 1.0, ab)


def mairani(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Mairani et al., Phys. Med. Biol. 2016;61:888, doi 10.1088/0031-9155/61/2/888: helium."""
    L, ab = _let_and_ratio(LET_d, alpha_x, beta_x)
    growth = 9.73154e-3 * L**2 * np.exp(-1.51998e-2 * L)
    return RBE_from_limits(dose, 1 + (0.136938 + 1 / ab) * growth, 1.0, ab)


def wilkens(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Wilkens and Oelfke 2004, as in doi 10.1259/bjr.20190334 Table 1: protons, V79, alpha = 0.1 + 0.02 LET_d.

    Raises:
        UnsupportedError: alpha_x is not that of the data, 0.1 1/Gy (the coefficients are absolute).
    """
    L, ab = _let_and_ratio(LET_d, _own_alpha_x(alpha_x, "Wilkens"), beta_x)
    return RBE_from_limits(dose, (0.1 + 0.02 * L) / 0.1, 1.0, ab)


def chen(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Chen and Ahmad 2012, as in doi 10.1259/bjr.20190334 Table 1: protons, V79.

    alpha = 0.1 + (1 - exp(-0.0013 LET_d^2)) / (0.045 LET_d).

    Raises:
        UnsupportedError: alpha_x is not that of the data, 0.1 1/Gy (the coefficients are absolute).
    """
    L, ab = _let_and_ratio(LET_d, _own_alpha_x(alpha_x, "Chen"), beta_x)
    rise = -np.expm1(-0.0013 * L**2) / (0.045 * np.where(L > 0, L, 1.0))
    return RBE_from_limits(dose, (0.1 + rise) / 0.1, 1.0, ab)


def unkelbach(dose: npt.ArrayLike, LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """RBE = 1 + c LET_d with c = 0.04 um/keV at every dose: protons, 1.1 at 2.5 keV/um.

    Attributed to Unkelbach et al., Int. J. Radiat. Oncol. Biol. Phys. 2016, where the product of dose and LET_d is a
    planning quantity. The coefficient is quoted second-hand: it could not be checked against the paper.
    """
    L, D = np.asarray(LET_d, dtype=float), np.asarray(dose, dtype=float)
    unit = 0.0 * (D + np.asarray(alpha_x, dtype=float) + np.asarray(beta_x, dtype=float))
    return np.asarray(1 + 0.04 * L + unit)


PUBLISHED_MODELS: dict[str, RbeModel] = {
    "constant": constant,
    "mcnamara": mcnamara,
    "wedenberg": wedenberg,
    "carabe": carabe,
    "rorvik": rorvik,
    "mairani": mairani,
}
"""Models that take any photon pair. `mairani` is for helium, the others for protons."""

OWN_REFERENCE_MODELS: dict[str, RbeModel] = {"wilkens": wilkens, "chen": chen}
"""Models with absolute coefficients, which hold for their own photon reference alone (alpha_x = 0.1 1/Gy)."""

UNCONFIRMED_MODELS: dict[str, RbeModel] = {"unkelbach": unkelbach}
"""Models whose coefficients could not be checked against their publication."""


def _let_and_ratio(LET_d: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> tuple[Floats, Floats]:
    return np.asarray(LET_d, dtype=float), np.asarray(
        np.asarray(alpha_x, dtype=float) / np.asarray(beta_x, dtype=float)
    )


def _own_alpha_x(alpha_x: npt.ArrayLike, model: str) -> Floats:
    values = np.asarray(alpha_x, dtype=float)
    if not np.allclose(values, 0.1, rtol=0.01):
        raise UnsupportedError(
            f"the {model} model has absolute coefficients for V79 cells with alpha_x = 0.1 1/Gy, found alpha_x = "
            f"{values.ravel()[0]:g}; use a model of PUBLISHED_MODELS for other photon references"
        )
    return values
