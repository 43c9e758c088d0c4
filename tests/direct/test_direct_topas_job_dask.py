"""TOPAS jobs as tasks of a Dask cluster."""

import json
from dataclasses import replace

import pytest
from test_direct_topas_job_run import COMMAND, attempts, carbon

from surrogate3d.direct.campaign import conduct
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.topas_job import TopasJob

pytest.importorskip("distributed", reason="Dask distributed is not installed (the extra `cluster`)")
from surrogate3d.direct.campaign_dask import DaskEngine


def test_jobs_run_on_a_cluster_as_in_one_process_and_failures_are_paid_once(tmp_path, monkeypatch):
    tasks = [carbon(n, lines=("HSG", "V79")) for n in range(4)]
    backend = TopasJob(jobs=str(tmp_path / "jobs"), command=COMMAND, time_limit_s=60.0, histories=20_000)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({str(backend.asked(tasks[1], 0).runs[0].seed): "half"}))
    monkeypatch.setenv("STAND_IN_TOPAS", str(plan))
    done = conduct(tasks, backend, Ledger(tmp_path / "ledger"), seed=0, engine=DaskEngine(workers=2))
    assert [answer.voxel[0] for answer in done.responses] == [0, 0, 2, 2, 3, 3]
    assert [failure.voxel[0] for failure in done.failures] == [1, 1]
    assert "the last line is cut" in done.failures[0].reason
    assert [len(attempts(backend, task)) for task in tasks] == [1, 1, 1, 1]
    finished = replace(backend, command="")
    alone = conduct(tasks, finished, Ledger(tmp_path / "alone"), seed=0)
    assert alone.responses == done.responses
