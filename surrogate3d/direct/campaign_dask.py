"""A campaign on a cluster of processes, by Dask distributed. Any of them may be killed at any time.

Workers get batches of voxels. A worker writes what a batch gave into a part beside the ledger, whole and synced, and
answers with the time it took; only then does the client take the part into the ledger. So a finished batch is on disk
before anybody relies on it: if the worker dies afterwards, the batch is handed out again and found done; if the client
or the scheduler dies, the part waits for the next campaign. What is lost is what was being computed, a batch a thread.
The ledger's directory must be seen by the workers as by the client.

A batch whose worker died again and again is not to blame alone: what waited on that worker is suspected with it. It
is set aside until all others are done, then tried in halves, and its single voxels at the end one by one, with nothing
else under way. Only a voxel whose worker dies then is given up.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from surrogate3d.direct.campaign import Told
from surrogate3d.direct.campaign_work import Job, Receipt, Work, simulate_batch
from surrogate3d.direct.ledger import Ledger
from surrogate3d.errors import StoreError, Surrogate3dError, UnsupportedError

if TYPE_CHECKING:
    from distributed import Client, Future

Given = TypeVar("Given")
Done = TypeVar("Done")

_BATCH_S = 7.0  # aim: long beside Dask's milliseconds, short beside what a kill may cost
_LEAST_S = 1.0  # near the end
_FIRST_BATCH = 4  # voxels, before anything is known
_MOST_VOXELS, _MOST_BYTES = 2000, 4_000_000  # of a batch; spectra go through the scheduler
_IN_FLIGHT = 2  # batches a thread: one is computed, one waits there
_RETRIES = 2  # of a batch that a full disk or lack of memory ended; deaths of workers are counted by the scheduler
_LOOK_S = 1.0  # for workers that have come meanwhile
_RECEIPT_S = 5.0
_CONNECT_S = 30.0
_LOCAL_S = 10.0  # an interrupt while the client connects waits for twice that
_APPEARS_S = 30.0  # network file systems show new files late


@dataclass
class Pace:
    """How many voxels make a batch: as many as take some seconds, fewer near the end so that all workers stop together.

    Attributes:
        most: voxels.
        fixed: voxels, whatever they take; 0 for none.
        voxel_s: running mean of what a voxel takes, which forgets the first ones and their compilation soon.
    """

    most: int
    fixed: int = 0
    voxel_s: float = 0.0

    def learn(self, voxel_s: float) -> None:
        """Take in what a voxel took, s; 0 if that is not known."""
        if voxel_s > 0:
            self.voxel_s = 0.5 * (self.voxel_s + voxel_s) if self.voxel_s else voxel_s

    def size(self, left: int, threads: int) -> int:
        """Voxels of the next batch, of those that are left."""
        if self.fixed:
            return min(self.fixed, left)
        wanted, share = _FIRST_BATCH, -(-left // (_IN_FLIGHT * threads))
        if self.voxel_s:
            wanted, share = round(_BATCH_S / self.voxel_s), max(share, round(_LEAST_S / self.voxel_s))
        return min(max(1, min(wanted, share, self.most)), left)


@dataclass(frozen=True)
class DaskEngine:
    """An engine of `campaign.conduct`.

    Attributes:
        workers: processes to start on this machine, each of one thread; 0 to use a scheduler that runs already.
        scheduler: its address, e.g. "tcp://host:8786". Its workers should have one thread each.
        batch: voxels in a batch; 0 for as many as the back end's attribute `voxels_at_once` says, or without one to aim
            at some seconds each.

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

    def __call__(self, works: Sequence[Work], job: Job, ledger: Ledger, told: Told) -> None:
        """Do all the work.

        Raises:
            StoreError: the scheduler cannot be reached or is lost, or parts cannot be written or seen.
        """
        if works:
            with _quiet(), self._client() as client, _scheduler_watched():
                at_once = self.batch or getattr(job.backend, "voxels_at_once", 0)
                _Handout(client, works, job, ledger, at_once).run(told)

    def each(self, do: Callable[[Given], Done], jobs: Sequence[Given]) -> Iterator[Done]:
        """What independent jobs give, in the order in which they end; a job whose worker dies is done again.

        Args:
            do: a function that workers can import, and that does no harm when it is done twice.
            jobs: its arguments, plain data.

        Raises:
            StoreError: the scheduler cannot be reached.
        """
        from distributed import as_completed

        with _quiet(), self._client() as client:
            futures = [client.submit(do, job, pure=False) for job in jobs]
            for future in as_completed(futures, loop=client.loop):
                yield future.result()

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
        local = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
        with (
            LocalCluster(n_workers=self.workers, **local) as cluster,
            Client(cluster, timeout=_LOCAL_S, set_as_default=False) as client,
        ):
            yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask tells of every lost connection at length; what matters of it is said by us, in one line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado.application", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except KeyboardInterrupt:
        from distributed.deploy.spec import close_clusters

        atexit.unregister(close_clusters)  # it trips over a cluster that was interrupted while it started
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Handout:
    """Hands batches out, a few at a time, and takes them in."""

    def __init__(self, client: Client, works: Sequence[Work], job: Job, ledger: Ledger, at_once: int) -> None:
        self._client, self._job, self._ledger = client, job, ledger
        self._todo = deque(works)
        self._halves: deque[list[Work]] = deque()  # of batches whose worker died with them
        self._suspects: deque[Work] = deque()  # voxels whose worker died with them, and maybe with others
        self._accused: Work | None = None  # the one that is tried now
        self._flying: dict[Future, list[Work]] = {}
        voxel_bytes = max(1, max(work.task.fluence.nbytes for work in works))
        self._pace = Pace(max(1, min(_MOST_VOXELS, _MOST_BYTES // voxel_bytes)), at_once)
        self._spent = 0.0
        self._scheduler = self._scheduler_id()

    def run(self, told: Told) -> None:
        done = 0
        with self._client.as_current():
            self._hand_out()
            while self._flying:
                for future in self._arrived():
                    done += self._take_in(future, self._flying.pop(future))
                    told(done, self._spent)
                    self._hand_out()
                self._hand_out()
        self._ledger.take_in_parts()  # of workers that an earlier client left behind

    def _arrived(self) -> list[Future]:
        """Batches that are back; none after a while without one."""
        from distributed import wait

        try:
            return list(wait(list(self._flying), timeout=_LOOK_S, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            if self._scheduler_id() != self._scheduler:  # the client may wait for an answer of the old one for ever
                raise ConnectionError("it was started anew") from None
            return []

    def _scheduler_id(self) -> str:
        scheduler = self._client.scheduler
        return str(self._client.sync(scheduler.identity, n_workers=0, callback_timeout=_CONNECT_S)["id"])

    def _hand_out(self) -> None:
        """Keep every thread busy, and no more; workers may come and go."""
        while len(self._flying) < _IN_FLIGHT * (threads := self._threads()) and (works := self._next(threads)):
            name = hashlib.sha256(" ".join(key for work in works for key in work.keys).encode()).hexdigest()[:32]
            where = str(self._ledger.directory.resolve())
            future = self._client.submit(simulate_batch, where, name, works, self._job, pure=False, retries=_RETRIES)
            self._flying[future] = works

    def _threads(self) -> int:
        """Of all workers that are there now. A local one that died while it started is not replaced by itself."""
        cluster = self._client.cluster
        if cluster is not None and len(cluster.workers) < len(cluster.worker_spec):
            cluster.scale(len(cluster.worker_spec))
        threads: dict[str, int] = self._client.sync(self._client.scheduler.ncores, callback_timeout=_CONNECT_S)
        return max(1, sum(threads.values()))

    def _next(self, threads: int) -> list[Work]:
        """The next batch, or none: first what nobody suspects, at the end the suspects, each alone."""
        if self._todo:
            return [self._todo.popleft() for _ in range(self._pace.size(len(self._todo), threads))]
        if self._halves:
            return self._halves.popleft()
        if self._suspects and not self._flying:
            self._accused = self._suspects.popleft()
            return [self._accused]
        return []

    def _take_in(self, future: Future, works: list[Work]) -> int:
        """Number of voxels that are done now; the others are handed out again."""
        receipt: Receipt | None = None
        if future.status != "error":
            try:
                receipt = future.result(timeout=_RECEIPT_S)
            except TimeoutError:  # the worker has died with the receipt, but the part is there
                pass
            except Exception:  # that of the batch, which is judged below; any other is not ours to judge
                if future.status != "error":
                    raise
        if future.status == "error":
            return self._set_aside(works, future.exception())
        return self._finish(works, receipt)

    def _finish(self, works: list[Work], receipt: Receipt | None) -> int:
        if receipt is None:
            self._ledger.take_in_parts()
            rest = [work for work in works if not all(self._ledger.known(work.keys))]
        else:
            done, rest = works[: receipt.voxels], works[receipt.voxels :]
            self._pace.learn(receipt.seconds / len(done))
            self._spent += receipt.core_seconds
            self._await_part(done, receipt.failed)
        self._todo.extendleft(reversed(rest))
        return len(works) - len(rest)

    def _set_aside(self, works: list[Work], error: BaseException | None) -> int:
        """What becomes of a batch that its worker did not survive."""
        if isinstance(error, Surrogate3dError):
            raise error
        if not _fatal_for_worker(error):
            raise StoreError(f"a worker cannot go on: {type(error).__name__}: {error}; mend that and run again")
        if works == [self._accused]:
            why = f"its workers died or ran out of memory ({type(error).__name__})"
            self._ledger.record(*works[0].given_up(why))
            return 1
        if len(works) == 1:
            self._suspects += works
        else:
            half = len(works) // 2
            self._halves += [works[:half], works[half:]]
        return 0

    def _await_part(self, works: list[Work], failed: Sequence[str]) -> None:
        """Take the batch's part into the ledger, if another client has not done so."""
        answered = [key for work in works for key in work.keys if key not in failed]
        start = time.monotonic()
        while True:
            self._ledger.take_in_parts()
            noted = self._ledger.failures(failed)
            left = [key for key in failed if key not in noted]  # another client may have had an answer for them
            if all(self._ledger.known([*answered, *left])):
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
        words = " ".join(str(error).split()).partition(":")[0]
        raise StoreError(
            f"the scheduler is lost ({words}); finished batches are kept, start it and run again"
        ) from error


def _fatal_for_worker(error: BaseException | None) -> bool:
    from distributed import KilledWorker

    return isinstance(error, KilledWorker | MemoryError)
