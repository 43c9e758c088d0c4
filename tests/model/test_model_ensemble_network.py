"""All networks as one: the same answer as the networks one by one, and as the engine's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import LINE, make_field, make_surrogate, random_network

from surrogate3d.inference.curves import predict_curves
from surrogate3d.model.ensemble_network import EnsembleNetwork
from surrogate3d.model.groups import field_inputs

FIELD = make_field(seed=3)
SURROGATE = make_surrogate(FIELD)
CHARGE, PHOTON = torch.tensor([1, 2]), torch.tensor([LINE.alpha_x, LINE.beta_x])


def answered(surrogate, voxels):
    inputs = torch.from_numpy(field_inputs(FIELD, (surrogate.guide, surrogate.guide)))
    with torch.no_grad():
        return EnsembleNetwork.of(surrogate)(inputs, torch.from_numpy(voxels), CHARGE, PHOTON)


def test_the_answer_is_that_of_the_engine_where_the_training_speaks():
    curves = predict_curves(FIELD, SURROGATE, LINE)
    inside = ~curves.out_of_domain[curves.mask]
    assert inside.sum() > 50
    found = answered(SURROGATE, np.argwhere(curves.mask))
    np.testing.assert_allclose(found.effect.numpy().T[inside], curves.effect[inside], rtol=1e-4)
    np.testing.assert_allclose(np.exp(found.log_std.numpy())[inside], curves.relative_std[inside], rtol=1e-3)
    np.testing.assert_allclose(found.log_correction.numpy().T[inside], curves.log_correction[inside], atol=1e-5)


def test_the_deviation_has_what_members_predict_and_their_spread():
    found = answered(SURROGATE, np.argwhere(FIELD.dose > 0.3 * FIELD.dose.max()))
    effects = found.member_effect.double().numpy()
    mean = effects.mean(axis=0)
    spread = (effects / mean).var(axis=0, ddof=1).mean(axis=0)
    own = np.exp(2 * found.member_log_std.double().numpy()).mean(axis=0)
    assert spread.max() > own.min() / 10  # else the test would show nothing
    np.testing.assert_allclose(found.effect.numpy(), mean, rtol=1e-6)
    np.testing.assert_allclose(np.exp(2 * found.log_std.double().numpy()), own + spread, rtol=1e-5)


def test_a_single_member_has_no_spread():
    single = make_surrogate(FIELD, (random_network(1),))
    found = answered(single, np.array([[4, 4, 3], [4, 5, 6]]))
    torch.testing.assert_close(found.log_std, found.member_log_std[0])
    torch.testing.assert_close(found.effect, found.member_effect[0])


def test_the_state_is_the_weights_alone():
    names = EnsembleNetwork.of(SURROGATE).state_dict()
    own = SURROGATE.networks[0].state_dict()
    assert set(names) == {f"members.{n}.{name}" for n in range(2) for name in own}


def test_the_channels_follow_the_guide_and_the_effect_the_other_line():
    inputs = torch.from_numpy(field_inputs(FIELD, (SURROGATE.guide, SURROGATE.guide)))
    other = inputs.clone()
    other[:, :, [3, 5]] *= 2.0  # dose_alpha and dose_sqrt_beta of the line that is asked for
    voxels = torch.tensor([[4, 4, 3]])
    with torch.no_grad():
        network = EnsembleNetwork.of(replace(SURROGATE, networks=(random_network(2, corrected=False),)))
        one, two = (network(x, voxels, CHARGE, PHOTON) for x in (inputs, other))
        contexts = [network.prepare(x, CHARGE).contexts[0].state for x in (inputs, other)]
    torch.testing.assert_close(*contexts)
    linear = (4 * one.effect[1] - one.effect[3]) / 2  # alpha D at 0.5 Gy, of effects at 0.5 and 1 Gy
    quadratic = one.effect[1] - linear
    torch.testing.assert_close(two.effect[1], 2 * linear + 4 * quadratic, rtol=1e-4, atol=0)


@pytest.mark.parametrize("portion", [1, 7])
def test_portions_of_voxels_have_the_answer_of_all_together(portion):
    inputs = torch.from_numpy(field_inputs(FIELD, (SURROGATE.guide, SURROGATE.guide)))
    network, voxels = EnsembleNetwork.of(SURROGATE), torch.ones(3, 3, 2).nonzero() + 2
    with torch.no_grad():
        field = network.prepare(inputs, CHARGE)
        parts = [network.answer(field, part, CHARGE, PHOTON).effect for part in torch.split(voxels, portion)]
        torch.testing.assert_close(torch.cat(parts, dim=1), network(inputs, voxels, CHARGE, PHOTON).effect)
