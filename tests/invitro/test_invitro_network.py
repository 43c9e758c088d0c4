import numpy as np
import pytest
import torch
from invitro_examples import NAMES, made_data

from surrogate3d.errors import ConfigError
from surrogate3d.invitro.network import InVitroNetwork, NetworkConfig, photon_shape, shifted, typical_std
from surrogate3d.invitro.scales import FEATURES, GROUPS
from surrogate3d.physics.linear_quadratic import D10, RBE10


def wild(config=None, seed=0):
    """A network of large random weights: what holds for it holds by construction, not by training."""
    torch.manual_seed(seed)
    network = InVitroNetwork(config or NetworkConfig(width=8)).double()
    with torch.no_grad():
        for layer in (network.answer, network.doubt):
            layer.weight.normal_(0, 2.0)
    return network.eval()


def rows(n=40, seed=3):
    data = made_data(n, seed=seed)
    return torch.tensor(data.features), torch.tensor(data.photon)


def test_survival_is_one_at_no_dose_and_falls_with_dose():
    said = wild()(*rows())
    dose = torch.linspace(0, 20, 50, dtype=torch.double)
    effect = said.alpha[:, None] * dose + said.beta[:, None] * dose**2
    assert (effect[:, 0] == 0).all()
    assert (effect.diff(dim=1) > 0).all()
    assert (said.alpha >= 0).all()
    assert (said.beta >= 0).all()


def test_at_no_LET_the_curve_is_that_of_photons():
    features, photon = rows()
    features[:, NAMES.index("LET_d")] = 0.0
    said = wild()(features, photon)
    assert torch.allclose(torch.stack([said.alpha, said.beta], 1), photon, rtol=1e-12)
    assert (said.log_RBE10 == 0).all()


def test_at_little_LET_the_difference_to_photons_is_in_proportion_to_it():
    features, photon = rows()
    features[:, [feature.group == "LET" for feature in FEATURES]] = np.nan  # as the masks may look at it, too
    apart = []
    for LET in (1e-3, 2e-3):
        features[:, NAMES.index("LET_d")] = LET
        network = wild(NetworkConfig(width=8, groups=tuple(name for name in GROUPS if name != "LET")))
        apart.append(network(features, photon).log_RBE10)
    assert torch.allclose(apart[1] / apart[0], torch.tensor(2.0, dtype=torch.double), rtol=1e-3)


def test_the_logarithm_of_RBE10_is_that_of_the_curve():
    features, photon = rows()
    said = wild()(features, photon)
    expected = RBE10(said.alpha.detach().numpy(), said.beta.detach().numpy(), *photon.numpy().T)
    assert np.allclose(np.exp(said.log_RBE10.detach().numpy()), expected, rtol=1e-10)


@pytest.mark.parametrize("pair", [(0.3, 0.03), (0.3, 0.0), (0.0, 0.03)])
def test_D10_and_the_linear_share_of_photons_hold_for_one_sided_curves_too(pair):
    dose, share = photon_shape(torch.tensor([pair], dtype=torch.double))
    assert np.isclose(float(dose), D10(*pair))
    assert np.isclose(float(share), pair[0] * D10(*pair) / np.log(10))
    alpha, beta = shifted(torch.tensor([pair], dtype=torch.double), torch.tensor([0.4]), torch.tensor([1.3]))
    assert np.isclose(D10(float(alpha), float(beta)), D10(*pair) * np.exp(-0.4), rtol=1e-6)
    assert (float(alpha) == 0) == (pair[0] == 0)
    assert (float(beta) == 0) == (pair[1] == 0)


def test_a_shift_of_the_logit_makes_the_curve_straighter():
    photon = torch.tensor([[0.2, 0.04]], dtype=torch.double)
    alpha, beta = shifted(photon, torch.zeros(1, dtype=torch.double), torch.ones(1, dtype=torch.double))
    dose, share = photon_shape(torch.stack([alpha, beta], 1))
    assert torch.allclose(torch.logit(share), torch.logit(photon_shape(photon)[1]) + 1)
    assert torch.allclose(dose, photon_shape(photon)[0])


def test_unknown_features_are_answered_and_their_group_gets_no_mask():
    features, photon = rows()
    features[:, [feature.group == "nano" for feature in FEATURES]] = np.nan
    said = wild()(features, photon)
    assert torch.isfinite(said.alpha).all()
    assert (said.masks[..., GROUPS.index("nano")] == 0).all()
    assert torch.allclose(said.masks.sum(-1), torch.ones((), dtype=torch.double))


def test_a_group_that_is_left_out_changes_nothing():
    features, photon = rows()
    network = wild(NetworkConfig(width=8, groups=("LET", "biology")))
    before = network(features, photon).alpha
    features[:, [feature.scale == "micrometre" for feature in FEATURES]] *= 3.0
    assert torch.equal(network(features, photon).alpha, before)


def test_a_row_does_not_depend_on_the_others():
    features, photon = rows()
    network = wild()
    assert torch.allclose(network(features, photon).alpha[:5], network(features[:5], photon[:5]).alpha, rtol=1e-12)


def test_the_usual_deviation_is_that_of_the_published_points():
    """Scatter about PIDE's own fits, 0.10 near S = 1; with 12 % of the effect of repeats it is 0.42 at E = 3."""
    assert np.isclose(float(typical_std(torch.tensor(0.0))), 0.10)
    assert np.isclose(float(typical_std(torch.tensor(3.0))), np.sqrt(0.1**2 + 0.045 + 0.36**2))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"width": 0}, "at least 1"),
        ({"gamma": 0.5}, "gamma"),
        ({"half_LET": 0.0}, "half_LET"),
        ({"groups": ("pico",)}, "pico"),
        ({"groups": ()}, "none"),
    ],
)
def test_impossible_settings_are_refused(setting, words):
    with pytest.raises(ConfigError, match=words):
        NetworkConfig(**setting)
