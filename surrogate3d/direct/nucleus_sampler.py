"""The Monte Carlo kernel: tracks through the domains of a nucleus, and the survival that follows; on any one geometry.

The nucleus is a disc of radius R_n crossed by parallel tracks; domain axes lie on a hexagonal lattice. Tracks
arrive as a Poisson process of the voxel's fluence, sampled only where a domain can feel them, and give each domain
within reach the specific energy of a Kiefer-Chatterjee track (`lookup`); what lies further out is a deterministic mean.
How an axis answers to its q is a table, so that several models share the kernel. One nucleus serves the whole dose
ladder by adding tracks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange, uint64

from surrogate3d.direct.counter_rng import GOLDEN, mix, poisson, stream, unit
from surrogate3d.direct.lookup import N_RINGS, TrackTable, track_table
from surrogate3d.direct.nucleus import axis_response, raster
from surrogate3d.direct.task import VoxelTask
from surrogate3d.physics.gsm2 import Gsm2Parameters

Floats = npt.NDArray[np.float64]

GUIDE = 1024
_LOW16, _S16, _S32 = np.uint64(0xFFFF), np.uint64(16), np.uint64(32)


@njit(cache=True, parallel=True, error_model="numpy")
def _transport(  # type: ignore[no-untyped-def]  # compiled
    first_nucleus, n_nuclei, seed, key, means, far, lut, cdf, guide, corners, starts, width, reach2, axes_um, members,
    tables, scales,
):  # fmt: skip
    """Survival (line, nucleus, dose) of nuclei first_nucleus ... and, last, the mean of q over axes (nucleus, dose).

    A word of 64 bits places a track: 32 choose the cell, 16 each its x and y there, in steps of some 1e-6 um.
    """
    n_doses, n_axes, n_lines = means.shape[0], axes_um.shape[0], tables.shape[0]
    survival = np.empty((n_lines, n_nuclei, n_doses))
    mean_q = np.empty((n_nuclei, n_doses))
    to_index = N_RINGS / reach2
    n_cells, to_um = uint64(corners.shape[0]), width / 65536.0
    top = tables.shape[1] - 2
    for n in prange(n_nuclei):
        q, place, part = np.zeros(n_axes), np.zeros(n_axes, np.int64), np.zeros(n_axes)
        state = stream(seed, key, uint64(first_nucleus + n))
        for k in range(n_doses):
            count, state = poisson(means[k], state)
            for _ in range(count):
                state += GOLDEN
                u = unit(mix(state))
                i = guide[int(u * GUIDE)]
                while cdf[i] <= u:
                    i += 1
                state += GOLDEN
                word = mix(state)
                cell = ((word >> _S32) * n_cells) >> _S32
                x = corners[cell, 0] + ((word >> _S16) & _LOW16) * to_um
                y = corners[cell, 1] + (word & _LOW16) * to_um
                for c in range(starts[cell], starts[cell + 1]):
                    d = members[c]
                    dx = x - axes_um[d, 0]
                    dy = y - axes_um[d, 1]
                    q[d] += lut[i, min(int((dx * dx + dy * dy) * to_index), N_RINGS)]  # beyond reach 0
            total_q = 0.0
            for d in range(n_axes):
                total_q += q[d]
            mean_q[n, k] = total_q / n_axes + far[k]
            for line in range(n_lines):
                if line == 0 or scales[line] != scales[line - 1]:  # lines of one geometry share it
                    for d in range(n_axes):
                        s = math.sqrt(q[d] + far[k]) * scales[line]
                        place[d] = min(int(s), top)
                        part[d] = s - place[d]
                log_S = 0.0
                for d in range(n_axes):
                    j = place[d]
                    log_S += tables[line, j] + part[d] * (tables[line, j + 1] - tables[line, j])
                survival[line, n, k] = math.exp(log_S)
    return survival, mean_q


@dataclass(frozen=True, eq=False)
class Beam:
    """One voxel's radiation, prepared for the kernel.

    Attributes:
        key: of the voxel's random numbers.
        fluence_per_gy: of all rows together, 1/um^2.
        far_per_gy: mean q from beyond the reach, per Gy.
        q_per_gy: mean q from all tracks, per Gy.
        lut: (row, ring) q of one track; only bins with fluence have a row. One ring more, beyond reach, holds 0.
        cdf: cumulative fluence over the rows of `lut`; the last entry is above 1.
        guide: first candidate of `cdf` for each of GUIDE slices of [0, 1).
    """

    key: np.uint64
    fluence_per_gy: float
    far_per_gy: float
    q_per_gy: float
    lut: npt.NDArray[np.float32]
    cdf: Floats
    guide: npt.NDArray[np.int32]


def beam(task: VoxelTask, table: TrackTable, weight: Floats) -> Beam:
    """Prepare a voxel.

    Args:
        task: the voxel.
        table: specific energy of single tracks, Gy.
        weight: (species, bin) factor from Gy to q: lesions per Gy per Gbp in a simulation, 1 to follow dose.
    """
    phi = task.fluence_per_gy.astype(float).ravel()
    rows = np.flatnonzero(phi)
    w = weight.ravel()
    lut = np.zeros((len(rows), N_RINGS + 1), np.float32)
    np.multiply(table.z[rows], w[rows, None].astype(np.float32), out=lut[:, :-1])
    far = float(np.sum(phi * w * table.far.ravel()))
    cdf = np.cumsum(phi[rows])
    total = float(cdf[-1])
    cdf /= total
    cdf[-1] = 2.0
    return Beam(
        key=np.uint64(int(task.spectrum_key[:16], 16)),
        fluence_per_gy=total,
        far_per_gy=far,
        q_per_gy=far + table.ring_area * float(phi[rows] @ lut.sum(axis=1, dtype=float)),
        lut=lut,
        cdf=cdf,
        guide=np.searchsorted(cdf, np.arange(GUIDE) / GUIDE, side="right").astype(np.int32),
    )


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
        self._beam = beam(task, table, table.yields if weight is None else weight)
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
            first, n, self._seed, ray.key, ray.fluence_per_gy * area.area * np.diff(self.doses, prepend=0.0),
            ray.far_per_gy * self.doses, ray.lut, ray.cdf, ray.guide, area.corners, area.starts, area.width,
            area.reach**2, area.axes_um, area.members, tables, scales,
        )  # fmt: skip
        return survival, mean_q
