"""A campaign on a cluster whose processes are killed at random, and started again.

As a program it is one client: `python campaign_kills.py ADDRESS FOLDER VOXELS`.
"""

import os
import random
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.ledger import Ledger, response_key
from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line

BATCH, WORKERS, SEED, COST_S = 6, 2, 1, 0.015
AXES = SpectrumAxes.logarithmic(("H", "He"), n_bins=4, low_mev_u=2.0, high_mev_u=200.0)
ROLES = ("worker 0", "worker 1", "scheduler", "client")
DASK = "import sys; from distributed.cli.dask_{} import main; sys.exit(main())"


@dataclass(frozen=True)
class Paying(Gsm2Fft):
    """The FFT at two doses, which notes every voxel that it has been paid for in `bill`, and takes its time."""

    doses: tuple[float, ...] = (1.0, 2.0)
    bill: str = ""

    def settings(self):
        return {name: value for name, value in super().settings().items() if name != "bill"}

    def simulate(self, tasks, seed=0, target_se=0.01):
        time.sleep(COST_S)
        answers = super().simulate(tasks, seed, target_se)
        if self.bill:
            with Path(self.bill).open("a") as bill:
                bill.writelines(f"{task.voxel[0]}\n" for task in tasks)
        return answers


def voxels(n):
    """Voxels with spectra of their own."""
    shapes = np.random.default_rng(7).uniform(0.1, 1.0, size=(n, 2, 4))
    return [VoxelTask(shape, AXES, 2.0, ("HSG",), (index, 0, 0), "F") for index, shape in enumerate(shapes)]


def on_disk(folder, keys):
    """Keys whose response is in the ledger or in a part that waits."""
    known = Ledger(folder / "ledger").known(keys)
    return {key for key, there in zip(keys, known, strict=True) if there}


class Cluster:
    """Scheduler, workers and client as processes, by role."""

    def __init__(self, folder, n):
        self.folder, self.n = folder, n
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = (folder / "log.txt").open("wb")
        self.running = {}

    def command(self, role):
        address = f"tcp://127.0.0.1:{self.port}"
        if role == "client":
            return [__file__, address, str(self.folder), str(self.n)]
        if role == "scheduler":
            options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show"]
            return ["-c", DASK.format("scheduler"), *options]
        return ["-c", DASK.format("worker"), address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]

    def start_missing(self):
        """Start again whatever is dead; the client's success is the end."""
        for role in ("scheduler", *ROLES[:WORKERS], "client"):
            process = self.running.get(role)
            if role == "client" and process is not None and process.poll() == 0:
                return True
            if process is None or process.poll() is not None:
                paths = [str(Path(__file__).parent), *filter(None, sys.path)]
                environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "NUMBA_NUM_THREADS": "1"}
                environment |= {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1000"}
                command = [sys.executable, *self.command(role)]
                where = {"cwd": self.folder, "env": environment, "stdout": self.log, "stderr": self.log}
                self.running[role] = subprocess.Popen(command, **where)
        return False

    def kill(self, role):
        self.running[role].kill()
        self.running[role].wait()

    def stop(self):
        for process in self.running.values():
            process.kill()
            process.wait()
        self.log.close()


def under_fire(folder, n, kills, seed, limit_s):
    """Run a campaign of n voxels to its end with that many kills; who was killed, and how many voxels were paid."""
    keys = [response_key(task, cell_line("HSG"), Paying(), SEED, 0.01) for task in voxels(n)]
    lots, cluster, victims = random.Random(seed), Cluster(folder, n), []
    end, finished, last = time.monotonic() + limit_s, set(), 0
    try:
        while not cluster.start_missing():
            assert time.monotonic() < end, (folder / "log.txt").read_text()[-3000:]
            if len(victims) < kills and paid(folder) >= last + n / (kills + 4):
                time.sleep(lots.uniform(0.0, 0.1))
                victims.append(lots.choice(ROLES))
                cluster.kill(victims[-1])
                known = on_disk(folder, keys)
                assert finished <= known, f"lost after the kill of {victims}: {finished - known}"
                finished, last = known, paid(folder)
            time.sleep(0.02)
    finally:
        cluster.stop()
    return victims, paid(folder)


def paid(folder):
    """How many voxels were paid for so far."""
    bill = folder / "bill.txt"
    return bill.read_bytes().count(b"\n") if bill.exists() else 0


def main():
    import dask

    from surrogate3d.direct.campaign import conduct
    from surrogate3d.direct.campaign_dask import DaskEngine

    address, folder, n = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    dask.config.set({"distributed.comm.timeouts.connect": "10s"})
    backend = Paying(bill=str(folder / "bill.txt"))
    conduct(voxels(n), backend, Ledger(folder / "ledger"), SEED, engine=DaskEngine(scheduler=address, batch=BATCH))


if __name__ == "__main__":
    from campaign_kills import main as importable  # workers know the classes by this module's name

    importable()
