"""How many nuclei a voxel gets: more and more, until each of its cell lines has reached the target error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.nucleus_sizes import SizesTally
from surrogate3d.direct.tally import N_BATCHES
from surrogate3d.direct.task import REFERENCE_DOSE
from surrogate3d.physics.cell_line import CellLine

Floats = npt.NDArray[np.float64]

FIRST_NUCLEI = 256
FIRST_OF_A_SIZE = 64
GROWTH = 1.3


def worst(relative_se: Floats, survival: Floats, doses: Floats) -> float:
    """The larger relative standard error of S(2 Gy) and of S nearest to 0.1; arguments (dose,)."""
    watched = [np.argmin(np.abs(doses - REFERENCE_DOSE)), np.argmin(np.abs(np.log(10 * survival)))]
    return float(relative_se[watched].max())


class Allotment:
    """The nuclei of one voxel: `more` of each size are wanted, from number `done` on, for the cell lines `active`.

    Each cell line stops on its own, so that its result does not depend on which others share its tracks.

    Attributes:
        active: cell lines that have not reached the target.
        done: nuclei of each size simulated so far.
        more: nuclei of each size to simulate next.
    """

    def __init__(
        self,
        lines: Sequence[CellLine],
        doses: Sequence[float],
        expected_q: Sequence[Floats],
        target_se: float,
        max_nuclei: int,
    ) -> None:
        """Nothing is simulated yet.

        Args:
            lines: different cell lines of equal domain and nucleus size.
            doses: ladder, Gy.
            expected_q: exact mean of q, (dose,), of each size of the nucleus.
            target_se: relative standard error of S(2 Gy) and of S near 0.1 at which a cell line is finished.
            max_nuclei: of all sizes together, after which the target is given up.
        """
        self.active = list(lines)
        self.done, self.more = 0, FIRST_NUCLEI if len(expected_q) == 1 else FIRST_OF_A_SIZE
        self._doses, self._target_se = np.array(doses, dtype=float), target_se
        self._most = max_nuclei // len(expected_q)
        self._tallies = {line: SizesTally(expected_q) for line in lines}

    def add(self, size: int, survival: Floats, q: Floats) -> None:
        """Take in the nuclei of one size that were asked for: (line, nucleus, dose) of the cell lines in `active`."""
        for line, values, mean_q in zip(self.active, survival, np.broadcast_to(q, survival.shape), strict=True):
            self._tallies[line].add(size, values, mean_q)

    def settle(self) -> dict[CellLine, tuple[Floats, Floats]]:
        """Called when all sizes are in: decides which cell lines are finished, and how many nuclei come next.

        Returns:
            Of each cell line that is finished now, survival (dose,) and the same without each batch (batch, dose).
        """
        self.done += self.more
        finished = {}
        for line in list(self.active):
            S, left_out, relative_se = self._tallies[line].estimate()
            if worst(relative_se, S, self._doses) <= self._target_se or self.done >= self._most:
                finished[line] = S, left_out
                self.active.remove(line)
        wanted = min(self.done * (GROWTH - 1), max(self._most - self.done, 1))
        self.more = N_BATCHES * math.ceil(wanted / N_BATCHES)
        return finished
