"""Classifiers on tables whose answer is known, and that nothing of a held-out lesion reaches its prediction."""

import sys

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, UnsupportedError, ValueRangeError
from surrogate3d.response.classifiers import Option, SupportVectorEnsemble, area_under_curve, cross_validate
from surrogate3d.response.feature_selection import fit_scale, ranked_features
from surrogate3d.response.feature_table import Table
from surrogate3d.response.folds import repeated_folds

pytest.importorskip("sklearn", reason="support vector machines need scikit-learn (extra 'response')")

QUICK = SupportVectorEnsemble(
    members=3, options=(Option(2, "linear", 0.1), Option(6, "rbf", 1.0)), inner_folds=3, inner_repeats=1
)


def cohort(n=60, n_features=12, strength=1.5, seed=0):
    """Lesions of 30 patients; the first two features tell of the response, both ways, the others of nothing."""
    rng = np.random.default_rng(seed)
    patients = np.array([f"P{one:02d}" for one in np.sort(rng.integers(0, n // 2, n))])
    response = (rng.random(n) < 0.45).astype(float)
    values = rng.standard_normal((n, n_features))
    values[:, 0] += strength * response
    values[:, 1] -= strength * response
    return Table(tuple(f"f{one}" for one in range(n_features)), values), response, patients


def held_out(table, response, patients, *, seed=3, repeats=1, method=QUICK):
    folds = repeated_folds(patients, response, 4, repeats, seed=1)
    return folds, cross_validate(table, response, folds, patients, seed, method=method)


def test_a_plain_signal_is_found_and_positive_says_no_response():
    table, response, patients = cohort()
    folds, logits = held_out(table, response, patients, repeats=2)
    assert logits.shape == folds.shape == (2, 60)
    by_chance = np.sqrt(61 / (12 * 30 * 30))  # standard deviation of the AUC of 30 + 30 lesions without a signal
    assert (area_under_curve(logits, response == 0) > 0.5 + 3 * by_chance).all()
    assert np.isfinite(logits).all()


def test_three_hundred_features_of_noise_predict_nothing():
    areas = []
    for seed in range(2):
        table, response, patients = cohort(n_features=300, strength=0.0, seed=10 + seed)
        folds = repeated_folds(patients, response, 4, 1, seed=1)
        areas.append(
            area_under_curve(cross_validate(table, response, folds, patients, 3, method=QUICK)[0], response == 0)
        )
    assert 0.3 < np.mean(areas) < 0.65  # selection that saw the held-out lesions reaches 0.9


def test_the_answer_of_a_held_out_lesion_does_not_reach_its_prediction():
    table, response, patients = cohort()
    folds, logits = held_out(table, response, patients)
    held = folds[0] == 2
    changed = np.where(held, 1 - response, response)
    other = cross_validate(table, changed, folds, patients, 3, method=QUICK)
    np.testing.assert_array_equal(other[0, held], logits[0, held])
    assert (other[0, ~held] != logits[0, ~held]).all()


def test_features_of_held_out_lesions_do_not_reach_each_other():
    table, response, patients = cohort()
    folds, logits = held_out(table, response, patients)
    held = np.flatnonzero(folds[0] == 2)
    values = table.values.copy()
    values[held[1:]] += 100.0
    other = cross_validate(Table(table.names, values), response, folds, patients, 3, method=QUICK)
    assert other[0, held[0]] == logits[0, held[0]]


def test_units_of_features_do_not_matter():
    table, response, patients = cohort()
    rescaled = Table(table.names, 1e6 * table.values + 7e5)
    np.testing.assert_allclose(
        held_out(table, response, patients)[1], held_out(rescaled, response, patients)[1], rtol=1e-3, atol=1e-3
    )


def test_equal_seeds_give_equal_answers_and_others_do_not():
    table, response, patients = cohort()
    one, again, other = (held_out(table, response, patients, seed=seed)[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_gaps_are_filled_with_the_median_of_what_is_learnt_from():
    values = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [9.0, 5.0, 1.0], [np.nan, 5.0, np.nan]])
    scale = fit_scale(values)
    np.testing.assert_array_equal(scale.columns, [0])  # the second does not vary, the third is mostly unknown
    filled = np.array([1.0, 2.0, 9.0, 2.0])
    new = np.array([[np.nan, 0.0, 0.0], [4.0, 0.0, 0.0], [1e9, 0.0, 0.0]])
    expected = (np.array([2.0, 4.0]) - filled.mean()) / filled.std()
    np.testing.assert_allclose(scale(new)[:2, 0], expected, rtol=1e-12)
    assert scale(new)[2, 0] == 4.0


def test_features_that_say_the_same_are_taken_once():
    rng = np.random.default_rng(5)
    label = np.arange(200) % 2 == 0
    first, second = label + 0.5 * rng.standard_normal(200), label + 1.5 * rng.standard_normal(200)
    scaled = np.column_stack([rng.standard_normal(200), second, first + 0.05 * rng.standard_normal(200), first])
    order = ranked_features(scaled, label, 4).tolist()
    correlation = [abs(np.corrcoef(label, column)[0, 1]) for column in scaled.T]
    assert order[0] == int(np.argmax(correlation)) in (2, 3)
    assert set(order) == {order[0], 0, 1}
    assert ranked_features(scaled, label, 2).tolist() == order[:2] == [order[0], 1]


def test_the_area_under_the_curve_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    positive, decisions = rng.random(40) < 0.3, rng.integers(0, 9, (3, 40)).astype(float)
    expected = [roc_auc_score(positive, row) for row in decisions]
    np.testing.assert_allclose(area_under_curve(decisions, positive), expected, rtol=1e-12)


def test_probabilities_of_many_lesions_are_true_on_average():
    table, response, patients = cohort(n=400, n_features=4, strength=1.0, seed=2)
    half = np.isin(patients, np.unique(patients)[::2])
    model = QUICK.fit(table.values[half], response[half], patients[half], seed=0)
    probability = 1 / (1 + np.exp(-model.predict(table.values[~half])))
    resists = response[~half] == 0
    for part in (probability < 0.5, probability >= 0.5):
        error = np.sqrt(probability[part].mean() * (1 - probability[part].mean()) / part.sum())
        assert abs(probability[part].mean() - resists[part].mean()) < 2.5 * error


def test_a_patient_on_both_sides_is_refused():
    table, response, patients = cohort()
    with pytest.raises(ValueRangeError, match="are both learnt from and held out"):
        cross_validate(table, response, np.arange(60)[None] % 4, patients, 0, method=QUICK)


def test_tables_that_do_not_fit_or_cannot_be_learnt_are_refused():
    table, response, patients = cohort()
    folds = repeated_folds(patients, response, 4, 1)
    with pytest.raises(GridMismatchError, match=r"expected folds \(repeat, 60\) and as many responses and patients"):
        cross_validate(table, response[:-1], folds, patients, 0)
    with pytest.raises(GridMismatchError, match="expected a row of features for each of 60 lesions, found 59"):
        QUICK.fit(table.values[:-1], response, patients, 0)
    with pytest.raises(ValueRangeError, match="none did not respond"):
        QUICK.fit(table.values, np.ones(60), patients, 0)
    with pytest.raises(ValueRangeError, match="is not 0 or 1"):
        QUICK.fit(table.values, np.where(np.arange(60) == 4, np.nan, response), patients, 0)
    with pytest.raises(ValueRangeError, match="none of 2 features varies over the 40 lesions"):
        QUICK.fit(np.ones((60, 2)), response, patients, 0)


def test_progress_is_told():
    table, response, patients = cohort()
    folds, told = repeated_folds(patients, response, 3, 1), []
    cross_validate(table, response, folds, patients, 0, method=QUICK, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    table, response, patients = cohort()
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(UnsupportedError, match=r"need scikit-learn; pip install 'surrogate3d\[response\]'"):
        QUICK.fit(table.values, response, patients, 0)
