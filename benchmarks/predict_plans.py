"""Plans of any size for benchmarks: a simulated one with its Monte Carlo noise, mirrored across the beam.

Every voxel has spectra that a simulation gave; each image after the first has 2 % of noise of its own on every bin, far
below that of the simulation, so that no image packs better for having been there before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field, Grid, quantity
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.field_store import SPACE, SpectraWords, read_field, store_attributes
from surrogate3d.io.zarr_group import GroupWriter, chunk_depth, new_array, quantity_words


def mirrored_store(source: Path, shape: tuple[int, int], target: Path) -> Path:
    """A store of `shape` voxels across the beam, which must run along k; made once, slab by slab.

    Args:
        source: field store of a simulated plan.
        shape: voxels along i and j.
        target: the new store; what is there is taken as it is.
    """
    if target.exists():
        return target
    field = read_field(source)
    assert field.beam_axis == 2
    i, j = (_mirror(n, old) for n, old in zip(shape, field.grid.shape[:2], strict=True))
    grid = Grid((*shape, field.grid.shape[2]), field.grid.spacing_mm, field.grid.origin_mm, field.grid.direction)
    with atomic_directory(target, False) as scratch:
        writer = GroupWriter(scratch)
        _put_spectra(writer, field, grid, (i, j))
        for name, volume in field.volumes.items():
            array = new_array(writer.group, name, grid.shape, np.float32, SPACE, 32, quantity_words(quantity(name)))
            values = volume.values[i][:, j].astype(np.float32)
            for k in range(0, grid.shape[2], 32):
                writer.put(array, (), values[..., k : k + 32], k)
        writer.finish(_attributes(field, grid))
        manifest.write_manifest(scratch, known=writer.hashes)
    return target


def _mirror(n: int, old: int) -> npt.NDArray[np.int64]:
    """(n,) indices that go to and fro over `old` voxels."""
    place = np.arange(n) % (2 * old)
    return np.where(place < old, place, 2 * old - 1 - place)


def _put_spectra(
    writer: GroupWriter, field: Field, grid: Grid, at: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
) -> None:
    spectra, group = field.spectra, writer.group.create_group("spectra")
    lead = len(spectra.axes.species), spectra.axes.n_bins
    depth, rng = chunk_depth((*lead, *grid.shape)), np.random.default_rng(0)
    for name in ("fluence", "underflow", "overflow"):
        values = getattr(spectra, name)
        bins = ("bin",) if values.ndim == 5 else ()
        shape = (*values.shape[:-3], *grid.shape)
        array = new_array(group, name, shape, np.float32, ("species", *bins, *SPACE), depth, {})
        for species in range(lead[0]):
            for k in range(0, grid.shape[2], depth):
                planes = values[species, ..., k : k + depth].astype(np.float32)[..., at[0], :, :][..., at[1], :]
                copies = planes[..., values.shape[-3] :, :, :], planes[..., : values.shape[-3], values.shape[-2] :, :]
                for each in copies:
                    each *= 1 + 0.02 * rng.standard_normal(each.shape, dtype=np.float32).clip(-3, 3)
                writer.put(array, (species,), planes, k)


def _attributes(field: Field, grid: Grid) -> dict[str, object]:
    axes = field.spectra.axes
    words = SpectraWords(axes, 0, 2, field.beam_sign, field.histories * grid.n_voxels // field.grid.n_voxels, {})
    return store_attributes(
        grid=grid,
        volumes=list(field.volumes),
        primary=field.primary,
        beams=field.beams,
        has_beams_dose=False,
        let_definitions=field.let_definitions,
        prescription=field.prescription,
        provenance={"made_by": "benchmarks/predict_plans.py"},
        spectra=words,
    )
