"""Survival data as the fits take them: columns of photon points, and of ions by radiation quality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import SPECIES_Z
from surrogate3d.io.survival_data import PHOTON, SurvivalData, SurvivalPoint
from surrogate3d.physics.survival_fit import Observed
from surrogate3d.physics.survival_ions import IonCurves, Quality, quality


def photon_points(data: SurvivalData) -> Observed:
    """The photon points with the controls of their experiments, but for controls that are 1 by definition.

    Raises:
        ValueRangeError: there are none.
    """
    points = [p for p in data.points if p.dose_gy > 0 and p.radiation == PHOTON]
    if not points:
        raise ValueRangeError(f"{data.file}: no photon points; the photon reference of a cell line comes from them")
    return _columns(_with_controls(data, points))


def ion_curves(data: SurvivalData) -> IonCurves | None:
    """The points of ions, likewise; None where there are none.

    Raises:
        ValueRangeError: an LET that no ion of that element has, or one that disagrees with the energy.
    """
    points = [p for p in data.points if p.dose_gy > 0 and p.radiation in SPECIES_Z]
    if not points:
        return None
    known: dict[Quality, int] = {}
    which = []
    for point in points:
        try:
            found = quality(SPECIES_Z[point.radiation], point.energy_mev_u, point.LET)
        except ValueRangeError as error:
            raise ValueRangeError(f"{point.where}: {error}") from error
        which.append(known.setdefault(found, len(known)))
    whole = _with_controls(data, points)
    return IonCurves(_columns(whole), tuple(known), np.array(which + [0] * (len(whole) - len(points))))


def _with_controls(data: SurvivalData, points: Sequence[SurvivalPoint]) -> list[SurvivalPoint]:
    here = {point.experiment for point in points}
    return [*points, *(p for p in data.points if p.dose_gy == 0 and p.sd != 0 and p.experiment in here)]


def _columns(points: Sequence[SurvivalPoint]) -> Observed:
    dose, log_survival = (np.array([getattr(p, name) for p in points]) for name in ("dose_gy", "log_survival"))
    sd = None if points[0].sd is None else np.array([p.sd for p in points])
    _, experiment = np.unique([p.experiment for p in points], return_inverse=True)
    return Observed(dose, log_survival, sd, experiment)
