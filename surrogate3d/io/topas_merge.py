"""Adding TOPAS runs of one plan that differ in seed only, plane by plane.

Sums add, dose errors add in quadrature, LET is weighted (LET_d by dose, LET_t by the fluence of H), histories add. Two
or more runs also give two independent halves, each scaled to the expectation of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid import SPECIES_Z, Beam, Grid, SpectrumAxes
from surrogate3d.io.topas_geometry import beam_axis
from surrogate3d.io.topas_parameters import Parameters
from surrogate3d.io.topas_run import TopasRun
from surrogate3d.io.topas_sources import source_shares

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

READ_BYTES = 64e6
"""Of one file that are read at a time."""

SAME_HISTORIES = 1e-9
"""Relative difference of two doses below which they are of the same histories: rounding, and no noise."""

SAME_SHARE = 0.01
"""Relative difference of a source's part in the histories of two runs that rounding may bring."""

# What may differ between runs of one plan: run control and graphics, histories, and how outputs are written.
_MAY_DIFFER = re.compile(
    r"^(ts/.*|gr/.*|so/.+/numberofhistoriesinrun|sc/.+/(outputfile|outputtype|ifoutputfilealreadyexists))$"
)
_SPECIES_OF_PARTICLE = {"proton": "H", "alpha": "He"}


@dataclass(frozen=True, eq=False)
class SpectrumPlanes:
    """Fluence of one species in some planes, scaled to the prescription.

    Attributes:
        whole: (k, j, i, underflow + bin + overflow), in the order of the files, 1/mm^2.
        halves: the same of the two halves, or empty.
        tracks: (run, i, j, k) summed fluence of each run, in the scale of the simulation.
    """

    whole: Single
    halves: tuple[Single, ...]
    tracks: Array


@dataclass(frozen=True, eq=False)
class MergedRuns:
    """The runs of one plan as one; `require_one_plan` must have passed.

    Attributes:
        runs: in the order given.
        dose_scale: from simulated sums to stored dose and fluence.
        given: what the user said because the files do not, as plain data.
    """

    runs: tuple[TopasRun, ...]
    dose_scale: float = 1.0
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> TopasRun:
        """The run that speaks for all: they share geometry, scorers and definitions."""
        return self.runs[0]

    @property
    def grid(self) -> Grid:
        """Of every run."""
        return self.first.grid

    @property
    def axes(self) -> SpectrumAxes:
        """Of the spectra."""
        return SpectrumAxes(self.first.species, np.stack(list(self.first.edges_mev_u.values())))

    @property
    def histories(self) -> int:
        """Of all runs."""
        return sum(run.histories for run in self.runs)

    @property
    def beam(self) -> Beam:
        """The one treatment field that runs of one plan are."""
        x, y, z = (float(c) for c in self.first.beam_direction)
        return Beam(name=self.first.name, direction=(x, y, z), histories=self.histories)

    @property
    def beam_axis(self) -> tuple[int, int]:
        """Index axis nearest to the beam, and +1 or -1."""
        return beam_axis(self.grid, self.first.beam_direction)

    @property
    def primary(self) -> str | None:
        """Species of the beam's particles; None when the parameter file does not say it."""
        found = {_species(p.text) for p in self.first.parameters or () if p.name.lower().endswith("/beamparticle")}
        return found.pop() if len(found) == 1 else None

    @property
    def step_limit_mm(self) -> float | None:
        """MaxStepSize of the scored component, mm; None where it is not set."""
        name = f"Ge/{next(iter(self.first.scored.values())).header.component}/MaxStepSize"
        parameters = self.first.parameters
        return parameters.number(name, "length") if parameters is not None and name in parameters else None

    @property
    def uses_option4(self) -> bool:
        """Whether the physics list is built on g4em-standard_opt4, as TOPAS's own default is."""
        modules = [p.text for p in self.first.parameters or () if re.fullmatch(r"ph/.+/modules", p.name.lower())]
        return not modules or any("opt4" in text.lower() for text in modules)

    @property
    def halves(self) -> tuple[list[int], ...]:
        """Positions of the runs in two halves; empty where there is a single simulation."""
        simulations: dict[str, list[int]] = {}
        for n, run in enumerate(self.runs):
            simulations.setdefault(run.simulation, []).append(n)
        groups = list(simulations.values())
        if len(groups) < 2:
            return ()
        halves = balanced_halves([sum(self.runs[n].histories for n in group) for group in groups])
        return tuple(sorted(n for group in half for n in groups[group]) for half in halves)

    @property
    def half_scales(self) -> tuple[float, ...]:
        """From the sums of each half to the expectation of the whole."""
        return tuple(self.histories / sum(self.runs[n].histories for n in half) for half in self.halves)

    def spectrum(self, species: str, k0: int, k1: int) -> SpectrumPlanes:
        """Spectra of one species in the planes [k0, k1)."""
        nx, ny, _ = self.grid.shape
        n_columns = len(self.first.edges_mev_u[species]) + 1
        shape = (k1 - k0, ny, nx, n_columns)
        whole, halves = np.empty(shape, np.float32), tuple(np.empty(shape, np.float32) for _ in self.halves)
        tracks = np.empty((len(self.runs), nx, ny, k1 - k0))
        step = max(1, int(READ_BYTES / (8 * nx * ny * n_columns)))
        for k in range(k0, k1, step):
            here = slice(k - k0, min(k + step, k1) - k0)
            values = [run.fluence(species, k, min(k + step, k1)) for run in self.runs]
            for n, value in enumerate(values):
                tracks[n, :, :, here] = (value @ np.ones(n_columns)).T  # a product is several times faster than a sum
            whole[here] = sum(values[1:], start=values[0])
            whole[here] *= np.float32(self.dose_scale)
            for target, half, scale in zip(halves, self.halves, self.half_scales, strict=True):
                target[here] = scale * sum(values[n] for n in half)
                target[here] *= np.float32(self.dose_scale)
        return SpectrumPlanes(whole, halves, tracks)

    def volumes(self, k0: int, k1: int, tracks: Array) -> dict[str, Array]:
        """Volumes in the planes [k0, k1), by name.

        Args:
            k0: first plane.
            k1: end of the planes.
            tracks: (run, i, j, k) fluence of H of each run in these planes (of all species where there is no H).
        """
        parts = [run.volumes(k0, k1) for run in self.runs]
        merged: dict[str, Array] = {}
        for name in parts[0]:
            values = np.stack([part[name] for part in parts])
            if name == "LET_d":
                merged[name] = _weighted_mean(values, np.stack([part[self.first.dose_name] for part in parts]))
            elif name == "LET_t":
                merged[name] = _weighted_mean(values, tracks)
            elif name == "dose_std":
                merged[name] = np.sqrt((values**2).sum(axis=0)) * self.dose_scale
            else:
                merged[name] = values.sum(axis=0) * self.dose_scale
        for number, (half, scale) in enumerate(zip(self.halves, self.half_scales, strict=True)):
            dose = sum(parts[n][self.first.dose_name] for n in half)
            merged[half_dose(number)] = np.asarray(scale * dose * self.dose_scale)
        return merged

    def doses(self) -> Iterator[tuple[int, Array]]:
        """First plane and (i, j, k) dose, block of planes by block, whole grid."""
        nx, ny, nz = self.grid.shape
        step = max(1, int(READ_BYTES / (8 * nx * ny)))
        for k in range(0, nz, step):
            planes = [run.volumes(k, min(k + step, nz))[self.first.dose_name] for run in self.runs]
            yield k, np.asarray(sum(planes[1:], start=planes[0]) * self.dose_scale)

    def provenance(self, hashes: Mapping[Path, str] | None = None) -> dict[str, Any]:
        """Where the values come from, as plain data."""
        return {
            "surrogate3d_version": version("surrogate3d"),
            "topas_version": ", ".join(sorted({run.version for run in self.runs})),
            "runs": [_run_words(run, hashes) for run in self.runs],
            "given": dict(self.given),
        }


def half_dose(number: int) -> str:
    """Name under which `MergedRuns.volumes` gives the dose of a half."""
    return f"half {number}"


def balanced_halves(histories: Sequence[int]) -> tuple[list[int], list[int]]:
    """Positions of the runs in two halves of nearly equal histories: the largest first, to the lighter half."""
    halves: tuple[list[int], list[int]] = ([], [])
    for index in sorted(range(len(histories)), key=lambda n: -histories[n]):
        lighter = min(halves, key=lambda half: sum(histories[n] for n in half))
        lighter.append(index)
    return sorted(halves[0]), sorted(halves[1])


def _species(text: str) -> str | None:
    """Species of a TOPAS particle name such as "proton" or GenericIon(6,12,6)."""
    name = text.strip('" ').lower()
    ion = re.match(r"genericion\((\d+),", name.replace(" ", ""))
    by_z = {z: species for species, z in SPECIES_Z.items()}
    return by_z.get(int(ion[1])) if ion else _SPECIES_OF_PARTICLE.get(name)


def _weighted_mean(values: Array, weights: Array) -> Array:
    """Mean over runs, leaving out a run where it has no value; NaN where none has."""
    weights = np.where(np.isnan(values), 0.0, weights)
    total = weights.sum(axis=0)
    summed = (np.nan_to_num(values) * weights).sum(axis=0)
    return np.asarray(np.divide(summed, total, out=np.full_like(total, np.nan), where=total > 0), dtype=float)


def _run_words(run: TopasRun, hashes: Mapping[Path, str] | None) -> dict[str, Any]:
    return {
        "name": run.name,
        "histories": run.histories,
        "seed": run.seed,
        "parameter_file": run.parameters.files[0].name if run.parameters else None,
        "files": [{key: value for key, value in asdict(f).items() if key != "run"} for f in run.files_read(hashes)],
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
        if set(run.volume_names) != set(first.volume_names) or run.species != first.species:
            raise QuantityError(f"{what} do not hold the same quantities: {_names(first)} and {_names(run)}")
    _require_other_histories(runs)


def _require_other_histories(runs: Sequence[TopasRun]) -> None:
    """Refuse two executions of one seed. With threads their sums differ by rounding, so values are compared."""
    planes = [_plane_doses(run) for run in runs] if len(runs) > 1 else []
    for n, run in enumerate(runs):
        for m, other in enumerate(runs[:n]):
            if run.simulation == other.simulation and run.name != other.name:
                continue  # parts of one execution
            same_seed = run.seed == other.seed and run.seed is not None
            same_dose = planes[n].any() and np.allclose(planes[n], planes[m], rtol=SAME_HISTORIES, atol=0.0)
            if same_seed or same_dose:
                why = f"Ts/Seed is {other.seed} and {run.seed}" if same_seed else "their doses are the same"
                raise QuantityError(
                    f"runs {other.name} and {run.name}: {why}, so the same histories would be counted twice; give each "
                    "run a seed of its own"
                )


def _plane_doses(run: TopasRun) -> Array:
    """(k,) dose summed over each plane."""
    step = max(1, int(READ_BYTES / (8 * run.grid.shape[0] * run.grid.shape[1])))
    nz = run.grid.shape[2]
    scored = run.scored[run.dose_name]
    slabs = (scored.energy_slab(k, min(k + step, nz)) for k in range(0, nz, step))
    return np.concatenate([np.nansum(slab, axis=(0, 1, 3)) for slab in slabs])


def _require_same_parameters(first: TopasRun, run: TopasRun, what: str) -> None:
    if first.parameters is None or run.parameters is None:
        if first.parameters is not run.parameters:
            raise QuantityError(f"{what}: one of them has no parameter file, so they cannot be compared; copy it there")
        _require_same_edges(first, run, what)
        return
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
    _require_same_shares(first.parameters, run.parameters, what)


def _require_same_shares(first: Parameters, other: Parameters, what: str) -> None:
    """Several sources are one plan only in one proportion."""
    ours, theirs = source_shares(first), source_shares(other)
    for source in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(source, 0.0), theirs.get(source, 0.0)
        if not np.isclose(a, b, rtol=SAME_SHARE, atol=0.0):
            raise QuantityError(
                f"{what} are not of one plan: source {source} has {100 * a:.3g} % and {100 * b:.3g} % of the histories"
            )


def _require_same_edges(first: TopasRun, run: TopasRun, what: str) -> None:
    for species, edges in first.edges_mev_u.items():
        other = run.edges_mev_u.get(species)
        if other is None or other.shape != edges.shape or not np.allclose(other, edges, rtol=1e-5):
            raise QuantityError(f"{what} have other energy bins of {species}; they are not of one plan")


def _names(run: TopasRun) -> str:
    return ", ".join((*run.volume_names, *run.species))
