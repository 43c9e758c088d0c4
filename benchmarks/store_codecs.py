"""Codecs and chunks for the spectra of a field store: size, writing and reading, measured on real noisy spectra.

    python benchmarks/store_codecs.py PLAN.field.zarr [--voxels 100 100 100] [--rounds 5] [--json OUT.json]

The spectra of a store are tiled to the wanted grid; each value is multiplied with a random factor from 0.98 to 1.02,
since an exact repetition compresses better than any measurement. What is read lies in the page cache: the disk's own
speed is no property of a codec. Times are medians over rounds in which all candidates take turns; beside the wall clock
there is the time of all threads together (core s), which other work on the machine changes less.

float16 keeps 11 bits, "12 bits" is float32 with the lower half of the mantissa rounded away: both are lossy. Their
largest relative error in the sums of the bands is printed with them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec

from surrogate3d.io.field_store import read_field
from surrogate3d.model.groups import BAND_EDGES_MEV_U
from surrogate3d.physics.linear_sums import linear_sums
from surrogate3d.physics.mixing import band_weights, mono_table

Array = npt.NDArray[np.float32]
THREADS = min(2, os.cpu_count() or 1)
HALO = 9
"""Planes of a slab's neighbours that a network along the beam needs."""

SLAB = 32
SHUFFLES = {"none": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


@dataclass(frozen=True)
class Candidate:
    """A way to store spectra."""

    codec: str = "lz4"
    level: int = 9
    shuffle: str = "none"
    edges: tuple[int, int, int] = (32, 32, 32)
    values: str = "float32"

    def __str__(self) -> str:
        return f"{self.codec}-{self.level} {self.shuffle}, {'x'.join(map(str, self.edges))}, {self.values}"

    @property
    def blosc(self) -> Blosc:
        """The codec."""
        return Blosc(cname=self.codec, clevel=self.level, shuffle=SHUFFLES[self.shuffle])


def candidates(shape: tuple[int, int, int]) -> list[Candidate]:
    """One thing is varied at a time: the codec, then the chunks, then the digits that are kept."""
    pairs = [("lz4", 1), ("lz4", 5), ("lz4", 9), ("zstd", 1), ("zstd", 3)]
    found = [Candidate(codec, level, shuffle, even(shape, 32)) for codec, level in pairs for shuffle in SHUFFLES]
    found += [Candidate(edges=(edge, edge, edge)) for edge in (16, 32, 64)]
    found += [Candidate(edges=even(shape, edge)) for edge in (16, 64)]
    found += [Candidate(edges=(*even(shape, 64)[:2], 8))]
    kept = [("lz4", 9, "float16"), ("lz4", 9, "12 bits"), ("zstd", 1, "12 bits")]
    return [*found, *(Candidate(codec, level, "shuffle", even(shape, 32), values) for codec, level, values in kept)]


def even(shape: tuple[int, int, int], most: int) -> tuple[int, int, int]:
    """Edges of equal chunks, as few as there are with edges of at most so many voxels."""
    i, j, k = (-(-n // -(-n // most)) for n in shape)
    return i, j, k


def tiled(values: Array, shape: tuple[int, int, int]) -> Array:
    """Real spectra on a larger grid, see the module."""
    rng = np.random.default_rng(0)
    repeats = [-(-n // m) for n, m in zip(shape, values.shape[2:], strict=True)]
    result = np.tile(values, (1, 1, *repeats))[:, :, : shape[0], : shape[1], : shape[2]].copy()
    for part in result.reshape(-1, *shape):
        part *= rng.uniform(0.98, 1.02, shape).astype(np.float32)
    return result


def lossy(values: Array, kind: str) -> npt.NDArray[np.floating]:
    """float16 in units of the largest value over 30,000; 12 bits by rounding to nearest."""
    if kind == "float16":
        return (values * np.float32(3e4 / values.max())).astype(np.float16)
    if kind == "12 bits":
        bits = values.view(np.uint32) + np.uint32(1 << 11)
        return (bits & np.uint32(0xFFFFF000)).view(np.float32)
    return values


class Stored:
    """Spectra in chunk files, as a field store has them."""

    def __init__(self, folder: Path, values: npt.NDArray[np.floating], candidate: Candidate) -> None:
        self.folder, self.values, self.candidate, self._own = folder, values, candidate, threading.local()
        folder.mkdir()
        self.counts = [range(-(-n // edge)) for n, edge in zip(values.shape[2:], candidate.edges, strict=True)]

    def keys(self, planes: range | None = None) -> Iterator[tuple[int, int, int, int]]:
        """Species and number along i, j and k of the chunks; of those that hold planes only."""
        depth = self.candidate.edges[2]
        along = range(planes.start // depth, -(-planes.stop // depth)) if planes else self.counts[2]
        return product(range(len(self.values)), self.counts[0], self.counts[1], along)

    def write(self) -> None:
        """Encode all."""
        self._everywhere(self._save, self.keys())

    def read(self, planes: range | None = None) -> None:
        """Decode, and look at each value once."""
        self._everywhere(self._load, self.keys(planes))

    def read_slabs(self) -> None:
        """The whole in slabs with a halo, each read from disk as if nothing had been kept."""
        nz = self.values.shape[-1]
        for k in range(0, nz, SLAB):
            self.read(range(max(0, k - HALO), min(nz, k + SLAB + HALO)))

    @property
    def nbytes(self) -> int:
        """On disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def _save(self, key: tuple[int, int, int, int]) -> None:
        place = tuple(slice(n * edge, (n + 1) * edge) for n, edge in zip(key[1:], self.candidate.edges, strict=True))
        block = self.values[key[0]][(slice(None), *place)]
        chunk = np.full((block.shape[0], *self.candidate.edges), np.nan, self.values.dtype)
        chunk[tuple(slice(0, n) for n in block.shape)] = block
        self._file(key).write_bytes(self.candidate.blosc.encode(chunk))

    def _load(self, key: tuple[int, int, int, int]) -> None:
        if not hasattr(self._own, "buffer"):
            self._own.buffer = np.empty((self.values.shape[1], *self.candidate.edges), self.values.dtype)
        self.candidate.blosc.decode(self._file(key).read_bytes(), self._own.buffer)
        self._own.buffer.max()

    def _file(self, key: tuple[int, int, int, int]) -> Path:
        return self.folder / ".".join(map(str, key))

    @staticmethod
    def _everywhere(
        work: Callable[[tuple[int, int, int, int]], None], keys: Iterator[tuple[int, int, int, int]]
    ) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, keys))


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the wall clock, and of all threads together."""
    wall, together = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - together


def measure(stored: dict[Candidate, Stored], rounds: int) -> list[dict[str, object]]:
    """Take turns, and sum up."""
    kinds = ("write", "read", "read_slabs")
    times: dict[tuple[Candidate, str], list[tuple[float, float]]] = {}
    for _, (candidate, each), kind in product(range(rounds), stored.items(), kinds):
        times.setdefault((candidate, kind), []).append(seconds(getattr(each, kind)))
    rows: list[dict[str, object]] = []
    for candidate, each in stored.items():
        raw = 4 * each.values.size
        row: dict[str, object] = {"candidate": str(candidate), "ratio": raw / each.nbytes}
        for kind in kinds:
            wall, together = (statistics.median(column) for column in zip(*times[candidate, kind], strict=True))
            row |= {f"{kind}_MB_s": raw / wall / 1e6, f"{kind}_core_s_per_GB": together / raw * 1e9}
        rows.append(row)
    return rows


def zarr_rows(folder: Path, values: Array, rounds: int) -> list[dict[str, object]]:
    """The same by zarr itself: in chunks, and in shards of eight chunks."""
    rows = []
    for name, chunks, shards in (
        ("zarr chunks of 32", (1, values.shape[1], 32, 32, 32), None),
        ("zarr chunks of 32 in shards of 64", (1, values.shape[1], 32, 32, 32), (1, values.shape[1], 64, 64, 64)),
    ):
        array = zarr.create_array(
            store=folder / name.replace(" ", "_"),
            shape=values.shape,
            dtype=values.dtype,
            chunks=chunks,
            shards=shards,
            compressors=BloscCodec(cname="lz4", clevel=9, shuffle="noshuffle"),
        )
        wrote = [seconds(partial(array.__setitem__, ..., values)) for _ in range(rounds)]
        read = [seconds(partial(array.__getitem__, ...)) for _ in range(rounds)]
        row: dict[str, object] = {"candidate": name, "ratio": values.nbytes / int(array.nbytes_stored())}
        for kind, pairs in (("write", wrote), ("read", read)):
            wall, together = (statistics.median(column) for column in zip(*pairs, strict=True))
            row |= {
                f"{kind}_MB_s": values.nbytes / wall / 1e6,
                f"{kind}_core_s_per_GB": together / values.nbytes * 1e9,
            }
        rows.append(row)
    return rows


def loss(values: Array, weights: npt.NDArray[np.float64], kind: str) -> float:
    """Largest relative error that a lossy storage makes in the sums of the bands."""
    kept = lossy(values, kind)
    whole = np.float64(values.max() / 3e4 if kind == "float16" else 1)
    exact = linear_sums(values, weights).astype(float)
    found = linear_sums(kept.astype(np.float32), weights * whole).astype(float)
    there = exact > 0
    return float(np.abs(found[there] / exact[there] - 1).max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--voxels", type=int, nargs=3, default=(100, 100, 100))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    spectra = read_field(given.store).spectra
    values = tiled(np.asarray(spectra.fluence), tuple(given.voxels))
    weights = band_weights(spectra.axes, [mono_table("HSG")], BAND_EDGES_MEV_U)
    with tempfile.TemporaryDirectory() as folder:
        ways = enumerate(candidates(tuple(given.voxels)))
        stored = {way: Stored(Path(folder) / str(n), lossy(values, way.values), way) for n, way in ways}
        rows = measure(stored, given.rounds) + zarr_rows(Path(folder), values, min(3, given.rounds))
    losses = {kind: loss(values, weights, kind) for kind in ("float16", "12 bits")}
    report = {"store": given.store.name, "shape": values.shape, "threads": THREADS, "rows": rows, "loss": losses}
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(table(rows) + f"largest relative error of the bands: {losses}\n")


def table(rows: list[dict[str, object]]) -> str:
    """Markdown."""
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    for row in rows:
        cells = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in (row.get(k, "") for k in keys)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
