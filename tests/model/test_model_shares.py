"""Factors on the shares of bands: bounded, physical, nothing before training."""

import torch

from surrogate3d.model.groups import BANDS
from surrogate3d.model.shares import MAX_LOG_FACTOR, ShareFactors

WIDTH, GROUPS, VOXELS = 5, 2, 7
PRIMARY = torch.tensor([True, False])


def some(seed):
    made = torch.Generator().manual_seed(seed)
    return (
        torch.randn(GROUPS, VOXELS, WIDTH, generator=made),
        torch.rand(GROUPS, len(BANDS), VOXELS, generator=made),
    )


def trained(scale=1.0):
    torch.manual_seed(3)
    factors = ShareFactors(WIDTH)
    with torch.no_grad():
        for part in factors.parameters():
            part.normal_(0, scale)
    return factors.requires_grad_(False)


def test_before_training_nothing_is_changed():
    assert not ShareFactors(WIDTH)(*some(1), PRIMARY).any()


def test_factors_are_bounded_however_strange_the_weights_are():
    found = trained(100.0)(*some(1), PRIMARY)
    assert found.shape == (GROUPS, len(BANDS), VOXELS)
    assert float(found.abs().max()) <= MAX_LOG_FACTOR + 1e-6


def test_only_shares_count_not_how_much_dose_there_is():
    state, dose = some(2)
    factors = trained()
    torch.testing.assert_close(factors(state, 50 * dose, PRIMARY), factors(state, dose, PRIMARY), rtol=1e-4, atol=1e-5)


def test_a_voxel_is_changed_by_its_own_spectrum_only():
    state, dose = some(4)
    factors = trained()
    before = factors(state, dose, PRIMARY)
    dose[:, 0, 3] *= 5
    changed = (factors(state, dose, PRIMARY) - before).abs().amax(dim=(0, 1)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [3]


def test_empty_voxels_give_no_nan():
    state, dose = some(5)
    dose[..., 2] = 0
    assert bool(torch.isfinite(trained()(state, dose, PRIMARY)).all())
