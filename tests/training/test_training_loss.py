"""What the training minimises."""

import math

import pytest
import torch

from surrogate3d.training.loss import ERROR_FLOOR, masked_effect_loss


def case(seed=1, error=0.0, se=0.01):
    generator = torch.Generator().manual_seed(seed)
    label = torch.rand(2, 3, 50, generator=generator, dtype=torch.float64) + 0.5
    label_se = torch.full_like(label, se)
    log_std = torch.full((2, 50), -4.0, dtype=torch.float64)
    return label * (1 + error), label, label_se, log_std


def test_a_perfect_prediction_costs_nothing():
    assert float(masked_effect_loss(*case())[0]) == 0.0


def test_small_errors_cost_their_mean_square():
    # Equal weights: the mean squared relative error, whatever its sign.
    assert float(masked_effect_loss(*case(error=0.01))[0]) == pytest.approx(1e-4, rel=1e-12)
    assert float(masked_effect_loss(*case(error=-0.01))[0]) == pytest.approx(1e-4, rel=1e-12)


def test_large_errors_cost_in_proportion():
    # 2 x Huber: 2 delta (|e| - delta / 2) with delta = 5 %.
    assert float(masked_effect_loss(*case(error=0.5))[0]) == pytest.approx(0.1 * (0.5 - 0.025), rel=1e-12)


def test_values_count_by_the_inverse_of_their_variance():
    effect, label, label_se, log_std = case(se=0.0)
    label_se[:, 1] = 0.01
    effect = label.clone()
    effect[:, 1] *= 1.02
    precise, noisy = 1 / ERROR_FLOOR**2, 1 / (ERROR_FLOOR**2 + 0.01**2)
    expected = 0.02**2 * noisy / (2 * precise + noisy)
    assert float(masked_effect_loss(effect, label, label_se, log_std)[0]) == pytest.approx(expected, rel=1e-10)


def test_voxels_without_label_neither_count_nor_spoil_the_gradient():
    effect, label, label_se, log_std = case(error=0.03)
    whole = masked_effect_loss(effect[..., :25], label[..., :25], label_se[..., :25], log_std[..., :25])
    label[..., 25:] = float("nan")
    label_se[..., 25:] = float("nan")
    effect = effect.requires_grad_()
    log_std = log_std.requires_grad_()
    found = masked_effect_loss(effect, label, label_se, log_std)
    for mine, theirs in zip(found, whole, strict=True):
        assert mine.item() == pytest.approx(theirs.item(), rel=1e-12)
    sum(found).backward()
    for gradient in (effect.grad, log_std.grad):
        assert bool(torch.isfinite(gradient).all())
        assert not gradient[..., 25:].any()
        assert bool((gradient[..., :25] != 0).all())


def test_without_any_label_it_is_zero_with_a_gradient():
    effect, label, label_se, log_std = case()
    effect.requires_grad_()
    loss, likelihood = masked_effect_loss(effect, label * float("nan"), label_se, log_std)
    assert loss.item() == likelihood.item() == 0.0
    (loss + likelihood).backward()
    assert not effect.grad.any()


def test_the_gradient_is_that_of_finite_differences():
    effect, label, label_se, log_std = case(error=0.04)
    label[0, 0, 3] = float("nan")
    first = effect[..., :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: masked_effect_loss(torch.cat([x, effect[..., 2:]], dim=-1), label, label_se, log_std)[0], (first,)
    )


def test_the_likelihood_teaches_the_deviation_only():
    effect, label, label_se, log_std = case(error=0.04)
    effect.requires_grad_()
    likelihood = masked_effect_loss(effect, label, label_se, log_std)[1]
    assert not likelihood.requires_grad  # neither the effect nor, here, the deviation asks for a gradient


def test_the_likelihood_is_least_at_the_true_deviation():
    true_std, se = 0.03, 0.01
    generator = torch.Generator().manual_seed(3)
    label = torch.ones(1, 1, 200_000, dtype=torch.float64)
    error = math.hypot(true_std, se) * torch.randn(label.shape, generator=generator, dtype=torch.float64)
    stds = torch.linspace(0.02, 0.04, 41, dtype=torch.float64)
    costs = [
        float(masked_effect_loss(label + error, label, torch.full_like(label, se), s.log().expand(1, 200_000))[1])
        for s in stds
    ]
    assert float(stds[int(torch.tensor(costs).argmin())]) == pytest.approx(true_std, abs=0.0006)
