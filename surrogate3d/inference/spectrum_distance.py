"""Spectra as points, such that distance is what matters for the answer and noise adds little to it.

A voxel is described by the cumulative dose fractions F_s(E) of its species: the share of its dose from particles of
species s below E per nucleon. The distance of two voxels is

    d^2 = sum_s integral (F_s - G_s)^2 d ln E,

Cramer's distance of two distributions (Szekely and Rizzo 2013, J. Stat. Plan. Inference 143:1249, on energy distances).
A shift of the whole spectrum counts by how far it goes, where a distance of bins such as Hellinger's saturates once the
bins no longer overlap and takes the noise of every bin in full. d = 0.1 is a spectrum with a standard deviation of 0.3
in ln E that is shifted by 10 %; spectra of two ions are 2 to 4 apart.

The fluence is pooled first, as in `physics.pooling` but wider, since sharpness matters less here than noise: the
primary over its neighbours across the beam, all other species, whose few particles make the noise, further and along
depth too. What noise is left follows from the dose of a single track in each bin, pooled with the squared weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.let import bin_LET

LN_NODES = np.linspace(np.log(0.1), np.log(500.0), 33)
"""Logarithms of the energies (MeV/u) where the fractions are taken: every second edge of the recommended bins."""

POOL_PRIMARY, POOL_OTHERS = (1.0, 0.0), (3.0, 2.0)
"""Gaussian sigma across the beam and along depth, in voxels, of the primary and of all other species."""

_TRUNCATE = 3.0

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class SpectrumFeatures:
    """Voxels as points.

    Attributes:
        species: element symbols, in the order of the points.
        points: (voxel, species x node) float32; their Euclidean distance is the one of this page.
        noise: (voxel,) root mean square distance that noise alone moves a point.
    """

    species: tuple[str, ...]
    points: npt.NDArray[np.float32]
    noise: npt.NDArray[np.float64]

    def of(self, species: Sequence[str]) -> npt.NDArray[np.float32]:
        """The points with the axes of other species, among them all of `species`."""
        return spread(self.points, self.species, species)


def spread(points: npt.NDArray[np.float32], own: Sequence[str], wanted: Sequence[str]) -> npt.NDArray[np.float32]:
    """(voxel, wanted x node) points of which the species are `own`, with zeros for species that they lack."""
    if tuple(own) == tuple(wanted):
        return points
    table = np.zeros((len(points), len(wanted), len(LN_NODES)), dtype=np.float32)
    table[:, [list(wanted).index(name) for name in own]] = points.reshape(len(points), len(own), -1)
    return table.reshape(len(points), -1)


def field_features(field: Field, mask: npt.NDArray[np.bool_]) -> SpectrumFeatures:
    """`spectrum_features` of a field."""
    return spectrum_features(field.spectra.axes, field.spectra.fluence, field.tracks, field.beam_axis, mask)


def spectrum_features(
    axes: SpectrumAxes, fluence: Floats, tracks: Floats, beam_axis: int, mask: npt.NDArray[np.bool_]
) -> SpectrumFeatures:
    """Features of some voxels of a field; the others take part in the pooling.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, i, j, k) in any scale.
        tracks: (i, j, k) particles scored in each voxel (`Field.tracks`): they tell the noise.
        beam_axis: index axis along the beam.
        mask: (i, j, k) the voxels, each with fluence; in the order of `np.argwhere`.

    Raises:
        GridMismatchError: the shapes do not fit.
        ValueRangeError: a voxel of the mask has no fluence.
    """
    if fluence.shape[:2] != (len(axes.species), axes.n_bins) or not fluence.shape[2:] == tracks.shape == mask.shape:
        raise GridMismatchError(
            f"fluence {fluence.shape}, tracks {tracks.shape} and mask {mask.shape} must share (i, j, k), and the "
            f"fluence start with {(len(axes.species), axes.n_bins)}"
        )
    total = fluence.sum(axis=(0, 1), dtype=float)
    if not (total[mask] > 0).all():
        raise ValueRangeError(f"{int((total[mask] <= 0).sum())} voxels of the mask have no fluence; leave them out")
    gy = K_GY * MM2_PER_UM2 * bin_LET(axes)  # dose of unit fluence
    dose = np.einsum("sb,sb...->s...", gy, fluence)
    whole, primary = dose.sum(axis=0), int(dose.sum(axis=(1, 2, 3)).argmax())
    per_track = np.divide(total, tracks, out=np.zeros_like(total), where=tracks > 0)
    parts, spreads = [], []
    for s in range(len(axes.species)):
        sigma = _along(POOL_PRIMARY if s == primary else POOL_OTHERS, beam_axis)
        below, own = _share_below(axes.edges_mev_u[s]), fluence[s].astype(np.float32)
        scale = _pooled(whole, sigma)[mask]
        parts.append(_pooled(_sums(below * gy[s], own), sigma)[:, mask] / scale)
        squares = _sums((below * gy[s]) ** 2, own) * per_track.astype(np.float32)
        spreads.append(_pooled(squares, sigma, squared=True)[:, mask] / scale**2)
    return _normalised(axes.species, np.stack(parts), np.stack(spreads))


def _normalised(species: tuple[str, ...], cumulative: Floats, variance: Floats) -> SpectrumFeatures:
    """From (species, node, voxel) sums of dose over the pooled dose and their variances to points and noise."""
    whole = cumulative[:, -1].sum(axis=0)
    fraction, variance = cumulative / whole, variance / whole**2
    # A part and the whole share their noise: var(x / w) = (var x (1 - 2 F) + F^2 var w) / w^2 to first order.
    noise = variance * (1 - 2 * fraction) + fraction**2 * variance[:, -1].sum(axis=0)
    step = LN_NODES[1] - LN_NODES[0]
    points = np.ascontiguousarray(np.moveaxis(fraction * np.sqrt(step), -1, 0), dtype=np.float32)
    square = step * np.maximum(noise, 0.0).sum(axis=(0, 1), dtype=float)
    return SpectrumFeatures(species, points.reshape(len(points), -1), np.sqrt(square))


def _share_below(edges_mev_u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(node, bin) share of a bin that lies below each node, even in ln E within the bin; the last node is above all."""
    edges = np.log(np.maximum(edges_mev_u, 1e-3))  # linear bins start at zero
    share = np.clip((LN_NODES[:, None] - edges[:-1]) / np.maximum(np.diff(edges), 1e-9), 0.0, 1.0)
    share[-1] = 1.0
    return np.asarray(share)


def _sums(weights: npt.NDArray[np.float64], fluence: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(node, i, j, k) weighted sums over the bins."""
    return np.asarray(np.tensordot(weights.astype(np.float32), fluence, axes=1), dtype=np.float32)


def _along(sigmas: tuple[float, float], beam_axis: int) -> tuple[float, ...]:
    lateral, depth = sigmas
    return tuple(depth if axis == beam_axis else lateral for axis in range(3))


def _pooled(values: Floats, sigma: Sequence[float], squared: bool = False) -> Floats:
    """Gaussian pooling over the last three axes; with squared weights it pools variances."""
    for axis, width in zip((-3, -2, -1), sigma, strict=True):
        if width > 0:
            reach = int(_TRUNCATE * width + 0.5)
            weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
            weights /= weights.sum()
            values = correlate1d(values, weights**2 if squared else weights, axis=axis, mode="constant")
    return values
