"""Shapes of synthetic lesions and of the subregions in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SIDE = 44
"""Voxels of 1 mm along each side of the image of a lesion."""


@dataclass(frozen=True, eq=False)
class Tissue:
    """Which tissue is where, all (i, j, k).

    Attributes:
        lesion: all of it.
        depth_mm: distance from the surface, inside the lesion.
        necrotic: the core without living cells.
        resistant: viable tissue that resists.
        distractor: viable tissue that only looks different.
    """

    lesion: Flags
    depth_mm: Floats
    necrotic: Flags
    resistant: Flags
    distractor: Flags


def smooth_field(shape: tuple[int, int, int], length_mm: float, rng: np.random.Generator) -> Floats:
    """Gaussian random field of mean 0 and variance 1: white noise, smoothed by a Gaussian; voxels of 1 mm."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), length_mm, mode="wrap")
    return np.asarray((field - field.mean()) / field.std())


def distance_from(point: npt.ArrayLike) -> Floats:
    """(i, j, k) distance in mm of every voxel of the image from a point in voxels."""
    axes = np.meshgrid(*[np.arange(SIDE, dtype=float)] * 3, indexing="ij")
    return np.asarray(np.sqrt(sum((a - p) ** 2 for a, p in zip(axes, np.asarray(point), strict=True))))


def grow_tissue(
    radius_mm: float, necrotic: float, resistant: float, distractor: float, rng: np.random.Generator
) -> Tissue:
    """Grow a lesion about the middle of the image, with its subregions.

    Args:
        radius_mm: of the sphere with about the same volume.
        necrotic: share of the lesion in its core.
        resistant: share of the viable lesion that resists.
        distractor: share of the viable lesion that only looks different; less where there is no room.
        rng: decides the shapes; the same numbers are drawn whatever the shares.
    """
    lesion = _lesion(radius_mm, rng)
    depth = np.asarray(ndimage.distance_transform_edt(lesion), dtype=np.float64)
    core = _largest(depth + 0.8 * smooth_field(lesion.shape, 3.0, rng), lesion, necrotic)
    viable = lesion & ~core
    resisting = _patch(viable, viable, resistant, rng)
    looking = _patch(viable & ~resisting, viable, distractor, rng)
    return Tissue(lesion, depth, core, resisting, looking)


def _lesion(radius_mm: float, rng: np.random.Generator) -> Flags:
    """An ellipsoid with a wavy surface, in one piece."""
    stretch = np.exp(0.12 * rng.standard_normal(3))
    axes_mm = np.minimum(radius_mm * stretch / np.prod(stretch) ** (1 / 3), 12.0)
    centre = (SIDE - 1) / 2 + rng.uniform(-0.5, 0.5, 3)
    axes = np.meshgrid(*[np.arange(SIDE, dtype=float)] * 3, indexing="ij")
    level = np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, axes_mm, strict=True)))
    # The wave is bounded, so that no lesion outgrows 28 mm.
    inside = level + 0.12 * np.clip(smooth_field(level.shape, 4.0, rng), -1.3, 1.3) < 1
    pieces, _ = ndimage.label(inside)
    return np.asarray(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def _patch(room: Flags, viable: Flags, share: float, rng: np.random.Generator) -> Flags:
    """A blob with a wavy border about a random voxel of `room`, as large as a share of the viable tissue if it fits."""
    voxels = np.argwhere(room)
    at = rng.random()
    wave = smooth_field(viable.shape, 3.0, rng)
    if not len(voxels):
        return np.zeros_like(room)
    nearness = -distance_from(voxels[int(at * len(voxels))]) + 1.5 * wave
    return _largest(nearness, room, min(1.0, share * viable.sum() / room.sum()))


def _largest(values: Floats, room: Flags, share: float) -> Flags:
    """The share of `room` where the values are largest."""
    n = round(share * int(room.sum()))
    chosen = np.zeros_like(room)
    order = np.flatnonzero(room)[np.argsort(-values[room], kind="stable")]
    chosen.flat[order[:n]] = True
    return chosen
