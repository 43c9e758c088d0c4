"""Conditions of the cells in a voxel, from what a field says of its beams and what the user says of oxygen."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from surrogate3d.direct.conditions import Conditions
from surrogate3d.errors import QuantityError, StoreError, ValueRangeError
from surrogate3d.grid import DoseField, Quantity, Volume, turned_to
from surrogate3d.io.images import read_image
from surrogate3d.physics.oxygen import MMHG_PER_PERCENT
from surrogate3d.physics.protraction import exposures_of

Voxel = tuple[int, int, int]

OXYGEN = Quantity("pO2", "p(O2)", "mmHg", "partial pressure of oxygen at the cells")

LARGEST_MMHG = 760.0
"""Pure oxygen at sea level; a larger number is in another unit."""

_UNITS = f"expected mmHg (1 % of O2 is {MMHG_PER_PERCENT:g} mmHg, 1 kPa is 7.5 mmHg)"


def read_oxygen(text: str, field: DoseField) -> Volume | float:
    """Read what the user says of oxygen.

    Per cent cannot be told from mmHg by the values, as tumours have pressures below 20 mmHg: show `oxygen_note`.

    Args:
        text: a number in mmHg, or the path of an image in mmHg on the field's grid (`.nii`, `.nii.gz`, `.mha`, `.mhd`,
            `.nrrd`); its axes may count in another order or sense.
        field: the field.

    Raises:
        ValueRangeError: a number, or the largest value of an image, that is no oxygen pressure in mmHg.
        StoreError: neither a number nor an image that exists.
        GridMismatchError: the image has another grid.
        FormatError, UnsupportedError, GeometryError: the image cannot be read; see `io.images.read_image`.
    """
    try:
        pressure = float(text)
    except ValueError:
        if not Path(text).exists():
            raise StoreError(f"oxygen {text}: neither a number in mmHg nor an image that exists") from None
        return _oxygen_map(Path(text), field)
    if not 0 <= pressure <= LARGEST_MMHG:
        raise ValueRangeError(f"an oxygen pressure of {text} is none: {_UNITS}, from 0 to {LARGEST_MMHG:g}")
    return pressure


def _oxygen_map(path: Path, field: DoseField) -> Volume:
    volume = turned_to(read_image(path, OXYGEN), field.grid)
    field.grid.require_same(volume.grid, f"oxygen map {path}")
    known = volume.values[~np.isnan(volume.values)]
    if known.size and not known.max() <= LARGEST_MMHG:
        raise ValueRangeError(
            f"oxygen map {path}: its largest value is {known.max():g}: {_UNITS}, up to {LARGEST_MMHG:g}; convert it"
        )
    return volume


def oxygen_note(pO2: Volume | float) -> str:
    """What was understood, with its unit, in one sentence to be shown to the user."""
    unit = f"mmHg, not per cent: 1 % of O2 is {MMHG_PER_PERCENT:g} mmHg"
    if not isinstance(pO2, Volume):
        return f"oxygen pressure {pO2:g} {unit}"
    values = pO2.values[np.isfinite(pO2.values)]
    if not values.size:
        return "the oxygen map has no value"
    low, middle, high = (float(v) for v in np.percentile(values, (0, 50, 100)))
    doubt = "; all below 1: is this a fraction, or per cent?" if high < 1 else ""
    return f"oxygen map of {low:.3g} to {high:.3g}, median {middle:.3g} {unit}{doubt}"


def conditions_of(
    field: DoseField, voxel: Voxel, *, pO2: Volume | float | None = None, in_time: bool = False
) -> Conditions:
    """Conditions of the cells in one voxel.

    Args:
        field: it says when each beam was delivered and, of several beams, what dose each brings.
        voxel: index (i, j, k).
        pO2: oxygen pressure in mmHg, a number or a map on the field's grid; None for that of the calibration.
        in_time: whether the dose comes when the beams are on; else at once. All beams are taken to have the voxel's one
            spectrum; beams that bring nothing there are left out, and time begins with the first of the others.

    Raises:
        GridMismatchError: the map has another grid.
        ValueRangeError: the pressure is negative or NaN, or the beams bring no dose to the voxel.
        QuantityError: the beams, their times or their doses are not known.
    """
    pressure = _pressure(field, voxel, pO2)
    return Conditions(pressure, *_delivery(field, voxel)) if in_time else Conditions(pressure)


def _pressure(field: DoseField, voxel: Voxel, pO2: Volume | float | None) -> float | None:
    if pO2 is None:
        return None
    if isinstance(pO2, Volume):
        field.grid.require_same(pO2.grid, "oxygen map")
    pressure = float(pO2.values[voxel]) if isinstance(pO2, Volume) else float(pO2)
    if not 0 <= pressure < math.inf:
        raise ValueRangeError(
            f"voxel {voxel}: the oxygen pressure is {pressure:g}; {_UNITS}, finite and not negative where cells are "
            "simulated"
        )
    return pressure


def _delivery(field: DoseField, voxel: Voxel) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Start and duration in h and share of the dose, of each beam that brings any."""
    if not field.beams:
        raise QuantityError(
            "nothing is known of the field's beams; delivery in time needs their start_s and duration_s"
        )
    when = exposures_of(field.beams)
    doses = np.ones(1)
    if len(field.beams) > 1:
        if not field.beams_dose:
            raise QuantityError(
                f"the field has {len(field.beams)} beams, but not the dose of each; combine them again to keep it"
            )
        doses = np.array([dose[voxel] for dose in field.beams_dose], dtype=float)
    if not (np.isfinite(doses) & (doses >= 0)).all() or not doses.any():
        raise ValueRangeError(
            f"voxel {voxel}: the beams bring doses of {doses.tolist()} Gy; expected some, none negative"
        )
    there = doses > 0
    start, share = when.start_h[there], doses[there] / doses.sum()
    return tuple((start - start.min()).tolist()), tuple(when.duration_h[there].tolist()), tuple(share.tolist())
