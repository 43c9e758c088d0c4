"""Tiny lesions: a sphere with or without a bright part, which does not respond if it is there."""

import numpy as np

from surrogate3d.grid import Cohort, Grid, Lesion, Volume, quantity
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.patches import Patches, patches

SMALL = ResponseConfig(channels=("image", "dose"), size=12, widths=(6, 5), epochs=3, batch=4, members=2, copies=2)


def made_lesion(patient: str, lesion: str, resists: bool, seed: int, edge: int = 18) -> Lesion:
    rng = np.random.default_rng(seed)
    grid = Grid((edge,) * 3, (1.0, 1.0, 1.0), (-7.0, 3.0, 20.0))
    centre = (edge - 1) / 2 + rng.uniform(-1, 1, 3)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(grid.shape), centre, strict=True)))
    mask = distance < 4.2
    corner = np.abs(np.moveaxis(np.indices(grid.shape), 0, -1) - centre - rng.choice([-1, 1], 3) * 1.5).max(-1) < 1.6
    truth = mask & corner if resists else np.zeros_like(mask)
    signal = 100.0 + 40 * mask + 60 * truth + rng.normal(0, 4, grid.shape)
    dose_grid = Grid((14,) * 3, (2.0, 2.0, 2.0), (-11.0, -1.0, 16.0))
    dose = np.full(dose_grid.shape, 18.0) + rng.normal(0, 0.2, dose_grid.shape)
    return Lesion(
        patient,
        lesion,
        Volume(grid, signal.astype(np.float32), quantity("image_signal")),
        mask,
        {"dose": Volume(dose_grid, dose, quantity("dose_to_water"))},
        volume_change=0.1 if resists else -0.5,
        truth=truth,
    )


def made_cohort(n_patients: int = 8) -> Cohort:
    """Two lesions of each patient; one responds, one does not."""
    return Cohort(
        [made_lesion(f"P{p}", f"L{n}", resists=bool(n), seed=2 * p + n) for p in range(n_patients) for n in range(2)]
    )


def made_patches(n_patients: int = 8) -> Patches:
    return patches(made_cohort(n_patients), SMALL.channels, size=SMALL.size)
