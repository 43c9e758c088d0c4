"""GSM2: lesions in the domains of a nucleus, their repair and pairwise interaction, in closed form.

Cordoni et al., Phys. Rev. E 2021;103:012412 (arXiv:2010.10143). A domain starts with X ~ Poisson(kappa z) sub-lethal
and Y ~ Poisson(lambda z) lethal lesions; X -> 0 at rate r X, X -> Y at rate a X, X + X -> Y at rate b X (X - 1). The
cell survives when no domain ever holds a lethal lesion. For acute irradiation that probability is a product (`C`), and
its Poisson average a hypergeometric function (`log_response`), so no stochastic simulation is needed.

Lesion yields are fits to PARTRAC: Kundrat et al., Sci. Rep. 2020;10:15775, doi 10.1038/s41598-020-72857-z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError, ValueRangeError

Floats = npt.NDArray[np.float64]
LesionKind = Literal["DSB_site", "DSB", "complex_DSB"]

_Coefficients = tuple[float, float, float, float, float]

LESION_COEFFICIENTS: dict[str, dict[int, _Coefficients]] = {
    "DSB_site": {
        1: (6.8, 0.1773, 0.9314, 0.0, 1.0),
        2: (6.8, 0.1471, 1.038, 0.006239, 1.582),
        6: (6.8, 0.156, 0.9214, 0.005245, 1.395),
        8: (6.8, 0.1749, 0.8722, 0.004987, 1.347),
    },
    "DSB": {
        1: (6.8, 0.1835, 0.9583, 0.0, 1.0),
        2: (6.8, 0.1679, 0.9704, 0.004323, 1.359),
        6: (6.8, 0.2052, 1.02, 0.009922, 1.106),
    },
    "complex_DSB": {
        1: (0.07, 0.01532, 2.396, 0.0, 1.0),
        2: (0.07, 0.01015, 1.794, 0.003817, 3.255),
        6: (0.07, 0.006858, 1.498, 0.002778, 2.208),
    },
}
"""(p1 ... p5) by lesion kind and atomic number, Sci. Rep. 2020;10:15775, as coded by the authors of GSM2."""

HEAVIEST_LIKE_OXYGEN = 10
"""Atomic number up to which DSB sites are taken to be those of oxygen at the same LET; see `lesion_yield`."""

YIELD_LOW_LET = 6.8
"""DSB sites per Gy per Gbp in the limit of low LET: p1 of every DSB-site fit."""

_PITCH_OVER_RADIUS = float(np.sqrt(2 * np.pi / np.sqrt(3.0)))  # one hexagonal cell has the area of one domain


@dataclass(frozen=True)
class Gsm2Parameters:
    """Parameters of one cell line.

    Attributes:
        a: rate at which a sub-lethal lesion becomes lethal, 1/h.
        b: rate at which a pair of lesions becomes lethal, 1/h.
        r: repair rate, 1/h.
        kappa_x: sub-lethal lesions per Gy in the whole nucleus for photons.
        r_d: radius of a domain, um.
        R_n: radius of the nucleus, um.
        n_lateral: number of domain axes across the nucleus.
        n_layers: number of domains along each axis.
        genome_gbp: size of the genome, Gbp.
        lambda_ratio: directly lethal lesions per sub-lethal lesion.
    """

    a: float
    b: float
    r: float
    kappa_x: float
    r_d: float
    R_n: float
    n_lateral: int
    n_layers: int
    genome_gbp: float
    lambda_ratio: float = 1e-3

    @property
    def N(self) -> int:
        """Number of domains in the nucleus."""
        return self.n_lateral * self.n_layers


def lesion_yield(Z: npt.ArrayLike, LET: npt.ArrayLike, kind: LesionKind = "DSB_site") -> Floats:
    """Lesions per Gy per Gbp, Y = (p1 + (p2 L)^p3) / (1 + (p4 L)^p5).

    Between the fitted elements (H, He, C and, for DSB sites, O) the yield is interpolated linearly in Z. DSB sites of F
    and Ne are those of O at the same LET, as no coefficients of heavier ions were at hand. At equal LET the sites of O
    and C differ by 2 % at most from 5 to 1400 keV/um, so that an error of that size is expected.

    Args:
        Z: atomic number, 1 to 10 for DSB sites, 1 to 6 for the other kinds.
        LET: keV/um.
        kind: "DSB_site" (what kappa is made of), "DSB" (all) or "complex_DSB" (clustered).

    Returns:
        Yield in the broadcast shape.

    Raises:
        UnknownNameError: no such kind.
        ValueRangeError: Z lies outside these elements, or LET is negative.
    """
    if kind not in LESION_COEFFICIENTS:
        raise UnknownNameError(f"unknown lesion kind {kind!r}; known: {', '.join(LESION_COEFFICIENTS)}")
    fits = LESION_COEFFICIENTS[kind]
    charge, L = np.broadcast_arrays(np.asarray(Z, dtype=float), np.asarray(LET, dtype=float))
    heaviest = HEAVIEST_LIKE_OXYGEN if 8 in fits else max(fits)
    if ((charge < min(fits)) | (charge > heaviest)).any() or (L < 0).any():
        raise ValueRangeError(f"{kind} yields are known for Z {min(fits)} to {heaviest} and LET >= 0 keV/um")
    total = np.zeros(L.shape)
    for row, (p1, p2, p3, p4, p5) in zip(np.eye(len(fits)), fits.values(), strict=True):
        total += np.interp(charge, list(fits), row) * (p1 + (p2 * L) ** p3) / (1 + (p4 * L) ** p5)
    return total


def kappa(parameters: Gsm2Parameters, Z: npt.ArrayLike, LET: npt.ArrayLike) -> Floats:
    """Sub-lethal lesions per Gy in the whole nucleus; a domain gets kappa / N."""
    return parameters.genome_gbp * lesion_yield(Z, LET)


def lattice(r_d: float, R_n: float) -> Floats:
    """Domain axes on a hexagonal lattice whose cell area is that of a domain.

    The lattice is offset so that the number of axes inside the nucleus is as close as possible to (R_n / r_d)^2, and
    among such offsets, so that the axes are best centred: then lateral area and mean dose are those of the nucleus.

    Args:
        r_d: domain radius, um.
        R_n: nucleus radius, um.

    Returns:
        (N_lateral, 2) positions in um, none further than `R_n` from the centre.

    Raises:
        ValueRangeError: not 0 < r_d <= R_n.
    """
    if not 0 < r_d <= R_n:
        raise ValueRangeError(f"domain and nucleus radius must be 0 < r_d <= R_n, found r_d={r_d} R_n={R_n} um")
    pitch = _PITCH_OVER_RADIUS * r_d
    basis = pitch * np.array([[1.0, 0.0], [0.5, np.sqrt(3.0) / 2]])
    reach = int(np.ceil(2 * R_n / pitch)) + 2
    index = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    target = (R_n / r_d) ** 2
    best, best_score = np.zeros((0, 2)), (np.inf, np.inf)
    for u in range(12):
        for v in range(12):
            points = (index + np.array([u, v]) / 12) @ basis
            inside = points[np.hypot(points[:, 0], points[:, 1]) <= R_n * (1 + 1e-12)]
            centroid = np.hypot(*inside.mean(axis=0)) if len(inside) else np.inf
            score = (abs(len(inside) - target), round(float(centroid), 9))
            if score < best_score:
                best, best_score = inside, score
    return best


@lru_cache(maxsize=256)
def n_domains(r_d: float, R_n: float) -> tuple[int, int]:
    """Number of domain axes across the nucleus and of domains along each axis, (N_lateral, n_layers)."""
    return len(lattice(r_d, R_n)), max(1, int(np.floor(R_n / r_d + 1e-9)))


def calibrate(
    alpha_x: float,
    beta_x: float,
    r_d: float = 0.9,
    R_n: float = 4.5,
    r: float = 2.5,
    G: float = 6.2,
    lambda_ratio: float = 1e-3,
) -> Gsm2Parameters:
    """Rates that reproduce a photon LQ pair in the low-dose limit, in closed form.

    With kx = 6.8 G lesions per Gy, lambda_x = lambda_ratio kx and N domains:
    alpha_x = kx a / (a + r) + lambda_x and beta_x = kx^2 b r^2 / (2 N (a + r)^2 (a + r + b)).

    Args:
        alpha_x: 1/Gy.
        beta_x: 1/Gy^2.
        r_d: domain radius, um.
        R_n: nucleus radius, um.
        r: repair rate, 1/h. Acute survival depends on a / r and b / r only.
        G: genome size, Gbp. Survival does not depend on it, the reported lesion numbers do.
        lambda_ratio: directly lethal per sub-lethal lesion.

    Raises:
        ValueRangeError: no non-negative rates give this pair.
    """
    n_lateral, n_layers = n_domains(r_d, R_n)
    kappa_x = YIELD_LOW_LET * G
    p = (alpha_x - lambda_ratio * kappa_x) / kappa_x
    a = r * p / (1 - p)
    q = 2 * n_lateral * n_layers * beta_x / (kappa_x * r / (a + r)) ** 2
    if not (0 < p < 1 and 0 <= q < 1):
        raise ValueRangeError(
            f"GSM2 cannot reproduce alpha_x={alpha_x} 1/Gy beta_x={beta_x} 1/Gy^2 with r_d={r_d} R_n={R_n} um "
            f"G={G} Gbp (p={p:.4g}, q={q:.4g} must lie in 0..1); change r_d, R_n or lambda_ratio"
        )
    b = q * (a + r) / (1 - q)
    return Gsm2Parameters(a, b, r, kappa_x, r_d, R_n, n_lateral, n_layers, G, lambda_ratio)


def log_domain_survival(x_max: int, parameters: Gsm2Parameters) -> Floats:
    """Logarithm of C(x) for x = 0 ... x_max sub-lethal lesions in a domain, (x_max + 1,).

    C(x) is the product over i = 1 ... x of r / (a + r + b (i - 1)): every exit from i lesions must be a repair.
    """
    i = np.arange(x_max)
    steps = np.log(parameters.r / (parameters.a + parameters.r + parameters.b * i))
    return np.concatenate([[0.0], np.cumsum(steps)])


def domain_survival(x: npt.ArrayLike, parameters: Gsm2Parameters) -> Floats:
    """C(x), the probability that `x` (integer >= 0) sub-lethal lesions in a domain are all repaired."""
    lesions = np.asarray(x, dtype=int)
    return np.asarray(np.exp(log_domain_survival(int(lesions.max(initial=0)), parameters)[lesions]))


def log_response(m: npt.ArrayLike, parameters: Gsm2Parameters) -> Floats:
    """Logarithm of G(m) = sum_x Poisson(x; m) C(x) = exp(-m) 0F1(; (a + r) / b; m r / b), by log-sum-exp.

    The directly lethal lesions, -lambda_ratio m, are not in it.

    Args:
        m: expected number of sub-lethal lesions in a domain, >= 0.
        parameters: the cell line.

    Raises:
        ValueRangeError: a negative or non-finite `m`.
    """
    mean = np.asarray(m, dtype=float)
    if not (np.isfinite(mean) & (mean >= 0)).all():
        raise ValueRangeError("expected lesions per domain must be finite and not negative")
    flat = mean.ravel()
    order = np.argsort(flat)
    result = np.zeros(flat.shape)
    for part in np.array_split(order, max(1, flat.size // 512)):  # sorted parts need few terms each
        if part.size:
            result[part] = _log_poisson_average(flat[part], parameters)
    return result.reshape(mean.shape)


def _log_poisson_average(m: Floats, parameters: Gsm2Parameters) -> Floats:
    """`log_response` of one sorted part (n,)."""
    from scipy.special import gammaln, logsumexp  # here, as it is slow to load

    top = float(m.max())
    x = np.arange(int(top + 12 * np.sqrt(top)) + 30)
    log_C = log_domain_survival(len(x) - 1, parameters)
    log_m = np.log(np.where(m > 0, m, 1.0))
    exponents = x * log_m[:, None] + (log_C - gammaln(x + 1))
    return np.where(m > 0, np.asarray(logsumexp(exponents, axis=1)) - m, 0.0)


def response_table(parameters: Gsm2Parameters, m_max: float = 400.0, n: int = 8192) -> tuple[Floats, Floats]:
    """Logarithm of G on a uniform grid of sqrt(m), for linear interpolation in a kernel.

    Args:
        parameters: the cell line.
        m_max: last tabulated m.
        n: number of points.

    Returns:
        sqrt(m) (n,) from 0 to sqrt(m_max), and ln G (n,) there.
    """
    sqrt_m = np.linspace(0.0, np.sqrt(m_max), n)
    return sqrt_m, log_response(sqrt_m**2, parameters)


def photon_effect(dose: npt.ArrayLike, parameters: Gsm2Parameters) -> Floats:
    """-ln S of an acute dose that is uniform over the domains: N (lambda_ratio m - ln G(m)), m = kappa_x D / N."""
    m = parameters.kappa_x * np.asarray(dose, dtype=float) / parameters.N
    return parameters.N * (parameters.lambda_ratio * m - log_response(m, parameters))
