"""The network against slow twins and exact identities."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from synthetic import AXES, LINE, N_DOSES, TABLE, make_field, random_network

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import ConfigError
from surrogate3d.model.channels import CONTEXT_SCALES, FILTERS, Filter, channels, reach
from surrogate3d.model.groups import BAND_EDGES_MEV_U, BANDS, field_inputs
from surrogate3d.model.head import CLOSED_FORM, LOG_STD_RANGE
from surrogate3d.model.network import (
    WIDE_FILTER,
    WIDE_STRIDE,
    KernelNetwork,
    NetworkConfig,
    pool,
    smooth_all,
    without_tracks,
)
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.mixing import mono_table, zr_table

DOSES = torch.tensor(DOSE_LADDER)
ALPHA_X, CHARGE = torch.tensor(LINE.alpha_x), torch.tensor([1, 2])
PRIMARY = torch.tensor([True, False])
PHOTON = torch.tensor([[LINE.alpha_x], [LINE.beta_x**0.5]])
DEFAULT = NetworkConfig()
TINY = NetworkConfig(4, 1, (3, 1, 1), (1, 3, 1), likeness=3, head_width=4, n_doses=N_DOSES)


@pytest.fixture(scope="module")
def field():
    return make_field(seed=5)


@pytest.fixture(scope="module")
def inputs(field):
    return torch.from_numpy(field_inputs(field, (TABLE,)))


def all_voxels(inputs):
    return torch.ones(inputs.shape[3:]).nonzero()


def denoised(network, inputs, voxels=None):
    with torch.no_grad():
        return network(inputs, all_voxels(inputs) if voxels is None else voxels, CHARGE, ALPHA_X)


def answered(network, inputs, voxels=None, photon=PHOTON):
    with torch.no_grad():
        return network.answer(denoised(network, inputs, voxels), photon)


def made(config, seed=0):
    torch.manual_seed(seed)
    network = KernelNetwork(config)
    with torch.no_grad():
        network.weights.weight.normal_(0, 1.0)
    return network.eval()


def value_at(values, voxel):
    inside = all(0 <= n < size for n, size in zip(voxel, values.shape, strict=True))
    return values[voxel] if inside else 0.0


def offsets(size, stride):
    """Places around a voxel, by hand."""
    pairs = zip(size, stride, strict=True)
    steps = [[step * n for n in range(-(count // 2), count // 2 + 1)] if count else [] for count, step in pairs]
    return [(a, b, c) for a in steps[0] for b in steps[1] for c in steps[2]]


def slow_pool(weights, accumulators, voxels, config):
    """Each value and the total dose under every place and filter, one after the other."""

    def filtered(values, f):
        return gaussian_filter(values, (f.lateral, f.lateral, f.depth), mode="constant", truncate=3.0)

    total = accumulators[:, :, 0].sum(axis=(0, 1))
    near, wide = offsets(config.neighbourhood, (1, 1, 1)), offsets(config.wide, (3, 3, 1))
    pooled = np.zeros((*accumulators.shape[:3], len(voxels)))
    for g, b in np.ndindex(accumulators.shape[:2]):
        planes = [[values, *(filtered(values, f) for f in FILTERS)] for values in (*accumulators[g, b], total)]
        for v, voxel in enumerate(map(tuple, voxels)):
            w = weights[v, g, b]
            sums = np.zeros(len(planes))
            for a, (values, *smoothed) in enumerate(planes):
                sums[a] += sum(w[n] * value_at(values, tuple(np.add(voxel, at))) for n, at in enumerate(near))
                mean = smoothed[WIDE_FILTER]
                sums[a] += sum(w[len(near) + n] * value_at(mean, tuple(np.add(voxel, at))) for n, at in enumerate(wide))
                sums[a] += sum(w[len(near) + len(wide) + n] * s[voxel] for n, s in enumerate(smoothed))
            pooled[g, b, :, v] = sums[:-1] / sums[-1]
    return pooled


@pytest.mark.parametrize(
    ("near", "wide"), [((5, 5, 3), (5, 5, 5)), ((3, 1, 5), (1, 3, 7)), ((1, 1, 1), (0, 0, 0)), ((3, 3, 3), (3, 0, 3))]
)
def test_pooling_equals_its_slow_twin(near, wide):
    assert WIDE_STRIDE == (3, 3, 1)
    assert FILTERS[WIDE_FILTER] == Filter(1.0, 0.0)
    config = NetworkConfig(neighbourhood=near, wide=wide)
    rng = np.random.default_rng(1)
    accumulators = rng.random((2, len(BANDS), 3, 6, 7, 5))
    voxels = np.array([[0, 0, 0], [5, 6, 4], [3, 2, 2], [1, 5, 0]])
    n_weights = int(np.prod(near) + np.prod(wide)) + len(FILTERS)
    weights = rng.dirichlet(np.ones(n_weights), size=(len(voxels), 2, len(BANDS)))
    values = torch.from_numpy(accumulators)
    found = pool(torch.from_numpy(weights), values, smooth_all(values), torch.from_numpy(voxels), config)
    np.testing.assert_allclose(found.numpy(), slow_pool(weights, accumulators, voxels, config), rtol=1e-10)


@pytest.mark.parametrize("config", [DEFAULT, TINY, NetworkConfig(neighbourhood=(1, 3, 5), wide=(0, 0, 0))])
def test_places_are_near_then_wide_around_the_voxel(config):
    near, wide = offsets(config.neighbourhood, (1, 1, 1)), offsets(config.wide, (3, 3, 1))
    assert list(config.places) == near + wide
    assert config.n_near == len(near)
    assert near[config.n_near // 2] == (0, 0, 0)


def test_weights_sum_to_one(inputs):
    network = made(TINY)
    context = network.context(channels(inputs, ALPHA_X, CHARGE))
    voxels = all_voxels(inputs)[::7]
    i, j, k = voxels.unbind(1)
    weights = network._weights(context.state[:, :, i, j, k].transpose(1, 2), context.key, PRIMARY, voxels)
    assert weights.shape == (len(voxels), 2, len(BANDS), len(TINY.places) + len(FILTERS))
    assert float(weights.detach().min()) >= 0
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))


def only_the_voxel_itself(network):
    n, own = network.n_weights, network.config.n_near // 2
    with torch.no_grad():
        network.key.weight.zero_()
        for part in network.share_factors.parameters():
            part.zero_()
        network.weights.weight.zero_()
        network.prior.fill_(-60.0)
        network.prior[:, own::n] = 60.0
    return network


def test_with_all_weight_on_the_voxel_it_is_the_mixing_rule_for_every_line(field):
    tables = (TABLE, mono_table("V79"))
    found = denoised(only_the_voxel_itself(random_network()), torch.from_numpy(field_inputs(field, tables)))
    for n, table in enumerate(tables):
        alpha, beta = zr_table(AXES, field.spectra.fluence, table)
        np.testing.assert_allclose(found.alpha[n].numpy(), alpha.flatten(), rtol=2e-5)
        np.testing.assert_allclose(found.sqrt_beta[n].numpy() ** 2, beta.flatten(), rtol=2e-5)


def test_then_the_shares_are_those_of_the_voxels_dose(field, inputs):
    """By hydrogen, helium and heavier ions, in bands; each voxel's sum to one."""
    found = denoised(only_the_voxel_itself(random_network()), inputs).share.reshape(3, len(BANDS), -1)
    dose = bin_dose(AXES, field.spectra.fluence).reshape(2, AXES.n_bins, -1)
    band = np.digitize(AXES.energy_mev_u[0], BAND_EDGES_MEV_U)
    for s in range(2):
        for b in range(len(BANDS)):
            expected = dose[s, band == b].sum(axis=0) / dose.sum(axis=(0, 1))
            np.testing.assert_allclose(found[s, b].numpy(), expected, rtol=1e-4, atol=1e-7)
    assert not found[2].any()


def test_kinds_of_ions_follow_the_charge(inputs):
    network, voxels = only_the_voxel_itself(random_network()), all_voxels(inputs)
    with torch.no_grad():
        shares = {
            Z: network(inputs, voxels, torch.tensor(Z), ALPHA_X).share.reshape(3, len(BANDS), -1)
            for Z in ((1, 2), (2, 6), (3, 6))
        }
    torch.testing.assert_close(shares[2, 6][1:], shares[1, 2][:2], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(shares[3, 6][2], shares[1, 2].sum(dim=0), rtol=1e-5, atol=1e-7)


def test_kernels_are_the_same_whatever_line_is_asked(field):
    network = random_network()
    tables = (TABLE, mono_table("V79"))
    both, one = (denoised(network, torch.from_numpy(field_inputs(field, t))) for t in (tables, tables[:1]))
    torch.testing.assert_close(both.share, one.share, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(both.alpha[:1], one.alpha, rtol=1e-5, atol=0)
    torch.testing.assert_close(both.state, one.state, rtol=1e-5, atol=1e-6)


def test_pooled_fields_stay_within_the_range_of_the_voxels():
    """Weights are positive and sum to one, so an all but uniform mixture stays what it is."""
    inputs = torch.tensor([0.8, 90.0, 0.4, 0.1]).reshape(1, 1, 4, 1, 1, 1).expand(2, len(BANDS), 4, 6, 6, 6).clone()
    found = denoised(random_network(), inputs)
    torch.testing.assert_close(found.alpha, torch.full_like(found.alpha, 0.5), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.sqrt_beta, torch.full_like(found.sqrt_beta, 0.125), rtol=1e-4, atol=0)


def test_before_training_nothing_is_corrected(inputs):
    torch.manual_seed(0)
    answer = answered(KernelNetwork(replace(DEFAULT, n_doses=N_DOSES)), inputs)
    D = DOSES[:, None]
    assert not answer.log_correction.any()
    field = answer.denoised
    torch.testing.assert_close(answer.effect(DOSES)[0], field.alpha * D + field.sqrt_beta**2 * D**2)
    torch.testing.assert_close(answer.log_std, torch.full_like(answer.log_std, -4.6))


def test_before_training_the_beam_is_itself_and_other_groups_are_pooled_far_around(inputs):
    """Near species-grouped pooling, in every band: the two places, or the one filter, with most weight."""
    torch.manual_seed(0)
    network = KernelNetwork(DEFAULT)
    with torch.no_grad():
        network.weights.weight.zero_()
        key, voxels = torch.zeros(2, *inputs.shape[3:], DEFAULT.likeness), torch.tensor([[4, 4, 5]])
        (weights,) = network._weights(torch.zeros(2, 1, DEFAULT.width), key, PRIMARY, voxels)
    own, n_places = DEFAULT.places.index((0, 0, 0)), len(DEFAULT.places)
    assert FILTERS[0] == Filter(0.5, 0.0)
    for band in range(len(BANDS)):
        assert set(weights[0, band].argsort()[-2:].tolist()) == {own, n_places}
        assert int(weights[1, band].argmax()) == n_places + FILTERS.index(Filter(3.0, 2.0))


def test_the_effect_is_that_of_the_table_times_the_correction(inputs):
    answer = answered(random_network(), inputs)
    table = answer.denoised.effect(DOSES)
    torch.testing.assert_close(answer.effect(DOSES) / table, answer.log_correction.exp())
    assert float(answer.log_correction.abs().max()) <= DEFAULT.max_log_correction


def test_some_voxels_are_answered_as_among_all(inputs):
    network, voxels = random_network(), all_voxels(inputs)
    some = torch.from_numpy(np.random.default_rng(2).permutation(len(voxels))[:50])
    every, few = (answered(network, inputs, v) for v in (voxels, voxels[some]))
    torch.testing.assert_close(few.effect(DOSES), every.effect(DOSES)[..., some])
    torch.testing.assert_close(few.log_std, every.log_std[..., some])


def test_what_the_head_answers_is_of_its_dose(inputs):
    """With weights that name them, the correction at dose n lands at dose n of every line."""
    network = random_network(n_doses=3)
    mark = torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        network.head.correction[-1].weight.zero_()
        network.head.correction[-1].bias.copy_(mark)
    answer = answered(network, inputs, all_voxels(inputs)[:4])
    expected = DEFAULT.max_log_correction * torch.tanh(mark)[:, None].expand(1, 3, 4)
    torch.testing.assert_close(answer.log_correction, expected)


def test_voxels_of_equal_fields_get_equal_corrections_wherever_they_lie(inputs):
    """The head does not see the place: one field, at two places, corrected as one."""
    network = only_the_voxel_itself(random_network())
    copied = inputs.clone()
    copied[:, :, :, 4, 4, 9] = copied[:, :, :, 3, 2, 2]
    answer = answered(network, copied, torch.tensor([[3, 2, 2], [4, 4, 9], [4, 4, 4]]))
    torch.testing.assert_close(answer.log_correction[..., 0], answer.log_correction[..., 1])
    assert float((answer.log_correction[..., 0] - answer.log_correction[..., 2]).abs().max()) > 1e-5
    assert float((answer.log_std[..., 0] - answer.log_std[..., 1]).abs().max()) > 1e-5  # which sees the surroundings


def test_a_larger_empty_grid_changes_nothing_far_from_the_edge():
    """No normalisation layer looks at the whole: tiles equal the whole."""
    gaussians = (*FILTERS, *filter(None, CONTEXT_SCALES))
    widest = [max(reach(getattr(f, way)) for f in gaussians) for way in ("lateral", "depth")]
    inputs = torch.from_numpy(field_inputs(make_field(shape=(5, 5, 33)), (TABLE,)))[..., 14:17]
    # The field itself ends well inside both grids, so that only the position of the edge differs.
    across, along = widest[0] + 2 * 2, widest[1] + 2 * 2  # two blocks' convolutions at the edge
    small = torch.nn.functional.pad(inputs, (along, along, across, across, across, across))
    large = torch.nn.functional.pad(small, (6, 5, 4, 3, 2, 1))
    voxels = small[:, :, 0].sum(dim=(0, 1)).nonzero()
    network = random_network(width=4)
    answer, embedded = (answered(network, *at) for at in ((small, voxels), (large, voxels + torch.tensor([2, 4, 6]))))
    torch.testing.assert_close(embedded.effect(DOSES), answer.effect(DOSES), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(embedded.log_std, answer.log_std, rtol=1e-5, atol=1e-5)


def test_by_likeness_alone_equal_neighbours_count_equally(inputs):
    """Exchanging two places whose voxels are alike changes nothing; exchanging two that differ does."""
    network = random_network()
    with torch.no_grad():
        network.weights.weight.zero_()
        network.prior.zero_()
    voxels = torch.tensor([[4, 4, 5]])
    accumulators = without_tracks(inputs).clone()
    accumulators[:, :, 1, 3, 4, 5] *= 3.0  # one neighbour is of another quality
    context = network.context(channels(inputs, ALPHA_X, CHARGE))
    key = context.key.detach().clone()
    key[:, 3, 4, 5] = key[:, 5, 4, 5]

    def effect(values):
        with torch.no_grad():
            smoothed = smooth_all(accumulators)  # of the field as it was: only the near places are exchanged
            return network.denoise(context._replace(key=key), values, smoothed, voxels, CHARGE).effect(DOSES)

    exchanged = accumulators.clone()
    a, b = (..., 3, 4, 5), (..., 5, 4, 5)
    exchanged[a], exchanged[b] = accumulators[b], accumulators[a]
    torch.testing.assert_close(effect(exchanged), effect(accumulators), rtol=1e-5, atol=0)
    key[:, 3, 4, 5] += 1.0
    assert float((effect(exchanged) / effect(accumulators) - 1).abs().max()) > 1e-4


def test_weight_falls_with_the_squared_distance_of_the_keys(inputs):
    """One feature, strictness one: a place whose key differs by 2 has exp(-4) of the weight of those that are alike."""
    network = made(replace(TINY, likeness=1))
    with torch.no_grad():
        network.weights.weight.zero_()
        network.prior.zero_()
        network.strictness.weight.zero_()
        network.strictness.bias.fill_(np.log(np.e - 1))  # of which the softplus is one
    key = torch.zeros(2, *inputs.shape[3:], 1)
    key[:, 5, 4, 5] = 2.0  # one voxel further along the first axis
    weights = network._weights(torch.zeros(2, 1, TINY.width), key, PRIMARY, torch.tensor([[4, 4, 5]])).detach()
    at = TINY.places.index((1, 0, 0))
    others = [n for n in range(weights.shape[-1]) if n != at]
    torch.testing.assert_close(weights[..., at], weights[..., 0] / torch.e**4)
    torch.testing.assert_close(weights[..., others], weights[..., :1].expand_as(weights[..., others]))


def test_empty_voxels_bands_and_groups_are_answered_without_nan(inputs):
    holed = inputs.clone()
    holed[..., 7:, :] = 0.0
    holed[:, 1] = 0.0
    tiny = inputs * torch.tensor([1e-30, 1.0, 1e-30, 1e-30]).reshape(1, 1, 4, 1, 1, 1)
    no_helium = inputs.clone()
    no_helium[1] = 0.0
    low, high = LOG_STD_RANGE
    for case in (holed, tiny, no_helium):
        answer = answered(random_network(), case)
        for values in (answer.effect(DOSES), answer.log_std, answer.denoised.share):
            assert bool(torch.isfinite(values).all())
        assert low <= float(answer.log_std.min()) <= float(answer.log_std.max()) <= high


def test_the_head_does_not_teach_the_kernels(inputs):
    network = random_network()
    answer = network.answer(network(inputs, all_voxels(inputs)[:10], CHARGE, ALPHA_X), PHOTON)
    (answer.log_std.sum() + answer.log_correction.sum()).backward()
    taught = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {"head"}


def test_all_parts_of_the_kernels_are_taught_by_the_effect(inputs):
    network = random_network()
    with torch.no_grad():
        network.share_factors.mlp[-1].weight.normal_()  # zero before training, and what is behind it learns nothing yet
    network(inputs, all_voxels(inputs)[::9], CHARGE, ALPHA_X).effect(DOSES).sum().backward()
    taught = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {name for name, _ in network.named_parameters() if not name.startswith("head.")}


def test_conditions_correct_what_a_closed_form_says(inputs):
    """At its zero the head leaves the closed form as it is; that is also where its training starts from."""
    network = KernelNetwork(replace(TINY, conditions=CLOSED_FORM))
    field = denoised(network, inputs)
    conditions = torch.stack([torch.full(field.alpha.shape[1:], x) for x in (-0.3, 0.1)])
    with torch.no_grad():
        answer = network.answer(field, PHOTON, conditions)
    D = DOSES[:, None]
    expected = field.alpha * np.exp(-0.3) * D + (field.sqrt_beta * np.exp(0.1) * D) ** 2
    torch.testing.assert_close(answer.effect(DOSES)[0], expected)


def test_training_sees_what_the_answer_sees(inputs):
    network, voxels = random_network(), all_voxels(inputs)[::7]
    training, answering = (denoised(mode, inputs, voxels).effect(DOSES) for mode in (network.train(), network.eval()))
    assert torch.equal(training, answering)


def test_without_tracks_keeps_dose_and_accumulators(inputs):
    kept = without_tracks(inputs)
    assert torch.equal(kept[:, :, 0], inputs[:, :, 0])
    assert torch.equal(kept[:, :, 1:], inputs[:, :, 2:])


@pytest.mark.parametrize("width", [1, 0])
def test_too_few_channels_to_normalise_over_are_refused(width):
    with pytest.raises(ConfigError, match=f"at least 2, found {width}"):
        replace(TINY, width=width)
    assert replace(TINY, width=2).width == 2
