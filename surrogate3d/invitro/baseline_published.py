"""LEM I and McNamara's model on the rows of an in-vitro data set."""

from __future__ import annotations

from typing import cast

import numpy as np

from surrogate3d.grid.spectrum import SPECIES_Z
from surrogate3d.invitro.baseline_kinetic import single_energies
from surrogate3d.invitro.baseline_protocol import Floats, Names
from surrogate3d.invitro.scales import FEATURES
from surrogate3d.physics.lem import LemParameters, lem1
from surrogate3d.physics.rbe import mcnamara

THRESHOLDS_GY = (2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0)
NUCLEUS_RADII_UM = (3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.0)

_LET = [feature.name for feature in FEATURES].index("LET_d")


def lem_curves(features: Floats, photon: Floats, species: Names, *, D_t: float, r_n: float) -> tuple[Floats, Floats]:
    """Alpha and beta (n,) of LEM I for the single ion with each row's LET; NaN beyond neon.

    The threshold D_t (Gy) and the radius r_n of the nucleus (um) are common to all cells: LEM I has no rule that gives
    them from a photon pair.
    """
    energy = single_energies(features, species)
    known = np.isfinite(energy)
    Z = np.array([SPECIES_Z[str(name)] for name in species[known]], dtype=int)
    alpha_x, beta_x = (cast(float, photon[known, n]) for n in (0, 1))  # arrays: the formulas broadcast over them
    alpha, beta = np.full((2, len(photon)), np.nan)
    alpha[known], beta[known] = lem1(Z, energy[known], LemParameters(alpha_x, beta_x, D_t, r_n, "photon pairs"))
    return alpha, beta


def mcnamara_curves(features: Floats, photon: Floats, species: Names) -> tuple[Floats, Floats]:
    """Alpha and beta (n,) of McNamara's model; NaN for other ions than protons, and where alpha_x or beta_x is 0."""
    alpha_x, beta_x = photon.T
    usable = (species == "H") & (alpha_x > 0) & (beta_x > 0)
    alpha, beta = np.full((2, len(photon)), np.nan)
    alpha_x, beta_x, LET = alpha_x[usable], beta_x[usable], features[usable, _LET]
    at_one_gray = mcnamara(1.0, LET, alpha_x, beta_x)  # the photon dose with the effect of 1 Gy
    alpha[usable] = alpha_x * mcnamara(0.0, LET, alpha_x, beta_x)
    beta[usable] = alpha_x * at_one_gray + beta_x * at_one_gray**2 - alpha[usable]
    return alpha, beta
