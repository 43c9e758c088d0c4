"""The kernel of `nucleus_sampler` on a GPU: a block serves nuclei of one voxel, a thread follows one nucleus.

The twin of `nucleus_sampler._transport`: the same streams of random numbers, drawn in the same order, and the same
precision (tracks in single, everything else in double), so that a nucleus is the same on either machine up to rounding.
The table of tracks is that of all bins and serves all voxels: some 3 MB, which stay in the cache. What the axes of a
block's nuclei have received lies side by side in shared memory, where no two threads touch the same bank.

This module needs CUDA support in numba. `gsm2_cuda` imports it when voxels are simulated, nothing else does.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import numpy.typing as npt
from numba import float64, uint64
from numba.core.errors import NumbaPerformanceWarning

from surrogate3d.direct.counter_rng import GOLDEN, mix, poisson, stream, unit
from surrogate3d.direct.lookup import TrackTable
from surrogate3d.direct.nucleus import Raster
from surrogate3d.direct.nucleus_sampler import GUIDE, beam
from surrogate3d.direct.task import VoxelTask

Floats = npt.NDArray[np.float64]

cuda = import_module("numba.cuda")  # its types are not visible to checkers

WARP, MOST_THREADS = 32, 64
SHARED_BYTES = 48 * 1024
"""What every GPU gives to a block without being asked."""

MOST_AXES = SHARED_BYTES // (8 * WARP)
"""More axes across a nucleus leave no room for the 32 nuclei of a warp."""

LAUNCH = 2**19
"""Nuclei of one launch, about; its answers fill some 50 MB of the GPU for each cell line."""

_LOW16, _S16, _S32 = np.uint64(0xFFFF), np.uint64(16), np.uint64(32)


@cuda.jit
def _transport(  # type: ignore[no-untyped-def]  # compiled
    blocks, seed, keys, means, far, rows, cdf, bins, weights, guide, z, corners, starts, members, axes_um, width_um,
    reach2, tables, scales, survival, mean_q,
):  # fmt: skip
    """Survival (line, row, dose) and mean of q over axes (row, dose); a block is (voxel, first nucleus, end, row)."""
    block, thread, width = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    v, nucleus, row = blocks[block, 0], blocks[block, 1] + thread, blocks[block, 3] + thread
    if nucleus >= blocks[block, 2]:
        return
    n_doses, n_axes, n_lines = means.shape[1], axes_um.shape[0], tables.shape[0]
    to_index = z.shape[1] / reach2
    n_cells, to_um = uint64(corners.shape[0]), width_um / 65536.0
    top = tables.shape[1] - 2
    q = cuda.shared.array(0, float64)  # (axis, thread); the launch says how large
    for d in range(n_axes):
        q[d * width + thread] = 0.0
    state = stream(seed, keys[v], uint64(nucleus))
    for k in range(n_doses):
        count, state = poisson(means[v, k], state)
        for _ in range(count):
            state += GOLDEN
            u = unit(mix(state))
            i = rows[v] + guide[v, int(u * GUIDE)]
            while cdf[i] <= u:
                i += 1
            ion, weight = bins[i], weights[i]
            state += GOLDEN
            word = mix(state)
            cell = ((word >> _S32) * n_cells) >> _S32
            x = corners[cell, 0] + ((word >> _S16) & _LOW16) * to_um
            y = corners[cell, 1] + (word & _LOW16) * to_um
            for c in range(starts[cell], starts[cell + 1]):
                d = members[c]
                dx = x - axes_um[d, 0]
                dy = y - axes_um[d, 1]
                ring = int((dx * dx + dy * dy) * to_index)
                if ring < z.shape[1]:
                    q[d * width + thread] += weight * z[ion, ring]
        total_q = 0.0
        for d in range(n_axes):
            total_q += q[d * width + thread]
        mean_q[row, k] = total_q / n_axes + far[v, k]
        for line in range(n_lines):
            log_S = 0.0
            for d in range(n_axes):
                s = math.sqrt(q[d * width + thread] + far[v, k]) * scales[line]
                j = int(s) if s < top else top
                log_S += tables[line, j] + (s - j) * (tables[line, j + 1] - tables[line, j])
            survival[line, row, k] = math.exp(log_S)


@dataclass(frozen=True, eq=False)
class Ray:
    """One voxel's radiation as this kernel wants it.

    Attributes:
        key: of the voxel's random numbers.
        means: (dose,) expected tracks that each dose of the ladder adds.
        far: (dose,) mean q from beyond the reach.
        expected_q: (dose,) mean q from all tracks.
        bins: (row,) bins with fluence: rows of the table of tracks.
        weights: (row,) q per Gy.
        cdf: (row,) as in `nucleus_sampler.Beam`.
        guide: (slice,) likewise.
    """

    key: np.uint64
    means: Floats
    far: Floats
    expected_q: Floats
    bins: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    cdf: Floats
    guide: npt.NDArray[np.int32]


def ray(task: VoxelTask, table: TrackTable, area: float, weight: Floats, doses: Sequence[float]) -> Ray:
    """Prepare a voxel for tracks on an area in um^2 and the ladder in Gy; other arguments as `nucleus_sampler.beam`."""
    prepared, D = beam(task, table, weight), np.array(doses, dtype=float)
    bins = np.flatnonzero(task.fluence_per_gy)
    return Ray(
        key=prepared.key,
        means=prepared.fluence_per_gy * area * np.diff(D, prepend=0.0),
        far=prepared.far_per_gy * D,
        expected_q=prepared.q_per_gy * D,
        bins=bins,
        weights=weight.ravel()[bins].astype(np.float32),
        cdf=prepared.cdf,
        guide=prepared.guide,
    )


class CudaSampler:
    """The kernel bound to voxels of one geometry and one set of bins: nuclei of many voxels on demand."""

    def __init__(
        self, rays: Sequence[Ray], table: TrackTable, area: Raster, responses: Sequence[tuple[Floats, float]], seed: int
    ) -> None:
        """Bring all that stays the same to the GPU.

        Args:
            rays: the voxels.
            table: of tracks.
            area: of the nucleus, with at most `MOST_AXES` axes.
            responses: how an axis of each cell line answers to its q, as `Gsm2MonteCarlo.axis_response`.
            seed: of the campaign.
        """
        first_rows = np.cumsum([0, *(len(ray.cdf) for ray in rays)])[:-1]
        self._n_axes, self._n_doses, self._n_lines = len(area.axes_um), len(rays[0].means), len(responses)
        self._width = min(MOST_THREADS, SHARED_BYTES // (8 * self._n_axes) // WARP * WARP)
        voxels = (
            np.array([ray.key for ray in rays]),
            np.stack([r.means for r in rays]),
            np.stack([r.far for r in rays]),
        )
        rows = (np.concatenate([getattr(ray, name) for ray in rays]) for name in ("cdf", "bins", "weights"))
        fixed = (*voxels, first_rows, *rows, np.stack([ray.guide for ray in rays]), table.z)
        site = (area.corners, area.starts, area.members, area.axes_um)
        lines = cuda.to_device(np.stack([t for t, _ in responses])), cuda.to_device(np.array([s for _, s in responses]))
        arrays = [cuda.to_device(np.ascontiguousarray(values)) for values in (*fixed, *site)]
        self._arguments = (np.uint64(seed), *arrays, area.width, area.reach**2, *lines)

    def __call__(self, wanted: Sequence[tuple[int, int, int]]) -> Iterator[tuple[Floats, Floats]]:
        """Simulate nuclei.

        Args:
            wanted: (voxel, first nucleus, number of nuclei).

        Yields:
            Survival (line, nucleus, dose) and mean q (nucleus, dose), one wish after the other.
        """
        sizes = [n for _, _, n in wanted]
        launch = np.cumsum([0, *sizes[:-1]]) // LAUNCH
        for part in np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(launch)) + 1):
            ends = np.cumsum([sizes[i] for i in part])
            blocks = [
                (voxel, start, first + n, row - n + start - first)
                for (voxel, first, n), row in zip((wanted[i] for i in part), ends.tolist(), strict=True)
                for start in range(first, first + n, self._width)
            ]
            survival, mean_q = self._launch(np.array(blocks), int(ends[-1]))
            for i, end in zip(part, ends, strict=True):
                yield survival[:, end - sizes[i] : end], mean_q[end - sizes[i] : end]

    def _launch(self, blocks: npt.NDArray[np.int64], n_rows: int) -> tuple[Floats, Floats]:
        survival = cuda.device_array((self._n_lines, n_rows, self._n_doses), np.float64)
        mean_q = cuda.device_array((n_rows, self._n_doses), np.float64)
        shared = 8 * self._n_axes * self._width
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaPerformanceWarning)  # the last voxels do not fill a GPU
            _transport[len(blocks), self._width, 0, shared](cuda.to_device(blocks), *self._arguments, survival, mean_q)
        return survival.copy_to_host(), mean_q.copy_to_host()
