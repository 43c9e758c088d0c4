"""Chooses 2,000 of 10 million voxels by the similarity of their spectra: time, memory, check with the slow twin.

    OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 python benchmarks/sampling_scale.py [--voxels 10000000] [--budget 2000]

Makes a file of dose fractions (2 species x 64 bins, float16, noise of TRACKS a voxel) and doses: a spread-out field
through inserts, with a penumbra. A process of its own then reads it in chunks, packs it to 2 bytes a channel and walks
farthest-first through all voxels (no coarse cubes). At the end the choice is judged in float64, from the file:

* every voxel of a random subset must lie within the covering radius of a chosen one;
* on a subset small enough, the walk must be that of the plain algorithm, which compares all with all.

Times are of the second process, from the first byte read; compilation (once per machine) is left out, and said.
Needs 2.6 GB of disk for 10 million voxels; all is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.sampling.covering import Covering
from surrogate3d.sampling.points import pack, pack_spectra
from surrogate3d.sampling.similarity import distance_to, distance_to_nearest, embed

BINS, SPECIES, LEAST_DOSE, ROWS = 64, 2, 0.05, 65_536
CHANNELS = BINS * SPECIES
Chunk = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]


def spectra(place: npt.NDArray[np.floating], tracks: float, rng: np.random.Generator) -> Chunk:
    """Dose fractions and relative doses at (n, 3) places in a unit cube; a made-up field, no physics."""
    x, y, z = 2 * place[:, 0] - 1, 2 * place[:, 1] - 1, place[:, 2]
    lateral = np.exp(-0.5 * (x**2 + y**2) / 0.35)
    depth = z * (1 + 0.15 * np.sin(7 * x + 3) * np.cos(5 * y))
    centre = np.log(180 * np.maximum(0.02, 1 - 0.8 * depth) ** 0.6)[:, None]
    energy = np.log(np.geomspace(0.5, 250, BINS, dtype=np.float32))
    protons = np.exp(-0.5 * ((energy - centre) / (0.08 + 0.5 * depth)[:, None]) ** 2)
    protons += (0.02 * (1 - lateral))[:, None] * np.exp(-0.5 * (energy - 1.5) ** 2)
    helium = (0.02 + 0.05 * depth)[:, None] * np.exp(-0.5 * ((energy - centre + 0.5) / 0.8) ** 2) + 0.002
    shape = np.concatenate([protons, helium], axis=1)
    shape /= shape.sum(axis=1, keepdims=True)
    counts = (tracks * lateral)[:, None] * shape
    noisy = counts + np.sqrt(counts) * rng.standard_normal(shape.shape, dtype=np.float32)
    noisy = np.maximum(noisy, 0)
    return noisy / noisy.sum(axis=1, keepdims=True), np.clip(lateral, LEAST_DOSE, 1)


def make(folder: Path, n: int, tracks: float) -> None:
    """Write the voxels in the order of a grid."""
    side = round(n ** (1 / 3)) + 1
    rng = np.random.default_rng(1)
    with (folder / "fractions").open("wb") as fractions, (folder / "dose").open("wb") as dose:
        for start in range(0, n, ROWS):
            index = np.arange(start, min(n, start + ROWS))
            place = np.stack(np.unravel_index(index, (side, side, side)), axis=1).astype(np.float32) / side
            rows, doses = spectra(place, tracks, rng)
            rows.astype(np.float16).tofile(fractions)
            doses.astype(np.float32).tofile(dose)


def read(folder: Path, n: int) -> Iterator[Chunk]:
    """The voxels, chunk by chunk."""
    with (folder / "fractions").open("rb") as fractions, (folder / "dose").open("rb") as dose:
        for start in range(0, n, ROWS):
            rows = min(n - start, ROWS)
            values = np.fromfile(fractions, np.float16, rows * CHANNELS).reshape(rows, CHANNELS)
            yield values, np.fromfile(dose, np.float32, rows)


def some(folder: Path, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Points of some rows in float64, as they are without packing."""
    fractions = np.memmap(folder / "fractions", np.float16, "r").reshape(-1, CHANNELS)
    return embed(np.asarray(fractions[rows], dtype=float), np.fromfile(folder / "dose", np.float32)[rows])


def walk(folder: Path, n: int, budget: int) -> None:
    """Choose, and print what it took."""
    small = Covering(pack_spectra([next(read(folder, min(n, 256)))], min(n, 256), CHANNELS, LEAST_DOSE))
    small.add(0)
    small.farthest()  # compiles
    start, start_cpu = time.perf_counter(), time.process_time()
    points = pack_spectra(read(folder, n), n, CHANNELS, LEAST_DOSE)
    packed, packed_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    covering, chosen = Covering(points), []
    for _ in range(budget):
        chosen.append(covering.farthest())
        covering.add(chosen[-1])
    facts = {
        "chosen": chosen,
        "radius": covering.radius(),
        "error": points.error,
        "seconds": time.perf_counter() - start,
        "seconds_packing": packed,
        "cpu_seconds": time.process_time() - start_cpu,
        "cpu_seconds_packing": packed_cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }
    print(json.dumps(facts))


def slow_walk(points: npt.NDArray[np.float64], first: int, budget: int) -> tuple[list[int], float]:
    """Farthest-first as it is written down: all with all."""
    chosen, distance = [first], distance_to(points, points[first])
    while len(chosen) < budget:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, distance_to(points, points[chosen[-1]]))
    return chosen, float(distance.max())


def check(folder: Path, n: int, chosen: list[int], radius: float, error: float) -> None:
    """Judge the choice in float64."""
    rows = np.sort(np.random.default_rng(2).choice(n, min(n, 50_000), replace=False))
    points = some(folder, rows)
    worst = float(distance_to_nearest(points, some(folder, np.array(chosen))).max())
    print(f"farthest of {len(rows):,} random voxels: {worst:.5f}; covering radius of all: {radius:.5f}")
    few, budget = points[: len(points) // 5], 200
    covering = Covering(pack(few, fine_bytes=0))
    fast: list[int] = []
    for _ in range(budget):
        fast.append(covering.farthest())
        covering.add(fast[-1])
    slow, slow_radius = slow_walk(few, fast[0], budget)
    equal = sum(a == b for a, b in zip(fast, slow, strict=True))
    print(
        f"plain algorithm on {len(few):,}: {equal} of {budget} equal; radius {covering.radius():.6f}, {slow_radius:.6f}"
    )
    if worst > radius + error or abs(covering.radius() - slow_radius) > 2 * error:
        raise SystemExit("the choice does not cover what it should")


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--voxels", type=int, default=10_000_000)
    options.add_argument("--budget", type=int, default=2_000)
    options.add_argument("--tracks", type=float, default=1e5)
    options.add_argument("--folder", type=Path, default=None)
    options.add_argument("--walk", type=Path, default=None, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.walk:
        walk(chosen.walk, chosen.voxels, chosen.budget)
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as scratch:
        make(Path(scratch), chosen.voxels, chosen.tracks)
        program = [sys.executable, __file__, "--walk", scratch]
        program += ["--voxels", str(chosen.voxels), "--budget", str(chosen.budget)]
        done = json.loads(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
        print(
            f"{chosen.voxels:,} voxels, {CHANNELS} channels + dose, {chosen.tracks:g} tracks, budget {chosen.budget:,}"
        )
        load = os.getloadavg()[0]
        print(f"seconds {done['seconds']:.1f} (reading and packing {done['seconds_packing']:.1f}), load {load:.1f}")
        print(f"processor seconds {done['cpu_seconds']:.1f} (packing {done['cpu_seconds_packing']:.1f})")
        print(f"peak memory {done['peak_gb']:.2f} GB; distances wrong by at most {done['error']:.1e}")
        check(Path(scratch), chosen.voxels, done["chosen"], done["radius"], done["error"])


if __name__ == "__main__":
    main()
