"""What two tracks in one nucleus do to each other, beyond what they do in each domain: the second order of `gsm2_fft`.

With fluence Phi of ions of one energy, s(x) the survival after one track at x and s(x, y) after two, the expansion in
Phi (Mayer and Mayer, Statistical Mechanics, 1940, for the logarithm of a Poisson average) is

    -ln S = Phi Int [1 - s(x)] dx - Phi^2 / 2 Int Int [s(x, y) - s(x) s(y)] dx dy + ...

A product of independent domain axes has the same with the sum of the integrals of the single axes. The difference of
the second terms is gamma D^2, by which the -ln S of independent axes is too large. The other tracks, which matter
for the third order, enter as the mean lesions that they leave (`BACKGROUND_GY`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from surrogate3d.direct.lookup import track_table
from surrogate3d.direct.nucleus import RASTER, axis_response, raster
from surrogate3d.direct.task import VoxelTask
from surrogate3d.physics.gsm2 import Gsm2Parameters
from surrogate3d.physics.track import penumbra_radius_um

Floats = npt.NDArray[np.float64]

N_BLOCKS, BLOCK = 16, 2048
"""Pairs of tracks: points of Sobol's sequence in four dimensions; every block is a net of its own, and their spread
tells the error."""

BACKGROUND_GY = 2.0 / 3.0
"""Mean dose, over the delivery of 2 Gy, at which pairs meet: Int (D - u) u du / Int (D - u) du = D / 3."""


@njit(cache=True, parallel=True, error_model="numpy")
def _correlations(pairs, rings, reach2, axes_um, first, members, width, half, values, scale, q0):  # type: ignore[no-untyped-def]  # compiled
    """(block,) mean of s(x, y) - s(x) s(y), less the same of every single axis; `pairs` are (block, pair, 4) um."""
    n_axes = axes_um.shape[0]
    to_index = rings.shape[0] / reach2 * (1.0 - 1e-12)  # rounding must not reach past the last ring
    top = values.shape[0] - 2
    out = np.zeros(pairs.shape[0])
    rest = np.interp(math.sqrt(q0) * scale, np.arange(values.shape[0]), values)
    for block in prange(pairs.shape[0]):
        q, alone = np.zeros(n_axes), np.zeros(n_axes)
        total = 0.0
        for p in range(pairs.shape[1]):
            apart, together, single = 0.0, 0.0, 0.0
            for track in range(2):
                x, y = pairs[block, p, 2 * track], pairs[block, p, 2 * track + 1]
                if max(abs(x), abs(y)) >= half:  # felt by no domain
                    continue
                cell = int((x + half) / width) * RASTER + int((y + half) / width)
                for c in range(first[cell], first[cell + 1]):
                    d = members[c]
                    b2 = (x - axes_um[d, 0]) ** 2 + (y - axes_um[d, 1]) ** 2
                    if b2 < reach2:
                        more = rings[int(b2 * to_index)]
                        s = math.sqrt(more + q0) * scale
                        j = min(int(s), top)
                        log_s = values[j] + (s - j) * (values[j + 1] - values[j]) - rest
                        apart += log_s
                        if track == 1 and q[d] > 0.0:
                            s = math.sqrt(q[d] + more + q0) * scale
                            j = min(int(s), top)
                            both = values[j] + (s - j) * (values[j + 1] - values[j]) - rest
                            together += both - alone[d] - log_s
                            single += math.exp(both) - math.exp(alone[d] + log_s)
                        elif track == 0:
                            q[d], alone[d] = more, log_s
            total += math.exp(apart) * math.expm1(together) - single
            x, y = pairs[block, p, 0], pairs[block, p, 1]
            cell = int((x + half) / width) * RASTER + int((y + half) / width)
            for c in range(first[cell], first[cell + 1]):
                q[members[c]] = 0.0
        out[block] = total / pairs.shape[1]
    return out


@lru_cache(maxsize=1)
def _discs() -> Floats:
    """(block, pair, track, xy) two places each in the unit disc."""
    from scipy.stats.qmc import Sobol  # here, as it is slow to load and a model has its tables

    u = Sobol(4, scramble=False).random(N_BLOCKS * BLOCK)
    r, angle = np.sqrt(u[:, ::2]), 2 * np.pi * u[:, 1::2]
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1).reshape(N_BLOCKS, BLOCK, 2, 2)


def _pairs(radius: float, apart: float) -> Floats:
    """(block, pair, 4) places of two tracks, um: one in a disc about the nucleus, one in a disc about the first."""
    places = _discs() * np.array([radius, apart])[:, None]
    places[:, :, 1] += places[:, :, 0]
    return np.asarray(places.reshape(N_BLOCKS, BLOCK, 4))


def gamma_of(task: VoxelTask, parameters: Gsm2Parameters, b_near: float) -> Floats:
    """By how much the -ln S of independent axes is too large, over D^2, by blocks of pairs.

    Args:
        task: a voxel of ions of one energy.
        parameters: the cell line.
        b_near: see `Gsm2MonteCarlo`.

    Returns:
        (block,) 1/Gy^2; their mean is gamma.
    """
    table, area = track_table(task.axes, parameters.r_d, b_near), raster(parameters.r_d, parameters.R_n, b_near)
    row = int(np.flatnonzero(task.fluence_per_gy)[0])
    fluence, lesions = float(task.fluence_per_gy.ravel()[row]), float(table.yields.ravel()[row])
    rings = table.z[row].astype(float) * lesions
    q_per_gy = fluence * (table.ring_area * float(rings.sum()) + lesions * float(table.far.ravel()[row]))
    values, scale = axis_response(parameters)
    felt = parameters.r_d + min(float(penumbra_radius_um(task.axes.energy_mev_u.ravel()[row])), b_near)
    radius, apart = parameters.R_n + felt, 2 * felt  # further apart, no domain feels both
    found = _correlations(
        _pairs(radius, apart), rings, area.reach**2, area.axes_um, area.first, area.members, area.width,
        area.source_radius, values, scale, BACKGROUND_GY * q_per_gy,
    )  # fmt: skip
    return np.asarray(found * 0.5 * (fluence * math.pi * radius * apart) ** 2)
