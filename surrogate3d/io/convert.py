"""From TOPAS run folders to one `Field`: read, merge runs of one plan, scale to a prescription."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, PrescriptionError, QuantityError
from surrogate3d.grid import Field, Prescription, Spectra, Volume, VolumeSet
from surrogate3d.io.topas_grid import RowOrder
from surrogate3d.io.topas_merge import merge, require_one_plan
from surrogate3d.io.topas_run import FileNotRead, FileRead, TopasRun, read_topas_run

Array = npt.NDArray[np.float64]
MAX_OVER_PRESCRIBED = 1.5
"""A larger ratio of the largest to the prescribed dose is remarked on."""

Box = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True, eq=False)
class PrescribeRequest:
    """Which dose the plan shall have, and where.

    Attributes:
        dose_gy: prescribed physical dose, Gy.
        at: "max", "mean", or "pNN" for the NN-th percentile of the voxel doses, such as "p50".
        box: half-open voxel box ((i0, j0, k0), (i1, j1, k1)), or a boolean mask (i, j, k), in which the statistic is
            taken; None is the whole grid, which only "max" allows.
    """

    dose_gy: float
    at: str = "max"
    box: Box | npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion read, left out, and noticed.

    Attributes:
        files_read: with hashes, quantity and scorer.
        files_not_read: with the reason.
        histories: all runs.
        outside: by species, fraction of the fluence below the first and above the last energy edge.
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


def read_run(run_dir: Path, *, row_order: RowOrder | None = None) -> Field:
    """Read one TOPAS run folder as a field in the scale of the simulation.

    Args:
        run_dir: folder with outputs and parameter file.
        row_order: order of the rows of energy-binned CSV files, where the TOPAS version does not tell.

    Raises:
        Surrogate3dError: as `surrogate3d.io.topas_run.read_topas_run`.
    """
    return merge([read_topas_run(run_dir, row_order)])


def convert(
    run_dirs: Sequence[Path],
    *,
    dose_scale: float | None = None,
    prescribe: PrescribeRequest | None = None,
    row_order: RowOrder | None = None,
) -> tuple[Field, ConversionReport]:
    """Convert the runs of one plan to one field.

    Sums add, dose errors add in quadrature, LET is weighted (LET_d by dose, LET_t by the fluence of H), histories add.
    Two or more runs also give two independent halves, each scaled to the whole's expectation.

    Args:
        run_dirs: one folder per run; they may differ in seed, histories and output names only.
        dose_scale: factor from the simulated sum to absolute dose.
        prescribe: or the dose that the plan shall have; without either the field has no prescription.
        row_order: as `read_run`.

    Raises:
        GridMismatchError: runs of different geometry.
        QuantityError: runs of different plans or definitions, or the same seed twice.
        PrescriptionError: the prescription cannot be applied.
        Surrogate3dError: as `surrogate3d.io.topas_run.read_topas_run`.
    """
    if not run_dirs:
        raise QuantityError("expected one or more run folders, found none")
    runs = [read_topas_run(Path(run_dir), row_order) for run_dir in run_dirs]
    require_one_plan(runs)
    field = merge(runs)
    prescription = _prescription(field, dose_scale, prescribe)
    if prescription:
        field = _scaled(field, prescription)
    return field, _report(field, runs, _doubts(field, prescribe))


def _doubts(field: Field, prescribe: PrescribeRequest | None) -> tuple[str, ...]:
    """What speaks against a prescription: it is in the wrong place more often than one thinks."""
    if prescribe is None:
        return ()
    doubts = []
    largest = float(np.nanmax(field.dose)) / prescribe.dose_gy
    if largest > MAX_OVER_PRESCRIBED:
        doubts.append(
            f"the largest dose is {largest:.1f} times the prescribed one; is the box or mask inside the target?"
        )
    inside, where = _prescription_region(field, prescribe)
    if prescribe.at != "max" and np.percentile(inside, 5) < 0.5 * prescribe.dose_gy:
        doubts.append(f"the dose in {where} falls below half of the prescribed one; it is not all inside the target")
    return tuple(doubts)


def _prescription(field: Field, dose_scale: float | None, prescribe: PrescribeRequest | None) -> Prescription | None:
    if dose_scale is not None and prescribe is not None:
        raise PrescriptionError("a dose scale and a prescription exclude each other; give one of them")
    if dose_scale is not None:
        if not np.isfinite(dose_scale) or dose_scale <= 0:
            raise PrescriptionError(f"dose scale must be a positive number, found {dose_scale}")
        return Prescription(float(dose_scale), f"dose scale {dose_scale:g} given")
    if prescribe is None:
        return None
    if not np.isfinite(prescribe.dose_gy) or prescribe.dose_gy <= 0:
        raise PrescriptionError(f"prescribed dose must be positive, found {prescribe.dose_gy} Gy")
    dose, where = _prescription_region(field, prescribe)
    level = _statistic(dose, prescribe.at)
    if not np.isfinite(level) or level <= 0:
        raise PrescriptionError(f"{prescribe.at} of {where} is {level:g}; there is no dose to scale")
    statement = f"{prescribe.dose_gy:g} Gy at {prescribe.at} of {where} ({field.dose_name})"
    return Prescription(float(prescribe.dose_gy / level), statement, float(prescribe.dose_gy))


def _prescription_region(field: Field, request: PrescribeRequest) -> tuple[Array, str]:
    dose = np.asarray(field.dose, dtype=float)
    if request.box is None:
        if request.at != "max":
            raise PrescriptionError(
                f"{request.at} needs a mask or a box of voxels; only max is taken on the whole grid"
            )
        return dose[np.isfinite(dose)], "the grid"
    if isinstance(request.box, np.ndarray):
        if request.box.shape != field.grid.shape:
            raise GridMismatchError(f"prescription mask has shape {request.box.shape}, the grid {field.grid.shape}")
        chosen, where = dose[request.box.astype(bool)], f"a mask of {int(request.box.astype(bool).sum())} voxels"
    else:
        low, high = request.box
        if any(not 0 <= a < b <= n for a, b, n in zip(low, high, field.grid.shape, strict=True)):
            raise PrescriptionError(f"box {low}-{high} is empty or leaves the grid {field.grid.shape}")
        chosen = dose[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].ravel()
        where = f"the box {tuple(low)}-{tuple(high)}"
    chosen = chosen[np.isfinite(chosen)]
    if not chosen.size:
        raise PrescriptionError(f"{where} holds no voxel with a dose")
    return chosen, where


def _statistic(dose: Array, at: str) -> float:
    if at == "max":
        return float(dose.max())
    if at == "mean":
        return float(dose.mean())
    found = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?|100)", at)
    if not found:
        raise PrescriptionError(f"prescription at {at!r} is not known; use max, mean or a percentile such as p50")
    return float(np.percentile(dose, float(found[1])))


def _scaled(field: Field, prescription: Prescription) -> Field:
    """The field times the scale: dose, its error, fluence and halves; LET stays."""
    scale = prescription.dose_scale

    def spectra(s: Spectra) -> Spectra:
        single = np.float32(scale)
        return Spectra(s.axes, s.fluence * single, s.underflow * single, s.overflow * single)

    volumes = {
        name: Volume(field.grid, v.values * scale if name.startswith("dose") else v.values, v.quantity)
        for name, v in field.volumes.items()
    }
    return Field(
        grid=field.grid,
        volumes=VolumeSet(field.grid, volumes),
        spectra=spectra(field.spectra),
        beam_axis=field.beam_axis,
        beam_sign=field.beam_sign,
        histories=field.histories,
        halves=tuple(spectra(half) for half in field.halves),
        halves_dose=tuple(dose * scale for dose in field.halves_dose),
        let_definitions=field.let_definitions,
        prescription=prescription,
        provenance=field.provenance,
    )


def _report(field: Field, runs: Sequence[TopasRun], doubts: tuple[str, ...]) -> ConversionReport:
    spectra = field.spectra
    under, over = (values.sum(axis=(1, 2, 3), dtype=float) for values in (spectra.underflow, spectra.overflow))
    total = under + over + spectra.fluence.sum(axis=(1, 2, 3, 4), dtype=float)
    shares = np.divide(np.stack([under, over]), total, out=np.zeros((2, len(total))), where=total > 0)
    return ConversionReport(
        files_read=tuple(f for run in runs for f in run.files_read),
        files_not_read=tuple(f for run in runs for f in run.files_not_read),
        histories=field.histories,
        outside={s: (float(shares[0, n]), float(shares[1, n])) for n, s in enumerate(spectra.axes.species)},
        dose_scale=field.dose_scale,
        notes=doubts + tuple(f"{run.name}: {note}" for run in runs for note in run.notes),
    )
