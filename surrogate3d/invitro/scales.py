"""The features of an irradiation, and the scale of energy deposition that each of them belongs to.

A feature is one number of an experiment or a voxel. Features of the same site make a *group*, groups of like size a
*scale*. Networks attend to groups, so that what they used can be told by scale.

Sites are given by their diameter. Amorphous tracks know no single ionisations (`physics.track`), so lineal energy is
used from 0.1 um up and ionisation clusters below. The track has no energy-loss straggling, so y_D of fast light ions is
too small (`physics.microdosimetry`): it is 0.43 keV/um for protons of 100 MeV at 1 um. A term for straggling would need
an energy per collision that depends on the site; no source for its values was at hand, so none is added. Read y_D of
low-LET ions as a rank, not as a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError

Floats = npt.NDArray[np.float64]

SCALES = ("nanometre", "micrometre", "LET", "biology")

NANO_SITES_NM = (2.0, 10.0)
"""Spheres for clusters of ionisations: a turn of DNA, and a nucleosome."""

SITES_UM = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Sites for lineal energy, from a fibre of chromatin to a nucleus."""

Y_EDGES_KEV_UM: Floats = np.geomspace(0.05, 1000.0, 9)
"""Bins of the dose distribution d(y), see `lineal`; the first also holds what lies below, the last what lies above."""

Y0_KEV_UM = 150.0
"""Saturation parameter of y* (Kase et al., Radiat Res 2006;166:629)."""

LET_BANDS_KEV_UM = (20.0, 100.0)
"""LET above which a share of the dose is counted."""


@dataclass(frozen=True)
class Feature:
    """One number that describes an irradiation.

    Attributes:
        name: unique.
        unit: "1" for pure numbers.
        group: one of `GROUPS`.
        scale: one of `SCALES`.
        transform: "log" or "linear": what makes it fit for a network.
        mean: how it averages over a spectrum: "dose" for sum d x, "harmonic" for 1 / sum (d / x), d being shares of
            the dose. Biology has no spectrum; "dose" stands there.
    """

    name: str
    unit: str
    group: str
    scale: str
    transform: Literal["log", "linear"]
    mean: Literal["dose", "harmonic"] = "dose"


def _nano() -> list[Feature]:
    clusters = [f"{measure}_{site:g}nm" for site in NANO_SITES_NM for measure in ("M1", "F1", "F2", "F3")]
    yields = ("DSB_yield", "complex_DSB_yield")
    return [
        *(Feature(name, "1", "nano", "nanometre", "log") for name in clusters),
        *(Feature(name, "1/(Gy Gbp)", "nano", "nanometre", "log") for name in yields),
    ]


def _micro(site_um: float) -> list[Feature]:
    group = f"micro_{site_um:g}um"
    bins = pairwise(Y_EDGES_KEV_UM)
    return [
        Feature(f"y_F_{site_um:g}um", "keV/um", group, "micrometre", "log", "harmonic"),
        Feature(f"y_D_{site_um:g}um", "keV/um", group, "micrometre", "log"),
        Feature(f"y_star_{site_um:g}um", "keV/um", group, "micrometre", "log"),
        *(Feature(f"d_y_{a:.2g}_{b:.2g}_{site_um:g}um", "1", group, "micrometre", "linear") for a, b in bins),
    ]


def _let() -> list[Feature]:
    return [
        Feature("LET_d", "keV/um", "LET", "LET", "log"),
        Feature("LET_t", "keV/um", "LET", "LET", "log", "harmonic"),
        *(Feature(f"dose_above_{let:g}", "1", "LET", "LET", "linear") for let in LET_BANDS_KEV_UM),
    ]


def _biology() -> list[Feature]:
    units = {"alpha_x": "1/Gy", "beta_x": "1/Gy^2", "alpha_beta_x": "Gy", "dna_content_gbp": "Gbp"}
    flags = ("is_tumour", "is_human", "cycle_G1", "cycle_S", "cycle_G2M", "cycle_asynchronous")
    names = ("alpha_x", "beta_x", "alpha_beta_x", *flags, "dna_content_gbp")
    return [
        Feature(name, units.get(name, "1"), "biology", "biology", "log" if name == "alpha_beta_x" else "linear")
        for name in names
    ]


RADIATION: tuple[Feature, ...] = (*_nano(), *(f for site in SITES_UM for f in _micro(site)), *_let())
BIOLOGY: tuple[Feature, ...] = tuple(_biology())
FEATURES: tuple[Feature, ...] = RADIATION + BIOLOGY
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(feature.group for feature in FEATURES))
SCALE_OF_GROUP: dict[str, str] = {feature.group: feature.scale for feature in FEATURES}


def transformed(features: npt.ArrayLike) -> Floats:
    """Features with the logarithm taken of those of transform "log"; zero and below, which have none, become NaN.

    Args:
        features: (..., feature) in the order of `FEATURES`.

    Returns:
        The same shape.

    Raises:
        GridMismatchError: the last axis is not `FEATURES`.
    """
    values = np.array(features, dtype=float)
    if values.ndim == 0 or values.shape[-1] != len(FEATURES):
        raise GridMismatchError(f"expected {len(FEATURES)} features along the last axis, found shape {values.shape}")
    logarithmic = np.array([feature.transform == "log" for feature in FEATURES])
    part = values[..., logarithmic]
    values[..., logarithmic] = np.log(np.where(part > 0, part, np.nan))
    return values
