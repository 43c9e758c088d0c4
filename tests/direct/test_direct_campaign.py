import re
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.campaign import collect, conduct, run
from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.ledger import Ledger
from surrogate3d.direct.let_backends import LetModel
from surrogate3d.direct.table_backends import Mkm, ZaiderRossiTable
from surrogate3d.errors import StoreError, UnknownNameError, UnusableError, ValueRangeError

FAST = Gsm2MonteCarlo(max_nuclei=512)


class Counting:
    """A back end that notes what it was paid for, and dies after some voxels."""

    name, version = FAST.name, FAST.version

    def __init__(self, dies_after=10**9):
        self.paid, self.dies_after = [], dies_after

    def settings(self):
        return FAST.settings()

    def parameters(self, line):
        return FAST.parameters(line)

    def simulate(self, tasks, seed, target_se=0.01):
        if len(self.paid) >= self.dies_after:
            raise KeyboardInterrupt
        self.paid += [(task.voxel, name) for task in tasks for name in task.cell_lines]
        return FAST.simulate(tasks, seed, target_se)


@pytest.fixture
def tasks(mixed):
    return [replace(mixed(0.2 * n), voxel=(n, 0, 0), field_id="F") for n in range(5)]


def test_an_interrupted_campaign_resumes_with_the_same_numbers_and_pays_once(tmp_path, tasks):
    straight = run(tasks, FAST, Ledger(tmp_path / "straight"), seed=1)
    first, second, third = Counting(dies_after=2), Counting(), Counting()
    with pytest.raises(KeyboardInterrupt):
        run(tasks, first, Ledger(tmp_path / "resumed"), seed=1)
    resumed = run(tasks, second, Ledger(tmp_path / "resumed"), seed=1)
    again = run(tasks, third, Ledger(tmp_path / "resumed"), seed=1)
    assert straight == resumed == again
    assert [voxel[0] for voxel, _ in first.paid + second.paid] == [0, 1, 2, 3, 4]
    assert third.paid == []


def test_order_does_not_matter(tmp_path, tasks):
    forward = run(tasks, FAST, Ledger(tmp_path / "forward"), seed=1)
    backward = run(tasks[::-1], FAST, Ledger(tmp_path / "backward"), seed=1)
    assert forward == backward[::-1]


def test_equal_spectra_are_paid_once_and_keep_their_own_place(tmp_path, tasks):
    twin = replace(tasks[0], voxel=(9, 9, 9), field_id="G", dose_gy=1.0)
    backend = Counting()
    one, other = run([tasks[0], twin], backend, Ledger(tmp_path), seed=1)
    assert len(backend.paid) == 1
    assert (other.voxel, other.field_id) == ((9, 9, 9), "G")
    assert other.explained == pytest.approx(2 * one.explained)
    assert other.survival == one.survival


def test_a_cell_line_that_comes_later_is_all_that_is_paid_for(tmp_path, tasks):
    ledger, backend = Ledger(tmp_path), Counting()
    run(tasks[:1], FAST, ledger, seed=1)
    both = run([replace(tasks[0], cell_lines=("V79", "HSG"))], backend, ledger, seed=1)
    assert [name for _, name in backend.paid] == ["V79"]
    assert [r.cell_line for r in both] == ["V79", "HSG"]


def test_progress_is_told_after_every_voxel(tmp_path, tasks):
    told = []
    run(tasks, FAST, Ledger(tmp_path), seed=1, progress=lambda done, of: told.append((done, of)))
    assert told == [(n, 5) for n in range(1, 6)]


class Picky(Counting):
    """Voxel 1 cannot be simulated, voxel 2 gives no finite numbers, voxel 3 lacks one cell line."""

    def simulate(self, tasks, seed, target_se=0.01):
        answers = super().simulate(tasks, seed, target_se)
        match tasks[0].voxel[0]:
            case 1:
                raise ValueError("energy outside\nthe tables")
            case 2:
                return [replace(answer, D10=float("inf"), effect=(float("nan"),) * 11) for answer in answers]
            case 3 if "V79" in tasks[0].cell_lines:
                raise FloatingPointError("no V79")
        return answers


def test_bad_voxels_are_noted_and_stop_no_others(tmp_path, tasks):
    tasks[3] = replace(tasks[3], cell_lines=("V79", "HSG"))
    made = conduct(tasks, Picky(), Ledger(tmp_path), 1)
    assert [(r.voxel[0], r.cell_line) for r in made.responses] == [(0, "HSG"), (3, "HSG"), (4, "HSG")]
    assert [(f.voxel[0], f.cell_line, f.reason) for f in made.failures] == [
        (1, "HSG", "ValueError: energy outside the tables"),
        (2, "HSG", "the response of voxel (2, 0, 0) is not finite: effect, D10"),
        (3, "V79", "FloatingPointError: no V79"),
    ]
    assert sorted(f.voxel[0] for f in Ledger(tmp_path).failures().values()) == [1, 2, 3]


def test_those_who_need_every_response_are_told_who_failed_after_the_others_are_done(tmp_path, tasks):
    told = []
    with pytest.raises(ValueRangeError, match=r"2 simulations failed: voxel \(1, 0, 0\) of field 'F', HSG: ValueError"):
        run(tasks, Picky(), Ledger(tmp_path), 1, progress=lambda done, of: told.append(done))
    assert told == [1, 2, 3, 4, 5]
    assert len(Ledger(tmp_path)) == 3


def test_a_failed_voxel_is_tried_again_and_then_no_longer_noted(tmp_path, tasks):
    conduct(tasks, Picky(), Ledger(tmp_path), 1)
    backend = Counting()
    again = conduct(tasks, backend, Ledger(tmp_path), 1)
    assert [voxel[0] for voxel, _ in backend.paid] == [1, 2]
    assert again == conduct(tasks, Counting(), Ledger(tmp_path / "straight"), 1)
    assert Ledger(tmp_path).failures() == {}


def test_a_spectrum_that_cannot_be_scaled_to_a_dose_is_a_failure(tmp_path, tasks):
    tasks[1] = replace(tasks[1], fluence=np.full_like(tasks[1].fluence, 5e-324))
    (failure,) = conduct(tasks, Gsm2Fft(doses=(1.0, 2.0)), Ledger(tmp_path), 1).failures
    assert failure.voxel == (1, 0, 0)
    assert "dose" in failure.reason


def test_the_ledger_is_the_same_whatever_the_order_also_where_spectra_are_equal(tmp_path, tasks):
    tasks += [replace(task, voxel=(9 - task.voxel[0], 0, 0), field_id="E") for task in tasks]
    run(tasks, FAST, Ledger(tmp_path / "forward"), 1)
    run(tasks[::-1], FAST, Ledger(tmp_path / "backward"), 1)
    assert Ledger(tmp_path / "forward").digest() == Ledger(tmp_path / "backward").digest()


def test_an_unknown_cell_line_is_refused_before_anything_is_paid(tmp_path, tasks):
    backend = Counting()
    with pytest.raises(UnknownNameError):
        run([*tasks, replace(tasks[0], cell_lines=("nobody",))], backend, Ledger(tmp_path), seed=1)
    assert backend.paid == []


def test_what_was_simulated_is_collected_task_by_task_and_costs_nothing(tmp_path, tasks):
    made = run(tasks, FAST, Ledger(tmp_path), seed=1)
    backend = Counting(dies_after=0)  # it would die of the first voxel
    assert collect(tasks, backend, Ledger(tmp_path), seed=1) == made
    assert collect(tasks[::-1], backend, Ledger(tmp_path), seed=1) == made[::-1]
    assert collect([], backend, Ledger(tmp_path), seed=1) == []


def test_collected_responses_keep_their_own_place(tmp_path, tasks):
    run(tasks[:1], FAST, Ledger(tmp_path), seed=1)
    twin = replace(tasks[0], voxel=(9, 9, 9), field_id="G", dose_gy=1.0)
    here, there = collect([tasks[0], twin], FAST, Ledger(tmp_path), seed=1)
    assert (there.voxel, there.field_id) == ((9, 9, 9), "G")
    assert there.explained == pytest.approx(2 * here.explained)
    assert there.effect == here.effect


@pytest.mark.parametrize("change", ["voxel", "line", "seed", "target_se", "back end", "settings"])
def test_what_is_missing_is_not_collected(tmp_path, tasks, change):
    """Another voxel, cell line, seed, precision or back end is another answer; an incomplete set is none."""
    run(tasks[:2], FAST, Ledger(tmp_path), seed=1)
    wanted = {
        "voxel": (tasks[:3], FAST, 1, 0.01),
        "line": ([replace(task, cell_lines=("HSG", "V79")) for task in tasks[:2]], FAST, 1, 0.01),
        "seed": (tasks[:2], FAST, 2, 0.01),
        "target_se": (tasks[:2], FAST, 1, 0.02),
        "back end": (tasks[:2], Gsm2Fft(), 1, 0.01),
        "settings": (tasks[:2], replace(FAST, max_nuclei=1024), 1, 0.01),
    }
    todo, backend, seed, target_se = wanted[change]
    message = {"voxel": "2 of 3", "line": "2 of 4"}.get(change, "0 of 2")
    with pytest.raises(StoreError, match=f"has {message} responses for {backend.name}, seed {seed} .*surrogate3d sim"):
        collect(todo, backend, Ledger(tmp_path), seed, target_se)


def test_an_unknown_cell_line_is_not_collected(tmp_path, tasks):
    with pytest.raises(UnknownNameError):
        collect([replace(tasks[0], cell_lines=("nobody",))], FAST, Ledger(tmp_path), seed=1)


class Odd(Counting):
    """A back end with a defect, in voxel 2 alone."""

    def __init__(self, defect):
        super().__init__()
        self.defect = defect

    def simulate(self, tasks, seed, target_se=0.01):
        answers = super().simulate(tasks, seed, target_se)
        return self.defect(answers) if tasks[0].voxel[0] == 2 else answers


def out_of_memory(answers):
    raise MemoryError("1 TB")


DEFECTS = {
    "nothing": (lambda answers: [], "asked for HSG and answered for nothing"),
    "no list": (lambda answers: None, "TypeError"),
    "too many": (lambda answers: answers * 2, "asked for HSG and answered for HSG in voxel .*, HSG in voxel"),
    "another line": (lambda answers: [replace(answers[0], cell_line="V79")], "asked for HSG and answered for V79"),
    "another voxel": (lambda answers: [replace(answers[0], voxel=(7, 0, 0))], r"HSG in voxel \(7, 0, 0\)"),
    "nan": (lambda answers: [replace(answers[0], alpha=float("nan"))], "not finite: alpha"),
    "short curve": (lambda answers: [replace(answers[0], survival=(0.5,))], "one value per dose"),
    "text": (lambda answers: ["0.5"], "AttributeError"),
    "memory": (out_of_memory, "MemoryError: 1 TB"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_whatever_is_wrong_with_an_answer_is_that_voxels_failure_alone(tmp_path, tasks, name):
    defect, reason = DEFECTS[name]
    made = conduct(tasks, Odd(defect), Ledger(tmp_path), 1)
    assert [r.voxel[0] for r in made.responses] == [0, 1, 3, 4]
    assert [f.voxel for f in made.failures] == [(2, 0, 0)]
    assert re.search(reason, made.failures[0].reason)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 5e-324, -1.0])
def test_a_spectrum_that_was_spoilt_is_that_voxels_failure_alone(tmp_path, tasks, value):
    """A task refuses such a fluence; but its array may be written to afterwards."""
    tasks[2].fluence[:] = value
    made = conduct(tasks, FAST, Ledger(tmp_path), 1)
    assert [r.voxel[0] for r in made.responses] == [0, 1, 3, 4]
    assert [f.voxel for f in made.failures] == [(2, 0, 0)]
    assert "dose" in made.failures[0].reason


def test_an_ion_that_the_model_does_not_know_is_that_voxels_failure_alone(tmp_path, mono):
    tasks = [replace(mono(Z, 100.0), voxel=(Z, 0, 0)) for Z in (1, 6)]
    made = conduct(tasks, LetModel(name="mcnamara"), Ledger(tmp_path), 1)
    assert [r.voxel[0] for r in made.responses] == [1]
    assert [f.voxel[0] for f in made.failures] == [6]
    assert "mcnamara is for H" in made.failures[0].reason


@pytest.mark.parametrize("energy", [0.02, 5000.0])
def test_energies_outside_of_the_validity_are_answered_or_that_voxels_failure(tmp_path, mono, energy):
    tasks = [mono(1, 100.0), replace(mono(1, energy), voxel=(1, 0, 0))]
    for backend in (Mkm(), ZaiderRossiTable(), LetModel(name="wedenberg")):
        made = conduct(tasks, backend, Ledger(tmp_path), 1)
        outside = [r for r in made.responses if r.voxel[0] == 1]
        assert made.responses[0].voxel[0] == 0
        assert len(outside) + len(made.failures) == 1


def test_what_fails_for_all_cell_lines_is_not_tried_for_each(tmp_path, tasks):
    class HopelessError(RuntimeError):
        of_all_lines = True

    def fail(answers):
        raise HopelessError("time limit")

    tasks = [replace(task, cell_lines=("HSG", "V79")) for task in tasks[2:3]]
    backend = Odd(fail)
    made = conduct(tasks, backend, Ledger(tmp_path), 1)
    assert [(f.cell_line, f.reason) for f in made.failures] == [
        (n, "HopelessError: time limit") for n in ("HSG", "V79")
    ]
    assert len(backend.paid) == 2  # once, for both


class Breathing(Counting):
    """Oxygen decides the answer, in a way that is easily told."""

    def simulate(self, tasks, seed, target_se=0.01):
        answers = super().simulate([replace(task, conditions=Conditions()) for task in tasks], seed, target_se)
        return [replace(answers[0], RBE10=tasks[0].conditions.pO2_mmHg or 0.0)]


def test_voxels_of_the_same_spectrum_with_other_oxygen_are_simulated_each(tmp_path, tasks):
    """What the ledger knows by its key is put in its place only; conditions belong to the key."""
    pressures = [None, 2.5, 40.0, 2.5]
    todo = [
        replace(tasks[0], conditions=Conditions(pO2_mmHg=p), voxel=(n, 0, 0), dose_gy=n + 1.0)
        for n, p in enumerate(pressures)
    ]
    backend = Breathing()
    made = conduct(todo, backend, Ledger(tmp_path), 1)
    assert [(r.voxel[0], r.RBE10) for r in made.responses] == [(0, 0.0), (1, 2.5), (2, 40.0), (3, 2.5)]
    assert len(backend.paid) == 3
    first, twin = made.responses[1], made.responses[3]
    assert replace(twin, voxel=first.voxel, explained=first.explained) == first
    assert collect(todo[::-1], backend, Ledger(tmp_path), 1) == made.responses[::-1]


def test_a_campaign_says_what_it_cost_also_while_it_runs(tmp_path, tasks):
    class Watching:
        def __init__(self):
            self.told = []

        def __call__(self, done, total):
            self.told.append((done, total))

        def cost(self, core_seconds, free):
            self.told.append((core_seconds, free))

    run(tasks[:2], FAST, Ledger(tmp_path), 1)
    progress = Watching()
    made = conduct(tasks, FAST, Ledger(tmp_path), 1, progress=progress)
    assert progress.told[0] == (0.0, 2)
    assert progress.told[2::2] == [(3, 5), (4, 5), (5, 5)]
    spent = [core_seconds for core_seconds, _ in progress.told[1::2]]
    assert 0 < spent[0] < spent[1] < spent[2] == made.core_seconds
    assert conduct(tasks, FAST, Ledger(tmp_path), 1).core_seconds == 0.0


class Together(Counting):
    """A back end that is given two voxels in one call, and cannot do the fourth."""

    voxels_in_one_call = 2

    def __init__(self, error):
        super().__init__()
        self.error, self.calls = error, []

    def simulate(self, tasks, seed, target_se=0.01):
        self.calls.append([task.voxel[0] for task in tasks])
        if 3 in self.calls[-1]:
            raise self.error
        return super().simulate(tasks, seed, target_se)


def test_of_voxels_in_one_call_only_the_bad_one_fails(tmp_path, tasks):
    backend = Together(ValueError("no such luck"))
    done = conduct(tasks, backend, Ledger(tmp_path / "ledger"), seed=1)
    assert backend.calls == [[0, 1], [2, 3], [2], [3], [4]]
    (failure,) = done.failures
    assert (failure.voxel, failure.reason) == ((3, 0, 0), "ValueError: no such luck")
    alone = run([task for task in tasks if task.voxel[0] != 3], FAST, Ledger(tmp_path / "alone"), seed=1)
    assert done.responses == alone


def test_what_no_voxel_can_have_ends_the_campaign_and_keeps_what_is_done(tmp_path, tasks):
    with pytest.raises(UnusableError, match="no GPU"):
        conduct(tasks, Together(UnusableError("no GPU")), Ledger(tmp_path), seed=1)
    ledger = Ledger(tmp_path)
    assert (len(ledger), ledger.failures()) == (2, {})
