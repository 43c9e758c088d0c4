"""A plan's runs to a field store, slab by slab: no more than a few planes of one species are held at a time.

What is computed is what `convert` computes in memory. An interrupted conversion goes on where it stopped when the same
command is given again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import zarr

from surrogate3d.grid import LetDefinition, quantity
from surrogate3d.io import manifest
from surrogate3d.io.atomic import resumable_directory
from surrogate3d.io.convert import ConversionReport, Plan
from surrogate3d.io.field_store import (
    HALVES,
    SPACE,
    SpectraWords,
    outside_shares,
    read_volumes,
    require_replaceable,
    store_attributes,
)
from surrogate3d.io.topas_merge import MergedRuns, SpectrumPlanes, half_dose
from surrogate3d.io.topas_run import TopasRun
from surrogate3d.io.zarr_group import GroupWriter, StoredVolumes, chunk_depth, new_array, quantity_words

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

_JOURNAL = ".journal"
_PIECE = 4 * 1024**2


class Observer(Protocol):
    """Makes further volumes from the spectra, slab by slab: physics that this room must not know."""

    names: tuple[str, ...]
    let_definitions: Mapping[str, LetDefinition]
    """Of those that are LET."""
    provenance: Mapping[str, Any]
    """What they were made with, as plain data."""

    def begin(self, shape: tuple[int, int, int]) -> None:
        """A new slab of this shape begins."""

    def spectrum(self, species: str, columns: Single) -> None:
        """Fluence of one species in the slab: (k, j, i, underflow + bin + overflow), 1/mm^2."""

    def volumes(self, dose: Array) -> Mapping[str, npt.NDArray[np.floating]]:
        """(i, j, k) volumes of the slab by name, given its dose."""


def convert_to_store(
    plan: Plan,
    path: Path,
    observer: Observer | None = None,
    accept: Callable[[StoredVolumes], None] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ConversionReport:
    """Write a plan's field store.

    Args:
        plan: as `convert.open_plan` opens it.
        path: the store, by custom `<name>.field.zarr`.
        observer: makes further volumes, and knows what belongs to them.
        accept: looks at the volumes before the store appears, and raises where they cannot be right.
        overwrite: replace an older field store at `path`.
        progress: told how many of how many slabs are done.

    Raises:
        StoreError: `path` exists and is not to be, or must not be, replaced; or the disk is full.
        ValueRangeError: NaN or negative dose or fluence.
        FormatError: a file is cut or contradicts another.
    """
    require_replaceable(path, overwrite)
    with (
        _hashing(plan.runs) as hashes,
        resumable_directory(path, _fingerprint(plan, observer), overwrite, _size(plan.runs)) as scratch,
    ):
        writer = _PlanWriter(scratch, plan, observer)
        writer.run(progress)
        digests = {source: future.result() for source, future in hashes.items()}
        report = writer.finish(digests)
        if accept:
            accept(read_volumes(scratch, verify=False))
        return report


class _PlanWriter:
    def __init__(self, scratch: Path, plan: Plan, observer: Observer | None) -> None:
        self._scratch, self._plan, self._runs, self._observer = scratch, plan, plan.runs, observer
        self._axes = self._runs.axes
        self._outside = np.zeros((len(self._axes.species), 3))  # below, whole, above
        self._writer = GroupWriter(scratch)
        shape = (len(self._axes.species), self._axes.n_bins, *self._runs.grid.shape)
        self._depth = chunk_depth(shape)
        groups = ["spectra", *(f"{HALVES}/{n}" for n in range(len(self._runs.halves)))]
        self._spectra = [self._spectra_arrays(name, shape) for name in groups]
        self._volumes: dict[str, zarr.Array[Any]] = {}

    def run(self, progress: Progress | None) -> None:
        nz = self._runs.grid.shape[2]
        slabs = [(k, min(k + self._depth, nz)) for k in range(0, nz, self._depth)]
        done = self._take_up()
        with closing(self._read_ahead(slabs[done:])) as coming, self._writer.syncing():
            for number, (k0, k1) in enumerate(slabs):
                if number >= done:
                    before = set(self._writer.hashes)
                    self._slab(k0, k1, coming)
                    self._note(sorted(set(self._writer.hashes) - before))
                if progress:
                    progress(number + 1, len(slabs))

    def finish(self, digests: Mapping[Path, str]) -> ConversionReport:
        runs, plan, seen = self._runs, self._plan, self._observer
        axis, sign = runs.beam_axis
        outside = {s: outside_shares(*row) for s, row in zip(self._axes.species, self._outside.tolist(), strict=True)}
        words = SpectraWords(self._axes, len(runs.halves), axis, sign, runs.histories, outside)
        attributes = store_attributes(
            grid=runs.grid,
            volumes=self._volume_names(),
            primary=runs.primary,
            beams=(runs.beam,),
            has_beams_dose=False,
            let_definitions=runs.first.let_definitions | (dict(seen.let_definitions) if seen else {}),
            prescription=plan.prescription,
            provenance=runs.provenance(digests) | (dict(seen.provenance) if seen else {}),
            spectra=words,
        )
        self._writer.finish(attributes)
        (self._scratch / _JOURNAL).unlink(missing_ok=True)
        manifest.write_manifest(self._scratch, known=self._writer.hashes)
        return plan.report(outside, digests)

    def _read_ahead(self, slabs: Sequence[tuple[int, int]]) -> Generator[SpectrumPlanes]:
        """The spectra of the slabs, species by species; the next one is read while one is written."""
        steps = [(species, *slab) for slab in slabs for species in self._axes.species]
        with ThreadPoolExecutor(max_workers=1) as pool:
            coming = [pool.submit(self._runs.spectrum, *step) for step in steps[:1]]
            for following in (*steps[1:], None):
                if not coming:
                    return
                planes = coming.pop().result()
                if following:
                    coming.append(pool.submit(self._runs.spectrum, *following))
                yield planes

    def _slab(self, k0: int, k1: int, coming: Iterator[SpectrumPlanes]) -> None:
        """Reckon and save the planes [k0, k1)."""
        nx, ny, _ = self._runs.grid.shape
        if self._observer:
            self._observer.begin((nx, ny, k1 - k0))
        weights: Array | None = None
        for number, species in enumerate(self._axes.species):
            planes = next(coming)
            weights = planes.tracks if weights is None else weights
            if self._axes.species[0] != "H" and number:
                weights = weights + planes.tracks
            self._put_spectrum(number, planes, k0)
            if self._observer:
                self._observer.spectrum(species, planes.whole)
        assert weights is not None
        self._put_volumes(self._runs.volumes(k0, k1, weights), k0)
        self._writer.flush()

    def _put_spectrum(self, species: int, planes: SpectrumPlanes, k0: int) -> None:
        for number, (arrays, values) in enumerate(zip(self._spectra, (planes.whole, *planes.halves), strict=True)):
            below, above = self._writer.put_columns(arrays["fluence"], species, values, k0)
            self._writer.put(arrays["underflow"], (species,), below, k0)
            self._writer.put(arrays["overflow"], (species,), above, k0)
            if number == 0:
                whole = float(planes.tracks.sum()) * self._runs.dose_scale
                self._outside[species] += (float(below.sum(dtype=float)), whole, float(above.sum(dtype=float)))

    def _put_volumes(self, volumes: dict[str, Array], k0: int) -> None:
        made = self._observer.volumes(volumes[self._runs.first.dose_name]) if self._observer else {}
        for number in range(len(self._runs.halves)):
            array = self._volume(f"{HALVES}/{number}/dose", np.float64, {"unit": "Gy"})
            self._writer.put(array, (), volumes.pop(half_dose(number)), k0)
        for name, values in (*volumes.items(), *made.items()):
            about = quantity_words(quantity(name))
            self._writer.put(self._volume(name, np.float32 if name in made else np.float64, about), (), values, k0)

    def _volume(self, name: str, dtype: npt.DTypeLike, about: Mapping[str, Any]) -> zarr.Array[Any]:
        if name not in self._volumes:
            shape = self._runs.grid.shape
            self._volumes[name] = new_array(self._writer.group, name, shape, dtype, SPACE, self._depth, about)
        return self._volumes[name]

    def _volume_names(self) -> Sequence[str]:
        return (*self._runs.first.volume_names, *(self._observer.names if self._observer else ()))

    def _spectra_arrays(self, name: str, shape: tuple[int, ...]) -> dict[str, zarr.Array[Any]]:
        group = self._writer.group.create_group(name)
        unit = {"quantity": "fluence", "unit": "1/mm^2"}
        outside, single, depth = (shape[0], *shape[2:]), np.float32, self._depth
        return {
            "fluence": new_array(group, "fluence", shape, single, ("species", "bin", *SPACE), depth, unit),
            "underflow": new_array(group, "underflow", outside, single, ("species", *SPACE), depth, unit),
            "overflow": new_array(group, "overflow", outside, single, ("species", *SPACE), depth, unit),
        }

    def _note(self, files: list[str]) -> None:
        """Write down that a slab is safe, with what only this process knows of it."""
        line = {"files": {name: self._writer.hashes[name] for name in files}, "outside": self._outside.tolist()}
        with (self._scratch / _JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
            stream.flush()

    def _take_up(self) -> int:
        """Slabs that an interrupted conversion has finished."""
        journal = self._scratch / _JOURNAL
        if not journal.is_file():
            return 0
        kept: list[str] = []
        for line in journal.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                words = json.loads(line) if line.endswith("\n") else None
            except ValueError:
                words = None
            if words is None or not all(self._is_there(name, size) for name, (_, size) in words["files"].items()):
                break  # cut in the middle of this line, or a file was lost: its slab and those after are made again
            self._writer.hashes |= {name: (digest, size) for name, (digest, size) in words["files"].items()}
            self._outside[:] = words["outside"]
            kept.append(line)
        journal.write_text("".join(kept), encoding="utf-8")
        return len(kept)

    def _is_there(self, name: str, size: int) -> bool:
        path = self._scratch / name
        return path.is_file() and path.stat().st_size == size


@contextmanager
def _hashing(runs: MergedRuns) -> Iterator[dict[Path, Future[str]]]:
    """Hash the inputs beside the conversion: both read a file in its order, so the disk is read once."""
    pool, stop = ThreadPoolExecutor(max_workers=1), Event()
    try:
        yield {path: pool.submit(_sha256, path, stop) for run in runs.runs for path in run.paths()}
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _sha256(path: Path, stop: Event) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while (piece := stream.read(_PIECE)) and not stop.is_set():
            digest.update(piece)
    return digest.hexdigest()


def _fingerprint(plan: Plan, observer: Observer | None) -> str:
    """Digest of all that decides the content: inputs by name, size and time, how they are read, and what is made."""
    runs = plan.runs
    stats = [(path, path.stat()) for run in runs.runs for path in run.paths()]
    words = [
        version("surrogate3d"),
        [(str(path.resolve()), stat.st_size, stat.st_mtime_ns) for path, stat in stats],
        [_reading(run) for run in runs.runs],
        runs.dose_scale,
        plan.prescription.statement if plan.prescription else None,
        runs.grid.to_json(),
        runs.axes.to_json(),
        runs.beam_axis,
        (observer.names, dict(observer.provenance)) if observer else (),
    ]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _reading(run: TopasRun) -> list[Any]:
    """What the same files may be taken for, by what the user said."""
    roles = [(role, [path.name for path in v.files], v.assumed_order) for role, v in run.scored.items()]
    return [run.name, run.histories, run.beam_direction.tolist(), roles]


def _size(runs: MergedRuns) -> int:
    per_voxel = len(runs.axes.species) * (runs.axes.n_bins + 2) * (1 + len(runs.halves))
    return 4 * runs.grid.n_voxels * (per_voxel + 2 * len(runs.first.volume_names))
