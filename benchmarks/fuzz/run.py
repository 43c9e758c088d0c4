"""Cases to processes, and what became of them; a process that dies or stalls is replaced."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import Empty, Queue

from benchmarks.fuzz.case import Target, Verdict
from benchmarks.fuzz.worker import serve

KINDS = ("refused", "unchanged", "valid payload", "failure")
STALL_SECONDS = 90.0
"""Of the clock: a process that does not answer in this time waits for something that will not come."""


@dataclass
class Tally:
    """What became of the cases.

    Attributes:
        counts: by (target, kind).
        failures: (target, number, how it was damaged, what went wrong).
        peak_bytes: most memory that one case took.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[tuple[str, int, str, str]] = field(default_factory=list)
    peak_bytes: int = 0

    def add(self, target: str, number: int, words: str, verdict: Verdict) -> None:
        """Count a case."""
        self.counts[target, verdict.kind] += 1
        self.peak_bytes = max(self.peak_bytes, verdict.peak_bytes)
        if verdict.kind == "failure":
            self.failures.append((target, number, words, verdict.words))


def shared_out(targets: list[Target], cases: int) -> Iterator[tuple[str, int]]:
    """(target, number) of all cases, by the shares of the targets."""
    whole = sum(target.share for target in targets)
    for target in targets:
        for number in range(-(-cases * target.share // whole)):
            yield target.name, number


def run_all(work: list[tuple[str, int]], seed: int, processes: int, keep: str | None, verbose: bool = False) -> Tally:
    """Run cases in several processes."""
    waiting: Queue[tuple[str, int]] = Queue()
    for case in work:
        waiting.put(case)
    tally = Tally()
    names = sorted({name for name, _ in work})
    with ThreadPoolExecutor(processes) as pool:
        for done in [pool.submit(_feed, waiting, tally, seed, keep, names, verbose) for _ in range(processes)]:
            done.result()
    tally.failures.sort()
    return tally


def _feed(
    waiting: Queue[tuple[str, int]], tally: Tally, seed: int, keep: str | None, names: list[str], verbose: bool
) -> None:
    """Give one process case after case."""
    process, pipe = _started(seed, keep, names)
    while True:
        try:
            target, number = waiting.get_nowait()
        except Empty:
            break
        try:
            pipe.send((target, number))
            if not pipe.poll(STALL_SECONDS):
                raise TimeoutError(f"no answer in {STALL_SECONDS:g} s")
            words, verdict = pipe.recv()
        except (EOFError, OSError) as error:
            process.kill()
            process.join()
            words, verdict = "", Verdict("failure", f"the process died ({error!r}, exit code {process.exitcode})")
            process, pipe = _started(seed, keep, names)
        if verbose:
            print(target, number, words, verdict.kind, verdict.words)
        tally.add(target, number, words, verdict)
    pipe.send(None)
    process.join()


def _started(seed: int, keep: str | None, names: list[str]) -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, seed, keep, names), daemon=True)
    process.start()
    theirs.close()
    if not ours.poll(STALL_SECONDS) or ours.recv() != "ready":
        raise RuntimeError("a process did not start")
    return process, ours
