"""Cubes about lesions: what a network sees of them.

*Where.* A cube has its axes along those of the image (in the order and sense nearest to LPS) and its middle at the
centroid of the mask, but for the last half voxel: its first voxel lies on a voxel of the image, so that nothing is
resampled where the spacing is the same. Mask and truth become the exact fraction of a voxel that they fill. Image and
dose are interpolated linearly; where the cube's voxels are wider, they are smoothed before by a Gaussian with the
variance that the wider voxel has more, (r^2 - 1) / 12 for r voxels. Beyond the edge of an image, where nothing is
known, the nearest known value stands; inside the lesion that is refused.

*Units.* The image is that of `normalisation`: 0 is as bright as what is about the lesion. Dose and D_RBE come in 10 Gy,
LET_d in 10 keV/um.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from surrogate3d.errors import GeometryError, GridMismatchError, QuantityError
from surrogate3d.grid.geometry import IDENTITY, Grid
from surrogate3d.grid.lesion import Cohort, Lesion
from surrogate3d.grid.overlap import overlap
from surrogate3d.grid.volume import Volume, turned_to
from surrogate3d.response.config import IMAGE, require_channels, require_cube
from surrogate3d.response.normalisation import SHELL_MM, cropped, normalised_image

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

SCALE = {"dose": 10.0, "D_RBE": 10.0, "LET_d": 10.0}
"""What the channels of the treatment are divided by: Gy, Gy (RBE), keV/um."""

_UNCOVERED = 0.01  # share of a lesion's volume that may lie in half voxels at the edge of an image
_LPS = Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY)


@dataclass(frozen=True, eq=False)
class Patches:
    """Cubes about lesions.

    Attributes:
        values: (n, channel, s, s, s) in the units of this page.
        channels: names of the channels.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        grids: where each cube lies.
        patient: (n,) name of each lesion's patient.
        lesion: (n,) name of each lesion.
        volume_change: (n,) relative change of volume; NaN without a follow-up.
        truth: (n, s, s, s) fraction of each voxel in the planted region, NaN for a lesion whose truth is not known;
            None if it is known of no lesion.
    """

    values: Floats
    channels: tuple[str, ...]
    inside: Floats
    grids: tuple[Grid, ...]
    patient: npt.NDArray[np.str_]
    lesion: npt.NDArray[np.str_]
    volume_change: npt.NDArray[np.float64]
    truth: Floats | None = None

    def __len__(self) -> int:
        return len(self.values)

    def subset(self, rows: npt.ArrayLike) -> Patches:
        """Some of the lesions, by number or by flag."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        return Patches(
            self.values[chosen],
            self.channels,
            self.inside[chosen],
            tuple(self.grids[n] for n in chosen),
            self.patient[chosen],
            self.lesion[chosen],
            self.volume_change[chosen],
            None if self.truth is None else self.truth[chosen],
        )

    def name(self, row: int) -> str:
        """Patient and lesion, for people."""
        return f"patient {self.patient[row]}, lesion {self.lesion[row]}"


def patches(
    cohort: Cohort, channels: tuple[str, ...] = (IMAGE, "dose"), *, size: int = 32, spacing_mm: float = 1.0
) -> Patches:
    """Cut a cube about every lesion.

    Args:
        cohort: lesions.
        channels: "image", and of `grid.lesion.DELIVERED` those asked for.
        size: edge of the cube, voxels.
        spacing_mm: edge of a voxel, mm.

    Raises:
        ConfigError: unknown channels, or an impossible cube.
        GeometryError: a lesion does not fit into the cube.
        QuantityError: a lesion has no volume of a channel.
        GridMismatchError: a channel does not cover the lesion.
        ValueRangeError: an image that cannot be normalised.
    """
    require_channels(channels)
    require_cube(size, spacing_mm)
    lesions = [_turned(cropped(each, max(SHELL_MM[1], size * spacing_mm))) for each in cohort]
    grids = tuple(_cube(each, size, spacing_mm) for each in lesions)
    both = list(zip(lesions, grids, strict=True))
    inside = np.stack([_fraction(each.mask, each.image.grid, grid) for each, grid in both])
    rows = [
        [_channel(each, name, grid, part) for name in channels] for (each, grid), part in zip(both, inside, strict=True)
    ]
    unknown = np.full((size,) * 3, np.nan, dtype=np.float32)
    truth = [unknown if each.truth is None else _fraction(each.truth, each.image.grid, grid) for each, grid in both]
    return Patches(
        values=np.array(rows, dtype=np.float32),
        channels=channels,
        inside=inside,
        grids=grids,
        patient=cohort.patients,
        lesion=np.array([each.lesion for each in lesions], dtype=np.str_),
        volume_change=cohort.volume_change,
        truth=None if all(each.truth is None for each in lesions) else np.stack(truth),
    )


def back_to_image(values: npt.NDArray[np.floating], patch_grid: Grid, image_grid: Grid) -> npt.NDArray[np.float64]:
    """Carry a map of a cube to an image, linearly.

    Args:
        values: (s, s, s) on the cube.
        patch_grid: of the cube.
        image_grid: of the image.

    Returns:
        (i, j, k) on the image; NaN outside the cube.

    Raises:
        GridMismatchError: the map does not have the shape of the cube.
    """
    if values.shape != patch_grid.shape:
        raise GridMismatchError(f"the map has shape {values.shape}, its cube {patch_grid.shape}")
    found = np.full(image_grid.shape, np.nan)
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in patch_grid.shape], indexing="ij")).reshape(3, -1).T
    box = _box(image_grid.index(patch_grid.position_mm(corners)), image_grid.shape, margin=0)
    index = patch_grid.index(image_grid.position_mm(_indices(box)))
    linear = ndimage.map_coordinates(values.astype(float), np.moveaxis(index, -1, 0), order=1, mode="nearest")
    found[box] = np.where(_within(index, patch_grid), linear, np.nan)
    return found


def _turned(lesion: Lesion) -> Lesion:
    """The lesion with its voxels in the order nearest to LPS."""

    def same(flags: Bools) -> Bools:
        return np.asarray(turned_to(replace(lesion.image, values=flags.astype(np.float32)), _LPS).values > 0)

    truth = None if lesion.truth is None else same(lesion.truth)
    return replace(lesion, image=turned_to(lesion.image, _LPS), mask=same(lesion.mask), truth=truth)


def _cube(lesion: Lesion, size: int, spacing_mm: float) -> Grid:
    first = _corner(lesion, size, spacing_mm)
    if first is None:
        fits = next(n for n in count(size + 2, 2) if _corner(lesion, n, spacing_mm) is not None)
        raise GeometryError(
            f"{lesion.name}: the lesion does not fit into a cube of {size} voxels of {spacing_mm:g} mm about its "
            f"centroid; size = {fits} would do, or wider voxels"
        )
    x, y, z = lesion.image.grid.position_mm(first).tolist()
    return Grid((size,) * 3, (spacing_mm,) * 3, (x, y, z), lesion.image.grid.direction)


def _corner(lesion: Lesion, size: int, spacing_mm: float) -> npt.NDArray[np.float64] | None:
    """(3,) voxel of the image on which the first voxel of the cube lies; None if the lesion does not fit."""
    edge = np.array(lesion.image.grid.spacing_mm)
    first = np.rint(np.array(ndimage.center_of_mass(lesion.mask)) - (size - 1) / 2 * spacing_mm / edge)
    filled = np.argwhere(lesion.mask)
    low, high = (filled.min(axis=0) - 0.5 - first) * edge, (filled.max(axis=0) + 0.5 - first) * edge
    fits = (low >= -spacing_mm / 2 - 1e-6).all() and (high <= (size - 0.5) * spacing_mm + 1e-6).all()
    return first if fits else None


def _fraction(flags: Bools, source: Grid, target: Grid) -> Floats:
    """Fraction of each voxel of `target` that the flagged voxels fill."""
    return overlap(source, target).mean(flags.astype(float)).astype(np.float32)


def _channel(lesion: Lesion, name: str, grid: Grid, inside: Floats) -> Floats:
    position = grid.position_mm(_indices([slice(0, n) for n in grid.shape]))
    if name == IMAGE:
        image = replace(lesion.image, values=normalised_image(lesion))
        return _sampled(image, position, grid.spacing_mm[0])[0]
    if name not in lesion.delivered:
        raise QuantityError(f"{lesion.name}: there is no {name}, which the channels ask for; give it, or leave it out")
    if lesion.image_to_dose is not None:
        position = position @ lesion.image_to_dose[:3, :3].T + lesion.image_to_dose[:3, 3]
    values, known = _sampled(lesion.delivered[name], position, grid.spacing_mm[0])
    missing = float(inside[~known].sum() / inside.sum())
    if missing > _UNCOVERED:
        raise GridMismatchError(
            f"{lesion.name}: {name} is not known in {100 * missing:.3g} % of the lesion (outside its grid, or NaN); "
            "check the positions of both (LPS, mm), or the transform from image to dose"
        )
    return values / np.float32(SCALE[name])


def _sampled(volume: Volume, position_mm: npt.NDArray[np.float64], spacing_mm: float) -> tuple[Floats, Bools]:
    """Values at the voxels of a cube with this spacing, and where they are known."""
    index = volume.grid.index(position_mm)
    known = _within(index, volume.grid)
    box = _box(index.reshape(-1, 3), volume.grid.shape, margin=4)
    part, missing = volume.values[box].astype(float), np.isnan(volume.values[box])
    if missing.all():
        return np.zeros(known.shape, dtype=np.float32), np.zeros_like(known)
    if missing.any():
        nearest = ndimage.distance_transform_edt(
            missing, volume.grid.spacing_mm, return_distances=False, return_indices=True
        )
        part = part[tuple(nearest)]
    wider = spacing_mm / np.array(volume.grid.spacing_mm)
    smooth = ndimage.gaussian_filter(part, np.sqrt(np.maximum(wider**2 - 1, 0) / 12), mode="nearest")
    local = np.moveaxis(index - [each.start for each in box], -1, 0)
    known &= ndimage.map_coordinates(missing.astype(np.uint8), local, order=0, mode="nearest") == 0
    return ndimage.map_coordinates(smooth, local, order=1, mode="nearest").astype(np.float32), known


def _within(index: npt.NDArray[np.float64], grid: Grid) -> Bools:
    """Whether positions lie in a voxel of a grid, edges included."""
    return np.asarray(((index >= -0.5 - 1e-9) & (index <= np.array(grid.shape) - 0.5 + 1e-9)).all(axis=-1))


def _box(index: npt.NDArray[np.float64], shape: Sequence[int], margin: int) -> tuple[slice, slice, slice]:
    """Voxels about some indices, with at least one of the grid."""
    low, high = np.floor(index.min(axis=0)) - margin, np.ceil(index.max(axis=0)) + margin + 1
    starts = [int(np.clip(a, 0, n - 1)) for a, n in zip(low, shape, strict=True)]
    i, j, k = (slice(a, int(np.clip(b, a + 1, n))) for a, b, n in zip(starts, high, shape, strict=True))
    return i, j, k


def _indices(box: Sequence[slice]) -> npt.NDArray[np.float64]:
    """(i, j, k, 3) voxel indices of a box."""
    axes = np.meshgrid(*[np.arange(part.start, part.stop, dtype=float) for part in box], indexing="ij")
    return np.stack(axes, axis=-1)
