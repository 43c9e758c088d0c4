"""The network against slow twins and exact identities."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from synthetic import AXES, LINE, TABLE, make_field, random_network

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.model.channels import FILTERS, NEIGHBOURHOOD
from surrogate3d.model.groups import field_inputs
from surrogate3d.model.network import (
    LOG_STD_RANGE,
    MAX_CORRECTION,
    KernelNetwork,
    NetworkConfig,
    pool,
    smooth_all,
    without_tracks,
)
from surrogate3d.physics.mixing import mono_table, zr_table

DOSES = torch.tensor(DOSE_LADDER)
PHOTON = torch.tensor([[LINE.alpha_x], [LINE.beta_x**0.5]])
OFFSETS = [(a, b, c) for a in (-2, -1, 0, 1, 2) for b in (-2, -1, 0, 1, 2) for c in (-1, 0, 1)]
N_WEIGHTS = len(OFFSETS) + len(FILTERS)


@pytest.fixture(scope="module")
def field():
    return make_field(seed=5)


@pytest.fixture(scope="module")
def inputs(field):
    return torch.from_numpy(field_inputs(field, (TABLE,)))


def all_voxels(inputs):
    return torch.ones(inputs.shape[2:]).nonzero()


def value_at(values, voxel):
    inside = all(0 <= n < size for n, size in zip(voxel, values.shape, strict=True))
    return values[voxel] if inside else 0.0


def slow_pool(weights, accumulators, voxels):
    """Each value and the total dose under every offset and filter, one after the other."""
    total = accumulators[:, 0].sum(axis=0)
    pooled = np.zeros((*accumulators.shape[:2], len(voxels)))
    for g, group in enumerate(accumulators):
        for v, voxel in enumerate(map(tuple, voxels)):
            sums = np.zeros(len(group) + 1)
            for a, values in enumerate([*group, total]):
                for w, offset in zip(weights[g, v], OFFSETS, strict=False):
                    sums[a] += w * value_at(values, tuple(np.add(voxel, offset)))
                for w, f in zip(weights[g, v, len(OFFSETS) :], FILTERS, strict=True):
                    sigmas = (f.lateral, f.lateral, f.depth)
                    sums[a] += w * gaussian_filter(values, sigmas, mode="constant", truncate=3.0)[voxel]
            pooled[g, :, v] = sums[:-1] / sums[-1]
    return pooled


def test_pooling_equals_its_slow_twin():
    assert NEIGHBOURHOOD == (5, 5, 3)
    rng = np.random.default_rng(1)
    accumulators = rng.random((2, 3, 6, 7, 5))
    voxels = np.array([[0, 0, 0], [5, 6, 4], [3, 2, 2], [1, 5, 0]])
    weights = rng.dirichlet(np.ones(N_WEIGHTS), size=(2, len(voxels)))
    found = pool(
        *map(torch.from_numpy, (weights, accumulators)),
        smooth_all(torch.from_numpy(accumulators)),
        torch.from_numpy(voxels),
    )
    np.testing.assert_allclose(found.numpy(), slow_pool(weights, accumulators, voxels), rtol=1e-10)


def only_the_voxel_itself(network):
    with torch.no_grad():
        network.weights.weight.zero_()
        network.weights.bias.fill_(-60.0)
        network.weights.bias[OFFSETS.index((0, 0, 0))] = 60.0
    return network


def test_with_all_weight_on_the_voxel_it_is_the_mixing_rule(field):
    tables = (TABLE, mono_table("V79"))
    inputs = torch.from_numpy(field_inputs(field, tables))
    photon = torch.tensor([[0.3, 0.2], [0.2, 0.15]])
    network = only_the_voxel_itself(random_network(n_lines=2))
    with torch.no_grad():
        answer = network(inputs, all_voxels(inputs), photon)
    for n, table in enumerate(tables):
        alpha, beta = zr_table(AXES, field.spectra.fluence, table)
        np.testing.assert_allclose(answer.alpha[n].numpy(), alpha.flatten(), rtol=2e-5)
        np.testing.assert_allclose(answer.sqrt_beta[n].numpy() ** 2, beta.flatten(), rtol=2e-5)


def test_before_training_nothing_is_corrected(inputs):
    torch.manual_seed(0)
    network = KernelNetwork(NetworkConfig())
    with torch.no_grad():
        answer = network(inputs, all_voxels(inputs), PHOTON)
    D = DOSES[:, None]
    assert not answer.correction.any()
    torch.testing.assert_close(answer.effect(DOSES)[0], answer.alpha * D + answer.sqrt_beta**2 * D**2)
    torch.testing.assert_close(answer.log_std, torch.full_like(answer.log_std, -4.6))


def test_before_training_it_prefers_the_voxel_itself(inputs):
    torch.manual_seed(0)
    network = KernelNetwork(NetworkConfig())
    weights = torch.softmax(network.weights.bias.detach(), dim=0)
    assert float(weights[OFFSETS.index((0, 0, 0))] + weights[len(OFFSETS)]) > 0.5


def test_the_correction_is_relative_and_bounded(inputs):
    network = random_network()
    with torch.no_grad():
        network.correction[-1].bias.fill_(50.0)
        answer = network(inputs, all_voxels(inputs), PHOTON)
    D = DOSES[:, None]
    table = answer.alpha * D + answer.sqrt_beta**2 * D**2
    torch.testing.assert_close(answer.effect(DOSES)[0], (1 + MAX_CORRECTION) * table)


def test_some_voxels_are_answered_as_among_all(inputs):
    network, voxels = random_network(), all_voxels(inputs)
    some = torch.from_numpy(np.random.default_rng(2).permutation(len(voxels))[:50])
    with torch.no_grad():
        every, few = (network(inputs, v, PHOTON) for v in (voxels, voxels[some]))
    torch.testing.assert_close(few.effect(DOSES), every.effect(DOSES)[..., some])
    torch.testing.assert_close(few.log_std, every.log_std[..., some])


def test_what_the_head_answers_is_of_its_cell_line_and_dose(inputs):
    """With weights that name them, correction (line, dose) lands at (line, dose)."""
    tables = (TABLE, mono_table("V79"))
    inputs = torch.from_numpy(field_inputs(make_field(seed=5), tables))
    network = random_network(n_lines=2, n_doses=3)
    mark = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    with torch.no_grad():
        network.correction[-1].weight.zero_()
        network.correction[-1].bias.copy_(mark.flatten())
        answer = network(inputs, all_voxels(inputs)[:4], PHOTON.expand(2, 2))
    torch.testing.assert_close(answer.correction, MAX_CORRECTION * torch.tanh(mark)[..., None].expand(2, 3, 4))


def test_a_larger_empty_grid_changes_nothing_far_from_the_edge():
    """No normalisation layer looks at the whole: tiles equal the whole. Kernels and convolutions reach 13 voxels."""
    inputs = torch.from_numpy(field_inputs(make_field(shape=(7, 7, 33)), (TABLE,)))
    # The field itself ends well inside both grids, so that only the position of the edge differs.
    small = torch.nn.functional.pad(inputs[..., 14:19], (14, 14, 13, 13, 13, 13))
    large = torch.nn.functional.pad(small, (6, 5, 4, 3, 2, 1))
    voxels = small[:, 0].sum(dim=0).nonzero()
    network = random_network()
    with torch.no_grad():
        answer = network(small, voxels, PHOTON)
        embedded = network(large, voxels + torch.tensor([2, 4, 6]), PHOTON)
    torch.testing.assert_close(embedded.effect(DOSES), answer.effect(DOSES), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(embedded.log_std, answer.log_std, rtol=1e-5, atol=1e-5)


def test_empty_voxels_are_answered_without_nan(inputs):
    holed = inputs.clone()
    holed[:, :, :, :, 7:] = 0.0
    with torch.no_grad():
        answer = random_network()(holed, all_voxels(holed), PHOTON)
    for values in (answer.effect(DOSES), answer.log_std):
        assert bool(torch.isfinite(values).all())
    low, high = LOG_STD_RANGE
    assert low <= float(answer.log_std.min()) <= float(answer.log_std.max()) <= high


def test_the_deviation_does_not_teach_the_rest(inputs):
    """The head of the deviation reads the features without a way back."""
    network = random_network()
    network(inputs, all_voxels(inputs)[:10], PHOTON).log_std.sum().backward()
    taught = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {"spread"}


def effects(network, inputs):
    with torch.no_grad():
        return network(inputs, all_voxels(inputs)[::7], PHOTON).effect(DOSES)


def test_training_sees_what_the_answer_sees(inputs):
    network = random_network()
    assert torch.equal(effects(network.train(), inputs), effects(network.eval(), inputs))


def test_without_tracks_keeps_dose_and_accumulators(inputs):
    kept = without_tracks(inputs)
    assert torch.equal(kept[:, 0], inputs[:, 0])
    assert torch.equal(kept[:, 1:], inputs[:, 2:])
