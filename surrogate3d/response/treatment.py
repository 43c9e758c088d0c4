"""What a synthetic lesion receives, and how much of it is left three months later.

A single proton field in five fractions. The dose is highest in the middle, as in radiosurgery, and falls off towards a
margin that a set-up error has moved; LET_d rises along the beam. D_RBE is that of McNamara et al. (`physics.rbe`).
Cells of a resistant subregion have little oxygen: their dose counts as D_RBE / OER(LET_d, pO2) (`physics.oxygen`).
Survivors multiply, the others are cleared:

    V(t) / V(0) = mean over the lesion of S 2^(t / T_d) + (1 - S) 2^(-t / T_c),    S = exp(-n (alpha_x d + beta_x d^2))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.physics.linear_quadratic import survival
from surrogate3d.physics.oxygen import OER
from surrogate3d.physics.rbe import mcnamara
from surrogate3d.response.lesion_shape import Floats

FRACTIONS, PRESCRIBED_GY = 5, 23.0
"""Fractions, and physical dose at the margin of a lesion without a set-up error, Gy."""
ALPHA_X, BETA_X = 0.25, 0.025
"""Photon parameters of a tumour with alpha / beta = 10 Gy; 1/Gy, 1/Gy^2. The patient's own differ by `SENSITIVITY`."""
SENSITIVITY = 0.08
"""Standard deviation over patients of the logarithm of alpha_x and beta_x."""
DAYS, DOUBLING_DAYS, CLEARANCE_DAYS = 90.0, 20.0, 100.0
"""Follow-up, doubling time of survivors and half-life of the others, days."""
DOSE_SPACING_MM = 2.0


@dataclass(frozen=True)
class Delivery:
    """How the field meets the lesion.

    Attributes:
        shift_mm: (3) set-up error.
        direction: (3) unit vector of the beam.
        peak: dose in the middle over that at the margin.
    """

    shift_mm: tuple[float, float, float]
    direction: tuple[float, float, float]
    peak: float


def deliver(image: Grid, radius_mm: float, delivery: Delivery) -> dict[str, Volume]:
    """Dose, LET_d and D_RBE of a lesion, all fractions, on a dose grid about its image.

    Args:
        image: grid of the image, with the lesion in its middle.
        radius_mm: of the lesion.
        delivery: how the field meets it.

    Returns:
        Volumes "dose" (Gy), "LET_d" (keV/um) and "D_RBE" (Gy (RBE)).
    """
    n = int(np.ceil(max(image.shape) * image.spacing_mm[0] / DOSE_SPACING_MM)) + 2
    middle = image.position_mm((np.array(image.shape) - 1) / 2)
    x, y, z = (float(value) for value in middle - 0.5 * (n - 1) * DOSE_SPACING_MM)
    grid = Grid((n, n, n), (DOSE_SPACING_MM,) * 3, (x, y, z))
    index = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1)
    from_middle = grid.position_mm(index) - middle - np.array(delivery.shift_mm)
    dose = PRESCRIBED_GY * _profile(np.linalg.norm(from_middle, axis=-1) / (radius_mm + 1.0), delivery.peak)
    LET_d = 2.0 + 3.0 / (1 + np.exp(-(from_middle @ np.array(delivery.direction)) / 4.0))
    D_RBE = dose * mcnamara(dose / FRACTIONS, LET_d, ALPHA_X, BETA_X)
    named = {"dose": ("dose_to_water", dose), "LET_d": ("LET_d", LET_d), "D_RBE": ("D_RBE", D_RBE)}
    return {key: Volume(grid, values.astype(np.float32), quantity(name)) for key, (name, values) in named.items()}


def left_over(
    D_RBE: npt.ArrayLike,
    LET_d: npt.ArrayLike,
    resistant: npt.ArrayLike,
    oxygen_mmHg: float,
    sensitivity: float = 1.0,
) -> Floats:
    """Volume that is left of each voxel's tissue after `DAYS`, over what was there.

    Args:
        D_RBE: of all fractions, Gy (RBE).
        LET_d: keV/um.
        resistant: whether the voxel's cells lack oxygen.
        oxygen_mmHg: their oxygen pressure.
        sensitivity: of the patient; factor of alpha_x and beta_x.
    """
    ratio = np.where(resistant, OER(LET_d, oxygen_mmHg), 1.0)
    per_fraction = np.asarray(D_RBE, dtype=float) / FRACTIONS / ratio
    S = survival(per_fraction, sensitivity * ALPHA_X, sensitivity * BETA_X) ** FRACTIONS
    return np.asarray(S * 2 ** (DAYS / DOUBLING_DAYS) + (1 - S) * 2 ** (-DAYS / CLEARANCE_DAYS))


def _profile(radius: Floats, peak: float) -> Floats:
    """1 at radius 1, `peak` in the middle, and a fall-off as steep as a proton penumbra of about 3 mm outside."""
    inside = peak - (peak - 1) * np.minimum(radius, 1.0) ** 2
    return np.asarray(inside / (1 + np.maximum(radius - 1.0, 0.0) ** 2 / 0.09))
