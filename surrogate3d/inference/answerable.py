"""Which voxels of a field are asked for at all: those with enough dose, and a spectrum that can explain it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field

MIN_DOSE_FRACTION = 0.05
"""Below this fraction of the field's largest dose there are too few tracks to say anything."""


def irradiated(field: Field, min_dose_fraction: float = MIN_DOSE_FRACTION) -> npt.NDArray[np.bool_]:
    """(i, j, k) where there is enough dose to say anything."""
    return np.asarray(field.dose >= min_dose_fraction * np.nanmax(field.dose))


def faulty(field: Field) -> npt.NDArray[np.bool_]:
    """(i, j, k) where the spectrum cannot explain the dose (volume `spectrum_fault`), so nothing follows from it."""
    if "spectrum_fault" not in field.volumes:
        return np.zeros(field.grid.shape, dtype=bool)
    return np.asarray(field.volumes["spectrum_fault"].values > 0)
