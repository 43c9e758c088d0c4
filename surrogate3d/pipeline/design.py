"""Choose the voxels that get the full simulation, and simulate them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.campaign import Campaign, Engine, collect, conduct, in_process
from surrogate3d.direct.campaign_work import without_spectrum
from surrogate3d.direct.conditions import ACUTE, Conditions
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.simulator import simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import ConfigError, Surrogate3dError, UnknownNameError, ValueRangeError
from surrogate3d.grid import SPECIES_Z, Field
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.physics.explained import FAULTS, HIGHEST, LOWEST
from surrogate3d.physics.let import LET_d, bin_dose
from surrogate3d.physics.pooling import pool_grouped
from surrogate3d.pipeline.spectrum_checks import checked
from surrogate3d.sampling import PlanFeatures, SelectedVoxel, Selection, select
from surrogate3d.sampling.strata import gradient_per_mm

Progress = Callable[[int, int], None]
ConditionsOf = Callable[[str, Field, tuple[int, int, int]], Conditions]
"""Conditions of the cells, by the id of a field, the field, and the index of a voxel."""


@dataclass(frozen=True)
class SimulationSettings:
    """What a direct simulation depends on, beside the voxel.

    Attributes:
        backend: as of `direct.simulator.simulator`: a name, or the path of a table.
        cell_lines: names.
        seed: of the campaign.
        target_se: relative standard error of survival at which a voxel is done.

    Raises:
        ConfigError: an error that is not between 0 and 1, or a negative seed.
    """

    backend: str = "gsm2_mc"
    cell_lines: tuple[str, ...] = ("HSG",)
    seed: int = 0
    target_se: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.target_se < 1 or self.seed < 0:
            raise ConfigError(
                f"a simulation needs a relative standard error between 0 and 1 and a seed >= 0, found "
                f"{self.target_se:g} and {self.seed}"
            )


def read_fields(paths: Sequence[Path]) -> dict[str, Field]:
    """Fields by their id, in order, `checked`."""
    return {field_id(path): checked(read_field(path)) for path in paths}


def features(
    name: str, field: Field, species: Sequence[str], min_dose_fraction: float, within: npt.NDArray[np.bool_] | None
) -> PlanFeatures:
    """What the choice is based on: grouped-pooled dose fractions of `species` (zero where not scored), and dose.

    For strata also LET_d of the spectra, the gradients of both per mm (of the dose over its largest), and the density
    if the field has one.
    """
    axes, fluence = field.spectra.axes, field.spectra.fluence
    mask = (field.dose >= min_dose_fraction * np.nanmax(field.dose)) & (fluence.sum(axis=(0, 1)) > 0) & _sound(field)
    mask = mask if within is None else mask & within
    scored = pool_grouped(bin_dose(axes, fluence), axes, field.beam_axis)[:, :, mask]
    fractions = np.zeros((len(species), *scored.shape[1:]), dtype=np.float32)
    fractions[[species.index(s) for s in axes.species]] = scored
    rows = fractions.reshape(-1, fractions.shape[-1]).T
    return PlanFeatures(name, field.grid, rows, field.dose[mask], np.argwhere(mask), _traits(field, mask))


def _traits(field: Field, mask: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.floating]]:
    LET = LET_d(field.spectra.axes, field.spectra.fluence)
    volumes: dict[str, npt.NDArray[np.floating]] = {
        "LET_d": LET,
        "LET_gradient": gradient_per_mm(LET, field.grid),
        "dose_gradient": gradient_per_mm(field.dose / np.nanmax(field.dose), field.grid),
    }
    if "density" in field.volumes:
        volumes["density"] = field.volumes["density"].values
    return {name: values[mask] for name, values in volumes.items()}


def sample(
    fields: Mapping[str, Field],
    budget: int,
    cube_mm: float,
    seed: int,
    n_worst: int,
    n_random: int,
    min_dose_fraction: float = 0.05,
    within: Mapping[str, npt.NDArray[np.bool_]] | None = None,
    strategy: str = "lcmd",
    hours: float = np.inf,
    cost: Mapping[str, npt.NDArray[np.floating]] | None = None,
) -> Selection:
    """Choose voxels over several plans at once; arguments as in `sampling.select`.

    Args:
        fields: high-statistics fields by id.
        budget: voxels to choose over all plans.
        cube_mm: edge of the coarse cubes, mm.
        seed: seed of all lots.
        n_worst: held-out voxels, least similar to the chosen ones.
        n_random: held-out random voxels.
        min_dose_fraction: voxels with less of their field's largest dose are never chosen.
        within: (i, j, k) masks by field id to which the choice is confined.
        strategy: of `sampling.STRATEGIES`, but for `ensemble`, which needs predictions.
        hours: processor time of the chosen voxels in all, h.
        cost: (i, j, k) predicted hours of each voxel by field id; needed with `hours`.
    """
    scored = {s for field in fields.values() for s in field.spectra.axes.species}
    species = sorted(scored, key=SPECIES_Z.__getitem__)
    plans = [features(n, f, species, min_dose_fraction, (within or {}).get(n)) for n, f in fields.items()]
    prices = {p.field_id: cost[p.field_id][tuple(p.voxels.T)] for p in plans if cost and p.field_id in cost}
    return select(plans, budget, cube_mm, seed, n_worst, n_random, strategy, hours=hours, cost=prices)


def tasks(
    voxels: Sequence[SelectedVoxel],
    fields: Mapping[str, Field],
    cell_lines: tuple[str, ...],
    conditions: ConditionsOf | None = None,
) -> list[VoxelTask]:
    """Simulation tasks of selected voxels, under the conditions of the calibration if none are given.

    Raises:
        UnknownNameError: a voxel belongs to a field that was not given.
    """
    found = []
    for v in voxels:
        field = _field_of(v, fields)
        around = conditions(v.field_id, field, v.voxel) if conditions else ACUTE
        found.append(voxel_task(field, v.voxel, cell_lines, v.field_id, around))
    return found


def voxel_task(
    field: Field, voxel: tuple[int, int, int], cell_lines: tuple[str, ...], name: str, conditions: Conditions = ACUTE
) -> VoxelTask:
    """The simulation task of one voxel."""
    i, j, k = voxel
    if not all(0 <= index < n for index, n in zip(voxel, field.grid.shape, strict=True)):
        raise ValueRangeError(f"voxel {voxel} of field {name!r}: the grid has {field.grid.shape} voxels")
    fluence = field.spectra.fluence[:, :, i, j, k]
    return VoxelTask(fluence, field.spectra.axes, float(field.dose[voxel]), cell_lines, voxel, name, conditions)


def fault_of(field: Field, voxel: tuple[int, int, int]) -> str:
    """Why the spectrum of a voxel is no account of its dose; empty if it is, or if the field was not `checked`."""
    if "spectrum_fault" not in field.volumes or not field.volumes["spectrum_fault"].values[voxel] > 0:
        return ""
    fault, ratio = (field.volumes[name].values[voxel] for name in ("spectrum_fault", "explained_corrected"))
    return (
        f"dose and spectrum disagree: the spectrum explains {ratio:.3g} of the dose, and {LOWEST:g} to {HIGHEST:g} "
        f"beside the noise of its tracks is sound ({FAULTS[int(fault)]})"
    )


def _sound(field: Field) -> npt.NDArray[np.bool_]:
    """(i, j, k) where the spectrum can explain the dose, as far as that was checked."""
    if "spectrum_fault" not in field.volumes:
        return np.ones(field.grid.shape, dtype=bool)
    return ~np.asarray(field.volumes["spectrum_fault"].values > 0)


def _field_of(voxel: SelectedVoxel, fields: Mapping[str, Field]) -> Field:
    if voxel.field_id not in fields:
        raise UnknownNameError(
            f"the selection has voxels of field {voxel.field_id[:12]}, which was not given; "
            f"given: {', '.join(name[:12] for name in fields)}"
        )
    return fields[voxel.field_id]


def engine(workers: int = 0, scheduler: str = "") -> Engine:
    """Who does the work of a campaign: this process, or a cluster.

    Args:
        workers: processes to start on this machine, each of one thread; 0 for none.
        scheduler: address of a Dask scheduler that runs already, e.g. "tcp://host:8786"; empty for none.

    Raises:
        ConfigError: both are given, or `workers` is negative.
        UnsupportedError: a cluster is asked for and Dask distributed is not installed.
    """
    if workers < 0:
        raise ConfigError(f"expected a number of workers >= 0, found {workers}")
    if workers and scheduler:
        raise ConfigError(f"give workers or a scheduler, not both; found {workers} and {scheduler}")
    if not workers and not scheduler:
        return in_process
    from surrogate3d.direct.campaign_dask import DaskEngine

    return DaskEngine(workers, scheduler)


def campaign(
    voxels: Sequence[SelectedVoxel],
    fields: Mapping[str, Field],
    ledger: Path,
    settings: SimulationSettings,
    progress: Progress | None = None,
    engine: Engine = in_process,
    *,
    backend: Simulator | None = None,
    conditions: ConditionsOf | None = None,
) -> Campaign:
    """Simulate voxels directly; what the ledger has is not paid for again, and one that fails does not stop the others.

    Args:
        voxels: from `sample`.
        fields: by id.
        ledger: directory of the ledger.
        settings: of the simulation.
        progress: called with the number of voxels done and the number of all.
        engine: from `engine`.
        backend: that of the settings, with further settings of its own.
        conditions: of the cells in each voxel; those of the calibration if not given.

    Returns:
        Responses, and failures with index and reason, which the ledger notes too.

    Raises:
        UnknownNameError: a voxel belongs to a field that was not given, or back end or cell line is not known.
        StoreError: the ledger cannot be read or written, or the cluster is lost.
    """
    chosen = backend or simulator(settings.backend)
    for name in settings.cell_lines:
        chosen.parameters(known_line(name))  # refused before there is a ledger, or a voxel is touched
    todo: list[VoxelTask] = []
    unfit: dict[str, VoxelFailure] = {}
    for voxel in voxels:
        field = _field_of(voxel, fields)
        try:
            around = conditions(voxel.field_id, field, voxel.voxel) if conditions else ACUTE
            task = voxel_task(field, voxel.voxel, settings.cell_lines, voxel.field_id, around)
            if reason := fault_of(field, voxel.voxel):
                raise ValueRangeError(reason)
            todo.append(task)
        except (Surrogate3dError, IndexError) as error:
            where = f"voxel {voxel.voxel} of field {voxel.field_id!r}"
            reason = str(error).removeprefix(where).lstrip(" :,")
            unfit |= without_spectrum(voxel.field_id, voxel.voxel, settings.cell_lines, reason)
    store = Ledger(ledger)
    store.record({}, unfit)
    done = conduct(todo, chosen, store, settings.seed, settings.target_se, progress, engine)
    return replace(done, failures=[*unfit.values(), *done.failures])


def simulate(
    voxels: Sequence[SelectedVoxel],
    fields: Mapping[str, Field],
    ledger: Path,
    settings: SimulationSettings,
    progress: Progress | None = None,
) -> list[VoxelResponse]:
    """As `campaign`, for those who need every response: a voxel that fails is refused, after all the others are done.

    Raises:
        ValueRangeError: some voxels failed.
    """
    return campaign(voxels, fields, ledger, settings, progress).complete()


def simulated(
    voxels: Sequence[SelectedVoxel],
    fields: Mapping[str, Field],
    ledger: Path,
    settings: SimulationSettings,
    *,
    backend: Simulator | None = None,
    conditions: ConditionsOf | None = None,
) -> list[VoxelResponse]:
    """Responses of voxels that were simulated before; arguments as of `campaign`.

    Raises:
        StoreError: the ledger lacks some of them.
    """
    todo = tasks(voxels, fields, settings.cell_lines, conditions)
    chosen = backend or simulator(settings.backend)
    return collect(todo, chosen, Ledger(ledger), settings.seed, settings.target_se)
