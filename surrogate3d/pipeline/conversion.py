"""TOPAS run folders to a field store, and what a field store holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError
from surrogate3d.grid import Volume
from surrogate3d.io.convert import open_plan
from surrogate3d.io.convert_store import convert_to_store
from surrogate3d.io.field_store import describe, read_field, read_volumes
from surrogate3d.io.given import Given
from surrogate3d.io.manifest import verify
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.physics.explained import FAULTS, by_region
from surrogate3d.pipeline.spectrum_checks import LET_VOLUMES, Steps, checked, checks_for
from surrogate3d.validation.regions import regions

Volumes = Mapping[str, Volume]

MAX_EXPLAINED = 1.5
"""Largest 95th percentile of dose from the spectra over scored dose that noise can explain."""

MIN_DOSE_FRACTION = 0.05
"""Statistics of a field are over voxels with at least this fraction of its largest dose."""


def convert(
    run_dirs: Sequence[Path],
    output: Path,
    *,
    dose_scale: float | None = None,
    prescribe: PrescribeRequest | None = None,
    given: Given | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Convert one or several TOPAS runs of a plan; nothing larger than a few planes of one spectrum is held.

    Args:
        run_dirs: one folder per run.
        output: the store.
        dose_scale: factor from the simulated sum to absolute dose.
        prescribe: or the dose that the plan shall have.
        given: what the files do not say.
        overwrite: replace an older store.
        progress: told how many of how many slabs are done.

    Returns:
        `info` of the new store, and under "conversion" what was read and what was not.

    Raises:
        QuantityError: the spectra explain more dose than was scored.
        Surrogate3dError: as `io.convert.open_plan` and `io.convert_store.convert_to_store`.
    """
    plan = open_plan(run_dirs, dose_scale=dose_scale, prescribe=prescribe, given=given)
    runs = plan.runs
    axis, _ = runs.beam_axis
    steps = Steps.through(runs.grid, axis, runs.step_limit_mm, runs.uses_option4)
    checks = checks_for(runs.axes, runs.grid, axis, runs.dose_scale, steps, runs.first.let_definitions)
    report = convert_to_store(
        plan,
        output,
        observer=checks,
        accept=lambda volumes: _require_consistent(consistency(volumes)),
        overwrite=overwrite,
        progress=progress,
    )
    return {**info(output), "conversion": report.to_json()}


def info(path: Path, check: bool = False) -> dict[str, Any]:
    """What is inside a field store; volumes are read, spectra are not.

    Args:
        path: the store.
        check: compare the SHA-256 of every file with the manifest, too.

    Raises:
        StoreError: there is no store, or it is incomplete or damaged.
    """
    if check:
        verify(path)
    about = describe(path)
    if about["axes"] is None:
        return about
    volumes: Volumes = read_volumes(path)
    if "explained" not in volumes:
        volumes = checked(read_field(path)).volumes
    beam = about["beam_axis"], about["beam_sign"]
    return {
        **about,
        "tracks_per_voxel": tracks(volumes),
        "consistency": consistency(volumes),
        "consistency_corrected": consistency(volumes, "explained_corrected"),
        "explained_by_region": explained_by_region(volumes, *beam),
        "spectrum_faults": spectrum_faults(volumes),
        "LET_difference": LET_difference(volumes),
    }


def consistency(volumes: Volumes, name: str = "explained") -> dict[str, float]:
    """Dose from the spectra over the scored dose: median, p5 and p95 over the irradiated voxels.

    Below one: electrons set free elsewhere, heavier ions and recoils are scored as dose and not as spectra, and
    pre-step binning puts the last long step of a stopping track at too high an energy; that last part is taken out of
    "explained_corrected".
    """
    return percentiles(volumes[name].values[irradiated(volumes)])


def explained_by_region(volumes: Volumes, beam_axis: int, beam_sign: int) -> dict[str, Any]:
    """`consistency` with the number of voxels in the parts of the field (`validation.regions`)."""
    dose = _dose(volumes)
    masks = regions(np.nan_to_num(dose.values), beam_axis, beam_sign, dose.grid.spacing_mm, MIN_DOSE_FRACTION)
    return {name: by_region(volumes[name].values, masks) for name in ("explained", "explained_corrected")}


def spectrum_faults(volumes: Volumes) -> dict[str, Any]:
    """Voxels whose spectra cannot explain the dose: by reason, of all and of the irradiated ones."""
    fault, inside = volumes["spectrum_fault"].values, irradiated(volumes)
    return {
        reason: {"voxels": int((fault == key).sum()), "irradiated": int((fault[inside] == key).sum())}
        for key, reason in FAULTS.items()
        if key
    }


def LET_difference(volumes: Volumes) -> dict[str, dict[str, float]]:
    """LET derived from the spectra over what was scored, less one: median, p5 and p95 over the irradiated voxels."""
    inside, found = irradiated(volumes), {}
    for derived, scored in LET_VOLUMES.items():
        if scored in volumes:
            ratio = volumes[derived].values[inside] / volumes[scored].values[inside] - 1
            found[scored] = percentiles(ratio[np.isfinite(ratio)])
    return found


def tracks(volumes: Volumes) -> dict[str, float]:
    """Tracks per voxel over the irradiated voxels: median, smallest and largest."""
    n = volumes["tracks"].values[irradiated(volumes)]
    return {"median": float(np.median(n)), "minimum": float(n.min()), "maximum": float(n.max())}


def irradiated(volumes: Volumes) -> npt.NDArray[np.bool_]:
    """(i, j, k) where the dose is at least `MIN_DOSE_FRACTION` of the largest."""
    dose = _dose(volumes).values
    return np.asarray(dose >= MIN_DOSE_FRACTION * np.nanmax(dose))


def _dose(volumes: Volumes) -> Volume:
    return volumes["dose_to_water" if "dose_to_water" in volumes else "dose_to_medium"]


def percentiles(values: npt.NDArray[np.floating]) -> dict[str, float]:
    """Median, p5 and p95; NaN where there are no values."""
    low, median, high = np.percentile(values, [5, 50, 95]) if values.size else (np.nan,) * 3
    return {"median": float(median), "p5": float(low), "p95": float(high)}


def _require_consistent(explained: dict[str, float]) -> None:
    """Refuse spectra that explain more dose than was scored: they lie in other voxels, or in other bins."""
    if explained["p95"] > MAX_EXPLAINED:
        raise QuantityError(
            f"the spectra explain {explained['median']:.2f} of the scored dose in the median voxel and "
            f"{explained['p95']:.2f} at the 95th percentile, which cannot be: the row order of a CSV, a species or its "
            "energy bins are wrong; give --row-order, or mend the scorers"
        )
