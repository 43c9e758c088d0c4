"""The loop learns, repeats itself, goes on where it stopped, and never sees what was kept out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import LINE, SHAPE, TABLE, make_field, table_responses

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import StoreError, ValueRangeError
from surrogate3d.model.network import KernelNetwork
from surrogate3d.training import kernel_training, loop
from surrogate3d.training.curves import read_curves
from surrogate3d.training.head import denoise
from surrogate3d.training.loop import train_member
from surrogate3d.training.loss import effect_of
from surrogate3d.training.realisations import TrainingPlan, example
from surrogate3d.training.settings import TrainConfig

DOSES = torch.tensor(DOSE_LADDER)
PHOTON = torch.tensor([[LINE.alpha_x], [LINE.beta_x**0.5]])
QUICK = TrainConfig(
    steps=6, members=1, width=4, blocks=1, neighbourhood=(3, 3, 1), threads=1, voxels_per_step=64, head_steps=3
)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def plan():
    low, high = make_field(seed=1, tracks=60), make_field(seed=2, tracks=4000)
    voxels = np.argwhere(high.dose > 0.3 * high.dose.max())
    some = voxels[np.random.default_rng(1).permutation(len(voxels))[:60]]
    rng = np.random.default_rng(4)
    within, held = (rng.random(SHAPE) < share for share in (0.8, 0.2))
    made = TrainingPlan(low, high, table_responses(high, some, factor=1.06), within, held)
    return example(made, (TABLE,), DOSE_LADDER, (150.0,), 1, np.random.default_rng(1))


def trained(plan, config=QUICK, seed=5, **more):
    return train_member([plan], PHOTON, DOSES, config, seed, **more)


def weights(made, head=None):
    """All weights; those of the head alone, or of the kernels alone."""
    named = made.network.state_dict().items()
    return torch.cat([v.flatten() for name, v in named if head is None or name.startswith("head.") == head])


def error(network, plan):
    """RMS relative error of the denoised effect on the real run, at the voxels learnt from."""
    voxels = (plan.learnt & (plan.inputs[0][:, :, 0].sum(dim=(0, 1)) > 0)).nonzero()
    found = denoise(network, plan.inputs[0], voxels, plan.charge, PHOTON[0, 0]).effect(DOSES)
    return float((found / effect_of(plan.target[0], voxels, DOSES) - 1).clamp(-0.3, 0.3).square().mean().sqrt())


def test_the_kernels_learn_to_denoise_better_than_they_start_and_than_grouped_pooling(plan):
    start = trained(plan, replace(QUICK, steps=1, learning_rate=1e-9))
    made = trained(plan, replace(QUICK, steps=60, learning_rate=2e-2, voxels_per_step=256))
    assert error(made.network, plan) < 0.95 * min(error(start.network, plan), plan.weight[0] ** -0.5)
    assert len(made.losses) == 6


def test_the_same_seed_gives_the_same_weights_and_another_others(plan):
    first, again, other = (trained(plan, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(weights(first), weights(again))
    assert first.losses == again.losses
    assert not torch.equal(weights(first), weights(other))


def test_voxels_that_are_not_learnt_from_teach_nothing_as_targets_nor_as_labels(plan):
    """Neither those held nor those outside the part that may be learnt from; the others do."""
    assert bool((torch.isfinite(plan.label[0, 0]) & plan.held).any())
    assert bool((torch.isfinite(plan.label[0, 0]) & ~plan.learnt & ~plan.held).any())
    straight = trained(plan)
    wrong = torch.tensor([1.0, 3.0, 2.0])[:, None, None, None]  # by line: dose, dose_alpha, dose_sqrt_beta

    def spoiled(where):
        targets = tuple(torch.where(where, wrong * target, target) for target in plan.target)
        return replace(plan, target=targets, label=torch.where(where, 3 * plan.label, plan.label))

    assert torch.equal(weights(trained(spoiled(~plan.learnt))), weights(straight))
    taught = trained(spoiled(plan.learnt))
    assert not torch.equal(weights(taught, head=False), weights(straight, head=False))


def test_labels_teach_the_head_only(plan):
    straight, other = trained(plan), trained(replace(plan, label=1.1 * plan.label))
    assert torch.equal(weights(straight, head=False), weights(other, head=False))
    assert not torch.equal(weights(straight, head=True), weights(other, head=True))


class Stopped(Exception):  # noqa: N818  # it is no error
    """As a kill in the middle."""


def stop_at(step):
    def told(done, _):
        if done == step:
            raise Stopped

    return told


def test_a_training_that_was_stopped_goes_on_to_identical_weights(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_training, "CHECKPOINT_EVERY", 2)
    whole = trained(plan, state=tmp_path / "whole")
    assert torch.equal(weights(whole), weights(trained(plan)))  # keeping its state changes nothing
    for step in (3, 5):
        with pytest.raises(Stopped):
            trained(plan, state=tmp_path / "stopped", progress=stop_at(step))
    done = []
    resumed = trained(plan, state=tmp_path / "stopped", progress=lambda n, of: done.append(n))
    assert done == [5, 6]
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.losses == whole.losses
    again = trained(plan, state=tmp_path / "stopped")  # all kernels' steps are done: the head alone is trained
    assert torch.equal(weights(again), weights(whole))
    rows = [read_curves(tmp_path / f"{name}.csv") for name in ("whole", "stopped")]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == [2, 4, 6]
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in ("whole", "stopped") for kind in ("csv", "checkpoint")
    }


def test_a_name_with_a_dot_is_kept_whole(plan, tmp_path):
    """So that two trainings whose names differ after the dot do not take each other's state."""
    for n, name in enumerate(("run.v1", "run.v2")):
        trained(plan, replace(QUICK, steps=1 + n), state=tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"run.v{n}.{kind}" for n in (1, 2) for kind in ("csv", "checkpoint")
    }


@pytest.mark.parametrize("other", ["data", "settings"])
def test_the_checkpoint_of_another_training_is_refused(plan, tmp_path, other):
    config = replace(QUICK, steps=1)
    trained(plan, config, state=tmp_path / "member")
    if other == "data":
        strange, config = replace(plan, inputs=plan.inputs[:1], target=plan.target[:1]), config
    else:
        strange, config = plan, replace(config, learning_rate=1e-4)
    with pytest.raises(StoreError, match="is of another training"):
        trained(strange, config, state=tmp_path / "member")


def test_channels_are_normalised(plan):
    """The mean and deviation of the channels over the training inputs become 0 and 1."""
    network = trained(plan, replace(QUICK, steps=1, head_steps=1)).network
    planes = [loop.channels(x, PHOTON[0, 0], plan.charge).transpose(0, 1).flatten(1) for x in plan.inputs]
    values = torch.cat(planes, dim=1)
    spread = values.std(dim=1)
    varies = spread > 1e-2
    assert int(varies.sum()) > 10
    z = (values.mean(dim=1) - network.channel_mean) / spread
    assert float(z[varies].abs().max()) < 0.15  # every seventh voxel is used
    torch.testing.assert_close(network.channel_std[varies], spread[varies], rtol=0.15, atol=0.0)


def test_without_labels_it_refuses(plan):
    with pytest.raises(ValueRangeError, match="no labelled voxel"):
        trained(replace(plan, label=plan.label * float("nan")))


def test_progress_is_told_after_every_step(plan):
    told = []
    trained(plan, progress=lambda done, of: told.append((done, of)))
    assert told == [(n, QUICK.steps) for n in range(1, QUICK.steps + 1)]


@pytest.mark.parametrize("steps", [1, 2, 11])
def test_any_number_of_steps_can_be_trained(plan, steps):
    made = trained(plan, replace(QUICK, steps=steps, head_steps=steps, voxels_per_step=2))
    assert len(made.losses) == 1 + (steps > 10)
    assert bool(torch.isfinite(weights(made)).all())


def test_a_step_without_a_voxel_to_learn_from_changes_no_kernel(plan):
    """As when all that is known is shifted out of the grid; in the first step, too."""
    nowhere = replace(plan, learnt=torch.zeros_like(plan.learnt))
    torch.manual_seed(5)
    start = KernelNetwork(loop._network_config(QUICK, len(DOSES), ()))
    rng = np.random.default_rng(5)
    kernels = kernel_training.KernelTraining(start, [nowhere], PHOTON[0, 0], DOSES, QUICK, 5, rng, None)
    before = torch.cat([p.detach().flatten().clone() for p in start.parameters()])
    kernels.fit(None)
    assert torch.equal(torch.cat([p.detach().flatten() for p in start.parameters()]), before)


def test_a_voxel_of_one_band_alone_does_not_stop_the_training(plan):
    """Few tracks: empty voxels, groups and bands."""
    low, high = make_field(seed=1, tracks=3), make_field(seed=2, tracks=400)
    voxels = np.argwhere(high.dose > 0.5 * high.dose.max())[:8]
    made = TrainingPlan(low, high, table_responses(high, voxels))
    sparse = example(made, (TABLE,), DOSE_LADDER, (2.0,), 1, np.random.default_rng(1))
    assert bool(torch.isfinite(weights(trained(sparse))).all())


def test_networks_are_made_as_the_settings_say(plan):
    network = trained(plan, replace(QUICK, steps=1, head_steps=1)).network
    assert (network.config.width, network.config.blocks, network.config.neighbourhood) == (4, 1, (3, 3, 1))
    assert network.config.conditions == ()
    assert not network.training
    around = replace(plan, conditions=torch.zeros(1, *plan.learnt.shape))
    conditioned = trained(around, replace(QUICK, steps=1, head_steps=1), conditions=("pO2",)).network
    assert conditioned.config.conditions == ("pO2",)
    assert conditioned.config.max_log_correction > network.config.max_log_correction
