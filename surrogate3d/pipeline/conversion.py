"""TOPAS run folders to a field store, and what a field store holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError
from surrogate3d.grid import Volume
from surrogate3d.grid.regions import regions
from surrogate3d.io.convert import open_plan
from surrogate3d.io.convert_store import convert_to_store
from surrogate3d.io.field_store import describe, read_field, read_volumes
from surrogate3d.io.given import Given
from surrogate3d.io.manifest import verify
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.io.zarr_group import StoredVolumes
from surrogate3d.physics.explained import FAULTS, by_region
from surrogate3d.pipeline.spectrum_checks import LET_VOLUMES, Steps, checked, checks_for

Volumes = Mapping[str, Volume]

MAX_EXPLAINED = 1.5
"""Largest dose from the spectra over scored dose that noise can explain..."""

MAX_OVER = 0.05
"""...but in this part of the voxels."""

MIN_EXPLAINED = 0.3
"""Spectra that explain less in most irradiated voxels are not those of the dose."""

MIN_DOSE_FRACTION = 0.05
"""Statistics of a field are over voxels with at least this fraction of its largest dose."""

MOST_VOXELS = 4_000_000
"""About the irradiated voxels; of larger fields statistics take every n-th voxel."""

_MARGIN = 3
"""Voxels around the irradiated ones that tell where the dose falls."""


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
        QuantityError: the spectra explain more dose than was scored, or there is no dose.
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
        accept=_accept,
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
    stored = read_volumes(path)
    if "explained" in stored:
        volumes, taken = irradiated_part(stored)
    else:
        volumes, taken = checked(read_field(path)).volumes, {"from": [0, 0, 0], "every": 1}
    return {
        **about,
        "tracks_per_voxel": tracks(volumes),
        "consistency": consistency(volumes),
        "consistency_corrected": consistency(volumes, "explained_corrected"),
        "explained_by_region": explained_by_region(volumes, about["beam_axis"], about["beam_sign"]),
        "spectrum_faults": spectrum_faults(volumes),
        "LET_difference": LET_difference(volumes),
        "statistics_of_voxels": taken,
    }


def irradiated_part(stored: StoredVolumes) -> tuple[Volumes, dict[str, Any]]:
    """The volumes about the irradiated voxels; of very large fields every n-th voxel along each axis.

    Returns:
        The volumes, and the first voxel and n.

    Raises:
        QuantityError: no voxel has a dose.
    """
    dose, shape = _dose_name(stored), stored.grid.shape
    largest = max(float(np.nanmax(planes, initial=0.0)) for planes in stored.planes(dose))
    if not largest > 0:
        raise QuantityError(f"no voxel has a {dose} above 0; the beam misses the grid, or its structure is empty")
    inside = [np.zeros(n, dtype=bool) for n in shape]
    k = 0
    for planes in stored.planes(dose):
        mask = planes >= MIN_DOSE_FRACTION * largest
        inside[0] |= mask.any(axis=(1, 2))
        inside[1] |= mask.any(axis=(0, 2))
        inside[2][k : k + mask.shape[2]] = mask.any(axis=(0, 1))
        k += mask.shape[2]
    ends = [(int(np.flatnonzero(each)[0]), int(np.flatnonzero(each)[-1]) + 1) for each in inside]
    i, j, k_ = (slice(max(a - _MARGIN, 0), min(b + _MARGIN, n)) for (a, b), n in zip(ends, shape, strict=True))
    n_voxels = np.prod([s.stop - s.start for s in (i, j, k_)])
    every = int(np.ceil((n_voxels / MOST_VOXELS) ** (1 / 3)))
    return stored.thinned((i, j, k_), every), {"from": [i.start, j.start, k_.start], "every": every}


def consistency(volumes: Volumes, name: str = "explained") -> dict[str, float]:
    """Dose from the spectra over the scored dose: median, p5 and p95 over the irradiated voxels.

    Below one: electrons set free elsewhere, heavier ions and recoils are scored as dose and not as spectra, and
    pre-step binning puts the last long step of a stopping track at too high an energy; that last part is taken out of
    "explained_corrected".
    """
    return percentiles(volumes[name].values[irradiated(volumes)])


def explained_by_region(volumes: Volumes, beam_axis: int, beam_sign: int) -> dict[str, Any]:
    """`consistency` with the number of voxels in the parts of the field (`grid.regions`)."""
    dose = _dose(volumes)
    masks = regions(np.nan_to_num(dose.values), beam_axis, beam_sign, dose.grid.spacing_mm, MIN_DOSE_FRACTION)
    return {name: by_region(volumes[name].values, masks) for name in ("explained", "explained_corrected")}


def spectrum_faults(volumes: Volumes) -> list[dict[str, Any]]:
    """Irradiated voxels whose spectra cannot explain the dose: `code`, `reason` and number of `voxels` by fault."""
    fault = volumes["spectrum_fault"].values[irradiated(volumes)]
    return [{"code": code, "reason": FAULTS[code], "voxels": int((fault == code).sum())} for code in FAULTS if code]


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
    return volumes[_dose_name(volumes)]


def _dose_name(volumes: Volumes) -> str:
    return "dose_to_water" if "dose_to_water" in volumes else "dose_to_medium"


def percentiles(values: npt.NDArray[np.floating]) -> dict[str, float]:
    """Median, p5 and p95; NaN where there are no values."""
    low, median, high = np.percentile(values, [5, 50, 95]) if values.size else (np.nan,) * 3
    return {"median": float(median), "p5": float(low), "p95": float(high)}


def _accept(stored: StoredVolumes) -> None:
    irradiated_part(stored)  # refuses where there is no dose
    _require_consistent(stored)


def _require_consistent(stored: StoredVolumes) -> None:
    """Refuse spectra that explain more dose than was scored (other voxels, other bins), or hardly any of it.

    Voxels with many tracks count as those with much dose do, so that spectra where no dose is are seen, too.
    """
    names = (_dose_name(stored), "tracks", "explained")
    largest_dose, largest_tracks = (
        max(float(np.nanmax(planes, initial=0.0)) for planes in stored.planes(name)) for name in names[:2]
    )
    n = over = n_dose = under = 0
    for dose, tracks, explained in zip(*(stored.planes(name) for name in names), strict=True):
        much = (dose >= MIN_DOSE_FRACTION * largest_dose) | (tracks >= MIN_DOSE_FRACTION * largest_tracks)
        inside = much & np.isfinite(dose)
        n += int(inside.sum())
        over += int((inside & ((explained > MAX_EXPLAINED) | ((dose == 0) & (tracks > 0)))).sum())
        enough = dose >= MIN_DOSE_FRACTION * largest_dose
        n_dose += int(enough.sum())
        under += int((enough & (explained < MIN_EXPLAINED)).sum())
    if over > MAX_OVER * n:
        raise QuantityError(
            f"the spectra explain over {MAX_EXPLAINED} times the scored dose in {100 * over / n:.0f} % of the "
            "irradiated voxels, which cannot be: the row order of a CSV, a species or its energy bins are wrong, or "
            "dose and spectra are of different runs; give --row-order, or mend the scorers"
        )
    if under > 0.5 * n_dose:
        raise QuantityError(
            f"the spectra explain less than {MIN_EXPLAINED} of the scored dose in {100 * under / n_dose:.0f} % of the "
            "irradiated voxels: species or energies that carry the dose were not scored, or dose and spectra are of "
            "different runs; score all species (surrogate3d topas scorers)"
        )
