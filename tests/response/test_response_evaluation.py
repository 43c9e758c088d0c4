import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response import evaluation
from surrogate3d.response.evaluation import difference, judge
from surrogate3d.training.bootstrap import estimate, resampled

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")


def held_out(n=69, repeats=4, noise=0.8, seed=0):
    """Log odds of no response by repeat, with ties, responses and patients."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0.2, 1.2, n)
    response = (rng.random(n) < expit(true)).astype(float)
    logit = -(true + rng.normal(0, noise, (repeats, n))).round(1) + 0.05
    return logit, response, np.array([f"P{k % 39}" for k in range(n)])


def test_scores_are_those_of_scikit_learn():
    logit, response, patient = held_out()
    found = judge(logit, response, patient)
    said, probability = logit < 0, expit(-logit)
    AUC = [metrics.roc_auc_score(response, one) for one in probability]
    assert len(np.unique(logit[0])) < 69  # there are ties
    np.testing.assert_allclose(found.AUC_of_repeats, AUC, rtol=1e-12)
    assert found.AUC.value == pytest.approx(np.mean(AUC), rel=1e-12)
    assert found.AUC_spread == pytest.approx(np.std(AUC, ddof=1), rel=1e-12)
    for mean, score in (
        (found.accuracy, metrics.accuracy_score),
        (found.sensitivity, metrics.recall_score),
        (found.specificity, lambda y, s: metrics.recall_score(y, s, pos_label=0)),
    ):
        assert mean.value == pytest.approx(np.mean([score(response, one) for one in said]), rel=1e-12)
        assert mean.low < mean.value < mean.high
    assert found.brier.value == pytest.approx(
        np.mean([metrics.brier_score_loss(response, one) for one in probability]), rel=1e-12
    )
    pooled = metrics.f1_score(np.tile(response, 4), said.ravel())
    assert found.F1.value == pytest.approx(pooled, rel=1e-12)
    assert (found.lesions, found.patients, found.responders) == (69, 39, int(response.sum()))


def test_the_bootstrap_carries_whole_patients_and_all_repeats(monkeypatch):
    logit, response, patient = held_out(seed=1)
    draws = resampled(patient, 5, draws=60)
    monkeypatch.setattr(evaluation, "resampled", lambda names, seed: draws)
    found = judge(logit, response, patient, seed=5)
    slow = [np.mean([metrics.roc_auc_score(response, -one, sample_weight=draw) for one in logit]) for draw in draws]
    expected = estimate(np.array(slow))
    assert (found.AUC.value, found.AUC.low, found.AUC.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-10
    )
    said = np.tile(response, 4), (logit < 0).ravel()
    slow = [metrics.f1_score(*said, sample_weight=np.tile(draw, 4)) for draw in draws]
    expected = estimate(np.array(slow))
    assert (found.F1.low, found.F1.high) == pytest.approx((expected.low, expected.high), rel=1e-10)


def test_the_interval_of_the_auc_is_about_that_of_hanley_and_mcneil():
    # 200 patients with a lesion each: their variance of an AUC of normal scores, Radiology 143:29, equation 1.
    rng = np.random.default_rng(2)
    response = np.repeat([0.0, 1.0], 100)
    found = judge(-(response + rng.normal(size=200)), response, np.arange(200).astype(str)).AUC
    area = found.value
    both, one = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 99 * (both - area**2) + 99 * (one - area**2)) / 100**2
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.1)


def test_repeats_that_agree_change_nothing_and_make_no_interval_narrower():
    logit, response, patient = held_out(repeats=1)
    once, often = judge(logit[0], response, patient), judge(np.tile(logit, (10, 1)), response, patient)
    for name in ("AUC", "accuracy", "F1", "brier"):
        one, other = getattr(once, name), getattr(often, name)
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-12)
    assert np.isnan(once.AUC_spread)
    assert often.AUC_spread == pytest.approx(0.0, abs=1e-12)


def test_lesions_of_a_patient_that_err_together_make_the_interval_wider():
    logit, response, _ = held_out(n=40, repeats=1)
    copies = [np.tile(each, (1, 3)) for each in (logit, response[None])]
    together = np.tile(np.arange(40), 3).astype(str)
    apart = np.arange(120).astype(str)
    wide, narrow = (judge(copies[0], copies[1][0], names).AUC for names in (together, apart))
    assert wide.value == narrow.value
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(np.sqrt(3), rel=0.1)


def test_the_accuracy_has_wilsons_interval_and_a_note_of_what_so_few_lesions_tell():
    response = np.arange(69) % 2.0
    logit = np.where(response == 1, -1.0, 1.0)
    logit[:6] *= -1
    found = judge(logit, response, np.arange(69).astype(str))
    assert found.accuracy.value == pytest.approx(63 / 69)
    expected = binomtest(63, 69).proportion_ci(method="wilson")
    assert found.accuracy_wilson == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert "With 69 lesions the accuracy of 91.3 % has a Wilson 95 % interval of 82 to 96 %" in found.note
    assert "+-6 % at an accuracy of 95 % and +-11 % at 50 %" in found.note


def test_even_odds_are_no_response():
    response = np.array([1.0, 0.0, 1.0, 0.0])
    found = judge(np.zeros(4), response, np.array(list("abcd")))
    assert (found.sensitivity.value, found.specificity.value, found.AUC.value) == (0.0, 1.0, 0.5)
    assert found.brier.value == 0.25


def test_differences_use_the_same_patients_for_both():
    logit, response, patient = held_out()
    better = logit - 0.8 * (2 * response - 1)
    found = difference(better, logit, response, patient)
    one, other = judge(better, response, patient), judge(logit, response, patient)
    for name in ("AUC", "accuracy", "brier"):
        pair = getattr(one, name), getattr(other, name)
        gain = getattr(found, name)
        assert gain.value == pytest.approx(pair[0].value - pair[1].value, rel=1e-9)
        assert gain.high - gain.low < pair[1].high - pair[1].low
    np.testing.assert_allclose(found.AUC_of_repeats, np.subtract(one.AUC_of_repeats, other.AUC_of_repeats), rtol=1e-9)
    none = difference(logit, logit, response, patient)
    assert (none.AUC.low, none.AUC.high, none.brier.low, none.accuracy.high) == (0.0, 0.0, 0.0, 0.0)


def test_the_reverse_of_a_method_is_worse_by_twice_what_it_is_above_chance():
    logit, response, patient = held_out()
    found, AUC = difference(logit, -logit, response, patient).AUC, judge(logit, response, patient).AUC
    assert (found.value, found.low, found.high) == pytest.approx(
        [2 * end - 1 for end in (AUC.value, AUC.low, AUC.high)]
    )


def test_an_oracle_without_repeats_is_compared_with_each_repeat():
    logit, response, patient = held_out()
    oracle = -4.0 * (response - 0.5)
    found = difference(oracle, logit, response, patient)
    assert judge(oracle, response, patient).AUC.value == 1.0
    np.testing.assert_allclose(
        found.AUC_of_repeats, 1 - np.array(judge(logit, response, patient).AUC_of_repeats), rtol=1e-12
    )


def test_what_cannot_be_judged_is_refused():
    logit, response, patient = held_out()
    with pytest.raises(GridMismatchError, match=r"log odds of 69 lesions in each repeat, found \(4, 68\)"):
        judge(logit[:, 1:], response, patient)
    with pytest.raises(GridMismatchError, match="4 and 3 repeats; give them the same folds"):
        difference(logit, logit[1:], response, patient)
    with pytest.raises(ValueRangeError, match="none did not respond"):
        judge(logit, np.ones(69), patient)
    with pytest.raises(ValueRangeError, match=r"is not 0 or 1.*leave lesions without a follow-up out"):
        judge(logit, np.where(np.arange(69) == 3, np.nan, response), patient)
    logit[1, 5] = np.nan
    with pytest.raises(
        ValueRangeError, match="1 log odds are not finite, the first in repeat 1 for lesion 5 of patient P5"
    ):
        judge(logit, response, patient)
