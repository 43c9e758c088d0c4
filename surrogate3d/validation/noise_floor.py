"""The truth's own Monte Carlo noise, from two independent halves of its histories."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.regions import union
from surrogate3d.validation.metrics import root_mean_square


def noise_floor(
    half_a: npt.NDArray[np.floating],
    half_b: npt.NDArray[np.floating],
    masks: Mapping[str, npt.NDArray[np.bool_]] | None = None,
) -> dict[str, float]:
    """Root mean square of the truth's relative noise, overall and by region.

    With A and B the same quantity from two independent halves of equal size, (A - B) / 2 has the variance of their
    mean, which is the truth. Noise that both halves share, and the bias of a non-linear quantity, cannot be
    seen this way.

    Args:
        half_a: quantity of the first half, any shape.
        half_b: quantity of the second half, same shape.
        masks: regions by name, each of the shape of the halves.

    Returns:
        Noise in % of (A + B) / 2: "all" over the union of the masks (without masks over all voxels), then by region.
        Voxels that are NaN in either half are left out; NaN for a region without voxels.

    Raises:
        GridMismatchError: shapes differ.
    """
    if half_a.shape != half_b.shape:
        raise GridMismatchError(f"the halves differ in shape, {half_a.shape} against {half_b.shape}")
    masks = masks or {}
    result = {}
    for name, mask in {"all": union(masks, half_a.shape), **masks}.items():
        a, b = half_a[mask].astype(float), half_b[mask].astype(float)
        known = np.isfinite(a) & np.isfinite(b)
        a, b = a[known], b[known]
        result[name] = root_mean_square(100.0 * (a - b) / (a + b))
    return result
