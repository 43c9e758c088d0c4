from dataclasses import replace

import numpy as np
import pytest
import torch
from invitro_examples import NAMES, made_data

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.invitro.fitting import InVitroConfig
from surrogate3d.invitro.importance import (
    Errors,
    agreement,
    by_scale,
    claims,
    clustered_difference,
    over_LET,
    rank_correlations,
    seeds_for,
)
from surrogate3d.invitro.importance_network import (
    columns_of,
    integrated_gradients,
    orders,
    said,
    seen,
    shuffled,
)
from surrogate3d.invitro.importance_training import (
    PARTS,
    ensemble_errors,
    errors,
    gradient_importance,
    judged_networks,
    mask_importance,
    permutation_errors,
    retrained,
    strata,
    without_parts,
)
from surrogate3d.invitro.network import InVitroNetwork, NetworkConfig
from surrogate3d.invitro.scales import FEATURES, GROUPS, SCALES
from surrogate3d.physics.linear_quadratic import RBE10

QUICK = InVitroConfig(network=NetworkConfig(width=8), steps=60, learning_rate=0.03)
GROUP_OF = np.array([feature.group for feature in FEATURES])


def planted(n=120):
    """Only the nanometre group tells the RBE: the site of 1 um is noise, and all others are the same everywhere."""
    data, rng = made_data(n, publications=15, noise=0.0), np.random.default_rng(4)
    told = rng.uniform(-1, 1, n)
    features = np.ones(data.features.shape)
    noisy = GROUP_OF == "micro_1um"
    features[:, noisy] = np.exp(0.3 * rng.normal(size=(n, noisy.sum())))
    features[:, GROUP_OF == "nano"] = np.exp(0.5 * told)[:, None]
    features[:, GROUP_OF == "LET"] = 50.0
    photon = np.tile([0.3, 0.03], (n, 1))
    alpha = 0.9 * np.exp(0.6 * told)
    log_survival = -(alpha[:, None] * data.dose + 0.03 * data.dose**2)
    return replace(
        data, features=features, photon=photon, log_survival=log_survival, RBE10=RBE10(alpha, 0.03, 0.3, 0.03)
    )


@pytest.fixture(scope="module")
def data():
    return planted()


@pytest.fixture(scope="module")
def judged(data):
    return judged_networks(data, QUICK, 3, [0])[0]


@pytest.fixture(scope="module")
def rough():
    """A network of random weights that are large enough for masks of several groups, on varied features."""
    made = made_data(40)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return InVitroNetwork(NetworkConfig(width=8)).eval(), made


def test_shares_of_scales_are_the_sums_over_their_groups():
    shares = np.arange(8.0)  # nano, five sites, LET, biology
    assert by_scale(shares).tolist() == [0.0, 1.0 + 2 + 3 + 4 + 5, 6.0, 7.0]
    with pytest.raises(GridMismatchError, match="8 groups"):
        by_scale(np.ones((2, 7)))


def test_rank_correlations_are_one_for_equal_order_and_minus_one_for_the_opposite():
    rows = [[1.0, 2.0, 3.0], [10.0, 20.0, 90.0], [3.0, 2.0, 1.0]]
    assert np.allclose(rank_correlations(rows), [1, -1, -1])
    with pytest.raises(GridMismatchError, match="two importances"):
        rank_correlations(rows[:1])


def test_methods_agree_by_the_order_of_their_groups():
    found = agreement({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 5.0, 6.0, 99.0], "c": [4.0, 3.0, 2.0, 1.0]})
    assert found == pytest.approx({("a", "b"): 1, ("a", "c"): -1, ("b", "c"): -1})


def test_averages_of_so_many_seeds_agree_as_wanted():
    """Rows of a common part and as much noise correlate by 0.5; averages of four by 4 x 0.5 / (1 + 3 x 0.5) = 0.8."""
    assert seeds_for(0.5) == pytest.approx(4)
    assert seeds_for(0.8) == pytest.approx(1)
    assert seeds_for(-0.1) == np.inf


def test_a_shift_of_all_errors_is_found_without_spread():
    rng = np.random.default_rng(1)
    before = rng.random(50)
    change = clustered_difference(
        Errors(before + 0.05, before), Errors(before, before), np.repeat(np.arange(10), 5), np.ones(50, dtype=bool)
    )
    assert np.allclose(change, 0.05)


def test_the_interval_of_a_difference_is_that_of_publications_not_of_experiments():
    """Twenty times the experiments of the same publications say no more: equal to one experiment each."""
    rng = np.random.default_rng(2)
    old, new = rng.random(15), rng.random(15)
    alone = clustered_difference(Errors(new, new), Errors(old, old), np.arange(15), np.ones(15, dtype=bool))
    many = [Errors(np.repeat(each, 20), np.repeat(each, 20)) for each in (new, old)]
    repeated = clustered_difference(*many, np.repeat(np.arange(15), 20), np.ones(300, dtype=bool))
    assert np.allclose(alone, repeated)
    assert alone.low < alone.high


def test_errors_need_something_to_judge():
    error = Errors(np.array([np.nan, 0.1]), np.zeros(2))
    with pytest.raises(ValueRangeError, match="judge"):
        clustered_difference(error, error, ["a", "b"], [True, False])
    assert error.median_RBE10([True, True]) == pytest.approx(0.1)
    assert Errors(np.zeros(2), np.array([1.0, 7.0])).rms_log_survival([True, True]) == pytest.approx(2.0)


def test_bins_of_LET_hold_every_experiment_of_their_ion_once():
    rng = np.random.default_rng(0)
    species = np.array(["H"] * 40 + ["C"] * 31 + ["Fe"] * 3 + ["O"] * 4)
    LET = np.exp(rng.uniform(0, 5, 78))
    shares = np.broadcast_to(np.array([0.2, *[0.1] * 5, 0.2, 0.1]), (3, 78, 8))
    found = over_LET(shares, LET, species, least=10)
    assert [each.ion for each in found] == ["H", "C", "other ions"]
    assert [int(each.experiments.sum()) for each in found] == [40, 31, 7]
    assert [len(each.LET) for each in found] == [4, 3, 1]
    assert np.allclose(found[2].LET, np.exp(np.log(LET[71:]).mean()))
    assert all((np.diff(each.LET) > 0).all() for each in found)
    assert all(np.allclose(each.share, [0.2, 0.5, 0.2, 0.1]) for each in found)


def test_claims_are_those_of_importances_made_for_them():
    falling = [0.3, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02, 0.1]
    one = claims([falling, falling])
    assert (one.smaller_weigh_more, one.size_correlation, one.LET_less) == pytest.approx((1.0, -1.0, 1.0))
    assert one.LET_difference == pytest.approx(0.02 - 0.88 / 6)
    assert (one.largest_group, one.largest_group_share) == ("nano", pytest.approx(0.3))
    assert (one.largest, one.largest_share, one.none_dominates) == ("micrometre", pytest.approx(0.58), 0.0)
    other = claims([[0.3, 0.02, 0.03, 0.04, 0.05, 0.06, 0.3, 0.2], [*falling[:6][::-1], 0.9, 0.0]])
    assert (other.none_dominates, other.LET_less, other.smaller_weigh_more) == (0.5, 0.0, 0.0)
    with pytest.raises(ValueRangeError, match="without any"):
        claims(np.zeros((1, 8)))


def test_what_the_steps_see_gives_the_answer_of_the_network(rough):
    network, made = rough
    with torch.no_grad():
        whole = network(*(torch.tensor(values, dtype=torch.float32) for values in (made.features, made.photon)))
        parts = said(network, seen(network, made.features, made.photon))
    assert torch.equal(parts.alpha, whole.alpha)
    assert torch.equal(parts.beta, whole.beta)
    assert torch.equal(parts.log_RBE10, whole.log_RBE10)


def test_groups_share_out_all_that_is_seen(rough):
    network, made = rough
    columns = [columns_of(network, (group,)).tolist() for group in GROUPS]
    width = seen(network, made.features, made.photon).x.shape[1]
    assert sorted(each for group in columns for each in group) == list(range(width))
    assert sorted(columns_of(network, GROUPS).tolist()) == list(range(width))
    with pytest.raises(UnknownNameError, match="kilometre"):
        columns_of(network, ("kilometre",))


@pytest.mark.parametrize("groups", [("nano",), ("micro_1um",), ("nano", "micro_10um")])
def test_shuffling_what_is_seen_is_shuffling_the_features(rough, groups):
    """Also what is known of them: a quarter of the rows has no nanometre features."""
    network, made = rough
    order = np.random.default_rng(0).permutation(len(made))
    changed = made.features.copy()
    mixed = np.isin(GROUP_OF, groups)
    changed[:, mixed] = made.features[order][:, mixed]
    with torch.no_grad():
        expected = said(network, seen(network, changed, made.photon))
        found = said(network, shuffled(network, seen(network, made.features, made.photon), groups, order))
    assert torch.equal(found.alpha, expected.alpha)
    assert not torch.allclose(found.alpha, said(network, seen(network, made.features, made.photon)).alpha)


def test_shuffled_biology_keeps_the_photon_pair_that_RBE_is_relative_to(rough):
    network, made = rough
    given = seen(network, made.features, made.photon)
    mixed = shuffled(network, given, ("biology", "LET"), np.arange(len(made))[::-1].copy())
    assert torch.equal(mixed.photon, given.photon)
    assert torch.equal(mixed.limit, given.limit)


def test_orders_stay_within_their_strata():
    kind = np.array([0, 1, 0, 1, 1, 2, 0, 1])
    drawn = orders(8, 50, np.random.default_rng(0), kind)
    assert (np.sort(drawn, axis=1) == np.arange(8)).all()
    assert (kind[drawn] == kind).all()
    assert len(np.unique(drawn, axis=0)) > 30
    assert {tuple(row) for row in orders(2, 50, np.random.default_rng(0))} == {(0, 1), (1, 0)}
    with pytest.raises(GridMismatchError, match="8 rows"):
        orders(8, 1, np.random.default_rng(0), kind[:5])


def test_integrated_gradients_add_up_to_the_change_of_the_answer(rough):
    network, made = rough
    given = seen(network, made.features, made.photon)
    found = integrated_gradients(network, given, steps=200)
    with torch.no_grad():
        change = said(network, given).log_RBE10 - said(network, given._replace(x=0 * given.x)).log_RBE10
    assert np.allclose(found.sum(axis=1), change.numpy(), atol=0.01 * float(change.abs().max()))
    assert (found[:10, GROUPS.index("nano")] == 0).all()  # not known there
    with pytest.raises(ValueRangeError, match="step"):
        integrated_gradients(network, given, steps=0)


def test_integrated_gradients_are_those_of_captum(rough):
    attr = pytest.importorskip("captum.attr", reason="Captum is not installed; completeness is tested without it")
    network, made = rough
    given = seen(network, made.features, made.photon)

    def answer(x):
        return said(network, given._replace(x=x)).log_RBE10

    each = attr.IntegratedGradients(answer).attribute(
        given.x, n_steps=32, method="riemann_middle", internal_batch_size=len(made)
    )
    expected = np.stack([each[:, columns_of(network, (group,))].sum(1).detach().numpy() for group in GROUPS], axis=1)
    assert np.allclose(integrated_gradients(network, given, steps=32), expected, atol=1e-5)


def test_strata_are_of_one_ion_and_ordered_by_LET():
    made = made_data(60)
    made.species[::3] = "H"
    kind, LET = strata(made), made.features[:, NAMES.index("LET_d")]
    assert all(len(np.unique(made.species[kind == each])) == 1 for each in np.unique(kind))
    carbon = np.flatnonzero(made.species == "C")
    assert (np.diff(kind[carbon][np.argsort(LET[carbon])]) >= 0).all()
    assert np.bincount(kind)[np.unique(kind)].tolist() == [8] * 5 + [4] * 5


def test_networks_lack_the_parts_that_they_are_named_for():
    found = without_parts(NetworkConfig(width=4))
    assert set(found) == {*GROUPS, *SCALES, "only nanometre", "only micrometre", "only LET", "LET and limit"}
    assert "nano" not in found["nano"].groups
    assert len(found["nano"].groups) == len(GROUPS) - 1
    assert found["micrometre"].groups == ("nano", "LET", "biology")
    assert set(found["only LET"].groups) == {"LET", "biology"}
    assert found["LET and limit"].groups == found["LET"].groups
    assert found["LET and limit"].half_LET < 1e-3
    assert all(each.width == 4 for each in found.values())


def test_held_out_experiments_are_judged_by_the_networks_that_have_not_seen_them(data, judged):
    n = 1
    own = np.flatnonzero(judged.fold == n)
    with torch.no_grad():
        x, photon = (torch.tensor(values[own], dtype=torch.float32) for values in (data.features, data.photon))
        expected = judged.networks[n](x, photon)
    assert np.allclose(judged.alpha[own], expected.alpha)
    assert np.allclose(mask_importance(data, judged)[own], expected.importance, atol=1e-6)


def test_errors_are_of_RBE10_and_of_the_points(data):
    truth = -(data.log_survival[:, 1] + 0.03 * data.dose[:, 1] ** 2) / data.dose[:, 1]
    exact = errors(data, truth, np.full(len(data), 0.03))
    assert np.allclose(exact.RBE10, 0, atol=1e-9)
    assert np.allclose(exact.square, 0, atol=1e-9)
    off = errors(data, truth, np.full(len(data), 0.04))
    assert np.allclose(off.square, np.nansum(data.weight * (0.01 * data.dose**2) ** 2, axis=1))


def test_gradients_and_shuffling_find_the_one_group_that_tells_the_RBE(data, judged):
    """Masks need not: they may look at a group that is the same everywhere, and often do."""
    every = np.ones(len(data), dtype=bool)
    nano = GROUPS.index("nano")
    own = errors(data, judged.alpha, judged.beta).median_RBE10(every)
    assert own < 0.08
    assert np.allclose(mask_importance(data, judged).sum(axis=1), 1)
    pulled = np.abs(gradient_importance(data, judged, 16)).mean(axis=0)
    assert pulled.argmax() == nano
    for within in (False, True):
        mixed = permutation_errors(data, judged, PARTS, 3, seed=0, within=within)
        grown = {name: np.mean([each.median_RBE10(every) for each in found]) - own for name, found in mixed.items()}
        assert max(grown, key=grown.__getitem__) in ("nano", "nanometre")
        assert grown["nano"] == pytest.approx(grown["nanometre"])
        assert grown["nano"] > 5 * max(abs(grown[group]) for group in GROUPS if group != "nano")


def test_only_training_without_the_group_that_tells_the_RBE_costs_much(data, judged):
    asked: list[str] = []
    names = ("nano", "nanometre", "LET", "only micrometre")
    found = retrained(data, QUICK, 3, [0], names, asked.append)
    assert found["nano"] is found["nanometre"]
    assert asked == ["nano", "LET", "only micrometre"]
    every, start = np.ones(len(data), dtype=bool), ensemble_errors(data, [judged])
    cost = {
        name: clustered_difference(ensemble_errors(data, each), start, data.publication, every)
        for name, each in found.items()
    }
    assert {name for name, change in cost.items() if change.low > 0.1} == {"nano", "nanometre", "only micrometre"}
    with pytest.raises(UnknownNameError, match="metre"):
        retrained(data, QUICK, 3, [0], ["metre"])
