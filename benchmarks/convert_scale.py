"""Converts a patient-sized TOPAS run: memory, and speed beside a plain copy of the same bytes.

    python benchmarks/convert_scale.py [--planes 256] [--folder DIR]

Makes a run folder of 512 x 512 x PLANES voxels with dose and one fluence spectrum of 29 pre-step bins (31 with
underflow and overflow, the most that TOPAS can index for 256 planes), copies its files and flushes them, then converts
in a process of its own. Needs 2.6 times the run's size of disk (43 GB for 256 planes); all is removed at the end.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.let import bin_dose

NX, NY, COLUMNS = 512, 512, 31

PARAMETERS = """\
s:Ge/Grid/Type = "TsBox"
s:Ge/Grid/Parent = "World"
d:Ge/Grid/HLX = 256 mm
d:Ge/Grid/HLY = 256 mm
d:Ge/Grid/HLZ = {half} mm
i:Ge/Grid/XBins = 512
i:Ge/Grid/YBins = 512
i:Ge/Grid/ZBins = {nz}
s:So/Beam/Type = "Beam"
s:So/Beam/Component = "BeamPosition"
s:So/Beam/BeamParticle = "proton"
i:So/Beam/NumberOfHistoriesInRun = 1000000
i:Ts/Seed = 1
s:Sc/Dose/Quantity = "DoseToWater"
s:Sc/H/Quantity = "Fluence"
i:Sc/H/EBins = 29
b:Sc/H/EBinLog = "True"
d:Sc/H/EBinMin = 0.1 MeV
d:Sc/H/EBinMax = 500 MeV
s:Sc/H/EBinEnergy = "PreStep"
"""

HEADER = """\
# TOPAS Version: 4.2.p1
# Parameter File: run.txt
# Results for scorer: {scorer}
{filters}# Scored in component: Grid
# X in 512 bins of 0.1 cm
# Y in 512 bins of 0.1 cm
# Z in {nz} bins of 0.1 cm
# {quantity} : Sum{spaces}
{binning}# Binary file: {scorer}.bin
"""

BINNING = """\
# Binned by pre-step energy in 29 bins of {width:.6g} MeV from 0.1 MeV to 500 MeV
# First bin is underflow, next to last bin is overflow, last bin is for case of no incident track.
"""


def make_run(folder: Path, nz: int) -> None:
    """Noise that looks like a spectrum: most bins of a voxel are empty, as in a real run of few histories."""
    folder.mkdir(parents=True)
    (folder / "run.txt").write_text(PARAMETERS.format(half=nz / 2, nz=nz))
    binning = BINNING.format(width=np.log10(5000) / 29)
    about = {"filters": "# Filtered by: OnlyIncludeParticlesOfAtomicNumber = 1\n", "binning": binning}
    head = HEADER.format(spaces="   ", scorer="H", quantity="Fluence ( /mm2 )", nz=nz, **about)
    (folder / "H.binheader").write_text(head)
    plain = HEADER.format(spaces="   ", scorer="Dose", quantity="DoseToWater ( Gy )", nz=nz, filters="", binning="")
    (folder / "Dose.binheader").write_text(plain)
    rng = np.random.default_rng(1)
    axes = SpectrumAxes.logarithmic(("H",), 29, 0.1, 500.0)
    per_fluence = np.pad(bin_dose(axes, np.ones((1, 29)))[0], 1)
    plane = rng.gamma(0.3, 1.0, (NY, NX, COLUMNS)) * (rng.random((NY, NX, COLUMNS)) < 0.3)
    with (folder / "H.bin").open("wb") as spectra, (folder / "Dose.bin").open("wb") as dose:
        for k in range(nz):
            turned = np.roll(plane, 97 * k, axis=0) * (1 + 0.001 * k)
            turned.tofile(spectra)
            (turned @ per_fluence).tofile(dose)


def copy_rate(folder: Path) -> float:
    """MB/s of a plain copy, flushed to the disk."""
    target = folder.with_name("copy")
    start = time.perf_counter()
    shutil.copytree(folder, target)
    for file in target.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    rate = size(folder) / (time.perf_counter() - start) / 1e6
    shutil.rmtree(target)
    return rate


def size(folder: Path) -> int:
    """Bytes of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--planes", type=int, default=256)
    options.add_argument("--folder", type=Path, default=None)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as scratch:
        run, store = Path(scratch) / "run", Path(scratch) / "big.field.zarr"
        make_run(run, chosen.planes)
        copied = [copy_rate(run) for _ in range(2)]
        code = "import sys; from surrogate3d.cli import main; sys.exit(main())"
        program = [sys.executable, "-c", code, "convert", str(run), "-o", str(store), "--json"]
        start = time.perf_counter()
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        rate, peak = size(run) / seconds / 1e6, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        copies = ", ".join(f"{mb_s:.0f}" for mb_s in copied)
        sizes = f"{size(run) / 1e9:.1f} GB in, {size(store) / 1e9:.1f} GB out"
        print(f"{NX} x {NY} x {chosen.planes} voxels, {COLUMNS} columns: {sizes}")
        print(f"plain copy, flushed: {copies} MB/s")
        share = rate / np.mean(copied)
        print(f"convert: {seconds:.0f} s, {rate:.0f} MB/s, {share:.2f} of the copy; peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
