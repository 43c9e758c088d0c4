"""A back end of direct simulation as a user asks for it: by name or table, with settings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.simulator import simulator
from surrogate3d.direct.topas_job import TopasJob
from surrogate3d.errors import ConfigError
from surrogate3d.grid import Field
from surrogate3d.physics.protraction import exposures_of
from surrogate3d.pipeline.conditions import conditions_of, oxygen_note, read_oxygen
from surrogate3d.pipeline.design import ConditionsOf
from surrogate3d.pipeline.topas_jobs import read_settings, topas_backend

LARGEST_SPREAD = 0.5
"""Relative standard deviation of a radius; a wider log-normal has nuclei smaller than a domain."""


class OwnRuns(NamedTuple):
    """How the user's own TOPAS is run; of `topas_job` alone.

    Attributes:
        command: that starts it, such as "topas {parameters}"; None to use what has been run.
        jobs: directory of the jobs.
        time_limit_s: seconds after which a run is given up.
        response: which model answers, "gsm2" or "mkm"; None for that which the directory was written for.
    """

    command: str | None = None
    jobs: Path | None = None
    time_limit_s: float | None = None
    response: Literal["gsm2", "mkm"] | None = None


def configured(name: str, seed: int, nucleus_spread: float = 0.0, runs: OwnRuns | None = None) -> Simulator:
    """A back end with settings.

    Args:
        name: as of `direct.simulator.simulator`: a name, or the path of a table.
        seed: of the campaign.
        nucleus_spread: relative standard deviation of the nucleus radius over the cells; of `gsm2_mc` alone.
        runs: of TOPAS; of `topas_job` alone.

    Raises:
        UnknownNameError, StoreError, FormatError: as `simulator`, and as `topas_jobs.topas_backend`.
        ConfigError: a setting that the back end does not have, or jobs without a directory.
    """
    backend, runs = simulator(name), runs or OwnRuns()
    if nucleus_spread:
        if type(backend) is not Gsm2MonteCarlo:
            raise ConfigError(f"a spread of nucleus sizes is a setting of gsm2_mc, not of {name}")
        if not 0 < nucleus_spread <= LARGEST_SPREAD:
            raise ConfigError(f"a nucleus spread is a fraction from 0 to {LARGEST_SPREAD:g}, found {nucleus_spread:g}")
        backend = replace(backend, nucleus_spread=nucleus_spread)
    if not isinstance(backend, TopasJob):
        if runs != OwnRuns():
            raise ConfigError(f"command, jobs, time limit and response are settings of topas_job, not of {name}")
        return backend
    if runs.jobs is None:
        raise ConfigError("topas_job needs --jobs DIR: where `surrogate3d topas jobs` wrote its folders")
    if not runs.command and read_settings(runs.jobs) is None:
        raise ConfigError(
            f"there are no jobs in {runs.jobs}; write them with `surrogate3d topas jobs`, or give --command"
        )
    return topas_backend(runs.jobs, runs.command or "", runs.time_limit_s, runs.response, seed)


def conditions_for(fields: Mapping[str, Field], oxygen: str | None, in_time: bool) -> tuple[ConditionsOf, list[str]]:
    """What a campaign asks of every voxel (see `pipeline.conditions`), and what was understood, for the user.

    Args:
        fields: by id.
        oxygen: as of `read_oxygen`; None for that of the calibration.
        in_time: whether dose is delivered at the times that the fields state.

    Raises:
        QuantityError: a field does not state its times of delivery.
        StoreError, GridMismatchError, ValueRangeError, FormatError: as `read_oxygen`.
    """
    if in_time:
        for field in fields.values():
            exposures_of(field.beams)  # refuses now what it would refuse of every voxel
    pressures = {name: None if oxygen is None else read_oxygen(oxygen, field) for name, field in fields.items()}
    notes = list(dict.fromkeys(oxygen_note(pressure) for pressure in pressures.values() if pressure is not None))
    return lambda name, field, voxel: conditions_of(field, voxel, pO2=pressures[name], in_time=in_time), notes
