"""How fast the direct simulation is on this machine, and how well nuclei are allotted to voxels.

    python benchmarks/direct.py

Tracks are counted over the whole disc around the nucleus, though the kernel draws only those that some domain can feel:
so nanoseconds per track can be compared with earlier versions and with the mark of 80 ns. Look-ups: those within reach.

Prints one hardware line, then for a few spectra as they occur along spread-out Bragg peaks

* the cost of a track through the disc from which domains can be reached, dose ladder and response included, and how
  many times a second the kernel looks a track up in the table of specific energies: once for each domain within reach;
* what a second and nine more cell lines on the same tracks add to that;
* a voxel at 1 % standard error: nuclei, the standard error that they reached over the target, nuclei used over those
  that the target needed, time, and voxels an hour beside what 80 ns for each of its tracks would allow.

All times are processor times of one thread, the least of several. A calibration loop of table look-ups tells how loaded
or slow the machine is: compare `ns per track` with it rather than with another machine. `direct_peers.py` follows: the
same task with pymkm and INFN's Survival, where they are installed.
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

from surrogate3d.direct.allotment import worst
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.lookup import track_table
from surrogate3d.direct.nucleus import raster
from surrogate3d.direct.nucleus_sampler import NucleusSampler
from surrogate3d.direct.tally import SurvivalTally
from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import calibrate
from surrogate3d.physics.let import LET_d

HSG_LINE = cell_line("HSG")
HSG = HSG_LINE.gsm2
B_NEAR = Gsm2MonteCarlo().b_near
SEED, TARGET = 1, 0.01

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


def sampler(task: VoxelTask) -> NucleusSampler:
    """Nuclei of HSG cells in a voxel."""
    return NucleusSampler(task, HSG.r_d, HSG.R_n, B_NEAR, Gsm2MonteCarlo().doses, SEED)


def tracks_per_nucleus(task: VoxelTask) -> float:
    """Expected tracks up to the last dose of the ladder."""
    area = np.pi * raster(HSG.r_d, HSG.R_n, B_NEAR).source_radius ** 2
    return float(task.fluence_per_gy.sum()) * area * Gsm2MonteCarlo().doses[-1]


def look_ups_per_track() -> float:
    """Expected domains within reach of a track: all their surroundings lie in the disc that tracks are sampled in."""
    area = raster(HSG.r_d, HSG.R_n, B_NEAR)
    return len(area.axes_um) * (area.reach / area.source_radius) ** 2


def track_costs(task: VoxelTask, counts: tuple[int, ...] = (1, 2, 10), repeat: int = 9) -> list[float]:
    """Nanoseconds per track with so many cell lines, which take turns."""
    lines = [calibrate(HSG_LINE.alpha_x * (1 - 0.02 * k), HSG_LINE.beta_x) for k in range(max(counts))]
    n = max(100, round(4e5 / tracks_per_nucleus(task)))
    nuclei = sampler(task)
    nuclei(0, 16, lines)
    turns = [[seconds(lambda k=k: nuclei(0, n, lines[:k]), 1) for k in counts] for _ in range(repeat)]  # type: ignore[misc]
    return [1e9 * least / (n * tracks_per_nucleus(task)) for least in np.min(turns, axis=0).tolist()]


def overshoot(task: VoxelTask, n_nuclei: int, target_se: float) -> float:
    """Standard error that so many nuclei reach, by the measure that decides, over the target."""
    nuclei = sampler(task)
    tally = SurvivalTally(nuclei.expected_q)
    survival, q = nuclei(0, n_nuclei, [HSG])
    tally.add(survival[0], q)
    S, _, relative_se = tally.estimate()
    return worst(relative_se, S, nuclei.doses) / target_se


def tracks(tasks: dict[str, VoxelTask]) -> None:
    """Print the cost of tracks."""
    print(f"{'spectrum':12s} {'LET_d':>6s} {'tracks':>7s} {'ns/track':>8s} {'M/s':>6s} | 2nd line, 10 lines")
    for name, task in tasks.items():
        one, two, ten = track_costs(task)
        LET = LET_d(AXES, task.fluence[:, :, None, None, None]).item()
        rate = 1e3 * look_ups_per_track() / one
        print(
            f"{name:12s} {LET:6.1f} {tracks_per_nucleus(task):7.0f} {one:8.1f} {rate:6.1f} |"
            f" {100 * (two / one - 1):+6.1f} %, {100 * (ten / one - 1):+6.1f} %"
        )


def voxels(tasks: dict[str, VoxelTask]) -> None:
    """Print the cost of voxels."""
    print(
        f"{'spectrum':12s} {'nuclei':>7s} {'se/target':>9s} {'used/needed':>11s} {'s':>7s} {'voxels/h':>9s}"
        f" {'at 80 ns':>9s} | two lines, s | FFT, ms"
    )
    for name, task in tasks.items():
        pair = replace(task, cell_lines=("HSG", "V79"))
        Gsm2Fft().simulate([pair])
        (found,) = Gsm2MonteCarlo().simulate([task], SEED, TARGET)
        ratio = overshoot(task, found.n_nuclei, TARGET)
        one, two = (seconds(lambda t=t: Gsm2MonteCarlo().simulate([t], SEED, TARGET), 5) for t in (task, pair))  # type: ignore[misc]
        allowed = 80e-9 * found.n_nuclei * tracks_per_nucleus(task)
        fast = seconds(lambda t=task: Gsm2Fft().simulate([t]))  # type: ignore[misc]
        print(
            f"{name:12s} {found.n_nuclei:7d} {ratio:9.2f} {ratio**-2:11.2f} {one:7.4f} {3600 / one:9.0f}"
            f" {3600 / allowed:9.0f} | {two:12.4f} | {1e3 * fast:7.1f}"
        )


def main() -> None:
    """Print the tables."""
    numba.set_num_threads(1)
    print(hardware())
    small = np.ones(2**19, dtype=np.float32)
    _calibration(small, 10)
    print(f"calibration: {seconds(lambda: _calibration(small, 20_000_000)) / 20_000_000 * 1e9:.2f} ns per look-up")
    start = time.process_time()
    track_table(AXES, HSG.r_d, B_NEAR)
    print(f"track table of {AXES.energy_mev_u.size} bins: {time.process_time() - start:.2f} s, once")
    tasks = {name: voxel(parts, ("HSG",)) for name, parts in SPECTRA.items()}
    print(f"{look_ups_per_track():.3f} look-ups per track; marks: 48 M/s, 80 ns per track")
    tracks(tasks)
    print(f"one voxel at {100 * TARGET:g} % standard error, {len(Gsm2MonteCarlo().doses)} doses")
    voxels(tasks)
    print(f"load at the end: {os.getloadavg()[0]:.1f}\n\nbeside other codes, where they are installed")
    from direct_peers import main as peers  # which imports this module

    peers()


if __name__ == "__main__":
    main()
