from itertools import chain, combinations

import numpy as np
import torch

from surrogate3d.invitro.attention import AttentiveSteps, entropy, sparsemax


def nearest_of_the_simplex(z):
    """Slow twin: the projection is that onto some face, so try all faces and keep the nearest point inside."""
    numbers = range(len(z))
    best, least = None, np.inf
    for face in map(list, chain.from_iterable(combinations(numbers, k) for k in range(1, len(z) + 1))):
        point = np.zeros(len(z))
        point[face] = z[face] - (z[face].sum() - 1) / len(face)
        distance = ((point - z) ** 2).sum()
        if (point >= 0).all() and distance < least:
            best, least = point, distance
    return best


def steps(seed=0, gamma=1.5, n_steps=3):
    torch.manual_seed(seed)
    return AttentiveSteps([0, 0, 1, 2, 2, 2], width=4, n_steps=n_steps, gamma=gamma)


def test_sparsemax_is_the_projection_onto_the_simplex():
    z = np.random.default_rng(0).normal(0, 1, (40, 5))
    expected = [nearest_of_the_simplex(row) for row in z]
    assert np.allclose(sparsemax(torch.tensor(z)), expected, atol=1e-12)
    assert (np.array(expected) == 0).any()


def test_sparsemax_works_along_any_axis():
    z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(sparsemax(z, 1), sparsemax(z.movedim(1, -1)).movedim(-1, 1))
    assert torch.allclose(sparsemax(z, 1).sum(1), torch.ones(3, 5))


def test_sparsemax_has_the_gradient_of_the_projection():
    z = torch.tensor([0.6, 0.4, -2.0, 0.5], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, z)


def test_masks_sum_to_one_and_vanish_for_absent_groups():
    present = torch.tensor([[True, True, True], [False, True, True], [True, False, False]])
    found = steps()(torch.randn(3, 6, generator=torch.Generator().manual_seed(2)), present)
    assert torch.allclose(found.masks.sum(-1), torch.ones(3, 3))
    assert torch.allclose(found.importance.sum(-1), torch.ones(3))
    assert (found.masks[~present[:, None].expand(3, 3, 3)] == 0).all()
    assert (found.importance[~present] == 0).all()


def test_where_nothing_is_known_nothing_is_looked_at():
    found = steps()(torch.zeros(2, 6), torch.zeros(2, 3, dtype=torch.bool))
    assert (found.masks == 0).all()
    assert torch.isfinite(found.state).all()


def test_features_of_an_absent_group_change_nothing():
    present, x = torch.tensor([[True, False, True]]), torch.ones(1, 6)
    other = x.clone()
    other[:, 2] = 7.0
    assert torch.equal(steps()(x, present).state, steps()(other, present).state)


def test_all_features_of_a_group_share_one_mask():
    """A row is told by its group's embedding alone, so features that make the same embedding get the same mask."""
    network, x = steps(), torch.zeros(2, 6)
    x[0, 0], x[1, 1] = 1.0, 1.0
    with torch.no_grad():
        network.embedding[0, 1] = network.embedding[0, 0]
    found = network(x, torch.ones(2, 3, dtype=torch.bool))
    assert torch.equal(found.masks[0], found.masks[1])


def test_without_relaxation_a_group_that_was_fully_used_gets_no_more_pull():
    """TabNet: the prior scale is the product of gamma - mask; at gamma 1 a mask of 1 leaves 0 times the logit."""
    network = steps(gamma=1.0, n_steps=2)
    with torch.no_grad():
        for choose in network.choose:
            choose.weight.zero_()
            choose.bias.copy_(torch.tensor([5.0, 1.0, 0.0]))
    masks = network(torch.ones(1, 6), torch.ones(1, 3, dtype=torch.bool)).masks[0]
    assert torch.allclose(masks[0], torch.tensor([1.0, 0.0, 0.0]))
    assert torch.allclose(masks[1], torch.tensor([0.0, 1.0, 0.0]))


def test_entropy_is_zero_for_one_group_and_the_logarithm_of_their_number_for_all():
    assert abs(float(entropy(torch.tensor([[1.0, 0.0, 0.0, 0.0]])))) < 1e-6
    assert abs(float(entropy(torch.full((1, 4), 0.25))) - np.log(4)) < 1e-6
