"""Coverage of intervals against a noisy truth."""

import numpy as np
import pytest
from scipy.stats import binomtest

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.validation.coverage import coverage


def test_the_truths_own_noise_is_taken_out():
    rng = np.random.default_rng(0)
    n = 20_000
    region = np.where(np.arange(n) < n // 4, "distal_edge", "target")
    std = rng.uniform(0.001, 0.003, n) * np.where(region == "target", 1.0, 3.0)
    se = np.full(n, 0.002)
    error = std * rng.standard_normal(n) + se * rng.standard_normal(n)
    rows = {row.region: row for row in coverage(error, 1.645 * std, se, region, 0.9)}
    assert list(rows) == ["all", "distal_edge", "target"]
    assert [row.voxels for row in rows.values()] == [n, n // 4, 3 * n // 4]
    assert rows["target"].observed < 0.8
    for row in rows.values():
        assert row.covered == pytest.approx(0.9, abs=0.02)


def test_with_an_exact_truth_both_shares_are_counts():
    error, region = np.array([0.1, -0.2, 0.3, -0.4]), np.array(["a", "a", "b", "b"])
    rows = coverage(error, np.array([0.15, 0.15, 0.35, 0.45]), np.zeros(4), region, 0.68)
    assert [(row.observed, row.covered) for row in rows] == [(0.75, 0.75), (0.5, 0.5), (1.0, 1.0)]
    assert rows[0].level == 0.68


def test_the_interval_is_wilsons():
    error, region = np.array([0.1, -0.2, 0.3, -0.4]), np.array(["a", "a", "b", "b"])
    rows = coverage(error, np.array([0.15, 0.15, 0.35, 0.45]), np.zeros(4), region, 0.68)
    for row, k in zip(rows, (3, 1, 2), strict=True):
        expected = binomtest(k, row.voxels).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high))


TWO, NAMES = np.ones(2), np.array(["a", "b"])


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((TWO, TWO, TWO[:1], NAMES), GridMismatchError, "alike"),
        ((TWO[:0], TWO[:0], TWO[:0], NAMES[:0]), ValueRangeError, "needs voxels"),
        ((TWO * np.inf, TWO, TWO, NAMES), ValueRangeError, "finite errors"),
        ((TWO, 0 * TWO, TWO, NAMES), ValueRangeError, "half widths"),
        ((TWO, TWO, -TWO, NAMES), ValueRangeError, "not negative"),
        ((TWO, TWO, TWO, np.array(["a", "all"])), QuantityError, "may be called"),
    ],
)
def test_what_has_no_coverage_is_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        coverage(*arguments, 0.9)
