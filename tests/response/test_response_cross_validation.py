from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from response_examples import SMALL, made_patches

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.cross_validation import cross_validate
from surrogate3d.response.folds import repeated_folds
from surrogate3d.response.model import logits
from surrogate3d.response.training import train_response

PATCHES = made_patches(8)
RESPONSE = (PATCHES.volume_change < -0.2).astype(float)
FOLDS = repeated_folds(PATCHES.patient, RESPONSE, 2, 2, seed=1)
QUICK = replace(SMALL, epochs=2)


def mean_map(times, networks, patches):
    """(m, s, s, s) something of every lesion that its ensemble has not seen."""
    return times * np.mean(logits(networks, patches), axis=0)[:, None, None, None] * patches.inside


@pytest.fixture(scope="module")
def beside():
    return cross_validate(PATCHES, RESPONSE, FOLDS, QUICK, 7, callback=partial(mean_map, 2.0), processes=2)


def test_the_number_of_processes_does_not_matter(beside):
    told = []
    alone = cross_validate(
        PATCHES, RESPONSE, FOLDS, QUICK, 7, callback=partial(mean_map, 2.0), progress=lambda *each: told.append(each)
    )
    assert np.array_equal(alone.logits, beside.logits)
    assert np.array_equal(alone.spread, beside.spread)
    assert all(np.array_equal(alone.by_lesion(n), beside.by_lesion(n)) for n in range(2))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_every_lesion_is_answered_in_every_repeat_by_networks_that_have_not_seen_it(beside):
    assert np.isfinite(beside.logits).all()
    fold = FOLDS[1] == 1
    seed = np.random.SeedSequence(7).generate_state(4)[3]
    model = train_response(PATCHES.subset(~fold), RESPONSE[~fold], QUICK, int(seed))
    assert np.allclose(beside.logits[1, fold], model.predict(PATCHES.subset(fold)).logit)
    assert np.allclose(beside.spread[1, fold], model.predict(PATCHES.subset(fold)).spread)
    assert beside.slopes[1, 1] == pytest.approx(model.calibration.slope)


def test_held_out_labels_have_no_say():
    fold = FOLDS[0] == 0
    turned = np.where(fold, 1 - RESPONSE, RESPONSE)
    one, two = (cross_validate(PATCHES, labels, FOLDS[:1], QUICK, 7) for labels in (RESPONSE, turned))
    assert np.array_equal(one.logits[0, fold], two.logits[0, fold])
    assert not np.array_equal(one.logits[0, ~fold], two.logits[0, ~fold])
    assert one.results == ()


def test_what_a_callback_says_comes_back_by_lesion(beside):
    assert len(beside.results) == 2
    assert [len(each) for each in beside.results] == [2, 2]
    for repeat in range(2):
        maps = beside.by_lesion(repeat)
        assert maps.shape == (16, 12, 12, 12)
        expected = 2 * beside.raw[repeat] * PATCHES.inside.sum((1, 2, 3))
        assert np.allclose(maps.sum((1, 2, 3)), expected, rtol=1e-5)


def test_a_patient_in_two_folds_is_refused():
    leaking = FOLDS[:1].copy()
    leaking[0, 3] = 1 - leaking[0, 3]
    with pytest.raises(ValueRangeError, match="patient P1"):
        cross_validate(PATCHES, RESPONSE, leaking, QUICK, 7)


@pytest.mark.parametrize("folds", [FOLDS[0], FOLDS[:, :5], np.zeros((1, 16), dtype=int), FOLDS[:1] * 2])
def test_folds_that_do_not_fit_are_refused(folds):
    with pytest.raises(GridMismatchError, match="expected"):
        cross_validate(PATCHES, RESPONSE, folds, QUICK, 7)


def test_a_response_that_is_not_known_is_refused():
    with pytest.raises(ValueRangeError, match="patient P0, lesion L0"):
        cross_validate(PATCHES, np.where(np.arange(16) == 0, np.nan, RESPONSE), FOLDS, QUICK, 7)
