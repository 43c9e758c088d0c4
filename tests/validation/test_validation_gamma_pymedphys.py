"""Our gamma beside that of PyMedPhys, run on the spot; the golden values of the other file need no PyMedPhys."""

import warnings

import numpy as np
import pytest

from surrogate3d.validation.gamma import GAMMA_CRITERIA, gamma, pass_rate

WHY = "PyMedPhys is an optional extra: it has no release for Python 3.13 and later"


@pytest.fixture(scope="module")
def pymedphys_gamma():
    """PyMedPhys' gamma; what it warns of is its own affair."""
    pymedphys = pytest.importorskip("pymedphys", reason=WHY)

    def run(*arguments, **settings):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pymedphys.gamma(*arguments, quiet=True, **settings)

    return run


def assert_same(found, expected):
    """Equal where PyMedPhys has a value; where it has none, ours is left out too or fails."""
    known = ~np.isnan(expected)
    assert known.sum() > 10
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-12)
    assert (np.isnan(found[~known]) | np.isinf(found[~known])).all()


def random_pair(shape, seed, uneven):
    rng = np.random.default_rng(seed)
    steps = [rng.uniform(1.0, 3.0, n) if uneven else np.full(n, 2.0) for n in shape]
    axes = tuple(np.cumsum(step) - step.sum() / 2 for step in steps)
    away = np.meshgrid(*axes, indexing="ij")
    reference = np.exp(-sum((x / 10) ** 2 for x in away)) + 0.02 * rng.random(shape)
    finer = axes if uneven else tuple(np.linspace(axis[0], axis[-1], len(axis) + 3) for axis in axes)
    evaluation = np.exp(-sum(((x - 0.5) / 10) ** 2 for x in np.meshgrid(*finer, indexing="ij")))
    return axes, reference, finer, evaluation * (1 + 0.02 * rng.standard_normal(evaluation.shape))


@pytest.mark.parametrize("criterion", GAMMA_CRITERIA)
@pytest.mark.parametrize("shape", [(31,), (17, 14), (11, 9, 10)])
def test_gamma_is_that_of_pymedphys_on_random_grids(shape, criterion, pymedphys_gamma):
    pair = random_pair(shape, sum(shape), uneven=False)
    assert_same(gamma(*pair, *criterion, max_gamma=2), pymedphys_gamma(*pair, *criterion, max_gamma=2))


@pytest.mark.parametrize("shape", [(31,), (17, 14), (9, 9, 10)])
def test_gamma_is_that_of_pymedphys_on_uneven_axes_by_its_scipy_interpolation(shape, pymedphys_gamma):
    pair = random_pair(shape, 5, uneven=True)
    settings = {"lower_percent_dose_cutoff": 5, "interp_fraction": 5, "max_gamma": 2, "local_gamma": True}
    assert_same(gamma(*pair, 3, 2, **settings), pymedphys_gamma(*pair, 3, 2, interp_algo="scipy", **settings))


def dose_of_run(folder):
    """(i, j, k) dose of a slab run, 2.5 mm; its file holds Sum, Standard_Deviation and Histories, x fastest."""
    values = np.fromfile(next(folder.glob("*DoseToWater.bin"))).reshape(64, 20, 20, 3)
    return values[..., 0].transpose(2, 1, 0)


@pytest.mark.parametrize("criterion", GAMMA_CRITERIA)
@pytest.mark.parametrize("plan", ["proton_slab", "carbon_slab"])
def test_gamma_is_that_of_pymedphys_on_a_noisy_run_against_one_of_many_histories(
    plan, criterion, topas_data, pymedphys_gamma
):
    reference, evaluation = dose_of_run(topas_data(f"{plan}_highA")), dose_of_run(topas_data(f"{plan}_low"))
    axes = tuple(2.5 * np.arange(n) for n in (8, 8, 64))
    part = np.s_[6:14, 6:14, :]
    pair = (axes, reference[part], axes, evaluation[part] * (reference.sum() / evaluation.sum()))
    settings = {"lower_percent_dose_cutoff": 10, "max_gamma": 1.5}
    found, expected = gamma(*pair, *criterion, **settings), pymedphys_gamma(*pair, *criterion, **settings)
    inner = np.s_[2:-2, 2:-2, :]  # no search leaves the evaluation from there
    assert_same(found[inner], expected[inner])
    assert pass_rate(found[inner]) == pass_rate(expected[inner])
    assert (np.isnan(found) == np.isnan(expected)).all()
    assert (found <= expected + 1e-9)[~np.isnan(found)].all()  # on the edge PyMedPhys loses points to rounding
