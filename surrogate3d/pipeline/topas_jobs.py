"""TOPAS jobs of selected voxels: written into one directory, which says how, and the back end that reads them there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as attributes
from pathlib import Path
from typing import Any, Literal

from surrogate3d.direct.topas_job import TopasJob
from surrogate3d.errors import ConfigError, StoreError, Surrogate3dError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Field
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.topas_job_folder import is_finished
from surrogate3d.pipeline.design import fault_of, tasks
from surrogate3d.pipeline.spectrum_checks import checked
from surrogate3d.sampling import SelectedVoxel

Progress = Callable[[int, int], None]
Response = Literal["gsm2", "mkm"]

SCHEMA, SETTINGS_FILE = "surrogate3d.topas_jobs/1", "settings.json"

_DECISIVE = ("detector_radius_um", "beam_margin_um", "buildup_um", "histories", "least_share", "physics", "template")
_KNOWN = {"schema", "seed", "response", *_DECISIVE}


@dataclass(frozen=True)
class WrittenJob:
    """The job of one voxel.

    Attributes:
        field_id: which field.
        voxel: index (i, j, k) in the field.
        folder: of the job; voxels of equal spectra share one.
        runs: kinds of ions, each with a run of its own.
        histories: of all runs together.
        is_new: whether it was written just now.
        n_finished: runs that have a result.
    """

    field_id: str
    voxel: tuple[int, int, int]
    folder: Path
    runs: tuple[str, ...]
    histories: int
    is_new: bool
    n_finished: int


@dataclass(frozen=True)
class NoJob:
    """A voxel that no job can be written for.

    Attributes:
        field_id: which field.
        voxel: index (i, j, k) in the field.
        reason: one line.
    """

    field_id: str
    voxel: tuple[int, int, int]
    reason: str

    def __str__(self) -> str:
        return f"voxel {self.voxel} of field {self.field_id[:12]!r}: {self.reason}"


@dataclass(frozen=True)
class WrittenJobs:
    """What became of a selection.

    Attributes:
        jobs: voxel by voxel.
        failures: the other voxels.
    """

    jobs: list[WrittenJob]
    failures: list[NoJob]


def topas_backend(
    jobs: Path,
    command: str = "",
    time_limit_s: float | None = None,
    response: Response | None = None,
    seed: int | None = None,
) -> TopasJob:
    """The back end `topas_job` for a directory of jobs, with the settings that `write_jobs` noted there.

    A directory without settings gets the default ones; the jobs are then written as they are needed.

    Args:
        jobs: the directory.
        command: e.g. "topas {parameters}"; empty to use finished jobs alone.
        time_limit_s: of one run, s; a day if not given.
        response: "gsm2" or "mkm"; that of the directory if not given.
        seed: of the campaign, to be compared with that of the directory; not compared if not given.

    Raises:
        ConfigError: the settings cannot be read; the command has no {parameters}; the seeds differ, so
            that nothing of the directory would be used.
    """
    noted = read_settings(jobs) or {}
    if seed is not None and noted.get("seed", seed) != seed:
        raise ConfigError(
            f"the jobs in {jobs} were written for seed {noted['seed']}, found --seed {seed}; give --seed "
            f"{noted['seed']}, or another directory"
        )
    values: dict[str, Any] = {name: noted[name] for name in (*_DECISIVE, "response") if name in noted}
    values |= {} if response is None else {"response": response}
    values |= {} if time_limit_s is None else {"time_limit_s": time_limit_s}
    return TopasJob(jobs=str(jobs), command=command, **values)


def write_jobs(
    voxels: Sequence[SelectedVoxel],
    fields: Mapping[str, Field],
    backend: TopasJob,
    seed: int,
    progress: Progress | None = None,
) -> WrittenJobs:
    """Write the jobs of voxels; those that are there already stay as they are.

    Args:
        voxels: from `sample`.
        fields: by id.
        backend: its settings and its directory of jobs.
        seed: of the campaign that will read them.
        progress: called with the number of voxels done and the number of all.

    Raises:
        UnknownNameError: a voxel belongs to a field that was not given.
        ConfigError: the directory holds jobs of other settings.
        StoreError: the directory cannot be written.
    """
    missing = sorted({voxel.field_id for voxel in voxels} - set(fields))
    if missing:
        raise UnknownNameError(
            f"the selection has voxels of field {missing[0][:12]}, which was not given; "
            f"given: {', '.join(name[:12] for name in fields)}"
        )
    _note_settings(backend, seed)
    sound = {name: checked(field) for name, field in fields.items()}
    written = WrittenJobs([], [])
    for done, voxel in enumerate(voxels, start=1):
        try:
            written.jobs.append(_write(voxel, sound, backend, seed))
        except StoreError:
            raise
        except (Surrogate3dError, IndexError) as error:
            written.failures.append(NoJob(voxel.field_id, voxel.voxel, f"{type(error).__name__}: {error}"))
        if progress is not None:
            progress(done, len(voxels))
    return written


def read_settings(jobs: Path) -> dict[str, Any] | None:
    """The settings that a directory of jobs was written with; None where there are none.

    Raises:
        ConfigError: the file is not one of settings.
    """
    path = jobs / SETTINGS_FILE
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}; write the jobs again, into another directory") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or set(data) != _KNOWN:
        raise ConfigError(f"{path}: expected {SCHEMA} with {', '.join(sorted(_KNOWN))}; found something else")
    types = {each.name: each.type for each in attributes(TopasJob)}
    wrong = [name for name in _DECISIVE if not _fits(data[name], str(types[name]))]
    if wrong or not isinstance(data["seed"], int):
        raise ConfigError(f"{path}: {(wrong or ['seed'])[0]} has a value of the wrong kind")
    return data


def _fits(value: object, kind: str) -> bool:
    if kind == "str":
        return isinstance(value, str)
    return not isinstance(value, bool) and isinstance(value, int if kind == "int" else int | float)


def _note_settings(backend: TopasJob, seed: int) -> None:
    jobs = Path(backend.jobs)
    wanted = {"schema": SCHEMA, "seed": seed} | {name: getattr(backend, name) for name in (*_DECISIVE, "response")}
    noted = read_settings(jobs)
    differing = [name for name in ("seed", *_DECISIVE) if noted is not None and noted[name] != wanted[name]]
    if noted is not None and differing:
        name = differing[0]
        raise ConfigError(
            f"{jobs} holds jobs of {name} {str(noted[name])[:40]!r}, found {str(wanted[name])[:40]!r}; give the same "
            f"settings, or another directory"
        )
    if noted != wanted:
        with atomic_file(jobs / SETTINGS_FILE, overwrite=True) as scratch:
            scratch.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _write(voxel: SelectedVoxel, fields: Mapping[str, Field], backend: TopasJob, seed: int) -> WrittenJob:
    (task,) = tasks([voxel], fields, ())
    if reason := fault_of(fields[voxel.field_id], voxel.voxel):
        raise ValueRangeError(reason)
    folder, is_new = backend.write(task, seed)
    asked = backend.asked(task, seed)
    species = tuple(run.species for run in asked.runs)
    n_finished = sum(is_finished(folder / name) for name in species)
    return WrittenJob(voxel.field_id, voxel.voxel, folder, species, asked.histories, is_new, n_finished)


def job_settings(
    jobs: Path,
    detector_radius_um: float,
    beam_margin_um: float,
    buildup_um: float,
    histories: int,
    least_share: float,
    physics: str,
    template: Path | None,
    response: Response,
) -> TopasJob:
    """The back end that writes jobs; arguments as its attributes, `template` as a file.

    Raises:
        StoreError: the template cannot be read.
        ConfigError, ValueRangeError, UnknownNameError: as `TopasJob`.
    """
    try:
        text = "" if template is None else template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read the template {template}: {error}") from error
    lengths = (detector_radius_um, beam_margin_um, buildup_um)
    return TopasJob(*lengths, histories, least_share, physics, text, response, jobs=str(jobs))


def written(found: WrittenJobs, backend: TopasJob) -> dict[str, Any]:
    """Written jobs in numbers."""
    folders = {job.folder: job for job in found.jobs}
    n_runs = sum(len(job.runs) for job in folders.values())
    return {
        **{name: getattr(backend, name) for name in (*_DECISIVE, "response") if name != "template"},
        "has_template": bool(backend.template),
        "n_new": sum(job.is_new for job in found.jobs),
        "n_folders": len(folders),
        "n_runs": n_runs,
        "n_unfinished": n_runs - sum(job.n_finished for job in folders.values()),
        "histories_in_all": sum(job.histories for job in folders.values()),
        "jobs": [asdict(job) for job in found.jobs],
        "failed": [asdict(failure) for failure in found.failures],
    }
