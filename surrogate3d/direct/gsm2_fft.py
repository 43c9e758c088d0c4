"""The GSM2 response without Monte Carlo: compound-Poisson lesions per domain, by FFT. Milliseconds per voxel.

Each domain axis receives hits as a Poisson process; the distribution of its lesions at dose D is the inverse transform
of exp(D (F - F(0))), F being the transform of the rate of hits by size. If all axes were independent,
S = E[exp(response of one axis)]^N_lateral. They are not: one track can hit several. To first order in dose (one track)
that is corrected exactly, by integrating the response over the position of the track; what stays is the correlation of
several tracks, which is small where it matters least, at low LET.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from surrogate3d.direct.conditions import require_known
from surrogate3d.direct.curve import response
from surrogate3d.direct.lookup import TrackTable, track_table
from surrogate3d.direct.nucleus import RASTER, axis_response, known_line, raster
from surrogate3d.direct.task import DOSE_LADDER, VoxelResponse, VoxelTask
from surrogate3d.direct.validity import Validity
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.gsm2 import Gsm2Parameters
from surrogate3d.physics.oxygen import lesion_yields

Floats = npt.NDArray[np.float64]

VALIDITY = Validity()
"""H to O from 0.1 MeV/u on, as in `gsm2_mc`."""

N_GRID = 8192
N_POSITIONS = 16_384
_GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))


@lru_cache(maxsize=4)
def _table(species: tuple[str, ...], edges: bytes, r_d: float, b_near: float, pO2_mmHg: float | None) -> TrackTable:
    """The track table, with the yields at an oxygen pressure; what is made of a table is kept with it."""
    axes = SpectrumAxes(species, np.frombuffer(edges).reshape(len(species), -1))
    table = track_table(axes, r_d, b_near)
    return table if pO2_mmHg is None else replace(table, yields=lesion_yields(axes, pO2_mmHg))


def _respond(q: Floats, parameters: Gsm2Parameters) -> Floats:
    """Logarithm of the survival of one axis with q lesions per Gbp, interpolated as in the Monte Carlo kernel."""
    values, scale = axis_response(parameters)
    return np.asarray(np.interp(np.sqrt(q) * scale, np.arange(len(values)), values))


@lru_cache(maxsize=4)
def _hits(table: TrackTable, q_max: float) -> npt.NDArray[np.float32]:
    """(bin, grid) area in um^2 from which a track adds this q; each ring is split so that its mean is kept."""
    q = table.z * table.yields.reshape(-1, 1)
    position = np.minimum(q * (N_GRID / q_max), N_GRID - 1.001)
    left = position.astype(np.int64)
    part = position - left
    flat = left + N_GRID * np.arange(len(q))[:, None]
    counts = np.bincount(flat.ravel(), weights=(1 - part).ravel(), minlength=q.shape[0] * N_GRID)
    counts += np.bincount(flat.ravel() + 1, weights=part.ravel(), minlength=q.shape[0] * N_GRID)
    return (counts.reshape(len(q), N_GRID) * table.ring_area).astype(np.float32)


@lru_cache(maxsize=8)
def _moments(table: TrackTable) -> tuple[Floats, Floats, Floats]:
    """(bin,) first and second moment of q over the area of the hits, and the largest hit."""
    q = table.z.astype(float) * table.yields.reshape(-1, 1)
    first = table.ring_area * q.sum(axis=1) + (table.yields * table.far).ravel()
    return first, table.ring_area * (q**2).sum(axis=1), q.max(axis=1)


def _grid_end(table: TrackTable, phi: Floats, dose: float) -> float:
    """A power of two that the lesions of one axis do not exceed: mean + 10 standard deviations + two largest hits."""
    first, second, largest = _moments(table)
    mean, variance = dose * float(phi @ first), dose * float(phi @ second)
    return float(2.0 ** math.ceil(math.log2(mean + 10 * math.sqrt(variance) + 2 * float(largest[phi > 0].max()))))


@njit(cache=True, parallel=True, error_model="numpy")
def _excess(lut, positions, reach2, axes_um, first, members, width, half, values, scale):  # type: ignore[no-untyped-def]  # compiled
    """(bin, position) sum of (1 - s_d) minus (1 - product of s_d), s_d being the survival of axis d after one track."""
    out = np.zeros((lut.shape[0], positions.shape[0]))
    to_index = lut.shape[1] / reach2 * (1.0 - 1e-12)  # rounding must not reach past the last ring
    top = values.shape[0] - 2
    for p in prange(positions.shape[0]):
        x, y = positions[p, 0], positions[p, 1]
        cell = int((x + half) / width) * RASTER + int((y + half) / width)
        for i in range(lut.shape[0]):
            apart, together = 0.0, 0.0
            for c in range(first[cell], first[cell + 1]):
                d = members[c]
                b2 = (x - axes_um[d, 0]) ** 2 + (y - axes_um[d, 1]) ** 2
                if b2 < reach2:
                    s = math.sqrt(lut[i, int(b2 * to_index)]) * scale
                    j = min(int(s), top)
                    log_s = values[j] + (s - j) * (values[j + 1] - values[j])
                    apart -= math.expm1(log_s)
                    together += log_s
            out[i, p] = apart + math.expm1(together)
    return out


@lru_cache(maxsize=16)
def _single_track_excess(table: TrackTable, parameters: Gsm2Parameters) -> Floats:
    """(bin,) effect per unit fluence, um^2, by which independent axes overstate the effect of one track."""
    area = raster(parameters.r_d, parameters.R_n, table.b_near)
    k = np.arange(N_POSITIONS)
    radius, angle = area.source_radius * np.sqrt((k + 0.5) / N_POSITIONS), k * _GOLDEN_ANGLE
    positions = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # Fibonacci spiral: even in area
    lut = table.z * table.yields.reshape(-1, 1).astype(np.float32)
    values, scale = axis_response(parameters)
    excess = _excess(
        lut, positions, area.reach**2, area.axes_um, area.first, area.members,
        2 * area.source_radius / RASTER, area.source_radius, values, scale,
    )  # fmt: skip
    return np.asarray(excess.mean(axis=1) * math.pi * area.source_radius**2)


@dataclass(frozen=True)
class Gsm2Fft:
    """The back end `gsm2_fft`; deterministic, so that seed and target are ignored and all standard errors are 0.

    Source and validity as of `gsm2_mc`; the correlation of several tracks is left out, which costs up to 1.3 % in
    S(2 Gy) for broad spectra. Cost: some 10 ms a voxel.

    Oxygen as in `gsm2_mc`; every new pressure costs 0.6 s more, as tables are made for it, which the voxels of the same
    pressure share. Delivery in time is refused: the response of a domain is that of acute delivery.

    Attributes:
        doses: ladder, Gy, ascending, positive.
        b_near: tracks further than r_d + b_near from a domain axis enter as their mean, um.
        name: of the back end.
        version: raised whenever numbers change.
    """

    doses: tuple[float, ...] = DOSE_LADDER
    b_near: float = 1.0
    name: str = "gsm2_fft"
    version: int = 1

    def simulate(self, tasks: Sequence[VoxelTask], seed: int = 0, target_se: float = 0.01) -> list[VoxelResponse]:
        """Compute voxels; see `Gsm2MonteCarlo.simulate` for the arguments.

        Raises:
            UnknownNameError: a cell line is not known.
            UnsupportedError: a voxel is irradiated in time.
        """
        for task in tasks:
            require_known(task.where, task.conditions, self.name, oxygen=True)
        return [self.answer(task, known_line(name), seed) for task in tasks for name in task.cell_lines]

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, for the ledger's key."""
        return asdict(self)

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """What of the cell line decides the numbers, beside its name and photon pair."""
        return asdict(line.gsm2)

    def answer(self, task: VoxelTask, line: CellLine, seed: int) -> VoxelResponse:
        """The response of one voxel for a cell line that needs no name; `seed` is only written on it."""
        axes, pO2 = task.axes, task.conditions.pO2_mmHg
        table = _table(axes.species, axes.edges_mev_u.tobytes(), line.gsm2.r_d, self.b_near, pO2)
        phi = task.fluence_per_gy.astype(float).ravel()
        survival = np.exp(-self._effects(table, phi, line.gsm2))
        backend, outside = f"{self.name}/{self.version}", VALIDITY.outside(task, self.doses)
        return response(task, line, self.doses, survival, survival[None], 0, seed, backend, outside)

    def _effects(self, table: TrackTable, phi: Floats, parameters: Gsm2Parameters) -> Floats:
        """-ln S at each dose of the ladder."""
        q_max = _grid_end(table, phi, self.doses[-1])
        rate = np.fft.rfft(phi.astype(np.float32) @ _hits(table, q_max))
        far = float(phi @ (table.yields * table.far).ravel())
        q = np.linspace(0.0, q_max, N_GRID, endpoint=False)
        effects = np.zeros(len(self.doses))
        for k, dose in enumerate(self.doses):
            f = np.fft.irfft(np.exp(dose * (rate - rate[0])), N_GRID)
            effects[k] = -parameters.n_lateral * math.log(float(f @ np.exp(_respond(q + far * dose, parameters))))
        return effects - np.array(self.doses) * float(phi @ _single_track_excess(table, parameters))
