"""How the voxels of two grids overlap: the linear map that carries values from one grid to another.

Where the axes of both grids are parallel, in any order and direction, the overlap is a product of three overlaps of
intervals, and exact: integrals over a target that covers the source are kept, and bounds too. Where they are oblique,
every target voxel is probed at points, one at random in each of n^3 equal cells whose edges are at most a quarter of
the smallest source edge; that is no exact overlap: integrals of smooth doses are kept to about a thousandth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from surrogate3d.grid.geometry import Grid

if TYPE_CHECKING:
    from scipy import sparse  # slow to load, and most programs have one grid

Floats = npt.NDArray[np.float64]

PARALLEL = 1e-6
"""Largest difference of the direction cosines of axes that count as parallel."""

PROBES_PER_EDGE = 4
"""Cells along the smallest source edge, and at least along every target edge, between oblique grids."""

COVERED = 1 - 1e-3
"""Coverage from which a voxel counts as covered: grids may differ by a thousandth of a voxel and still be the same."""

_SNAP = 1e-9  # voxels: edges that differ by round-off only are one edge
_SEED = 0  # a regular lattice puts whole rows of points onto faces of the source at angles such as 45 degrees
_PORTION = 1 << 20  # points probed at a time: bounds memory


@dataclass(frozen=True, eq=False)
class Overlap:
    """The map from values on `source` to values on `target`.

    Attributes:
        source: grid of the values given.
        target: grid of the values wanted.
        exact: whether the axes are parallel, so that the map is the exact overlap of volumes.
        coverage: (i, j, k) fraction of each target voxel that lies inside the source grid.
    """

    source: Grid
    target: Grid
    exact: bool
    coverage: Floats
    _axes: tuple[int, ...]
    _maps: tuple[sparse.csr_array, ...]  # one per target axis; or one of all voxels

    @cached_property
    def identity(self) -> bool:
        """Whether every value stays where it is."""
        return self.source.shape == self.target.shape and self._axes == (0, 1, 2) and all(map(_is_eye, self._maps))

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """(i, j, k) target voxels that lie inside the source grid, to a thousandth of a voxel."""
        return self.coverage >= COVERED

    def mean(self, values: npt.NDArray[np.floating]) -> Floats:
        """Volume-weighted mean of the source voxels, with zero outside the source.

        Args:
            values: (i, j, k) on the source; a NaN makes every target voxel that it touches NaN.

        Returns:
            (i, j, k) on the target. The integral over the volume is kept where the target covers the source, if
            `exact`; else nearly.
        """
        return self._apply(values, self._maps)

    def mean_variance(self, values: npt.NDArray[np.floating]) -> Floats:
        """Variance of `mean` where `values` are variances of independent voxels: the sum of weight^2 times variance."""
        return self._apply(values, self._squared)

    @cached_property
    def _squared(self) -> tuple[sparse.csr_array, ...]:
        return tuple(each.power(2) for each in self._maps)

    def _apply(self, values: npt.NDArray[np.floating], maps: tuple[sparse.csr_array, ...]) -> Floats:
        carried = np.asarray(values, dtype=np.float64)
        if self.identity:
            return carried
        if not self.exact:
            return np.asarray((maps[0] @ carried.ravel()).reshape(self.target.shape), dtype=np.float64)
        carried = carried.transpose(self._axes)
        for axis, each in enumerate(maps):
            front = np.moveaxis(carried, axis, 0)
            mapped = each @ np.ascontiguousarray(front).reshape(len(front), -1)
            carried = np.moveaxis(mapped.reshape(each.shape[0], *front.shape[1:]), 0, axis)
        return np.ascontiguousarray(carried)


def overlap(source: Grid, target: Grid) -> Overlap:
    """The map from one grid to another; grids that do not touch give no coverage, which is no error."""
    turn = np.asarray(target.direction, dtype=float).T @ np.asarray(source.direction, dtype=float)  # target x source
    axes = np.abs(turn).argmax(axis=1)
    straight = np.zeros((3, 3))
    straight[range(3), axes] = np.sign(turn[range(3), axes])
    if len(set(axes)) < 3 or np.abs(turn - straight).max() > PARALLEL:
        probes = _probes(source, target)
        coverage = np.asarray(probes.sum(axis=1), dtype=float).reshape(target.shape)
        return Overlap(source, target, False, coverage, (), (probes,))
    order = tuple(int(axis) for axis in axes)
    first = source.index(target.origin_mm)
    maps = tuple(_intervals(source, target, a, order[a], float(first[order[a]]), turn[a, order[a]]) for a in range(3))
    along = [np.minimum(each.sum(axis=1), 1.0) for each in maps]
    coverage = np.asarray(along[0][:, None, None] * along[1][:, None] * along[2], dtype=float)
    return Overlap(source, target, True, coverage, order, maps)


def _intervals(
    source: Grid, target: Grid, target_axis: int, source_axis: int, first: float, sign: float
) -> sparse.csr_array:
    """(target, source) fraction of each target interval that lies in each source interval.

    Args:
        source: grid; its voxel n reaches from n to n + 1 here.
        target: grid.
        target_axis: index axis of the target.
        source_axis: index axis of the source that is parallel to it.
        first: position of the centre of the target's voxel 0 along it, as an index of the source.
        sign: +1 when both run the same way, else -1.
    """
    from scipy import sparse

    n_target, n_source = target.shape[target_axis], source.shape[source_axis]
    step = np.sign(sign) * target.spacing_mm[target_axis] / source.spacing_mm[source_axis]
    edges = first + 0.5 + step * (np.arange(n_target + 1) - 0.5)
    edges = np.where(np.abs(edges - edges.round()) < _SNAP, edges.round(), edges)
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    voxel = np.arange(n_source)
    shared = np.minimum(high[:, None], voxel + 1) - np.maximum(low[:, None], voxel)
    return sparse.csr_array(np.maximum(shared, 0.0) / (high - low)[:, None])


def _probes(source: Grid, target: Grid) -> sparse.csr_array:
    """(target voxel, source voxel) share of the target voxel's points that lie in each source voxel."""
    from scipy import sparse

    finest = min(source.spacing_mm)
    per_edge = [max(PROBES_PER_EDGE, int(np.ceil(PROBES_PER_EDGE * s / finest - _SNAP))) for s in target.spacing_mm]
    cells = np.stack(np.meshgrid(*map(np.arange, per_edge), indexing="ij"), axis=-1).reshape(-1, 3)
    rng = np.random.default_rng(_SEED)
    parts, portion = [], max(1, _PORTION // len(cells))
    for start in range(0, target.n_voxels, portion):
        voxels = np.arange(start, min(start + portion, target.n_voxels))
        index = np.stack(np.unravel_index(voxels, target.shape), axis=-1)
        points = index[:, None] - 0.5 + (cells + rng.random((len(voxels), *cells.shape))) / per_edge
        hit = np.floor(source.index(target.position_mm(points)) + 0.5).astype(np.int64)
        inside = ((hit >= 0) & (hit < source.shape)).all(axis=-1)
        column = np.ravel_multi_index(tuple(hit[inside].T), source.shape)
        row = np.broadcast_to(np.arange(len(voxels))[:, None], inside.shape)[inside]
        share = np.full(len(row), 1.0 / len(cells))
        parts.append(sparse.csr_array(sparse.coo_array((share, (row, column)), (len(voxels), source.n_voxels))))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _is_eye(each: sparse.csr_array) -> bool:
    diagonal = each.diagonal()
    return bool(each.shape[0] == each.shape[1] == each.nnz and (diagonal == 1).all())
