"""Maps of a field written while they are predicted, set by set: several cell lines or fractions from one prediction."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ConfigError
from surrogate3d.grid import Grid, quantity
from surrogate3d.inference.maps import EVERYWHERE
from surrogate3d.inference.spectrum_distance import SpectrumFeatures
from surrogate3d.io.images import read_map
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.map_files import RTDOSE
from surrogate3d.io.map_writer import MAPS_NAME, MAPS_SCHEMA, MapWriter
from surrogate3d.pipeline.map_slabs import Slab
from surrogate3d.pipeline.map_summary import comment, value_range

Single = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
Dtype = Literal["float32", "int16"]

IDENTITY = "inputs_sha256"
"""Of all that decides the values, in the metadata of `maps.json`."""

_COUNTED = ("voxels_answered", "voxels_out_of_domain")


@dataclass(frozen=True)
class MapOutput:
    """Where maps are written, and how.

    Attributes:
        folder: directory of the maps.
        formats: of the maps, as of `io.map_writer.MapWriter`.
        overwrite: replace older maps.
        resume: leave what is complete, and go on where a killed process stopped.
        dtype: of voxels in NIfTI: "float32", or "int16" with a scale, in which voxels without an answer are 0.
    """

    folder: Path
    formats: tuple[str, ...] = ("nifti",)
    overwrite: bool = False
    resume: bool = False
    dtype: Dtype = "float32"


def map_output(folder: Path, formats: tuple[str, ...], overwrite: bool, resume: bool, dtype: str) -> MapOutput:
    """In the words of a user.

    Raises:
        ConfigError: an unknown type of voxels.
    """
    if dtype not in get_args(Dtype):
        raise ConfigError(f"--dtype is {dtype!r}, expected one of {', '.join(get_args(Dtype))}")
    return MapOutput(folder, formats, overwrite, resume, cast("Dtype", dtype))


@dataclass(frozen=True)
class MapSet:
    """One set of maps to be written.

    Attributes:
        names: of the maps.
        about: what they stand under, plain data.
        output: where they go.
        inputs: what decides the values besides, plain data: maps of others are not gone on with.
    """

    names: tuple[str, ...]
    about: dict[str, Any]
    output: MapOutput
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """SHA-256 of all that decides the values."""
        text = json.dumps([list(self.names), self.about, self.inputs], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def complete(self) -> bool:
        """Whether just these maps are there already, in all formats."""
        about = self.output.folder / MAPS_NAME
        if not has_schema(about, MAPS_SCHEMA):
            return False
        found = json.loads(about.read_text(encoding="utf-8"))
        same = found["metadata"].get(IDENTITY) == self.identity
        return same and all((self.output.folder / name).exists() for name in found["files"]) and self._formats_in(found)

    def _formats_in(self, found: Mapping[str, Any]) -> bool:
        return set(self.output.formats) <= set(found["metadata"].get("formats", ()))


@dataclass(eq=False)
class Tally:
    """What is said of a set of maps that was written.

    Attributes:
        files: names, as in the folder.
        answered: voxels with an answer.
        out_of_domain: voxels of which the training says nothing.
        seconds: that the prediction took, without the writing.
        strange: features of some voxels that are out of the domain.
        ranges: of the values in voxels with an answer, by map.
    """

    files: list[str] = field(default_factory=list)
    answered: int = 0
    out_of_domain: int = 0
    seconds: float = 0.0
    strange: list[SpectrumFeatures] = field(default_factory=list)
    ranges: dict[str, dict[str, float]] = field(default_factory=dict)


def write_slabs(
    grid: Grid, from_plane: Callable[[int], Iterator[Slab]], sets: Sequence[MapSet], progress: Progress | None = None
) -> list[Tally]:
    """Write sets of maps into a new directory each, whole or not at all.

    Args:
        grid: of the maps.
        from_plane: the slabs from a plane to the last, with maps of all sets.
        sets: what is written.
        progress: told planes that are done, and all.

    Raises:
        UnsupportedError, StoreError: as of `io.map_writer.MapWriter`.
    """
    tallies = {number: _there(each) for number, each in enumerate(sets) if each.output.resume and each.complete}
    left = [number for number in range(len(sets)) if number not in tallies]
    if left:
        tallies |= _write(grid, from_plane, {number: sets[number] for number in left}, progress)
    return [tallies[number] for number in range(len(sets))]


def _write(
    grid: Grid,
    from_plane: Callable[[int], Iterator[Slab]],
    sets: Mapping[int, MapSet],
    progress: Progress | None,
) -> dict[int, Tally]:
    """Those that are not there yet, by their place among the maps of a slab."""
    tallies = {number: Tally() for number in sets}
    seen: dict[int, list[dict[str, Single]]] = {number: [] for number in sets}
    with ExitStack() as stack:
        writers = {number: stack.enter_context(_writer(grid, each)) for number, each in sets.items()}
        first = min(writer.done for writer in writers.values())
        slabs, start = from_plane(first), time.perf_counter()
        for slab in slabs:
            seconds = time.perf_counter() - start
            for number, writer in writers.items():
                if slab.end > writer.done:
                    rest = slab.after(writer.done)
                    writer.put(writer.done, rest.maps[number], _counts(rest))
                tallies[number].seconds += seconds
                tallies[number].strange += slab.strange
                seen[number].append({name: values[slab.mask] for name, values in slab.maps[number].items()})
            if progress is not None:
                progress(slab.end, grid.shape[2])
            start = time.perf_counter()
        for number, writer in writers.items():
            tally = tallies[number]
            tally.answered, tally.out_of_domain = (int(writer.counts[name]) for name in _COUNTED)
            tally.files = [path.name for path in writer.finish(dict(writer.counts))]
    for number, parts in seen.items():
        names = sets[number].names
        values = _read_back(sets[number]) if first else {n: np.concatenate([part[n] for part in parts]) for n in names}
        tallies[number].ranges = {name: value_range(known) for name, known in values.items()}
    return tallies


def _there(wanted: MapSet) -> Tally:
    """What is said of maps that were there."""
    found = json.loads((wanted.output.folder / MAPS_NAME).read_text(encoding="utf-8"))
    answered, outside = (int(found["metadata"][name]) for name in _COUNTED)
    ranges = {name: value_range(known) for name, known in _read_back(wanted).items()}
    return Tally([*found["files"], MAPS_NAME], answered, outside, ranges=ranges)


def _writer(grid: Grid, wanted: MapSet) -> MapWriter:
    output = wanted.output
    return MapWriter(
        output.folder,
        grid,
        {name: quantity(name) for name in wanted.names},
        output.formats,
        {**wanted.about, IDENTITY: wanted.identity, "formats": list(output.formats)},
        overwrite=output.overwrite,
        resume=output.resume,
        dtype=output.dtype,
        nan_as=0.0 if output.dtype == "int16" else None,
        fingerprint=wanted.identity,
        comment=comment(wanted.about),
    )


def _counts(slab: Slab) -> dict[str, int]:
    return dict(zip(_COUNTED, (int(slab.mask.sum()), int(slab.out_of_domain.sum())), strict=True))


def _read_back(wanted: MapSet) -> dict[str, Single]:
    """Values that are known, from the files: those before an interruption were never in this process."""
    kind = min(wanted.output.formats, key=lambda each: each == RTDOSE)  # which holds every map only alone
    maps = {name: read_map(wanted.output.folder, name, kind) for name in wanted.names}
    known = next((np.isfinite(values) for name, values in maps.items() if name not in EVERYWHERE), None)
    if known is None:
        known = maps["mask"] > 0 if "mask" in maps else np.ones(next(iter(maps.values())).shape, dtype=bool)
    return {name: values[known] for name, values in maps.items()}
