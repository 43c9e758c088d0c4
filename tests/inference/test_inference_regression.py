"""Survival curves from dose and LET alone, and what is refused or flagged."""

from dataclasses import replace

import numpy as np
import pytest
from dose_plans import DEFINITIONS, field_with_LET, flat_prior, make_model, reduced
from synthetic import LINE, reoriented

from surrogate3d.errors import BundleError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Beam, Grid, Volume, VolumeSet, quantity
from surrogate3d.inference.regression import (
    CHANNEL_MARGIN,
    MIN_DOSE_FRACTION,
    OTHER_LET,
    OTHER_LINE,
    LetOnlyGiven,
    channel_set_of,
    predict_curves_without_spectra,
)
from surrogate3d.model.dose_channels import CHANNEL_SETS
from surrogate3d.model.reduced_bundle import ReducedModel
from surrogate3d.model.regression import RegressionNetwork, RegressionShape

FIELD = field_with_LET(seed=5)
PLAN = reduced(FIELD)
MODEL = make_model(FIELD)


def at_the_prior(model, **changes):
    """The same model with networks that were not trained, which answer by the prior."""
    networks = tuple(RegressionNetwork(RegressionShape(len(each.channels), 6)).eval() for each in CHANNEL_SETS)
    variants = tuple(replace(variant, **changes) for variant in model.card.variants)
    return ReducedModel(networks, replace(model.card, variants=variants), model.bundle_id)


def test_a_network_that_was_not_trained_gives_the_prior_on_the_grid():
    found = predict_curves_without_spectra(PLAN, at_the_prior(MODEL, prior=flat_prior(1.2, 1.1)), LINE)
    D = found.doses
    expected = 1.2 * LINE.alpha_x * D + 1.1**2 * LINE.beta_x * D**2
    np.testing.assert_allclose(found.effect, np.tile(expected, (found.mask.sum(), 1)), rtol=1e-5)
    np.testing.assert_allclose(found.relative_std, 1.5 * np.exp(-4.6), rtol=1e-5)  # times std_scale
    np.testing.assert_array_equal(found.mask, FIELD.dose >= MIN_DOSE_FRACTION * FIELD.dose.max())
    assert not found.out_of_domain.any()
    assert found.strangest == ""


@pytest.mark.parametrize(("permutation", "sign"), [((0, 1, 2), -1), ((2, 0, 1), 1), ((0, 2, 1), -1)])
def test_the_answer_does_not_depend_on_how_the_plan_lies_in_its_grid(permutation, sign):
    straight = predict_curves_without_spectra(FIELD, MODEL, LINE)
    turned_field, turn = reoriented(FIELD, permutation, sign)
    turned = predict_curves_without_spectra(replace(turned_field, beams=()), MODEL, LINE)
    np.testing.assert_array_equal(turned.mask, turn(straight.mask))
    for n in (0, 4, 10):
        mine, theirs = turned.volume(turned.effect[:, n]), turn(straight.volume(straight.effect[:, n]))
        np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    np.testing.assert_allclose(
        turned.volume(turned.relative_std), turn(straight.volume(straight.relative_std)), rtol=1e-3
    )


def test_spectra_are_not_looked_at():
    without = predict_curves_without_spectra(PLAN, MODEL, LINE)
    np.testing.assert_array_equal(predict_curves_without_spectra(FIELD, MODEL, LINE).effect, without.effect)


def test_the_network_is_chosen_by_what_the_field_holds():
    only_d = reduced(FIELD, names=("dose_to_water", "LET_d"))
    nowhere = Beam(name="unknown")
    found = [channel_set_of(plan, MODEL.card).name for plan in (
        PLAN, replace(PLAN, beams=(nowhere,)), only_d, replace(only_d, beams=(nowhere,)),
    )]  # fmt: skip
    assert found == ["LET_d+LET_t", "LET_d+LET_t_without_axis", "LET_d", "LET_d_without_axis"]


def test_a_LET_t_of_another_definition_is_left_unused():
    other = replace(DEFINITIONS["LET_t"], particles="all")
    plan = replace(PLAN, let_definitions={**DEFINITIONS, "LET_t": other})
    assert channel_set_of(plan, MODEL.card).name == "LET_d"
    predict_curves_without_spectra(plan, MODEL, LINE)


@pytest.mark.parametrize(
    "change",
    [
        {"particles": "protons and all heavier ions"},
        {"medium": "local medium"},
        {"restricted": True},
        {"weighting": "track"},
        {"max_scored_kev_um": 100.0},
    ],
)
def test_a_LET_d_of_another_definition_is_refused_and_flagged_when_it_is_accepted(change):
    plan = replace(PLAN, let_definitions={**DEFINITIONS, "LET_d": replace(DEFINITIONS["LET_d"], **change)})
    with pytest.raises(BundleError, match=next(iter(change))):
        predict_curves_without_spectra(plan, MODEL, LINE)
    found = predict_curves_without_spectra(plan, MODEL, LINE, LetOnlyGiven(accept_LET=True))
    np.testing.assert_array_equal(found.out_of_domain, found.mask)
    assert found.strangest == OTHER_LET


def test_a_LET_d_without_definition_is_refused():
    with pytest.raises(BundleError, match="no definition"):
        predict_curves_without_spectra(replace(PLAN, let_definitions={}), MODEL, LINE)


def test_where_a_definition_was_read_does_not_matter():
    plan = replace(PLAN, let_definitions={**DEFINITIONS, "LET_d": replace(DEFINITIONS["LET_d"], source="elsewhere")})
    predict_curves_without_spectra(plan, MODEL, LINE)


def test_a_field_without_LET_d_is_refused():
    with pytest.raises(QuantityError, match="no LET_d"):
        predict_curves_without_spectra(reduced(FIELD, names=("dose_to_water",)), MODEL, LINE)


@pytest.mark.parametrize("ion", ["C", "He"])
def test_a_beam_of_another_ion_is_refused(ion):
    with pytest.raises(UnsupportedError, match=f"this one is of {ion}"):
        predict_curves_without_spectra(replace(PLAN, primary=ion), MODEL, LINE)
    with pytest.raises(UnsupportedError, match=f"this one is of {ion}"):
        predict_curves_without_spectra(replace(PLAN, primary=None), MODEL, LINE, LetOnlyGiven(primary=ion))


def test_a_beam_of_which_nothing_is_known_is_refused_until_it_is_said():
    unknown = replace(PLAN, primary=None)
    with pytest.raises(UnsupportedError, match="does not say of what its beam is"):
        predict_curves_without_spectra(unknown, MODEL, LINE)
    found = predict_curves_without_spectra(unknown, MODEL, LINE, LetOnlyGiven(primary="H"))
    np.testing.assert_array_equal(found.effect, predict_curves_without_spectra(PLAN, MODEL, LINE).effect)


def test_a_statement_against_the_field_is_refused():
    with pytest.raises(QuantityError, match="of C, not of H"):
        predict_curves_without_spectra(replace(PLAN, primary="C"), MODEL, LINE, LetOnlyGiven(primary="H"))


def test_voxels_of_another_size_are_refused():
    grid = Grid(FIELD.grid.shape, (5.0, 5.0, 5.0), (0, 0, 0))
    volumes = {name: Volume(grid, volume.values, volume.quantity) for name, volume in PLAN.volumes.items()}
    with pytest.raises(BundleError, match="resample"):
        predict_curves_without_spectra(replace(PLAN, grid=grid, volumes=VolumeSet(grid, volumes)), MODEL, LINE)


def test_a_line_without_quadratic_term_is_refused():
    with pytest.raises(ValueRangeError, match="beta_x"):
        predict_curves_without_spectra(PLAN, MODEL, replace(LINE, beta_x=0.0))


@pytest.mark.parametrize("pair", [(0.9, 0.15), (0.25, 0.25)])
def test_a_line_outside_the_trained_range_is_flagged(pair):
    found = predict_curves_without_spectra(PLAN, MODEL, replace(LINE, alpha_x=pair[0], beta_x=pair[1]))
    np.testing.assert_array_equal(found.out_of_domain, found.mask)
    assert found.strangest == OTHER_LINE


def test_a_field_without_known_LET_anywhere_is_refused():
    empty = Volume(FIELD.grid, np.full(FIELD.grid.shape, np.nan), FIELD.volumes["LET_d"].quantity)
    with pytest.raises(ValueRangeError, match="nothing to predict"):
        predict_curves_without_spectra(
            replace(PLAN, volumes=VolumeSet(FIELD.grid, {**PLAN.volumes, "LET_d": empty})), MODEL, LINE
        )


def test_beyond_the_trained_range_the_prior_answers_and_the_deviation_covers_the_difference():
    high = tuple(-1e6 if name == "dose_height" else 1e6 for name in CHANNEL_SETS[0].channels)
    variants = (replace(MODEL.card.variants[0], channel_high=high), *MODEL.card.variants[1:])
    strict = ReducedModel(MODEL.networks, replace(MODEL.card, variants=variants))
    inside, outside = (predict_curves_without_spectra(PLAN, model, LINE) for model in (MODEL, strict))
    D = inside.doses
    prior = 1.2 * LINE.alpha_x * D + 1.1**2 * LINE.beta_x * D**2
    np.testing.assert_allclose(outside.effect, np.tile(prior, (outside.mask.sum(), 1)), rtol=1e-5)
    apart = np.abs(inside.effect / prior - 1).max(axis=1)
    assert (outside.relative_std >= apart - 1e-6).all()
    np.testing.assert_array_equal(outside.out_of_domain, outside.mask)
    assert outside.strangest == "dose_height"


def test_the_correction_fades_as_a_channel_leaves_its_range():
    """Ranges that end a quarter, a half and the whole of the margin below a channel that is the same everywhere."""
    name = "log_LET_d@0,0mm"
    n = CHANNEL_SETS[0].channels.index(name)
    volumes = {**PLAN.volumes, "LET_d": Volume(FIELD.grid, np.full(FIELD.grid.shape, 3.0), quantity("LET_d"))}
    plan = replace(PLAN, volumes=VolumeSet(FIELD.grid, volumes))
    network, card = MODEL.networks[0], MODEL.card.variants[0]
    z = float((np.log(3.0) - network.channel_mean[n]) / network.channel_std[n])

    def ending(distance):
        high = [1e6] * len(card.channels)
        high[n] = z - distance * CHANNEL_MARGIN
        variants = (replace(card, channel_high=tuple(high)), *MODEL.card.variants[1:])
        return predict_curves_without_spectra(
            plan, ReducedModel(MODEL.networks, replace(MODEL.card, variants=variants)), LINE
        )

    inside, *fading, outside = (ending(distance) for distance in (0.0, 0.25, 0.5, 1.01))
    D = inside.doses[0]  # the lowest, where alpha decides
    prior = 1.2 * LINE.alpha_x * D + 1.1**2 * LINE.beta_x * D**2
    for share, found in zip((0.75, 0.5), fading, strict=True):
        np.testing.assert_allclose(found.domain_score, 1 - share, rtol=1e-3)
        whole, faded = (np.log(curves.effect[:, 0] / prior) for curves in (inside, found))
        np.testing.assert_allclose(faded, share * whole, atol=0.002)
        assert not found.out_of_domain.any()
        apart = np.abs(inside.effect / found.effect - 1).max(axis=1)
        assert (found.relative_std >= apart - 1e-6).all()
    np.testing.assert_allclose(outside.effect[:, 0], prior, rtol=1e-5)
    np.testing.assert_array_equal(outside.out_of_domain, outside.mask)


def test_large_fields_are_answered_in_portions_alike(monkeypatch):
    whole = predict_curves_without_spectra(PLAN, MODEL, LINE)
    monkeypatch.setattr("surrogate3d.inference.regression._PORTION", 100)
    np.testing.assert_allclose(predict_curves_without_spectra(PLAN, MODEL, LINE).effect, whole.effect, rtol=1e-6)


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), None])
def test_an_empty_surrounding_does_not_change_the_answer(direction):
    """Much larger than what the channels see, so that it is cut off."""
    plan = reduced(FIELD, direction=direction)
    pad = 25
    grid = Grid(tuple(n + 2 * pad for n in FIELD.grid.shape), FIELD.grid.spacing_mm, (0, 0, 0))
    volumes = {name: Volume(grid, np.pad(v.values, pad), v.quantity) for name, v in plan.volumes.items()}
    wide = predict_curves_without_spectra(replace(plan, grid=grid, volumes=VolumeSet(grid, volumes)), MODEL, LINE)
    alone = predict_curves_without_spectra(plan, MODEL, LINE)
    np.testing.assert_array_equal(wide.mask[pad:-pad, pad:-pad, pad:-pad], alone.mask)
    inner = np.zeros(alone.mask.shape, dtype=bool)
    inner[1:-1, 1:-1, 1:-1] = alone.mask[1:-1, 1:-1, 1:-1]  # slopes at the very edge of a grid differ
    assert inner.sum() > 100
    own, padded = alone.volume(alone.effect[:, 4]), wide.volume(wide.effect[:, 4])[pad:-pad, pad:-pad, pad:-pad]
    np.testing.assert_allclose(padded[inner], own[inner], rtol=1e-5)


def test_made_up_networks_do_tell_voxels_apart():
    """Else the tests above would show nothing."""
    assert np.ptp(predict_curves_without_spectra(PLAN, MODEL, LINE).effect[:, 3]) > 0.01
