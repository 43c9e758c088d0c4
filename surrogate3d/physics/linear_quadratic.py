"""The linear-quadratic model: effect = alpha D + beta D^2, its inverse, and the RBE that follows.

Zaider and Rossi (1980) and the RBE definitions are those of any LQ-based treatment planning; `RBE(D) = D_x(S(D)) / D`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError

Floats = npt.NDArray[np.float64]

LN10 = float(np.log(10.0))
"""Effect at 10 % survival."""


def effect(dose: npt.ArrayLike, alpha: npt.ArrayLike, beta: npt.ArrayLike) -> Floats:
    """-ln S of an acute dose.

    Args:
        dose: Gy.
        alpha: 1/Gy.
        beta: 1/Gy^2.

    Returns:
        alpha D + beta D^2, in the broadcast shape.
    """
    D = np.asarray(dose, dtype=float)
    return np.asarray(np.asarray(alpha, dtype=float) * D + np.asarray(beta, dtype=float) * D * D)


def survival(dose: npt.ArrayLike, alpha: npt.ArrayLike, beta: npt.ArrayLike) -> Floats:
    """Surviving fraction exp(-alpha D - beta D^2); arguments as in `effect`."""
    return np.asarray(np.exp(-effect(dose, alpha, beta)))


def isoeffective_dose(effect: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Dose of the radiation (alpha_x, beta_x) that has a given effect.

    Written as 2 E / (alpha_x + sqrt(alpha_x^2 + 4 beta_x E)), which is exact and free of cancellation for beta_x -> 0
    and for alpha_x = 0.

    Args:
        effect: -ln S, not negative; NaN gives NaN.
        alpha_x: 1/Gy.
        beta_x: 1/Gy^2, may be 0.

    Returns:
        Dose in Gy; 0 for no effect, NaN for a negative effect, infinite when alpha_x = beta_x = 0.
    """
    E, a, b = np.broadcast_arrays(
        np.asarray(effect, dtype=float), np.asarray(alpha_x, dtype=float), np.asarray(beta_x, dtype=float)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        dose = 2.0 * E / (a + np.sqrt(a * a + 4.0 * b * E))
    return np.asarray(np.where(E > 0, dose, np.where(E == 0, 0.0, np.nan)))


def RBE_at_dose(dose: npt.ArrayLike, effect: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """Photon dose over ion dose at equal survival.

    Args:
        dose: ion dose, Gy.
        effect: -ln S of that dose.
        alpha_x: photon alpha, 1/Gy.
        beta_x: photon beta, 1/Gy^2.

    Returns:
        RBE; NaN where the dose is not positive.
    """
    D = np.asarray(dose, dtype=float)
    photon = isoeffective_dose(effect, alpha_x, beta_x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(D > 0, photon / D, np.nan))


def D10(alpha: npt.ArrayLike, beta: npt.ArrayLike) -> Floats:
    """Dose in Gy for 10 % survival."""
    return isoeffective_dose(LN10, alpha, beta)


def RBE10(alpha: npt.ArrayLike, beta: npt.ArrayLike, alpha_x: npt.ArrayLike, beta_x: npt.ArrayLike) -> Floats:
    """RBE at 10 % survival, D10 of photons over D10 of the ions."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(D10(alpha_x, beta_x) / D10(alpha, beta))


def BED(dose: npt.ArrayLike, dose_per_fraction: npt.ArrayLike, alpha_beta: npt.ArrayLike) -> Floats:
    """Biologically effective dose of photons: the dose in infinitely small fractions with the same effect.

    D (1 + d / (alpha / beta)), Fowler (1989) doi:10.1259/0007-1285-62-740-679. Of photons in equal fractions it is
    effect / alpha_x; of ions it is that of the photon dose with their effect, so `dose` is then D_RBE.

    Args:
        dose: photon dose of all fractions together, Gy.
        dose_per_fraction: photon dose of one fraction, Gy.
        alpha_beta: photon alpha over beta, Gy; infinite when there is no quadratic term.

    Returns:
        BED in Gy, in the broadcast shape.

    Raises:
        ValueRangeError: alpha over beta is not positive.
    """
    ratio = _positive_ratio(alpha_beta)
    return np.asarray(np.asarray(dose, dtype=float) * (1 + np.asarray(dose_per_fraction, dtype=float) / ratio))


def EQD2(dose: npt.ArrayLike, dose_per_fraction: npt.ArrayLike, alpha_beta: npt.ArrayLike) -> Floats:
    """Photon dose in fractions of 2 Gy with the same BED; arguments and errors as for `BED`."""
    return np.asarray(BED(dose, dose_per_fraction, alpha_beta) / (1 + 2 / _positive_ratio(alpha_beta)))


def _positive_ratio(alpha_beta: npt.ArrayLike) -> Floats:
    ratio = np.asarray(alpha_beta, dtype=float)
    if not (ratio > 0).all():
        raise ValueRangeError(f"BED and EQD2 need a positive alpha over beta in Gy, found {float(np.min(ratio)):g}")
    return ratio


def lea_catcheside(repair_rate: npt.ArrayLike, duration: npt.ArrayLike) -> Floats:
    """Dose-protraction factor G of the quadratic term for irradiation at constant rate.

    G = 2 (exp(-x) - 1 + x) / x^2 with x = rate * duration (Lea and Catcheside 1942); 1 when acute.

    Args:
        repair_rate: 1/h.
        duration: h.
    """
    x = np.asarray(np.asarray(repair_rate, dtype=float) * np.asarray(duration, dtype=float))
    # below x = 1e-3 the direct form loses digits, and three terms of the series are exact to 1e-11
    safe = np.where(x < 1e-3, 1.0, x)
    return np.asarray(np.where(x < 1e-3, 1 - x / 3 + x * x / 12, 2 * (np.expm1(-safe) + safe) / safe**2))


def fit_linear_quadratic(
    doses: npt.ArrayLike, effects: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Weighted least squares of -ln S / D on (1, D) with beta >= 0.

    Where the unconstrained beta is negative, alpha is fitted alone and beta is 0.

    Args:
        doses: (dose,) positive doses, Gy; at least two.
        effects: (..., dose) values of -ln S.
        weights: (..., dose) or (dose,) non-negative weights of the squared residuals of -ln S / D, usually
            (D / SE of -ln S)^2; equal when not given. A point of weight 0 is ignored, even if it is not finite.

    Returns:
        alpha (...) in 1/Gy and beta (...) in 1/Gy^2. With only one weighted dose, beta is 0.

    Raises:
        ValueRangeError: a dose is not positive, a weight is negative, or a curve has no weighted point.
    """
    D = np.asarray(doses, dtype=float)
    E = np.asarray(effects, dtype=float)
    w = np.ones_like(D) if weights is None else np.asarray(weights, dtype=float)
    if D.ndim != 1 or D.size < 2 or not (D > 0).all():
        raise ValueRangeError(f"an LQ fit needs at least two positive doses in Gy, found {D.tolist()}")
    used = w > 0
    if not (w >= 0).all() or not used.any(axis=-1).all():
        raise ValueRangeError("LQ fit weights must be >= 0, with at least one positive weight for every survival curve")
    weighted = np.where(used, E, 0.0) * w
    s0, s1, s2, t1 = w.sum(axis=-1), _sum_times(w, D), _sum_times(w, D * D), weighted.sum(axis=-1)
    t0 = _sum_times(weighted, 1 / D)
    determinant = s0 * s2 - s1 * s1
    solvable = determinant > 1e-12 * s0 * s2
    beta = np.where(solvable, (s0 * t1 - s1 * t0) / np.where(solvable, determinant, 1.0), 0.0)
    beta = np.where(beta < 0, 0.0, beta)
    return np.asarray((t0 - beta * s1) / s0), np.asarray(beta)


def _sum_times(values: Floats, factors: Floats) -> Floats:
    """(..., dose) times (dose,), summed over doses."""
    return np.asarray(np.einsum("...d,d->...", values, factors))
