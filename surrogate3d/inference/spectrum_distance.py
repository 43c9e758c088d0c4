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

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.inference.spectrum_pooling import Box, Floats, Voxels, points_of, pooled
from surrogate3d.inference.spectrum_sums import LN_NODES, REACH, node_weights, taps
from surrogate3d.physics.let import largest_species

Mask = npt.NDArray[np.bool_]

_ALL: Box = (slice(None), slice(None), slice(None))


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


def field_features(field: Field, mask: Mask) -> SpectrumFeatures:
    """`spectrum_features` of a field."""
    return spectrum_features(field.spectra.axes, field.spectra.fluence, field.tracks, field.beam_axis, mask)


def spectrum_features(
    axes: SpectrumAxes, fluence: Floats, tracks: Floats, beam_axis: int, mask: Mask, primary: int | None = None
) -> SpectrumFeatures:
    """Features of some voxels of a field; the others take part in the pooling.

    Args:
        axes: species and energy bins.
        fluence: (species, bin, i, j, k) in any scale; only the box of the mask and its reach is looked at, and all of
            it when `primary` is not given.
        tracks: (i, j, k) particles scored in each voxel (`Field.tracks`): they tell the noise.
        beam_axis: index axis along the beam.
        mask: (i, j, k) the voxels, each with fluence; in the order of `np.argwhere`.
        primary: index of the species of the beam; the one with the largest dose when not given.

    Raises:
        GridMismatchError: the shapes do not fit.
        ValueRangeError: a voxel of the mask has no fluence.
    """
    if fluence.shape[:2] != (len(axes.species), axes.n_bins) or not fluence.shape[2:] == tracks.shape == mask.shape:
        raise GridMismatchError(
            f"fluence {fluence.shape}, tracks {tracks.shape} and mask {mask.shape} must share (i, j, k), and the "
            f"fluence start with {(len(axes.species), axes.n_bins)}"
        )
    if primary is None:
        primary = axes.species.index(largest_species(axes, fluence))
    box = reached(mask, beam_axis)
    near, weights = np.asarray(fluence[(slice(None), slice(None), *box)]), node_weights(axes)
    total = near.sum(axis=(0, 1), dtype=float)
    _require_fluence(total, mask[box])
    sums = np.stack([_sums(rows, part) for rows, part in zip(weights, near, strict=True)])
    whole = np.einsum("sb,sb...->s...", weights[:, len(LN_NODES) - 1], near).sum(axis=0)
    per_track = np.divide(total, tracks[box], out=np.zeros_like(total), where=tracks[box] > 0)
    sums[:, len(LN_NODES) :] *= per_track.astype(np.float32)
    return _features(axes.species, sums, _ALL, whole, 1.0, primary, beam_axis, mask[box])


def features_of_sums(
    species: tuple[str, ...],
    sums: npt.NDArray[np.float32],
    per_track: float | Floats,
    primary: int,
    beam_axis: int,
    mask: Mask,
) -> SpectrumFeatures:
    """Features of some voxels of a box of a field, from the linear sums of its fluence.

    The points are those of `spectrum_features` where the box holds all voxels within `REACH` of the mask that the field
    has.

    Args:
        species: element symbols.
        sums: (species, 2 x node, i, j, k) of the fluence by `node_weights`.
        per_track: fluence that a track adds to its voxel, 1/mm^2, one number or (i, j, k): `Field.dose_scale` over the
            voxel's face across the beam; what the fluence is over `Field.tracks` where several beams meet.
        primary: index of the species of the beam: the largest dose of the whole field.
        beam_axis: index axis along the beam.
        mask: (i, j, k) the voxels, each with fluence; in the order of `np.argwhere`.

    Raises:
        GridMismatchError: the shapes do not fit.
        ValueRangeError: a voxel of the mask has no fluence.
    """
    if sums.shape != (len(species), 2 * len(LN_NODES), *mask.shape) or np.shape(per_track) not in ((), mask.shape):
        raise GridMismatchError(
            f"sums {sums.shape}, per_track {np.shape(per_track)} and mask {mask.shape} must share (i, j, k), and the "
            f"sums start with {(len(species), 2 * len(LN_NODES))}"
        )
    box = reached(mask, beam_axis)
    whole = sums[(slice(None), len(LN_NODES) - 1, *box)].sum(axis=0)
    _require_fluence(whole, mask[box])
    if np.ndim(per_track) == 0:
        return _features(species, sums, box, whole, float(per_track), primary, beam_axis, mask[box])
    sums = sums.copy()
    sums[:, len(LN_NODES) :] *= np.asarray(per_track, dtype=np.float32)
    return _features(species, sums, box, whole, 1.0, primary, beam_axis, mask[box])


def reached(mask: Mask, beam_axis: int) -> Box:
    """The box of all voxels that those of a mask depend on, cut at the grid's border; empty for an empty mask."""
    lateral, depth = REACH
    box = []
    for axis, size in enumerate(mask.shape):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        reach = depth if axis == beam_axis else lateral
        box.append(slice(max(hit[0] - reach, 0), min(hit[-1] + reach + 1, size)) if len(hit) else slice(0, 0))
    return box[0], box[1], box[2]


def _require_fluence(total: Floats, mask: Mask) -> None:
    without = int((~(total[mask] > 0)).sum())
    if without:
        raise ValueRangeError(f"{without} voxels of the mask have no fluence; leave them out")


def _sums(weights: npt.NDArray[np.float64], fluence: Floats) -> npt.NDArray[np.float32]:
    """(row, i, j, k) weighted sums over the bins."""
    return np.asarray(np.tensordot(weights.astype(np.float32), fluence.astype(np.float32), axes=1), dtype=np.float32)


def _features(
    species: tuple[str, ...],
    sums: npt.NDArray[np.float32],
    box: Box,
    whole: Floats,
    per_track: float,
    primary: int,
    beam_axis: int,
    mask: Mask,
) -> SpectrumFeatures:
    """Features from (species, 2 x node, i, j, k) sums and, of their box, dose of all species and mask.

    Worked out in the precision of the dose.
    """
    nodes, voxels = len(LN_NODES), Voxels.of(mask)
    pools = np.empty((len(species), 2 * nodes, len(voxels.at)), dtype=np.float32)
    scale = np.empty((len(species), len(voxels.at)), dtype=whole.dtype)
    for s in range(len(species)):
        plain, squared = (
            [w.astype(whole.dtype) for w in taps(s == primary, beam_axis, square)] for square in (False, True)
        )
        pools[s, :nodes] = pooled(sums[s, :nodes], box, plain, voxels)
        pools[s, nodes:] = pooled(sums[s, nodes:], box, squared, voxels)
        scale[s] = pooled(whole[None], _ALL, plain, voxels)[0]
    points = np.empty((len(voxels.at), len(species) * nodes), dtype=np.float32)
    noise = np.empty(len(voxels.at))
    kind = whole.dtype.type
    points_of(pools, scale, kind(per_track), kind(LN_NODES[1] - LN_NODES[0]), points, noise)
    return SpectrumFeatures(species, points, noise)
