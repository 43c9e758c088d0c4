"""From TOPAS run folders to one `Field`: open, check that they are one plan, scale to a prescription, add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.errors import PrescriptionError, QuantityError
from surrogate3d.grid import Field, Grid, Prescription, Spectra, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import outside_bins
from surrogate3d.io.given import Given
from surrogate3d.io.prescribe import PrescribeRequest, given_scale, prescribed
from surrogate3d.io.topas_folder import FileNotRead, FileRead
from surrogate3d.io.topas_merge import MergedRuns, half_dose, require_one_plan
from surrogate3d.io.topas_run import TopasRun, open_topas_runs

Outside = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion read, left out, and noticed.

    Attributes:
        files_read: with hashes, quantity and scorer.
        files_not_read: with the reason.
        histories: all runs.
        outside: by species, fraction of the fluence below and above the energy bins.
        dose_scale: from simulated sum to stored dose; 1 without prescription.
        notes: warnings of TOPAS and of the reader.
    """

    files_read: tuple[FileRead, ...]
    files_not_read: tuple[FileNotRead, ...]
    histories: int
    outside: dict[str, tuple[float, float]]
    dose_scale: float
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Plan:
    """Runs that are one plan, with the scale of their dose; nothing of their values is read yet.

    Attributes:
        runs: merged, scaled to the prescription.
        prescription: or None.
        doubts: what speaks against the prescription.
    """

    runs: MergedRuns
    prescription: Prescription | None
    doubts: tuple[str, ...]

    def report(self, outside: Outside, hashes: Mapping[Path, str] | None = None) -> ConversionReport:
        """What was read, and what was noticed."""
        runs = self.runs.runs
        return ConversionReport(
            files_read=tuple(f for run in runs for f in run.files_read(hashes)),
            files_not_read=tuple(f for run in runs for f in run.files_not_read),
            histories=self.runs.histories,
            outside={species: (part["underflow"], part["overflow"]) for species, part in outside.items()},
            dose_scale=self.runs.dose_scale,
            notes=self.doubts + tuple(f"{run.name}: {note}" for run in runs for note in run.notes),
        )


def read_run(run_dir: Path, *, given: Given | None = None) -> Field:
    """Read one TOPAS run folder as a field in the scale of the simulation.

    Args:
        run_dir: folder with outputs and parameter file.
        given: what the files do not say.

    Raises:
        Surrogate3dError: as `surrogate3d.io.topas_run.open_topas_runs`.
    """
    return convert([run_dir], given=given)[0]


def grid_of(run_dir: Path, given: Given | None = None) -> Grid:
    """Grid of a run folder; arguments and errors as `read_run`."""
    return open_topas_runs(Path(run_dir), given)[0].grid


def convert(
    run_dirs: Sequence[Path],
    *,
    dose_scale: float | None = None,
    prescribe: PrescribeRequest | None = None,
    given: Given | None = None,
) -> tuple[Field, ConversionReport]:
    """Convert the runs of one plan to one field in memory; `convert_to_store` does it plane by plane.

    Args:
        run_dirs: one folder per run; they may differ in seed, histories and output names only.
        dose_scale: factor from the simulated sum to absolute dose.
        prescribe: or the dose that the plan shall have; without either the field has no prescription.
        given: what the files do not say.

    Raises:
        GridMismatchError: runs of different geometry.
        QuantityError: runs of different plans or definitions, or the same seed twice.
        PrescriptionError: the prescription cannot be applied.
        Surrogate3dError: as `surrogate3d.io.topas_run.open_topas_runs`.
    """
    plan = open_plan(run_dirs, dose_scale=dose_scale, prescribe=prescribe, given=given)
    field = _field(plan)
    return field, plan.report(outside_bins(field.spectra))


def open_plan(
    run_dirs: Sequence[Path],
    *,
    dose_scale: float | None = None,
    prescribe: PrescribeRequest | None = None,
    given: Given | None = None,
) -> Plan:
    """Open the runs of one plan and find the scale of its dose; arguments and errors as for `convert`."""
    if not run_dirs:
        raise QuantityError("expected one or more run folders, found none")
    if dose_scale is not None and prescribe is not None:
        raise PrescriptionError("a dose scale and a prescription exclude each other; give one of them")
    opened = tuple(run for run_dir in run_dirs for run in open_topas_runs(Path(run_dir), given))
    require_one_plan(opened)
    _require_known_scorers(opened, given or Given())
    runs = MergedRuns(opened, given=given.to_json() if given else {})
    prescription: Prescription | None = None
    doubts: tuple[str, ...] = ()
    if dose_scale is not None:
        prescription = given_scale(dose_scale)
    elif prescribe is not None:
        prescription, doubts = prescribed(prescribe, runs.grid, runs.doses(), runs.first.dose_name)
    if prescription is not None:
        runs = replace(runs, dose_scale=prescription.dose_scale)
    return Plan(runs, prescription, doubts)


def _require_known_scorers(runs: Sequence[TopasRun], given: Given) -> None:
    unknown = set(given.let_weighting) - {scored.header.scorer for run in runs for scored in run.scored.values()}
    if unknown:
        raise QuantityError(f"--let-weighting names scorers that are not there: {', '.join(sorted(unknown))}")


def _field(plan: Plan) -> Field:
    runs = plan.runs
    nz = runs.grid.shape[2]
    parts = [runs.spectrum(species, 0, nz) for species in runs.first.species]
    weights = [part.tracks for part in parts]
    volumes = runs.volumes(0, nz, weights[0] if runs.first.species[0] == "H" else np.sum(weights, axis=0))
    halves_dose = tuple(volumes.pop(half_dose(n)) for n in range(len(runs.halves)))
    axis, sign = runs.beam_axis
    return Field(
        grid=runs.grid,
        volumes=VolumeSet(runs.grid, {n: Volume(runs.grid, v, quantity(n)) for n, v in volumes.items()}),
        spectra=_spectra(runs, [part.whole for part in parts]),
        beam_axis=axis,
        beam_sign=sign,
        histories=runs.histories,
        primary=runs.primary,
        beams=(runs.beam,),
        halves=tuple(_spectra(runs, [part.halves[n] for part in parts]) for n in range(len(runs.halves))),
        halves_dose=halves_dose,
        let_definitions=runs.first.let_definitions,
        prescription=plan.prescription,
        provenance=runs.provenance(),
    )


def _spectra(runs: MergedRuns, planes: list[Any]) -> Spectra:
    by_bin = np.stack([np.ascontiguousarray(part.transpose(3, 2, 1, 0)) for part in planes])
    return Spectra(runs.axes, np.ascontiguousarray(by_bin[:, 1:-1]), by_bin[:, 0], by_bin[:, -1])
