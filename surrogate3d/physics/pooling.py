"""Pooling of noisy spectra over neighbouring voxels: fixed rules, the baselines that a network has to beat.

In proton fields the few heavy secondaries carry most of the noise of alpha, so each species is pooled over its own
neighbourhood, which depends on the field's primary (the species with the largest dose). Pooling is of dose and
ratio-normalised, pool_g(dose of g) / pool_g(total dose): the result is the mean of the dose fractions with dose as
weight, and neither a dose gradient nor the edge of the grid biases it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, GridMismatchError
from surrogate3d.grid.spectrum import SpectrumAxes

Floats = npt.NDArray[np.float64]

GROUP_SIGMAS: dict[str, dict[str, tuple[float, float]]] = {
    "H": {"H": (0.5, 0.0), "He": (3.0, 2.0)},
    "C": {"C": (0.5, 0.0)},
}
"""Gaussian sigma (lateral, along depth) in voxels, by the primary of the field and then by species.

Species, and fields of other primaries, that are not named are not pooled. Chosen on OpenTOPAS runs with 2.5 mm voxels:
pooling primaries along depth is harmful, and in a carbon field helium is no rare secondary but 7 % of the dose with
gradients of its own, so that the proton rule makes carbon worse than no pooling.
"""

_TRUNCATE = 3.0

Gaussian = Callable[[npt.NDArray[np.floating], tuple[float, ...]], npt.NDArray[np.floating]]
"""Filters (..., i, j, k) by standard deviations along i, j and k, in voxels."""


def pool_uniform(bin_dose: npt.NDArray[np.floating], sigma_voxels: float | tuple[float, float, float]) -> Floats:
    """The same Gaussian for every species and bin.

    Values outside the grid count as zero. Dose is therefore lost at the edges, and ratios of pooled values, such as the
    dose fractions that alpha is made of, remain normalised.

    Args:
        bin_dose: (..., i, j, k).
        sigma_voxels: standard deviation in voxels, one for all axes or one per axis; the kernel ends at three.

    Returns:
        Pooled values, float64, same shape.
    """
    sigmas = np.broadcast_to(np.asarray(sigma_voxels, dtype=float), (3,))
    return _gaussian(bin_dose, tuple(float(s) for s in sigmas))


def pool_grouped(
    bin_dose: npt.NDArray[np.floating], axes: SpectrumAxes, beam_axis: int, primary: str | None = None
) -> Floats:
    """Dose fractions after species-grouped pooling.

    Args:
        bin_dose: (species, bin, i, j, k) dose per bin, in any one unit.
        axes: species and bins.
        beam_axis: 0, 1 or 2, the axis along depth.
        primary: the field's primary; the species with the largest dose here, if not given. Give it for a part of a
            field, where fragments may prevail.

    Returns:
        (species, bin, i, j, k) dose fractions, which sum to one over species and bins; zero where there is no dose.

    Raises:
        GridMismatchError: `bin_dose` does not have the shape of `axes`.
        GeometryError: `beam_axis` is not 0, 1 or 2.
    """
    if bin_dose.ndim != 5 or bin_dose.shape[:2] != (len(axes.species), axes.n_bins):
        raise GridMismatchError(
            f"bin_dose must be {(len(axes.species), axes.n_bins)} + (i, j, k), found shape {bin_dose.shape}"
        )
    fractions = _pool_groups(bin_dose, bin_dose.sum(axis=1, dtype=float), axes.species, beam_axis, primary, _gaussian)
    return _divide(fractions, fractions.sum(axis=(0, 1)), 0.0)


def pool_accumulators_grouped(
    accumulators: npt.NDArray[np.floating],
    species: Sequence[str],
    beam_axis: int,
    primary: str | None = None,
    gaussian: Gaussian | None = None,
) -> tuple[Floats, Floats]:
    """Species-grouped pooling of what alpha and beta are made of.

    Mixing is linear in the dose fractions, so pooling the three accumulators of each species gives what mixing the
    pooled spectra of `pool_grouped` gives, at a small part of the cost.

    Args:
        accumulators: (species, 3, i, j, k) dose, dose_alpha, dose_sqrt_beta of each species (`species_accumulators`).
        species: element symbols, in the order of the first axis.
        beam_axis: 0, 1 or 2, the axis along depth.
        primary: as for `pool_grouped`.
        gaussian: another way to filter (..., i, j, k) by sigmas along i, j and k, such as a fast one in single
            precision; zeros outside, its kernel ends at three sigmas.

    Returns:
        alpha (1/Gy) and sqrt(beta) (1/Gy), each (i, j, k); NaN where there is no dose.

    Raises:
        GridMismatchError: `accumulators` does not have that shape.
        GeometryError: `beam_axis` is not 0, 1 or 2.
    """
    if accumulators.ndim != 5 or accumulators.shape[:2] != (len(species), 3):
        raise GridMismatchError(
            f"accumulators must be {(len(species), 3)} + (i, j, k), found shape {accumulators.shape}"
        )
    dose = accumulators[:, 0].astype(float) if gaussian is None else accumulators[:, 0]
    pooled = _pool_groups(accumulators, dose, species, beam_axis, primary, gaussian or _gaussian)
    whole, dose_alpha, dose_sqrt_beta = pooled.sum(axis=0)
    return _divide(dose_alpha, whole, np.nan), _divide(dose_sqrt_beta, whole, np.nan)


def _pool_groups(
    values: npt.NDArray[np.floating],
    species_dose: npt.NDArray[np.floating],
    species: Sequence[str],
    beam_axis: int,
    primary: str | None,
    gaussian: Gaussian,
) -> Floats:
    """pool_g(values of g) / pool_g(total) for each species g, zero where there is no dose; (species, n, i, j, k)."""
    if beam_axis not in (0, 1, 2):
        raise GeometryError(f"beam_axis must be 0, 1 or 2 (the axis along depth), found {beam_axis!r}")
    total = species_dose.sum(axis=0)
    largest = species[int(species_dose.sum(axis=(1, 2, 3)).argmax())]
    rule = GROUP_SIGMAS.get(primary or largest, {})
    pooled = np.zeros(values.shape)
    for g, name in enumerate(species):
        lateral, depth = rule.get(name, (0.0, 0.0))
        sigmas = tuple(depth if axis == beam_axis else lateral for axis in range(3))
        pooled[g] = _divide(gaussian(values[g], sigmas), gaussian(total, sigmas), 0.0)
        pooled[g][:, total <= 0] = 0.0  # a neighbour's dose is no answer for a voxel without dose
    return pooled


def _gaussian(values: npt.NDArray[np.floating], sigmas: tuple[float, ...]) -> Floats:
    from scipy.ndimage import gaussian_filter  # here, as it is slow to load

    sigmas = (0.0,) * (values.ndim - len(sigmas)) + sigmas
    return np.asarray(gaussian_filter(values.astype(float), sigmas, mode="constant", cval=0.0, truncate=_TRUNCATE))


def _divide(numerator: npt.NDArray[np.floating], denominator: npt.NDArray[np.floating], otherwise: float) -> Floats:
    """Quotient of (..., i, j, k) and (i, j, k), and another value where the denominator is not positive."""
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), otherwise)
