"""Command line: `python -m benchmarks.fuzz --cases 20000 --seed 1 --processes 2 [--target csv] [--keep DIR]`."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.fuzz.run import KINDS, Tally, run_all, shared_out
from benchmarks.fuzz.table import TARGETS


def main() -> int:
    """Run, print the table and the failures; 1 when there are any."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20000, help="damaged inputs, over all targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--only", type=int, action="append", help="only the case of this number; may be repeated")
    parser.add_argument("--keep", help="folder that takes failing inputs")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    args = parser.parse_args()
    targets = [TARGETS[name] for name in args.target or TARGETS]
    work = list(shared_out(targets, args.cases))
    if args.only:
        work = [(target.name, number) for target in targets for number in args.only]
    start = time.perf_counter()
    tally = run_all(work, args.seed, args.processes, args.keep, args.verbose)
    _print(tally, [target.name for target in targets], args.seed)
    seconds, megabytes = time.perf_counter() - start, tally.peak_bytes / 1e6
    print(f"{seconds:.0f} s, {args.processes} process(es); most memory of a case {megabytes:.1f} MB")
    return 1 if tally.failures else 0


def _print(tally: Tally, targets: list[str], seed: int) -> None:
    for target, number, words, reason in tally.failures:
        print(f"python -m benchmarks.fuzz --seed {seed} --target {target} --only {number}\n    {words}\n    {reason}")
    print(f"{'target':<14}{'cases':>8}" + "".join(f"{kind:>15}" for kind in KINDS))
    rows = {target: [tally.counts[target, kind] for kind in KINDS] for target in targets}
    rows["all"] = [sum(row[n] for row in rows.values()) for n in range(len(KINDS))]
    for name, row in rows.items():
        print(f"{name:<14}{sum(row):>8}" + "".join(f"{count:>15}" for count in row))


if __name__ == "__main__":
    sys.exit(main())
