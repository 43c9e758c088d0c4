"""Work in several processes, with one answer whatever their number."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from surrogate3d.errors import UnusableError

Task = TypeVar("Task")
Shared = TypeVar("Shared")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

_PR_SET_PDEATHSIG = 1  # sys/prctl.h of Linux

_of_all: Any = None  # in a process beside: what all tasks need, sent once


def run_each(
    work: Callable[[Shared, Task], Result],
    tasks: Sequence[Task],
    shared: Shared,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[Result]:
    """Do all tasks.

    Args:
        work: from what is shared and a task to a result; a function of a module, if there is more than one process.
        tasks: what to do.
        shared: what all tasks need, read only.
        processes: 1 works here; more start anew, so a script needs its `if __name__ == "__main__"`.
        progress: called after each task with tasks done and all.

    Returns:
        The results in the order of the tasks.

    Raises:
        UnusableError: a process ended before its work did.
    """
    if min(processes, len(tasks)) <= 1:
        results = []
        for n, task in enumerate(tasks, 1):
            results.append(work(shared, task))
            _tell(progress, n, len(tasks))
        return results
    with ProcessPoolExecutor(min(processes, len(tasks)), get_context("spawn"), _start, (shared,)) as pool:
        futures = [pool.submit(_run, work, task) for task in tasks]
        try:
            for n, future in enumerate(as_completed(futures), 1):
                future.result()
                _tell(progress, n, len(tasks))
        except BrokenProcessPool as error:
            raise UnusableError(
                "a process ended before its work did, perhaps for want of memory; ask for fewer processes"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _tell(progress: Progress | None, done: int, of: int) -> None:
    if progress is not None:
        progress(done, of)


def _start(shared: Any) -> None:
    global _of_all
    _of_all = shared
    if sys.platform == "linux":  # else a task of an hour would go on for nobody, when who asked for it was killed
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(work: Callable[[Any, Any], Any], task: Any) -> Any:
    return work(_of_all, task)
