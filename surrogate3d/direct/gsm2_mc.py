"""Monte Carlo of tracks through the domains of a nucleus, with the GSM2 response: the engine's direct simulation.

Tracks fall on nuclei (`nucleus_sampler`), and every domain gets lesions kappa_i z_i / N from each. Lesions are not
sampled: given the tracks, survival is known in closed form (Cordoni et al., Phys. Rev. E 2021;103:012412),

    S = exp( n_layers * sum_axes [ ln G(m) - lambda m ] ),    m = sum_i kappa_i z_i / N.

One nucleus serves the whole dose ladder by adding tracks, and all cell lines of equal (r_d, R_n) share its tracks.
Under a voxel's `Conditions` the yields kappa_i of each ion fall with its OER, and a delivery in time is simulated
lesion by lesion (`gsm2_in_time`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.allotment import Allotment
from surrogate3d.direct.conditions import require_known
from surrogate3d.direct.curve import response
from surrogate3d.direct.gsm2_in_time import LadderInTime
from surrogate3d.direct.nucleus import axis_response, known_line
from surrogate3d.direct.nucleus_sampler import NucleusSampler
from surrogate3d.direct.nucleus_sizes import log_normal, recalibrated, resized
from surrogate3d.direct.task import DOSE_LADDER, VoxelResponse, VoxelTask
from surrogate3d.direct.validity import Validity
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.gsm2 import Gsm2Parameters
from surrogate3d.physics.oxygen import lesion_yields

__all__ = ["Gsm2MonteCarlo", "NucleusSampler"]

Floats = npt.NDArray[np.float64]
Nuclei = Callable[[int, int, Sequence[CellLine]], tuple[Floats, Floats]]
"""Survival (line, nucleus, dose) from a first nucleus on of so many, and their q, of that shape or (nucleus, dose)."""

VALIDITY = Validity()
"""H to O from 0.1 MeV/u on; below, the stopping power is that of 0.1 MeV/u."""


@dataclass(frozen=True)
class Gsm2MonteCarlo:
    """The back end `gsm2_mc`.

    Source: the module's docstring. Valid for H to O from 0.1 MeV/u on (yields of Li, Be, B and N are interpolated
    between those fitted), and up to about 6 Gy: there the photon response bends below the LQ curve of its calibration.
    Cost: 0.1 to 1 s a voxel at 1 % standard error; in time 0.2 to 10 s, see `gsm2_in_time`.

    Nuclei are added until the relative standard error is reached, each cell line stopping on its own, so that a
    result depends on (spectrum, conditions, cell line, settings, seed) only: not on threads, on the other cell lines,
    nor on what was simulated before.

    Oxygen: lesion yields are multiplied, ion by ion, by `oxygen.relative_yield(LET, pO2)`; at the pressure of the
    calibration, 160 mmHg, the numbers are those without conditions, bit by bit. Delivery in time: every dose D of the
    ladder is delivered as D times the shares of the exposures, all of them with the voxel's spectrum. Both may go
    together. RBE is against photons of full oxygen and acute delivery, those of the calibration, in either case.

    Attributes:
        doses: ladder, Gy, ascending, positive.
        b_near: tracks further than r_d + b_near from a domain axis enter as their mean, um.
        max_nuclei: give up on the target after so many nuclei; the standard errors tell.
        nucleus_spread: relative standard deviation of the log-normal nucleus radius among the cells, whose mean radius
            is that of the cell line; 0 for one size. See `nucleus_sizes`.
        name: of the back end.
        version: raised whenever numbers change.
    """

    doses: tuple[float, ...] = DOSE_LADDER
    b_near: float = 1.0
    max_nuclei: int = 200_000
    nucleus_spread: float = 0.0
    name: str = "gsm2_mc"
    version: int = 2

    follows: ClassVar[dict[str, bool]] = {"oxygen": True, "time": True}
    """What of a voxel's conditions enters."""

    def simulate(self, tasks: Sequence[VoxelTask], seed: int, target_se: float = 0.01) -> list[VoxelResponse]:
        """Simulate voxels.

        Args:
            tasks: the voxels; the answers come task by task, cell line by cell line.
            seed: non-negative; the random numbers of a voxel depend on it and on the voxel's spectrum.
            target_se: relative standard error of S(2 Gy) and of S near 0.1 at which a voxel is finished.

        Raises:
            UnknownNameError: a cell line is not known.
            UnsupportedError: a voxel has conditions that the back end cannot follow.
            ValueRangeError: `target_se` is not positive, `seed` is negative, the ladder does not ascend, or a nucleus
                of the spread is smaller than a domain.
        """
        if not target_se > 0 or seed < 0:
            raise ValueRangeError(f"target_se must be positive and seed >= 0, found {target_se} and {seed}")
        if not (np.diff((0.0, *self.doses)) > 0).all():
            raise ValueRangeError(f"the dose ladder must be positive and ascending in Gy, found {self.doses}")
        for task in tasks:
            require_known(task.where, task.conditions, self.name, **self.follows)
        return [answer for task in tasks for answer in self._voxel(task, seed, target_se)]

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, for the ledger's key."""
        values = asdict(self)
        return values if self.nucleus_spread else {k: v for k, v in values.items() if k != "nucleus_spread"}

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """What of the cell line decides the numbers, beside its name and photon pair."""
        return asdict(line.gsm2)

    def site(self, line: CellLine) -> tuple[float, float]:
        """Radii of domain and (mean) nucleus, um."""
        return line.gsm2.r_d, line.gsm2.R_n

    def weight(self, task: VoxelTask) -> Floats | None:
        """(species, bin) q per Gy; None for that of `NucleusSampler`, lesions per Gbp with full oxygen."""
        pO2 = task.conditions.pO2_mmHg
        return None if pO2 is None else lesion_yields(task.axes, pO2)

    def axis_response(self, line: CellLine, R_n: float) -> tuple[Floats, float]:
        """Logarithm of the survival of one domain axis on the grid of sqrt(q), and the factor from sqrt(q) to index.

        R_n is the radius of the nucleus, um.
        """
        return axis_response(self._cell(line, R_n))

    def _cell(self, line: CellLine, R_n: float) -> Gsm2Parameters:
        """Cells of the line with one radius of the nucleus, um."""
        known = line.gsm2
        if self.nucleus_spread:
            known = recalibrated(known, log_normal(known.R_n, self.nucleus_spread))
        return resized(known, R_n)

    def _voxel(self, task: VoxelTask, seed: int, target_se: float) -> list[VoxelResponse]:
        lines = [known_line(name) for name in task.cell_lines]
        answers: dict[CellLine, VoxelResponse] = {}
        for geometry in dict.fromkeys(self.site(line) for line in lines):
            same = dict.fromkeys(line for line in lines if self.site(line) == geometry)
            answers |= self._geometry(task, list(same), seed, target_se)
        return [answers[line] for line in lines]

    def _geometry(
        self, task: VoxelTask, lines: Sequence[CellLine], seed: int, target_se: float
    ) -> dict[CellLine, VoxelResponse]:
        """All cell lines of one nucleus and domain size."""
        r_d, R_n = self.site(lines[0])
        radii = log_normal(R_n, self.nucleus_spread).radii_um
        sizes = [self._nuclei(task, (r_d, R), seed + k) for k, R in enumerate(radii)]
        lot = Allotment(lines, self.doses, [expected_q for _, expected_q in sizes], target_se, self.max_nuclei)
        answers = {}
        while lot.active:
            for k, (nuclei, _) in enumerate(sizes):
                lot.add(k, *nuclei(lot.done, lot.more, lot.active))
            for line, (S, left_out) in lot.settle().items():
                answers[line] = self._response(task, line, S, left_out, lot.done * len(radii), seed)
        return answers

    def _nuclei(self, task: VoxelTask, site: tuple[float, float], seed: int) -> tuple[Nuclei, Floats]:
        """Nuclei of one size on demand, and the exact mean of their q (dose,)."""
        weight = self.weight(task)
        if task.conditions.in_time:
            ladder = LadderInTime(task, site, self.doses, seed, self.b_near, weight)
            return (
                lambda n0, n, lines: ladder(n0, n, [self._cell(a, site[1]) for a in lines]),
                ladder.expected_q,
            )
        sample = NucleusSampler(task, *site, self.b_near, self.doses, seed, weight)

        return (
            lambda n0, n, lines: sample.survive(n0, n, [self.axis_response(a, site[1]) for a in lines]),
            sample.expected_q,
        )

    def _response(
        self, task: VoxelTask, line: CellLine, S: Floats, left_out: Floats, n_nuclei: int, seed: int
    ) -> VoxelResponse:
        backend = f"{self.name}/{self.version}"
        backend += f" (nucleus spread {self.nucleus_spread:g})" if self.nucleus_spread else ""
        return response(task, line, self.doses, S, left_out, n_nuclei, seed, backend, self.outside(task, line))

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Why the voxel lies outside the back end's validity; empty when it does not."""
        return VALIDITY.outside(task, self.doses)
