import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from response_maps import FlatNetwork, OneScore, PooledNetwork, SumNetwork, lesions, tensors

from surrogate3d.errors import GridMismatchError, UnknownNameError, UnsupportedError, ValueRangeError
from surrogate3d.response.activation import (
    METHODS,
    activation_map,
    completeness,
    ensemble_map,
    ensemble_maps,
    lesion_mean,
    upsampled,
    zero_contrast,
)

needs_captum = pytest.mark.skipif(find_spec("captum") is None, reason="Captum is not installed")
EVERY = [*METHODS[:3], pytest.param(METHODS[3], marks=needs_captum)]
BOTH = pytest.mark.parametrize("kind", [PooledNetwork, FlatNetwork])


@pytest.fixture(scope="module")
def cams():
    return pytest.importorskip("monai.visualize.class_activation_maps", reason="MONAI is not installed")


@BOTH
def test_hirescam_is_captums_layer_gradient_times_activation(kind):
    captum = pytest.importorskip("captum.attr", reason="Captum is not installed")
    network, (values, inside) = kind(), lesions()
    explainer = captum.LayerGradientXActivation(lambda v, w: network(v, w).logit, network.last)
    v, w = tensors(values, inside)
    expected = explainer.attribute(v, additional_forward_args=w).sum(1).detach().numpy()
    found = activation_map(network, values, inside, "hirescam")
    np.testing.assert_allclose(found.layer, expected, rtol=1e-6, atol=1e-9)


@BOTH
def test_grad_cam_is_monais_but_for_the_rectification(kind, cams):
    network, (values, inside) = kind(), lesions()
    v, w = tensors(values, inside)
    theirs = cams.GradCAM(OneScore(network).eval(), "network.last", postprocessing=lambda fine: fine)
    found = activation_map(network, values, inside, "grad-cam")
    expected = theirs.compute_map(v, class_idx=0, inside=w)[:, 0].detach().numpy()
    assert (found.layer < 0).any()
    np.testing.assert_allclose(np.maximum(found.layer, 0), expected, rtol=1e-5, atol=1e-8)
    rectified = activation_map(network, values, inside, "grad-cam", rectified=True)
    np.testing.assert_array_equal(rectified.layer, np.maximum(found.layer, 0))
    fine = theirs(v, class_idx=0, inside=w)[:, 0].detach().numpy()
    np.testing.assert_allclose(rectified.map, fine, rtol=1e-5, atol=1e-8)


def test_grad_cam_plus_plus_is_monais_for_one_lesion_and_large_gradients_that_are_the_same_everywhere(cams):
    # MONAI adds 1e-7 to the denominator, takes sum(A g^3) for sum(A) g^3, and multiplies by exp(logit), here 1.
    network, (values, _) = PooledNetwork(), lesions(1)
    inside = np.ones((1, 12, 12, 12), dtype=np.float32)
    v, w = tensors(values, inside)
    with torch.no_grad():
        network.classifier.weight *= 300
        network.classifier.bias -= network(v, w).logit
    theirs = cams.GradCAMpp(OneScore(network).eval(), "network.last")
    expected = theirs.compute_map(v, class_idx=0, inside=w)[:, 0].detach().numpy()
    found = activation_map(network, values, inside, "grad-cam++").layer
    np.testing.assert_allclose(np.maximum(found, 0), expected, rtol=1e-4, atol=1e-6)


def test_monais_grad_cam_plus_plus_of_a_batch_is_not_that_of_its_lesions_which_is_why_ours_is_our_own(cams):
    network, (values, inside) = PooledNetwork(), lesions(6)  # as many lesions as the layer has voxels along an edge
    v, w = tensors(values, inside)
    theirs = cams.GradCAMpp(OneScore(network).eval(), "network.last")
    batch = theirs.compute_map(v, class_idx=0, inside=w).detach()
    single = torch.cat([theirs.compute_map(a[None], class_idx=0, inside=b[None]) for a, b in zip(v, w, strict=True)])
    assert not torch.allclose(batch, single.detach(), rtol=0.01)
    ours = activation_map(network, values, inside, "grad-cam++").layer
    one = activation_map(network, values[2:3], inside[2:3], "grad-cam++").layer
    np.testing.assert_allclose(ours[2:3], one, rtol=1e-4, atol=1e-7)


def derivatives(network, A, inside, index):
    """The first three derivatives of exp(logit) with respect to one activation, by automatic differentiation."""
    place = torch.zeros_like(A)
    place[index] = 1.0
    step = torch.zeros((), dtype=A.dtype, requires_grad=True)
    value, found = torch.exp(network.logit_of(A + step * place, inside)).sum(), []
    for _ in range(3):
        value = torch.autograd.grad(value, step, create_graph=True)[0]
        found.append(value.item())
    return found


@BOTH
def test_grad_cam_plus_plus_follows_equation_19_of_its_paper(kind):
    sized = {"size": 4} if kind is FlatNetwork else {}
    network, (values, inside) = kind(seed=2, width=3, **sized).double(), lesions(1, size=4)
    v, w = tensors(values.astype(float), inside.astype(float))
    A = network.features(v, w).detach()
    score, weights = network.logit_of(A, w).exp().item(), np.zeros(3)
    for index in np.ndindex(*A.shape):
        first, second, third = derivatives(network, A, w, index)
        weights[index[1]] += second / (2 * second + A[0, index[1]].sum().item() * third) * max(first, 0.0)
    expected = (torch.tensor(weights)[:, None, None, None] * A[0]).sum(0).numpy() / score
    assert (weights > 0).any()
    found = activation_map(network.float(), values, inside, "grad-cam++").layer[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_without_a_lesions_weights_grad_cam_and_hirescam_of_a_pooled_network_are_one_map():
    # Draelos and Carin, section 3: they differ only where the gradient differs between voxels.
    network, (values, inside) = PooledNetwork(), lesions()
    everywhere = np.ones_like(inside)
    one, other = (activation_map(network, values, everywhere, method).layer for method in ("grad-cam", "hirescam"))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-8)
    partly = [activation_map(network, values, inside, method).layer for method in ("grad-cam", "hirescam")]
    assert not np.allclose(*partly, rtol=0.1)


@BOTH
def test_a_hirescam_map_adds_up_to_the_logit_less_the_bias(kind):
    network, (values, inside) = kind(), lesions(20)
    assert completeness(network, values, inside) < 1e-5
    v, w = tensors(values, inside)
    found = activation_map(network, values, inside)
    expected = (network(v, w).logit - network.classifier.bias).detach().numpy()
    np.testing.assert_allclose(found.layer.sum((1, 2, 3)), expected, atol=1e-5)
    np.testing.assert_allclose(found.map.sum((1, 2, 3)), expected, atol=1e-5)


def test_a_classifier_that_is_not_linear_does_not_pass_as_complete():
    network, (values, inside) = PooledNetwork(), lesions()
    linear = network.logit_of
    network.logit_of = lambda A, w: linear(A, w) + linear(A, w) ** 2
    assert completeness(network, values, inside) > 1e-3


@needs_captum
def test_integrated_gradients_are_a_sum_along_the_path():
    network, (values, inside) = PooledNetwork(), lesions()
    v, w, start = tensors(values, inside, zero_contrast(values, inside))
    total, steps = torch.zeros_like(v), 300
    for n in range(steps):
        x = (start + (n + 0.5) / steps * (v - start)).requires_grad_()
        total += torch.autograd.grad(network(x, w).logit.sum(), x)[0] / steps
    expected = (total * (v - start)).sum(1).numpy()
    found = activation_map(network, values, inside, "integrated-gradients", steps=64)
    np.testing.assert_allclose(found.map, expected, atol=0.03 * np.abs(expected).max())
    np.testing.assert_array_equal(found.map, found.layer)


@needs_captum
def test_integrated_gradients_add_up_to_the_change_from_the_baseline():
    network, (values, inside) = PooledNetwork(), lesions()
    v, w, start = tensors(values, inside, zero_contrast(values, inside))
    change = (network(v, w).logit - network(start, w).logit).detach().numpy()
    found = activation_map(network, values, inside, "integrated-gradients").map.sum((1, 2, 3))
    np.testing.assert_allclose(found, change, atol=1e-3)
    errors = [completeness(network, values, inside, "integrated-gradients", steps=steps) for steps in (32, 256)]
    np.testing.assert_allclose(errors[0], np.abs(found - change).max(), rtol=0.01)
    assert errors[1] < errors[0] < 0.1 * np.abs(change).max()


@needs_captum
def test_integrated_gradients_of_a_sum_are_each_voxels_part_in_it():
    values, inside = lesions()
    baseline = np.ones_like(values)
    found = activation_map(SumNetwork(), values, inside, "integrated-gradients", baseline=baseline).map
    weight = inside / inside.sum((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, weight * (values[:, 0] - 1), atol=1e-6)
    assert completeness(SumNetwork(), values, inside, "integrated-gradients", steps=1) < 1e-6


@needs_captum
def test_zero_contrast_is_the_signal_around_the_lesion_and_the_mean_dose():
    values, inside = lesions()
    found = zero_contrast(values, inside)
    assert not found[:, 0].any()
    for row in range(3):
        expected = np.average(values[row, 1].astype(float), weights=inside[row].astype(float))
        np.testing.assert_allclose(found[row, 1], expected, rtol=1e-5)
    flat = values.copy()
    flat[:, 1] = 2.5
    maps = activation_map(SumNetwork(channel=1), flat, inside, "integrated-gradients").map
    np.testing.assert_allclose(maps, 0, atol=1e-8)


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_upsampling_keeps_sums_and_slopes(ratio):
    rng = np.random.default_rng(0)
    coarse = torch.tensor(rng.normal(size=(2, 4, 5, 6)))
    fine = upsampled(coarse, [4 * ratio, 5 * ratio, 6 * ratio], keep_sum=True)
    np.testing.assert_allclose(fine.sum((1, 2, 3)), coarse.sum((1, 2, 3)), rtol=1e-9, atol=1e-12)
    slope = torch.arange(6.0).expand(1, 6, 6, 6)
    finer = upsampled(slope, [6 * ratio] * 3, keep_sum=False)[0, 0, 0].numpy()
    centres = (np.arange(6 * ratio) + 0.5) / ratio - 0.5
    np.testing.assert_allclose(finer, np.clip(centres, 0, 5), atol=1e-5)
    assert upsampled(coarse, coarse.shape[1:], keep_sum=True) is coarse


@pytest.mark.parametrize("method", EVERY)
def test_a_map_does_not_depend_on_who_else_is_in_the_batch(method):
    network, (values, inside) = PooledNetwork(), lesions(18)
    found = activation_map(network, values, inside, method).map
    assert found.shape == inside.shape
    assert found.dtype == np.float32
    alone = activation_map(network, values[17:], inside[17:], method).map
    np.testing.assert_allclose(found[17:], alone, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", EVERY)
def test_making_a_map_leaves_no_trace_in_the_network(method):
    network, (values, inside) = PooledNetwork(), lesions()
    activation_map(network, values, inside, method)
    assert all(weight.grad is None for weight in network.parameters())
    assert not any(each._forward_hooks or each._backward_hooks for each in network.modules())


def test_hirescam_is_zero_where_the_classifier_does_not_look_and_grad_cam_is_not():
    network, (values, inside) = PooledNetwork(), lesions()
    far = torch.nn.functional.avg_pool3d(torch.tensor(inside), 2).numpy() == 0
    assert not activation_map(network, values, inside, "hirescam").layer[far].any()
    assert activation_map(network, values, inside, "grad-cam").layer[far].any()


@pytest.mark.parametrize("method", EVERY)
def test_the_map_of_an_ensemble_is_the_mean_of_its_members(method):
    networks, (values, inside) = [PooledNetwork(seed) for seed in range(3)], lesions()
    found = ensemble_map(networks, values, inside, method)
    each = [activation_map(network, values, inside, method) for network in networks]
    np.testing.assert_allclose(found.layer, np.mean([one.layer for one in each], axis=0), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.map, np.mean([one.map for one in each], axis=0), rtol=1e-4, atol=1e-7)
    rectified = ensemble_map(networks, values, inside, method, rectified=True)
    np.testing.assert_array_equal(rectified.layer, np.maximum(found.layer, 0))


def test_the_hirescam_map_of_an_ensemble_adds_up_to_its_mean_logit():
    networks, (values, inside) = [PooledNetwork(seed) for seed in range(3)], lesions()
    v, w = tensors(values, inside)
    expected = np.mean([(each(v, w).logit - each.classifier.bias).detach().numpy() for each in networks], axis=0)
    np.testing.assert_allclose(ensemble_map(networks, values, inside).map.sum((1, 2, 3)), expected, atol=1e-5)


@needs_captum
def test_maps_that_cannot_be_made_are_refused():
    network, (values, inside) = PooledNetwork(), lesions()
    with pytest.raises(UnknownNameError, match=r"score-cam.*known: grad-cam"):
        activation_map(network, values, inside, "score-cam")
    with pytest.raises(UnknownNameError, match="adds up to nothing"):
        completeness(network, values, inside, "grad-cam")
    with pytest.raises(GridMismatchError, match=r"\(3, 2, 12, 12, 12\) and \(2, 12, 12, 12\)"):
        activation_map(network, values, inside[:2])
    with pytest.raises(GridMismatchError, match="expected patches"):
        activation_map(network, values[0], inside)
    with pytest.raises(GridMismatchError, match="whole multiple"):
        upsampled(torch.zeros(1, 5, 5, 5), [12, 12, 12], keep_sum=False)
    with pytest.raises(GridMismatchError, match="baseline"):
        activation_map(network, values, inside, "integrated-gradients", baseline=values[:2])
    with pytest.raises(ValueRangeError, match="a step at least"):
        activation_map(network, values, inside, "integrated-gradients", steps=0)
    with pytest.raises(ValueRangeError, match="at least one network"):
        ensemble_map([], values, inside)
    with pytest.raises(ValueRangeError, match="eval"):
        activation_map(PooledNetwork().train(), values, inside)


def test_several_kinds_of_maps_are_those_that_are_made_one_by_one():
    networks, (values, inside) = [PooledNetwork(seed) for seed in range(3)], lesions()
    kinds = ("hirescam", "grad-cam", "grad-cam++")
    together = ensemble_maps(networks, values, inside, kinds)
    assert set(together) == set(kinds)
    for kind in kinds:
        alone = ensemble_map(networks, values, inside, kind)
        np.testing.assert_allclose(together[kind].map, alone.map, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(together[kind].layer, alone.layer, rtol=1e-5, atol=1e-7)
    with pytest.raises(UnknownNameError, match="unknown map 'lime'"):
        ensemble_maps(networks, values, inside, [*kinds, "lime"])
    with pytest.raises(ValueRangeError, match="at least one network"):
        ensemble_maps([], values, inside, kinds)


def test_a_map_that_is_not_finite_is_refused_with_its_row():
    network, (values, inside) = PooledNetwork(), lesions()
    inside[1] = 0
    with pytest.raises(ValueRangeError, match="row 1 is not finite"):
        activation_map(network, values, inside)
    with pytest.raises(ValueRangeError, match="row 1 has no voxel"):
        lesion_mean(values, inside)


def test_without_captum_integrated_gradients_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(UnsupportedError, match="captum"):
        activation_map(PooledNetwork(), *lesions(), "integrated-gradients")
