from itertools import product

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.folds import repeated_folds, require_no_leakage


def cohort(lesions=69, patients=39, share=0.45, seed=0):
    """Patients and responses; each patient has one lesion at least, the others are spread at random."""
    rng = np.random.default_rng(seed)
    which = np.concatenate([np.arange(patients), rng.integers(0, patients, lesions - patients)])
    return np.array([f"P{n:02d}" for n in rng.permutation(which)]), (rng.random(lesions) < share).astype(float)


def test_patients_stay_whole_and_both_classes_are_always_there_to_learn_from():
    for seed in range(8):
        patients, response = cohort(40, 15, 0.2, seed)
        for fold in repeated_folds(patients, response, repeats=3, seed=seed):
            assert set(fold.tolist()) == {0, 1, 2, 3, 4}
            for held in range(5):
                require_no_leakage(patients[fold != held], patients[fold == held])
                assert set(response[fold != held].tolist()) == {0.0, 1.0}


def test_folds_are_alike_in_lesions_and_in_responders():
    for seed in range(3):
        patients, response = cohort(seed=seed)
        for fold in repeated_folds(patients, response, seed=seed):
            assert np.ptp(np.bincount(fold)) <= 2
            assert np.ptp(np.bincount(fold, weights=response)) <= 2


def test_the_dealing_is_as_even_as_any_of_a_few_patients():
    patients, response = cohort(20, 8, 0.4, seed=5)
    names, which = np.unique(patients, return_inverse=True)

    def unevenness(fold):
        kinds = [np.bincount(fold, weights=kind, minlength=2) for kind in (response, 1 - response, 1 + 0 * response)]
        return sum((((kind - kind.mean()) ** 2) / kind.mean()).sum() for kind in kinds)

    least = min(unevenness(np.array(dealt)[which]) for dealt in product((0, 1), repeat=len(names)))
    found = [unevenness(fold) for fold in repeated_folds(patients, response, n_folds=2, repeats=5)]
    assert min(found) == pytest.approx(least)
    assert max(found) <= least + 0.5


def test_a_seed_gives_the_same_folds_again_and_repeats_differ():
    patients, response = cohort()
    folds = repeated_folds(patients, response, seed=3)
    assert folds.shape == (10, 69)
    assert folds.dtype == np.int64
    np.testing.assert_array_equal(folds, repeated_folds(patients.tolist(), response.tolist(), seed=3))
    assert len(np.unique(folds, axis=0)) == 10
    assert (folds != repeated_folds(patients, response, seed=4)).any()


def test_lesions_without_a_known_response_are_refused():
    patients, response = cohort()
    response[[4, 9]] = np.nan
    with pytest.raises(ValueRangeError, match=rf"2 of 69 lesions is not 0 or 1.*{patients[4]}; leave lesions without"):
        repeated_folds(patients, response)
    with pytest.raises(ValueRangeError, match="1 of 69 lesions is not 0 or 1"):
        repeated_folds(patients, np.where(np.arange(69) == 7, 0.5, np.nan_to_num(response)))


def test_one_class_only_is_refused_also_where_one_patient_has_all_of_the_other():
    patients, _ = cohort()
    with pytest.raises(ValueRangeError, match=r"of 69 lesions none responded; .* choose another threshold"):
        repeated_folds(patients, np.zeros(69))
    with pytest.raises(ValueRangeError, match="none did not respond"):
        repeated_folds(patients, np.ones(69))
    with pytest.raises(ValueRangeError, match="only those of patient P07 responded"):
        repeated_folds(patients, (patients == "P07").astype(float))


def test_a_class_that_comes_to_lie_in_one_fold_is_refused():
    patients = np.repeat(["a", "b", "c", "d", "e", "f"], [11, 10, 50, 50, 50, 50])
    response = np.zeros(len(patients))
    response[[0, 11]] = 1  # of the two small patients, who share a fold if five are asked for
    with pytest.raises(ValueRangeError, match="one class came to lie in one of 5 folds"):
        repeated_folds(patients, response)
    assert repeated_folds(patients, response, n_folds=6, repeats=1).max() == 5


def test_folds_that_cannot_be_are_refused():
    patients, response = cohort(20, 4)
    with pytest.raises(
        ValueRangeError, match=r"4 patients cannot be dealt into 5 folds.*at most 4 folds or add patients"
    ):
        repeated_folds(patients, response)
    with pytest.raises(ValueRangeError, match="at least 2 folds and 1 repeat, asked for 1 and 10"):
        repeated_folds(patients, response, n_folds=1)
    with pytest.raises(ValueRangeError, match="asked for 2 and 0"):
        repeated_folds(patients, response, n_folds=2, repeats=0)
    with pytest.raises(GridMismatchError, match=r"found \(20,\) patients and \(19,\) responses"):
        repeated_folds(patients, response[1:])


def test_a_patient_on_both_sides_is_refused_by_name():
    require_no_leakage(["a", "b"], ["c", "c"])
    with pytest.raises(ValueRangeError, match="lesions of patient b are both learnt from and held out; keep all"):
        require_no_leakage(["a", "b", "b"], np.array(["b", "c"]))
    with pytest.raises(ValueRangeError, match="lesions of patient a, b, c and 2 more are both"):
        require_no_leakage(list("abcde"), list("edcba"))
