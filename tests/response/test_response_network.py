import numpy as np
import pytest
import torch
from response_examples import SMALL, made_patches

from surrogate3d.errors import GridMismatchError
from surrogate3d.response.activation import activation_map
from surrogate3d.response.network import ResponseNetwork, lesion_weight, pooled


@pytest.fixture(scope="module")
def batch():
    patches = made_patches(2)
    return torch.from_numpy(patches.values), torch.from_numpy(patches.inside)


@pytest.fixture(scope="module")
def network(batch):
    torch.manual_seed(5)
    made = ResponseNetwork(SMALL, 2).eval()
    torch.nn.init.normal_(made.classifier.weight)
    made.see(*batch)
    made.standardise(made.encoded(*batch))
    return made


def test_the_logit_is_its_bias_and_a_sum_over_voxels_and_channels(network, batch):
    values, inside = batch
    with torch.no_grad():
        A = network.features(values, inside).double()
        logit = network(values, inside).logit.double()
    weight = network.classifier.weight.detach().double()[0]
    for n in range(len(values)):
        coarse = inside[n].double().reshape(6, 2, 6, 2, 6, 2).sum((1, 3, 5))
        parts = weight[:, None, None, None] * A[n] * coarse / inside[n].double().sum()
        assert abs(parts.sum() + network.classifier.bias.item() - logit[n]) < 1e-5


def test_gradient_times_activation_sums_to_the_logit_without_its_bias(network, batch):
    values, inside = batch
    A = network.features(values, inside).detach().requires_grad_()
    logit = network.logit_of(A, inside)
    (slope,) = torch.autograd.grad(logit.sum(), A)
    assert torch.allclose((slope * A).sum((1, 2, 3, 4)) + network.classifier.bias, logit, atol=1e-5)


def weight_of_dose(network, values):
    """w of the coarse voxels, straight from the dose."""
    dose = torch.nn.functional.avg_pool3d(values[:, 1:2], 2)[:, 0]
    return torch.exp(-network.fall.detach()[0] * (dose - network.mean[1]) / network.deviation[1])


def wholly_inside(inside):
    return lesion_weight(inside) >= lesion_weight(inside).amax((1, 2, 3), keepdim=True)


def test_tissue_counts_for_more_where_less_dose_came(network, batch):
    values, inside = batch
    A = network.features(values, inside).detach() * network.unit[:, None, None, None]
    assert A.shape == (4, 6, 6, 6, 6)
    where, expected = wholly_inside(inside), weight_of_dose(network, values)
    colder = values.clone()
    colder[:, 1] -= 0.5 * network.deviation[1]
    warm, cold = A[:, :5], network.features(colder, inside).detach()[:, :5] * network.unit[:5, None, None, None]
    factor = torch.exp(0.5 * network.fall.detach()[0])
    assert torch.allclose(cold.transpose(0, 1)[:, where], factor * warm.transpose(0, 1)[:, where], rtol=1e-3, atol=1e-5)
    mean = (expected * lesion_weight(inside)).sum() / 4  # doses of coarse voxels that the border cuts are those inside
    assert torch.allclose(A[:, 5][where], expected[where] - network.mean_weight, atol=1e-4)
    assert network.mean_weight.item() == pytest.approx(mean.item(), rel=0.2)


def test_the_dose_paints_nothing_on_tissue_that_is_like_the_average(network, batch):
    values, inside = batch
    flat = values.clone()
    flat[:, 0] = 0.0
    even = network.features(flat, inside).detach()
    where = wholly_inside(inside)
    assert where.sum() > 8
    tissue = (even[:, :5] / weight_of_dose(network, flat)[:, None]).transpose(0, 1)[:, where]
    assert tissue.std(dim=1).max() < 1e-3 * even.abs().max()


def test_while_it_learns_the_means_follow_and_in_use_they_stay(network, batch):
    values, inside = batch
    torch.manual_seed(6)
    fresh = ResponseNetwork(SMALL, 2)
    fresh.see(values, inside)
    encoded = fresh.encoded(values, inside)
    torch.nn.init.zeros_(fresh.fall)  # the tissue alone
    fresh.train()
    for _ in range(200):
        fresh.activations(encoded)
    of_lesions = pooled(fresh.eval().activations(encoded), lesion_weight(inside)).detach()
    assert torch.allclose(of_lesions.mean(0), torch.zeros(6), atol=1e-4)
    before = fresh.mean_tissue.clone()
    fresh.activations(2 * encoded)
    assert torch.equal(fresh.mean_tissue, before)


def test_without_what_was_delivered_there_are_the_activations_alone(batch):
    from dataclasses import replace

    alone = ResponseNetwork(replace(SMALL, channels=("image",)), 1)
    assert alone.features(batch[0][:, :1], batch[1]).shape == (4, 5, 6, 6, 6)


def test_a_lesions_answer_does_not_depend_on_the_others_of_its_batch(network, batch):
    values, inside = batch
    together = network(values, inside)
    alone = network(values[2:3], inside[2:3])
    assert torch.allclose(together.logit[2], alone.logit[0], atol=1e-5)
    assert together.reconstruction.shape == (4, 2, 6, 6, 6)
    assert torch.allclose(together.reconstruction[2], alone.reconstruction[0], atol=1e-4)


def test_what_lies_outside_the_lesion_is_not_seen(network, batch):
    values, inside = batch
    before = network(values, inside)
    other = torch.where(inside[:, None] > 0, values, 37.0)
    after = network(other, inside)
    assert torch.equal(before.logit, after.logit)
    assert torch.equal(before.reconstruction, after.reconstruction)


def test_brightness_counts_from_the_lesions_median(network, batch):
    values, inside = batch
    brighter = values.clone()
    brighter[:, 0] += torch.tensor([0.5, -0.2, 1.0, 0.1])[:, None, None, None]
    assert torch.allclose(network(brighter, inside).logit, network(values, inside).logit, atol=1e-4)


def test_the_lesions_weight_sums_to_one(batch):
    weight = lesion_weight(batch[1])
    assert torch.allclose(weight.sum((1, 2, 3)), torch.ones(4))
    assert weight.shape == (4, 6, 6, 6)


def test_the_scale_is_that_inside_the_lesions(batch):
    values, inside = batch
    network = ResponseNetwork(SMALL, 2)
    network.see(values, inside)
    medians = [np.median(image[lesion > 0]) for image, lesion in zip(values[:, 0], inside, strict=True)]
    bright = torch.cat([image[lesion > 0] - m for image, lesion, m in zip(values[:, 0], inside, medians, strict=True)])
    dose = values[:, 1][inside > 0]  # the spacing is that of the image, so fractions are 0 or 1
    for n, voxels in enumerate((bright, dose)):
        assert network.mean[n].item() == pytest.approx(voxels.mean().item(), abs=2e-3)
        assert network.deviation[n].item() == pytest.approx(voxels.std(correction=0).item(), rel=2e-3)
    constant = torch.ones_like(values)
    network.see(constant, inside)
    assert torch.isfinite(network(constant, inside).logit).all()


def test_pooled_activations_are_standardised(batch):
    values, inside = batch
    torch.manual_seed(6)
    fresh = ResponseNetwork(SMALL, 2).train()
    fresh.see(values, inside)
    encoded = fresh.encoded(values, inside)
    torch.nn.init.zeros_(fresh.fall)  # the tissue alone
    fresh.standardise(encoded)
    assert fresh.training
    of_lesions = pooled(fresh.eval().activations(encoded), lesion_weight(inside)).detach()
    assert torch.allclose(of_lesions.mean(0), torch.zeros(6), atol=1e-4)
    assert of_lesions.std(0).max() < 1.001


@pytest.mark.parametrize("shape", [(2, 3, 12, 12, 12), (2, 2, 12, 13, 12), (2, 12, 12, 12)])
def test_patches_that_do_not_fit_are_refused(network, shape):
    with pytest.raises(GridMismatchError, match="expected patches"):
        network.features(torch.zeros(shape), torch.zeros((2, *shape[-3:])))


def test_in_the_lesion_grad_cam_is_the_same_map(network, batch):
    """After a weighted mean and a linear classifier the gradient is a number of the channel: Draelos and Carin, 3.4."""
    values, inside = (each.numpy() for each in batch)
    exact, coarse = (activation_map(network, values, inside, method).layer for method in ("hirescam", "grad-cam"))
    share = lesion_weight(batch[1]).numpy()
    np.testing.assert_allclose(exact * share.mean((1, 2, 3), keepdims=True), coarse * share, atol=1e-7)
