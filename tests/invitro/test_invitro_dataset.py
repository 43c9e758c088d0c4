import dataclasses

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError
from surrogate3d.invitro.dataset import dataset
from surrogate3d.invitro.features import FEATURES, RADIATION, experiment_features, mono_features, spread_out_features
from surrogate3d.invitro.pairs import pairs_of
from surrogate3d.io.pide_experiment import Experiment, LqPair
from surrogate3d.physics.linear_quadratic import D10, survival
from surrogate3d.physics.stopping_power import stopping_power

DOSES = (0.5, 1.0, 2.0, 3.0, 4.0)


def experiment(number=1, **changes):
    points = tuple((dose, float(survival(dose, 0.8, 0.05))) for dose in DOSES)
    plain = Experiment(
        number=number, publication="someone99", cells="V79", cell_class="normal", cell_origin="rodent",
        cell_cycle="a", dna_content_gbp=5.6, photon_radiation="200kVp", ion="12C", species="C", Z=6, A=12,
        spread_out=False, LET=float(stopping_power(6, 50.0)), energy_mev_u=50.0,
        photon_paper=LqPair(0.2, 0.02), photon_fit=LqPair(0.18, 0.022),
        ion_paper=LqPair(0.9, 0.0), ion_fit=LqPair(0.8, 0.05), photon_points=(), ion_points=points,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def test_points_photon_pair_and_RBE10_are_those_of_the_experiment():
    data = dataset([experiment(7)])
    assert len(data) == 1
    assert data.dropped == ()
    assert (data.number[0], data.publication[0], data.cells[0], data.species[0]) == (7, "someone99", "V79", "C")
    np.testing.assert_array_equal(data.dose[0], DOSES)
    np.testing.assert_allclose(data.log_survival[0], [-0.8 * d - 0.05 * d * d for d in DOSES], rtol=1e-12)
    np.testing.assert_array_equal(data.photon[0], [0.18, 0.022])
    # D10 by hand: (-a + sqrt(a^2 + 4 b ln 10)) / 2 b
    by_hand = [(-a + np.sqrt(a * a + 4 * b * np.log(10))) / (2 * b) for a, b in ((0.18, 0.022), (0.8, 0.05))]
    assert data.RBE10[0] == pytest.approx(by_hand[0] / by_hand[1], rel=1e-12)
    assert data.is_raw[0]


def test_features_are_those_of_the_ion_and_of_the_cells():
    found = experiment_features(experiment())
    names = [feature.name for feature in FEATURES]
    np.testing.assert_array_equal(found[: len(RADIATION)], mono_features("C", 50.0))
    said = dict(zip(names, found, strict=True))
    assert (said["alpha_x"], said["is_tumour"], said["is_human"], said["dna_content_gbp"]) == (0.18, 0.0, 0.0, 5.6)
    assert [said[f"cycle_{phase}"] for phase in ("G1", "S", "G2M", "asynchronous")] == [0, 0, 0, 1]
    late = dict(zip(names, experiment_features(experiment(cell_cycle="Sl")), strict=True))
    assert [late[f"cycle_{phase}"] for phase in ("G1", "S", "G2M", "asynchronous")] == [0, 1, 0, 0]
    spread = experiment_features(experiment(spread_out=True))
    np.testing.assert_array_equal(spread[: len(RADIATION)], spread_out_features("C", 50.0, experiment().LET))


def test_isotopes_of_one_energy_per_nucleon_have_the_same_features():
    H = experiment(ion="1H", species="H", Z=1, A=1, energy_mev_u=5.0, LET=float(stopping_power(1, 5.0)))
    D = dataclasses.replace(H, ion="2H", A=2)
    np.testing.assert_array_equal(experiment_features(H), experiment_features(D))


def test_pairs_are_both_fits_or_both_printed_where_possible():
    both = pairs_of(experiment())
    assert both[:4] == (0.18, 0.022, 0.8, 0.05)
    printed = pairs_of(experiment(ion_fit=None))
    assert printed[:4] == (0.2, 0.02, 0.9, 0.0)
    crossed = pairs_of(experiment(ion_fit=None, photon_paper=None))
    assert crossed[:4] == (0.18, 0.022, 0.9, 0.0)
    assert pytest.approx(float(D10(0.18, 0.022) / D10(0.9, 0.0))) == crossed.RBE10
    half = pairs_of(experiment(ion_fit=LqPair(0.8, None)))
    assert half[:4] == (0.2, 0.02, 0.9, 0.0)
    lonely = pairs_of(experiment(ion_fit=None, ion_paper=None))
    assert lonely[:2] == (0.18, 0.022)
    assert np.isnan(lonely[2:]).all()


def test_a_photon_curve_that_bends_upwards_becomes_the_straight_line_through_its_D10():
    bent = pairs_of(experiment(photon_fit=LqPair(0.5, -0.01)))
    assert bent.beta_x == 0.0
    # 0.5 D - 0.01 D^2 = ln 10
    D10_bent = (0.5 - np.sqrt(0.25 - 0.04 * np.log(10))) / 0.02
    assert bent.alpha_x == pytest.approx(np.log(10) / D10_bent)
    assert pytest.approx(D10_bent / float(D10(0.8, 0.05))) == bent.RBE10
    never = pairs_of(experiment(photon_fit=LqPair(0.2, -0.01)))
    assert never[:2] == (0.2, 0.02)
    negative = pairs_of(experiment(photon_fit=LqPair(-0.1, 0.1)))
    assert negative[:2] == (0.2, 0.02)


def test_a_curve_without_points_gets_six_of_its_pair():
    data = dataset([experiment(ion_points=()), experiment(2)])
    assert data.is_raw.tolist() == [False, True]
    assert data.dose.shape == (2, 6)
    np.testing.assert_allclose(np.exp(data.log_survival[0, [0, -1]]), [0.8, 0.02], rtol=1e-9)
    np.testing.assert_allclose(np.diff(data.dose[0]), np.diff(data.dose[0])[0])
    np.testing.assert_allclose(np.exp(data.log_survival[0]), survival(data.dose[0], 0.8, 0.05))
    assert np.isnan(data.dose[1, 5])
    assert np.isnan(data.log_survival[1, 5])
    assert data.weight[1, 5] == 0.0


def test_a_pair_that_bends_up_before_two_per_cent_gives_points_to_its_D10():
    pair = LqPair(0.6, -0.03)  # largest effect 0.6^2 / 0.12 = 3, that is 5 % survival
    data = dataset([experiment(ion_points=(), ion_fit=pair)])
    assert np.exp(data.log_survival[0, -1]) == pytest.approx(0.1)


def test_points_at_no_dose_are_left_out_and_survival_above_one_is_kept():
    data = dataset([experiment(ion_points=((0.0, 1.0), (-0.01, 0.99), (0.3, 1.1), (2.0, 0.1)))])
    np.testing.assert_array_equal(data.dose[0], [0.3, 2.0])
    assert data.log_survival[0, 0] == pytest.approx(np.log(1.1))


def test_experiments_count_alike_and_the_ends_of_a_curve_do_not_rule():
    doses = (0.01, 0.1, 1.0, 3.0, 9.0)
    flat = LqPair(1.0, 0.0)
    points = tuple((dose, float(np.exp(-dose))) for dose in doses)
    data = dataset([experiment(ion_fit=flat, ion_points=points), experiment(2)])
    np.testing.assert_allclose(data.weight.sum(axis=1), 1.0)
    effect = np.array(doses)
    said_of_slope = data.weight[0] * effect**2
    assert said_of_slope[0] < 1e-3 * said_of_slope[2]
    assert said_of_slope[4] < 1.3 * said_of_slope[3]
    by_hand = 1 / (0.01 + 0.015 * effect + 0.0144 * effect**2)
    np.testing.assert_allclose(data.weight[0], by_hand / by_hand.sum())


def test_what_cannot_be_used_is_listed_with_the_reason():
    data = dataset(
        [
            experiment(1),
            experiment(2, LET=90.0),
            experiment(3, photon_fit=None, photon_paper=None),
            experiment(4, ion_points=(), ion_fit=None, ion_paper=LqPair(0.9, None)),
            experiment(5, spread_out=True, LET=5.0),
            experiment(6, ion_fit=None, ion_paper=None),
        ]
    )
    assert data.number.tolist() == [1, 6]
    assert np.isnan(data.RBE10[1])
    reasons = dict(data.dropped)
    assert sorted(reasons) == [2, 3, 4, 5]
    assert "contradicts" in reasons[2]
    assert "photon pair" in reasons[3]
    assert "neither ion survival points" in reasons[4]
    assert "spread-out peak of C" in reasons[5]


def test_a_species_that_was_not_asked_for_is_left_out_unlisted():
    iron = experiment(2, ion="56Fe", species="Fe", Z=26, A=56, energy_mev_u=200.0, LET=250.0)
    data = dataset([experiment(1), iron], species=("H", "C"))
    assert data.number.tolist() == [1]
    assert data.dropped == ()
    assert dataset([experiment(1), iron]).species.tolist() == ["C", "Fe"]


def test_nothing_makes_empty_arrays_of_the_right_shape():
    data = dataset([])
    assert data.features.shape == (0, len(FEATURES))
    assert data.photon.shape == (0, 2)
    assert data.dose.shape == (0, 0)


def test_a_subset_keeps_rows_together():
    data = dataset([experiment(n, ion_fit=LqPair(0.1 * n, 0.02)) for n in (1, 2, 3)])
    part = data.subset(data.number != 2)
    assert part.number.tolist() == [1, 3]
    np.testing.assert_array_equal(part.RBE10, data.RBE10[[0, 2]])
    np.testing.assert_array_equal(part.features, data.features[[0, 2]])
    assert data.subset([2, 0]).number.tolist() == [3, 1]
    with pytest.raises(GridMismatchError, match="mask of 3"):
        data.subset(np.array([True, False]))
