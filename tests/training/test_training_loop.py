"""The loop learns, repeats itself, and never sees what was kept out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import LINE, TABLE, make_field, random_network, table_responses

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.training import loop
from surrogate3d.training.loop import TrainConfig, train_member
from surrogate3d.training.realisations import TrainingPlan, example

DOSES = torch.tensor(DOSE_LADDER)
PHOTON = torch.tensor([[LINE.alpha_x], [LINE.beta_x**0.5]])
QUICK = TrainConfig(steps=8, members=1, width=4, blocks=1, threads=1, voxels_per_step=64, calibration_fraction=0.2)


@pytest.fixture(scope="module")
def examples():
    low, high = make_field(seed=1, tracks=60), make_field(seed=2, tracks=4000)
    voxels = np.argwhere(high.dose > 0.3 * high.dose.max())
    some = voxels[np.random.default_rng(1).permutation(len(voxels))[:120]]
    plan = TrainingPlan(low, high, table_responses(high, some, factor=1.06))
    return [example(plan, (TABLE,), DOSE_LADDER, (50.0,), 1, np.random.default_rng(1))]


def weights(trained):
    return torch.cat([value.flatten() for value in trained.network.state_dict().values()])


def error(network, plan):
    """RMS relative error at the labelled voxels of the real run."""
    voxels = torch.isfinite(plan.label[0, 0]).nonzero()
    i, j, k = voxels.unbind(1)
    with torch.no_grad():
        found = network(plan.inputs[0], voxels, PHOTON).effect(DOSES)
    return float((found / plan.label[:, :, i, j, k] - 1).square().mean().sqrt())


def test_training_beats_its_start_and_grouped_pooling(examples):
    """The truth is 6 % above the mixing rule: pooling alone cannot know it."""
    start = train_member(examples, PHOTON, DOSES, replace(QUICK, steps=1, learning_rate=1e-9), seed=1)
    trained = train_member(examples, PHOTON, DOSES, replace(QUICK, steps=60, width=8, learning_rate=1e-2), seed=1)
    grouped = examples[0].weight[0] ** -0.5
    assert error(start.network, examples[0]) > 0.05
    assert error(trained.network, examples[0]) < min(grouped, 0.7 * error(start.network, examples[0]))
    assert trained.losses[-1] < 0.8 * trained.losses[0]


def test_the_same_seed_gives_the_same_weights_and_another_others(examples):
    first, again, other = (train_member(examples, PHOTON, DOSES, QUICK, seed) for seed in (5, 5, 6))
    assert torch.equal(weights(first), weights(again))
    assert first.losses == again.losses
    assert first.std_scale == again.std_scale
    assert not torch.equal(weights(first), weights(other))


def test_voxels_kept_out_for_calibration_teach_nothing(examples):
    (plan,) = examples
    _, held = loop._hold_out(plan, QUICK.calibration_fraction, np.random.default_rng(5))
    i, j, k = held.unbind(1)
    assert len(held) == round(0.2 * int(torch.isfinite(plan.label[0, 0]).sum()))
    nonsense = plan.label.clone()
    nonsense[:, :, i, j, k] *= 17.0
    straight = train_member([plan], PHOTON, DOSES, QUICK, seed=5)
    spoiled = train_member([replace(plan, label=nonsense)], PHOTON, DOSES, QUICK, seed=5)
    assert torch.equal(weights(straight), weights(spoiled))
    assert straight.n_calibration == spoiled.n_calibration == len(held)
    assert straight.std_scale != spoiled.std_scale


def test_the_calibration_is_the_rms_of_error_over_deviation(examples):
    (plan,) = examples
    trained = train_member([plan], PHOTON, DOSES, QUICK, seed=5)
    _, held = loop._hold_out(plan, QUICK.calibration_fraction, np.random.default_rng(5))
    i, j, k = held.unbind(1)
    with torch.no_grad():
        answer = trained.network(plan.inputs[0], held, PHOTON)
    ratio = (answer.effect(DOSES) / plan.label[:, :, i, j, k] - 1) / answer.log_std.exp()[:, None]  # labels have no se
    assert trained.std_scale == pytest.approx(float(ratio.square().mean().sqrt()), rel=1e-5)


def test_without_voxels_to_calibrate_the_deviation_is_left_as_it_is(examples):
    trained = train_member(examples, PHOTON, DOSES, replace(QUICK, calibration_fraction=0.0), seed=1)
    assert (trained.std_scale, trained.n_calibration) == (1.0, 0)


def test_channels_are_normalised(examples):
    """The mean and deviation of the channels over the training inputs become 0 and 1."""
    network = train_member(examples, PHOTON, DOSES, QUICK, seed=1).network
    planes = [loop.channels(x, PHOTON[0, 0]).transpose(0, 1).flatten(1) for e in examples for x in e.inputs]
    values = torch.cat(planes, dim=1)
    spread = values.std(dim=1)
    varies = spread > 1e-2
    assert int(varies.sum()) > 10
    z = (values.mean(dim=1) - network.channel_mean) / spread
    assert float(z[varies].abs().max()) < 0.1  # every fifth voxel is used
    torch.testing.assert_close(network.channel_std[varies], spread[varies], rtol=0.1, atol=0.0)


def test_without_labels_it_refuses(examples):
    (plan,) = examples
    with pytest.raises(ValueRangeError, match="no labelled voxel"):
        train_member([replace(plan, label=plan.label * float("nan"))], PHOTON, DOSES, QUICK, seed=1)


def test_a_steep_likelihood_does_not_slow_the_rest():
    network = random_network()
    for name, p in network.named_parameters():
        p.grad = torch.full_like(p, 1e4 if name.startswith("spread") else 1e-4)
    loop.clip_gradients(network)
    norms = {True: 0.0, False: 0.0}
    for name, p in network.named_parameters():
        norms[name.startswith("spread")] += float(p.grad.square().sum())
        if not name.startswith("spread"):
            torch.testing.assert_close(p.grad, torch.full_like(p, 1e-4))
    assert norms[True] ** 0.5 == pytest.approx(1.0, rel=1e-4)


def test_progress_is_told_after_every_step(examples):
    told = []
    train_member(examples, PHOTON, DOSES, QUICK, seed=1, progress=lambda done, of: told.append((done, of)))
    assert told == [(n, QUICK.steps) for n in range(1, QUICK.steps + 1)]


@pytest.mark.parametrize("steps", [1, 2, 10, 20])
def test_any_number_of_steps_can_be_trained(examples, steps):
    assert train_member(examples, PHOTON, DOSES, replace(QUICK, steps=steps, voxels_per_step=2), seed=1).losses


@pytest.mark.parametrize(
    "change",
    [
        *({name: 0} for name in ("steps", "members", "copies", "voxels_per_step", "width", "threads")),
        {"calibration_fraction": 1.0},
        {"calibration_fraction": -0.1},
        {"learning_rate": 0.0},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(QUICK, **change)
