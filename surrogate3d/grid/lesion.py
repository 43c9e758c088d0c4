"""Lesions with their image, what was delivered to them, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GeometryError, GridMismatchError, ValueRangeError
from surrogate3d.grid.volume import Volume

DELIVERED = ("dose", "D_RBE", "LET_d")
"""What may be known of the treatment of a lesion; names of quantities."""

SHRINKAGE = 0.2
"""A lesion responded if it lost more than this part of its volume (Peng et al., arXiv:2506.17536)."""

RIGID = 1e-4
"""How far a stated rotation may be from orthonormal: what rounding to five digits leaves."""


def require_rigid(matrix: npt.NDArray[np.floating], what: str) -> None:
    """Refuse a transform that does more than turn and shift.

    Args:
        matrix: 4 x 4, takes (x, y, z, 1) in mm to another frame.
        what: named in the message.

    Raises:
        GeometryError: it is not 4 x 4 and finite with the last row 0 0 0 1, or its 3 x 3 part is no rotation within
            `RIGID`.
    """
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or (matrix[3] != (0, 0, 0, 1)).any():
        raise GeometryError(
            f"{what}: expected a finite 4 x 4 matrix with the last row 0 0 0 1, found {matrix.tolist()}"
        )
    rotation = matrix[:3, :3]
    off, determinant = float(np.abs(rotation @ rotation.T - np.eye(3)).max()), float(np.linalg.det(rotation))
    if off > RIGID or determinant < 0:
        raise GeometryError(
            f"{what}: only rotations and shifts are taken; R R^T is {off:.2g} from the identity (at most {RIGID:g}), "
            f"det R is {determinant:.6g}; register without scaling, shearing or mirroring"
        )


@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion of one patient before treatment.

    Attributes:
        patient: name of the patient; lesions of one patient are never separated.
        lesion: name of the lesion, unique within the patient.
        image: signal of the image before treatment.
        mask: (i, j, k) whether a voxel of the image belongs to the lesion.
        delivered: volumes of the treatment by name (`DELIVERED`), each on a grid of its own.
        volume_change: (volume at follow-up - volume before) / volume before; NaN without a follow-up.
        truth: (i, j, k) voxels of the image in the planted resistant subregion; None for a lesion that is real.
        outcome: stated response, 1 or 0; NaN where it is not stated.
        days: from treatment to the follow-up; NaN where it is not known.
        image_to_dose: 4 x 4, takes a point (x, y, z, 1) in the image's LPS frame, mm, to the frame of the delivered
            volumes; None where both share one frame.

    Raises:
        GridMismatchError: the mask or the truth does not have the shape of the image.
        ValueRangeError: an empty mask, a volume that changes by less than -1, or an outcome that is not 0 or 1.
        GeometryError: `image_to_dose` is not rigid.
    """

    patient: str
    lesion: str
    image: Volume
    mask: npt.NDArray[np.bool_]
    delivered: Mapping[str, Volume] = field(default_factory=dict)
    volume_change: float = math.nan
    truth: npt.NDArray[np.bool_] | None = None
    outcome: float = math.nan
    days: float = math.nan
    image_to_dose: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for what, voxels in (("mask", self.mask), ("truth", self.truth)):
            if voxels is not None and voxels.shape != self.image.grid.shape:
                raise GridMismatchError(
                    f"{self.name}: the {what} has shape {voxels.shape}, its image {self.image.grid.shape}"
                )
        if not self.mask.any():
            raise ValueRangeError(f"{self.name}: the mask is empty; draw the lesion, or leave it out of the table")
        if self.volume_change < -1:
            raise ValueRangeError(f"{self.name}: a volume cannot change by {self.volume_change:g}; -1 is all of it")
        if not math.isnan(self.outcome) and self.outcome not in (0, 1):
            raise ValueRangeError(f"{self.name}: the outcome is 1 (responded), 0 or NaN, found {self.outcome:g}")
        if self.image_to_dose is not None:
            require_rigid(self.image_to_dose, f"{self.name}, image_to_dose")

    @property
    def name(self) -> str:
        """Patient and lesion, for people."""
        return f"patient {self.patient}, lesion {self.lesion}"

    @property
    def volume_mm3(self) -> float:
        """Volume before treatment, mm^3."""
        return float(self.mask.sum()) * self.image.grid.voxel_volume_mm3


@dataclass(frozen=True, eq=False)
class Cohort:
    """Lesions of several patients.

    Attributes:
        lesions: in the order of their table.
        notes: what was left out or is odd, in sentences.

    Raises:
        ValueRangeError: two lesions with the same patient and name, or none.
    """

    lesions: Sequence[Lesion]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.lesions:
            raise ValueRangeError("a cohort needs at least one lesion, found none")
        seen = set[tuple[str, str]]()
        for each in self.lesions:
            if (each.patient, each.lesion) in seen:
                raise ValueRangeError(f"{each.name} is there twice; lesions of one patient need names of their own")
            seen.add((each.patient, each.lesion))

    def __len__(self) -> int:
        return len(self.lesions)

    def __iter__(self) -> Iterator[Lesion]:
        return iter(self.lesions)

    @property
    def patients(self) -> npt.NDArray[np.str_]:
        """(n,) patient of each lesion."""
        return np.array([each.patient for each in self.lesions], dtype=np.str_)

    @property
    def volume_change(self) -> npt.NDArray[np.float64]:
        """(n,) relative change of volume of each lesion; NaN without a follow-up."""
        return np.array([each.volume_change for each in self.lesions])

    def responded(self, shrinkage: float = SHRINKAGE) -> npt.NDArray[np.float64]:
        """(n,) 1 where a lesion shrank by more than a part of its volume, 0 where not, NaN where nothing is known.

        A lesion without a change of volume has its stated outcome, whatever the shrinkage.

        Args:
            shrinkage: the part.
        """
        change, stated = self.volume_change, np.array([each.outcome for each in self.lesions])
        return np.where(np.isnan(change), stated, (change < -shrinkage).astype(np.float64))
