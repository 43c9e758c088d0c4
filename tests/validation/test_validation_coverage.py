"""Coverage of intervals against a noisy truth."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.validation.coverage import coverage, wilson


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


def test_wilsons_interval_is_the_one_of_its_definition():
    # Both ends p solve |found - p| = z sqrt(p (1 - p) / n): Wilson 1927.
    for found, n in ((0.9, 300), (0.5, 10), (0.98, 57)):
        for p in wilson(found, n):
            assert abs(found - p) == pytest.approx(norm.ppf(0.975) * np.sqrt(p * (1 - p) / n))


def test_wilsons_interval_covers_and_stays_within_zero_and_one():
    n, p = 100, 0.9
    counts = np.arange(n + 1)
    inside = [low <= p <= high for low, high in (wilson(k / n, n) for k in counts)]
    assert 0.93 < (binom.pmf(counts, n, p) * inside).sum() < 0.97
    assert wilson(1.0, 20)[1] == 1.0
    assert wilson(0.0, 20)[0] == 0.0
    assert wilson(1.0, 20)[0] == pytest.approx(1 / (1 + norm.ppf(0.975) ** 2 / 20))


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
