"""Maps of a whole field by direct simulation: every voxel answered by a back end, for those that are cheap enough."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.campaign import Engine
from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Field, Volume, VolumeSet, quantity
from surrogate3d.inference.answerable import MIN_DOSE_FRACTION, irradiated
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.maps import PRESCRIBED, Fractionation, derive_maps, wanted
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.io.images import write_maps
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.conditions import conditions_of, oxygen_note, read_oxygen
from surrogate3d.pipeline.design import SimulationSettings, campaign
from surrogate3d.pipeline.map_summary import common, refused, value_range
from surrogate3d.pipeline.spectrum_checks import checked
from surrogate3d.sampling import SelectedVoxel

ALWAYS = ("alpha", "beta", "RBE10", "RBE_ref", "mask")
"""Maps that need no absolute dose, beside the standard error and where the back end lies outside its validity."""


@dataclass(frozen=True)
class DirectSettings:
    """How a whole field is simulated.

    Attributes:
        backend: from `direct.simulator`.
        cell_line: name, or path of a file.
        seed: of the campaign.
        target_se: relative standard error of survival at which a voxel is done.
        min_dose_fraction: voxels with less of the field's largest dose are left out.
        pO2: oxygen pressure at the cells, mmHg; None for that of the calibration.
        in_time: whether dose is delivered at the times that the field states.
    """

    backend: Simulator
    cell_line: str
    seed: int = 0
    target_se: float = 0.01
    min_dose_fraction: float = MIN_DOSE_FRACTION
    pO2: Volume | float | None = None
    in_time: bool = False


@dataclass(frozen=True, eq=False)
class DirectMaps:
    """Maps of one field.

    Attributes:
        volumes: by quantity name; NaN where no voxel was answered.
        responses: of the answered voxels.
        failures: voxels without an answer, each with its reason.
        seconds: wall time.
        core_seconds: CPU time of the simulation.
    """

    volumes: VolumeSet
    responses: Sequence[VoxelResponse]
    failures: Sequence[VoxelFailure]
    seconds: float
    core_seconds: float


def direct_maps(
    field: Field,
    name: str,
    settings: DirectSettings,
    fractionation: Fractionation,
    ledger: Path,
    engine: Engine,
    names: tuple[str, ...] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DirectMaps:
    """Simulate every voxel of a field that has enough dose, and derive the maps.

    Args:
        field: with spectra.
        name: its id.
        settings: of the simulation.
        fractionation: fraction dose and number.
        ledger: directory of the ledger.
        engine: from `design.engine`.
        names: which maps; None makes all that the field allows.
        progress: called with the number of voxels done and the number of all.

    Raises:
        PrescriptionError, UnknownNameError, ValueRangeError: as `inference.maps.derive_maps`, or no voxel was answered.
        StoreError: the ledger cannot be read or written, or the cluster is lost.
    """
    names, start = wanted(field, fractionation, names or _possible(field)), time.perf_counter()
    done = campaign(
        [SelectedVoxel(name, (int(i), int(j), int(k)), "chosen", None) for i, j, k in _asked(field, settings)],
        {name: field},
        ledger,
        SimulationSettings(settings.backend.name, (settings.cell_line,), settings.seed, settings.target_se),
        progress,
        engine,
        backend=settings.backend,
        conditions=lambda _, of, voxel: conditions_of(of, voxel, pO2=settings.pO2, in_time=settings.in_time),
    )
    if not done.responses:
        raise ValueRangeError(f"no voxel was answered; the first of {len(done.failures)} reasons: {done.failures[0]}")
    curves = _curves(field, done.responses)
    volumes = derive_maps(curves, field, cell_line(settings.cell_line), fractionation, names)
    everything = VolumeSet(field.grid, {**volumes, **_extra(curves, field, volumes, done.responses)})
    return DirectMaps(everything, done.responses, done.failures, time.perf_counter() - start, done.core_seconds)


def direct_store(
    path: Path,
    settings: DirectSettings,
    fractionation: Fractionation,
    output: Path,
    ledger: Path,
    engine: Engine,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
    oxygen: str | None = None,
) -> dict[str, Any]:
    """Simulate a field store, and write its maps.

    Arguments are those of `direct_maps` and `write_maps`; `oxygen` is that of the settings in words, as of
    `conditions.read_oxygen`.

    Returns:
        Summary: what the maps stand under, ranges, voxels answered, outside and failed, each with its reasons.
    """
    field, name = checked(read_field(path)), field_id(path)
    if oxygen is not None:
        settings = replace(settings, pO2=read_oxygen(oxygen, field))
    made = direct_maps(field, name, settings, fractionation, ledger, engine, names, progress)
    about = _about(field, name, settings, fractionation)
    files = write_maps(made.volumes, output, formats, about, overwrite=overwrite)
    reasons = Counter(failure.reason for failure in made.failures)
    return {
        **about,
        "output": str(output),
        "files": [file.name for file in files],
        "core_seconds": made.core_seconds,
        "seconds": made.seconds,
        "voxels_answered": len(made.responses),
        "outside": dict(Counter(r.outside for r in made.responses if r.outside)),
        "extrapolated_D10": sum(r.doses[-1] < r.D10 for r in made.responses),
        "voxels_failed": len(made.failures),
        "failed": dict(reasons.most_common(20)),
        "first_failed": str(made.failures[0]) if made.failures else None,
        "refused": refused(made.volumes, field),
        "ranges": {map_name: value_range(volume.values) for map_name, volume in made.volumes.items()},
    }


def _asked(field: Field, settings: DirectSettings) -> npt.NDArray[np.int64]:
    return np.argwhere(irradiated(field, settings.min_dose_fraction))


def _possible(field: Field) -> tuple[str, ...]:
    return ALWAYS if field.prescription is None else ALWAYS + PRESCRIBED


def _curves(field: Field, responses: Sequence[VoxelResponse]) -> CurveMap:
    """The responses as curves in the order of the grid."""
    ordered = sorted(responses, key=lambda response: response.voxel)
    mask, outside = (np.zeros(field.grid.shape, dtype=bool) for _ in range(2))
    for response in ordered:
        mask[response.voxel] = True
        outside[response.voxel] = bool(response.outside)
    doses, effect = np.array(ordered[0].doses), np.array([response.effect for response in ordered])
    relative = np.array([r.RBE_ref_se / r.RBE_ref for r in ordered])
    return CurveMap(mask, doses, effect, relative, outside)


def _extra(curves: CurveMap, field: Field, volumes: VolumeSet, responses: Sequence[VoxelResponse]) -> dict[str, Volume]:
    """Where the back end lies outside its validity; and the standard error of RBE, of a back end that has one."""
    found: dict[str, npt.NDArray[np.floating]] = {"outside": np.where(curves.mask, curves.out_of_domain, np.nan)}
    if "RBE_ref" in volumes and any(response.n_nuclei for response in responses):
        found["RBE_se"] = volumes["RBE_ref"].values * curves.volume(curves.relative_std)
    return {n: Volume(field.grid, values.astype(np.float32), quantity(n)) for n, values in found.items()}


def _about(field: Field, name: str, settings: DirectSettings, fractionation: Fractionation) -> dict[str, Any]:
    line = cell_line(settings.cell_line)
    return {
        **common(field, name, line, fractionation),
        "backend": {
            **settings.backend.settings(),
            "name": settings.backend.name,
            "parameters": settings.backend.parameters(line),
        },
        "seed": settings.seed,
        "target_se": settings.target_se,
        "oxygen": None if settings.pO2 is None else oxygen_note(settings.pO2),
        "in_time": settings.in_time,
        "RBE_reference": "photons of alpha_x and beta_x: acute, at full oxygen",
    }
