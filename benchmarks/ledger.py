"""How fast the ledger takes responses in, how fast it opens, and how large it is.

    python benchmarks/ledger.py --rows 10000000 --batch 20000

Appends made-up responses of 11 doses under SHA-256 keys, batch by batch, each synced to disk; then opens the ledger in
a new process, before which the file is dropped from the page cache if the system allows that, and looks 10,000 keys up.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.task import DOSE_LADDER, VoxelResponse

OPENING = """
import sys, time
from pathlib import Path
from surrogate3d.direct.ledger import Ledger
start = time.perf_counter()
ledger = Ledger(Path(sys.argv[1]))
print(f"{time.perf_counter() - start:.2f} {len(ledger)}")
"""


def made_up(n: int) -> VoxelResponse:
    """A response whose numbers are random, so that nothing compresses."""
    curves = np.random.default_rng(n).random((4, len(DOSE_LADDER))).tolist()
    return VoxelResponse(
        "HSG", (n, 0, 0), "0" * 64, DOSE_LADDER, *map(tuple, curves), *([0.3] * 10), 0.95, 4096, 0, "gsm2_mc/1"
    )


def key(n: int) -> str:
    """The key of row n."""
    return hashlib.sha256(b"%d" % n).hexdigest()


def fill(ledger: Ledger, rows: int, batch: int) -> None:
    """Append, and print the rate of each tenth; only `append` is timed."""
    pool, spent, busy, tenth = [made_up(n) for n in range(1000)], 0.0, 0.0, 0
    for first in range(0, rows, batch):
        made = {key(n): replace(pool[n % 1000], voxel=(n, 0, 0)) for n in range(first, min(first + batch, rows))}
        start, cpu = time.perf_counter(), time.process_time()
        ledger.append(made)
        spent, busy, tenth = spent + time.perf_counter() - start, busy + time.process_time() - cpu, tenth + len(made)
        if tenth >= rows / 10:
            done, load = first + len(made), os.getloadavg()[0]
            print(
                f"{done:>10} rows: {tenth / spent:,.0f}/s, {tenth / busy:,.0f} per CPU s, load {load:.1f}", flush=True
            )
            spent, busy, tenth = 0.0, 0.0, 0


def forget(path: Path) -> None:
    """Drop a file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def main() -> None:
    """Print rates, size and opening times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        ledger = Ledger(Path(folder))
        start = time.perf_counter()
        fill(ledger, given.rows, given.batch)
        print(f"all of it, with making the responses: {time.perf_counter() - start:.0f} s")
        sample = [key(n) for n in np.random.default_rng(0).integers(given.rows, size=10_000)]
        start = time.perf_counter()
        found = sum(ledger.get(each) is not None for each in sample)
        print(f"{found} of {len(sample)} found, {1e6 * (time.perf_counter() - start) / len(sample):.0f} us each")
        path = ledger.path
        del ledger
        print(f"{path.stat().st_size / given.rows:.0f} bytes a row, {path.stat().st_size / 1e9:.2f} GB")
        for cache in ("cold", "warm", "warm"):
            if cache == "cold":
                forget(path)
            seconds, rows = subprocess.check_output([sys.executable, "-c", OPENING, folder], text=True).split()
            print(f"opened in {seconds} s ({cache} cache), {rows} rows")


if __name__ == "__main__":
    main()
