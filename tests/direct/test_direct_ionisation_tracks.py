"""Ionisation clusters: exact limits, other codes, and what ion counters measured."""

import math
import os

import numba
import numpy as np
import pytest
from scipy.stats import poisson

from surrogate3d.direct import ionisation_tracks
from surrogate3d.direct.ionisation_tracks import ClusterSizes, SiteRow, electron_yield, simulate_clusters
from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.ionisation import ion_rates
from surrogate3d.physics.nano_table import nano_table

# Conditional cluster sizes of carbon ions of 88 MeV through the centre of a cylinder of 2.3 nm diameter and 6.1 nm
# length, as measured in gas: Hilgers, Bug and Rabus, Phys. Med. Biol. 2017, digitised in the regression suite
# of TOPAS-nBio (NanodosimetryI) and read off its figure; nu = 1 ... 20.
HILGERS = (
    0.0021, 0.0068, 0.0165, 0.0312, 0.0479, 0.0684, 0.0827, 0.0954, 0.1000, 0.0954,
    0.0888, 0.0789, 0.0652, 0.0539, 0.0415, 0.0336, 0.0246, 0.0185, 0.0139, 0.0102,
)  # fmt: skip
HILGERS_MEAN = 10.53

# The same suite, NanodosimetryIII (one of five runs of 2024): cylinders of 2.3 x 3.4 nm placed at random within 15.2 nm
# of ions of 1 MeV/u; M1, F2 and F3 of the sites that were hit, by Geant4-DNA options 2, 4 and 6.
TOPAS_NBIO = {
    1: ((1.8366, 0.4220, 0.2087), (1.8212, 0.4333, 0.2063), (2.1600, 0.5095, 0.2881)),
    2: ((2.7994, 0.5470, 0.3724), (2.8735, 0.5848, 0.3972), (3.3854, 0.6376, 0.4639)),
}

# Geant4 11, example "wvalue" (option 2): mean number of ionisations by an electron stopped in liquid water
GEANT4_YIELD = {100: 4.122, 200: 8.531, 500: 21.787, 1000: 43.915}


def test_the_ion_alone_leaves_a_poisson_distribution_in_a_sphere():
    row = SiteRow(radius_nm=1.0)
    sizes = simulate_clusters(1, 1.0, [row], n_tracks=2000, seed=1, electrons=False)[0]
    mean = 2.0 * row.radius_nm / ion_rates(1, 1.0).mean_free_path_nm
    n = sizes.counts.sum()
    for nu in range(6):
        p = poisson.pmf(nu, mean)
        assert sizes.probability[nu] == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / n))
    assert sizes.probability.sum() == pytest.approx(1.0)


def test_an_ion_that_crosses_at_random_ionises_along_the_mean_chord():
    rows = [SiteRow(1.5, 1.5), SiteRow(2.0, 0.0, half_length_nm=3.0)]
    sphere, cylinder = simulate_clusters(2, 3.0, rows, n_tracks=2000, seed=2, electrons=False)
    path = ion_rates(2, 3.0).mean_free_path_nm
    for sizes, chord in ((sphere, 4.0 / 3.0 * 1.5), (cylinder, 4.0)):  # across the axis of the cylinder
        mean, error = sizes.value("M1")
        assert mean == pytest.approx(chord / path, abs=4 * error)
        assert error < 0.01 * mean


def test_electrons_add_ionisations_and_some_leave_the_site():
    alone, with_electrons = (
        simulate_clusters(1, 5.0, [SiteRow(1.0)], n_tracks=4000, seed=3, electrons=e)[0] for e in (False, True)
    )
    assert with_electrons.value("M1")[0] > 1.2 * alone.value("M1")[0]
    lost_per_nm = ion_rates(1, 5.0).ionisation_loss
    assert with_electrons.value("M1")[0] < 2.0 * lost_per_nm / 20.0  # fewer than if all energy stayed, W about 20 eV


def test_equal_seeds_give_equal_counts_whatever_the_threads():
    def counts(seed):
        return simulate_clusters(6, 20.0, [SiteRow(1.0), SiteRow(2.5, 2.5)], n_tracks=40, seed=seed)

    first = counts(7)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS, os.cpu_count() or 1))
        second = counts(7)
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a.counts, b.counts) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0].counts, counts(8)[0].counts)


def test_rows_do_not_disturb_the_statistics_of_each_other():
    alone = simulate_clusters(1, 2.0, [SiteRow(1.0)], n_tracks=3000, seed=11)[0]
    beside = simulate_clusters(1, 2.0, [SiteRow(5.0, 5.0), SiteRow(1.0)], n_tracks=3000, seed=12)[1]
    for name in ("M1", "F1", "F2"):
        (a, se_a), (b, se_b) = alone.value(name), beside.value(name)
        assert a == pytest.approx(b, abs=4 * math.hypot(se_a, se_b))


def test_a_longer_track_beyond_the_sites_changes_nothing(monkeypatch):
    def value(name):
        return simulate_clusters(1, 20.0, [SiteRow(5.0, 5.0)], n_tracks=4000, seed=21)[0].value(name)

    short = {name: value(name) for name in ("M1", "F2")}
    monkeypatch.setattr(ionisation_tracks, "MARGIN_NM", 3 * ionisation_tracks.MARGIN_NM)
    for name, (expected, error) in short.items():
        found, its_error = value(name)
        assert found == pytest.approx(expected, abs=4 * math.hypot(error, its_error))


@pytest.mark.parametrize("energy", GEANT4_YIELD)
def test_stopped_electrons_ionise_a_tenth_more_than_in_geant4_dna_option_2(energy):
    found, error = electron_yield(float(energy), 1000, seed=1)
    assert error < 0.01 * found
    assert 1.08 < found / GEANT4_YIELD[energy] < 1.14


@pytest.mark.parametrize(("Z", "n_tracks"), [(1, 4000), (2, 700)])
def test_random_cylinders_about_a_track_as_in_topas_nbio(Z, n_tracks):
    row = SiteRow(1.15, 15.2 - 1.7, half_length_nm=1.7, turned=True)
    sizes = simulate_clusters(Z, 1.0, [row], n_tracks=n_tracks, seed=2)[0]
    option2, _, option6 = TOPAS_NBIO[Z]
    for name, low, high in zip(("M1", "F2", "F3"), option2, option6, strict=True):
        found, error = sizes.value(name, conditional=True)
        assert found == pytest.approx(high, rel=0.03, abs=3 * error)  # the option with these cross-sections
        assert found / low < 1.40  # and the distance to another one


def test_carbon_ions_in_a_nanodosimeter_as_measured():
    sizes = simulate_clusters(6, 88.0 / 12.0, [SiteRow(1.15, 0.0, half_length_nm=3.05)], n_tracks=300, seed=3)[0]
    mean, error = sizes.value("M1", conditional=True)
    assert mean == pytest.approx(HILGERS_MEAN, rel=0.02, abs=3 * error)
    hit = sizes.probability[1:] / sizes.probability[1:].sum()
    assert np.abs(hit[: len(HILGERS)] - HILGERS).max() < 0.015


def test_the_shipped_table_is_what_the_simulation_gives():
    table = nano_table()
    n = 12
    rows = [SiteRow(1.0), SiteRow(1.0, 1.0)]
    for sizes, convention in zip(
        simulate_clusters(2, float(table.energy_mev_u[n]), rows, n_tracks=600, seed=5), (0, 1), strict=True
    ):
        for name in ("M1", "F1", "F2", "F3"):
            found, error = sizes.value(name)
            place = (convention, 0, 1, n)
            expected, its_error = table.values[name][place], table.standard_errors[name][place]
            assert found == pytest.approx(expected, abs=4.5 * math.hypot(error, its_error))


def test_values_and_errors_of_a_small_distribution_by_hand():
    counts = np.zeros((2, 2048), np.int64)
    counts[0, [0, 1, 3]] = 2, 1, 1
    counts[1, [0, 2]] = 2, 2
    sizes = ClusterSizes(counts)
    assert sizes.value("M1")[0] == pytest.approx(1.0)
    assert sizes.value("M1")[1] == pytest.approx(0.0)
    assert sizes.value("F2") == pytest.approx((3 / 8, math.sqrt(2 * 2 * 0.5**2) / 8))
    assert sizes.value("F2", conditional=True)[0] == pytest.approx(3 / 4)
    assert ClusterSizes(np.zeros((2, 2048), np.int64)).value("F1", conditional=True) == (0.0, 0.0)


def test_sites_and_segments_that_make_no_sense_are_refused():
    with pytest.raises(ValueRangeError, match="positive radius"):
        simulate_clusters(1, 1.0, [SiteRow(0.0)], n_tracks=20, seed=1)
    with pytest.raises(ValueRangeError, match="positive radius"):
        simulate_clusters(1, 1.0, [SiteRow(1.0, -1.0)], n_tracks=20, seed=1)
    with pytest.raises(ValueRangeError, match="cannot hold"):
        simulate_clusters(1, 1.0, [SiteRow(10.0)], n_tracks=20, seed=1, length_nm=15.0)
    with pytest.raises(ValueRangeError, match="at least one track"):
        simulate_clusters(1, 1.0, [SiteRow(1.0)], n_tracks=0, seed=1)
    with pytest.raises(ValueRangeError, match="2047"):
        simulate_clusters(8, 0.3, [SiteRow(60.0)], n_tracks=20, seed=1, electrons=False)
    with pytest.raises(ValueRangeError, match="positive in MeV/u"):
        simulate_clusters(1, 0.0, [SiteRow(1.0)], n_tracks=20, seed=1)
