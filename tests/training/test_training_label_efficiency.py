"""The direct regression of the benchmark of labels."""

import numpy as np
import pytest
import torch
from dose_plans import field_with_LET
from synthetic import AXES

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.physics.let import bin_dose, bin_LET
from surrogate3d.training.label_efficiency import (
    RegressionConfig,
    feature_names,
    fit_regression,
    regression_features,
)

FIELD = field_with_LET(seed=5)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_features_are_named_and_finite_for_every_voxel():
    found = regression_features(FIELD)
    assert found.shape == (FIELD.grid.n_voxels, len(feature_names(AXES)))
    assert np.isfinite(found).all()
    voxels = np.array([[1, 2, 3], [4, 5, 6]])
    flat = np.ravel_multi_index(tuple(voxels.T), FIELD.grid.shape)
    np.testing.assert_array_equal(regression_features(FIELD, voxels), found[flat])


def test_shares_are_dose_fractions_and_LET_d_is_theirs():
    names, found = feature_names(AXES), regression_features(FIELD, np.array([[4, 4, 5]]))[0]
    dose = bin_dose(AXES, FIELD.spectra.fluence[..., 4, 4, 5])
    own = {name: value for name, value in zip(names, found, strict=True) if name.endswith("@0,0")}
    shares = np.exp([value for name, value in own.items() if "share" in name])
    assert (shares - 1e-3).sum() == pytest.approx(1.0, abs=1e-5)
    LET = (dose * bin_LET(AXES)).sum() / dose.sum()
    assert np.exp(found[names.index("LET_d@0,0")]) == pytest.approx(LET, rel=1e-5)


def surface(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6))
    y = np.stack([1 + 0.5 * x[:, 0] + 0.2 * x[:, 1] ** 2, np.sin(x[:, 2]) * x[:, 0]], axis=1)
    return x, y


def test_it_learns_a_smooth_surface_from_few_labels():
    x, y = surface(300, 0)
    fresh, true = surface(2000, 1)
    found = fit_regression(x, y, seed=0).predict(fresh)
    R2 = 1 - ((found - true) ** 2).sum(axis=0) / ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    assert (R2 > 0.9).all()


def test_equal_seeds_give_equal_answers_and_others_do_not():
    (x, y), quick = surface(60, 0), RegressionConfig(steps=50)
    first, second, other = (fit_regression(x, y, seed, quick).predict(x) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_members_disagree_where_there_are_no_labels():
    x, y = surface(100, 0)
    found = fit_regression(x, y, seed=0)
    assert found.members(x).shape == (5, 100, 2)
    np.testing.assert_allclose(found.predict(x), found.members(x).mean(axis=0))
    assert found.disagreement(4 * x).mean() > 2 * found.disagreement(x).mean()


def test_the_unit_of_the_targets_does_not_matter():
    x, y = surface(60, 0)
    quick = RegressionConfig(steps=50)
    small, large = (fit_regression(x, unit * y, 0, quick).predict(x) / unit for unit in (1e-3, 1e3))
    np.testing.assert_allclose(small, large, rtol=1e-3, atol=1e-4)


def test_labels_that_cannot_be_learned_from_are_refused():
    x, y = surface(20, 0)
    with pytest.raises(GridMismatchError, match="features"):
        fit_regression(x, y[:-1], 0)
    with pytest.raises(ValueRangeError, match="at least 8 labels"):
        fit_regression(x[:7], y[:7], 0)
    y[3, 0] = np.nan
    with pytest.raises(ValueRangeError, match="finite"):
        fit_regression(x, y, 0)
