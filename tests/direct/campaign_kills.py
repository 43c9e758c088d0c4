"""A campaign on a cluster whose processes are killed at random, and started again.

The processes are forked from one that has imported everything, so that starting them costs milliseconds.
"""

import asyncio
import multiprocessing
import os
import random
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.ledger import Ledger, response_key
from surrogate3d.direct.let_backends import LetModel
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import StoreError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line

BATCH, WORKERS, SEED, COST_S = 6, 2, 1, 0.03
LOST_SCHEDULER = 3  # exit code of a client that said so in one line
AXES = SpectrumAxes.logarithmic(("H",), n_bins=8, low_mev_u=2.0, high_mev_u=200.0)
ROLES = ("worker 0", "worker 1", "scheduler", "client")


@dataclass(frozen=True)
class Paying(LetModel):
    """A quick model at two doses, which notes every voxel that it has been paid for in `bill`, and takes its time."""

    doses: tuple[float, ...] = (1.0, 2.0)
    name: str = "wedenberg"
    bill: str = ""
    cost_s: float = 0.0

    def settings(self):
        return {name: value for name, value in super().settings().items() if name not in ("bill", "cost_s")}

    def simulate(self, tasks, seed=0, target_se=0.01):
        time.sleep(self.cost_s)
        answers = super().simulate(tasks, seed, target_se)
        if self.bill:
            with Path(self.bill).open("a") as bill:
                bill.writelines(f"{task.voxel[0]}\n" for task in tasks)
        return answers


def voxels(n):
    """Voxels with spectra of their own."""
    shapes = np.random.default_rng(7).uniform(0.1, 1.0, size=(n, 1, 8))
    return [VoxelTask(shape, AXES, 2.0, ("HSG",), (index, 0, 0), "F") for index, shape in enumerate(shapes)]


def on_disk(folder, keys):
    """Keys whose response is in the ledger or in a part that waits."""
    known = Ledger(folder / "ledger").known(keys)
    return {key for key, there in zip(keys, known, strict=True) if there}


def paid(folder):
    """How many voxels were paid for so far."""
    bill = folder / "bill.txt"
    return bill.read_bytes().count(b"\n") if bill.exists() else 0


async def scheduler(port):
    import dask
    from distributed import Scheduler

    dask.config.set({"distributed.scheduler.allowed-failures": 1000})
    async with Scheduler(host="127.0.0.1", port=port, dashboard=False) as process:
        await process.finished()


async def worker(port, folder):
    from distributed import Worker

    async with Worker(f"tcp://127.0.0.1:{port}", nthreads=1, dashboard=False, local_directory=str(folder)) as process:
        await process.finished()


def client(port, folder, n):
    from surrogate3d.direct.campaign_dask import DaskEngine

    engine = DaskEngine(scheduler=f"tcp://127.0.0.1:{port}", batch=BATCH)
    try:
        conduct(
            voxels(n),
            Paying(bill=str(folder / "bill.txt"), cost_s=COST_S),
            Ledger(folder / "ledger"),
            SEED,
            engine=engine,
        )
    except StoreError as error:
        sys.stderr.write(f"client: {error}\n")
        sys.exit(LOST_SCHEDULER)


def play(role, port, folder, n):
    """What a process of the cluster does."""
    log = os.open(folder / f"{role}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    if role == "client":
        client(port, folder, n)
    else:
        asyncio.run(scheduler(port) if role == "scheduler" else worker(port, folder / role))


class Cluster:
    """Scheduler, workers and client as processes, by role."""

    def __init__(self, folder, n):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.given = free.getsockname()[1], folder, n
        self.folder, self.running, self.client_ends = folder, {}, []
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(["campaign_kills", "distributed", "surrogate3d.direct.campaign_dask"])

    def start_missing(self):
        """Start again whatever is dead; the client's success is the end."""
        for role in ("scheduler", *ROLES[:WORKERS], "client"):
            process = self.running.get(role)
            if process is not None and process.is_alive():
                continue
            if role == "client" and process is not None:
                self.client_ends.append(process.exitcode)
                if process.exitcode == 0:
                    return True
            self.running[role] = self.forks.Process(target=play, args=(role, *self.given))
            self.running[role].start()
        return False

    def kill(self, role):
        self.running[role].kill()
        self.running[role].join()

    def stop(self):
        for role in self.running:
            self.kill(role)

    def log(self):
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))


@contextmanager
def importable():
    """Let the process that forks import what is beside this file; the killed leave semaphores, which is no news."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def under_fire(folder, n, kills, seed, limit_s, roles=ROLES):
    """Run a campaign of n voxels to its end with that many kills of these roles.

    Who was killed, how many voxels were paid, and how the clients ended.
    """
    keys = [response_key(task, cell_line("HSG"), Paying(), SEED, 0.01) for task in voxels(n)]
    lots, cluster, victims = random.Random(seed), Cluster(folder, n), []
    end, finished, next_kill = time.monotonic() + limit_s, set(), 1.0
    try:
        with importable():
            while not cluster.start_missing():
                assert time.monotonic() < end, f"{victims}: {cluster.log()}"
                if len(victims) < kills and paid(folder) >= next_kill:
                    time.sleep(lots.uniform(0.0, 0.1))
                    victims.append(lots.choice(roles))
                    cluster.kill(victims[-1])
                    known = on_disk(folder, keys)
                    assert finished <= known, f"lost after the kill of {victims}: {finished - known}"
                    finished = known
                    left = n - len(known)  # most of them for the kills to come
                    next_kill = paid(folder) + lots.uniform(0.0, 1.5) * left / (kills - len(victims) + 4)
                time.sleep(0.02)
    finally:
        [os.kill(p.pid, 10) for p in cluster.running.values() if p.is_alive()]
        time.sleep(1)
        cluster.stop()
    return victims, paid(folder), cluster.client_ends
