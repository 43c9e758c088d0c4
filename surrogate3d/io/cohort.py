"""Cohorts of lesions from a folder; its layout is in docs/cohorts.md.

Lesions that cannot be used are left out, with a note. What contradicts itself is refused whole: it says that files and
rows may be mixed up, and then the other lesions are in doubt as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from surrogate3d.errors import (
    GeometryError,
    GridMismatchError,
    StoreError,
    Surrogate3dError,
    UnknownNameError,
    ValueRangeError,
)
from surrogate3d.grid import DELIVERED, Cohort, Grid, Lesion, Volume
from surrogate3d.grid.lesion import SHRINKAGE
from surrogate3d.io.cohort_images import (
    Region,
    Scan,
    read_delivered,
    read_region,
    read_scan,
    read_volume_mm3,
    require_frames,
)
from surrogate3d.io.cohort_outcome import volume_change
from surrogate3d.io.cohort_table import Entry, Source, read_table
from surrogate3d.io.cohort_transform import read_image_to_dose

Progress = Callable[[int, int], None]

ANISOTROPIC = 3.0
"""Spacing of the slices over that in the plane from which on it is noted."""

_CONTRADICTIONS = (GridMismatchError, UnknownNameError)


def read_cohort(folder: str | Path, *, shrinkage: float = SHRINKAGE, progress: Progress | None = None) -> Cohort:
    """Read a cohort folder.

    Args:
        folder: with `cohort.csv` and the files that it names.
        shrinkage: part of its volume beyond which a lesion that shrank counts as a responder; a stated outcome must
            agree with it.
        progress: called after every lesion with lesions done and all.

    Returns:
        The lesions that can be used, in the order of the table. Its notes name those that were left out, with the
        reason, those without a follow-up, and what is odd.

    Raises:
        StoreError: there is no such folder or table.
        FormatError: the table is damaged or names something twice.
        GridMismatchError: a mask on another grid than its image; contours or doses in another frame of reference.
        UnknownNameError: a label or ROI that its file does not have.
        ValueRangeError: statements contradict each other, or no lesion can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StoreError(f"no cohort folder at {folder}; check the path")
    table = read_table(folder)
    reader = _Reader()
    lesions: list[Lesion] = []
    for n, entry in enumerate(table.entries, start=1):
        lesion = reader.lesion(entry, shrinkage)
        lesions += [lesion] if lesion else []
        if progress:
            progress(n, len(table.entries))
    if not lesions:
        raise ValueRangeError(f"{folder}: none of {len(table.entries)} lesions can be used; first: {reader.notes[0]}")
    return Cohort(tuple(lesions), tuple(dict.fromkeys((*table.notes, *reader.notes))))


class _Reader:
    """Reads lesions, an image that several of them share only once, and gathers notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._scan, self._delivered = cache(read_scan), cache(read_delivered)

    def lesion(self, entry: Entry, shrinkage: float) -> Lesion | None:
        """The lesion of a row, or None with a note."""
        try:
            image = self._scan(entry.files["image"])
            region = read_region(entry.files["mask"], image)
            _require_usable(region, image)
            truth = read_region(entry.files["truth"], image).voxels if "truth" in entry.files else None
            after = _volume_after(entry)
            transform = read_image_to_dose(entry.files["image_to_dose"]) if "image_to_dose" in entry.files else None
            delivered = {name: self._volume(entry, name, image, region, transform) for name in _named(entry)}
        except _CONTRADICTIONS as error:
            raise type(error)(f"{entry.place}: {error}") from error
        except Surrogate3dError as error:
            self.notes.append(f"{entry.name} is left out: {error}")
            return None
        change = volume_change(entry, region.volume_mm3, after, shrinkage)
        self._note(entry, image, region, after, change)
        return Lesion(
            patient=entry.patient,
            lesion=entry.lesion,
            image=image.volume,
            mask=region.voxels,
            delivered=delivered,
            volume_change=change,
            truth=truth,
            outcome=entry.outcome,
            days=entry.numbers["days"],
            image_to_dose=transform,
        )

    def _volume(self, entry: Entry, name: str, image: Scan, region: Region, transform: np.ndarray | None) -> Volume:
        """A delivered volume that meets the lesion."""
        source: Source = entry.files[name]
        scan = self._delivered(source, entry.dose_quantity if name == "dose" else name)
        if transform is None:
            require_frames(scan, image, f"{source.path}")
        share = _covered(region, image.volume.grid, scan.volume.grid, transform)
        if not share:
            raise GeometryError(
                f"{source.path}: {name} does not reach the lesion; give the one of this patient, or state the "
                "transform in image_to_dose"
            )
        if share < 1:
            self.notes.append(f"{entry.name}: {name} covers {100 * share:.3g} % of the lesion")
        return scan.volume

    def _note(self, entry: Entry, image: Scan, region: Region, after: float, change: float) -> None:
        spacing = sorted(image.volume.grid.spacing_mm)
        said = [*image.notes, *region.notes]
        if spacing[2] > ANISOTROPIC * spacing[0]:
            said.append(f"voxels of {spacing[0]:g} to {spacing[2]:g} mm; features across the slices are coarse")
        if after == 0:
            said.append("the mask at follow-up is empty; the lesion is taken to have gone")
        if math.isnan(change):
            kept = "its stated outcome stands alone" if not math.isnan(entry.outcome) else "kept, of unknown response"
            said.append(f"no volume at follow-up; {kept}")
        self.notes += [f"{entry.name}: {text}" for text in said]


def _named(entry: Entry) -> list[str]:
    return [name for name in DELIVERED if name in entry.files]


def _volume_after(entry: Entry) -> float:
    source = entry.files.get("follow_up_mask")
    return math.nan if source is None else read_volume_mm3(source)


def _require_usable(region: Region, image: Scan) -> None:
    if not region.voxels.any():
        raise ValueRangeError(
            f"the mask is empty{' at this resolution' if region.volume_mm3 else ''}; draw the lesion, or leave it out"
        )
    unknown = int((~np.isfinite(image.volume.values[region.voxels])).sum())
    if unknown:
        raise ValueRangeError(f"the image has no finite value in {unknown} voxels of the lesion")


def _covered(region: Region, image: Grid, grid: Grid, transform: np.ndarray | None) -> float:
    """Share of the lesion's voxels whose centres lie on a grid."""
    points = image.position_mm(np.argwhere(region.voxels))
    if transform is not None:
        points = points @ transform[:3, :3].T + transform[:3, 3]
    index = grid.index(points)
    return float(((index >= -0.5) & (index <= np.array(grid.shape) - 0.5)).all(axis=1).mean())
