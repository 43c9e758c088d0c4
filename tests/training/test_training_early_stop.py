"""Stopping when the validation error no longer falls, with the weights that were best."""

import json

import pytest
import torch
from torch import nn

from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.training.early_stop import EarlyStop
from surrogate3d.training.state_tree import decode, encode


def network_of(value):
    network = nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def judged(stop, errors):
    """Judge errors at steps 1, 2, ...; the weight is the step."""
    return [stop.judge(step, error, network_of(step)) for step, error in enumerate(errors, start=1)]


def weight(stop):
    network = network_of(-1.0)
    stop.load_best(network)
    return float(network.weight.detach())


def test_it_waits_for_its_patience_and_gives_the_best_weights_back():
    stop = EarlyStop(2)
    assert judged(stop, [3.0, 1.0, 2.0]) == [True, True, False]
    assert not stop.done
    assert not stop.judge(4, 1.0, network_of(4))  # as good is no gain
    assert stop.done
    assert (stop.best_step, stop.best_error, weight(stop)) == (2, 1.0, 2.0)


def test_a_gain_begins_the_patience_anew():
    stop = EarlyStop(2)
    judged(stop, [1.0, 2.0, 0.9, 2.0])
    assert not stop.done


def test_a_small_gain_is_none_where_more_is_asked_for():
    stop = EarlyStop(1, least_gain=0.1)
    assert judged(stop, [1.0, 0.95]) == [True, False]
    assert stop.done
    assert judged(EarlyStop(1, least_gain=0.1), [1.0, 0.89]) == [True, True]


def test_without_patience_it_never_stops():
    stop = EarlyStop(0)
    judged(stop, [1.0] + [2.0] * 50)
    assert not stop.done
    assert weight(stop) == 1.0


def test_an_error_that_is_no_number_is_never_the_best():
    stop = EarlyStop(2)
    assert judged(stop, [float("nan"), float("inf")]) == [False, False]
    assert stop.done
    assert weight(stop) == -1.0


def test_later_training_does_not_change_the_best_weights():
    stop, network = EarlyStop(2), network_of(1.0)
    stop.judge(1, 1.0, network)
    with torch.no_grad():
        network.weight.zero_()
    assert weight(stop) == 1.0


@pytest.mark.parametrize("errors", [[], [1.0, 2.0]])
def test_its_state_survives_a_checkpoint(errors):
    stop, other = EarlyStop(2), EarlyStop(2)
    judged(stop, errors)
    plain, tensors = encode(stop.state())
    other.load_state(decode(json.loads(json.dumps(plain)), tensors))
    for each in (stop, other):
        each.judge(3, 5.0, network_of(3))
    assert (other.done, other.best_step, other.best_error) == (stop.done, stop.best_step, stop.best_error)
    assert weight(other) == weight(stop)


@pytest.mark.parametrize(("patience", "gain"), [(-1, 0.0), (1, -0.1), (1, 1.0)])
def test_impossible_settings_are_refused(patience, gain):
    with pytest.raises(ConfigError, match="patience >= 0"):
        EarlyStop(patience, gain)


def test_a_negative_error_is_refused():
    with pytest.raises(ValueRangeError, match="at step 3"):
        EarlyStop(1).judge(3, -1.0, network_of(0.0))
