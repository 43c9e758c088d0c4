"""A region that a map of resistance suggests for a boost. Research only: not for treatment.

Suggested are the voxels of a lesion where the map exceeds the threshold that was learned with the model. Specks and
spurs thinner than about two millimetres are opened away, pits and slits closed, and parts of less than 0.05 cm3 left
out, since a patch of 1 mm voxels does not support them. The region never leaves the lesion, and has no margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import Grid, Lesion

Bools = npt.NDArray[np.bool_]

LEAST_CM3 = 0.05
"""Parts of a region below this volume are left out."""

CLEANING_MM = 1.0
"""Radius of the ball that opens and closes a region; on larger voxels it is one voxel, and does nothing."""

NO_REGION = "no region suggested"


@dataclass(frozen=True, eq=False)
class Boost:
    """What is suggested in one lesion.

    Attributes:
        patient: name of the patient.
        lesion: name of the lesion.
        grid: of the lesion's image.
        region: (i, j, k) voxels that are suggested, all in the lesion; none where nothing is.
        threshold: the map exceeds it, but for voxels that closing added.
        lesion_cm3: volume of the lesion.
        parts_cm3: volumes of the connected parts, the largest first.
        notes: what was left out, or why there is no region, in sentences.
    """

    patient: str
    lesion: str
    grid: Grid
    region: Bools
    threshold: float
    lesion_cm3: float
    parts_cm3: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def volume_cm3(self) -> float:
        """Volume of the region."""
        return float(self.region.sum()) * self.grid.voxel_volume_mm3 / 1000


def related_region(lesion: Lesion, resistance: npt.NDArray[np.floating], threshold: float) -> Bools:
    """Voxels of a lesion where a map exceeds a threshold, as they are; where the map is NaN they do not.

    Args:
        lesion: with image and mask.
        resistance: (i, j, k) on the grid of its image; NaN where there is no answer.
        threshold: in the unit of the map.

    Raises:
        GridMismatchError: the map does not have the shape of the image.
        ValueRangeError: the threshold is not finite, or the map is NaN in the whole lesion.
    """
    if resistance.shape != lesion.mask.shape:
        raise GridMismatchError(f"{lesion.name}: the map has shape {resistance.shape}, its image {lesion.mask.shape}")
    if not math.isfinite(threshold):
        raise ValueRangeError(f"{lesion.name}: the threshold of the map must be a finite number, found {threshold}")
    if np.isnan(resistance[lesion.mask]).all():
        raise ValueRangeError(f"{lesion.name}: the map is NaN in the whole lesion; it belongs to another place")
    return np.asarray(lesion.mask & (np.nan_to_num(resistance, nan=-np.inf) > threshold))


def suggested_boost(
    lesion: Lesion, resistance: npt.NDArray[np.floating], threshold: float, least_cm3: float = LEAST_CM3
) -> Boost:
    """Suggest a region of a lesion.

    Args:
        lesion: with image and mask.
        resistance: (i, j, k) on the grid of its image; NaN where there is no answer.
        threshold: of the model, in the unit of the map.
        least_cm3: smaller parts are left out.

    Returns:
        The region, which may be empty; its notes say so.

    Raises:
        GridMismatchError, ValueRangeError: as `related_region`; or a least volume that is negative.
    """
    if not least_cm3 >= 0:
        raise ValueRangeError(f"the least volume of a part must be 0 cm3 or more, found {least_cm3:g}")
    raw = related_region(lesion, resistance, threshold)
    grid, notes = lesion.image.grid, list[str]()
    unknown = int(np.isnan(resistance[lesion.mask]).sum())
    if unknown:
        notes.append(f"the map has no answer in {unknown} of {int(lesion.mask.sum())} voxels of the lesion")
    region, parts = _large_parts(cleaned(raw, grid) & lesion.mask & ~np.isnan(resistance), grid, least_cm3, notes)
    if not parts:
        above = float(raw.sum()) * grid.voxel_volume_mm3 / 1000
        notes.append(f"{NO_REGION}: {above:.3g} cm3 of the lesion are above the threshold, before cleaning")
    volume_cm3 = lesion.volume_mm3 / 1000
    return Boost(lesion.patient, lesion.lesion, grid, region, threshold, volume_cm3, parts, tuple(notes))


def cleaned(region: Bools, grid: Grid, radius_mm: float = CLEANING_MM) -> Bools:
    """Opened, then closed, by a ball; what closing adds may lie anywhere within the radius.

    Args:
        region: (i, j, k).
        grid: of the region.
        radius_mm: of the ball.
    """
    reach = [int(radius_mm / spacing + 1e-9) for spacing in grid.spacing_mm]
    ball = np.zeros([2 * n + 1 for n in reach], dtype=bool)
    for offset in product(*(range(-n, n + 1) for n in reach)):
        apart = math.hypot(*(n * spacing for n, spacing in zip(offset, grid.spacing_mm, strict=True)))
        ball[tuple(n + m for n, m in zip(offset, reach, strict=True))] = apart <= radius_mm + 1e-9
    padded = np.pad(region, [(n, n) for n in reach])  # closing at the border of the image must not eat it
    made = ndimage.binary_closing(ndimage.binary_opening(padded, ball), ball)
    return np.asarray(made[tuple(slice(n, n + size) for n, size in zip(reach, region.shape, strict=True))])


def _large_parts(region: Bools, grid: Grid, least_cm3: float, notes: list[str]) -> tuple[Bools, tuple[float, ...]]:
    """The connected parts (by faces) that are large enough, and their volumes."""
    labels, count = ndimage.label(region)
    volumes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * (grid.voxel_volume_mm3 / 1000)
    large = volumes >= least_cm3 * (1 - 1e-9)  # a volume of exactly the least is enough, whatever its rounding
    if not large.all():
        notes.append(
            f"{int((~large).sum())} part(s) below {least_cm3:g} cm3 left out, the largest of "
            f"{volumes[~large].max():.3g} cm3"
        )
    kept = np.isin(labels, np.flatnonzero(large) + 1)
    return np.asarray(kept), tuple(sorted((float(each) for each in volumes[large]), reverse=True))
