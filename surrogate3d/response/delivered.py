"""What a part of a lesion got, against the rest of the lesion: dose, D_RBE, LET_d and survival.

Everything stays on the grid on which it was delivered: each of its voxels counts by the fraction of its volume that
lies in the part, which is exact for values that are constant over a voxel, and interpolates nothing. Where voxels of
the dose are larger than those of the image, one on the border counts on both sides, so differences come out small.
`lesion_part` says what the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, Surrogate3dError, ValueRangeError
from surrogate3d.grid import Grid, Lesion
from surrogate3d.grid.carry import fraction_inside
from surrogate3d.grid.overlap import COVERED
from surrogate3d.response.lesion_part import Part, PhotonCurve, known_mm3, main_dose, part_of, plain

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Delivered:
    """What a lesion got in a region and in the rest.

    Attributes:
        patient: name of the patient.
        lesion: name of the lesion.
        whole: the lesion.
        inside: the region.
        outside: the rest of the lesion.
        notes: what is not known or odd, in sentences.
    """

    patient: str
    lesion: str
    whole: Part
    inside: Part
    outside: Part
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> dict[str, Any]:
        """Inside minus outside, as plain data; null where one of both is not known."""
        one, other = self.inside, self.outside
        simple = {name: getattr(one, name) - getattr(other, name) for name in ("LET_d", "survival", "log10_survival")}
        spreads = {name: getattr(one, name).minus(getattr(other, name)) for name in ("dose", "D_RBE")}
        return {name: plain(value) for name, value in {**spreads, **simple}.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        parts = {name: getattr(self, name).to_json() for name in ("whole", "inside", "outside")}
        names = {"patient": self.patient, "lesion": self.lesion}
        return {**names, **parts, "difference": self.difference, "notes": list(self.notes)}


def delivered(lesion: Lesion, region: Bools, photons: PhotonCurve | None = None) -> Delivered:
    """Compare a region of a lesion with the rest of it.

    Args:
        lesion: with a dose, or D_RBE; LET_d and a map of survival where there are any.
        region: (i, j, k) voxels of its image; may be empty or the whole lesion, then a side has no numbers.
        photons: for survival from D_RBE, where there is no map of it.

    Raises:
        QuantityError: neither dose nor D_RBE is known of the lesion.
        GridMismatchError: the region does not have the shape of the image, or the dose lies elsewhere altogether.
        ValueRangeError: the region leaves the lesion, or values are negative or infinite.
    """
    _require_region(lesion, region)
    parts = {"whole": lesion.mask, "inside": region, "outside": lesion.mask & ~region}
    weights = {name: _weights(lesion, voxels) for name, voxels in parts.items()}
    notes = _unknown(lesion, weights["whole"])
    notes += [f"no voxels {name}, so there is nothing to compare" for name in parts if not parts[name].any()]
    whole, inside, outside = (part_of(lesion, parts[name], weights[name], photons) for name in parts)
    return Delivered(lesion.patient, lesion.lesion, whole, inside, outside, tuple(notes))


def delivered_to_all(
    lesions: Iterable[Lesion], regions: Sequence[Bools], photons: PhotonCurve | None = None
) -> tuple[list[Delivered], list[str]]:
    """`delivered` of several lesions; one that cannot be compared is left out, and named in a note.

    Args:
        lesions: any number.
        regions: (i, j, k) of each.
        photons: as in `delivered`.

    Returns:
        Those that could be compared, in order, and one note for each of the others.
    """
    found, notes = list[Delivered](), list[str]()
    for lesion, region in zip(lesions, regions, strict=True):
        try:
            found.append(delivered(lesion, region, photons))
        except Surrogate3dError as error:
            notes.append(f"{lesion.name} is left out: {str(error).removeprefix(f'{lesion.name}: ')}")
    return found, notes


def _require_region(lesion: Lesion, region: Bools) -> None:
    if not {"dose", "D_RBE"} & set(lesion.delivered):
        known = ", ".join(lesion.delivered) or "nothing"
        raise QuantityError(f"{lesion.name}: neither dose nor D_RBE is known of it, only {known}; add one to its row")
    if region.shape != lesion.mask.shape:
        raise GridMismatchError(f"{lesion.name}: the region has shape {region.shape}, its image {lesion.mask.shape}")
    beyond = int((region & ~lesion.mask).sum())
    if beyond:
        raise ValueRangeError(
            f"{lesion.name}: {beyond} voxels of the region lie outside the lesion; cut it to the lesion"
        )
    for name, volume in lesion.delivered.items():
        if (volume.values < 0).any() or np.isinf(volume.values).any():
            raise ValueRangeError(f"{lesion.name}: {name} has negative or infinite values; check its unit and its file")


def _weights(lesion: Lesion, voxels: Bools) -> dict[str, Floats]:
    """(i, j, k) fraction of each voxel that lies in a part, on the grid of each quantity."""
    by_grid: dict[Grid, Floats] = {}
    for name, volume in lesion.delivered.items():
        try:
            if volume.grid not in by_grid:
                by_grid[volume.grid] = fraction_inside(voxels, lesion.image.grid, volume.grid, lesion.image_to_dose)
        except GridMismatchError as error:
            raise GridMismatchError(f"{lesion.name}: image and {name} are apart: {error}") from error
    return {name: by_grid[volume.grid] for name, volume in lesion.delivered.items()}


def _unknown(lesion: Lesion, weights: Mapping[str, Floats]) -> list[str]:
    """What is not known in all of the lesion; a lesion without any dose is refused."""
    known = {name: known_mm3(lesion.delivered[name], weights[name]) / lesion.volume_mm3 for name in weights}
    if not known[main_dose(lesion)]:
        raise QuantityError(
            f"{lesion.name}: its {main_dose(lesion)} is not known in any voxel of it; check both positions"
        )
    return [
        f"{name} is not known in {100 * (1 - share):.3g} % of the lesion, which is left out of its numbers"
        for name, share in known.items()
        if share < COVERED
    ]
