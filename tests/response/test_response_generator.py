import numpy as np
import pytest
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.grid import Cohort
from surrogate3d.response.generator import oracle_score, simulate_cohort
from surrogate3d.response.treatment import left_over
from surrogate3d.response.variants import VARIANTS


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(seed=100, n_lesions=24, n_patients=14)


def test_the_default_cohort_has_the_paper_s_lesions_and_patients():
    cohort = simulate_cohort(seed=101)
    assert len(cohort) == 69
    assert len(set(cohort.patients)) == 39
    assert 0.3 < np.nanmean(cohort.responded()) < 0.7


def test_a_seed_gives_the_same_cohort_again(cohort):
    again = simulate_cohort(seed=100, n_lesions=24, n_patients=14)
    for one, other in zip(cohort, again, strict=True):
        assert np.array_equal(one.image.values, other.image.values)
        assert one.volume_change == other.volume_change
    another = simulate_cohort(seed=102, n_lesions=24, n_patients=14)
    assert not np.array_equal(cohort.lesions[0].image.values, another.lesions[0].image.values)


def test_resistant_subregions_lie_in_their_lesions_which_are_in_one_piece_and_fit_a_cube_of_32_mm(cohort):
    for each in cohort:
        assert not (each.truth & ~each.mask).any()
        assert ndimage.label(each.mask)[1] == 1
        assert np.ptp(np.argwhere(each.mask), axis=0).max() + 1 <= 28
    shares = np.array([each.truth.sum() / each.mask.sum() for each in cohort])
    assert (shares == 0).any()
    assert shares.max() < 0.56


def test_resistant_tissue_is_darker_and_grainier_than_viable_tissue_at_the_same_depth_in_most_lesions(cohort):
    def roughness(values):
        return np.abs(values - ndimage.gaussian_filter(values, 1.2))

    signs = []
    for each in cohort:
        depth = ndimage.distance_transform_edt(each.mask)
        values = each.image.values / np.median(each.image.values[~each.mask])
        ring = (depth > 2) & (depth <= 4) & (values > 1.0)  # no surface, no core
        if (ring & each.truth).sum() > 50 and (ring & ~each.truth).sum() > 50:
            there, elsewhere = ring & each.truth, ring & ~each.truth
            rougher = roughness(values)[there].mean() - roughness(values)[elsewhere].mean()
            signs.append((values[there].mean() < values[elsewhere].mean(), rougher > 0))
    assert len(signs) >= 8
    assert (np.mean(signs, axis=0) > 0.7).all()


def test_what_is_left_of_tissue_is_survivors_that_multiply_and_others_that_are_cleared():
    # n = 5 fractions of 4 Gy (RBE): S = exp(-5 (0.25 x 4 + 0.025 x 16)) = exp(-7)
    S = np.exp(-7.0)
    expected = S * 2 ** (90 / 20) + (1 - S) * 2 ** (-90 / 100)
    assert left_over(20.0, 2.0, False, 0.3) == pytest.approx(expected)
    # OER at 0.3 mmHg and an LET that does not matter: (b M0 + p) / (b + p) with b = 3 / 3.4, M0 = 3.4
    per_fraction = 4.0 / ((3.0 + 0.3) / (3.0 / 3.4 + 0.3))
    S = np.exp(-5 * (0.25 * per_fraction + 0.025 * per_fraction**2))
    expected = S * 2 ** (90 / 20) + (1 - S) * 2 ** (-90 / 100)
    assert left_over(20.0, 1e-6, True, 0.3) == pytest.approx(expected, rel=1e-6)


def test_the_response_follows_from_the_planted_subregion_the_dose_and_the_error_of_measurement(cohort):
    change = cohort.volume_change
    rank = stats.spearmanr(oracle_score(cohort), change).statistic
    assert rank > 0.8
    without = np.array([not each.truth.any() for each in cohort])
    assert change[without].max() < -0.2  # where nothing resists, a lesion shrinks


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_the_oracle_is_a_high_but_not_a_perfect_ceiling_in_every_variant(variant):
    cohort = simulate_cohort(variant, seed=103, n_lesions=40, n_patients=25)
    responded = cohort.responded()
    assert 0.2 < responded.mean() < 0.85
    assert roc_auc_score(1 - responded, oracle_score(cohort)) > 0.88


def test_only_in_the_intensity_variant_the_mean_signal_tells_how_much_resists():
    def rank(variant):
        cohort = simulate_cohort(variant, seed=104, n_lesions=40, n_patients=25)
        shares = [each.truth.sum() / each.mask.sum() for each in cohort]
        signal = [np.mean(each.image.values[each.mask]) / np.median(each.image.values[~each.mask]) for each in cohort]
        return stats.spearmanr(shares, signal).statistic

    assert rank("intensity") < -0.6
    assert rank("default") > -0.45


def test_the_confounded_variant_has_brighter_rims_where_more_resists():
    def rank(variant):
        cohort = simulate_cohort(variant, seed=105, n_lesions=40, n_patients=25)
        shares = [each.truth.sum() / each.mask.sum() for each in cohort]
        rims = [_rim(each) for each in cohort]
        return stats.spearmanr(shares, rims).statistic

    assert rank("confounded") > rank("default") + 0.2


def _rim(lesion):
    depth = ndimage.distance_transform_edt(lesion.mask)
    shell = lesion.image.values[(depth > 0) & (depth <= 2)]
    return shell.mean() / np.median(lesion.image.values[~lesion.mask])


def test_an_unknown_variant_and_more_patients_than_lesions_are_refused():
    with pytest.raises(UnknownNameError, match="default, noise, shift"):
        simulate_cohort("hard")
    with pytest.raises(ValueRangeError, match="at least one lesion a patient"):
        simulate_cohort(n_lesions=3, n_patients=4)


def test_the_oracle_refuses_a_lesion_that_is_not_synthetic(cohort):
    lesion = cohort.lesions[0]
    real = type(lesion)(lesion.patient, lesion.lesion, lesion.image, lesion.mask)
    with pytest.raises(ValueRangeError, match="P01, lesion L1: the oracle needs"):
        oracle_score(Cohort([real]))
