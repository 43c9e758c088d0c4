"""What the training minimises."""

import math

import numpy as np
import pytest
import torch

from surrogate3d.training.loss import (
    ERROR_FLOOR,
    LINEAR_FROM,
    correction_loss,
    denoising_loss,
    deviation_loss,
    effect_of,
)

NAN = float("nan")


def case(seed=1, error=0.0, se=0.01):
    """Corrections that are off by `error`, of labels with a relative standard error, all voxels alike."""
    generator = torch.Generator().manual_seed(seed)
    log_ratio = 0.1 * torch.randn(2, 3, 50, generator=generator, dtype=torch.float64)
    label_se = torch.full_like(log_ratio, se)
    return log_ratio + error, log_ratio, label_se, torch.ones(50, dtype=torch.float64)


def test_the_effect_of_accumulators_is_that_of_the_mixing_rule():
    rng = np.random.default_rng(1)
    sums = rng.random((5, 3, 4, 5)) + 0.1  # two lines
    voxels, doses = np.array([[0, 1, 2], [2, 3, 4], [1, 0, 0]]), [0.5, 2.0, 7.0]
    found = effect_of(torch.from_numpy(sums), torch.from_numpy(voxels), torch.tensor(doses, dtype=torch.float64))
    for line in range(2):
        for n, D in enumerate(doses):
            for v, voxel in enumerate(map(tuple, voxels)):
                dose, alpha, sqrt_beta = (sums[(row, *voxel)] for row in (0, 1 + line, 3 + line))
                expected = alpha / dose * D + (sqrt_beta / dose * D) ** 2
                assert float(found[line, n, v]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.0, 0.0), (0.01, 1e-4), (-0.01, 1e-4), (0.5, 2 * LINEAR_FROM * (0.5 - LINEAR_FROM / 2))],
)
def test_denoising_costs_the_mean_square_and_beyond_a_bound_in_proportion(error, expected):
    target = torch.rand(1, 3, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    assert float(denoising_loss(target * (1 + error), target)) == pytest.approx(expected, rel=1e-10, abs=1e-20)


def test_a_perfect_correction_costs_nothing():
    assert float(correction_loss(*case())) == 0.0


@pytest.mark.parametrize("error", [0.01, -0.01])
def test_small_errors_cost_their_mean_square_in_units_of_what_can_be_known(error):
    known = ERROR_FLOOR**2 + 0.01**2  # the label's standard error is 1 %
    assert float(correction_loss(*case(error=error, se=0.01))) == pytest.approx(1e-4 / known, rel=1e-10)


def test_large_errors_cost_in_proportion():
    # 2 x Huber: 2 delta (|e| - delta / 2) with delta = 5 %.
    expected = 0.1 * (0.5 - 0.025) / (ERROR_FLOOR**2 + 0.01**2)
    assert float(correction_loss(*case(error=0.5, se=0.01))) == pytest.approx(expected, rel=1e-10)


def test_values_count_by_the_inverse_of_their_variance():
    correction, log_ratio, label_se, weight = case(se=0.0)
    label_se[:, 1] = 0.01
    correction[:, 1] += 0.02
    noisy = 1 / (ERROR_FLOOR**2 + 0.01**2)
    expected = 0.02**2 * noisy / 3  # the other two thirds have no error
    assert float(correction_loss(correction, log_ratio, label_se, weight)) == pytest.approx(expected, rel=1e-10)


def test_a_noisy_realisation_counts_by_its_weight():
    """Not relative to itself: rows of different noise are seen one after the other."""
    correction, log_ratio, label_se, weight = case(error=0.01)
    whole = float(correction_loss(correction, log_ratio, label_se, weight))
    tenth = float(correction_loss(correction, log_ratio, label_se, 0.1 * weight))
    assert tenth == pytest.approx(0.1 * whole, rel=1e-10)


def test_voxels_without_label_neither_count_nor_spoil_the_gradient():
    correction, log_ratio, label_se, weight = case(error=0.03)
    whole = correction_loss(*(part[..., :25] for part in (correction, log_ratio, label_se, weight)))
    log_ratio[..., 25:] = NAN
    label_se[..., 25:] = NAN
    correction.requires_grad_()
    found = correction_loss(correction, log_ratio, label_se, weight)
    assert found.item() == pytest.approx(whole.item(), rel=1e-12)
    found.backward()
    assert bool(torch.isfinite(correction.grad).all())
    assert not correction.grad[..., 25:].any()
    assert bool((correction.grad[..., :25] != 0).all())


def test_without_any_label_it_is_zero_with_a_gradient():
    correction, log_ratio, label_se, weight = case()
    correction.requires_grad_()
    loss = correction_loss(correction, log_ratio * NAN, label_se, weight)
    assert loss.item() == 0.0
    loss.backward()
    assert not correction.grad.any()


def test_the_gradients_are_those_of_finite_differences():
    correction, log_ratio, label_se, weight = case(error=0.04)
    log_ratio[0, 0, 3] = NAN
    assert torch.autograd.gradcheck(
        lambda x: correction_loss(x, log_ratio[..., :4], label_se[..., :4], weight[:4]),
        (correction[..., :4].clone().requires_grad_(),),
    )
    target = log_ratio[:, 1:2, :4].exp()
    near = (target * 1.03).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: denoising_loss(x, target), (near,))
    log_std = torch.full((2, 4), -3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: deviation_loss(x, 0.1 * target[:, 0]), (log_std,))


def test_the_likelihood_teaches_the_deviation_only():
    error = torch.full((1, 9), 0.02, requires_grad=True)
    log_std = torch.full((1, 9), -4.0, requires_grad=True)
    deviation_loss(log_std, error).backward()
    assert error.grad is None
    assert bool((log_std.grad != 0).all())


def test_the_likelihood_is_that_of_a_gaussian():
    log_std, error = torch.tensor([[-4.0, -3.0]]), torch.tensor([[0.02, -0.07]])
    normal = torch.distributions.Normal(0.0, log_std.exp())
    expected = -(normal.log_prob(error) + 0.5 * math.log(2 * math.pi)).mean()
    torch.testing.assert_close(deviation_loss(log_std, error), expected)


def test_the_likelihood_is_least_at_the_true_deviation():
    true_std = 0.03
    generator = torch.Generator().manual_seed(3)
    error = true_std * torch.randn(1, 200_000, generator=generator, dtype=torch.float64)
    stds = torch.linspace(0.02, 0.04, 41, dtype=torch.float64)
    costs = [float(deviation_loss(s.log().expand(error.shape), error)) for s in stds]
    assert float(stds[int(torch.tensor(costs).argmin())]) == pytest.approx(true_std, abs=0.0006)
