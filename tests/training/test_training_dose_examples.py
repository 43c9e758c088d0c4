"""Labels of plans without spectra: those of the table, where they belong, for one beam and for two."""

from dataclasses import replace

import numpy as np
import pytest
from dose_plans import field_with_LET, reduced
from synthetic import AXES, lq_response, reoriented

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid import Grid, Volume, VolumeSet
from surrogate3d.model.dose_channels import ChannelSet
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.training.dose_examples import EVALUATED_FRACTION, crossed, cubes, labelled_plan, rows

HIGH, LOW = field_with_LET(), field_with_LET(seed=5)
LINES = [(0.313, 0.0615, mono_table("HSG")), (0.184, 0.020, mono_table("V79"))]
PLAN = labelled_plan((LOW, HIGH), HIGH, LINES)
SET = ChannelSet(True, True)
D = np.array(DOSE_LADDER)


def test_labels_are_those_of_the_table_on_the_spectra_with_most_histories():
    for n, (*_, table) in enumerate(LINES):
        alpha, beta = zr_table(AXES, HIGH.spectra.fluence, table)
        np.testing.assert_allclose(PLAN.alpha[n], alpha)
        np.testing.assert_allclose(PLAN.sqrt_beta[n] ** 2, beta)
    np.testing.assert_array_equal(PLAN.evaluated, HIGH.dose >= EVALUATED_FRACTION * HIGH.dose.max())


def test_rows_hold_each_voxel_of_each_run_with_its_own_label():
    found = rows([PLAN], SET, DOSE_LADDER, 2, np.random.default_rng(0))
    n = [int((PLAN.evaluated & run.answerable).sum()) for run in PLAN.realisations]
    assert len(found.channels) == sum(n)
    assert len(found.voxel) == 2 * sum(n)
    at = np.argwhere(PLAN.evaluated & PLAN.realisations[0].answerable)
    for label in (0, 1, 57, 300):
        i, j, k = at[found.voxel[label]]
        line = int(np.flatnonzero(PLAN.photon[:, 0] == found.photon[label, 0])[0])
        expected = effect(D, PLAN.alpha[line, i, j, k], PLAN.sqrt_beta[line, i, j, k] ** 2)
        np.testing.assert_allclose(found.effect[label], expected, rtol=1e-6)
        own = LOW.volumes["LET_d"].values[i, j, k]
        assert np.exp(found.channels[found.voxel[label], 0]) == pytest.approx(own, rel=1e-5)
    assert not found.effect_se.any()


def test_a_plan_that_lies_otherwise_in_its_grid_gives_the_same_rows():
    turned, _ = reoriented(HIGH, (1, 2, 0), -1)
    turned = replace(turned, beams=())
    other = labelled_plan((turned,), turned, LINES)
    alone = labelled_plan((HIGH,), HIGH, LINES)

    def total(plan):
        found = rows([plan], SET, DOSE_LADDER, 2, np.random.default_rng(0))
        return np.sort(found.effect[:, 3]), np.sort(found.channels, axis=0)

    for mine, theirs in zip(total(other), total(alone), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_simulated_voxels_take_the_place_of_the_table_and_are_half_of_all_labels():
    voxels = [(4, 4, 3), (3, 4, 5)]
    responses = [lq_response(voxel, 0.5, 0.07, relative_se=0.01) for voxel in voxels]
    plan = labelled_plan((LOW,), HIGH, LINES, responses, DOSE_LADDER)
    found = rows([plan], SET, DOSE_LADDER, 1, np.random.default_rng(0))
    simulated = found.effect_se[:, 0] > 0
    assert simulated.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(found.effect[simulated], np.tile(effect(D, 0.5, 0.07), (simulated.sum(), 1)), rtol=1e-6)
    np.testing.assert_allclose(found.effect_se[simulated], 0.01 * found.effect[simulated], rtol=1e-5)
    at = np.argwhere(plan.evaluated & plan.realisations[0].answerable)
    assert {tuple(int(n) for n in at[v]) for v in found.voxel[simulated]} == set(voxels)
    assert not set(found.voxel[simulated]) & set(found.voxel[~simulated])


def test_crossing_beams_have_the_alpha_of_their_doses():
    """At every voxel the sum of two beams lies between them, and dose alpha adds."""
    both = crossed(PLAN, PLAN, np.random.default_rng(3))
    side = min(HIGH.grid.shape)
    assert both.dose.shape == (side, side, side)
    known = both.evaluated
    for mixed, part in ((both.alpha, PLAN.alpha), (both.sqrt_beta, PLAN.sqrt_beta)):
        for n in range(2):
            assert mixed[n][known].min() >= np.nanmin(part[n]) - 1e-12
            assert mixed[n][known].max() <= np.nanmax(part[n]) + 1e-12
    run = both.realisations[0]
    LET = run.dose_LET_d[known] / run.dose_d[known]
    assert np.corrcoef(LET, both.alpha[0][known])[0, 1] > 0.9  # dose, LET and alpha were turned alike


def test_equal_seeds_cross_alike():
    first, second = (crossed(PLAN, PLAN, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.alpha, second.alpha)


def test_a_plan_without_one_of_its_lines_keeps_the_others():
    responses = [lq_response((4, 4, 3), 0.5, 0.07)]  # of HSG, the first of the lines
    plan = labelled_plan((LOW,), HIGH, LINES, responses, DOSE_LADDER)
    without_first, without_second = plan.without_line(0), plan.without_line(1)
    np.testing.assert_array_equal(without_first.alpha, plan.alpha[1:])
    np.testing.assert_array_equal(without_second.sqrt_beta, plan.sqrt_beta[:1])
    np.testing.assert_array_equal(without_first.photon, plan.photon[1:])
    assert without_first.direct == ()
    assert len(without_second.direct) == 1
    swapped = labelled_plan((LOW,), HIGH, LINES[::-1], responses, DOSE_LADDER).without_line(0)
    assert swapped.direct[0][1] == 0  # what was the second line is the first


def test_cubes_are_numbered_through_all_plans():
    first, second = cubes((9, 4, 5), 0), cubes((9, 4, 5), 1)
    assert len(np.unique(first)) == 3 * 1 * 2
    assert (np.bincount(np.unique(first, return_inverse=True)[1].ravel()) <= 4**3).all()
    assert first[0, 0, 0] == first[3, 3, 3] != first[4, 0, 0]
    assert not set(first.ravel()) & set(second.ravel())


def test_a_run_on_another_grid_is_refused():
    grid = Grid(HIGH.grid.shape, (2.0, 2.0, 2.0), (0, 0, 0))
    volumes = {name: Volume(grid, v.values, v.quantity) for name, v in reduced(LOW).volumes.items()}
    with pytest.raises(GridMismatchError):
        labelled_plan((replace(reduced(LOW), grid=grid, volumes=VolumeSet(grid, volumes)),), HIGH, LINES)


def test_a_run_with_another_beam_is_refused():
    with pytest.raises(QuantityError, match="one beam along one axis"):
        labelled_plan((reduced(LOW, direction=(1.0, 0.0, 0.0)),), HIGH, LINES)


def test_responses_of_another_line_or_ladder_are_refused():
    with pytest.raises(QuantityError, match="no label here"):
        labelled_plan((LOW,), HIGH, LINES[1:], [lq_response((4, 4, 3), 0.5, 0.07)], DOSE_LADDER)
    with pytest.raises(QuantityError, match="no label here"):
        labelled_plan((LOW,), HIGH, LINES, [lq_response((4, 4, 3), 0.5, 0.07)], DOSE_LADDER[:-1])
