"""Features of the voxels of a field for models of in-vitro survival: averaged by energy deposit over pooled spectra.

Features are ratios of sums that are linear in the spectra, so pooling the spectra pools the sums. The rule is that of
species-grouped pooling (`physics.pooling`), which the mechanistic prediction takes for its baseline, too. Where beams
come from several directions there is no axis to pool along, and every voxel stands alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import ceil

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field
from surrogate3d.invitro.radiation import radiation_features
from surrogate3d.invitro.scales import RADIATION
from surrogate3d.physics.explained import geant4_step_mm
from surrogate3d.physics.let import bin_dose, bin_LET, largest_species
from surrogate3d.physics.pooling import GROUP_SIGMAS, pool_grouped
from surrogate3d.pipeline.spectrum_checks import steps_of

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

POOLED = "species-grouped pooling of the spectra (physics.pooling), then averaged by energy deposit"
ALONE = "every voxel's own spectrum, averaged by energy deposit: beams cross, so there is no axis to pool along"

HALO = max(ceil(3 * sigma) + 1 for rule in GROUP_SIGMAS.values() for _, sigma in rule.values())
"""Voxels along depth that the pooling of a slab needs on each side; its kernels end at three sigma."""

_LEAST_PLANES = 2 * HALO  # of a slab: fewer would be mostly halo
_SLAB_VOXELS = 65536


def averaging(field: Field) -> str:
    """How the features of a field are averaged, in words."""
    return ALONE if field.several_directions else POOLED


def voxel_features(field: Field, mask: Flags) -> Floats:
    """Features of the irradiation in each voxel of a mask, slab by slab along the beam.

    Args:
        field: with spectra.
        mask: (i, j, k) voxels that are asked for; all must have fluence.

    Returns:
        (voxel, n_radiation) in the order of `np.argwhere(mask)` and of `RADIATION`; NaN where not known.
    """
    axes = field.spectra.axes
    step_mm = geant4_step_mm(axes, *asdict(steps_of(field)).values())
    place = np.full(mask.shape, -1)
    place[mask] = np.arange(mask.sum())
    features = np.empty((int(mask.sum()), len(RADIATION)))
    for part, spectra in _slabs(field, mask):
        own = mask[part]
        features[place[part][own]] = radiation_features(axes, spectra[:, :, own], step_mm=step_mm).T
    return features


def _slabs(field: Field, mask: Flags) -> Iterator[tuple[tuple[slice, ...], Floats]]:
    """Parts of the grid, and their spectra (species, bin, i, j, k) as any multiple of the fluence."""
    axes, axis, fluence = field.spectra.axes, field.beam_axis, field.spectra.fluence
    planes = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    thick = max(_LEAST_PLANES, _SLAB_VOXELS * mask.shape[axis] // mask.size)
    beam = largest_species(axes, fluence)
    for start in range(int(planes[0]), int(planes[-1]) + 1, thick):
        stop = min(start + thick, int(planes[-1]) + 1)
        first, last = max(start - HALO, 0), min(stop + HALO, mask.shape[axis])
        part = _cut(axis, start, stop)
        if field.several_directions:
            yield part, fluence[:, :, *part].astype(float)
            continue
        around = bin_dose(axes, fluence[:, :, *_cut(axis, first, last)].astype(float))
        pooled = pool_grouped(around, axes, axis, beam)[:, :, *_cut(axis, start - first, stop - first)]
        yield part, pooled / bin_LET(axes)[..., None, None, None]


def _cut(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))
