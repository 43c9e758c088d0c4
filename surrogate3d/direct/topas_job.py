"""The back end `topas_job`: the lineal energies of a voxel's ions are counted by the user's own OpenTOPAS."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.closed_form import required
from surrogate3d.direct.conditions import require_known
from surrogate3d.direct.curve import response
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.task import DOSE_LADDER, VoxelResponse, VoxelTask
from surrogate3d.direct.topas_job_counts import JobCounts, job_counts
from surrogate3d.direct.topas_job_run import split_command
from surrogate3d.direct.topas_job_source import runs_of
from surrogate3d.direct.topas_job_work import run_job
from surrogate3d.direct.validity import Validity
from surrogate3d.errors import ConfigError, StoreError, Surrogate3dError
from surrogate3d.io.topas_job import Counter, TopasRuns
from surrogate3d.io.topas_job_folder import write_job
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.gsm2 import lesion_yield
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.lineal_response import counter_gsm2, counter_mkm, event_rates, event_specific_energy
from surrogate3d.physics.linear_quadratic import effect

Floats = npt.NDArray[np.float64]

VALIDITY = Validity()
"""H to O from 0.1 MeV/u on, as the other back ends: slower ions have no stopping power here."""

LARGEST_MISFIT = 0.05
"""Relative difference of the radii of counter and domain beyond which a voxel is outside."""

COUNTER_DOSE = (0.7, 1.3)
"""Dose of the counter over that of the spectrum by stopping power, beyond which a voxel is outside."""


@dataclass(frozen=True)
class TopasJob:
    """The back end `topas_job`.

    Source: OpenTOPAS with its microdosimetry extension (Zhu et al., Phys. Med. Biol. 2019;64:145004) counts the events
    in a sphere of water, kind of ion by kind of ion. They are folded into GSM2 (`physics.lineal_response`; events reach
    the domains independently, and lesions per Gy are those of the kind of ion, dose-averaged over its own spectrum), or
    into the MKM in its form for counters (Kase et al., Radiat. Res. 2006;166:629). Validity: H to O from 0.1 MeV/u on;
    the counter should be as large as the domain of the model; events below 0.1 keV/um are not counted, and their dose
    is treated like the rest. Independent domains overstate the effect of one track that hits several: by 1 % for
    carbon of 93 keV/um, 4 % at 193. Cost: minutes to hours a voxel, whatever OpenTOPAS takes.

    Standard errors are those of the counted events, by jackknife over batches of histories. The histories are a
    setting, so that the target of a campaign is ignored; its seed decides those of the runs.

    Attributes:
        detector_radius_um: radius of the counter, um; 0.9 is the domain of GSM2 in the shipped cell lines.
        beam_margin_um: by which the beam's radius is larger than the counter's, um.
        buildup_um: water before the counter, um; ions start with the energy that they lose there added.
        histories: of all runs of a voxel, about.
        least_share: kinds of ions with a smaller share of the dose are left out.
        physics: "livermore", "penelope" or "opt4" (`io.topas_job.PHYSICS`).
        template: text of a parameter file with the user's own geometry and physics; empty for the one written here.
        response: "gsm2" or "mkm".
        command: e.g. "topas {parameters}"; empty to use finished jobs alone.
        jobs: directory of the jobs.
        time_limit_s: of one run, s.
        doses: ladder, Gy, ascending, positive.
        name: of the back end.
        version: raised whenever numbers change.

    Raises:
        ConfigError: `response` is neither; histories, share or time limit make no sense; or the command has no
            {parameters}.
        ValueRangeError, UnknownNameError: as `io.topas_job.Counter`.
    """

    voxels_at_once: ClassVar[int] = 1
    """A campaign hands out single voxels: one takes long enough."""

    detector_radius_um: float = 0.9
    beam_margin_um: float = 2.0
    buildup_um: float = 2.0
    histories: int = 100_000
    least_share: float = 1e-3
    physics: str = "livermore"
    template: str = ""
    response: Literal["gsm2", "mkm"] = "gsm2"
    command: str = ""
    jobs: str = ""
    time_limit_s: float = 86_400.0
    doses: tuple[float, ...] = DOSE_LADDER
    name: str = "topas_job"
    version: int = 1
    _failed: dict[str, tuple[Surrogate3dError, set[str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.response not in ("gsm2", "mkm"):
            raise ConfigError(f"topas_job: response must be gsm2 or mkm, found {self.response!r}")
        if not (1 <= self.histories <= 10**8 and 0 <= self.least_share < 1 and self.time_limit_s > 0):
            raise ConfigError(
                f"topas_job: expected 1 to 1e8 histories, a least share of 0 to 1 and a time limit above 0 s, found "
                f"{self.histories}, {self.least_share:g} and {self.time_limit_s:g}"
            )
        _ = self.counter
        if self.command:
            split_command(self.command)

    @property
    def counter(self) -> Counter:
        """Geometry and physics of every run."""
        return Counter(
            self.detector_radius_um, self.beam_margin_um, self.buildup_um, self.physics, self.template
        )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers; not where and by which command the jobs are run."""
        names = ("detector_radius_um", "beam_margin_um", "buildup_um", "histories", "least_share", "physics")
        template = hashlib.sha256(self.template.encode()).hexdigest() if self.template else ""
        values = {name: getattr(self, name) for name in (*names, "response", "doses", "name", "version")}
        return values | {"template": template}

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """What of the cell line decides the numbers, beside its name and photon pair.

        Raises:
            UnsupportedError: the response is "mkm", and the cell line has no such set.
        """
        return asdict(line.gsm2) if self.response == "gsm2" else asdict(required(line.mkm, line, "mkm"))

    def asked(self, task: VoxelTask, seed: int) -> TopasRuns:
        """The runs of a voxel."""
        return runs_of(task, self.counter, self.histories, self.least_share, seed)

    def write(self, task: VoxelTask, seed: int) -> tuple[Path, bool]:
        """Write the folder of a voxel's job, if it is not there; return it, and whether it is new.

        Raises:
            StoreError: no directory of jobs is set, or it cannot be written.
            UnsupportedError: conditions other than those of the calibration.
        """
        require_known(task.where, task.conditions, self.name)
        about = {"field_id": task.field_id, "voxel": list(task.voxel), "campaign_seed": seed}
        return write_job(self._jobs(), self.asked(task, seed), about)

    def simulate(self, tasks: Sequence[VoxelTask], seed: int = 0, target_se: float = 0.01) -> list[VoxelResponse]:
        """Compute voxels: write the job, run what is not finished, check, fold. See `Gsm2MonteCarlo.simulate`.

        Raises:
            UnknownNameError: a cell line is not known.
            UnsupportedError: the cell line lacks the model, or the voxel has conditions of oxygen or time.
            StoreError: no directory of jobs; a run failed, or is missing and there is no command.
            ConfigError: there is no such program as that of the command.
            FormatError, ValueRangeError: what the run wrote is no whole result, or too few events were counted.
        """
        for task in tasks:
            require_known(task.where, task.conditions, self.name)
            for name in task.cell_lines:
                self.parameters(known_line(name))
        return [answer for task in tasks for answer in self._answers(task, seed)]

    def _answers(self, task: VoxelTask, seed: int) -> list[VoxelResponse]:
        lines = [known_line(name) for name in task.cell_lines]
        counts = self._counted(task, seed)
        events = counts.replicas()
        return [self._answer(task, line, seed, counts, events) for line in lines]

    def _answer(self, task: VoxelTask, line: CellLine, seed: int, counts: JobCounts, events: Floats) -> VoxelResponse:
        survival = np.exp(-self._effects(task, line, counts, events))
        backend, outside = f"{self.name}/{self.version}", self._outside(task, line, counts)
        n = int(counts.counts.sum())
        return response(task, line, self.doses, survival[0], survival[1:], n, seed, backend, outside)

    def _effects(self, task: VoxelTask, line: CellLine, counts: JobCounts, events: Floats) -> Floats:
        """(replica, dose) -ln S. The spectrum of y is taken to be that of the domain, whatever the counter's size."""
        y, fluence, r_d = counts.y_kev_um, counts.fluence, self._domain(line)
        rates = event_rates(y, events, fluence, r_d)
        if self.response == "mkm":
            alpha, beta = counter_mkm(y, rates.sum(axis=1), required(line.mkm, line, "mkm"))
            return np.asarray(effect(self.doses, alpha[:, None], beta[:, None]))
        yields = mean_yields(task, [run.species for run in counts.asked.runs])
        return counter_gsm2(event_specific_energy(y, r_d), yields, rates, np.array(self.doses), line.gsm2)

    def _domain(self, line: CellLine) -> float:
        """Radius of the model's domain, um."""
        return line.gsm2.r_d if self.response == "gsm2" else required(line.mkm, line, "mkm").r_d

    def _outside(self, task: VoxelTask, line: CellLine, counts: JobCounts) -> str:
        r_d = self._domain(line)
        misfit, (low, high) = abs(self.detector_radius_um / r_d - 1), COUNTER_DOSE
        size = f"counter of {self.detector_radius_um:g} um for domains of {r_d:g} um"
        dose = f"dose in the counter not {100 * low:.0f} to {100 * high:.0f} % of what the fluence gives"
        reasons = [
            VALIDITY.outside(task, self.doses),
            size if misfit > LARGEST_MISFIT else "",
            "" if low <= counts.dose_per_gy <= high else dose,
        ]
        return "; ".join(filter(None, reasons))

    def _counted(self, task: VoxelTask, seed: int) -> JobCounts:
        """The events of a voxel.

        A campaign asks again for each cell line what failed for all: it gets the same answer, without another run.
        """
        asked = self.asked(task, seed)
        failed, waiting = self._failed.get(asked.key, (None, set()))
        if failed is not None and len(task.cell_lines) == 1 and task.cell_lines[0] in waiting:
            waiting.discard(task.cell_lines[0])
            raise failed
        try:
            job, _ = self.write(task, seed)
            counts = job_counts(asked, run_job(job, asked, task.where, self.command, self.time_limit_s))
        except Surrogate3dError as error:
            self._failed[asked.key] = (error, set(task.cell_lines) if len(task.cell_lines) > 1 else set())
            raise
        self._failed.pop(asked.key, None)
        return counts

    def _jobs(self) -> Path:
        if not self.jobs:
            raise StoreError("topas_job needs the directory of its jobs; give --jobs DIR")
        return Path(self.jobs).expanduser().absolute()


def mean_yields(task: VoxelTask, species: Sequence[str]) -> Floats:
    """(ion,) lesions per Gy per Gbp of some kinds of ions, dose-averaged over the spectrum of each."""
    LET, fluence = bin_LET(task.axes), task.fluence_per_gy.astype(float)
    rows = [task.axes.species.index(name) for name in species]
    dose, yields = (fluence * LET)[rows], lesion_yield(task.axes.Z[:, None], LET)[rows]
    return np.asarray((dose * yields).sum(axis=1) / dose.sum(axis=1))
