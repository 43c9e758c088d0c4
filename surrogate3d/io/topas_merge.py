"""Adding TOPAS runs of one plan that differ in seed only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid import Field, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.io.topas_run import TopasRun

Array = npt.NDArray[np.float64]

# What may differ between runs of one plan: run control and graphics, histories, and how outputs are written.
_MAY_DIFFER = re.compile(
    r"^(ts/.*|gr/.*|so/.+/numberofhistoriesinrun|sc/.+/(outputfile|outputtype|ifoutputfilealreadyexists))$"
)


def balanced_halves(histories: Sequence[int]) -> tuple[list[int], list[int]]:
    """Positions of the runs in two halves of nearly equal histories: the largest first, to the lighter half."""
    halves: tuple[list[int], list[int]] = ([], [])
    for index in sorted(range(len(histories)), key=lambda n: -histories[n]):
        lighter = min(halves, key=lambda half: sum(histories[n] for n in half))
        lighter.append(index)
    return sorted(halves[0]), sorted(halves[1])


def merge(runs: Sequence[TopasRun]) -> Field:
    """Sum runs of one plan to one field in the scale of the simulation; `require_one_plan` must have passed."""
    first, total = runs[0], sum(run.histories for run in runs)
    halves: tuple[Spectra, ...] = ()
    halves_dose: tuple[Array, ...] = ()
    if len(runs) > 1:
        parts = [[runs[n] for n in half] for half in balanced_halves([run.histories for run in runs])]
        scales = [total / sum(run.histories for run in part) for part in parts]
        halves = tuple(_sum_spectra(part, scale) for part, scale in zip(parts, scales, strict=True))
        halves_dose = tuple(
            scale * _sum_volumes(part)[first.dose_name] for part, scale in zip(parts, scales, strict=True)
        )
    volumes = {name: Volume(first.grid, values, quantity(name)) for name, values in _sum_volumes(runs).items()}
    return Field(
        grid=first.grid,
        volumes=VolumeSet(first.grid, volumes),
        spectra=_sum_spectra(runs, 1.0),
        beam_axis=first.beam_axis,
        beam_sign=first.beam_sign,
        histories=total,
        halves=halves,
        halves_dose=halves_dose,
        let_definitions=first.let_definitions,
        provenance=_provenance(runs),
    )


def _sum_spectra(runs: Sequence[TopasRun], scale: float) -> Spectra:
    def summed(name: str) -> npt.NDArray[np.float32]:
        per_species = [
            scale * sum(getattr(run.spectra[species], name).astype(float) for run in runs)
            for species in runs[0].spectra
        ]
        return np.stack([values.astype(np.float32) for values in per_species])

    return Spectra(_axes(runs[0]), summed("fluence"), summed("underflow"), summed("overflow"))


def _sum_volumes(runs: Sequence[TopasRun]) -> dict[str, Array]:
    merged: dict[str, Array] = {}
    for name in runs[0].volumes:
        values = np.stack([run.volumes[name] for run in runs])
        if name in ("LET_d", "LET_t"):
            merged[name] = _weighted_mean(values, np.stack([_let_weight(run, name) for run in runs]))
        elif name == "dose_std":
            merged[name] = np.sqrt((values**2).sum(axis=0))
        else:
            merged[name] = values.sum(axis=0)
    return merged


def _let_weight(run: TopasRun, name: str) -> Array:
    if name == "LET_d":
        return run.volumes[run.dose_name]
    of = [run.spectra["H"]] if "H" in run.spectra else list(run.spectra.values())
    return np.asarray(sum(s.fluence.sum(axis=0, dtype=float) + s.underflow + s.overflow for s in of), dtype=float)


def _weighted_mean(values: Array, weights: Array) -> Array:
    """Mean over runs, leaving out a run where it has no value; NaN where none has."""
    weights = np.where(np.isnan(values), 0.0, weights)
    total = weights.sum(axis=0)
    summed = (np.nan_to_num(values) * weights).sum(axis=0)
    return np.asarray(np.divide(summed, total, out=np.full_like(total, np.nan), where=total > 0), dtype=float)


def _provenance(runs: Sequence[TopasRun]) -> dict[str, Any]:
    return {
        "surrogate3d_version": version("surrogate3d"),
        "topas_version": ", ".join(sorted({run.version for run in runs})),
        "runs": [
            {
                "name": run.name,
                "histories": run.histories,
                "seed": run.seed,
                "parameter_file": run.parameters.files[0].name,
                "files": [{key: value for key, value in asdict(f).items() if key != "run"} for f in run.files_read],
            }
            for run in runs
        ],
    }


def require_one_plan(runs: Sequence[TopasRun]) -> None:
    """Refuse runs that must not be added.

    Raises:
        GridMismatchError: they differ in geometry.
        QuantityError: they differ in another parameter, hold different quantities, or share a seed.
    """
    first = runs[0]
    for run in runs[1:]:
        what = f"runs {first.name} and {run.name}"
        # Equal parameters carry equal energy bins and LET definitions with them.
        _require_same_parameters(first, run, what)
        first.grid.require_same(run.grid, what)
        if set(run.volumes) != set(first.volumes) or list(run.spectra) != list(first.spectra):
            raise QuantityError(f"{what} do not hold the same quantities: {_names(first)} and {_names(run)}")
    for n, run in enumerate(runs):
        for other in runs[:n]:
            if run.seed == other.seed or _dose_hash(run) == _dose_hash(other):
                raise QuantityError(
                    f"runs {other.name} and {run.name}: Ts/Seed is {other.seed} and {run.seed}; with one seed the same "
                    "histories would be counted twice"
                )


def _require_same_parameters(first: TopasRun, run: TopasRun, what: str) -> None:
    ours, theirs = first.parameters.by_name, run.parameters.by_name
    for name in sorted(set(ours) | set(theirs)):
        a, b = ours.get(name), theirs.get(name)
        if _MAY_DIFFER.match(name) or (a and b and a.text == b.text):
            continue
        known = a or b
        error = GridMismatchError if name.startswith("ge/") else QuantityError
        raise error(
            f"{what} are not of one plan: {known.name if known else name} is {a.text[:60] if a else 'not set'} and "
            f"{b.text[:60] if b else 'not set'}; only seed, histories and output names may differ"
        )


def _names(run: TopasRun) -> str:
    return ", ".join((*run.volumes, *run.spectra))


def _dose_hash(run: TopasRun) -> str:
    return next(f.sha256 for f in run.files_read if f.quantity.startswith("DoseTo") and not f.name.endswith("header"))


def _axes(run: TopasRun) -> SpectrumAxes:
    return SpectrumAxes(tuple(run.spectra), np.stack([s.edges_mev_u for s in run.spectra.values()]))
