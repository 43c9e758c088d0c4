"""A surrogate that is told of oxygen, from simulated voxels to a prediction, on a small made-up plan."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, TABLE, lq_response, make_field

from surrogate3d.errors import BundleError, GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import Grid, Volume
from surrogate3d.inference.answerable import irradiated
from surrogate3d.inference.curves import predict_curves
from surrogate3d.model.bundle import load_bundle, save_bundle
from surrogate3d.physics.oxygen import AIR_MMHG
from surrogate3d.physics.oxygen_mixing import OxygenTables, mixed_under
from surrogate3d.pipeline.conditions import OXYGEN
from surrogate3d.pipeline.oxygen_surrogate import (
    CONDITIONS,
    flagged,
    model_conditions,
    oxygen_conditions,
    train_under_oxygen,
    trained_oxygen,
)
from surrogate3d.pipeline.plan_pairs import PlanPair
from surrogate3d.pipeline.training import train
from surrogate3d.training.settings import TrainConfig

CONFIG = TrainConfig(
    steps=2, head_steps=30, members=1, width=4, blocks=1, neighbourhood=(1, 1, 1), threads=1, copies=1,
    tracks_levels=(50.0,),
)  # fmt: skip
LOW, HIGH = make_field(seed=1, tracks=400, files=("low",)), make_field(seed=2, tracks=4000, files=("high",))
VOXELS = [(4, 5, 2), (3, 4, 7), (5, 3, 4), (4, 4, 6), (2, 4, 3), (4, 3, 5), (3, 3, 2), (5, 5, 5)]
EVERYWHERE = irradiated(LOW)


def oxygen_map(low=0.5, high=40.0, seed=4):
    values = np.exp(np.random.default_rng(seed).uniform(np.log(low), np.log(high), LOW.grid.shape))
    return Volume(LOW.grid, values.astype(np.float32), OXYGEN)


def simulated(pO2, backend="made_up/1 (oxygen)"):
    """Responses as the closed form has them."""
    alpha, beta = mixed_under(HIGH.spectra.axes, HIGH.spectra.fluence, OxygenTables.scaled(TABLE), pO2.values)
    return [replace(lq_response(v, alpha[v], beta[v]), backend=backend) for v in VOXELS]


def pair(pO2, **changes):
    return PlanPair("low", LOW, "high", HIGH, simulated(pO2, **changes))


@pytest.fixture(scope="module")
def surrogate():
    return train_under_oxygen([pair(oxygen_map())], ["HSG"], CONFIG, 1, {"high": oxygen_map()})


@pytest.fixture(scope="module")
def oxic():
    return train([pair(oxygen_map())], ["HSG"], CONFIG, 1)


def test_air_is_no_condition():
    found = oxygen_conditions(LOW, AIR_MMHG, TABLE, EVERYWHERE)
    assert tuple(found) == CONDITIONS
    for values in found.values():
        np.testing.assert_allclose(values, 0.0, atol=2e-4)


def test_the_card_says_what_it_was_trained_under(surrogate):
    about = trained_oxygen(surrogate.card)
    known = [float(oxygen_map().values[v]) for v in VOXELS]
    assert about["pO2_mmHg"] == [min(known), max(known)]
    assert about["effect"]["M0"] == 3.4
    assert about["reference_mmHg"] == AIR_MMHG
    assert surrogate.card.network["conditions"] == CONDITIONS


def test_a_prediction_follows_the_pressures_from_the_disk_on(tmp_path, surrogate):
    save_bundle(surrogate, tmp_path / "model")
    model, pO2 = load_bundle(tmp_path / "model"), oxygen_map(seed=5)
    curves = predict_curves(LOW, model, LINE, conditions=model_conditions(model, LOW, pO2))
    alpha, beta = mixed_under(HIGH.spectra.axes, HIGH.spectra.fluence, OxygenTables.scaled(TABLE), pO2.values)
    true = curves.doses * alpha[curves.mask][:, None] + curves.doses**2 * beta[curves.mask][:, None]
    error = curves.effect / true - 1
    assert np.abs(np.median(error)) < 0.05
    assert np.corrcoef(curves.effect[:, 5], true[:, 5])[0, 1] > 0.9


def test_one_pressure_serves_the_whole_field(surrogate):
    effects = []
    for pressure in (1.0, 30.0):
        told = model_conditions(surrogate, LOW, pressure)
        effects.append(predict_curves(LOW, surrogate, LINE, conditions=told).effect)
    assert (effects[0] < effects[1]).all()


def test_pressures_beyond_the_training_are_flagged(surrogate):
    pO2 = oxygen_map()
    pO2.values[4, 5, 2] = 600.0
    curves = predict_curves(LOW, surrogate, LINE, conditions=model_conditions(surrogate, LOW, pO2))
    found = flagged(curves, surrogate, LOW, pO2)
    assert found.out_of_domain[4, 5, 2]
    assert found.strangest
    assert (found.out_of_domain >= curves.out_of_domain).all()
    inside = replace(curves, out_of_domain=np.zeros_like(curves.out_of_domain), strangest="")
    assert "oxygen beyond" in flagged(inside, surrogate, LOW, pO2).strangest


def test_a_model_for_oxygen_is_not_asked_without_and_no_other_with(surrogate, oxic):
    assert model_conditions(oxic, LOW, None) is None
    with pytest.raises(BundleError, match="trained at full oxygen"):
        model_conditions(oxic, LOW, 2.0)
    with pytest.raises(BundleError, match="give those of the field with --oxygen"):
        model_conditions(surrogate, LOW, None)


def test_other_constants_or_a_card_that_contradicts_itself_are_refused(surrogate):
    def with_oxygen(about):
        training = {**surrogate.card.training, "oxygen": about}
        return replace(surrogate, card=replace(surrogate.card, training=training))

    other = with_oxygen({**surrogate.card.training["oxygen"], "reference_mmHg": 150.0})
    with pytest.raises(BundleError, match="another oxygen effect"):
        model_conditions(other, LOW, 2.0)
    with pytest.raises(BundleError, match="disagree on oxygen"):
        model_conditions(with_oxygen(None), LOW, 2.0)


def test_a_needed_voxel_without_a_pressure_is_refused(surrogate):
    pO2 = oxygen_map()
    pO2.values[4, 5, 2] = np.nan
    with pytest.raises(ValueRangeError, match="no pressure in 1 voxels"):
        model_conditions(surrogate, LOW, pO2)
    nowhere = ~EVERYWHERE
    pO2.values[nowhere] = np.nan
    pO2.values[4, 5, 2] = 1.0
    assert model_conditions(surrogate, LOW, pO2) is not None


def test_a_map_on_another_grid_is_refused(surrogate):
    grid = Grid(LOW.grid.shape, LOW.grid.spacing_mm, (5.0, 0.0, 0.0))
    with pytest.raises(GridMismatchError, match="oxygen map"):
        model_conditions(surrogate, LOW, Volume(grid, oxygen_map().values, OXYGEN))


def test_labels_at_full_oxygen_and_plans_without_pressures_are_refused():
    with pytest.raises(QuantityError, match="at full oxygen"):
        train_under_oxygen([pair(oxygen_map(), backend="gsm2_mc/2")], ["HSG"], CONFIG, 1, {"high": oxygen_map()})
    with pytest.raises(QuantityError, match="no oxygen is given"):
        train_under_oxygen([pair(oxygen_map())], ["HSG"], CONFIG, 1, {})
