"""The nearest point against all differences written out, where bounds are sharp, useless, or lost in rounding."""

import numpy as np
import pytest

from surrogate3d.sampling.nearest import nearest


def slow_twin(points, chosen):
    apart = np.array([np.sqrt(np.square(chosen - point).sum(axis=1)) for point in np.asarray(points, dtype=float)])
    return apart.argmin(axis=1), apart.min(axis=1)


def on_a_plane(rng, n, dimensions, size, noise=0.0):
    plane = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))[0][:dimensions]
    return 0.5 + rng.standard_normal((n, dimensions)) @ plane + noise * rng.standard_normal((n, size))


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 66, 198])
@pytest.mark.parametrize("k", [1, 2, 90])
def test_the_nearest_of_points_without_order(size, k):
    rng = np.random.default_rng(size)
    points, chosen = rng.random((150, size)), rng.random((k, size))
    at, distance = nearest(points, chosen)
    expected = slow_twin(points, chosen)
    np.testing.assert_array_equal(at, expected[0])
    np.testing.assert_allclose(distance, expected[1], rtol=1e-13)


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_nearest_of_points_near_a_plane(noise, kind):
    rng = np.random.default_rng(1)
    points, chosen = (on_a_plane(rng, n, 4, 66, noise).astype(kind) for n in (700, 200))
    at, distance = nearest(points, chosen)
    expected = slow_twin(points, chosen.astype(float))
    np.testing.assert_array_equal(at, expected[0])
    np.testing.assert_allclose(distance, expected[1], rtol=1e-13)


def test_points_far_off_the_plane_of_the_chosen_ones():
    rng = np.random.default_rng(2)
    points, chosen = on_a_plane(rng, 300, 60, 66), on_a_plane(rng, 100, 3, 66, 1e-3)
    at, distance = nearest(points, chosen)
    expected = slow_twin(points, chosen)
    np.testing.assert_array_equal(at, expected[0])
    np.testing.assert_allclose(distance, expected[1], rtol=1e-13)


def test_twins_that_float32_cannot_tell_apart_are_told_apart():
    # 1e-6 apart, where the squared lengths are near 100 and their unit in the last place is 8e-6.
    rng = np.random.default_rng(3)
    first = on_a_plane(rng, 80, 5, 66, 0.1) * 3
    chosen = np.concatenate([first, first + 1e-6 * rng.standard_normal(first.shape)])
    points = chosen + 1e-7 * rng.standard_normal(chosen.shape)
    at, distance = nearest(points, chosen)
    np.testing.assert_array_equal(at, np.arange(160))
    np.testing.assert_allclose(distance, np.linalg.norm(points - chosen, axis=1), rtol=1e-12)


def test_a_chosen_point_is_at_distance_zero():
    chosen = on_a_plane(np.random.default_rng(4), 120, 5, 66, 1e-4).astype(np.float32)
    at, distance = nearest(chosen, chosen)
    np.testing.assert_array_equal(at, np.arange(120))
    assert not distance.any()


def test_equal_points_and_no_points():
    same = np.full((3, 12), 0.25)
    at, distance = nearest(np.full((5, 12), 0.5), same)
    np.testing.assert_array_equal(at, 0)
    np.testing.assert_allclose(distance, np.sqrt(12) / 4, rtol=1e-15)
    at, distance = nearest(same[:0], same)
    assert at.shape == distance.shape == (0,)
