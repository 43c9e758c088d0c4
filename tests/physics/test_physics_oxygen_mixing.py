"""Mixing under oxygen pressures that differ from voxel to voxel."""

import numpy as np
import pytest

from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import FormatError, GridMismatchError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.let import bin_dose, bin_LET
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.physics.oxygen import AIR_MMHG, OER
from surrogate3d.physics.oxygen_mixing import (
    OxygenTables,
    dose_divided,
    hypoxic_table,
    mixed_under,
    oxygen_factors,
    pressure_nodes,
)

TABLE = mono_table("HSG")
AXES = SpectrumAxes.logarithmic(("H", "C"))  # the bins of the tables, so that nothing is interpolated in energy
SHAPE = (3, 4, 5)
FLUENCE = np.random.default_rng(3).random((2, AXES.n_bins, *SHAPE))
TABLES = OxygenTables.scaled(TABLE)


def by_hand(fluence, pressure):
    """alpha and beta of one voxel: every ion's alpha over its OER relative to air, and sqrt(beta) likewise."""
    d = bin_dose(AXES, fluence[..., None])[..., 0].astype(float)
    d /= d.sum()
    scale = OER(bin_LET(AXES), AIR_MMHG) / OER(bin_LET(AXES), pressure)
    alpha, beta = TABLE.at(AXES)
    return (d * alpha * scale).sum(), (d * np.sqrt(beta) * scale).sum() ** 2


def test_air_changes_nothing():
    same = hypoxic_table(TABLE, AIR_MMHG)
    np.testing.assert_allclose(same.alpha, TABLE.alpha, rtol=1e-14)
    np.testing.assert_allclose(same.beta, TABLE.beta, rtol=1e-14)
    np.testing.assert_allclose(mixed_under(AXES, FLUENCE, TABLES, AIR_MMHG), zr_table(AXES, FLUENCE, TABLE), rtol=2e-4)


@pytest.mark.parametrize("pressure", [0.0, 0.2, 0.9, 2.0, 5.0, 20.0, 60.0, 300.0])
def test_between_the_nodes_it_is_the_sum_over_ions(pressure):
    found = mixed_under(AXES, FLUENCE[..., 0, 0, 0], TABLES, pressure)
    np.testing.assert_allclose(found, by_hand(FLUENCE[..., 0, 0, 0], pressure), rtol=2e-3)


def test_at_a_node_it_is_exact():
    found = mixed_under(AXES, FLUENCE[..., 0, 0, 0], TABLES, pressure_nodes()[4])
    np.testing.assert_allclose(found, by_hand(FLUENCE[..., 0, 0, 0], pressure_nodes()[4]), rtol=1e-7)


def test_every_voxel_has_its_own_pressure():
    pressure = np.random.default_rng(1).uniform(0.1, 80, SHAPE)
    alpha, _ = mixed_under(AXES, FLUENCE, TABLES, pressure)
    for at in [(0, 0, 0), (2, 3, 4), (1, 2, 0)]:
        assert alpha[at] == pytest.approx(mixed_under(AXES, FLUENCE[:, :, *at], TABLES, pressure[at])[0], rel=1e-12)


def test_factors_are_what_oxygen_does_to_the_coefficients():
    pressure = np.full(SHAPE, 2.0)
    alpha, sqrt_beta = oxygen_factors(AXES, FLUENCE, TABLES, pressure, beam_axis=None)
    under, full = mixed_under(AXES, FLUENCE, TABLES, 2.0), zr_table(AXES, FLUENCE, TABLE)
    np.testing.assert_allclose(alpha, under[0] / full[0], rtol=1e-12)
    np.testing.assert_allclose(sqrt_beta, np.sqrt(under[1] / full[1]), rtol=1e-12)


def test_pooling_changes_nothing_where_all_voxels_are_alike():
    same = np.repeat(FLUENCE[:, :, :1, :1, :1], 60, axis=2).reshape(2, AXES.n_bins, 3, 4, 5)
    pressure = np.full(SHAPE, 1.5)
    pooled, alone = (oxygen_factors(AXES, same, TABLES, pressure, axis) for axis in (2, None))
    np.testing.assert_allclose(pooled, alone, rtol=1e-10)


def test_a_voxel_without_tracks_has_no_factor():
    empty = FLUENCE.copy()
    empty[:, :, 1, 1, 1] = 0
    alpha, sqrt_beta = oxygen_factors(AXES, empty, TABLES, np.full(SHAPE, 2.0), beam_axis=None)
    assert np.isnan(alpha[1, 1, 1])
    assert np.isnan(sqrt_beta[1, 1, 1])
    assert np.isfinite(alpha).sum() == 59


def test_the_divided_dose_is_a_smaller_dose():
    scale = OER(5.0, AIR_MMHG) / OER(5.0, 1.0)
    alpha, beta = dose_divided(0.4, 0.05, 5.0, 1.0)
    assert effect(3.0, alpha, beta) == pytest.approx(effect(3.0 * scale, 0.4, 0.05), rel=1e-12)


def test_fast_protons_agree_with_tracks_and_slow_ones_keep_too_much_alpha():
    """Where lesions of one track hardly meet, dividing the dose is all that oxygen does."""
    axes = SpectrumAxes.logarithmic(("H",), n_bins=8, low_mev_u=0.5, high_mev_u=300.0)

    def ratio(n):
        rows = np.eye(8)[n : n + 1]
        tasks = [VoxelTask(rows, axes, 1.0, ("HSG",), conditions=Conditions(p)) for p in (1.0, AIR_MMHG)]
        short, full = (answer.alpha for answer in Gsm2Fft().simulate(tasks))
        return short / full / (OER(bin_LET(axes)[0, n], AIR_MMHG) / OER(bin_LET(axes)[0, n], 1.0))

    assert ratio(7) == pytest.approx(1.0, abs=0.005)
    assert ratio(0) < 0.9


def test_pressures_outside_the_tables_are_refused():
    for pressure in (np.nan, -1.0, 800.0):
        with pytest.raises(ValueRangeError):
            mixed_under(AXES, FLUENCE, TABLES, pressure)


def test_oxygen_on_another_grid_is_refused():
    with pytest.raises(GridMismatchError, match="oxygen has the shape"):
        oxygen_factors(AXES, FLUENCE, TABLES, np.ones((2, 2, 2)), beam_axis=2)


def test_tables_without_order_and_too_few_nodes_are_refused():
    with pytest.raises(FormatError, match="ascending pressures"):
        OxygenTables((5.0, 1.0), (TABLE, TABLE), TABLE)
    with pytest.raises(FormatError):
        OxygenTables((5.0,), (TABLE,), TABLE)
    with pytest.raises(ValueRangeError, match="two pressures"):
        pressure_nodes(1)
