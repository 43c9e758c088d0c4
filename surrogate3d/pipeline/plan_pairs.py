"""What a training is given: plans simulated twice, and cell lines with their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import QuantityError
from surrogate3d.grid import Field
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.training.realisations import LEAST_DOSE


@dataclass(frozen=True, eq=False)
class TrainingLine:
    """A cell line to train on.

    Attributes:
        line: its parameters.
        table: its mono-energetic table.
    """

    line: CellLine
    table: MonoTable


@dataclass(frozen=True, eq=False)
class PlanPair:
    """One plan of the training set, simulated twice.

    Attributes:
        low_id: field id of `low`.
        low: few histories.
        high_id: field id of `high`.
        high: many histories.
        responses: simulated voxels of `high`.
        within: (i, j, k) voxels that may be learnt from; None for all.
    """

    low_id: str
    low: Field
    high_id: str
    high: Field
    responses: Sequence[VoxelResponse]
    within: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        strangers = {r.field_id for r in self.responses} - {self.high_id}
        if strangers:
            raise QuantityError(
                f"responses of field {strangers.pop()[:12]} were given as labels of field {self.high_id[:12]}; "
                "give each plan its own"
            )

    @property
    def learnt(self) -> npt.NDArray[np.bool_]:
        """(i, j, k) voxels that may be learnt from and have enough dose for it."""
        enough = np.asarray(self.high.dose > LEAST_DOSE * np.nanmax(self.high.dose))
        return enough if self.within is None else enough & self.within
