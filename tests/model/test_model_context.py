"""The first half of the network in tiles, against the slow twin on the whole field."""

import pytest
import torch
from synthetic import LINE, TABLE, make_field, random_network

from surrogate3d.model.channels import Whole, channels
from surrogate3d.model.context import (
    context_reach,
    fast_context,
    fast_contexts,
    fastest_precision,
    network_reach,
    places_reach,
)
from surrogate3d.model.groups import field_inputs
from surrogate3d.model.network import KernelNetwork, NetworkConfig

ALPHA_X, CHARGE = torch.tensor(LINE.alpha_x), torch.tensor([1, 2])
SHAPE = (46, 7, 24)
CORES = {
    "the whole": (slice(0, 46), slice(0, 7), slice(0, 24)),
    "inside": (slice(21, 26), slice(2, 4), slice(10, 14)),
    "at the first faces": (slice(0, 9), slice(0, 3), slice(0, 5)),
    "at the last faces": (slice(40, 46), slice(5, 7), slice(20, 24)),
}


@pytest.fixture(scope="module")
def inputs():
    return torch.from_numpy(field_inputs(make_field(seed=1, shape=SHAPE), (TABLE,)))


@pytest.fixture(scope="module")
def networks():
    return random_network(1), random_network(2)


def widened(core, lateral, depth):
    margins = (lateral, lateral, depth)
    return tuple(slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(core, margins, SHAPE, strict=True))


def within(inner, box):
    return tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(inner, box, strict=True))


@torch.no_grad()
def by_the_twin(network, inputs):
    return network.context(channels(inputs, ALPHA_X, CHARGE))


def test_the_reach_of_the_shipped_size():
    assert places_reach(NetworkConfig()) == (6, 2)
    assert context_reach(NetworkConfig()) == (13, 7)
    assert network_reach(NetworkConfig()) == (19, 9)


def test_the_reach_follows_the_size():
    assert context_reach(NetworkConfig(blocks=1)) == (11, 5)
    small = NetworkConfig(blocks=0, neighbourhood=(3, 3, 3), wide=(0, 0, 0))
    assert places_reach(small) == (1, 1)
    assert network_reach(small) == (12, 9)  # the widest of the fixed filters


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_a_tile_has_the_context_of_the_whole(core, inputs, networks):
    config = networks[0].config
    box, asked = widened(core, *network_reach(config)), widened(core, *places_reach(config))
    tile = inputs[(..., *box)].contiguous()
    found = list(fast_contexts(networks, tile, ALPHA_X, CHARGE, Whole.of(inputs), within(core, box)))
    for network, context in zip(networks, found, strict=True):
        expected = by_the_twin(network, inputs)
        assert context.state.shape == (2, config.width, *tile.shape[3:])
        assert context.key.shape == (2, *tile.shape[3:], config.likeness)
        state = context.state[(..., *within(asked, box))]
        torch.testing.assert_close(state, expected.state[(..., *asked)], rtol=1e-5, atol=1e-5)
        key = context.key[(slice(None), *within(asked, box))]
        torch.testing.assert_close(key, expected.key[(slice(None), *asked)], rtol=1e-5, atol=1e-5)


def test_a_voxels_numbers_lie_together(inputs, networks):
    context = fast_context(networks[0], inputs, ALPHA_X, CHARGE, Whole.of(inputs), CORES["the whole"])
    assert context.state.permute(0, 2, 3, 4, 1).is_contiguous()
    assert context.key.is_contiguous()
    assert {part.dtype for part in context} == {torch.float32}


SIZES = {
    "the shipped size": NetworkConfig(),
    "no block": NetworkConfig(width=7, blocks=0, likeness=1),
    "one block, more than one row of lanes": NetworkConfig(width=20, blocks=1, likeness=17),
    "three blocks": NetworkConfig(width=2, blocks=3, likeness=3),
}


@pytest.mark.parametrize("length", [5, 14, 33])
@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES)
def test_networks_of_any_size_have_their_context(config, length):
    torch.manual_seed(3)
    network = KernelNetwork(config)
    network.channel_mean.normal_(0, 0.1)
    network.channel_std.uniform_(0.3, 1.2)  # so small that some channels reach the bound
    inputs = torch.from_numpy(field_inputs(make_field(seed=2, shape=(6, 5, length)), (TABLE,)))
    expected = by_the_twin(network, inputs)
    found = fast_context(
        network, inputs, ALPHA_X, CHARGE, Whole.of(inputs), tuple(map(slice, (0,) * 3, (6, 5, length)))
    )
    torch.testing.assert_close(found.state, expected.state, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(found.key, expected.key, rtol=1e-5, atol=2e-5)


def test_the_whole_field_decides_which_group_is_the_primary(inputs, networks):
    other = Whole(torch.tensor([False, True]), 2.0)
    with torch.no_grad():
        expected = networks[0].context(channels(inputs, ALPHA_X, CHARGE, other))
    found = fast_context(networks[0], inputs, ALPHA_X, CHARGE, other, CORES["the whole"])
    torch.testing.assert_close(found.state, expected.state, rtol=1e-5, atol=1e-5)


def test_empty_voxels_and_groups_and_tiny_doses_have_a_context(inputs, networks):
    inputs = inputs.clone()
    inputs[:, :, :, :6] = 0.0
    inputs[0, :, :, 8] *= 1e-30
    inputs[1, :, :, 20:] = 0.0
    found = fast_context(networks[0], inputs, ALPHA_X, CHARGE, Whole.of(inputs), CORES["the whole"])
    expected = by_the_twin(networks[0], inputs)
    torch.testing.assert_close(found.state, expected.state, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(found.key, expected.key, rtol=1e-5, atol=2e-5)


def test_inputs_may_lie_in_any_order_and_threads_change_nothing(inputs, networks):
    arguments = (ALPHA_X, CHARGE, Whole.of(inputs), CORES["the whole"])
    alone = fast_context(networks[0], inputs, *arguments)
    strided = inputs.permute(0, 1, 2, 5, 4, 3).contiguous().permute(0, 1, 2, 5, 4, 3)
    assert not strided.is_contiguous()
    torch.set_num_threads(2)
    try:
        found = fast_context(networks[0], strided, *arguments)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(found.state, alone.state)
    assert torch.equal(found.key, alone.key)


def test_the_fastest_precision_is_one_that_there_is_and_is_asked_once():
    assert fastest_precision() in ("float32", "bfloat16")
    assert fastest_precision() is fastest_precision()


def test_half_precision_is_near(inputs, networks):
    arguments = (networks[0], inputs, ALPHA_X, CHARGE, Whole.of(inputs), CORES["the whole"])
    exact, rough = fast_context(*arguments), fast_context(*arguments, "bfloat16")
    apart = (rough.state - exact.state).abs()
    assert 1e-4 < float(apart.mean()) < 0.02
    assert {part.dtype for part in rough} == {torch.float32}
