"""Spectra as points, against the integral that their distance is, and against counted noise."""

import numpy as np
import pytest
from scipy.stats import norm
from synthetic import make_field

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.inference.spectrum_distance import field_features, spectrum_features, spread
from surrogate3d.physics.let import bin_dose

AXES = SpectrumAxes.logarithmic(("H", "He"))
ONE = np.ones((1, 1, 1), dtype=bool)


def point(axes, fluence, tracks=1000.0):
    """Features of a voxel without neighbours."""
    return spectrum_features(axes, fluence[:, :, None, None, None], np.full((1, 1, 1), tracks), 2, ONE)


def gaussian(centre, width, axes=AXES, share=0.2):
    """Fluence of which the dose of H and He is Gaussian in ln E, He with a share of it."""
    edges = np.log(np.maximum(axes.edges_mev_u, 1e-9))
    dose = np.diff(norm.cdf((edges - np.log(centre)) / width), axis=1) * np.array([[1 - share], [share]])
    return dose / bin_dose(axes, np.ones_like(dose))


def apart(a, b):
    return float(np.linalg.norm(a.points.astype(float) - b.points))


def test_the_distance_is_cramers_integral():
    # Integrated here on a fine grid, from the same dose in bins, spread evenly in ln E; the points sum over nodes.
    x = np.linspace(np.log(0.1), np.log(500.0), 40_001)
    fluences, cumulative = (gaussian(60.0, 0.3), 2 * gaussian(20.0, 0.5, share=0.4)), []
    for fluence in fluences:
        dose = bin_dose(AXES, fluence)
        below = np.concatenate([np.zeros((2, 1)), np.cumsum(dose, axis=1)], axis=1) / dose.sum()
        cumulative.append(
            [np.interp(x, np.log(edges), row) for edges, row in zip(AXES.edges_mev_u, below, strict=True)]
        )
    square = np.trapezoid(np.square(np.subtract(*cumulative)).sum(axis=0), x)
    assert apart(*(point(AXES, fluence) for fluence in fluences)) == pytest.approx(np.sqrt(square), rel=0.02)


def test_a_shifted_spectrum_is_as_far_as_the_page_says():
    # To first order d^2 = shift^2 x integral of the squared density = shift^2 / (2 sd sqrt(pi)).
    found = apart(point(AXES, gaussian(60.0, 0.3, share=0)), point(AXES, gaussian(60.0 * np.exp(0.1), 0.3, share=0)))
    assert found == pytest.approx(0.1 / np.sqrt(0.6 * np.sqrt(np.pi)), rel=0.03)
    assert found == pytest.approx(0.1, rel=0.05)


def test_a_shift_counts_further_the_further_it_goes():
    start = point(AXES, gaussian(20.0, 0.1))
    found = [apart(start, point(AXES, gaussian(20.0 * factor, 0.1))) for factor in (1.0, 1.1, 1.3, 2.0, 4.0, 8.0)]
    assert found[0] == 0
    assert (np.diff(found) > 0.05).all()


def test_spectra_of_two_ions_are_far_apart():
    assert apart(point(AXES, gaussian(60.0, 0.3, share=0)), point(AXES, gaussian(60.0, 0.3, share=1))) > 1.5


def test_neither_the_scale_nor_other_bins_matter():
    fine = SpectrumAxes.logarithmic(("H", "He"), n_bins=256)
    start = point(AXES, gaussian(60.0, 0.3))
    assert apart(start, point(AXES, 1e-7 * gaussian(60.0, 0.3))) == pytest.approx(0, abs=1e-6)
    assert apart(start, point(fine, gaussian(60.0, 0.3, fine))) < 0.01
    linear = SpectrumAxes(("H", "He"), np.tile(np.linspace(0, 300, 601), (2, 1)))
    assert apart(start, point(linear, gaussian(60.0, 0.3, linear))) < 0.01


@pytest.mark.parametrize("tracks", [300, 3000])
def test_the_noise_is_what_counting_gives(tracks):
    # Independent particles: counts of each bin are Poisson. All voxels have one expected spectrum, so that the mean
    # square distance to it is the noise; far from the edges, where pooling sees all of its neighbours.
    rng = np.random.default_rng(1)
    share = gaussian(60.0, 0.4, share=0.03)
    share /= share.sum()
    counts = rng.poisson(tracks * share[:, :, None, None, None], (2, 64, 24, 24, 20)).astype(np.float32)
    mask = np.zeros(counts.shape[2:], dtype=bool)
    mask[9:-9, 9:-9, 6:-6] = True
    found = spectrum_features(AXES, counts / 6.25, counts.sum(axis=(0, 1)), 2, mask)
    expected = point(AXES, share)
    square = np.square(found.points - expected.points).sum(axis=1).mean()
    assert np.sqrt(np.mean(found.noise**2)) == pytest.approx(np.sqrt(square), rel=0.15)


def test_more_tracks_less_noise():
    found = [point(AXES, gaussian(60.0, 0.3), tracks).noise[0] for tracks in (100.0, 400.0)]
    assert found[0] == pytest.approx(2 * found[1])


def test_points_do_not_depend_on_how_the_grid_lies():
    field = make_field(seed=0)
    fluence, tracks = field.spectra.fluence, field.tracks
    mask = tracks > 0
    reference = spectrum_features(field.spectra.axes, fluence, tracks, 2, mask)
    for turn, axis in (((2, 0, 1), 0), ((1, 2, 0), 1)):
        turned = fluence.transpose(0, 1, *(2 + n for n in turn))
        found = spectrum_features(field.spectra.axes, turned, tracks.transpose(turn), axis, mask.transpose(turn))
        back = np.arange(mask.size).reshape(mask.shape).transpose(turn)[mask.transpose(turn)]
        order = np.argsort(back)
        np.testing.assert_allclose(found.points[order], reference.points, atol=1e-5)
        np.testing.assert_allclose(found.noise[order], reference.noise, rtol=1e-4)


def test_a_species_without_fluence_changes_no_distance():
    field = make_field(seed=0)
    found = field_features(field, field.tracks > 0)
    wider = found.of(("H", "He", "C"))
    assert wider.shape == (len(found.points), found.points.shape[1] // 2 * 3)
    np.testing.assert_array_equal(wider[:, : found.points.shape[1]], found.points)
    assert not wider[:, found.points.shape[1] :].any()
    np.testing.assert_array_equal(spread(wider, ("H", "He", "C"), ("H", "He", "C")), wider)


def test_what_does_not_fit_is_refused():
    fluence, tracks, mask = np.ones((2, 64, 3, 3, 3)), np.ones((3, 3, 3)), np.ones((3, 3, 3), dtype=bool)
    for wrong in ((fluence[:1], tracks, mask), (fluence, tracks[:2], mask), (fluence, tracks, mask[:2])):
        with pytest.raises(GridMismatchError, match="must share"):
            spectrum_features(AXES, *wrong[:2], 2, wrong[2])
    fluence[..., 1, 1, 1] = 0
    with pytest.raises(ValueRangeError, match="1 voxels of the mask have no fluence"):
        spectrum_features(AXES, fluence, tracks, 2, mask)
