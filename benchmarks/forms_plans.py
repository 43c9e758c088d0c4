"""What the forms of the network learn from and are judged on: the same realisations of a plan for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surrogate3d.grid import Field
from surrogate3d.io.field_store import read_field
from surrogate3d.model.channels import Filter, smooth
from surrogate3d.model.groups import turn_downstream
from surrogate3d.physics.mixing import MonoTable, band_accumulators
from surrogate3d.training.dataset import Example
from surrogate3d.training.noise import thin
from surrogate3d.training.realisations import (
    LEAST_DOSE,
    REAL_RUN_COPIES,
    accumulators,
    grouped_error,
    irradiated_box,
)
from surrogate3d.training.settings import TrainConfig

Floats = npt.NDArray[np.floating]
Inputs = npt.NDArray[np.float32]

FINE_EDGES_MEV_U = (1.0, 3.0, 6.0, 10.0, 17.0, 30.0, 55.0)
"""Every second one is an edge of `model.groups`: two of these bands together are one of the shipped ones."""

HELIUM_POOLED_OVER = Filter(2.0, 2.0)

MEDIUM_OVER_WATER = (0.9340, 0.9986, 1.0, 1.0278)
"""Dose to medium over dose to water in bone, lung, water and adipose tissue, as scored in the two plans."""

STOPPING_POWER = (1.728, 1.039, 1.0, 0.976)
"""Their stopping powers over that of water: those ratios times 1.85, 1.04, 1.00 and 0.95 g/cm3, as of Geant4."""


@dataclass(frozen=True, eq=False)
class FormPlan:
    """One plan, turned so that the beam runs along the last axis.

    Attributes:
        name: of the plan.
        species: element symbols of the groups.
        example: to learn from, in fine bands.
        tracks: of each realisation of the example, median per voxel above 5 % of the largest dose.
        truth: (3, i, j, k) dose, dose_alpha and dose_sqrt_beta at high statistics, the noise of helium pooled away.
        material: (1, 4, 4, i, j, k) what is known of the material, as one more group; see `_material`.
    """

    name: str
    species: tuple[str, ...]
    example: Example
    tracks: tuple[float, ...]
    truth: Tensor
    material: Tensor


def read_plan(stores: Path, name: str, table: MonoTable, seed: int) -> FormPlan:
    """Read a plan's two runs and thin that with many histories.

    Args:
        stores: folder of `<plan>_low.field.zarr` and `<plan>_high.field.zarr`.
        name: of the plan.
        table: mono-energetic table of the cell line.
        seed: of the thinning.
    """
    low, high = (read_field(stores / f"{name}_{run}.field.zarr") for run in ("low", "high"))
    everything = _inputs(high, _fluence(high), table)
    real = (_inputs(low, _fluence(low), table), accumulators(everything), _typical_tracks(low))
    found = [real] * REAL_RUN_COPIES + list(_thinned(high, table, np.random.default_rng(seed)))
    inputs, targets, tracks = zip(*found, strict=True)
    box, species = irradiated_box(inputs[0]), tuple(high.spectra.axes.species)
    enough = high.dose > LEAST_DOSE * np.nanmax(high.dose)
    learnt = np.ascontiguousarray(turn_downstream(enough, high.beam_axis, high.beam_sign))
    weight = tuple(
        1 / max(grouped_error(x, species, t, learnt), 2e-3) ** 2 for x, t in zip(inputs, targets, strict=True)
    )
    inside = _tensor(learnt[box])
    unlabelled = torch.full((1, 1, *inside.shape), torch.nan)
    example = Example(
        tuple(_tensor(x[box]) for x in inputs),
        tuple(_tensor(t[box]) for t in targets),
        weight,
        inside,
        torch.zeros_like(inside),
        torch.tensor(np.asarray(high.spectra.axes.Z, dtype=np.int64)),
        unlabelled,
        unlabelled,
    )
    return FormPlan(name, species, example, tracks, _tensor(_truth(everything, species)[box]), _material(high)[box])


def _tensor(values: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _fluence(field: Field) -> Floats:
    return field.spectra.fluence / np.float32(field.dose_scale)


def _typical_tracks(field: Field) -> float:
    return float(np.median(field.tracks[field.dose > 0.05 * np.nanmax(field.dose)]))


def _inputs(field: Field, fluence: Floats, table: MonoTable) -> Inputs:
    """`model.groups.group_inputs` of one cell line, in fine bands."""
    sums = band_accumulators(field.spectra.axes, fluence, [table], FINE_EDGES_MEV_U)
    largest = float(sums[:, :, 0].sum(axis=(0, 1)).max())
    sums /= largest
    sums[:, :, 1] *= largest * field.grid.face_area_mm2(field.beam_axis)
    return np.ascontiguousarray(turn_downstream(sums, field.beam_axis, field.beam_sign), dtype=np.float32)


def _thinned(high: Field, table: MonoTable, rng: np.random.Generator) -> Iterator[tuple[Inputs, Inputs, float]]:
    """Inputs, accumulators of all other histories, tracks; as `training.realisations.thinned`."""
    fluence, typical, settings = _fluence(high), _typical_tracks(high), TrainConfig()
    for level in settings.tracks_levels:
        for _ in range(settings.copies if level < typical / 3 else 0):
            keep = level / typical
            fewer = thin(fluence, high.spectra.axes, high.grid, high.beam_axis, keep, rng) * np.float32(keep)
            rest = _inputs(high, np.maximum(fluence - fewer, 0), table)
            yield _inputs(high, fewer, table), accumulators(rest), level


def _truth(inputs: Inputs, species: tuple[str, ...]) -> Inputs:
    """Helium is a few particles a voxel even in the runs with many histories, and its share changes slowly."""
    sums = torch.from_numpy(inputs[:, :, [0, 2, 3]].sum(axis=1, dtype=np.float64))
    total, helium = sums[:, 0].sum(dim=0), species.index("He")
    pooled = smooth(sums[helium], HELIUM_POOLED_OVER) / smooth(total, HELIUM_POOLED_OVER).clamp_min(1e-12)
    sums[helium] = pooled * total
    return np.asarray(sums.sum(dim=0).numpy(), dtype=np.float32)


def _material(field: Field) -> Tensor:
    """Stopping power and water-equivalent depth of the material, read from dose to medium over dose to water.

    They travel as the tracks of a further group, so that mirrored, shifted and merged volumes keep them; only ratios
    of two bands mean something: stopping power over water's and where it is known, depth in voxels and where there is
    one.
    """
    medium, water = (np.nan_to_num(field.volumes[f"dose_to_{name}"].values) for name in ("medium", "water"))
    known = (water > 1e-3 * water.max()).astype(float)
    ratio = np.divide(medium, water, out=np.ones(water.shape), where=known > 0)
    relative = turn_downstream(np.interp(ratio, MEDIUM_OVER_WATER, STOPPING_POWER), field.beam_axis, field.beam_sign)
    known = turn_downstream(known, field.beam_axis, field.beam_sign)
    depth = np.cumsum(relative, axis=-1) - relative / 2
    group = np.zeros((1, 4, 4, *relative.shape), dtype=np.float32)
    group[0, :, 1] = relative * known, known, depth, np.ones_like(depth)
    return torch.from_numpy(group)
