"""How fast the direct simulation is on this machine.

    python benchmarks/direct.py

Prints one hardware line, the cost of a track, and the cost of a voxel at 1 % standard error for a few spectra as they
occur along spread-out Bragg peaks. A calibration loop of table look-ups tells how loaded or slow the machine is: on a
quiet core, compare `ns per track` with it rather than with another machine.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt

from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo, NucleusSampler
from surrogate3d.direct.lookup import track_table
from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import LET_d

AXES = SpectrumAxes.logarithmic(("H", "He", "Li", "Be", "B", "C"))
SPECTRA = {
    "p entrance": [("H", 140.0, 0.1, 1.0), ("H", 40.0, 0.6, 0.05)],
    "p mid SOBP": [("H", 70.0, 0.4, 1.0), ("H", 15.0, 0.6, 0.3)],
    "p distal": [("H", 8.0, 0.7, 1.0)],
    "C entrance": [("C", 250.0, 0.1, 1.0), ("He", 240.0, 0.2, 0.1), ("H", 200.0, 0.5, 0.2)],
    "C mid SOBP": [("C", 90.0, 0.5, 1.0), ("B", 90.0, 0.3, 0.1), ("He", 100.0, 0.4, 0.4), ("H", 80.0, 0.6, 0.8)],
    "C distal": [("C", 15.0, 0.7, 1.0), ("He", 60.0, 0.4, 0.3), ("H", 60.0, 0.6, 0.5)],
    "C tail": [("He", 90.0, 0.6, 1.0), ("H", 60.0, 0.8, 3.0), ("Li", 80.0, 0.4, 0.05)],
}


def voxel(parts: list[tuple[str, float, float, float]], lines: tuple[str, ...]) -> VoxelTask:
    """Log-normal energy spectra: (species, median MeV/u, width in ln E, relative fluence)."""
    fluence = np.zeros((len(AXES.species), AXES.n_bins))
    for species, median, width, share in parts:
        row = AXES.species.index(species)
        shape = np.exp(-0.5 * (np.log(AXES.energy_mev_u[row] / median) / width) ** 2)
        fluence[row] += share * shape / shape.sum()
    return VoxelTask(fluence, AXES, 1.0, lines)


def seconds(work: Callable[[], object], repeat: int = 3) -> float:
    """Least processor time of some repetitions, s."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


@numba.njit(error_model="numpy")
def _calibration(table: npt.NDArray[np.float32], n: int) -> float:
    """`n` dependent look-ups at hashed places of a 3 MB table."""
    word, total, mask = np.uint64(1), 0.0, np.uint64(table.size - 1)
    for _ in range(n):
        word = word * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        total += table[(word >> np.uint64(33)) & mask]
    return total


def hardware() -> str:
    """Processor, cores and versions in one line."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux only
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    names = [line for line in text.splitlines() if line.startswith("model name")]
    model = names[0].split(":")[1].strip() if names else platform.processor()
    versions = f"python {platform.python_version()}, numba {numba.__version__}, numpy {np.__version__}"
    return (
        f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {numba.get_num_threads()} thread; {versions}"
    )


def track_cost(task: VoxelTask, n: int) -> tuple[float, float]:
    """Nanoseconds per track, and tracks per nucleus at 6 Gy."""
    parameters = cell_line("HSG").gsm2
    sampler = NucleusSampler(task, parameters.r_d, parameters.R_n, 1.0, Gsm2MonteCarlo().doses, 1)
    radius = parameters.R_n + parameters.r_d + 1.0
    tracks = float(task.fluence_per_gy.sum()) * np.pi * radius**2 * 6.0
    sampler(0, 16, [parameters])
    return seconds(lambda: sampler(0, n, [parameters])) / (n * tracks) * 1e9, tracks


def main() -> None:
    """Print the table."""
    numba.set_num_threads(1)
    print(hardware())
    small = np.ones(2**19, dtype=np.float32)
    _calibration(small, 10)
    print(f"calibration: {seconds(lambda: _calibration(small, 20_000_000)) / 20_000_000 * 1e9:.2f} ns per look-up")
    start = time.process_time()
    track_table(AXES, 0.9, 1.0)
    print(f"track table of {AXES.energy_mev_u.size} bins: {time.process_time() - start:.2f} s, once")
    print(f"{'spectrum':12s} {'LET_d':>6s} {'tracks':>7s} {'ns/track':>8s} | 1 % in one cell line, two | FFT, ms")
    for name, parts in SPECTRA.items():
        task = voxel(parts, ("HSG",))
        pair = replace(task, cell_lines=("HSG", "V79"))
        Gsm2MonteCarlo().simulate([pair], 1, 0.1)
        Gsm2Fft().simulate([pair])
        cost, tracks = track_cost(task, 500)
        found = Gsm2MonteCarlo().simulate([task], 1, 0.01)[0]
        one, two = (seconds(lambda t=t: Gsm2MonteCarlo().simulate([t], 1, 0.01)) for t in (task, pair))
        fast = seconds(lambda t=task: Gsm2Fft().simulate([t]))
        LET = LET_d(AXES, task.fluence[:, :, None, None, None]).item()
        print(
            f"{name:12s} {LET:6.1f} {tracks:7.0f} {cost:8.1f} | {one:6.3f} s ({found.n_nuclei} nuclei), {two:6.3f} s"
            f" | {1e3 * fast:5.1f}"
        )


if __name__ == "__main__":
    main()
