"""A campaign on a cluster of processes, by Dask distributed. Any of them may be killed at any time.

Workers get batches of voxels. A worker writes what a batch gave into a part beside the ledger, whole and synced, and
answers with the time it took; only then does the client take the part into the ledger. So a finished batch is on disk
before anybody relies on it: if the worker dies afterwards, the batch is handed out again and found done; if the client
or the scheduler dies, the part waits for the next campaign. What is lost is what was in flight, at most two batches a
worker. The ledger's directory must be seen by the workers as by the client.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba

from surrogate3d.direct.campaign_work import Job, Work, failure
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.ledger_lines import part_path, write_part
from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import StoreError, Surrogate3dError, UnsupportedError

if TYPE_CHECKING:
    from distributed import Client, Future

_BATCH_S = 7.0  # aim: long beside Dask's milliseconds, short beside what a kill may cost
_LEAST_S = 1.0  # near the end
_FIRST_BATCH = 4  # voxels, before anything is known
_MOST_VOXELS, _MOST_BYTES = 2000, 4_000_000  # of a batch; spectra go through the scheduler
_IN_FLIGHT = 2  # batches a thread: one is computed, one waits there
_CONNECT_S = 30.0
_APPEARS_S = 30.0  # network file systems show new files late


@dataclass(frozen=True)
class DaskEngine:
    """An engine of `campaign.conduct`.

    Attributes:
        workers: processes to start on this machine, each of one thread; 0 to use a scheduler that runs already.
        scheduler: its address, e.g. "tcp://host:8786". Its workers should have one thread each.
        batch: voxels in a batch; 0 to aim at some seconds each.

    Raises:
        UnsupportedError: Dask distributed is not installed.
    """

    workers: int = 0
    scheduler: str = ""
    batch: int = 0

    def __post_init__(self) -> None:
        try:
            import distributed  # noqa: F401  # only whether it is there
        except ImportError as error:
            raise UnsupportedError(
                "workers and schedulers need Dask distributed; pip install 'surrogate3d[cluster]'"
            ) from error

    def __call__(self, works: Sequence[Work], job: Job, ledger: Ledger, told: Callable[[int], None]) -> None:
        """Do all the work.

        Raises:
            StoreError: the scheduler cannot be reached or is lost, or parts cannot be written or seen.
        """
        if works:
            with self._client() as client:
                _Handout(client, works, job, ledger, self.batch).run(told)

    @contextmanager
    def _client(self) -> Iterator[Client]:
        from distributed import Client, LocalCluster

        if self.scheduler:
            try:
                client = Client(self.scheduler, timeout=_CONNECT_S, set_as_default=False)
            except (OSError, ValueError) as error:
                raise StoreError(
                    f"no scheduler answers at {self.scheduler}: {error}; start it, or correct it"
                ) from error
            with client:
                yield client
            return
        with (
            LocalCluster(n_workers=self.workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


class _Handout:
    """Hands batches out, a few at a time, and takes them in."""

    def __init__(self, client: Client, works: Sequence[Work], job: Job, ledger: Ledger, batch: int) -> None:
        self._client, self._job, self._ledger, self._batch = client, job, ledger, batch
        self._todo = deque(works)
        self._again: deque[list[Work]] = deque()  # parts of batches whose worker died with them
        self._flying: dict[Future, list[Work]] = {}
        self._voxel_s = 0.0
        voxel_bytes = max(1, max(work.task.fluence.nbytes for work in works))
        self._most = max(1, min(_MOST_VOXELS, _MOST_BYTES // voxel_bytes))

    def run(self, told: Callable[[int], None]) -> None:
        from distributed import as_completed

        done, arrivals = 0, as_completed(loop=self._client.loop)
        with _scheduler_watched():
            self._hand_out(arrivals)
            for future in arrivals:
                done += self._take_in(future, self._flying.pop(future))
                told(done)
                self._hand_out(arrivals)
        self._ledger.take_in_parts()  # of workers that an earlier client left behind

    def _hand_out(self, arrivals: Any) -> None:
        """Keep every thread busy, and no more."""
        while (self._again or self._todo) and len(self._flying) < _IN_FLIGHT * self._threads():
            works = self._again.popleft() if self._again else self._next_batch()
            name = hashlib.sha256(" ".join(key for work in works for key in work.keys).encode()).hexdigest()[:32]
            where = str(self._ledger.directory.resolve())
            future = self._client.submit(simulate_batch, where, name, works, self._job, pure=False, retries=2)
            self._flying[future] = works
            arrivals.add(future)

    def _threads(self) -> int:
        """Of all workers that are there; workers may come and go."""
        threads: int = sum(self._client.nthreads().values())
        return max(1, threads)

    def _next_batch(self) -> list[Work]:
        n = self._batch or self._size()
        return [self._todo.popleft() for _ in range(min(n, len(self._todo)))]

    def _size(self) -> int:
        """Voxels that take some seconds, fewer near the end so that all workers stop together."""
        if not self._voxel_s:
            return min(_FIRST_BATCH, self._most)
        fair = max(-(-len(self._todo) // (_IN_FLIGHT * self._threads())), round(_LEAST_S / self._voxel_s))
        return max(1, min(round(_BATCH_S / self._voxel_s), self._most, fair))

    def _take_in(self, future: Future, works: list[Work]) -> int:
        """Number of voxels that are done now: those of the batch, or none if it is handed out again."""
        if future.status == "finished":
            self._learn(future.result() / len(works))
            self._await_part(works)
            return len(works)
        if future.status != "error":
            raise ConnectionError(f"a batch is {future.status}")
        error = future.exception()
        if isinstance(error, Surrogate3dError):
            raise error
        if not _fatal_for_worker(error):
            raise StoreError(f"a worker cannot go on: {type(error).__name__}: {error}; mend that and run again")
        if len(works) > 1:  # one of them may be what kills workers
            half = len(works) // 2
            self._again += [works[:half], works[half:]]
            return 0
        (work,) = works
        names = zip(work.keys, work.task.cell_lines, strict=True)
        why = f"its workers died or ran out of memory ({type(error).__name__})"
        self._ledger.record({}, {key: failure(work.task, name, why) for key, name in names})
        return 1

    def _learn(self, seconds: float) -> None:
        """A running mean, which forgets the first batches and their compilation soon."""
        if seconds > 0:
            self._voxel_s = 0.5 * (self._voxel_s + seconds) if self._voxel_s else seconds

    def _await_part(self, works: list[Work]) -> None:
        """Take the batch's part into the ledger, if another client has not done so."""
        keys = [key for work in works for key in work.keys]
        start = time.monotonic()
        while True:
            self._ledger.take_in_parts()
            failures = self._ledger.failures()
            if all(known or key in failures for key, known in zip(keys, self._ledger.known(keys), strict=True)):
                return
            if time.monotonic() - start > _APPEARS_S:
                raise StoreError(
                    f"a worker has written a part that is not seen in {self._ledger.directory}; "
                    "put the ledger where client and workers see the same files, and run again"
                )
            time.sleep(0.2)


@contextmanager
def _scheduler_watched() -> Iterator[None]:
    """Turn what Dask says of a lost scheduler into one line."""
    try:
        yield
    except Surrogate3dError:
        raise
    except (OSError, RuntimeError, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
        words = " ".join(str(error).split())
        raise StoreError(
            f"the scheduler is lost ({words}); finished batches are kept, start it and run again"
        ) from error


def _fatal_for_worker(error: BaseException | None) -> bool:
    from distributed import KilledWorker

    return isinstance(error, KilledWorker | MemoryError)


def simulate_batch(directory: str, name: str, works: Sequence[Work], job: Job) -> float:
    """What a worker does: answer a batch and leave the part; seconds that it took, 0 if it was there already.

    Args:
        directory: of the ledger.
        name: of the part, made of the keys.
        works: the voxels.
        job: how they are simulated.

    Raises:
        StoreError: the part cannot be written.
    """
    path = part_path(Path(directory), name)
    if path.exists():
        return 0.0
    start = time.perf_counter()
    responses: dict[str, VoxelResponse] = {}
    failures: dict[str, VoxelFailure] = {}
    threads = numba.get_num_threads()
    numba.set_num_threads(1)  # the workers share the machine
    try:
        for work in works:
            good, bad = job.answer(work)
            responses |= good
            failures |= bad
    finally:
        numba.set_num_threads(threads)
    write_part(path, responses, failures)
    return time.perf_counter() - start
