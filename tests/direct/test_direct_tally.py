import numpy as np
import pytest

from surrogate3d.direct.tally import N_BATCHES, SurvivalTally


def sample(n, seed):
    """Nuclei whose survival is exp(-q), q normal around 1 with deviation 0.2: mean exp(-1 + 0.02)."""
    q = 1.0 + 0.2 * np.random.default_rng(seed).normal(size=(n, 1))
    return np.exp(-q), q


def test_estimate_is_unbiased_and_far_better_than_the_plain_mean():
    found, plain = [], []
    for seed in range(200):
        survival, q = sample(480, seed)
        tally = SurvivalTally(np.array([1.0]))
        tally.add(survival, q)
        found.append(tally.estimate()[0][0])
        plain.append(survival.mean())
    exact = np.exp(-0.98)
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / np.sqrt(200) + 1e-4)
    assert np.std(found) < 0.3 * np.std(plain)


def test_stated_error_is_the_spread():
    found, stated = [], []
    for seed in range(200):
        tally = SurvivalTally(np.array([1.0]))
        tally.add(*sample(480, seed))
        S, left_out, relative_se = tally.estimate()
        assert left_out.shape == (N_BATCHES, 1)
        found.append(S[0])
        stated.append(relative_se[0] * S[0])
    assert np.mean(stated) == pytest.approx(np.std(found), rel=0.15)


def test_adding_in_parts_is_adding_at_once():
    survival, q = sample(480, 1)
    whole, parts = SurvivalTally(np.array([1.0])), SurvivalTally(np.array([1.0]))
    whole.add(survival, q)
    for part in (slice(0, 160), slice(160, 480)):
        parts.add(survival[part], q[part])
    for a, b in zip(whole.estimate(), parts.estimate(), strict=True):
        assert a == pytest.approx(b, rel=1e-10)


def test_without_correlation_it_is_the_plain_mean():
    rng = np.random.default_rng(2)
    survival, q = rng.random((4800, 1)), np.ones((4800, 1))
    tally = SurvivalTally(np.array([1.0]))
    tally.add(survival, q)
    assert tally.estimate()[0][0] == pytest.approx(survival.mean())
