import json

import numpy as np
import pytest
import torch
from response_maps import FlatNetwork, PooledNetwork, SumNetwork, lesions, tensors
from scipy.ndimage import gaussian_filter

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.activation import activation_map, lesion_mean
from surrogate3d.response.map_agreement import agreement
from surrogate3d.response.removal import local_mean, removal_curves
from surrogate3d.response.sanity import (
    check_maps,
    layers_from_logit,
    randomised_maps,
    stability_to_noise,
    stability_to_seed,
)


def test_layers_are_found_from_the_classifier_down_without_the_decoder():
    assert layers_from_logit(PooledNetwork(), *lesions()) == ("classifier", "last.0", "first.0")


def test_a_weight_that_the_network_owns_is_its_own_layer():
    network = PooledNetwork()
    network.gain = torch.nn.Parameter(torch.ones(()))
    inner = network.logit_of
    network.logit_of = lambda A, w: network.gain * inner(A, w)
    assert layers_from_logit(network, *lesions())[:2] == ("gain", "classifier")


def test_randomisation_ends_at_the_untrained_network_and_leaves_the_trained_one_alone():
    network, fresh, (values, inside) = FlatNetwork(0), [FlatNetwork(1), FlatNetwork(2)], lesions()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    found = randomised_maps(network, fresh, values, inside)
    assert found.layers == ("classifier", "last.0", "first.0")
    trained = activation_map(network, values, inside).map
    for draw, other in enumerate(fresh):
        expected = agreement(activation_map(other, values, inside).map, trained, inside)
        np.testing.assert_allclose(found.agreement.spearman[draw, -1], expected.spearman)
        np.testing.assert_allclose(found.agreement.ssim[draw, -1], expected.ssim)
    first = FlatNetwork(0)
    first.classifier.load_state_dict(fresh[0].classifier.state_dict())
    expected = agreement(activation_map(first, values, inside).map, trained, inside)
    np.testing.assert_allclose(found.agreement.dice[0, 0], expected.dice)
    assert all(torch.equal(before[name], weight) for name, weight in network.state_dict().items())


def test_a_network_randomised_by_itself_stays_itself():
    network, (values, inside) = PooledNetwork(), lesions()
    found = randomised_maps(network, [PooledNetwork()], values, inside)
    for values_of in found.agreement.measures.values():
        np.testing.assert_allclose(values_of, np.ones((1, 3, 3)), rtol=1e-9)
    assert found.summary()["first.0"]["ssim"]["n"] == 3


def test_random_layers_take_away_what_the_map_of_a_flat_network_knows():
    network, (values, inside) = FlatNetwork(0), lesions()
    summary = randomised_maps(network, [FlatNetwork(seed) for seed in range(1, 6)], values, inside).summary()
    assert all(summary[layer]["spearman"]["mean_absolute"] < 0.5 for layer in summary)


def test_curves_of_a_mean_are_those_that_arithmetic_gives():
    values, inside = lesions()
    inside = (inside >= 0.5).astype(np.float32)
    curves = removal_curves(SumNetwork(), values, inside, values[:, 0], steps=7, draws=3)
    for row, voxels in enumerate(inside > 0):
        inner = np.sort(values[row, 0][voxels].astype(float))[::-1]
        mean, count = inner.mean(), inner.size
        gone = [round(step * count / 7) for step in range(8)]
        np.testing.assert_allclose(
            curves.deletion[row], [(n * mean + inner[n:].sum()) / count for n in gone], atol=1e-5
        )
        np.testing.assert_allclose(
            curves.insertion[row], [(inner[:n].sum() + (count - n) * mean) / count for n in gone], atol=1e-5
        )
    np.testing.assert_allclose(curves.fractions, np.arange(8) / 7)
    summary = curves.summary()
    assert summary["deletion_gain"]["beaten"] == summary["insertion_gain"]["beaten"] == 1
    assert curves.random.shape == (3, 3, 8)


def test_the_curves_of_a_map_end_where_every_other_map_ends():
    network, (values, inside) = PooledNetwork(), lesions()
    curves = removal_curves(network, values, inside, activation_map(network, values, inside).map, draws=2)
    v, w = tensors(values, inside)
    whole = network(v, w).logit.detach().numpy()
    uniform = np.where((inside >= 0.5)[:, None], lesion_mean(values, inside), values)
    emptied = network(torch.tensor(uniform), w).logit.detach().numpy()
    for starts in (curves.deletion[:, 0], curves.insertion[:, -1], curves.random[:, 0, 0], curves.random[:, 1, 0]):
        np.testing.assert_allclose(starts, whole, atol=1e-6)
    for ends in (curves.deletion[:, -1], curves.insertion[:, 0], curves.random[:, 0, -1]):
        np.testing.assert_allclose(ends, emptied, atol=1e-6)


def test_to_insert_in_an_order_is_to_delete_in_its_reverse_backwards():
    network, (values, inside) = PooledNetwork(), lesions(n=2)
    order = np.random.default_rng(0).normal(size=inside.shape)
    one = removal_curves(network, values, inside, order, steps=4, draws=1)
    other = removal_curves(network, values, inside, -order, steps=4, draws=1)
    # Voxels per step differ by one where the lesion is no multiple of the steps.
    np.testing.assert_allclose(one.insertion, other.deletion[:, ::-1], atol=1e-3)
    np.testing.assert_allclose(one.insertion_area, other.deletion_area, atol=1e-3)


def test_random_orders_of_a_mean_leave_a_straight_line_on_average():
    values, inside = lesions(n=2)
    curves = removal_curves(SumNetwork(), values, inside, values[:, 0], steps=10, draws=200)
    straight = (curves.deletion[:, 0] + curves.deletion[:, -1]) / 2
    error = 5 * curves.random_area.std(axis=1) / np.sqrt(200)
    assert (np.abs(curves.random_area.mean(axis=1) - straight) < error).all()


def test_smooth_orders_spread_more_than_white_ones_where_the_image_is_smooth():
    values, inside = lesions()
    values = gaussian_filter(values, sigma=2, axes=(2, 3, 4))
    found = {}
    for width in (0.0, 2.0):
        curves = removal_curves(SumNetwork(), values, inside, values[:, 0], draws=20, correlation_voxels=width)
        found[width] = curves.summary()["random"]["std_of_draws"]
    assert found[2.0] > 2 * found[0.0]


def test_one_seed_gives_one_result():
    network, (values, inside) = PooledNetwork(), lesions()
    curves = [removal_curves(network, values, inside, values[:, 0], draws=2, seed=seed).random for seed in (4, 4, 5)]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert not np.array_equal(curves[0], curves[2])
    noise = [stability_to_noise([network], values, inside, draws=2, seed=seed).ssim for seed in (4, 4, 5)]
    np.testing.assert_array_equal(noise[0], noise[1])
    assert not np.array_equal(noise[0], noise[2])


def test_the_local_mean_sees_the_lesion_only():
    values, inside = lesions()
    voxels = (inside >= 0.5)[:, None] & np.ones_like(values, dtype=bool)
    outside = np.where(voxels, values, 1e6)
    np.testing.assert_allclose(
        local_mean(outside, inside)[voxels], local_mean(values, inside)[voxels], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(local_mean(values, inside)[~voxels], values[~voxels])
    flat = np.where(voxels, 2.0, values)
    np.testing.assert_allclose(local_mean(flat, inside)[voxels], 2.0, rtol=1e-6)
    wide = local_mean(values, (inside >= 0.5).astype(float), sigma_voxels=500.0)
    expected = np.broadcast_to(lesion_mean(values, (inside >= 0.5).astype(float)), values.shape)
    np.testing.assert_allclose(wide[voxels], expected[voxels], atol=1e-4)


def test_a_replacement_of_ones_own_is_taken():
    values, inside = lesions()
    same = removal_curves(SumNetwork(), values, inside, values[:, 0], replacement=values, draws=1)
    np.testing.assert_allclose(same.deletion, np.broadcast_to(same.deletion[:, :1], same.deletion.shape))
    blurred = removal_curves(
        SumNetwork(), values, inside, values[:, 0], replacement=local_mean(values, inside), draws=1
    )
    assert np.isfinite(blurred.deletion_area).all()


def test_more_noise_leaves_less_agreement():
    network, (values, inside) = PooledNetwork(), lesions()
    means = [
        stability_to_noise([network], values, inside, sigma=sigma).summary()["spearman"]["mean"]
        for sigma in (1e-4, 0.1, 1.0)
    ]
    assert means[0] > 0.999
    assert means[0] > means[1] > means[2]


def test_noise_is_put_on_the_image_only():
    values, inside = lesions()
    found = stability_to_noise([SumNetwork(channel=1)], values, inside, sigma=5.0, draws=2)
    np.testing.assert_array_equal(found.dice, np.ones((2, 3)))
    assert (stability_to_noise([SumNetwork(channel=0)], values, inside, sigma=5.0, draws=2).dice < 1).all()


def test_networks_are_compared_in_pairs():
    networks, (values, inside) = [PooledNetwork(0), PooledNetwork(0), PooledNetwork(1)], lesions()
    found = stability_to_seed(networks, values, inside)
    assert found.spearman.shape == (3, 3)
    np.testing.assert_allclose(found.spearman[0], 1.0)
    np.testing.assert_allclose(found.ssim[1], found.ssim[2])


@pytest.mark.parametrize("method", ["grad-cam", "hirescam"])
def test_all_checks_of_a_map_are_plain_numbers(method):
    networks, fresh, (values, inside) = [PooledNetwork(0), PooledNetwork(1)], [PooledNetwork(2)], lesions()
    found = check_maps(networks, fresh, values, inside, method, draws=2)
    summary = json.loads(json.dumps(found.summary()))
    assert summary["method"] == method
    assert summary["noise"]["sigma"] == 0.05
    assert list(summary["randomisation"]) == ["classifier", "last.0", "first.0"]
    assert (found.completeness < 1e-5) == (method == "hirescam")
    assert summary["removal"]["random"]["draws"] == 2


def test_checks_that_cannot_be_made_are_refused():
    network, (values, inside) = PooledNetwork(), lesions()
    wider = PooledNetwork(width=7)
    with pytest.raises(ValueRangeError, match="untrained network, found none"):
        randomised_maps(network, [], values, inside)
    with pytest.raises(GridMismatchError, match=r"no weight classifier.weight of shape \(1, 5\)"):
        randomised_maps(network, [wider], values, inside)
    with pytest.raises(ValueRangeError, match="two networks at least, found 1"):
        stability_to_seed([network], values, inside)
    with pytest.raises(ValueRangeError, match="two networks at least, found 0"):
        check_maps([], [network], values, inside)
    with pytest.raises(ValueRangeError, match="sigma above 0"):
        stability_to_noise([network], values, inside, sigma=0.0)
    with pytest.raises(ValueRangeError, match="at least 1"):
        removal_curves(network, values, inside, values[:, 0], steps=0)
    with pytest.raises(ValueRangeError, match="not negative"):
        removal_curves(network, values, inside, values[:, 0], correlation_voxels=-1.0)
    with pytest.raises(GridMismatchError, match="of one shape"):
        removal_curves(network, values, inside, values[:2, 0])
    with pytest.raises(GridMismatchError, match="does not fit"):
        removal_curves(network, values, inside, values[:, 0], replacement=values[:, :1])
    with pytest.raises(ValueRangeError, match="row 0 has values that are not finite"):
        removal_curves(network, values, inside, np.full_like(inside, np.nan))
    with pytest.raises(ValueRangeError, match="wider than 0"):
        local_mean(values, inside, sigma_voxels=0.0)


def test_the_networks_of_the_room_can_be_mapped_and_checked():
    pytest.importorskip("monai", reason="MONAI is not installed")
    from surrogate3d.response.config import ResponseConfig
    from surrogate3d.response.network import ResponseNetwork

    networks, (values, inside) = [], lesions(n=2, size=16)
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(ResponseNetwork(ResponseConfig(widths=(6, 5)), 2).eval())
        torch.nn.init.normal_(networks[-1].classifier.weight)
    found = check_maps(networks[:2], networks[2:], values, inside, draws=2)
    assert found.completeness < 1e-5
    assert found.randomisation.layers[0] == "classifier"
    assert found.randomisation.layers[1].startswith("last")
    assert not any("decoder" in layer for layer in found.randomisation.layers)
    np.testing.assert_array_equal(found.removal.summary()["deletion"]["n"], 2)
