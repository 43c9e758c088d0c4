"""Packed points and the fast walk, against the plain algorithms in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.sampling import covering as module
from surrogate3d.sampling.covering import Covering
from surrogate3d.sampling.points import pack, pack_chunks, pack_spectra
from surrogate3d.sampling.similarity import embed


def clusters(n=700, m=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.random((7, m))
    return centres[rng.integers(0, 7, n)] + 0.05 * rng.standard_normal((n, m))


def plain_walk(codes, first, budget, weight=1.0):
    """Farthest-first as it is written down, all with all, in whole numbers."""
    codes = codes.astype(np.int64)
    chosen, nearest = [first], ((codes - codes[first]) ** 2).sum(axis=1)
    while len(chosen) < budget:
        score = weight * nearest.astype(float)
        score[chosen] = -1.0
        chosen.append(int(score.argmax()))
        nearest = np.minimum(nearest, ((codes - codes[chosen[-1]]) ** 2).sum(axis=1))
    return chosen, nearest


def walk(covering, budget, following=Covering.farthest):
    chosen = []
    for _ in range(budget):
        chosen.append(following(covering))
        covering.add(chosen[-1])
    return chosen


@pytest.mark.parametrize("fine_bytes", [0, 10**9])
def test_a_packed_distance_is_wrong_by_less_than_it_says(fine_bytes):
    points = clusters()
    packed = pack(points, fine_bytes)
    assert packed.codes.dtype == (np.int32 if fine_bytes else np.int16)
    exact = np.linalg.norm(points - points[3], axis=1)
    assert np.abs(packed.distance_to(3) - exact).max() <= packed.error
    assert packed.error < (1e-6 if fine_bytes else 1e-4)


def test_spectra_packed_by_chunks_are_the_embedded_ones():
    rng = np.random.default_rng(2)
    fractions, dose = rng.dirichlet(np.full(9, 0.3), 300).astype(np.float32), rng.uniform(0.05, 1, 300)
    chunks = ((fractions[n : n + 77], dose[n : n + 77]) for n in range(0, 300, 77))
    packed, points = pack_spectra(chunks, 300, 9, 0.05), embed(fractions, dose)
    for row in (0, 150, 299):
        assert np.abs(packed.distance_to(row) - np.linalg.norm(points - points[row], axis=1)).max() <= packed.error


def test_packing_refuses_what_does_not_fit():
    with pytest.raises(GridMismatchError, match="points must be"):
        pack(np.ones(3))
    with pytest.raises(ValueRangeError, match="finite"):
        pack(np.array([[np.nan]]))
    low, high = np.zeros(2), np.ones(2)
    with pytest.raises(ValueRangeError, match="within its range"):
        pack_chunks([np.full((1, 2), 1.1)], 1, low, high)
    with pytest.raises(GridMismatchError, match="expected 3 points, found 1"):
        pack_chunks([np.ones((1, 2))], 3, low, high)
    with pytest.raises(GridMismatchError, match="after 1 rows"):
        pack_chunks([np.ones((1, 2)), np.ones((1, 2))], 1, low, high)
    good = (np.ones((1, 2)), np.ones(1))
    with pytest.raises(ValueRangeError, match="rows 1 to 1 is not within"):
        pack_spectra([good, (np.ones((1, 2)), np.array([0.01]))], 2, 2, 0.05)
    with pytest.raises(ValueRangeError, match="empty, negative"):
        pack_spectra([(np.zeros((1, 2)), np.ones(1))], 1, 2, 0.05)
    with pytest.raises(ValueRangeError, match="least relative dose"):
        pack_spectra([good], 1, 2, 0.0)
    with pytest.raises(GridMismatchError, match="found"):
        pack_spectra([good], 2, 2, 0.05)
    with pytest.raises(GridMismatchError, match="after 0"):
        pack_spectra([good], 1, 3, 0.05)


@pytest.mark.parametrize("fine_bytes", [0, 10**9])
@pytest.mark.parametrize("worth_threads", [0, 10**9])
def test_the_fast_walk_is_the_plain_one_bit_by_bit(fine_bytes, worth_threads, monkeypatch):
    monkeypatch.setattr(module, "_WORTH_THREADS", worth_threads)
    packed = pack(clusters(), fine_bytes)
    covering = Covering(packed)
    chosen = walk(covering, 50)
    slow, nearest = plain_walk(packed.codes, chosen[0], 50)
    assert chosen == slow
    np.testing.assert_allclose(covering.distance(), packed.step * np.sqrt(nearest), rtol=1e-12)
    assert covering.radius() == pytest.approx(packed.step * np.sqrt(nearest.max()), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 4), st.integers(0, 6))
def test_the_fast_walk_is_the_plain_one_with_ties_weights_and_any_size(seed, n, m, levels):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, levels + 1, (n, m)).astype(float)  # many equal points and distances
    weight = rng.integers(0, 3, n).astype(float)
    packed, budget = pack(points), min(n, 40)
    covering = Covering(packed, weight=weight)
    covering.add(0)
    assert [0, *walk(covering, budget - 1)] == plain_walk(packed.codes, 0, budget, weight)[0]


def test_without_pruning_between_late_centres_the_walk_is_the_same(monkeypatch):
    packed = pack(clusters())
    reference = walk(Covering(packed), 60)
    monkeypatch.setattr(module, "_PRUNED", 10)
    assert walk(Covering(packed), 60) == reference


def test_largest_cluster_is_the_plain_one():
    packed = pack(clusters(seed=4))
    chosen = walk(Covering(packed), 40, Covering.largest_cluster)
    codes, slow = packed.codes.astype(np.int64), [chosen[0]]
    while len(slow) < 40:
        apart = ((codes[:, None] - codes[slow]) ** 2).sum(axis=2)
        label, nearest = apart.argmin(axis=1), apart.min(axis=1)
        sizes = [nearest[label == c].sum() for c in range(len(slow))]
        slow.append(int(np.where(label == np.argmax(sizes), nearest, -1).argmax()))
    assert chosen == slow


def test_closed_points_are_neither_chosen_nor_covered():
    points = np.array([[0.0], [1.0], [2.0], [10.0]])
    covering = Covering(pack(points), np.array([True, True, True, False]))
    assert covering.radius() == np.inf
    chosen = walk(covering, 3)
    assert chosen[0] == 1
    assert set(chosen) == {0, 1, 2}
    assert covering.farthest() == covering.largest_cluster() == -1
    assert covering.radius() == 0.0
    assert np.isnan(covering.distance()[3])
    assert covering.distance()[:3].tolist() == [0, 0, 0]
