from dataclasses import replace

import numpy as np
import pytest
import torch
from invitro_examples import NAMES, made_data

from surrogate3d.errors import ConfigError, GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.invitro.fitting import Examples, train_networks
from surrogate3d.invitro.model import InVitroModel, conformal_factors
from surrogate3d.invitro.network import NetworkConfig
from surrogate3d.invitro.scales import GROUPS
from surrogate3d.invitro.training import InVitroConfig, train_folds, train_invitro
from surrogate3d.physics.linear_quadratic import RBE10

QUICK = InVitroConfig(network=NetworkConfig(width=8), steps=30, folds=3, repeats=1, learning_rate=0.02)


@pytest.fixture(scope="module")
def data():
    return made_data(72)


@pytest.fixture(scope="module")
def model(data):
    return train_invitro(data, QUICK, seed=5)


def weights(network):
    return np.concatenate([value.numpy().ravel() for value in network.state_dict().values()])


def test_networks_that_train_together_are_those_that_train_alone(data):
    chosen = np.random.default_rng(0).random((3, len(data))) < 0.7
    config = replace(QUICK, steps=10)  # with more steps rounding grows, as it does in any training
    together = train_networks(Examples.of(data, torch.float64), chosen, [1, 2, 3], config)
    for row, seed, found in zip(chosen, (1, 2, 3), together, strict=True):
        own = Examples.of(data.subset(row), torch.float64)
        alone = train_networks(own, np.ones((1, row.sum()), dtype=bool), [seed], config)[0]
        assert np.allclose(weights(found), weights(alone), atol=1e-5)


def test_a_fold_is_the_model_of_its_own_experiments(data):
    chosen = data.publication != "p3"
    found = train_folds(data, [chosen, data.publication != "p4"], QUICK, seed=5)[0]
    alone = train_invitro(data.subset(chosen), QUICK, seed=5)
    rows = (data.features, data.photon)
    assert np.allclose(found.predict(*rows).RBE10, alone.predict(*rows).RBE10, rtol=1e-4)


def test_what_is_left_out_is_not_seen(data):
    chosen = data.publication != "p3"
    changed = made_data(72)
    changed.RBE10[~chosen] *= 9
    changed.log_survival[~chosen] *= 9
    changed.features[~chosen] *= 2
    found = [train_folds(each, [chosen], QUICK, 0)[0].predict(data.features, data.photon) for each in (data, changed)]
    assert np.array_equal(found[0].alpha, found[1].alpha)
    assert found[0].intervals == found[1].intervals


def test_the_same_seed_gives_the_same_model_and_another_seed_another(data, model):
    rows = (data.features, data.photon)
    assert np.array_equal(train_invitro(data, QUICK, seed=5).predict(*rows).alpha, model.predict(*rows).alpha)
    assert not np.array_equal(train_invitro(data, QUICK, seed=6).predict(*rows).alpha, model.predict(*rows).alpha)


def test_training_finds_how_RBE_grows_with_LET(data, model):
    error = np.abs(np.log(model.predict(data.features, data.photon).RBE10 / data.RBE10))
    constant = np.abs(np.log(data.RBE10) - np.median(np.log(data.RBE10)))
    assert np.median(error) < 0.4 * np.median(constant)


def test_the_answer_is_the_mean_of_the_members(data, model):
    members = [InVitroModel((one,), None, model.low, model.high) for one in model.networks]
    alone = [one.predict(data.features, data.photon) for one in members]
    whole = model.predict(data.features, data.photon)
    assert np.allclose(whole.alpha, np.mean([one.alpha for one in alone], axis=0))
    assert np.allclose(whole.spread, np.std([np.log(one.RBE10) for one in alone], axis=0), atol=1e-5)
    assert np.allclose(whole.log_survival(2.0), -2 * whole.alpha - 4 * whole.beta)
    assert np.allclose(whole.log_survival(data.dose)[:, 1], whole.log_survival(data.dose[:, 1]), equal_nan=True)
    assert np.allclose(whole.RBE10, RBE10(whole.alpha, whole.beta, *data.photon.T))


def test_importance_of_the_groups_sums_to_one(data, model):
    found = model.predict(data.features, data.photon)
    assert found.importance.shape == (72, len(GROUPS))
    assert found.masks.shape == (72, 3, len(GROUPS))
    assert np.allclose(found.importance.sum(axis=1), 1)
    assert (found.importance[:18, GROUPS.index("nano")] == 0).all()


def test_intervals_cover_new_publications():
    """Exchangeable publications: about 90 % of unseen ones lie inside, within what 160 experiments can tell."""
    both = made_data(320, publications=80, seed=8, noise=0.2)
    first = np.isin(both.publication, [f"p{n}" for n in range(40)])
    found = train_folds(both, [first], QUICK, 0)[0].predict(both.features[~first], both.photon[~first])
    low, high = found.interval(0.9)
    inside = (low <= both.RBE10[~first]) & (both.RBE10[~first] <= high)
    assert 0.82 <= inside.mean() <= 0.99
    dose, measured = both.dose[~first], both.log_survival[~first]
    low, high = found.log_survival_interval(dose, 0.9)
    within = (low <= measured) & (measured <= high)
    assert 0.82 <= within[np.isfinite(dose)].mean() <= 0.99


def test_wider_levels_give_wider_intervals(data, model):
    found = model.predict(data.features, data.photon)
    narrow, wide = found.interval(0.5), found.interval(0.9)
    assert (wide[0] <= narrow[0]).all()
    assert (narrow[1] <= wide[1]).all()
    assert np.allclose(np.sqrt(wide[0] * wide[1]), found.RBE10)


def test_a_conformal_factor_is_the_quantile_with_one_publication_more():
    """Nine publications of one score each: 80 % asks for the ceil(10 x 0.8) = 8th, 95 % for more than there are."""
    score = np.arange(9.0, 0.0, -1.0)
    assert conformal_factors(score, np.ones(9), np.arange(9), (0.5, 0.8, 0.9, 0.95)) == (5.0, 8.0, 9.0)


def test_experiments_of_one_publication_are_not_counted_as_independent():
    score, publication = np.repeat([1.0, 2.0, 3.0, 4.0], 25), np.repeat(np.arange(4), 25)
    assert conformal_factors(score, np.ones(100), publication, (0.6, 0.75, 0.9)) == (3.0, 4.0)


def test_rows_beyond_the_training_are_out_of_domain(data, model):
    assert model.in_domain(data.features).all()
    beyond = data.features[:1].copy()
    beyond[0, NAMES.index("LET_d")] = 1e4
    assert not model.in_domain(beyond).any()


def test_what_the_model_cannot_use_is_refused(data, model):
    features, photon = data.features.copy(), data.photon.copy()
    with pytest.raises(GridMismatchError, match=r"\(72, 3\)"):
        model.predict(features[:, :3], photon)
    with pytest.raises(GridMismatchError, match=r"\(5, 2\)"):
        model.predict(features, photon[:5])
    with pytest.raises(ValueRangeError, match="row 2"):
        model.predict(features, np.where(np.arange(72)[:, None] == 2, -1.0, photon))
    features[4, NAMES.index("LET_d")] = np.nan
    with pytest.raises(QuantityError, match="row 4"):
        model.predict(features, photon)
    features[4, NAMES.index("LET_d")] = -1.0
    with pytest.raises(ValueRangeError, match="row 4"):
        model.predict(features, photon)
    with pytest.raises(QuantityError, match="33 %"):
        model.predict(data.features, photon).interval(0.33)
    with pytest.raises(QuantityError, match="no calibrated"):
        InVitroModel(model.networks, None, model.low, model.high).predict(data.features, photon).interval()


def test_a_training_that_cannot_be_is_refused(data):
    with pytest.raises(GridMismatchError, match="choices"):
        train_folds(data, [True], QUICK, 0)
    with pytest.raises(ValueRangeError, match="2 publications"):
        train_invitro(data.subset(np.isin(data.publication, ["p0", "p1"])), QUICK, 0)
    with pytest.raises(ValueRangeError, match="no experiment"):
        train_invitro(data.subset(np.zeros(72, dtype=bool)), QUICK, 0)
    with pytest.raises(ValueRangeError, match="no experiment"):
        train_networks(Examples.of(data), np.zeros((1, 72), dtype=bool), [0], QUICK)
    with pytest.raises(GridMismatchError, match="2 networks"):
        train_networks(Examples.of(data), np.ones((1, 72), dtype=bool), [0, 1], QUICK)


@pytest.mark.parametrize("setting", [{"steps": 0}, {"folds": 1}, {"learning_rate": 0.0}, {"shared": 2.0}])
def test_impossible_settings_of_the_training_are_refused(setting):
    with pytest.raises(ConfigError, match="must"):
        InVitroConfig(**setting)
