"""Strata of dose and LET."""

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.validation.strata import DOSE_EDGES_PERCENT, dose_strata, quantile_edges, strata


def test_edges_belong_to_the_upper_stratum_and_the_ends_are_open():
    values = np.array([-3.0, 0.99, 1.0, 2.0, 4.99, 5.0, 1e9, np.nan])
    found = strata(values, (1.0, 5.0), "LET_d", "keV/um")
    assert list(found) == ["LET_d < 1 keV/um", "1 <= LET_d < 5 keV/um", "LET_d >= 5 keV/um"]
    assert [np.flatnonzero(mask).tolist() for mask in found.values()] == [[0, 1], [2, 3, 4], [5, 6]]


def test_every_voxel_with_a_value_is_in_exactly_one():
    rng = np.random.default_rng(0)
    dose = rng.uniform(0, 70, (4, 5, 6)).astype(np.float32)
    dose[0, 0, 0] = np.nan
    found = dose_strata(dose, 60.0)
    assert list(found) == ["D < 5 %", *(f"{a} <= D < {b} %" for a, b in ((5, 20), (20, 50), (50, 80), (80, 95))),
                           "D >= 95 %"]  # fmt: skip
    np.testing.assert_array_equal(np.sum(list(found.values()), axis=0), np.isfinite(dose))
    for mask, low, high in zip(found.values(), (-1, *DOSE_EDGES_PERCENT), (*DOSE_EDGES_PERCENT, 1e9), strict=True):
        assert all(low * 0.6 - 1e-9 <= float(value) < high * 0.6 + 1e-9 for value in dose[mask])


def test_one_edge_parts_in_two_and_a_pure_number_has_no_unit():
    assert list(strata(np.ones(2), (1.5,), "RBE", "1")) == ["RBE < 1.5", "RBE >= 1.5"]


def test_names_have_the_digits_that_tell_them_apart():
    assert list(strata(np.ones(2), (1.2341, 1.2342), "RBE", "1"))[1] == "1.2341 <= RBE < 1.2342"


def test_quantiles_part_the_compared_voxels_into_equal_numbers():
    rng = np.random.default_rng(1)
    LET = rng.gamma(3.0, 1.0, (4, 5, 10))
    compared = rng.random(LET.shape) < 0.5
    LET[0] = np.nan
    edges = quantile_edges(LET, compared)
    counts = [int((mask & compared).sum()) for mask in strata(LET, edges, "LET_d", "keV/um").values()]
    assert len(counts) == 4
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == int((compared & np.isfinite(LET)).sum())


def test_ties_give_fewer_edges_and_no_stratum_without_voxels():
    values = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0])
    assert quantile_edges(values, np.ones(8, dtype=bool)) == (1.25,)  # the quartiles are 1, 1 and 1.25
    assert quantile_edges(np.ones(8), np.ones(8, dtype=bool)) == ()
    assert quantile_edges(np.ones(8), np.zeros(8, dtype=bool)) == ()


ONE = np.ones(2)


@pytest.mark.parametrize("edges", [(), (2.0, 1.0), (1.0, 1.0), (1.0, np.inf), (np.nan,)])
def test_edges_that_do_not_ascend_are_refused(edges):
    with pytest.raises(ValueRangeError, match="strata of D need finite edges that ascend"):
        strata(ONE, edges, "D", "Gy")


def test_other_refusals():
    for base in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueRangeError, match="finite, positive dose"):
            dose_strata(ONE, base)
    with pytest.raises(GridMismatchError, match="the mask of compared voxels"):
        quantile_edges(ONE, np.ones(3, dtype=bool))
    for quantiles in ((0.0,), (0.5, 1.0), (0.5, 0.25)):
        with pytest.raises(ValueRangeError, match="above 0 and below 1"):
            quantile_edges(ONE, np.ones(2, dtype=bool), quantiles)
