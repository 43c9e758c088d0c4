"""The compiled second half of the network against its twin in torch."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from surrogate3d.errors import ValueRangeError
from surrogate3d.model.channels import FILTERS
from surrogate3d.model.fused import FusedField, FusedNetwork
from surrogate3d.model.fused_lanes import LANES
from surrogate3d.model.groups import BANDS
from surrogate3d.model.head import CLOSED_FORM
from surrogate3d.model.network import WIDE_FILTER, Context, KernelNetwork, NetworkConfig, is_primary, smooth_all

PHOTON = (0.31, 0.24)
SMALL = NetworkConfig(6, 1, (3, 1, 5), (1, 3, 7), likeness=3, head_width=5, n_doses=4)
NEAR_ONLY = NetworkConfig(4, 1, (3, 3, 3), (0, 0, 0), likeness=1, head_width=9, n_doses=9)
FLAT = NetworkConfig(5, 1, (1, 1, 1), (3, 3, 0), likeness=2, head_width=8, n_doses=1)
CLOSED = NetworkConfig(4, 1, (3, 3, 1), (3, 1, 1), head_width=6, n_doses=3, conditions=("oxygen", *CLOSED_FORM))
FEATURE = NetworkConfig(4, 1, (1, 3, 1), (1, 1, 3), head_width=6, n_doses=3, conditions=("x",), max_log_correction=0.6)


def random_network(config, seed=0, sharpness=0.5):
    torch.manual_seed(seed)
    network = KernelNetwork(config)
    with torch.no_grad():
        network.weights.weight.normal_(0, sharpness)
        network.prior.normal_(0, 1.0)
        for mlp in (network.head.correction, network.head.spread, network.share_factors.mlp):
            mlp[-1].weight.normal_(0, 0.5)
    return network.eval()


def random_tile(config, groups, shape, seed=0):
    """Accumulators with empty voxels, and a context."""
    rng = np.random.default_rng(seed)
    filled = rng.random((groups, len(BANDS), 1, *shape)) < 0.7
    accumulators = torch.from_numpy((0.3 * rng.random((groups, len(BANDS), 3, *shape)) * filled).astype(np.float32))
    state = torch.from_numpy(rng.normal(size=(groups, *shape, config.width)).astype(np.float32)).movedim(-1, 1)
    key = torch.from_numpy(rng.normal(size=(groups, *shape, config.likeness)).astype(np.float32))
    return accumulators, Context(state, key)


def twin(network, accumulators, context, voxels, charge, doses, conditions):
    """Effect, log_std and log_correction by torch."""
    photon = torch.tensor(PHOTON)[:, None]
    around = None if conditions is None else torch.from_numpy(conditions).float()
    with torch.no_grad():
        smoothed = smooth_all(accumulators)
        denoised = network.denoise(context, accumulators, smoothed, torch.from_numpy(voxels), torch.tensor(charge))
        answer = network.answer(denoised, photon, around)
        effect = answer.effect(torch.tensor(doses).float())
    return effect[0].numpy(), answer.log_std[0].numpy(), answer.log_correction[0].numpy()


def both(config, groups, shape, fraction=0.5, seed=0, threads=1, sharpness=0.5):
    """Answers of the compiled code, and of torch."""
    rng = np.random.default_rng(seed + 100)
    network = random_network(config, seed, sharpness)
    accumulators, context = random_tile(config, groups, shape, seed)
    needed = rng.random(shape) < fraction
    needed[0, 0, 0] = needed[-1, -1, -1] = True
    voxels, charge = np.argwhere(needed), np.arange(1, groups + 1)
    n = len(config.conditions)
    conditions = 0.3 * rng.normal(size=(n, len(voxels))) if n else None
    doses, primary = np.linspace(0.5, 8.0, config.n_doses), is_primary(accumulators).numpy()
    field = FusedField(accumulators, config, needed, threads)
    case = (field, context, voxels, primary, charge, PHOTON, doses, conditions, threads)
    return FusedNetwork(network).answer(*case), twin(network, accumulators, context, voxels, charge, doses, conditions)


def require_equal(found, expected):
    effect, log_std, log_correction = expected
    np.testing.assert_allclose(found.effect, effect, rtol=5e-6)
    np.testing.assert_allclose(found.log_std, log_std, atol=1e-5)
    np.testing.assert_allclose(found.log_correction, log_correction, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "groups", "shape", "fraction"),
    [
        (NetworkConfig(), 2, (9, 8, 20), 0.5),
        (NetworkConfig(), 1, (5, 4, 3), 1.0),
        (NetworkConfig(), 6, (7, 11, 33), 0.05),
        (NetworkConfig(8, 1, head_width=12), 2, (16, 3, 18), 0.3),
        (SMALL, 2, (7, 3, 17), 0.7),
        (NEAR_ONLY, 2, (4, 5, 16), 0.4),
        (FLAT, 3, (2, 14, 40), 0.2),
        (CLOSED, 2, (6, 5, 12), 0.5),
        (FEATURE, 1, (6, 5, 12), 0.5),
        (FEATURE, 2, (1, 1, 1), 1.0),
    ],
)
def test_the_compiled_answer_equals_that_of_torch(config, groups, shape, fraction):
    require_equal(*both(config, groups, shape, fraction))


def test_sharp_kernels_that_look_beside_the_field_are_answered_as_by_torch():
    found, (effect, *_) = both(NetworkConfig(), 2, (8, 7, 18), 0.3, sharpness=5.0)
    np.testing.assert_allclose(found.effect, effect, rtol=2e-5)  # torch is within 3e-6 of float64 here


def test_the_number_of_threads_changes_nothing():
    one, _ = both(SMALL, 2, (13, 12, 33), 0.8, threads=1)
    three, _ = both(SMALL, 2, (13, 12, 33), 0.8, threads=3)
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a, b)


def test_empty_surroundings_are_answered_as_by_torch():
    network = random_network(SMALL)
    accumulators, context = random_tile(SMALL, 2, (9, 9, 20))
    accumulators[:, :, :, :6] = 0.0
    voxels = np.argwhere(np.ones((9, 9, 20), bool))
    case = (voxels, np.array([1, 2]), np.linspace(1.0, 4.0, 4), None)
    primary = is_primary(accumulators).numpy()
    answer = FusedNetwork(network).answer(
        FusedField(accumulators, SMALL), context, voxels, primary, *case[1:2], PHOTON, case[2]
    )
    require_equal(answer, twin(network, accumulators, context, *case))


def test_voxels_may_be_asked_in_any_order_and_number():
    network = random_network(SMALL)
    accumulators, context = random_tile(SMALL, 2, (6, 7, 19))
    field = FusedField(accumulators, SMALL)
    voxels = np.argwhere(np.ones((6, 7, 19), bool))
    some = np.random.default_rng(3).permutation(len(voxels))[:50]
    rest = (np.array([True, False]), np.array([1, 2]), PHOTON, np.linspace(1.0, 4.0, 4))
    compiled = FusedNetwork(network)
    every, few = (compiled.answer(field, context, at, *rest) for at in (voxels, voxels[some]))
    np.testing.assert_array_equal(few.effect, every.effect[:, some])
    np.testing.assert_array_equal(few.log_std, every.log_std[some])
    assert compiled.answer(field, context, voxels[:0], *rest).effect.shape == (4, 0)


def test_the_beam_itself_is_the_group_that_is_said_to_be():
    network = random_network(SMALL)
    accumulators, context = random_tile(SMALL, 2, (4, 4, 9))
    voxels = np.argwhere(np.ones((4, 4, 9), bool))
    field, compiled = FusedField(accumulators, SMALL), FusedNetwork(network)
    rest = (np.array([1, 2]), PHOTON, np.linspace(1.0, 4.0, 4))
    first = compiled.answer(field, context, voxels, np.array([True, False]), *rest)
    second = compiled.answer(field, context, voxels, np.array([False, True]), *rest)
    assert np.abs(first.effect - second.effect).max() > 1e-3


def test_a_tile_with_its_halo_equals_the_whole():
    network = random_network(NetworkConfig())
    accumulators, context = random_tile(NetworkConfig(), 2, (44, 5, 40))
    core = np.zeros((44, 5, 40), bool)
    core[20:24, :, 15:25] = True
    voxels = np.argwhere(core)
    rest = (np.array([True, False]), np.array([1, 2]), PHOTON, np.linspace(0.5, 8.0, 11))
    compiled = FusedNetwork(network)
    whole = compiled.answer(FusedField(accumulators, NetworkConfig(), core), context, voxels, *rest)
    box = (slice(8, 36), slice(None), slice(6, 34))  # 12 voxels across the beam, 9 along it
    part = Context(context.state[:, :, *box], context.key[:, *box])
    tile = FusedField(accumulators[:, :, :, *box], NetworkConfig(), core[box])
    found = compiled.answer(tile, part, voxels - [8, 0, 6], *rest)
    np.testing.assert_allclose(found.effect, whole.effect, rtol=1e-6)


def test_filters_are_gaussians_with_zeros_outside():
    accumulators, _ = random_tile(SMALL, 1, (15, 14, 21))
    field = FusedField(accumulators, SMALL)
    blocks, lines = field.packed.blocks, field.packed.lines
    values = accumulators.numpy().reshape(12, 15, 14, 21).astype(float)
    planes = np.concatenate([values, values[::3].sum(axis=0, keepdims=True)])
    found = field.packed.filtered.reshape(lines.planes, len(blocks.i), len(FILTERS), LANES)
    for f, gaussian in enumerate(FILTERS):
        sigmas = (gaussian.lateral, gaussian.lateral, gaussian.depth)
        expected = np.stack([gaussian_filter(p, sigmas, mode="constant", truncate=3.0) for p in planes])
        for n, (i, j, k) in enumerate(zip(blocks.i, blocks.j, blocks.k, strict=True)):
            inside = min(LANES, 21 - k)
            np.testing.assert_allclose(found[:, n, f, :inside], expected[:, i, j, k : k + inside], rtol=2e-6, atol=1e-8)
    assert FILTERS[WIDE_FILTER].depth == 0


def test_a_field_of_another_shape_is_refused():
    accumulators, _ = random_tile(SMALL, 2, (3, 3, 4))
    with pytest.raises(ValueRangeError, match="accumulators must be"):
        FusedField(accumulators[:, :3], SMALL)
    with pytest.raises(ValueRangeError, match="expected needed voxels on the grid"):
        FusedField(accumulators, SMALL, np.ones((3, 3, 5), bool))


def test_a_question_that_does_not_fit_is_refused():
    accumulators, context = random_tile(SMALL, 2, (3, 3, 4))
    needed = np.zeros((3, 3, 4), bool)
    needed[1, 1] = True
    field, compiled = FusedField(accumulators, SMALL, needed), FusedNetwork(random_network(SMALL))
    voxels, rest, doses = np.argwhere(needed), (np.array([True, False]), np.array([1, 2]), PHOTON), np.ones(4)
    with pytest.raises(ValueRangeError, match="not packed for voxel"):
        compiled.answer(field, context, np.array([[1, 1, 1], [0, 2, 1]]), *rest, doses)
    with pytest.raises(ValueRangeError, match="outside the tile"):
        compiled.answer(field, context, np.array([[1, 1, -1]]), *rest, doses)
    with pytest.raises(ValueRangeError, match="answers at 4 doses, found 3"):
        compiled.answer(field, context, voxels, *rest, doses[:3])
    with pytest.raises(ValueRangeError, match="expected conditions of shape None"):
        compiled.answer(field, context, voxels, *rest, doses, np.ones((1, 4)))
    with pytest.raises(ValueRangeError, match="other neighbourhoods"):
        compiled.answer(FusedField(accumulators, NEAR_ONLY, needed), context, voxels, *rest, doses)
    with pytest.raises(ValueRangeError, match="expected a context of the tile"):
        compiled.answer(field, Context(context.state, context.key[:, :2]), voxels, *rest, doses)
    with pytest.raises(ValueRangeError, match="flags and charges of 2 groups"):
        compiled.answer(field, context, voxels, rest[0][:1], *rest[1:], doses)
