"""Maps written slab by slab while they are computed, in flat memory; killed at any time, they are gone on with.

What is computed while a slab is packed and written is bounded. Files are the same bytes whatever the slabs' depths, the
number of threads, and the interruptions.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError
from surrogate3d.grid import Grid, Quantity
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.fast_gzip import PACKER
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.map_file import THREADS
from surrogate3d.io.map_files import RTDOSE, MapFiles, PackedMap, require_doses, require_formats
from surrogate3d.io.map_journal import JOURNAL_NAME, Journal, Put, Slab
from surrogate3d.io.map_partial import partial_maps
from surrogate3d.io.map_range import MapRange
from surrogate3d.io.zarr_group import quantity_words

if TYPE_CHECKING:
    from surrogate3d.io.dicom_reference import DicomReference

MAPS_SCHEMA = "surrogate3d.maps/1"
MAPS_NAME = "maps.json"

_MOST_WAITING = 2
"""Slabs that are packed and written while the next is computed."""


class MapWriter:
    """A new directory of maps, to be filled from the first plane along k to the last.

    Use it as a context: `with MapWriter(...) as writer:`, `writer.put(k0, values)` from plane `writer.done` on, and
    `writer.finish(metadata)` at the end. The directory appears when the block ends. An error in the block leaves
    nothing; an interrupt or a kill leaves a hidden directory beside it, if there is a `fingerprint`.

    Args:
        out_dir: the directory, which holds one file a map for "nifti" (`.nii.gz`), "nii", "mha" and "nrrd", one group
            `maps.zarr` for "zarr", DICOM RT Dose with a JSON file for each map of a dose for "rtdose" (NaN is 0 there,
            and counted), and `maps.json` with units, definitions, ranges and metadata.
        grid: of the maps.
        quantities: what the maps mean, by name.
        formats: any of `map_files.FORMATS`.
        metadata: plain data about where the maps come from; `finish` may add to it.
        overwrite: replace a directory of maps.
        resume: go on where a killed writer with the same arguments stopped; from the start, if there is none.
        dtype: of the voxels in NIfTI: "float32", or "int16" with a scale and a largest error that `maps.json` states.
            The other formats are float32.
        nan_as: 0.0 stores NaN as 0 in int16; None refuses it.
        fingerprint: text that decides the values: field, model, cell line, settings. Without it nothing is resumed.
        comment: words for Dose Comment of RT Dose, the most important first.
        reference: whose patient, study, frame of reference and plan RT Dose has, of `dicom_reference.read_reference`;
            None is an anonymous patient.

    Raises:
        QuantityError: no maps, or a name that zarr cannot have.
        UnsupportedError: unknown format, or a type that none of the formats has; RT Dose of no dose, or alone with maps
            that are no dose.
        GeometryError: RT Dose does not hold a grid of this size, or it lies outside the dose that is the reference.
        StoreError: `out_dir` exists and is not to be, or must not be, replaced; `resume` finds an interrupted writing
            of other maps; another process is writing; or the disk is full.
    """

    def __init__(
        self,
        out_dir: str | Path,
        grid: Grid,
        quantities: Mapping[str, Quantity],
        formats: Sequence[str] = ("nifti",),
        metadata: Mapping[str, Any] | None = None,
        *,
        overwrite: bool = False,
        resume: bool = False,
        dtype: str = "float32",
        nan_as: float | None = None,
        fingerprint: str | None = None,
        comment: Sequence[str] = (),
        reference: DicomReference | None = None,
    ) -> None:
        self._target, self._grid, self._quantities = Path(out_dir), grid, dict(quantities)
        self._formats, self._metadata = tuple(formats), dict(metadata or {})
        self._overwrite, self._resume, self._fingerprint = overwrite, resume, fingerprint
        self._dtype, self._nan_as, self._dicom = dtype, nan_as, (tuple(comment), reference)
        self._stack, self._finished = ExitStack(), False
        self._done, self._kept, self._parts = 0, 0, list[Mapping[str, npt.NDArray[np.floating]]]()
        self._puts, self._counts = deque[Put](), Counter[str]()
        self._waiting: deque[Future[None]] = deque()
        self._journal: Journal | None = None

    @property
    def done(self) -> int:
        """Planes that are there already, and so the plane from which the next `put` goes on."""
        return self._done

    @property
    def counts(self) -> Mapping[str, int]:
        """Sums of the counts of all that was put, also before an interruption."""
        return self._counts

    def __enter__(self) -> Self:
        self._require_possible()
        with ExitStack() as stack:
            self._folder, slabs = self._entered(stack)
            self._files = MapFiles(self._folder, self._grid, self._quantities, self._formats, self._dtype)
            stack.callback(self._files.close)
            slabs = slabs[: self._files.intact(slabs)]
            self._files.go_on(slabs)
            self._take_up(slabs)
            if self._fingerprint is not None:
                self._journal = Journal(self._folder, self._identity(), slabs)
                stack.callback(self._journal.close)
            self._order = stack.enter_context(ThreadPoolExecutor(1))
            self._pool = stack.enter_context(ThreadPoolExecutor(THREADS))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):  # what an interrupt leaves is kept, so it is written first
            for waiting in self._waiting:
                waiting.cancel()
        with self._stack:
            if error is not None:
                raise error
            if not self._finished:
                raise StoreError(f"{self._target}: {self._done} of {self._grid.shape[2]} planes, and no `finish`")
        if self._journal:  # only now that the directory has its name: a kill before that loses nothing
            (self._target / JOURNAL_NAME).unlink()

    def put(
        self, k0: int, values: Mapping[str, npt.NDArray[np.floating]], counts: Mapping[str, int] | None = None
    ) -> None:
        """Take the planes [k0, k0 + n) of all maps; they are packed and written while the caller goes on.

        Args:
            k0: the first plane; `done`.
            values: (i, j, n) of every map. They are the writer's from now on: do not change them.
            counts: of something in these planes, by name, to be summed in `counts`.

        Raises:
            GridMismatchError: the planes do not follow those before, or do not fit the grid.
            QuantityError: not the maps of this writer.
            OSError: an earlier slab could not be written.
        """
        last = k0 + self._require_fitting(k0, values)
        self._puts.append(Put(last, dict(counts or {})))
        while self._kept < last:  # after an interruption some of the planes may be there
            slab_end = min((self._kept // self._files.depth + 1) * self._files.depth, self._grid.shape[2])
            end = min(last, slab_end)
            part = slice(self._kept - k0, end - k0)
            self._parts.append({name: planes[:, :, part] for name, planes in values.items()})
            self._kept = end
            if end == slab_end:
                self._send(end)
        self._done = last
        self._counts.update(counts or {})

    def finish(self, metadata: Mapping[str, Any] | None = None) -> list[Path]:
        """Complete all files.

        Args:
            metadata: plain data, to be added to that of the beginning.

        Returns:
            All files (and the group) as they will be called, `maps.json` last.

        Raises:
            StoreError: planes are missing.
            ValueRangeError: values that int16 or RT Dose does not hold.
            OSError: a slab could not be written.
        """
        if self._done != self._grid.shape[2]:
            raise StoreError(f"{self._target}: {self._done} of {self._grid.shape[2]} planes are there; put all")
        while self._waiting:
            self._waiting.popleft().result()
        about = self._about(dict(metadata or {}))
        self._files.finish(about)
        names = self._files.names
        text = json.dumps({**about, "files": names}, indent=1, allow_nan=False) + "\n"
        (self._folder / MAPS_NAME).write_text(text, encoding="utf-8")
        self._files.let_go()
        self._finished = True
        return [self._target / file for file in (*names, MAPS_NAME)]

    def _require_possible(self) -> None:
        require_formats(self._formats, self._dtype)
        if not self._quantities:
            raise QuantityError(f"{self._target}: expected at least one map, found none")
        require_doses(self._formats, self._quantities)
        if RTDOSE in self._formats:
            from surrogate3d.io.map_rtdose import require_grid  # not before it is needed: it loads pydicom

            require_grid(self._grid, self._dicom[1], self._target)
        if self._overwrite and self._target.exists() and not has_schema(self._target / MAPS_NAME, MAPS_SCHEMA):
            raise StoreError(
                f"{self._target} exists and is not a directory of our maps, so it is not replaced; choose another name"
            )

    def _entered(self, stack: ExitStack) -> tuple[Path, list[Slab]]:
        """The directory to write into, and what is there."""
        expected = 4 * self._grid.n_voxels * len(self._quantities) * len(self._formats)
        if self._fingerprint is None:
            return stack.enter_context(atomic_directory(self._target, self._overwrite, expected)), []
        return stack.enter_context(
            partial_maps(self._target, self._identity(), self._overwrite, self._resume, expected)
        )

    def _take_up(self, slabs: Sequence[Slab]) -> None:
        self._kept = self._written = slabs[-1].end if slabs else 0
        self._ranges = {name: MapRange.joint(slab.ranges[name] for slab in slabs) for name in self._quantities}
        for put in (put for slab in slabs for put in slab.puts):
            self._done = put.end
            self._counts.update(put.counts)

    def _about(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        scaled = self._files.scale(self._ranges, self._nan_as)
        maps = {name: self._ranges[name].summary(meaning) for name, meaning in self._quantities.items()}
        for name, how in scaled.items():
            maps[name]["int16"] = how
        said = {**self._metadata, **metadata}
        seed = self._fingerprint or json.dumps([maps, said], sort_keys=True)
        for name, how in self._files.write_doses(self._ranges, *self._dicom, said, seed).items():
            maps[name]["rtdose"] = how
        return {"schema": MAPS_SCHEMA, "grid": self._grid.to_json(), "maps": maps, "metadata": said}

    def _send(self, end: int) -> None:
        """Have the slab that ends before plane `end` packed and written."""
        parts, self._parts = self._parts, []
        if len(self._waiting) == _MOST_WAITING:
            self._waiting.popleft().result()
        k0 = end - sum(part[next(iter(part))].shape[2] for part in parts)
        packing = {
            name: self._pool.submit(self._packed, name, k0, [part[name] for part in parts]) for name in self._quantities
        }
        ended = [self._puts.popleft() for _ in range(sum(put.end <= end for put in self._puts))]
        self._waiting.append(self._order.submit(self._append, k0, end, packing, ended))

    def _packed(self, name: str, k0: int, parts: list[npt.NDArray[np.floating]]) -> PackedMap:
        nx, ny, _ = self._grid.shape
        planes, at = np.empty((sum(part.shape[2] for part in parts), ny, nx), np.float32), 0
        for part in parts:
            planes[at : at + part.shape[2]] = part.T
            at += part.shape[2]
        return self._files.packed(name, k0, planes)

    def _append(self, k0: int, end: int, packing: Mapping[str, Future[PackedMap]], puts: list[Put]) -> None:
        if k0 != self._written:  # nothing may follow where a slab is missing
            raise StoreError(f"{self._target}: planes before {k0} could not be written")
        slab = self._files.append(end, {name: packed.result() for name, packed in packing.items()}, puts)
        self._ranges = {name: MapRange.joint((self._ranges[name], slab.ranges[name])) for name in self._ranges}
        if self._journal:
            self._journal.add(slab)
        self._written = end

    def _require_fitting(self, k0: int, values: Mapping[str, npt.NDArray[np.floating]]) -> int:
        """The number of planes."""
        if set(values) != set(self._quantities):
            raise QuantityError(f"expected the maps {sorted(self._quantities)}, found {sorted(values)}")
        n = int(next(iter(values.values())).shape[-1])
        nx, ny, nz = self._grid.shape
        if k0 != self._done or k0 + n > nz:
            raise GridMismatchError(f"expected planes from {self._done} to at most {nz}, found {k0} to {k0 + n}")
        for name, planes in values.items():
            if planes.shape != (nx, ny, n):
                raise GridMismatchError(f"{name}: expected planes of shape {(nx, ny, n)}, found {planes.shape}")
        return n

    def _identity(self) -> dict[str, Any]:
        """All that decides the bytes of the files."""
        return {
            "schema": MAPS_SCHEMA,
            "inputs": self._fingerprint,
            "grid": self._grid.to_json(),
            "maps": {name: quantity_words(meaning) for name, meaning in self._quantities.items()},
            "formats": list(self._formats),
            "dtype": self._dtype,
            "nan_as": self._nan_as,
            "packer": PACKER,
            "dicom": [list(self._dicom[0]), str(self._dicom[1] and (self._dicom[1].attributes, self._dicom[1].plan))],
        }
