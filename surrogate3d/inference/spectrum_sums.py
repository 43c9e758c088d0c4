"""The linear sums of a fluence spectrum that its point is made of, and the weights of their pooling.

Two rows of sums belong to each node and species: the dose below the node, and that dose squared per bin, from which its
noise follows. They are linear in the fluence, so a reader of chunks can make them with other sums in one product, and
nothing else of a field is needed to tell what its spectra are like.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.let import bin_LET

LN_NODES = np.linspace(np.log(0.1), np.log(500.0), 33)
"""Logarithms of the energies (MeV/u) where the fractions are taken: every second edge of the recommended bins."""

POOL_PRIMARY, POOL_OTHERS = (1.0, 0.0), (3.0, 2.0)
"""Gaussian sigma across the beam and along depth, in voxels, of the primary and of all other species."""

_TRUNCATE = 3.0


def _far(sigma: float) -> int:
    """Distance of the farthest neighbour that is pooled, in voxels."""
    return int(_TRUNCATE * sigma + 0.5)


REACH = (_far(POOL_OTHERS[0]), _far(POOL_OTHERS[1]))
"""Voxels across the beam and along depth that a voxel's point depends on, on each side."""


def node_weights(axes: SpectrumAxes) -> npt.NDArray[np.float64]:
    """Weights of the sums over the bins.

    Args:
        axes: species and energy bins.

    Returns:
        (species, 2 x node, bin) Gy per unit of fluence: first the dose below each node, the last node being above all;
        then its square in each bin, Gy^2.
    """
    gy = K_GY * MM2_PER_UM2 * bin_LET(axes)
    below = [_share_below(edges) * row for edges, row in zip(axes.edges_mev_u, gy, strict=True)]
    return np.stack([np.concatenate([rows, rows**2]) for rows in below])


def _share_below(edges_mev_u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(node, bin) share of a bin that lies below each node, even in ln E within the bin; the last node is above all."""
    edges = np.log(np.maximum(edges_mev_u, 1e-3))  # linear bins start at zero
    share = np.clip((LN_NODES[:, None] - edges[:-1]) / np.maximum(np.diff(edges), 1e-9), 0.0, 1.0)
    share[-1] = 1.0
    return np.asarray(share)


def taps(primary: bool, beam_axis: int, squared: bool = False) -> list[npt.NDArray[np.float64]]:
    """Weights of the pooling along each index axis, from the voxel itself to its farthest neighbour.

    Args:
        primary: whether they are for the primary.
        beam_axis: index axis along the beam.
        squared: the squared weights, as variances are pooled.
    """
    lateral, depth = POOL_PRIMARY if primary else POOL_OTHERS
    weights = [_gaussian(depth if axis == beam_axis else lateral) for axis in range(3)]
    return [w**2 for w in weights] if squared else weights


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    if sigma == 0:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-_far(sigma), _far(sigma) + 1) / sigma) ** 2)
    return np.asarray((weights / weights.sum())[_far(sigma) :])
