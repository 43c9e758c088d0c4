"""The kernels' training: step by step as its slow twin, in mixed precision, and stopped when it no longer gains."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import LINE, SHAPE, TABLE, make_field, table_responses

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import ValueRangeError
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.training import kernel_training
from surrogate3d.training.curves import read_curves
from surrogate3d.training.dataset import Geometry, coarsen, draw_coarsening
from surrogate3d.training.kernel_training import KernelTraining
from surrogate3d.training.loop import train_member
from surrogate3d.training.loss import denoising_loss, effect_of
from surrogate3d.training.realisations import TrainingPlan, example
from surrogate3d.training.settings import TrainConfig
from surrogate3d.training.stop_voxels import StopVoxels

DOSES = torch.tensor(DOSE_LADDER)
ALPHA_X = torch.tensor(LINE.alpha_x)
PHOTON = torch.tensor([[LINE.alpha_x], [LINE.beta_x**0.5]])
QUICK = TrainConfig(
    steps=12, members=1, width=4, blocks=1, neighbourhood=(3, 3, 1), threads=1, voxels_per_step=64, head_steps=3
)
PATIENT = replace(QUICK, patience=2, stop_fraction=0.2)
HALF = replace(QUICK, precision="bf16")


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr(kernel_training, "CHECKPOINT_EVERY", 2)


@pytest.fixture(scope="module")
def plan():
    low, high = make_field(seed=1, tracks=60), make_field(seed=2, tracks=4000)
    voxels = np.argwhere(high.dose > 0.3 * high.dose.max())[::9]
    held = np.random.default_rng(4).random(SHAPE) < 0.2
    made = TrainingPlan(low, high, table_responses(high, voxels, factor=1.06), None, held)
    return example(made, (TABLE,), DOSE_LADDER, (150.0,), 1, np.random.default_rng(1))


@pytest.fixture(scope="module")
def worse(plan):
    """What is learnt is wrong, what is judged is right: the more is learnt, the larger the error."""
    kept = plan.learnt & ~StopVoxels([plan], PATIENT.stop_fraction, 64, 5).others[0].learnt
    wrong = torch.tensor([1.0, 3.0, 2.0])[:, None, None, None]  # dose, dose_alpha, dose_sqrt_beta
    return replace(plan, target=tuple(torch.where(kept, target, wrong * target) for target in plan.target))


def fresh():
    torch.manual_seed(5)
    return KernelNetwork(NetworkConfig(4, 1, (3, 3, 1), n_doses=len(DOSES)))


def kernels(plan, config, state=None):
    return KernelTraining(fresh(), [plan], ALPHA_X, DOSES, config, 5, np.random.default_rng(5), state)


def weights(network):
    return torch.cat([value.flatten().float() for value in network.state_dict().values()]).clone()


def weights_by_step(plan, config, state=None):
    """Weights after each step, and those that are taken."""
    training, found = kernels(plan, config, state), {}
    training.fit(lambda step, _: found.setdefault(step, weights(training.network)))
    return found, weights(training.network)


def twin(plan, config):
    """The training of one plan in full, in one piece: no checkpoint, no judgement, no precision."""
    network, rng = fresh(), np.random.default_rng(5)
    parameters = [p for name, p in network.named_parameters() if not name.startswith("head.")]
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.101
    )
    for _ in range(config.steps):
        rng.integers(1)
        n = int(rng.integers(len(plan.inputs)))
        geometry = Geometry.draw(tuple(plan.learnt.shape[:2]), rng)
        if rng.random() < 0.5:
            geometry = geometry.leaning(plan.learnt.shape[2], rng)
        moved = geometry.apply(plan.inputs[n]), geometry.apply(plan.target[n])
        merged = draw_coarsening(rng)
        inputs, target = (coarsen(values, merged) for values in moved)
        inputs[:, :, 1] *= merged[0] * merged[1]
        learnt = coarsen(geometry.learnt(plan.learnt).float(), merged) > 0.99
        known = torch.nonzero(learnt & (inputs[:, :, 0].sum(dim=(0, 1)) > 0) & (target[0] > 0))
        voxels = known[torch.from_numpy(rng.permutation(len(known))[: config.voxels_per_step])]
        optimiser.zero_grad()
        if len(voxels):
            effect = network(inputs, voxels, plan.charge, ALPHA_X).effect(DOSES)
            (plan.weight[n] * denoising_loss(effect, effect_of(target, voxels, DOSES))).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
    return weights(network)


def test_without_patience_and_in_single_precision_nothing_but_the_steps_is_done(plan):
    """Bit for bit; neither the share kept out nor the judgements reach a training without patience."""
    expected = twin(plan, QUICK)
    for config in (QUICK, replace(QUICK, stop_fraction=0.5)):
        assert torch.equal(weights_by_step(plan, config)[1], expected)


def test_without_patience_the_last_weights_are_taken(plan):
    assert train_member([plan], PHOTON, DOSES, QUICK, 5).step == QUICK.steps


def test_without_patience_the_learning_curve_has_no_judgement(plan, tmp_path):
    kernels(plan, QUICK, tmp_path / "plain").fit(None)
    assert set(read_curves(tmp_path / "plain.csv")[0]) == {"step", "relative_loss", "learning_rate"}


def test_training_ends_when_patience_runs_out_with_the_weights_that_were_best(worse, tmp_path):
    by_step, taken = weights_by_step(worse, PATIENT, tmp_path / "state")
    curve = read_curves(tmp_path / "state.csv")
    errors = [row["stop_loss"] for row in curve]
    assert errors == sorted(errors)  # worse at every judgement, so the first was the best
    assert [row["step"] for row in curve] == [2, 4, 6]
    assert max(by_step) == 6
    assert torch.equal(taken, by_step[2])
    assert not torch.equal(taken, by_step[6])


def test_a_training_that_gains_makes_all_steps_and_takes_its_best_weights(plan):
    config = replace(PATIENT, patience=100, steps=20, learning_rate=1e-2)
    by_step, taken = weights_by_step(plan, config)
    assert max(by_step) == 20
    judged = kernels(plan, config).judged
    errors = {}
    for step in range(2, 21, 2):
        network = fresh()
        torch.nn.utils.vector_to_parameters(by_step[step][_n_buffers(network) :], network.parameters())
        errors[step] = judged.error(network, ALPHA_X, DOSES)
    assert torch.equal(taken, by_step[min(errors, key=errors.get)])
    assert min(errors.values()) < 0.999 * errors[2]


def _n_buffers(network):
    return sum(value.numel() for value in network.buffers())


def test_what_is_judged_teaches_nothing(plan):
    """Neither do the voxels of the calibration, which are not judged either."""
    config = replace(PATIENT, patience=100)
    other = StopVoxels([plan], config.stop_fraction, 64, 5).others[0]
    judged = plan.learnt & ~other.learnt
    assert 0.1 < float(judged.sum() / plan.learnt.sum()) < 0.3
    wrong = torch.tensor([1.0, 3.0, 2.0])[:, None, None, None]

    def by_step(where):
        targets = tuple(torch.where(where, wrong * target, target) for target in plan.target)
        return weights_by_step(replace(plan, target=targets), config)[0]

    straight = by_step(torch.zeros_like(judged))
    for where in (judged, plan.held):
        assert bool(where.any())
        assert all(torch.equal(found, straight[step]) for step, found in by_step(where).items())
    assert not torch.equal(by_step(other.learnt)[12], straight[12])


def test_the_error_is_that_of_the_judged_voxels_alone(plan):
    """By hand; of all realisations, since there are no more than are judged."""
    found = StopVoxels([plan], 0.2, 10_000, 5)
    judged = plan.learnt & ~found.others[0].learnt
    network, losses = fresh(), []
    for inputs, target, weight in zip(plan.inputs, plan.target, plan.weight, strict=True):
        voxels = torch.nonzero(judged & (inputs[:, :, 0].sum(dim=(0, 1)) > 0) & (target[0] > 0))
        with torch.no_grad():
            effect = network(inputs, voxels, plan.charge, ALPHA_X).effect(DOSES)
        losses.append(weight * float(denoising_loss(effect, effect_of(target, voxels, DOSES))))
    assert found.error(network, ALPHA_X, DOSES) == pytest.approx(np.mean(losses) ** 0.5, rel=1e-6)


def test_few_voxels_and_realisations_are_judged_however_large_the_plans(plan):
    many = replace(plan, inputs=plan.inputs * 9, target=plan.target * 9, weight=plan.weight * 9)
    seen = []

    class Watched(KernelNetwork):
        def forward(self, inputs, voxels, charge, alpha_x):
            seen.append(len(voxels))
            return super().forward(inputs, voxels, charge, alpha_x)

    StopVoxels([many], 0.3, 20, 5).error(Watched(fresh().config), ALPHA_X, DOSES)
    assert len(seen) == 4
    assert 10 <= min(seen) <= max(seen) <= 20


def test_plans_too_small_to_keep_a_block_out_are_refused(plan):
    one = torch.zeros_like(plan.learnt)
    one[tuple(plan.learnt.nonzero()[0])] = True
    with pytest.raises(ValueRangeError, match=r"too small.*stop_fraction.*patience = 0"):
        kernels(replace(plan, learnt=one), PATIENT)


def killed_at(step):
    """Progress that ends a training as a key pressed after this step."""

    def told(done, _):
        if done == step:
            raise KeyboardInterrupt

    return told


@pytest.mark.parametrize("config", [PATIENT, replace(HALF, patience=2, stop_fraction=0.2)], ids=["fp32", "bf16"])
def test_a_stopped_training_with_patience_goes_on_to_identical_weights(worse, tmp_path, config):
    """Killed between judgements and right after the last one; its best weights are older than its checkpoint."""
    whole = train_member([worse], PHOTON, DOSES, config, 5, state=tmp_path / "whole")
    unkept = train_member([worse], PHOTON, DOSES, config, 5)
    for step in (3, 5, 6):
        with pytest.raises(KeyboardInterrupt):
            train_member([worse], PHOTON, DOSES, config, 5, killed_at(step), tmp_path / "stopped")
    done = []
    resumed = train_member([worse], PHOTON, DOSES, config, 5, lambda n, of: done.append(n), tmp_path / "stopped")
    assert done == []  # its patience had run out
    assert whole.step == 2
    for made in (resumed, unkept):
        assert made.step == whole.step
        assert torch.equal(weights(made.network), weights(whole.network))
        assert made.losses == whole.losses
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "stopped.csv").read_bytes()


def test_a_training_in_mixed_precision_goes_on_to_identical_weights(plan, tmp_path):
    whole = weights_by_step(plan, HALF, tmp_path / "whole")[1]
    with pytest.raises(KeyboardInterrupt):
        kernels(plan, HALF, tmp_path / "stopped").fit(killed_at(7))
    by_step, resumed = weights_by_step(plan, HALF, tmp_path / "stopped")
    assert min(by_step) == 7
    assert torch.equal(resumed, whole)


def test_in_mixed_precision_the_answer_is_rounded_and_weights_and_optimiser_are_not(plan):
    training = kernels(plan, HALF)
    seen = []
    training.network.stem.register_forward_hook(lambda module, given, made: seen.append(made.dtype))
    training.fit(None)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in training.parameters} == {torch.float32}
    states = [value for state in training.optimiser.state.values() for value in state.values()]
    assert {value.dtype for value in states} == {torch.float32}
    straight = weights_by_step(plan, QUICK)[1]
    apart = (weights(training.network) - straight).abs().max()
    assert 0 < float(apart) < 0.1  # twelve steps of at most the learning rate, both ways
    assert bool(torch.isfinite(weights(training.network)).all())


def test_mixed_precision_is_judged_in_single_precision(plan):
    training = kernels(plan, replace(HALF, patience=2, stop_fraction=0.2))
    training.fit(None)
    assert training.judged is not None
    error = training.judged.error(training.network, ALPHA_X, DOSES)
    assert training.early.best_error == error
