import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from campaign_kills import BATCH, SEED, WORKERS, Paying, under_fire, voxels

from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.campaign_work import Job, Work
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.ledger_lines import PART_PATTERN, part_path, read_part
from surrogate3d.errors import StoreError, UnsupportedError

pytest.importorskip("distributed", reason="Dask distributed is not installed (the extra `cluster`)")
from surrogate3d.direct.campaign_dask import DaskEngine, simulate_batch

KILLS = 6


@dataclass(frozen=True)
class Deadly(Paying):
    """Voxel 3 kills whoever simulates it, voxel 5 cannot be simulated."""

    def simulate(self, tasks, seed=0, target_se=0.01):
        if tasks[0].voxel[0] == 3:
            os._exit(9)
        if tasks[0].voxel[0] == 5:
            raise ZeroDivisionError("no such luck")
        return super().simulate(tasks, seed, target_se)


def test_kills_of_workers_scheduler_and_client_lose_nothing_and_change_nothing(tmp_path):
    n = 240
    straight = conduct(voxels(n), Paying(), Ledger(tmp_path / "straight"), SEED)
    victims, paid = under_fire(tmp_path, n, KILLS, seed=18, limit_s=150)
    assert len(victims) == KILLS
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.digest() == Ledger(tmp_path / "straight").digest()
    again = conduct(voxels(n), Paying(bill=str(tmp_path / "again.txt")), ledger, SEED)
    assert again == straight
    assert not (tmp_path / "again.txt").exists()
    assert n <= paid <= n + KILLS * WORKERS * 2 * BATCH  # what was in flight
    assert list((tmp_path / "ledger").glob(PART_PATTERN)) == []


def test_a_local_cluster_gives_what_one_process_gives_and_bad_voxels_stop_nobody(tmp_path):
    """One voxel kills its workers, one raises; the other eighteen are answered."""
    n = 20
    good = [task for task in voxels(n) if task.voxel[0] not in (3, 5)]
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
    engine = DaskEngine(workers=2, batch=5)
    made = conduct(voxels({n}), Deadly(), Ledger(Path("ledger")), SEED, engine=engine)
    print(json.dumps([[list(f.voxel), f.reason] for f in made.failures]))
"""
    (tmp_path / "campaign.py").write_text(script)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    quiet = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", "DASK_LOGGING__DISTRIBUTED": "critical"}
    out = subprocess.run(
        [sys.executable, "campaign.py"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths} | quiet, stdout=subprocess.PIPE, check=True, timeout=120,
    ).stdout  # fmt: skip
    failures = json.loads(out.splitlines()[-1])
    assert [voxel for voxel, _ in failures] == [[3, 0, 0], [5, 0, 0]]
    assert "workers died" in failures[0][1]
    assert failures[1][1] == "ZeroDivisionError: no such luck"
    assert Ledger(tmp_path / "ledger").digest() == Ledger(tmp_path / "straight").digest()
    assert len(straight.responses) == n - 2


def works(n):
    return [Work(task, (f"key-{task.voxel[0]}",)) for task in voxels(n)]


def test_a_batch_that_is_handed_out_again_is_found_done(tmp_path):
    job = Job(Paying(bill=str(tmp_path / "bill.txt")), SEED, 0.01)
    assert simulate_batch(str(tmp_path), "name", works(3), job) > 0
    assert simulate_batch(str(tmp_path), "name", works(3), job) == 0
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
