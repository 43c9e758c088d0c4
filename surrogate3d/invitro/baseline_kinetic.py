"""The microdosimetric kinetic models, MKM and SMK, for cells of which only the photon pair is known.

alpha0 and beta0 are alpha_x and beta_x, the limit of no LET; the radii are common to all cells and fitted to the
experiments that may be seen, by the mean of |ln RBE10| errors. Specific energies come from the features: y* (saturation
at y0 = 150 keV/um, Kase et al. 2006) and y_D, between the sites log-log in the diameter. `Pymkm` takes z* from the
package of that name instead (Magro et al., github.com/BeppeMagro/pymkm), for the published domain of HSG cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import cast

import numpy as np

from surrogate3d.errors import UnsupportedError
from surrogate3d.grid.spectrum import SPECIES_Z
from surrogate3d.invitro.baseline_protocol import Curves, Floats, Names, curves_of
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.radiation import energy_of_LET
from surrogate3d.invitro.scales import FEATURES, SITES_UM
from surrogate3d.physics import smk
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.linear_quadratic import D10, fit_linear_quadratic
from surrogate3d.physics.mkm import MkmParameters, mkm, saturation_z0
from surrogate3d.physics.stopping_power import stopping_power

DOMAIN_RADII_UM = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5)
NUCLEUS_RADII_UM = (3.0, 4.0, 5.0, 6.5, 8.1, 12.0)

EFFECTS = np.array([0.1, 0.5, 1.0, 1.5])
"""Doses in units of D10 at which the curve of the SMK, which is not linear-quadratic, is fitted by one."""

HSG_DOMAIN = MkmParameters(0.172, 0.0615, 0.32, 3.9, saturation_z0(0.32, 3.9, 0.0615), "Inaniwa et al. 2010")
PYMKM_ENERGIES: Floats = np.geomspace(0.5, 500.0, 10)

_NAMES = [feature.name for feature in FEATURES]
_LET = _NAMES.index("LET_d")

Formula = Callable[[Floats, Floats, Names], tuple[Floats, Floats]]
"""alpha and beta of features, photon pairs and species."""


@dataclass(frozen=True, eq=False)
class FormulaModel:
    """A formula whose parameters are chosen.

    Attributes:
        formula: alpha and beta of rows.
        parameters: what was chosen, by name.
    """

    formula: Formula
    parameters: dict[str, float]

    def predict(self, features: Floats, photon: Floats, species: Names) -> Curves:
        """Curves of rows; see `baseline_protocol.Model`."""
        return curves_of(*self.formula(features, photon, species), photon)


@dataclass(frozen=True, eq=False)
class Formulas:
    """A formula with parameters to choose on a grid.

    Attributes:
        formula: takes rows and the parameters.
        grid: values of each parameter by name; {} for a formula without.
    """

    formula: Callable[..., tuple[Floats, Floats]]
    grid: dict[str, Sequence[float]]

    def fit(self, data: InVitroData, seed: int) -> FormulaModel:
        """Choose the parameters with the least mean |ln RBE10| error; `seed` is not used."""
        best, least = FormulaModel(self.formula, {}), np.inf
        for values in product(*self.grid.values()):
            chosen = dict(zip(self.grid, values, strict=True))
            model = FormulaModel(partial(self.formula, **chosen), chosen)
            if not chosen:
                return model
            found = model.predict(data.features, data.photon, data.species).RBE10
            error = float(np.nanmean(np.abs(np.log(found) - np.log(data.RBE10))))
            if error < least:
                best, least = model, error
        return best


def mkm_curves(features: Floats, photon: Floats, species: Names, *, r_d: float) -> tuple[Floats, Floats]:
    """Alpha and beta (n,) of the classic MKM with a domain of radius r_d in um."""
    return mkm(specific_energy(features, "y_star", r_d), photon_parameters(photon))


def smk_curves(features: Floats, photon: Floats, species: Names, *, r_d: float, R_n: float) -> tuple[Floats, Floats]:
    """Alpha and beta (n,) of the LQ curve next to that of the SMK; a nucleus beyond the largest site has its y_D."""
    z_star, z_D, z_nD = (specific_energy(features, *which) for which in (("y_star", r_d), ("y_D", r_d), ("y_D", R_n)))
    z_star = np.minimum(z_star, z_D)  # at low LET they are equal but for interpolation
    columns = photon_parameters(photon[:, None])  # (n, 1), beside the doses
    moments = z_star[:, None], z_D[:, None], z_nD[:, None]
    unit = D10(*smk.coefficients(*moments[:2], columns))
    S = smk.survival(EFFECTS * unit, *moments, columns)
    usable = np.isfinite(S).all(axis=1) & (S > 0).all(axis=1)
    alpha, beta = np.full((2, len(photon)), np.nan)
    fitted = fit_linear_quadratic(EFFECTS, -np.log(S[usable]))
    alpha[usable], beta[usable] = fitted[0] / unit[usable, 0], fitted[1] / unit[usable, 0] ** 2
    return alpha, beta


def pymkm_curves(features: Floats, photon: Floats, species: Names) -> tuple[Floats, Floats]:
    """Alpha and beta (n,) of the classic MKM with z* of pymkm; NaN for ions beyond neon.

    Raises:
        UnsupportedError: pymkm is not installed.
    """
    z_star = np.full(len(species), np.nan)
    for name in sorted(set(species.tolist()) & SPECIES_Z.keys()):
        rows = species == name
        energy = single_energies(features[rows], species[rows])
        z_star[rows] = np.exp(np.interp(np.log(energy), np.log(PYMKM_ENERGIES), np.log(_pymkm_table(SPECIES_Z[name]))))
    return mkm(z_star, photon_parameters(photon))


def specific_energy(features: Floats, measure: str, radius_um: float) -> Floats:
    """(n,) mean specific energy per event in a site, Gy, from the mean lineal energy K_GY y / (pi r^2).

    Args:
        features: (n, feature).
        measure: "y_star" or "y_D".
        radius_um: of the site, um; beyond the sites of the features the nearest one's lineal energy stands.
    """
    y = np.log(features[:, [_NAMES.index(f"{measure}_{site:g}um") for site in SITES_UM]])
    place = np.interp(np.log(2.0 * radius_um), np.log(SITES_UM), np.arange(len(SITES_UM)))
    first = min(int(place), len(SITES_UM) - 2)
    part = place - first
    lineal = np.exp((1.0 - part) * y[:, first] + part * y[:, first + 1])
    return np.asarray(K_GY * lineal / (np.pi * radius_um**2))


def photon_parameters(photon: Floats) -> MkmParameters:
    """alpha0 and beta0 of rows (n, ..., 2), as arrays: the formulas broadcast over them and need no radii."""
    alpha_x, beta_x = (cast(float, photon[..., n]) for n in (0, 1))
    return MkmParameters(alpha_x, beta_x, np.nan, np.nan, np.nan, "photon pairs")


def single_energies(features: Floats, species: Names) -> Floats:
    """(n,) MeV/u of the single ion with each row's LET, on the side of fast ions; NaN where there is none."""
    return np.array([_energy(str(name), float(LET)) for name, LET in zip(species, features[:, _LET], strict=True)])


@cache
def _energy(species: str, LET: float) -> float:
    if species not in SPECIES_Z or not LET > 0:
        return np.nan
    try:
        return energy_of_LET(species, LET)
    except ValueError:  # an LET that the ion never has: published, and not of a single ion
        return np.nan


@cache
def _pymkm_table(Z: int) -> Floats:
    """(energy,) z* of one ion in the domain of HSG cells, Gy, from its own tracks with the LET of this package."""
    try:
        from pymkm.physics.particle_track import ParticleTrack
        from pymkm.physics.specific_energy import SpecificEnergy
    except ImportError as missing:
        raise UnsupportedError("this method needs the package pymkm; install it, or leave the method out") from missing
    found = []
    for energy in PYMKM_ENERGIES:
        LET_mev_cm = 10.0 * float(stopping_power(Z, energy))
        site = SpecificEnergy(ParticleTrack(energy=float(energy), atomic_number=Z, let=LET_mev_cm), HSG_DOMAIN.r_d)
        z, b = site.single_event_specific_energy()
        saturated = site.saturation_corrected_single_event_specific_energy(HSG_DOMAIN.z0, z)
        found.append(site.dose_averaged_specific_energy(z, b, saturated, integration_method="simps"))
    return np.array(found)
