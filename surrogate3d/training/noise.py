"""Thinning: a run with fewer histories, made from a run with many.

Keeping each particle with probability p is exact for independent particles, but a scored spectrum knows track length,
not particles. A particle that crosses the voxel fills one bin with one crossing's length; a particle that stops inside
fills many bins with a little each. So bins whose particles can stop within the voxel share one binomial draw, with the
number of particles estimated from the length that one particle leaves in those bins; the other bins are drawn one by
one. Thinning the bins of stopping particles one by one would give half of the true noise of alpha.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import SPECIES_A, Grid, SpectrumAxes
from surrogate3d.physics.stopping_power import csda_range_mm


def thin(
    fluence: npt.NDArray[np.floating],
    axes: SpectrumAxes,
    grid: Grid,
    beam_axis: int,
    keep: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Fluence spectra as a run with `keep` times the histories would have scored them.

    Args:
        fluence: (species, bin, i, j, k) fluence summed over the simulated histories (not scaled to a dose), 1/mm^2.
        axes: species and energy bins.
        grid: voxel sizes.
        beam_axis: index axis along the beam.
        keep: fraction of the histories to keep, in (0, 1].
        rng: source of randomness.

    Returns:
        (species, bin, i, j, k) thinned fluence, divided by `keep` so that its expectation is `fluence`.

    Raises:
        ValueRangeError: `keep` is not in (0, 1].
    """
    if not 0 < keep <= 1:
        raise ValueRangeError(f"the kept fraction of histories must be in (0, 1], found {keep}")
    thinned = np.empty(fluence.shape, dtype=np.float32)
    length_mm = grid.spacing_mm[beam_axis]
    for s, species in enumerate(axes.species):
        range_mm = csda_range_mm(axes.Z[s], SPECIES_A[species], axes.edges_mev_u[s])
        n_stop = int(np.searchsorted(range_mm[1:], length_mm, side="right"))
        lengths = fluence[s].astype(np.float64) * grid.voxel_volume_mm3
        factor = np.empty_like(lengths)
        factor[:n_stop] = _shared_draw(lengths[:n_stop], np.diff(range_mm)[:n_stop], keep, rng)
        factor[n_stop:] = _kept_fraction(lengths[n_stop:] / length_mm, keep, rng)
        thinned[s] = fluence[s] * factor
    return thinned


def _shared_draw(
    lengths: npt.NDArray[np.float64], path_mm: npt.NDArray[np.float64], keep: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """One factor for all bins of stopping particles: (bin, i, j, k) lengths, (bin,) path of one particle in each bin.

    A particle born or entering at the top of the occupied bins slows down through all below, so the particles number
    at least the largest of length over path; the length-weighted mean is steadier than the maximum.
    """
    if lengths.shape[0] == 0:
        return lengths
    whole = lengths.sum(axis=0)
    crossings = lengths / path_mm.reshape(-1, 1, 1, 1)
    particles = (lengths * crossings).sum(axis=0) / np.maximum(whole, 1e-300)
    return _kept_fraction(particles, keep, rng)[None]


def _kept_fraction(
    particles: npt.NDArray[np.float64], keep: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Kept over expected particles; a fractional number is rounded up or down at random, so that the mean is one."""
    whole = np.maximum(np.floor(particles + rng.random(particles.shape)), (particles > 0).astype(np.float64))
    kept = rng.binomial(whole.astype(np.int64), keep)
    return np.where(whole > 0, kept / np.maximum(whole * keep, 1e-300), 0.0)
