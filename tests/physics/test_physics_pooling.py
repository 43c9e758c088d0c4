import numpy as np
import numpy.typing as npt
import pytest

from surrogate3d.errors import GeometryError, GridMismatchError
from surrogate3d.grid.spectrum import SpectrumAxes
from surrogate3d.physics import mixing, pooling

AXES = SpectrumAxes.logarithmic(("H", "He", "Li", "C"), 5, 1.0, 400.0)
ALPHA = np.random.default_rng(8).uniform(0.2, 2.0, (4, 5))
BETA = np.random.default_rng(9).uniform(0.01, 0.1, (4, 5))
SHAPE = (7, 6, 9)
RULES: dict[str, dict[str, tuple[float, float]]] = {  # (lateral, depth) sigma by primary and species
    "H": {"H": (0.5, 0.0), "He": (3.0, 2.0)},
    "C": {"C": (0.5, 0.0)},
    "He": {},
}


def noisy_dose(primary: str = "H") -> npt.NDArray[np.float64]:
    dose = np.random.default_rng(10).gamma(0.3, 1.0, (4, 5, *SHAPE))
    dose[AXES.species.index(primary)] *= 5
    dose[:, :, 3, 3, 4] = 0.0
    dose[:, :, :, :, 8] = 0.0
    return dose


def direct_gaussian(values: npt.NDArray[np.float64], sigmas: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """The textbook sum over neighbours within three sigma, with zeros outside, one axis after the other."""
    for axis, sigma in enumerate(sigmas):
        if sigma > 0:
            reach = int(3 * sigma + 0.5)
            offsets = np.arange(-reach, reach + 1)
            kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
            kernel /= kernel.sum()
            n = values.shape[axis]
            matrix = np.zeros((n, n))
            for k, offset in zip(kernel, offsets, strict=True):
                matrix += k * np.eye(n, k=int(offset))
            values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return values


def test_uniform_pooling_is_the_direct_sum() -> None:
    dose = noisy_dose()
    pooled = pooling.pool_uniform(dose, (0.5, 1.0, 2.0))
    np.testing.assert_allclose(pooled[1, 2], direct_gaussian(dose[1, 2], (0.5, 1.0, 2.0)), rtol=1e-10)
    np.testing.assert_array_equal(pooling.pool_uniform(dose, 0.0), dose)


def test_uniform_pooling_of_a_uniform_field_keeps_alpha_up_to_the_edge() -> None:
    dose = np.broadcast_to(noisy_dose()[:, :, :1, :1, :1], (4, 5, *SHAPE))
    alpha, _ = mixing.mix(pooling.pool_uniform(dose, 1.5), ALPHA, BETA)
    np.testing.assert_allclose(alpha, mixing.mix(dose, ALPHA, BETA)[0], rtol=1e-12)


@pytest.mark.parametrize("beam_axis", [0, 1, 2])
@pytest.mark.parametrize("primary", RULES)
def test_grouped_pooling_is_the_stated_rule(primary: str, beam_axis: int) -> None:
    dose = noisy_dose(primary)
    total = dose.sum(axis=(0, 1))
    expected = np.zeros_like(dose)
    for s, name in enumerate(AXES.species):
        lateral, depth = RULES[primary].get(name, (0.0, 0.0))
        sigmas = tuple(depth if axis == beam_axis else lateral for axis in range(3))
        below = direct_gaussian(total, sigmas)
        for b in range(5):
            above = direct_gaussian(dose[s, b], sigmas)
            expected[s, b] = np.where((below > 0) & (total > 0), above / np.where(below > 0, below, 1.0), 0.0)
    sums = expected.sum(axis=(0, 1))
    expected /= np.where(sums > 0, sums, 1.0)
    np.testing.assert_allclose(pooling.pool_grouped(dose, AXES, beam_axis), expected, rtol=1e-9, atol=1e-14)


def test_fractions_sum_to_one_where_there_is_dose_and_to_zero_elsewhere() -> None:
    dose = noisy_dose()
    sums = pooling.pool_grouped(dose, AXES, 2).sum(axis=(0, 1))
    np.testing.assert_allclose(sums, np.where(dose.sum(axis=(0, 1)) > 0, 1.0, 0.0), atol=1e-12)


@pytest.mark.parametrize("beam_axis", [0, 2])
@pytest.mark.parametrize("primary", RULES)
def test_fast_path_is_that_of_the_pooled_spectra(primary: str, beam_axis: int) -> None:
    dose = noisy_dose(primary)
    accumulators = mixing.species_accumulators(dose, ALPHA, BETA)
    alpha, sqrt_beta = pooling.pool_accumulators_grouped(accumulators, AXES.species, beam_axis)
    slow_alpha, slow_beta = mixing.mix(pooling.pool_grouped(dose, AXES, beam_axis), ALPHA, BETA)
    np.testing.assert_allclose(alpha, slow_alpha, rtol=1e-10)
    np.testing.assert_allclose(sqrt_beta**2, slow_beta, rtol=1e-10)
    assert np.isnan(alpha).sum() == (dose.sum(axis=(0, 1)) == 0).sum() > 0


def test_stated_primary_decides_where_fragments_prevail() -> None:
    dose = noisy_dose("C")
    accumulators = mixing.species_accumulators(dose, ALPHA, BETA)
    stated, _ = pooling.pool_accumulators_grouped(accumulators, AXES.species, 2, primary="He")
    np.testing.assert_allclose(stated, mixing.mix(dose, ALPHA, BETA)[0], rtol=1e-12)  # no rule for helium fields


def test_grouped_pooling_is_unbiased_under_a_dose_gradient() -> None:
    # composition constant, dose falling steeply: the fractions are untouched
    profile = np.exp(-np.arange(9.0)) * np.ones(SHAPE)
    composition = np.random.default_rng(11).gamma(1.0, 1.0, (4, 5))
    fractions = pooling.pool_grouped(composition[:, :, None, None, None] * profile, AXES, 2)
    expected = np.broadcast_to((composition / composition.sum())[:, :, None, None, None], fractions.shape)
    np.testing.assert_allclose(fractions, expected, rtol=1e-10)


def test_grouped_pooling_lowers_the_noise_of_rare_helium() -> None:
    rng = np.random.default_rng(12)
    dose = np.zeros((4, 5, 14, 14, 14))
    dose[0] = 1.0
    dose[1, 2] = 0.2 * (rng.random((14, 14, 14)) < 0.05)
    alpha = np.broadcast_to(np.array([[0.3], [1.5], [1.5], [1.5]]), (4, 5))
    raw, _ = mixing.mix(dose, alpha, BETA)
    pooled, _ = mixing.mix(pooling.pool_grouped(dose, AXES, 2), alpha, BETA)
    # white noise over about 44 * 3 * 3 * 2 voxels falls 28-fold inside, less at the edges of this small grid
    assert pooled.std() < 0.15 * raw.std()


def test_wrong_arguments_are_refused() -> None:
    dose = noisy_dose()
    with pytest.raises(GeometryError, match="beam_axis"):
        pooling.pool_grouped(dose, AXES, 3)
    with pytest.raises(GridMismatchError, match=r"\(4, 5\)"):
        pooling.pool_grouped(dose[:3], AXES, 2)
    with pytest.raises(GridMismatchError, match=r"\(4, 3\)"):
        pooling.pool_accumulators_grouped(dose, AXES.species, 2)
