"""One process that runs cases, with limits on memory and time; what it dies of is a failure of the case."""

from __future__ import annotations

import os
import re
import resource
import signal
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

import numpy as np

from benchmarks.fuzz.case import Files, Reading, Seed, Target, Verdict
from benchmarks.fuzz.judge import judge
from benchmarks.fuzz.table import TARGETS, sealed
from surrogate3d.errors import Surrogate3dError

MEMORY_BYTES = 10**9
SECONDS = 5.0


_OUT_OF_MEMORY = re.compile(r"[Ff]ailed to allocate|[Uu]nable to allocate|bad_alloc|MemoryError|malloc of size")


class HangError(BaseException):
    """A case took too long; not an Exception, so that no reader takes it for damage."""


def damaged(target: Target, seed: Seed, run_seed: int, number: int) -> tuple[Files, str]:
    """The folder of a case, and what was done to it: one to three mutations, mostly one."""
    rng = np.random.default_rng([run_seed, zlib.crc32(target.name.encode()), number])
    files, words = dict(seed.files), []
    for _ in range(int(rng.choice([1, 1, 1, 1, 1, 1, 2, 3]))):
        names = [name for name in (seed.victims or sorted(seed.files)) if name in files]
        if not names:
            break
        name = names[int(rng.integers(len(names)))]
        mutation = target.mutations[int(rng.integers(len(target.mutations)))]
        try:
            words.append(f"{name}: {mutation(files, name, rng)}")
        except Exception as error:  # a mutation that knows a format may meet a file that is damaged already
            words.append(f"{name}: not applied ({type(error).__name__})")
    return files, "; ".join(words)


def seed_of(target: Target, seeds: list[Seed], number: int) -> Seed:
    """The seed of a case: one after the other."""
    return seeds[number % len(seeds)]


def serve(pipe: Connection, run_seed: int, keep: str | None, names: list[str]) -> None:
    """Answer (target, number) with (words, verdict) until None comes."""
    warnings.simplefilter("ignore")
    tempfile.tempdir = "/dev/shm" if Path("/dev/shm").is_dir() else None
    targets = {name: TARGETS[name] for name in names}
    seeds = {name: target.seeds() for name, target in targets.items()}
    originals = {(name, seed.name): _original(targets[name], seed) for name in names for seed in seeds[name]}
    signal.signal(signal.SIGPROF, _hang)
    _limit_memory()
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        name, number = asked
        seed = seed_of(targets[name], seeds[name], number)
        files, words = damaged(targets[name], seed, run_seed, number)
        verdict = _run(targets[name], seed, files, originals[name, seed.name])
        if keep and verdict.kind == "failure":
            write(Path(keep) / f"{name}-{number}", files)
        pipe.send((f"{seed.name} | {words}", verdict))


def write(folder: Path, files: Files) -> None:
    """Files below a new folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _original(target: Target, seed: Seed) -> Reading:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "run", seed.files)
        return target.read(Path(folder) / "run", seed)


def _run(target: Target, seed: Seed, files: Files, original: Reading) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run").mkdir()
        write(Path(folder) / "run", sealed(target, seed, files))
        start = _reset_peak()
        try:
            with _limited_time():
                found = target.read(Path(folder) / "run", seed)
            verdict = judge(target, seed, files, original, found)
        except Surrogate3dError as error:
            verdict = _refusal(error)
        except HangError:
            verdict = Verdict("failure", f"took more than {SECONDS:g} s")
        except BaseException as error:
            verdict = Verdict("failure", f"{type(error).__name__}: {error}"[:300] + _place(error))
        peak = _status("VmHWM") - start
    if peak > MEMORY_BYTES and verdict.kind != "failure":
        return Verdict("failure", f"used {peak / 1e9:.2g} GB", peak)
    return Verdict(verdict.kind, verdict.words, peak)


def _refusal(error: BaseException) -> Verdict:
    """A refusal, unless what was refused is that memory ran out."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or _OUT_OF_MEMORY.search(str(cause)):
            return Verdict("failure", f"asked for more than 1 GB, then refused: {str(error)[:200]}")
        cause = cause.__cause__ or cause.__context__
    return Verdict("refused", f"{type(error).__name__}: {error}"[:300])


def _place(error: BaseException) -> str:
    """The last line of ours that an exception passed."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "surrogate3d" in file:
            place = f" [{Path(file).name}:{trace.tb_lineno}]"
        trace = trace.tb_next
    return place


@contextmanager
def _limited_time() -> Iterator[None]:
    """Processor time: other work on the machine does not make a case hang."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _hang(number: int, frame: FrameType | None) -> None:
    raise HangError


def _limit_memory() -> None:
    limit = _status("VmSize") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _reset_peak() -> int:
    """Bytes in memory now; from here on VmHWM counts anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    return 0
