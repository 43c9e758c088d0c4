"""The grids that a planning system wrote for one plan, before they become a `DoseField`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Beam, LetDefinition, Prescription, Volume

NEGLIGIBLE_DOSE = 1e-3
"""Fraction of the largest dose below which a negative LET is rounding of the sums, and no LET is kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PlanGrids:
    """What was found in the folder of a plan.

    Attributes:
        name: of the plan.
        system: of planning.
        dose: the whole plan's.
        LET: as written; None when there is none.
        LET_definition: what it means.
        files: that were read.
        primary: species of the beam's particles, where the files say it.
        prescription: None for a dose in arbitrary scale.
        extra: further volumes by quantity name, on the same grid.
        beams: treatment fields.
        beams_dose: dose of each of several beams.
        notes: what was taken for granted, and what was not read.
    """

    name: str
    system: str
    dose: Volume
    LET: Volume | None
    LET_definition: LetDefinition
    files: tuple[Path, ...]
    primary: str | None = None
    prescription: Prescription | None = None
    extra: Mapping[str, Volume] = field(default_factory=dict)
    beams: tuple[Beam, ...] = ()
    beams_dose: tuple[npt.NDArray[np.floating], ...] = ()
    notes: tuple[str, ...] = ()


def require_dose(dose: npt.NDArray[np.floating], what: str) -> None:
    """Refuse what cannot be a dose.

    Raises:
        ValueRangeError: a value is negative or not finite, or all are 0.
    """
    wrong = np.argwhere(~(np.isfinite(dose) & (dose >= 0)))
    if wrong.size:
        raise ValueRangeError(
            f"{what}: {len(wrong)} voxels have a dose that is negative or not finite, the first at "
            f"{tuple(wrong[0].tolist())}; export the dose again"
        )
    if not dose.any():
        raise ValueRangeError(f"{what}: the dose is 0 everywhere; export it again")


def known_LET(
    dose: npt.NDArray[np.floating], LET: npt.NDArray[np.floating], what: str
) -> tuple[npt.NDArray[np.floating], tuple[str, ...]]:
    """LET where there is dose and LET, NaN elsewhere; planning systems write 0 for "not computed".

    Args:
        dose: (i, j, k), valid.
        LET: (i, j, k), keV/um.
        what: for messages.

    Returns:
        (i, j, k) LET, and notes on dose without LET.

    Raises:
        ValueRangeError: a value is not finite, or negative where there is more than a trace of dose.
    """
    wrong = np.argwhere(~np.isfinite(LET) | ((LET < 0) & (dose > NEGLIGIBLE_DOSE * dose.max())))
    if wrong.size:
        raise ValueRangeError(
            f"{what}: {len(wrong)} voxels have a LET that is negative or not finite, the first at "
            f"{tuple(wrong[0].tolist())}; export the LET again"
        )
    known = (LET > 0) & (dose > 0)
    without, notes = (dose > 0) & ~known, []
    if without.any():
        notes.append(
            f"{what}: {int(without.sum())} of {int((dose > 0).sum())} voxels with dose have no LET (0, or negative by "
            f"rounding in {int((LET < 0).sum())}), up to {100 * dose[without].max() / dose.max():.2g} % of the largest "
            "dose; it is not known there (NaN)"
        )
    return np.where(known, LET, np.nan).astype(LET.dtype), tuple(notes)
