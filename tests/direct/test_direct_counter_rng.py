import numpy as np
import pytest
from scipy.stats import chisquare
from scipy.stats import poisson as poisson_distribution

from surrogate3d.direct.counter_rng import GOLDEN, mix, poisson, stream, unit

WRAP = 2**64


def test_splitmix64_reproduces_the_published_sequence():
    # first outputs of the reference implementation (S. Vigna, splitmix64.c) for seed 1234567, as listed on Rosetta Code
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    states = [np.uint64((1234567 + n * int(GOLDEN)) % WRAP) for n in range(1, 5)]
    assert [int(mix(state)) for state in states] == expected


def test_unit_lies_below_one_even_for_the_largest_word():
    assert unit(np.uint64(WRAP - 1)) < 1.0
    assert unit(np.uint64(0)) == 0.0


def test_streams_differ_in_each_of_their_three_names():
    names = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3)]
    assert len({int(stream(*(np.uint64(n) for n in name))) for name in names}) == len(names)


@pytest.mark.parametrize("mean", [0.3, 4.0, 9.99, 10.0, 37.0, 900.0])
def test_poisson_numbers_follow_the_poisson_law(mean):
    state, counts = np.uint64(7), np.zeros(20_000, dtype=int)
    for n in range(counts.size):
        counts[n], state = poisson(mean, np.uint64(state))
    law = poisson_distribution(mean)
    edges = np.unique(law.ppf(np.linspace(0.02, 0.98, 25)))
    expected = np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]])) * counts.size
    observed = np.bincount(np.searchsorted(edges, counts), minlength=len(expected))
    assert chisquare(observed, expected).pvalue > 1e-3


def test_no_tracks_without_fluence():
    assert poisson(0.0, np.uint64(1))[0] == 0
