"""Monte Carlo of tracks through the domains of a nucleus, with the GSM2 response: the engine's direct simulation.

The nucleus is a disc of radius R_n crossed by parallel tracks; domain axes lie on a hexagonal lattice. Tracks
arrive as a Poisson process of the voxel's fluence and give each domain within reach the specific energy of a
Kiefer-Chatterjee track (`lookup`); what lies further out is a deterministic mean. Lesions are not sampled: given the
tracks, survival is known in closed form (Cordoni et al., Phys. Rev. E 2021;103:012412),

    S = exp( n_layers * sum_axes [ ln G(m) - lambda m ] ),    m = sum_i kappa_i z_i / N.

One nucleus serves the whole dose ladder by adding tracks, and all cell lines of equal (r_d, R_n) share its tracks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange, uint64

from surrogate3d.direct.counter_rng import GOLDEN, mix, poisson, stream, unit
from surrogate3d.direct.curve import response
from surrogate3d.direct.lookup import TrackTable, track_table
from surrogate3d.direct.nucleus import RASTER, axis_response, known_line, raster
from surrogate3d.direct.tally import N_BATCHES, SurvivalTally
from surrogate3d.direct.task import DOSE_LADDER, REFERENCE_DOSE, VoxelResponse, VoxelTask
from surrogate3d.direct.validity import Validity
from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.gsm2 import Gsm2Parameters

Floats = npt.NDArray[np.float64]

VALIDITY = Validity()
"""H to O from 0.1 MeV/u on; below, the stopping power is that of 0.1 MeV/u."""

FIRST_NUCLEI = 256
GROWTH = 1.3
GUIDE = 1024
_LOW32, _S32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(cache=True, parallel=True, error_model="numpy")
def _transport(  # type: ignore[no-untyped-def]  # compiled
    first_nucleus, n_nuclei, seed, key, means, far, lut, cdf, guide, r_source, reach2, axes_um, first, members,
    tables, scales,
):  # fmt: skip
    """Survival (line, nucleus, dose) of nuclei first_nucleus ... and, last, the mean of q over axes (nucleus, dose)."""
    n_doses, n_axes, n_lines = means.shape[0], axes_um.shape[0], tables.shape[0]
    survival = np.empty((n_lines, n_nuclei, n_doses))
    mean_q = np.empty((n_nuclei, n_doses))
    to_index = lut.shape[1] / reach2 * (1.0 - 1e-12)  # rounding must not reach past the last ring
    to_cell = RASTER / (2.0 * r_source)
    to_um = 2.0 * r_source / 4294967296.0
    r_source2 = r_source * r_source
    top = tables.shape[1] - 2
    for n in prange(n_nuclei):
        q = np.zeros(n_axes)
        state = stream(seed, key, uint64(first_nucleus + n))
        for k in range(n_doses):
            count, state = poisson(means[k], state)
            for _ in range(count):
                state += GOLDEN
                u = unit(mix(state))
                i = guide[int(u * GUIDE)]
                while cdf[i] <= u:
                    i += 1
                while True:
                    state += GOLDEN
                    word = mix(state)
                    x = (word >> _S32) * to_um - r_source
                    y = (word & _LOW32) * to_um - r_source
                    if x * x + y * y < r_source2:
                        break
                cell = int((x + r_source) * to_cell) * RASTER + int((y + r_source) * to_cell)
                for c in range(first[cell], first[cell + 1]):
                    d = members[c]
                    dx = x - axes_um[d, 0]
                    dy = y - axes_um[d, 1]
                    b2 = dx * dx + dy * dy
                    if b2 < reach2:
                        q[d] += lut[i, int(b2 * to_index)]
            total_q = 0.0
            for d in range(n_axes):
                total_q += q[d]
            mean_q[n, k] = total_q / n_axes + far[k]
            for line in range(n_lines):
                log_S = 0.0
                for d in range(n_axes):
                    s = math.sqrt(q[d] + far[k]) * scales[line]
                    j = min(int(s), top)
                    log_S += tables[line, j] + (s - j) * (tables[line, j + 1] - tables[line, j])
                survival[line, n, k] = math.exp(log_S)
    return survival, mean_q


@dataclass(frozen=True, eq=False)
class Beam:
    """One voxel's radiation, prepared for the kernel.

    Attributes:
        key: of the voxel's random numbers.
        tracks_per_gy: expected tracks in the sampled disc.
        far_per_gy: mean q from beyond the reach, per Gy.
        q_per_gy: mean q from all tracks, per Gy.
        lut: (row, ring) q of one track; only bins with fluence have a row.
        cdf: cumulative fluence over the rows of `lut`; the last entry is above 1.
        guide: first candidate of `cdf` for each of GUIDE slices of [0, 1).
    """

    key: np.uint64
    tracks_per_gy: float
    far_per_gy: float
    q_per_gy: float
    lut: npt.NDArray[np.float32]
    cdf: Floats
    guide: npt.NDArray[np.int32]


def beam(task: VoxelTask, table: TrackTable, source_radius: float, weight: Floats) -> Beam:
    """Prepare a voxel.

    Args:
        task: the voxel.
        table: specific energy of single tracks, Gy.
        source_radius: radius of the sampled disc, um.
        weight: (species, bin) factor from Gy to q: lesions per Gy per Gbp in a simulation, 1 to follow dose.
    """
    phi = task.fluence_per_gy.astype(float).ravel()
    rows = np.flatnonzero(phi)
    w = weight.ravel()
    lut = table.z[rows] * w[rows, None].astype(np.float32)
    far = float(np.sum(phi * w * table.far.ravel()))
    cdf = np.cumsum(phi[rows])
    total = float(cdf[-1])
    cdf /= total
    cdf[-1] = 2.0
    return Beam(
        key=np.uint64(int(task.spectrum_key[:16], 16)),
        tracks_per_gy=total * math.pi * source_radius**2,
        far_per_gy=far,
        q_per_gy=far + table.ring_area * float(phi[rows] @ lut.sum(axis=1, dtype=float)),
        lut=lut,
        cdf=cdf,
        guide=np.searchsorted(cdf, np.arange(GUIDE) / GUIDE, side="right").astype(np.int32),
    )


def _worst(relative_se: Floats, survival: Floats, doses: Floats) -> float:
    """The larger relative standard error of S(2 Gy) and of S nearest to 0.1."""
    watched = [np.argmin(np.abs(doses - REFERENCE_DOSE)), np.argmin(np.abs(np.log(10 * survival)))]
    return float(relative_se[watched].max())


@dataclass(frozen=True)
class Gsm2MonteCarlo:
    """The back end `gsm2_mc`.

    Source: the module's docstring. Valid for H to O from 0.1 MeV/u on (yields of Li, Be, B and N are interpolated
    between those fitted), and up to about 6 Gy: there the photon response bends below the LQ curve of its calibration.
    Cost: 0.1 to 1 s a voxel at 1 % standard error.

    Nuclei are added until the relative standard error is reached, each cell line stopping on its own, so that a
    result depends on (spectrum, cell line, settings, seed) only: not on threads, on the other cell lines, nor on
    what was simulated before.

    Attributes:
        doses: ladder, Gy, ascending, positive.
        b_near: tracks further than r_d + b_near from a domain axis enter as their mean, um.
        max_nuclei: give up on the target after so many nuclei; the standard errors tell.
        name: of the back end.
        version: raised whenever numbers change.
    """

    doses: tuple[float, ...] = DOSE_LADDER
    b_near: float = 1.0
    max_nuclei: int = 200_000
    name: str = "gsm2_mc"
    version: int = 1

    def simulate(self, tasks: Sequence[VoxelTask], seed: int, target_se: float = 0.01) -> list[VoxelResponse]:
        """Simulate voxels.

        Args:
            tasks: the voxels; the answers come task by task, cell line by cell line.
            seed: non-negative; the random numbers of a voxel depend on it and on the voxel's spectrum.
            target_se: relative standard error of S(2 Gy) and of S near 0.1 at which a voxel is finished.

        Raises:
            UnknownNameError: a cell line is not known.
            ValueRangeError: `target_se` is not positive, `seed` is negative, or the ladder does not ascend.
        """
        if not target_se > 0 or seed < 0:
            raise ValueRangeError(f"target_se must be positive and seed >= 0, found {target_se} and {seed}")
        if not (np.diff((0.0, *self.doses)) > 0).all():
            raise ValueRangeError(f"the dose ladder must be positive and ascending in Gy, found {self.doses}")
        return [answer for task in tasks for answer in self._voxel(task, seed, target_se)]

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, for the ledger's key."""
        return asdict(self)

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """What of the cell line decides the numbers, beside its name and photon pair."""
        return asdict(line.gsm2)

    def site(self, line: CellLine) -> tuple[float, float]:
        """Radii of domain and nucleus, um."""
        return line.gsm2.r_d, line.gsm2.R_n

    def weight(self, axes: SpectrumAxes) -> Floats | None:
        """(species, bin) q per Gy; None for that of `NucleusSampler`, lesions per Gbp."""
        return None

    def axis_response(self, line: CellLine) -> tuple[Floats, float]:
        """Logarithm of the survival of one domain axis on the grid of sqrt(q), and the factor from sqrt(q) to index."""
        return axis_response(line.gsm2)

    def _voxel(self, task: VoxelTask, seed: int, target_se: float) -> list[VoxelResponse]:
        lines = [known_line(name) for name in task.cell_lines]
        answers: dict[CellLine, VoxelResponse] = {}
        for geometry in dict.fromkeys(self.site(line) for line in lines):
            same = dict.fromkeys(line for line in lines if self.site(line) == geometry)
            answers |= self._geometry(task, list(same), seed, target_se)
        return [answers[line] for line in lines]

    def _geometry(
        self, task: VoxelTask, active: list[CellLine], seed: int, target_se: float
    ) -> dict[CellLine, VoxelResponse]:
        """All cell lines of one nucleus and domain size; `active` shrinks as they reach the target."""
        r_d, R_n = self.site(active[0])
        sample = NucleusSampler(task, r_d, R_n, self.b_near, self.doses, seed, self.weight(task.axes))
        backend, outside = f"{self.name}/{self.version}", VALIDITY.outside(task, self.doses)
        tallies = {line: SurvivalTally(sample.expected_q) for line in active}
        answers = {}
        done, more = 0, FIRST_NUCLEI
        while active:
            survival, mean_q = sample.survive(done, more, [self.axis_response(line) for line in active])
            done += more
            for line, values in zip(list(active), survival, strict=True):
                tallies[line].add(values, mean_q)
                S, left_out, relative_se = tallies[line].estimate()
                if _worst(relative_se, S, sample.doses) <= target_se or done >= self.max_nuclei:
                    answers[line] = response(task, line, self.doses, S, left_out, done, seed, backend, outside)
                    active.remove(line)
            more = N_BATCHES * math.ceil(min(done * (GROWTH - 1), max(self.max_nuclei - done, 1)) / N_BATCHES)
        return answers


class NucleusSampler:
    """The kernel bound to one voxel and geometry: nuclei on demand.

    Attributes:
        doses: (dose,) ladder, Gy.
        expected_q: (dose,) exact mean of q.
    """

    def __init__(
        self,
        task: VoxelTask,
        r_d: float,
        R_n: float,
        b_near: float,
        doses: Sequence[float],
        seed: int,
        weight: Floats | None = None,
    ) -> None:
        """Prepare the tables.

        Args:
            task: the voxel.
            r_d: domain radius, um.
            R_n: nucleus radius, um.
            b_near: see `Gsm2MonteCarlo`.
            doses: ladder, Gy.
            seed: of the campaign.
            weight: (species, bin) q per Gy; the lesion yield per Gbp if not given. With 1, q is specific energy.
        """
        table = track_table(task.axes, r_d, b_near)
        self.doses = np.array(doses, dtype=float)
        self._raster = raster(r_d, R_n, b_near)
        self._beam = beam(task, table, self._raster.source_radius, table.yields if weight is None else weight)
        self._seed = np.uint64(seed)
        self.expected_q = self.doses * self._beam.q_per_gy

    def __call__(self, first: int, n: int, lines: Sequence[Gsm2Parameters]) -> tuple[Floats, Floats]:
        """Survival (line, nucleus, dose) of nuclei first ... first + n - 1, and their mean q (nucleus, dose)."""
        return self.survive(first, n, [axis_response(parameters) for parameters in lines])

    def survive(self, first: int, n: int, responses: Sequence[tuple[Floats, float]]) -> tuple[Floats, Floats]:
        """The same for any responses of an axis to its q, as from `Gsm2MonteCarlo.axis_response`."""
        tables, scales = np.stack([t for t, _ in responses]), np.array([s for _, s in responses])
        area, ray = self._raster, self._beam
        survival, mean_q = _transport(
            first, n, self._seed, ray.key, ray.tracks_per_gy * np.diff(self.doses, prepend=0.0),
            ray.far_per_gy * self.doses, ray.lut, ray.cdf, ray.guide,
            area.source_radius, area.reach**2, area.axes_um, area.first, area.members, tables, scales,
        )  # fmt: skip
        return survival, mean_q
