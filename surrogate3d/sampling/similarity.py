"""How different the radiation in two voxels is, as one number.

The dissimilarity of two voxels is

    sqrt( H^2 + (w ln(D_1 / D_2))^2 ),   H^2 = 1/2 sum_c (sqrt p_c - sqrt q_c)^2,

with p and q the dose fractions over the channels (species x energy bin), H their Hellinger distance (0 equal, 1 nothing
in common; a metric), D the dose relative to its plan's maximum, and w = 0.1 / ln 2: a factor of 2 in dose counts as
much as H = 0.1. Shape leads, since alpha and beta depend on the spectrum alone; magnitude is kept because a measure of
shape is blind to it. `embed` gives points whose Euclidean distance is exactly this number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.sampling.nearest import nearest

MAGNITUDE_WEIGHT = 0.1 / np.log(2.0)
"""Dissimilarity per unit of ln dose."""

FloatArray = npt.NDArray[np.float64]


def embed(dose_fractions: npt.NDArray[np.floating], relative_dose: npt.NDArray[np.floating]) -> FloatArray:
    """Points whose Euclidean distance is the dissimilarity.

    Args:
        dose_fractions: (n, channels) non-negative, any positive sum per row.
        relative_dose: (n,) dose over the plan's maximum, positive.

    Returns:
        (n, channels + 1) points.
    """
    shape = np.asarray(dose_fractions, dtype=float)
    root = np.sqrt(0.5 * shape / shape.sum(axis=1, keepdims=True))
    magnitude = MAGNITUDE_WEIGHT * np.log(np.asarray(relative_dose, dtype=float))
    return np.concatenate([root, magnitude[:, None]], axis=1)


def distance_to(points: FloatArray, other: FloatArray) -> FloatArray:
    """(n,) Euclidean distances of (n, m) points to one point (m,)."""
    difference = points - other
    return np.asarray(np.sqrt(np.einsum("nm,nm->n", difference, difference)))


def distance_to_nearest(points: npt.NDArray[np.floating], chosen: npt.NDArray[np.floating]) -> FloatArray:
    """Distance of every point to the nearest of the chosen ones.

    Args:
        points: (n, m).
        chosen: (k, m); with k = 0 every distance is infinite.

    Returns:
        (n,) distances.
    """
    return nearest(points, chosen)[1] if len(chosen) else np.full(len(points), np.inf)
