"""Whether spectra that were not trained on are told from noise. Runs of one made-up plan at several statistics."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from synthetic import AXES, expected_counts, make_field

from surrogate3d.errors import BundleError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.inference.spectrum_distance import SpectrumFeatures, field_features, spectrum_features
from surrogate3d.inference.spectrum_domain import MARGIN, SpectrumDomain
from surrogate3d.io.convert import convert
from surrogate3d.training.noise import thin

SHAPE = (12, 12, 16)
LEVELS = (400.0, 100.0, 30.0)


def run(tracks, seed, axes=AXES):
    return make_field(seed=seed, tracks=tracks, shape=SHAPE, axes=axes)


def irradiated(field):
    """As of a run with many histories, and where this run has any track."""
    expected = expected_counts(1.0, SHAPE, field.spectra.axes).sum(axis=(0, 1))
    return (expected > 0.05 * expected.max()) & field.spectra.fluence.any(axis=(0, 1))


def with_depth(field, part):
    mask = irradiated(field)
    mask[..., : part.start or 0] = False
    mask[..., part.stop or SHAPE[2] :] = False
    return mask


def trained(part=slice(None), **options):
    """The domain of the planes `part` of the plan, its noise learned from runs with few tracks."""
    high = run(40_000.0, 1)
    noisy = [run(level, seed) for level in LEVELS for seed in (2, 3)]
    return SpectrumDomain.fit(
        [field_features(high, with_depth(high, part))],
        [field_features(field, with_depth(field, part)) for field in noisy],
        **options,
    )


DOMAIN = trained()


def flagged(domain, field, mask):
    return (domain.score(field, mask)[mask] > domain.threshold).mean()


@pytest.mark.parametrize("tracks", [30.0, 100.0, 400.0, 4000.0])
def test_noise_alone_puts_no_voxel_outside(tracks):
    for seed in (11, 12):
        field = run(tracks, seed)
        assert flagged(DOMAIN, field, irradiated(field)) < 0.05


@pytest.mark.parametrize("tracks", [30.0, 400.0])
def test_energies_that_were_not_trained_on_are_told_from_those_that_were(tracks):
    # Trained on the upstream half: beyond, the primaries are slower than any that it had.
    domain, field = trained(slice(0, 9)), run(tracks, 13)
    score = domain.score(field)
    inside, outside = score[with_depth(field, slice(0, 9))], score[with_depth(field, slice(11, None))]
    assert (inside[:, None] < outside).mean() > 0.95
    assert (inside > domain.threshold).mean() < 0.05
    assert (outside > domain.threshold).mean() > 0.8


@pytest.mark.parametrize("tracks", [30.0, 400.0])
def test_a_beam_of_another_ion_is_outside_everywhere(tracks):
    # The same run with its H and He exchanged is a helium beam with protons as secondaries.
    field = run(tracks, 14)
    other = replace(field, spectra=replace(field.spectra, fluence=field.spectra.fluence[::-1].copy()))
    assert flagged(DOMAIN, other, irradiated(field)) == 1
    axes = SpectrumAxes(("He", "C"), AXES.edges_mev_u)
    carbon = replace(field, spectra=replace(field.spectra, axes=axes))
    assert flagged(DOMAIN, carbon, irradiated(field)) == 1
    assert DOMAIN.strangest(carbon, irradiated(field)) in ("H", "He")  # what was H is He, and the H is gone


def test_on_real_runs_noise_is_inside_and_another_ion_is_not(topas_data):
    proton, carbon = (convert([topas_data(name)])[0] for name in ("proton_slab_low", "carbon_slab_low"))
    masks = [f.spectra.fluence.any(axis=(0, 1)) & (f.dose > 0.05 * f.dose.max()) for f in (proton, carbon)]
    thirty = [thinned(proton, masks[0], 30.0, seed) for seed in (0, 1)]
    domain = SpectrumDomain.fit([field_features(proton, masks[0])], thirty[:1], most=100)
    assert (domain.score_of(thirty[1]) > domain.threshold).mean() < 0.05
    assert flagged(domain, carbon, masks[1]) > 0.99


def thinned(field, mask, tracks, seed):
    """Features of a run of which the median voxel has so many tracks."""
    keep = tracks / np.median(field.tracks[mask])
    rng = np.random.default_rng(seed)
    fluence = thin(field.spectra.fluence, field.spectra.axes, field.grid, field.beam_axis, keep, rng) * keep
    counted = fluence.sum(axis=(0, 1)) * field.grid.face_area_mm2(field.beam_axis)
    return spectrum_features(field.spectra.axes, fluence, counted, field.beam_axis, mask & (counted > 0))


def test_what_differs_most_is_named():
    field = run(4000.0, 15)
    fluence = field.spectra.fluence.copy()
    fluence[1] = 2 * np.roll(fluence[1], -4, axis=0)
    other = replace(field, spectra=replace(field.spectra, fluence=fluence))
    assert DOMAIN.strangest(other, irradiated(other)) == "He"
    assert DOMAIN.strangest(other, np.zeros(SHAPE, dtype=bool)) == ""


def test_what_differs_most_is_named_from_samples_of_several_tiles():
    # Points that are prototypes but for one number: of H in one tile, and of He, by less in sum, in another.
    points = DOMAIN.prototypes[:3]
    first, second = points.copy(), points.copy()
    first[:, 20] += 0.03
    second[:, 50] -= 0.02
    tiles = [SpectrumFeatures(("H", "He"), part, np.zeros(3)) for part in (first, second)]
    assert DOMAIN.strangest_of(tiles) == "H"
    assert DOMAIN.strangest_of(tiles[1:]) == "He"
    assert DOMAIN.strangest_of([*tiles, tiles[1], tiles[1]]) == "He"
    assert DOMAIN.strangest_of([]) == ""
    assert DOMAIN.strangest_of([SpectrumFeatures(("H", "He"), points[:0], np.zeros(0))]) == ""


def test_a_strange_spot_is_found_and_the_planes_around_it_are_not():
    # As wide as the pooling: a single voxel is seen with its neighbours across the beam.
    field = run(400.0, 16)
    fluence = field.spectra.fluence.copy()
    fluence[0, :, 3:8, 5:10, 4] = np.roll(fluence[0, :, 3:8, 5:10, 4], -2, axis=0)
    score = DOMAIN.score(replace(field, spectra=replace(field.spectra, fluence=fluence)), irradiated(field))
    assert score[5, 7, 4] > 1
    assert score[5, 7, 4] > np.nanmax(score[:, :, :4])
    assert np.nanmax(score[4:7, 6:9, [3, 5]]) < 1


def test_the_score_is_given_where_it_is_asked_for_and_there_is_fluence():
    field = run(400.0, 17)
    field.spectra.fluence[:, :, 5, 5, 5] = 0
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:7, 5, 5] = True
    score = DOMAIN.score(field, mask)
    expected = mask.copy()
    expected[5, 5, 5] = False
    np.testing.assert_array_equal(np.isfinite(score), expected)
    np.testing.assert_allclose(score[expected], DOMAIN.score(field)[expected], rtol=1e-6)
    assert not np.isfinite(DOMAIN.score(field, np.zeros(SHAPE, dtype=bool))).any()


def test_the_scale_of_the_dose_does_not_matter():
    field = run(400.0, 18)
    mask = irradiated(field)
    features = field_features(field, mask)
    scaled = SpectrumFeatures(features.species, features.points, features.noise)
    np.testing.assert_array_equal(DOMAIN.score_of(scaled), DOMAIN.score(field, mask)[mask])


def test_a_noisier_voxel_has_to_be_further_off():
    point = np.zeros((2, DOMAIN.prototypes.shape[1]), dtype=np.float32)
    domain = replace(DOMAIN, noise_scale=0.7)
    score = domain.score_of(SpectrumFeatures(("H", "He"), point, np.array([0.0, 0.2])))
    # d / margin against d / sqrt(margin^2 + (0.7 x 0.2)^2)
    assert score[0] / score[1] == pytest.approx(np.hypot(MARGIN, 0.14) / MARGIN)


def test_prototypes_are_training_spectra_spread_over_all_of_them():
    high = run(40_000.0, 1)
    points = field_features(high, irradiated(high)).points.astype(float)
    few, more = (trained(most=n).prototypes for n in (5, 60))
    np.testing.assert_array_equal(more[:5], few)
    assert all((points == prototype).all(axis=1).any() for prototype in few)
    furthest = [np.min([np.linalg.norm(points - each, axis=1) for each in some], axis=0).max() for some in (few, more)]
    apart = np.linalg.norm(more[:, None] - more, axis=2) + 9 * np.eye(len(more))
    assert furthest[1] < furthest[0]
    assert furthest[1] <= apart.min() + 1e-6  # each was the farthest: no voxel is further off than two of them


def test_equal_spectra_need_one_prototype():
    same = SpectrumFeatures(("H",), np.ones((50, 33), dtype=np.float32), np.ones(50))
    domain = SpectrumDomain.fit([same], [same])
    assert len(domain.prototypes) == 1
    assert domain.noise_scale == 0


def test_a_table_of_the_largest_size_is_small_and_survives_a_bundle():
    rng = np.random.default_rng(0)
    species = ("H", "He", "Li", "Be", "B", "C")
    points = rng.random((1000, 6 * 33)).astype(np.float32)
    domain = SpectrumDomain.fit([SpectrumFeatures(species, points, np.ones(1000))], [])
    packed = save(domain.to_arrays())
    assert len(packed) < 200_000
    found = SpectrumDomain.from_arrays(load(packed))
    assert found.species == species
    np.testing.assert_allclose(found.prototypes, domain.prototypes, atol=1e-3)
    field = run(400.0, 19)
    again = SpectrumDomain.from_arrays(load(save(DOMAIN.to_arrays())))
    np.testing.assert_allclose(again.score(field), DOMAIN.score(field), atol=0.02)


def test_a_domain_of_nothing_is_refused():
    empty = SpectrumFeatures(("H",), np.zeros((0, 33), dtype=np.float32), np.zeros(0))
    for training in ([], [empty]):
        with pytest.raises(ValueRangeError, match="no domain to learn"):
            SpectrumDomain.fit(training, [])


GOOD = DOMAIN.to_arrays()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prototypes": None}, "incomplete"),
        ({"charges": np.array([1, 99])}, "incomplete"),
        ({"scales": np.ones(3)}, "incomplete"),
        ({"charges": np.array([1])}, r"shape .* for H,"),
        ({"prototypes": GOOD["prototypes"][:0]}, "shape"),
        ({"prototypes": GOOD["prototypes"] * np.float16(np.nan)}, "without meaning"),
        ({"scales": np.array([0.5, 0.0])}, "without meaning"),
        ({"scales": np.array([np.inf, 0.1])}, "without meaning"),
    ],
)
def test_a_damaged_table_is_refused(change, message):
    arrays = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(BundleError, match=message):
        SpectrumDomain.from_arrays(arrays)
