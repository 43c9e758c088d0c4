"""Maps of a field written while they are predicted, set by set: several cell lines or fractions from one prediction."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Grid, quantity
from surrogate3d.inference.maps import EVERYWHERE
from surrogate3d.inference.spectrum_distance import SpectrumFeatures
from surrogate3d.io.images import read_map
from surrogate3d.io.map_writer import MapWriter
from surrogate3d.pipeline.map_slabs import Slab
from surrogate3d.pipeline.map_summary import value_range

Single = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

_COUNTED = ("answered", "out_of_domain")


@dataclass(frozen=True)
class MapOutput:
    """Where maps are written, and how.

    Attributes:
        folder: directory of the maps.
        formats: of the maps, as of `io.map_writer.MapWriter`.
        overwrite: replace older maps.
        resume: go on where a killed process stopped.
    """

    folder: Path
    formats: tuple[str, ...] = ("nifti",)
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True)
class MapSet:
    """One set of maps to be written.

    Attributes:
        names: of the maps.
        about: what they stand under, plain data.
        output: where they go.
        inputs: all that decides the values, plain data: an interrupted writing of others is not gone on with.
    """

    names: tuple[str, ...]
    about: dict[str, Any]
    output: MapOutput
    inputs: dict[str, Any] | None = None


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
    tallies = [Tally() for _ in sets]
    seen: list[list[dict[str, Single]]] = [[] for _ in sets]
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(grid, each)) for each in sets]
        first = min(writer.done for writer in writers)
        slabs, start = from_plane(first), time.perf_counter()
        for slab in slabs:
            seconds = time.perf_counter() - start
            for number, (writer, tally) in enumerate(zip(writers, tallies, strict=True)):
                maps = slab.after(writer.done).maps[number]
                if slab.end > writer.done:
                    writer.put(writer.done, maps, _counts(slab.after(writer.done)))
                tally.seconds += seconds
                tally.strange += slab.strange
                seen[number].append({name: values[slab.mask] for name, values in slab.maps[number].items()})
            if progress is not None:
                progress(slab.end, grid.shape[2])
            start = time.perf_counter()
        for writer, tally in zip(writers, tallies, strict=True):
            tally.files = [path.name for path in writer.finish()]
            tally.answered, tally.out_of_domain = (int(writer.counts[name]) for name in _COUNTED)
    for each, tally, parts in zip(sets, tallies, seen, strict=True):
        values = _read_back(each) if first else {n: np.concatenate([part[n] for part in parts]) for n in each.names}
        tally.ranges = {name: value_range(known) for name, known in values.items()}
    return tallies


def _writer(grid: Grid, wanted: MapSet) -> MapWriter:
    output = wanted.output
    return MapWriter(
        output.folder,
        grid,
        {name: quantity(name) for name in wanted.names},
        output.formats,
        wanted.about,
        overwrite=output.overwrite,
        resume=output.resume,
        fingerprint=None if wanted.inputs is None else json.dumps(wanted.inputs, sort_keys=True),
    )


def _counts(slab: Slab) -> dict[str, int]:
    return dict(zip(_COUNTED, (int(slab.mask.sum()), int(slab.out_of_domain.sum())), strict=True))


def _read_back(wanted: MapSet) -> dict[str, Single]:
    """Values that are known, from the files: those before an interruption were never in this process."""
    maps = {name: read_map(wanted.output.folder, name, wanted.output.formats[0]) for name in wanted.names}
    known = next((np.isfinite(values) for name, values in maps.items() if name not in EVERYWHERE), None)
    if known is None:
        known = maps["mask"] > 0 if "mask" in maps else np.ones(next(iter(maps.values())).shape, dtype=bool)
    return {name: values[known] for name, values in maps.items()}
