"""Speed of reading TOPAS CSV output, beside numpy.loadtxt.

    python benchmarks/csv_speed.py --mb 300 --repeats 5

Writes a dose CSV with indices (three statistics, 16 digits, X fastest, as OpenTOPAS since 4.1.1) to a temporary folder,
reads it several times, and reads the first rows with numpy.loadtxt. The file is in the page cache. Rates are of text.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from surrogate3d.io.topas_grid import read_values
from surrogate3d.io.topas_header import read_header

ROW_BYTES = 75
LOADTXT_ROWS = 100_000


def write_dose(path: Path, n_bytes: int) -> None:
    """A CSV of about `n_bytes` on 100 x 100 x n voxels, written plane by plane."""
    planes = max(1, round(n_bytes / (ROW_BYTES * 100 * 100)))
    bins = "".join(f"# {axis} in {n} bins of 0.1 cm\n" for axis, n in (("X", 100), ("Y", 100), ("Z", planes)))
    rng = np.random.default_rng(1)
    with path.open("w") as stream:
        stream.write("# TOPAS Version: 4.2.p3\n# Parameter File: run.txt\n# Results for scorer: Dose\n")
        stream.write("# Scored in component: Grid\n" + bins)
        stream.write("# DoseToWater ( Gy ) : Sum   Standard_Deviation   Histories_with_Scorer_Active   \n")
        for k in range(planes):
            values = rng.random((100, 100, 2)) * 1e-7
            stream.writelines(
                f"{i}, {j}, {k}, {values[i, j, 0]:.16g}, {values[i, j, 1]:.16g}, 4000000\n"
                for j in range(100)
                for i in range(100)
            )


def rate(n_bytes: int, seconds: list[float]) -> str:
    """Median and range, MB/s."""
    found = sorted(n_bytes / 1e6 / s for s in seconds)
    return f"median {np.median(found):.0f} MB/s, range {found[0]:.0f} to {found[-1]:.0f}, n = {len(found)}"


def timed(repeats: int, read: Callable[[], object]) -> list[float]:
    """Wall-clock seconds of each call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Write, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Dose.csv"
        write_dose(path, arguments.mb * 1_000_000)
        header, n_bytes = read_header(path), path.stat().st_size
        text = "".join(line for line, _ in zip(path.open(), range(LOADTXT_ROWS), strict=False) if line[0] != "#")
        print(f"{n_bytes / 1e6:.0f} MB, {header.shape} voxels, {pa.cpu_count()} threads")
        print("read_values:  ", rate(n_bytes, timed(arguments.repeats, lambda: read_values(path, header))))
        print("numpy.loadtxt:", rate(len(text), timed(3, lambda: np.loadtxt(io.StringIO(text), delimiter=","))))


if __name__ == "__main__":
    main()
