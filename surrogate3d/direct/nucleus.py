"""The nucleus as the kernels see it: where its domain axes are, and how an axis answers to its lesions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.physics.gsm2 import Gsm2Parameters, lattice, response_table

Floats = npt.NDArray[np.float64]

RASTER = 96
"""Cells of the raster along each side."""


@dataclass(frozen=True, eq=False)
class Raster:
    """Which domain axes are within reach of each cell of a square grid over the sampled disc.

    Attributes:
        axes_um: (N_lateral, 2) positions of the domain axes.
        source_radius: radius of the disc in which tracks are sampled, um.
        reach: largest distance at which a track is felt individually, um.
        first: (RASTER^2 + 1,) offsets into `members`.
        members: domain indices, cell after cell.
        corners: (cell, 2) lower corner of each cell that has members, um.
        starts: (cell + 1,) offsets into `members` of those cells.
    """

    axes_um: Floats
    source_radius: float
    reach: float
    first: npt.NDArray[np.int32]
    members: npt.NDArray[np.int32]
    corners: Floats
    starts: npt.NDArray[np.int32]

    @property
    def width(self) -> float:
        """Side of a cell, um."""
        return 2 * self.source_radius / RASTER

    @property
    def area(self) -> float:
        """Area of the cells that have members, um^2; a track elsewhere is felt by no domain."""
        return len(self.corners) * self.width**2


@lru_cache(maxsize=16)
def raster(r_d: float, R_n: float, b_near: float) -> Raster:
    """Build the raster of one geometry, radii in um."""
    axes_um = lattice(r_d, R_n)
    reach = r_d + b_near
    half = R_n + reach
    width = 2 * half / RASTER
    low = -half + width * np.arange(RASTER)
    gap = [np.maximum(np.maximum(low - p, p - (low + width)), 0.0) for p in axes_um.T[..., None]]
    near = gap[0][:, :, None] ** 2 + gap[1][:, None, :] ** 2 < reach**2  # (domain, x, y)
    cells = near.reshape(len(axes_um), -1).T
    first = np.concatenate([[0], np.cumsum(cells.sum(axis=1))]).astype(np.int32)
    filled = np.flatnonzero(np.diff(first))
    corners = low[np.stack(np.divmod(filled, RASTER), axis=1)]
    starts = np.append(first[filled], first[-1:])
    return Raster(axes_um, half, reach, first, np.nonzero(cells)[1].astype(np.int32), corners, starts)


@lru_cache(maxsize=64)
def known_line(name: str) -> CellLine:
    """`physics.cell_line.cell_line`, read once in each process.

    Raises:
        UnknownNameError: neither a shipped name nor an existing file.
    """
    return cell_line(name)


@lru_cache(maxsize=64)
def axis_response(parameters: Gsm2Parameters) -> tuple[Floats, float]:
    """n_layers [ln G(m) - lambda m] on the grid of sqrt(m), and the factor from sqrt(q) to grid index.

    q counts lesions per Gbp as if the nucleus were one domain, so it is the same for every cell line of a geometry.
    """
    sqrt_m, log_G = response_table(parameters)
    values = parameters.n_layers * (log_G - parameters.lambda_ratio * sqrt_m**2)
    return values, math.sqrt(parameters.genome_gbp / parameters.N) / float(sqrt_m[1])
