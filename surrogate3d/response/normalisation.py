"""One scale for images of several scanners, and the delivered dose on the image's voxels.

The signal of MRI has no unit. It is measured here against tissue close by: a shell around the lesion, which only the
lesion's mask tells. All methods (network, radiomics, gradients) see the same numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, find_objects

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.grid import Grid, Lesion, Volume
from surrogate3d.grid.linear import sample_linear

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SHELL_MM = (2.0, 6.0)
"""Distances from the lesion between which tissue is the reference: beyond the blurred edge, and still near."""


def normalised_image(lesion: Lesion) -> Floats:
    """The image divided by the median signal of a shell around the lesion, minus 1.

    Args:
        lesion: with an image in any unit that is proportional to a signal.

    Returns:
        (i, j, k) on the image's grid; 0 is the tissue around the lesion, 1 twice its signal.

    Raises:
        ValueRangeError: the image is not finite in the lesion, does not reach beyond it, or the shell's median is not
            above 0.
    """
    values = lesion.image.values.astype(np.float64)
    if not np.isfinite(values[lesion.mask]).all():
        raise ValueRangeError(f"{lesion.name}: the image has voxels in the lesion that are not numbers; leave it out")
    around = values[shell(lesion.mask, lesion.image.grid)]
    around = around[np.isfinite(around)]
    if not around.size:
        raise ValueRangeError(
            f"{lesion.name}: the image has no voxel {SHELL_MM[0]:g} to {SHELL_MM[1]:g} mm from the lesion to compare "
            "its signal with; take a larger image"
        )
    reference = float(np.median(around))
    if reference <= 0:
        raise ValueRangeError(
            f"{lesion.name}: the median signal {SHELL_MM[0]:g} to {SHELL_MM[1]:g} mm from the lesion must be above 0, "
            f"found {reference:g}; give an image in a unit that is proportional to the signal"
        )
    return np.asarray(values / reference - 1.0)


def shell(mask: Bools, grid: Grid, between_mm: tuple[float, float] = SHELL_MM) -> Bools:
    """Voxels whose centres lie between two distances from the nearest centre of a mask's voxel.

    Args:
        mask: (i, j, k).
        grid: of the mask.
        between_mm: both ends are included.

    Returns:
        (i, j, k).
    """
    box = with_margin(mask, grid, between_mm[1])
    distance = distance_transform_edt(~mask[box], sampling=grid.spacing_mm)
    found = np.zeros_like(mask)
    found[box] = (distance >= between_mm[0] - 1e-9) & (distance <= between_mm[1] + 1e-9) & ~mask[box]
    return found


def with_margin(mask: Bools, grid: Grid, margin_mm: float) -> tuple[slice, slice, slice]:
    """The smallest box of voxels with a mask and a margin, as far as the grid goes."""
    (parts,) = find_objects(mask.astype(np.int8))
    wide = [int(np.ceil(margin_mm / spacing)) for spacing in grid.spacing_mm]
    i, j, k = (slice(max(0, part.start - n), part.stop + n) for part, n in zip(parts, wide, strict=True))
    return i, j, k


def delivered_on_image(lesion: Lesion, name: str) -> Floats:
    """What was delivered, on the voxels of the image: linear between the centres of the dose's voxels.

    Positions go through `Lesion.image_to_dose`, where the lesion has one.

    Args:
        lesion: with that volume.
        name: one of `surrogate3d.grid.DELIVERED`.

    Returns:
        (i, j, k) in the unit of the volume; NaN outside of its outermost voxel centres.

    Raises:
        UnknownNameError: the lesion has no such volume.
        ValueRangeError: a voxel of the lesion has no value.
    """
    if name not in lesion.delivered:
        raise UnknownNameError(
            f"{lesion.name}: asked for {name}, but there is {', '.join(lesion.delivered) or 'nothing'} of the treatment"
        )
    positions = _positions(lesion.image.grid)
    if lesion.image_to_dose is not None:
        positions = positions @ lesion.image_to_dose[:3, :3].T + lesion.image_to_dose[:3, 3]
    values = sample_linear(lesion.delivered[name], positions)
    missing = int(np.isnan(values[lesion.mask]).sum())
    if missing:
        raise ValueRangeError(
            f"{lesion.name}: {name} is not known in {missing} of {int(lesion.mask.sum())} voxels of the lesion; "
            "check the positions of both (LPS, mm), or the transform from image to dose"
        )
    return values


def _positions(grid: Grid) -> Floats:
    """(i, j, k, 3) centres of voxels, mm."""
    return grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1))


def cropped(lesion: Lesion, margin_mm: float) -> Lesion:
    """The lesion with the part of its image that lies within a margin; what was delivered stays as it is."""
    grid = lesion.image.grid
    box = with_margin(lesion.mask, grid, margin_mm)
    i, j, k = lesion.mask[box].shape
    x, y, z = (float(value) for value in grid.position_mm([part.start for part in box]))
    part = replace(grid, shape=(i, j, k), origin_mm=(x, y, z))
    return replace(
        lesion,
        image=Volume(part, lesion.image.values[box], lesion.image.quantity),
        mask=lesion.mask[box],
        truth=None if lesion.truth is None else lesion.truth[box],
    )
