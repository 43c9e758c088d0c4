"""Calibration of MKM, SMK and LEM I on the survival curves of ions, with the photon pair held fixed.

* MKM (`physics.mkm`): alpha0 and r_d; beta0 is beta_x, R_n is given, z0 follows from them.
* SMK (`physics.smk`): alpha0, r_d and z0; beta0 is beta_x, R_n is given.
* LEM I (`physics.lem`): D_t; alpha_x, beta_x and r_n are given.

The ions are taken to be mono-energetic, with the tracks of `physics.track`. Intervals are of the ion data alone, at the
photon pair as fitted: they do not hold its uncertainty. A set whose best value lies at the edge of the range searched,
or whose interval reaches it, is not determined by the data and counts as not calibrated. So does one of a model that
does not describe the data (`Goodness.hopeless`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline, RectBivariateSpline

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics import smk
from surrogate3d.physics.lem import LemParameters, lem1
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.microdosimetry import site_moments
from surrogate3d.physics.mkm import MkmParameters, mkm, saturation_z0
from surrogate3d.physics.stopping_power import LOWEST_ENERGY_MEV_U, stopping_power
from surrogate3d.physics.survival_fit import Observed
from surrogate3d.physics.survival_search import ModelFit, Range, search
from surrogate3d.physics.track import impact_quadrature, specific_energy

Floats = npt.NDArray[np.float64]

R_D_UM: Range = (0.1, 1.0)
"""Domain radii that are searched, um; published sets have 0.2 to 0.5."""

Z0_GY: Range = (10.0, 1000.0)
"""Saturation parameters that are searched for the SMK, Gy; published sets have 37 to 122."""

LARGEST_D_T = 100.0
"""Thresholds of LEM I are searched from the largest dose of the data, up to where beta holds, to this one, Gy."""

LARGEST_ALPHA0 = 5.0
"""1/Gy."""

LARGEST_LET_DISAGREEMENT = 2.0
"""Factor between a stated LET and the stopping power at the stated energy beyond which one of them is a slip."""

_NODES = 30
_TINY = 1e-300


@dataclass(frozen=True)
class Quality:
    """One radiation quality.

    Attributes:
        Z: atomic number.
        energy_mev_u: MeV/u.
        LET: keV/um.
    """

    Z: int
    energy_mev_u: float
    LET: float


@dataclass(frozen=True, eq=False)
class IonCurves:
    """Survival curves of ions.

    Attributes:
        observed: the points; controls have dose 0.
        qualities: each once.
        which: (n,) index of each point's quality; any for a control.
    """

    observed: Observed
    qualities: tuple[Quality, ...]
    which: npt.NDArray[np.int64]


def quality(Z: int, energy_mev_u: float | None, LET: float | None) -> Quality:
    """A radiation quality from energy, LET or both; an LET alone is taken to be that of the faster of two ions.

    Args:
        Z: atomic number, 1 to 10.
        energy_mev_u: MeV/u.
        LET: keV/um.

    Raises:
        ValueRangeError: neither is given, an energy without stopping power, an LET that no energy has, or two that
            disagree by more than a factor of two.
    """
    if energy_mev_u is None and LET is None:
        raise ValueRangeError("ions need an energy or an LET")
    if energy_mev_u is None:
        return Quality(Z, _energy_of(Z, float(LET or 0.0)), float(LET or 0.0))
    if energy_mev_u < LOWEST_ENERGY_MEV_U:
        raise ValueRangeError(
            f"ions need {LOWEST_ENERGY_MEV_U:g} MeV/u or more, found {energy_mev_u:g}; slower ones stop in a cell"
        )
    own = float(stopping_power(Z, energy_mev_u))
    if LET is not None and not 1 / LARGEST_LET_DISAGREEMENT <= LET / own <= LARGEST_LET_DISAGREEMENT:
        raise ValueRangeError(
            f"an ion of Z = {Z} with {energy_mev_u:g} MeV/u has {own:.3g} keV/um, but {LET:g} is stated; is the energy "
            "per nucleon?"
        )
    return Quality(Z, energy_mev_u, own if LET is None else LET)


def fit_mkm(curves: IonCurves, beta_x: float, R_n: float) -> ModelFit:
    """The classic MKM; two or more radiation qualities, beta_x above 0 (1/Gy^2), R_n in um.

    Raises:
        ValueRangeError: too few qualities or points, no beta_x, or a nucleus as small as a domain.
    """
    _require(curves, 2, beta_x, "MKM", R_n)
    z_star = _z_star_of_radius(curves.qualities, beta_x, R_n)

    def effects(p: Floats) -> Floats:
        r_d = math.exp(p[1])
        parameters = MkmParameters(p[0], beta_x, r_d, R_n, saturation_z0(r_d, R_n, beta_x), "")
        alpha, beta = mkm(z_star(p[1]), parameters)
        return effect(curves.observed.dose, alpha[curves.which], beta[curves.which])

    return search(curves.observed, effects, {"alpha0": (0.0, LARGEST_ALPHA0), "r_d": R_D_UM})


def fit_smk(curves: IonCurves, beta_x: float, R_n: float) -> ModelFit:
    """The SMK; three or more radiation qualities, otherwise as `fit_mkm`."""
    _require(curves, 3, beta_x, "SMK", R_n)
    moments = _smk_moments(curves.qualities, R_n)

    def effects(p: Floats) -> Floats:
        parameters = MkmParameters(p[0], beta_x, math.exp(p[1]), R_n, math.exp(p[2]), "")
        z_star, z_D, z_nD = (moment[curves.which] for moment in moments(p[1], p[2]))
        survival = smk.survival(curves.observed.dose, z_star, z_D, z_nD, parameters)
        return np.asarray(-np.log(np.maximum(survival, _TINY)))

    return search(curves.observed, effects, {"alpha0": (0.0, LARGEST_ALPHA0), "r_d": R_D_UM, "z0": Z0_GY})


def fit_lem(curves: IonCurves, alpha_x: float, beta_x: float, r_n: float) -> ModelFit:
    """LEM I; two or more radiation qualities, the photon pair in 1/Gy and 1/Gy^2, r_n in um.

    Raises:
        ValueRangeError: too few qualities or points, no beta_x, or a nucleus as small as a domain.
    """
    _require(curves, 2, beta_x, "LEM I", r_n)
    Z, energy, LET = _columns(curves.qualities)

    def effects(p: Floats) -> Floats:
        parameters = LemParameters(alpha_x, beta_x, math.exp(p[0]), r_n, "")
        alpha, beta = lem1(Z, energy, parameters, LET)
        return effect(curves.observed.dose, alpha[curves.which], beta[curves.which])

    return search(curves.observed, effects, {"D_t": (float(curves.observed.dose.max()), LARGEST_D_T)})


def _require(curves: IonCurves, least: int, beta_x: float, model: str, radius_um: float) -> None:
    if not radius_um > R_D_UM[1]:
        raise ValueRangeError(f"{model} needs a nucleus of more than {R_D_UM[1]:g} um radius, found {radius_um:g} um")
    if len(curves.qualities) < least:
        raise ValueRangeError(
            f"{model} needs ions of {least} or more energies or LETs, found {len(curves.qualities)}; add curves"
        )
    if not beta_x > 0:
        raise ValueRangeError(f"{model} needs beta_x above 0, found {beta_x:g} 1/Gy^2; measure photons at higher doses")


def _energy_of(Z: int, LET: float) -> float:
    energies = np.geomspace(LOWEST_ENERGY_MEV_U, 1000.0, 4000)
    line = stopping_power(Z, energies)
    top = int(line.argmax())
    if not line[-1] <= LET <= line[top]:
        raise ValueRangeError(
            f"no ion of Z = {Z} has {LET:g} keV/um: expected {line[-1]:.3g} to {line[top]:.3g}; state energy_mev_u"
        )
    falling = slice(top, None)
    return float(np.exp(np.interp(-LET, -line[falling], np.log(energies[falling]))))


def _columns(qualities: Sequence[Quality]) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    Z = np.array([each.Z for each in qualities])
    return Z, np.array([each.energy_mev_u for each in qualities]), np.array([each.LET for each in qualities])


def _log_nodes(limits: Range) -> Floats:
    return np.linspace(math.log(limits[0]), math.log(limits[1]), _NODES)


def _z_star_of_radius(qualities: Sequence[Quality], beta0: float, R_n: float) -> Callable[[float], Floats]:
    """(quality,) z* in Gy at the logarithm of a domain radius, by splines in both logarithms."""
    Z, energy, LET = _columns(qualities)
    nodes = _log_nodes(R_D_UM)
    radii = np.exp(nodes)
    rows = [site_moments(r, Z, energy, saturation_z0(r, R_n, beta0), LET).z_star for r in radii]
    return _spline(nodes, np.array(rows))


def _smk_moments(qualities: Sequence[Quality], R_n: float) -> Callable[[float, float], smk.SmkMoments]:
    """(quality,) moments in Gy at the logarithms of domain radius and z0."""
    Z, energy, LET = _columns(qualities)
    nodes, z0 = _log_nodes(R_D_UM), _log_nodes(Z0_GY)
    tables = [np.array([_z_star(math.exp(r), each, np.exp(z0)) for r in nodes]) for each in qualities]
    surfaces = [RectBivariateSpline(nodes, z0, np.log(table)) for table in tables]
    z_D = _spline(nodes, np.array([site_moments(math.exp(r), Z, energy, None, LET).z_D for r in nodes]))
    z_nD = site_moments(R_n, Z, energy, None, LET).z_D

    def moments(log_r_d: float, log_z0: float) -> smk.SmkMoments:
        z_star = np.exp([surface.ev([log_r_d], [log_z0])[0] for surface in surfaces])
        return smk.SmkMoments(z_star, z_D(log_r_d), z_nD)

    return moments


def _z_star(radius_um: float, ion: Quality, z0: Floats) -> Floats:
    """(z0,) z* of `site_moments`, for many z0 at the price of one."""
    b, db = impact_quadrature(radius_um, ion.energy_mev_u)
    z = specific_energy(b, radius_um, ion.Z, ion.energy_mev_u, ion.LET)
    area = b * db
    return np.asarray(-(z0**2) * (np.expm1(-((z / z0[:, None]) ** 2)) @ area) / (area @ z))


def _spline(nodes: Floats, rows: Floats) -> Callable[[float], Floats]:
    spline = CubicSpline(nodes, np.log(rows))
    return lambda x: np.asarray(np.exp(spline(x)))
