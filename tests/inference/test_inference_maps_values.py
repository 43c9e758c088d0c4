"""Maps of any voxels, in blocks: against the same formulas written plainly, over all voxels at once."""

import numpy as np
import pytest
from synthetic import LINE

from surrogate3d.direct.curve import BLOCK
from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import PrescriptionError, UnknownNameError, ValueRangeError
from surrogate3d.inference.maps import (
    ALWAYS,
    EVERYWHERE,
    PRESCRIBED,
    Fractionation,
    VoxelCurves,
    derive_values,
    on_grid,
    require_own_on_ladder,
)

D = np.array(DOSE_LADDER)
NAMES = tuple(name for name in ALWAYS + PRESCRIBED if name not in EVERYWHERE)
HOW = Fractionation(1.8, 3)


def curves_of(n, seed=0):
    """Curves that are not LQ: some bend down, some are so steep that few points can be fitted."""
    rng = np.random.default_rng(seed)
    alpha, beta = np.exp(rng.uniform(np.log(0.05), np.log(20.0), n)), rng.uniform(-0.005, 0.12, n)
    effect = np.maximum(alpha[:, None] * D + beta[:, None] * D**1.9, 0.02 * D) * rng.uniform(0.98, 1.02, (n, len(D)))
    return VoxelCurves(D, effect, rng.uniform(0.0, 0.1, n), rng.uniform(0.0, 0.2, n), rng.uniform(0.01, 17.9, n))


def photon_dose(effect):
    return (np.sqrt(LINE.alpha_x**2 + 4 * LINE.beta_x * effect) - LINE.alpha_x) / (2 * LINE.beta_x)


def fitted(effect):
    """Least squares of -ln S / D on (1, D), one curve."""
    use = (np.exp(-effect) > 1e-3) & (D <= 3.0)
    use[0] = True
    w = np.sqrt(D[use])
    line = np.stack([w, w * D[use]], axis=1)
    alpha, beta = np.linalg.lstsq(line, w * effect[use] / D[use], rcond=None)[0] if use.sum() > 1 else (0.0, -1.0)
    return (alpha, beta) if beta > 0 else (np.sum(effect[use]) / np.sum(D[use]), 0.0)


def dose_of_10_percent(effect):
    """By halving, on the curve that is a D + b D^2 between two doses, and whose last rung goes on."""
    right = int(np.clip(np.searchsorted(effect, np.log(10)), 1, len(D) - 1))
    s0, s1 = effect[[right - 1, right]] / D[[right - 1, right]]
    slope = (s1 - s0) / (D[right] - D[right - 1])
    if slope < 0 and effect[right] < np.log(10):
        return np.log(10) / s1
    low, high = 0.0, D[right] if effect[right] >= np.log(10) else 1e4
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if middle * (s0 + slope * (middle - D[right - 1])) < np.log(10) else (low, middle)
    return middle


def plainly(curves):
    """All maps, of every voxel by itself."""
    rows = []
    for effect, std, half, dose in zip(curves.effect, curves.relative_std, curves.interval, curves.dose, strict=True):
        alpha, beta = fitted(effect)
        at_reference, own = (
            d * np.interp(d, D, effect / D) if d >= D[0] else d * np.polyval(np.polyfit(D[:2], (effect / D)[:2], 1), d)
            for d in (HOW.fraction_dose_gy, dose / HOW.fractions)
        )
        reference, photon = photon_dose(at_reference), photon_dose(own)
        ratio = LINE.alpha_x / LINE.beta_x
        slope = (LINE.alpha_x + LINE.beta_x * reference) / (LINE.alpha_x + 2 * LINE.beta_x * reference)
        RBE, BED = reference / HOW.fraction_dose_gy, HOW.fractions * photon * (1 + photon / ratio)
        rows.append(
            {
                "alpha": alpha,
                "beta": beta,
                "RBE10": photon_dose(np.log(10)) / dose_of_10_percent(effect),
                "RBE_ref": RBE,
                "RBE_std": RBE * slope * std,
                "RBE_half_width": RBE * slope * half,
                "RBE": photon / (dose / HOW.fractions),
                "D_RBE": photon * HOW.fractions,
                "BED": BED,
                "EQD2": BED / (1 + 2 / ratio),
                "effect": HOW.fractions * own,
                "survival": np.exp(-3 * own),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in NAMES}


def test_values_are_those_of_every_voxel_by_itself():
    curves = curves_of(600)
    found, expected = derive_values(curves, LINE, HOW, NAMES), plainly(curves)
    assert tuple(found) == NAMES
    assert (found["beta"] == 0).any()
    assert (curves.effect[:, 1] > -np.log(1e-3)).any()
    for name in NAMES:
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_a_voxel_has_the_same_values_whatever_voxels_it_comes_with():
    curves = curves_of(BLOCK + 77, seed=1)
    whole = derive_values(curves, LINE, HOW, NAMES)
    order = np.random.default_rng(2).permutation(BLOCK + 77)[:1000]
    some = VoxelCurves(D, *(each[order] for each in curves[1:]))
    for name, values in derive_values(some, LINE, HOW, NAMES).items():
        np.testing.assert_array_equal(values, whole[name][order], err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_alone_is_that_of_all_maps(name):
    curves = curves_of(50, seed=3)
    alone = derive_values(curves, LINE, HOW, (name,))
    assert tuple(alone) == (name,)
    np.testing.assert_array_equal(alone[name], derive_values(curves, LINE, HOW, NAMES)[name])


def test_curves_in_single_precision_are_taken():
    curves = curves_of(200, seed=4)
    single = VoxelCurves(D, *(each.astype(np.float32) for each in curves[1:]))
    double = VoxelCurves(D, *(each.astype(float) for each in single[1:]))
    found, expected = (derive_values(each, LINE, HOW, NAMES) for each in (single, double))
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-7, err_msg=name)


def test_no_voxels_have_no_values():
    found = derive_values(curves_of(0), LINE, HOW, NAMES)
    assert all(values.shape == (0,) for values in found.values())


def test_a_curve_that_is_not_known_has_no_values():
    curves = curves_of(5)
    curves.effect[2] = np.nan
    for name, values in derive_values(curves, LINE, HOW, NAMES).items():
        if name != "beta":  # of one fitted point, as far as the fit can tell
            np.testing.assert_array_equal(np.isnan(values), np.arange(5) == 2, err_msg=name)


def test_values_lie_on_the_grid_in_the_order_of_the_mask():
    mask = np.zeros((2, 3, 2), dtype=bool)
    mask[[0, 1, 1], [2, 0, 2], [1, 0, 1]] = True
    grid = on_grid(np.array([1, 2, 3], dtype=np.float32), mask)
    assert grid.dtype == np.float32
    assert [grid[tuple(voxel)] for voxel in np.argwhere(mask)] == [1, 2, 3]
    assert np.isnan(grid[~mask]).all()


def test_what_no_curve_tells_is_refused():
    curves = curves_of(3)
    with pytest.raises(UnknownNameError, match="unknown map 'mask'; known: alpha"):
        derive_values(curves, LINE, HOW, ("alpha", "mask"))
    with pytest.raises(PrescriptionError, match="need the dose of each voxel, and none was given"):
        derive_values(curves._replace(dose=None), LINE, HOW, ("RBE",))
    assert "RBE10" in derive_values(curves._replace(dose=None), LINE, HOW, ("RBE10",))


def test_doses_beyond_the_ladder_are_refused():
    curves = curves_of(3)
    high = curves._replace(dose=np.array([1.0, 18.1, 30.0]))
    with pytest.raises(ValueRangeError, match="2 voxels receive up to 10 Gy per fraction"):
        derive_values(high, LINE, HOW, ("survival",))
    with pytest.raises(ValueRangeError, match="not at 7 Gy"):
        derive_values(curves, LINE, Fractionation(7.0), ("alpha",))
    require_own_on_ladder(np.array([18.0]), 3, D)
