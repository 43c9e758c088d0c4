from __future__ import annotations

import numpy as np
import pytest

from surrogate3d.sampling.similarity import distance_to, distance_to_nearest, embed


def dissimilarity(p, q, dose_p=1.0, dose_q=1.0):
    points = embed(np.array([p, q], dtype=float), np.array([dose_p, dose_q]))
    return float(distance_to(points[:1], points[1])[0])


def test_hellinger_of_hand_computed_spectra():
    assert dissimilarity([1, 0, 0], [0, 0, 1]) == pytest.approx(1.0)  # nothing in common
    assert dissimilarity([0.2, 0.8], [0.2, 0.8]) == 0.0
    # H^2 = 1 - Bhattacharyya coefficient = 1 - (sqrt(.5 * .9) + sqrt(.5 * .1))
    assert dissimilarity([0.5, 0.5], [0.9, 0.1]) ** 2 == pytest.approx(1 - (np.sqrt(0.45) + np.sqrt(0.05)))


def test_a_factor_of_two_in_dose_counts_a_tenth():
    assert dissimilarity([1, 1], [1, 1], 0.5, 1.0) == pytest.approx(0.1)
    assert dissimilarity([1, 0], [0, 1], 0.5, 1.0) == pytest.approx(np.sqrt(1.01))


def test_scale_of_a_row_is_irrelevant():
    assert dissimilarity([1, 2, 3], [20, 40, 60]) == pytest.approx(0.0, abs=1e-15)


def test_is_a_metric():
    rng = np.random.default_rng(4)
    points = embed(rng.random((30, 12)) ** 4, rng.uniform(0.05, 1, 30))
    d = np.array([distance_to(points, p) for p in points])
    assert np.allclose(d, d.T)
    assert (np.diag(d) == 0).all()
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-12).all()


def test_nearest_equals_its_slow_twin():
    rng = np.random.default_rng(5)
    points = rng.random((57, 6))
    chosen = rng.random((9, 6))
    slow = [min(np.linalg.norm(p - c) for c in chosen) for p in points]
    assert np.allclose(distance_to_nearest(points, chosen), slow)
    assert np.isinf(distance_to_nearest(points, chosen[:0])).all()


def test_a_chosen_point_is_at_distance_exactly_zero():
    points = np.random.default_rng(6).random((20, 50))
    assert (distance_to_nearest(points, points[3:7])[3:7] == 0).all()
