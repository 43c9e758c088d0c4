"""How far a surrogate is from direct simulation on held-out voxels, with an upper confidence bound.

Every error is divided by the range of the truth over all held-out voxels of its own plan, so that plans with a wide
range do not hide others. The mean square of these errors, less the mean square of the labels' own Monte Carlo error,
gives the NRMSE. The noise of the high-statistics spectra is not subtracted: what remains of it counts as error.

The bound is that of `sampling.stopping`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import analyse, effect_at
from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import ValueRangeError
from surrogate3d.inference.curves import CurveMap
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.sampling import SelectedVoxel
from surrogate3d.sampling.stopping import rms_bound, significance

Floats = npt.NDArray[np.float64]
Key = tuple[str, tuple[int, int, int], str]
"""Field id, voxel and cell line."""

SETS = ("worst", "random")
QUANTITIES = ("effect", "RBE10")


@dataclass(frozen=True)
class SetError:
    """Errors of one quantity on one held-out set.

    Attributes:
        role: "worst" or "random".
        cell_line: name.
        quantity: "effect" (-ln S at the fraction dose) or "RBE10".
        n: voxels judged.
        n_missing: voxels of the set without a label or without an answer.
        nrmse: root mean square error over the range of the truth, as measured.
        nrmse_net: the same with the labels' Monte Carlo noise subtracted; 0 when below it.
        bound: upper confidence bound of `nrmse_net`; infinite with too few voxels.
    """

    role: str
    cell_line: str
    quantity: str
    n: int
    n_missing: int
    nrmse: float
    nrmse_net: float
    bound: float

    def to_json(self) -> dict[str, Any]:
        """Plain data of standard JSON: an infinite bound and an unknown error are null."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


def judge(
    held: Sequence[SelectedVoxel],
    truth: Mapping[Key, VoxelResponse],
    curves: Mapping[tuple[str, str], CurveMap],
    lines: Sequence[CellLine],
    fraction_dose_gy: float,
    judgement: int,
) -> list[SetError]:
    """Errors of every held-out set, cell line and quantity.

    Args:
        held: held-out voxels.
        truth: their responses.
        curves: predictions by field id of the held-out voxels and cell line.
        lines: the cell lines.
        fraction_dose_gy: dose of `effect`, Gy.
        judgement: how many times these voxels were judged, this one included.

    Raises:
        ValueRangeError: the truth of a plan has no range: too few of its held-out voxels have labels.
    """
    found = []
    for line in lines:
        labelled = [voxel for voxel in held if (voxel.field_id, voxel.voxel, line.name) in truth]
        responses = [truth[voxel.field_id, voxel.voxel, line.name] for voxel in labelled]
        predicted = _predicted(labelled, curves, line, fraction_dose_gy)
        for quantity in QUANTITIES:
            true, se = _true(responses, quantity, fraction_dose_gy)
            scale = _ranges([voxel.field_id for voxel in labelled], true, quantity)
            error, noise = (predicted[quantity] - true) / scale, se / scale
            for role in SETS:
                mine = np.array([voxel.role == role for voxel in labelled], dtype=bool) & np.isfinite(error)
                n, asked = int(mine.sum()), sum(voxel.role == role for voxel in held)
                numbers = rms_bound(error[mine], noise[mine], significance(judgement))
                found.append(SetError(role, line.name, quantity, n, asked - n, *numbers))
    return found


def _true(responses: Sequence[VoxelResponse], quantity: str, dose_gy: float) -> tuple[Floats, Floats]:
    """Values and standard errors; between doses of the ladder the errors of its ends are taken as common."""
    if quantity == "RBE10":
        return np.array([r.RBE10 for r in responses]), np.array([r.RBE10_se for r in responses])
    doses = [np.array(r.doses) for r in responses]
    values, errors = (
        np.array(
            [float(effect_at(dose_gy, D, np.array(getattr(r, name)))) for D, r in zip(doses, responses, strict=True)]
        )
        for name in ("effect", "effect_se")
    )
    return values, errors


def _predicted(
    voxels: Sequence[SelectedVoxel], curves: Mapping[tuple[str, str], CurveMap], line: CellLine, dose_gy: float
) -> dict[str, Floats]:
    """By quantity, (voxel,) values; NaN where there is no answer."""
    found = {quantity: np.full(len(voxels), np.nan) for quantity in QUANTITIES}
    for name in dict.fromkeys(voxel.field_id for voxel in voxels):
        curve = curves[name, line.name]
        place = np.cumsum(curve.mask.ravel()).reshape(curve.mask.shape) - 1
        rows = [n for n, voxel in enumerate(voxels) if voxel.field_id == name and curve.mask[voxel.voxel]]
        effect = curve.effect[[int(place[voxels[n].voxel]) for n in rows]]
        found["effect"][rows] = effect_at(dose_gy, curve.doses, effect)
        found["RBE10"][rows] = analyse(curve.doses, np.exp(-effect), line)["RBE10"]
    return found


def _ranges(fields: Sequence[str], true: Floats, quantity: str) -> Floats:
    """(voxel,) range of the truth over the held-out voxels of the voxel's plan."""
    scale, names = np.empty(len(true)), np.array(fields)
    for name in dict.fromkeys(fields):
        own = names == name
        scale[own] = np.ptp(true[own])
        if not scale[own].all():
            raise ValueRangeError(
                f"the held-out voxels of field {name[:12]} have no range of {quantity} ({int(own.sum())} labelled); "
                "hold out more voxels"
            )
    return scale
