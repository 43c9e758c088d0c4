"""A campaign whose scheduler, workers and client are killed at random, and what it costs.

    python benchmarks/campaign_kills.py --kills 20 --voxels 800

Runs the campaign once undisturbed in this process and once on a cluster of two workers under fire (the harness of the
suite's test), and compares the ledgers bit by bit.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "direct"))
from campaign_kills import BATCH, SEED, WORKERS, Paying, under_fire, voxels

from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.ledger import Ledger


def main() -> None:
    """Print who was killed, what was paid, and whether the ledgers are the same."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--voxels", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.perf_counter()
        conduct(voxels(given.voxels), Paying(), Ledger(folder / "straight"), SEED)
        straight_s, start = time.perf_counter() - start, time.perf_counter()
        victims, paid, _ = under_fire(folder, given.voxels, given.kills, given.seed, limit_s=1800)
        print(
            f"{given.voxels} voxels in {straight_s:.0f} s undisturbed, {time.perf_counter() - start:.0f} s under fire"
        )
        print(f"killed: {dict(sorted(Counter(victims).items()))}")
        bound = len(victims) * WORKERS * BATCH
        print(f"paid twice: {paid - given.voxels} voxels; being computed at the kills, at most: {bound}")
        same = Ledger(folder / "ledger").digest() == Ledger(folder / "straight").digest()
        print(f"final ledgers are {'the same bit by bit' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
