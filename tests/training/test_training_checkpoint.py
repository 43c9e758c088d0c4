"""A training that is killed goes on to identical weights, and a checkpoint of another one is refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from surrogate3d.errors import StoreError, UnsupportedError
from surrogate3d.training import checkpoint as module
from surrogate3d.training.checkpoint import Checkpoint
from surrogate3d.training.early_stop import EarlyStop

STEPS, EVERY = 40, 3
FINGERPRINT = "f" * 64


def objects(seed=1, width=4, steps=STEPS):
    torch.manual_seed(seed)
    layers = (nn.Conv3d(2, width, 3, padding=1), nn.BatchNorm3d(width), nn.Dropout(0.2), nn.Conv3d(width, 1, 1))
    network = nn.Sequential(*layers)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    return network, optimiser, schedule, np.random.default_rng(seed)


def train(path=None, steps=STEPS, kill_at=None):
    """A loop with every kind of randomness: numpy's for the data, torch's for dropout; batch statistics as buffers."""
    torch.set_num_threads(1)
    network, optimiser, schedule, rng = objects()
    history, stop, done = [], EarlyStop(0), 0
    if path is not None and (
        found := Checkpoint.restore(path, network, optimiser, schedule, rng, fingerprint=FINGERPRINT)
    ):
        done, history = found.step, found.extra["history"]
        stop.load_state(found.extra["early_stop"])
    for step in range(done + 1, steps + 1):
        inputs = torch.from_numpy(rng.normal(size=(2, 2, 5, 4, 3))).float()
        loss = (network(inputs) - inputs.mean(dim=1, keepdim=True)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        history.append(float(loss.detach()))
        stop.judge(step, history[-1], network)
        if path is not None and step % EVERY == 0:
            extra = {"history": history, "early_stop": stop.state()}
            Checkpoint.write(path, network, optimiser, schedule, rng, step, extra, fingerprint=FINGERPRINT)
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    return network, history, stop, (optimiser, schedule, rng)


def require_identical(one, other):
    for first, second in (
        (one[0].state_dict(), other[0].state_dict()),
        (one[2].state()["best"], other[2].state()["best"]),
    ):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert one[1] == other[1]
    assert (one[2].best_step, one[2].best_error) == (other[2].best_step, other[2].best_error)


@pytest.fixture(scope="module")
def undisturbed():
    return train()


@pytest.fixture
def quick(monkeypatch):
    """Waiting for the disk is shown in the tests of `io.atomic`."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


KILLED = """
import random, sys
sys.path.insert(0, sys.argv[1])
from test_training_checkpoint import STEPS, train
train(sys.argv[2], kill_at=random.Random(int(sys.argv[3])).randrange(1, STEPS))
"""

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_training_checkpoint as tests
def half(tensors, path, metadata):
    save(tensors, path, metadata)
    with open(path, "r+b") as stream:
        stream.truncate(Path(path).stat().st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)
save, tests.module.save_file = tests.module.save_file, half
tests.train(sys.argv[2])
"""


def killed(script, path, *arguments):
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(path), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_killed_at_random_steps_it_ends_with_identical_weights(tmp_path, undisturbed):
    path = tmp_path / "checkpoint.safetensors"
    killed(KILLED, path, 2)
    assert path.is_file()
    require_identical(train(path), undisturbed)


def test_killed_while_a_checkpoint_is_written_it_goes_on_from_the_one_before(tmp_path, undisturbed, quick):
    path = tmp_path / "checkpoint.safetensors"
    train(path, steps=7)
    before = path.read_bytes()
    killed(KILLED_WHILE_WRITING, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
    require_identical(train(path), undisturbed)
    assert list(tmp_path.iterdir()) == [path]  # what the killed process was writing is gone


@pytest.mark.parametrize("stops", [(1,), (3,), (10, 11, 12, 39), tuple(range(3, STEPS, 3))])
def test_stopped_anywhere_and_any_number_of_times_it_ends_the_same(tmp_path, undisturbed, quick, stops):
    for steps in stops:
        train(tmp_path / "checkpoint", steps=steps)
        torch.manual_seed(99)  # whatever else the process drew
    require_identical(train(tmp_path / "checkpoint"), undisturbed)


def test_writing_checkpoints_changes_nothing(tmp_path, undisturbed, quick):
    require_identical(train(tmp_path / "checkpoint"), undisturbed)


def test_everything_is_put_back(tmp_path, quick):
    path = tmp_path / "checkpoint"
    network, _, _, (optimiser, schedule, rng) = train(path, steps=EVERY)
    others = objects(seed=5)
    found = Checkpoint.restore(path, *others, fingerprint=FINGERPRINT)
    assert found.step == EVERY
    assert torch.equal(torch.get_rng_state(), load_file(path)["state.torch_rng.cpu"])
    assert others[3].bit_generator.state == rng.bit_generator.state
    assert others[2].state_dict() == schedule.state_dict()
    kept, put_back = optimiser.state_dict(), others[1].state_dict()
    assert put_back["param_groups"] == kept["param_groups"]
    for n, state in kept["state"].items():
        assert all(torch.equal(value, put_back["state"][n][name]) for name, value in state.items())
    assert all(torch.equal(value, others[0].state_dict()[name]) for name, value in network.state_dict().items())


def test_without_a_checkpoint_the_training_begins(tmp_path):
    given = objects()
    before = given[3].bit_generator.state
    assert Checkpoint.restore(tmp_path / "none", *given, fingerprint=FINGERPRINT) is None
    assert given[3].bit_generator.state == before


def written(folder):
    path = folder / "checkpoint"
    Checkpoint.write(path, *objects(), 5, {"history": [1.0]}, fingerprint=FINGERPRINT)
    return path


def require_refused(path, message, given=None, fingerprint=FINGERPRINT):
    """In one line, and nothing is touched."""
    given = given or objects(seed=7)
    weights = {name: value.clone() for name, value in given[0].state_dict().items()}
    rng, torch_rng = given[3].bit_generator.state, torch.get_rng_state()
    with pytest.raises(StoreError, match=message) as caught:
        Checkpoint.restore(path, *given, fingerprint=fingerprint)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, weights[name]) for name, value in given[0].state_dict().items())
    assert given[3].bit_generator.state == rng
    assert torch.equal(torch.get_rng_state(), torch_rng)


def test_a_checkpoint_of_another_training_is_refused(tmp_path, quick):
    require_refused(written(tmp_path), "another training: configuration or data differ", fingerprint="0" * 64)


def test_a_checkpoint_of_another_network_is_refused(tmp_path, quick):
    require_refused(written(tmp_path), r"0\.weight has shape \(4, 2, 3, 3, 3\) there and \(6,", objects(width=6))


@pytest.mark.parametrize("what", ["torch", "device"])
def test_a_checkpoint_of_another_machine_is_refused(tmp_path, quick, monkeypatch, what):
    path, machine = written(tmp_path), module._machine
    monkeypatch.setattr(module, "_machine", lambda network: machine(network) | {what: "other"})
    require_refused(path, f"was written with {what} .* and this is other")


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(bytes(data))


def change_header(path):
    data = path.read_bytes()
    changed = data.replace(b'history\\": [1.0]', b'history\\": [2.0]')
    assert changed != data
    path.write_bytes(changed)


def strip_header(path):
    save_file(load_file(path), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "no checkpoint of a training"),
        (flip, "is damaged"),
        (change_header, "is damaged"),
        (strip_header, "no checkpoint of a training"),
        (lambda path: path.write_bytes(b""), "no checkpoint of a training"),
        (lambda path: path.write_text("text\n" * 100), "no checkpoint of a training"),
        (lambda path: (path.unlink(), path.mkdir()), "no checkpoint of a training"),
    ],
)
def test_what_is_damaged_or_foreign_is_refused(tmp_path, quick, spoil, message):
    path = written(tmp_path)
    spoil(path)
    require_refused(path, message)


def test_a_state_that_is_no_data_is_refused_and_the_old_checkpoint_stays(tmp_path, quick):
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(UnsupportedError, match=r"state\.extra\.f is a function"):
        Checkpoint.write(path, *objects(), 6, {"f": lambda: 0}, fingerprint=FINGERPRINT)
    assert path.read_bytes() == before
