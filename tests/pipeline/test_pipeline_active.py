"""The closed loop: it ends for the right reason, and whoever kills it changes nothing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_field

from surrogate3d.direct.ledger import Ledger
from surrogate3d.errors import ConfigError, StoreError, UnknownNameError, ValueRangeError
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.model.bundle import load_bundle, save_bundle
from surrogate3d.pipeline import active_rounds
from surrogate3d.pipeline.active import run_active
from surrogate3d.pipeline.active_rounds import ActiveSettings
from surrogate3d.pipeline.active_state import opened
from surrogate3d.pipeline.design import SimulationSettings, simulated
from surrogate3d.pipeline.plan_pairs import PlanPair
from surrogate3d.pipeline.training import train
from surrogate3d.sampling import Selection
from surrogate3d.training.settings import TrainConfig

SIMULATION = SimulationSettings("zr_table", ("HSG",))
CONFIG = TrainConfig(steps=2, head_steps=2, members=1, width=4, threads=1, copies=1, tracks_levels=(50.0,))
SETTINGS = ActiveSettings(1e-6, budget=15, batch=10, n_worst=9, n_random=10, cube_mm=5.0, acquisition="adaptive")
FINISHED = [10, 15]


def stores(folder, n=1):
    """Pairs of runs of made-up plans that differ in size."""
    low, high = [], []
    for plan in range(n):
        for paths, seed, tracks in ((low, 1, 60), (high, 2, 4000)):
            path = folder / f"plan{plan}_{tracks}.field.zarr"
            write_field(make_field(10 * plan + seed, tracks, shape=(9, 8, 12 + plan), files=(path.name,)), path)
            paths.append(path)
    return low, high


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return stores(tmp_path_factory.mktemp("stores"))


def run(pair, folder, settings=SETTINGS, **more):
    given = {"simulation": SIMULATION, "config": CONFIG} | more
    return run_active(*pair, folder / "state", folder / "model.bundle", settings=settings, **given)


def outcome(folder):
    """What must not depend on interruptions: rounds without their CPU time, selections, bundles, ledger."""
    state, rounds = folder / "state", json.loads((folder / "state" / "rounds.json").read_text())["rounds"]
    for each in rounds:
        del each["core_seconds"]
    bundles = sorted(state.glob("round_*.bundle/manifest.json"))
    files = [folder / "model.bundle" / "manifest.json", state / "held_out.json", *bundles]
    return rounds, [path.read_bytes() for path in files], Ledger(state / "ledger").digest()


@pytest.fixture(scope="module")
def undisturbed(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, run(pair, folder)


def test_it_goes_on_until_the_budget_is_spent(undisturbed):
    folder, done = undisturbed
    assert done.reason == "budget"
    assert not done.met
    assert [each["labels"] for each in done.rounds] == FINISHED
    assert load_bundle(folder / "model.bundle").bundle_id == done.bundle_id == done.rounds[-1]["bundle_id"]
    assert done.failed == []
    assert done.core_seconds > 0


def test_rounds_grow_and_never_touch_what_is_held_out(undisturbed):
    folder, _ = undisturbed
    files = sorted((folder / "state").glob("round_*.selection.json"))
    selections = [Selection.from_json(json.loads(path.read_text())) for path in files]
    assert [len(s.of_role("chosen")) for s in selections] == FINISHED
    for before, after in pairwise(selections):
        assert after.of_role("chosen")[: len(before.of_role("chosen"))] == before.of_role("chosen")
    held = {v.voxel for v in selections[0].of_role("worst") + selections[0].of_role("random")}
    assert len(held) == 19
    for each in selections:
        assert not held & {v.voxel for v in each.of_role("chosen")}
        assert held == {v.voxel for v in each.voxels} - {v.voxel for v in each.of_role("chosen")}


def test_every_round_says_its_errors_and_bounds(undisturbed):
    _, done = undisturbed
    for each in done.rounds:
        assert len(each["errors"]) == 4
        assert {e["n"] + e["n_missing"] for e in each["errors"]} == {9, 10}
        assert each["bound"] is None or each["bound"] == max(e["bound"] for e in each["errors"])
    assert done.rounds[0]["core_seconds"] < done.rounds[-1]["core_seconds"]


def test_the_model_is_what_train_makes_of_the_labels_without_the_held_out_voxels(undisturbed, pair, tmp_path):
    folder, done = undisturbed
    selection = Selection.from_json(json.loads((folder / "state" / "round_002.selection.json").read_text()))
    ((low,), (high,)), name = pair, field_id(pair[1][0])
    responses = simulated(
        selection.of_role("chosen"), {name: read_field(high)}, folder / "state" / "ledger", SIMULATION
    )
    within = np.ones(read_field(high).grid.shape, dtype=bool)
    within[tuple(np.transpose([v.voxel for role in ("worst", "random") for v in selection.of_role(role)]))] = False
    plan = PlanPair(field_id(low), read_field(low), name, read_field(high), responses, within)
    assert save_bundle(train([plan], ["HSG"], CONFIG, SETTINGS.seed), tmp_path / "by_hand") == done.bundle_id


def test_it_ends_when_the_target_is_met(pair, tmp_path):
    done = run(pair, tmp_path, replace(SETTINGS, target_nrmse=0.99, n_worst=30, n_random=60))
    assert done.met
    assert [each["labels"] for each in done.rounds] == [10]
    assert done.rounds[0]["bound"] <= 0.99


def test_it_ends_when_the_cpu_hours_are_spent_after_a_whole_round(pair, tmp_path):
    done = run(pair, tmp_path, replace(SETTINGS, cpu_hours=1e-9))
    assert (done.reason, len(done.rounds)) == ("cpu_hours", 1)


def test_it_ends_when_all_candidates_are_taken(pair, tmp_path):
    done = run(pair, tmp_path, replace(SETTINGS, cube_mm=15.0, budget=400, n_worst=20, n_random=20, batch=300))
    assert done.reason == "candidates"
    assert done.rounds[-1]["labels"] < 300
    again = run(pair, tmp_path, replace(SETTINGS, cube_mm=15.0, budget=400, n_worst=20, n_random=20, batch=300))
    assert (again.reason, again.rounds) == ("candidates", done.rounds)


def test_a_larger_budget_goes_on_where_the_smaller_ended(pair, tmp_path):
    before = run(pair, tmp_path, replace(SETTINGS, budget=10))
    after = run(pair, tmp_path, SETTINGS)
    assert after.rounds[0] == before.rounds[0]
    assert [each["labels"] for each in after.rounds] == FINISHED
    assert load_bundle(tmp_path / "model.bundle").bundle_id == after.bundle_id


def test_done_is_done(undisturbed, pair, monkeypatch):
    folder, done = undisturbed
    monkeypatch.setattr(active_rounds, "train", lambda *a, **k: pytest.fail("nothing is left to train"))
    told = []
    again = run(pair, folder, report=told.append)
    assert (again.rounds, again.reason, again.bundle_id) == (done.rounds, done.reason, done.bundle_id)
    assert told == done.rounds


def test_every_plan_has_a_label_in_the_first_round(tmp_path):
    pairs = stores(tmp_path, 3)
    done = run(pairs, tmp_path, replace(SETTINGS, batch=3, budget=3))
    chosen = Selection.from_json(json.loads((tmp_path / "state" / "round_001.selection.json").read_text())).of_role(
        "chosen"
    )
    assert {v.field_id for v in chosen} == {field_id(path) for path in pairs[1]}
    assert done.rounds[0]["labels"] == 3


@pytest.mark.parametrize("acquisition", ["random", "stratified", "both", "k_centre", "lcmd", "ensemble"])
def test_voxels_can_be_chosen_in_other_ways(pair, undisturbed, tmp_path, acquisition):
    """Also then no held-out voxel is chosen; an ensemble's first round has no model to ask, and is adaptive."""
    done = run(pair, tmp_path, replace(SETTINGS, acquisition=acquisition), config=replace(CONFIG, members=2))
    assert [each["labels"] for each in done.rounds] == FINISHED
    files = [folder / "state" / "round_002.selection.json" for folder in (tmp_path, undisturbed[0])]
    other, adaptive = (Selection.from_json(json.loads(path.read_text())) for path in files)
    held = {v.voxel for role in ("worst", "random") for v in adaptive.of_role(role)}
    chosen, usual = ([v.voxel for v in each.of_role("chosen")] for each in (other, adaptive))
    assert not held & set(chosen)
    assert chosen != usual
    assert (chosen[:10] == usual[:10]) == (acquisition == "ensemble")


def test_an_ensemble_of_one_cannot_disagree(pair, tmp_path):
    with pytest.raises(ConfigError, match="at least 2 networks"):
        run(pair, tmp_path, replace(SETTINGS, acquisition="ensemble"))
    with pytest.raises(UnknownNameError, match="there are adaptive"):
        replace(SETTINGS, acquisition="farthest")


class Killed(BaseException):
    pass


STAGES = [
    *((name, True) for name in ("asked.json", "held_out.json", "round_001.selection.json", "round_001.bundle")),
    *((name, False) for name in ("held_out.json", "round_002.bundle", "rounds.json", "model.bundle")),
]


@pytest.mark.parametrize(("stage", "before"), STAGES)
def test_interrupted_at_any_stage_it_ends_the_same(undisturbed, pair, tmp_path, monkeypatch, stage, before):
    """Interrupted just before, or just after, a file of the state is put in its place."""
    from surrogate3d.io import atomic

    move = atomic._move_onto

    def interrupted(scratch, target):
        if target.name == stage:
            if not before:
                move(scratch, target)
            raise Killed
        move(scratch, target)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_move_onto", interrupted)
        with pytest.raises(Killed):
            run(pair, tmp_path)
    run(pair, tmp_path)
    assert outcome(tmp_path) == outcome(undisturbed[0])


KILLS = int(os.environ.get("SURROGATE3D_ACTIVE_KILLS", "3"))

ZYGOTE = """
import os, random, signal, sys, time
from pathlib import Path
tests, low, high, folder, kills = sys.argv[1:]
sys.path[:0] = [tests, str(Path(tests).parent)]
from test_pipeline_active import run
lot, left = random.Random(5), int(kills)
while True:
    child = os.fork()
    if not child:
        run(([Path(low)], [Path(high)]), Path(folder))
        os._exit(0)
    if left:
        time.sleep(lot.uniform(0, 1.0))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else f"ended {os.waitstatus_to_exitcode(status)}", flush=True)
    if not left:
        break
    left -= 1
"""


def test_killed_at_random_moments_it_ends_the_same(undisturbed, pair, tmp_path):
    """More kills with SURROGATE3D_ACTIVE_KILLS."""
    ((low,), (high,)), here = pair, str(Path(__file__).parent)
    command = [sys.executable, "-c", ZYGOTE, here, str(low), str(high), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ended 0", done.stderr
    assert "killed" in done.stdout
    assert outcome(tmp_path) == outcome(undisturbed[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"settings": replace(SETTINGS, seed=1)}, "settings changed"),
        ({"settings": replace(SETTINGS, batch=5)}, "settings changed"),
        ({"config": replace(CONFIG, steps=3)}, "config changed"),
        ({"simulation": replace(SIMULATION, target_se=0.02)}, "simulation changed"),
    ],
)
def test_the_state_of_another_loop_is_refused(undisturbed, pair, changed, message):
    with pytest.raises(StoreError, match=message):
        run(pair, undisturbed[0], **changed)


def test_the_state_of_other_plans_is_refused(undisturbed, pair, tmp_path):
    other = stores(tmp_path, 2)
    with pytest.raises(StoreError, match="plans changed"):
        run(([other[0][1]], [other[1][1]]), undisturbed[0])


def test_a_folder_of_something_else_is_refused(pair, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"has files and no state \(mine.txt\)"):
        run(pair, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot use .* as state folder"), opened(tmp_path / "file"):
        pass


def test_a_ledger_that_was_paid_for_before_may_be_there(undisturbed, pair, tmp_path):
    before = undisturbed[0] / "state" / "ledger"
    shutil.copytree(before, tmp_path / "state" / "ledger")
    run(pair, tmp_path)
    assert Ledger(tmp_path / "state" / "ledger").digest() == Ledger(before).digest()


def test_two_processes_do_not_share_a_state(tmp_path):
    with opened(tmp_path), pytest.raises(StoreError, match="in use by another process"), opened(tmp_path):
        pass
    with opened(tmp_path):
        pass


def test_a_damaged_state_is_refused(pair, tmp_path):
    run(pair, tmp_path, replace(SETTINGS, budget=10))
    (tmp_path / "state" / "rounds.json").write_text("{")
    with pytest.raises(StoreError, match=r"rounds.json is damaged"):
        run(pair, tmp_path)


def test_a_lost_selection_is_refused(pair, tmp_path):
    run(pair, tmp_path, replace(SETTINGS, budget=10))
    (tmp_path / "state" / "round_001.selection.json").unlink()
    with pytest.raises(StoreError, match="lacks the selection of its last round"):
        run(pair, tmp_path)


def test_an_output_of_another_is_not_replaced_unless_asked(undisturbed, pair, tmp_path):
    (tmp_path / "model.bundle").mkdir()
    with pytest.raises(StoreError, match="exists already and is not overwritten"):
        run(pair, tmp_path)
    assert not list((tmp_path / "state").iterdir())


def test_more_held_out_voxels_than_there_are_is_refused(pair, tmp_path):
    with pytest.raises(ValueRangeError, match="expected 9 worst-case and 9000 random voxels to hold out, found"):
        run(pair, tmp_path, replace(SETTINGS, n_random=9000))


def test_pairs_that_are_none_are_refused(pair, tmp_path):
    (low, high) = pair
    with pytest.raises(ConfigError, match="found 1 and 2, 1 of these different"):
        run((low, high * 2), tmp_path)
    with pytest.raises(ConfigError, match="at least one voxel of each of the 2 plans"):
        run(stores(tmp_path, 2), tmp_path, replace(SETTINGS, batch=1))


@pytest.mark.parametrize(
    "change",
    [
        *({"target_nrmse": value} for value in (0.0, 1.0)),
        *({name: 0} for name in ("budget", "batch", "n_worst", "n_random", "cpu_hours")),
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ConfigError, match="the loop needs"):
        replace(SETTINGS, **change)
