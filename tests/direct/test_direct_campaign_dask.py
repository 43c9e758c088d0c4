import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import pytest
from campaign_kills import BATCH, LOST_SCHEDULER, ROLES, SEED, WORKERS, Paying, under_fire, voxels

from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.campaign_work import Job, Work, simulate_batch
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.ledger_lines import PART_PATTERN, part_path, read_part
from surrogate3d.errors import StoreError, UnsupportedError

pytest.importorskip("distributed", reason="Dask distributed is not installed (the extra `cluster`)")
from surrogate3d.direct.campaign_dask import DaskEngine, Pace

KILLS = 20
N_DEADLY = 12


@dataclass(frozen=True)
class Deadly(Paying):
    """Voxel 3 kills whoever simulates it, 5 cannot be simulated, 6 needs too much memory."""

    def simulate(self, tasks, seed=0, target_se=0.01):
        note = f"{os.getpid()} {numba.get_num_threads()} {os.environ['OMP_NUM_THREADS']}\n"
        with Path(self.bill).with_name("threads.txt").open("a") as threads:
            threads.write(note)
        match tasks[0].voxel[0]:
            case 3:
                time.sleep(0.5)  # others wait on that worker meanwhile
                os._exit(9)
            case 5:
                raise ZeroDivisionError("no such luck")
            case 6:
                raise MemoryError("1 TB")
        return super().simulate(tasks, seed, target_se)


def test_twenty_kills_of_workers_scheduler_and_client_lose_nothing_and_change_nothing(tmp_path):
    n = 400
    straight = conduct(voxels(n), Paying(), Ledger(tmp_path / "straight"), SEED)
    victims, paid, ends = under_fire(tmp_path, n, KILLS, seed=18, limit_s=240)
    assert len(victims) == KILLS
    assert set(victims) == set(ROLES)
    assert set(ends) <= {0, LOST_SCHEDULER, -signal.SIGKILL}
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.digest() == Ledger(tmp_path / "straight").digest()
    again = conduct(voxels(n), Paying(bill=str(tmp_path / "again.txt")), ledger, SEED)
    assert again == straight
    assert not (tmp_path / "again.txt").exists()
    assert n <= paid <= n + KILLS * WORKERS * BATCH  # what was being computed
    assert list((tmp_path / "ledger").glob(PART_PATTERN)) == []


def test_what_a_lost_worker_was_at_is_done_by_another_and_the_client_goes_on(tmp_path):
    victims, _, ends = under_fire(tmp_path, 60, 2, seed=1, limit_s=120, roles=ROLES[:WORKERS])
    assert (len(victims), ends) == (2, [0])
    assert len(Ledger(tmp_path / "ledger")) == 60


def test_a_scheduler_that_is_lost_midway_is_one_clear_line_and_the_next_run_goes_on(tmp_path):
    _, paid, ends = under_fire(tmp_path, 80, 1, seed=1, limit_s=120, roles=("scheduler",))
    assert ends == [LOST_SCHEDULER, 0]
    (said,) = [line for line in (tmp_path / "client.log").read_text().splitlines() if line.startswith("client: ")]
    assert "the scheduler is lost" in said
    assert "start it and run again" in said
    assert paid <= 80 + WORKERS * BATCH
    assert len(Ledger(tmp_path / "ledger")) == 80


def test_a_local_cluster_gives_what_one_process_gives_and_bad_voxels_stop_nobody(tmp_path):
    """One voxel kills its workers, one raises, one needs too much memory; the other nine are answered."""
    bad = [3, 5, 6]
    good = [task for task in voxels(N_DEADLY) if task.voxel[0] not in bad]
    straight = conduct(good, Paying(), Ledger(tmp_path / "straight"), SEED)
    script = f"""
import json, sys
from pathlib import Path
from test_direct_campaign_dask import Deadly
from campaign_kills import SEED, voxels
from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.campaign_dask import DaskEngine
from surrogate3d.direct.ledger import Ledger
if __name__ == "__main__":
    engine, backend = DaskEngine(workers=2, batch=3), Deadly(bill="{tmp_path}/bill.txt")
    made = conduct(voxels({N_DEADLY}), backend, Ledger(Path("ledger")), SEED, engine=engine)
    print(json.dumps([[f.voxel[0], f.reason] for f in made.failures]), made.core_seconds, sep="\\n")
"""
    (tmp_path / "campaign.py").write_text(script)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    quiet = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1", "DASK_LOGGING__DISTRIBUTED": "critical"}
    quiet["DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"] = "forkserver"  # quick to replace
    out = subprocess.run(
        [sys.executable, "campaign.py"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths} | quiet, stdout=subprocess.PIPE, check=True, timeout=120,
    ).stdout  # fmt: skip
    failures, core_seconds = map(json.loads, out.splitlines())
    assert [voxel for voxel, _ in failures] == bad
    assert failures[0][1] == "its workers died or ran out of memory (KilledWorker)"
    assert failures[1][1] == "ZeroDivisionError: no such luck"
    assert failures[2][1].startswith("its workers died or ran out of memory (")
    assert Ledger(tmp_path / "ledger").digest() == Ledger(tmp_path / "straight").digest()
    assert len(straight.responses) == N_DEADLY - len(bad)
    assert 0 < core_seconds < 120
    notes = [line.split() for line in (tmp_path / "threads.txt").read_text().splitlines()]
    assert {tuple(threads) for _, *threads in notes} == {("1", "1")}
    assert len({process for process, *_ in notes}) > 2  # the dead were replaced


def test_a_batch_takes_some_seconds_by_what_voxels_took_and_the_last_ones_are_small():
    pace = Pace(most=2000)
    assert pace.size(left=10_000, threads=2) == 4  # before anything is known
    assert pace.size(left=4, threads=4) == 1
    pace.learn(0.1)
    assert pace.size(left=10_000, threads=2) == 70  # 7 s
    assert pace.size(left=100, threads=2) == 25  # four batches, so that both workers stop together
    pace.learn(0.0)  # a part that was there already says nothing
    assert pace.voxel_s == 0.1
    for _ in range(20):
        pace.learn(3600.0)
    assert pace.size(left=10_000, threads=2) == 1
    pace = Pace(most=2000)
    pace.learn(1e-6)
    assert pace.size(left=10**6, threads=2) == 2000


def test_a_back_end_may_say_how_many_voxels_make_a_batch():
    pace = Pace(most=2000, fixed=1)
    pace.learn(1e-3)
    assert pace.size(left=10_000, threads=2) == 1
    assert Pace(most=2000, fixed=50).size(left=7, threads=2) == 7


def test_a_batch_of_long_voxels_ends_early_and_says_how_far_it_came(tmp_path, monkeypatch):
    monkeypatch.setattr("surrogate3d.direct.campaign_work.LONGEST_S", 0.1)
    job = Job(Paying(cost_s=0.06), SEED, 0.01)
    assert simulate_batch(str(tmp_path), "name", works(5), job).voxels == 2
    assert len(read_part(part_path(tmp_path, "name"))[0]) == 2
    assert simulate_batch(str(tmp_path), "name", works(5), job).voxels == 2  # found
    monkeypatch.setattr("surrogate3d.direct.campaign_work.LONGEST_S", 0.0)
    assert simulate_batch(str(tmp_path), "other", works(5), job).voxels == 1


def test_no_more_than_two_batches_a_thread_are_under_way_and_all_is_done(tmp_path):
    from distributed import LocalCluster
    from distributed.diagnostics.plugin import SchedulerPlugin

    class Watching(SchedulerPlugin):
        most, seen = 0, 0

        def transition(self, key, start, finish, *args, **kwargs):
            under_way = {"waiting", "queued", "processing", "no-worker"}
            self.seen += start == "released" and finish != "forgotten"
            states = [task.state for task in self.scheduler.tasks.values()]
            self.most = max(self.most, sum(state in under_way for state in states))

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        watching = Watching()
        watching.scheduler = cluster.scheduler
        cluster.scheduler.add_plugin(watching)
        engine = DaskEngine(scheduler=cluster.scheduler_address, batch=2)
        made = conduct(voxels(60), Paying(cost_s=0.005), Ledger(tmp_path / "ledger"), SEED, engine=engine)
    assert made == conduct(voxels(60), Paying(), Ledger(tmp_path / "straight"), SEED)
    assert watching.seen >= 30  # batches
    assert 2 <= watching.most <= 4


def works(n):
    return [Work(task, (f"key-{task.voxel[0]}",)) for task in voxels(n)]


def test_a_batch_that_is_handed_out_again_is_found_done(tmp_path):
    job = Job(Paying(bill=str(tmp_path / "bill.txt")), SEED, 0.01)
    first, again = (simulate_batch(str(tmp_path), "name", works(3), job) for _ in range(2))
    assert (first.voxels, first.failed) == (again.voxels, again.failed) == (3, ())
    assert first.seconds > 0
    assert (again.seconds, again.core_seconds) == (0, 0)
    assert (tmp_path / "bill.txt").read_text() == "0\n1\n2\n"
    responses, failures = read_part(part_path(tmp_path, "name"))
    assert (sorted(responses), failures) == (["key-0", "key-1", "key-2"], {})


def test_a_part_that_a_dead_client_never_saw_is_taken_in(tmp_path):
    simulate_batch(str(tmp_path), "name", works(3), Job(Paying(), SEED, 0.01))
    ledger = Ledger(tmp_path)
    assert Counter(ledger.known(["key-0", "key-1", "key-2", "key-3"])) == {True: 3, False: 1}
    assert list(tmp_path.glob(PART_PATTERN)) == []
    assert Ledger(tmp_path).digest() == ledger.digest()


def test_a_scheduler_that_does_not_answer_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("surrogate3d.direct.campaign_dask._CONNECT_S", 1.0)
    engine = DaskEngine(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9") as raised:
        conduct(voxels(1), Paying(), Ledger(tmp_path), SEED, engine=engine)
    assert "\n" not in str(raised.value)


def test_what_is_known_already_starts_no_cluster(tmp_path):
    first = conduct(voxels(2), Paying(), Ledger(tmp_path), SEED)
    nowhere = DaskEngine(scheduler="tcp://127.0.0.1:9")
    assert conduct(voxels(2), Paying(), Ledger(tmp_path), SEED, engine=nowhere) == first


def test_without_distributed_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UnsupportedError, match=r"surrogate3d\[cluster\]"):
        DaskEngine(workers=2)


def test_a_batch_outlives_a_bad_voxel(tmp_path):
    todo = works(2)
    todo[0] = Work(replace(todo[0].task, cell_lines=("nobody",)), todo[0].keys)
    simulate_batch(str(tmp_path), "name", todo, Job(Paying(), SEED, 0.01))
    responses, failures = read_part(part_path(tmp_path, "name"))
    assert list(responses) == ["key-1"]
    assert failures["key-0"].voxel == (0, 0, 0)
    assert "nobody" in failures["key-0"].reason
