"""From runs and responses to examples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import AXES, SHAPE, TABLE, lq_response, make_field, prescribed, reoriented, table_responses

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.model.groups import field_inputs
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.mixing import mix
from surrogate3d.physics.pooling import pool_grouped
from surrogate3d.training.realisations import (
    REAL_RUN_COPIES,
    TrainingPlan,
    example,
    grouped_error,
    irradiated_box,
    labels,
    thinned,
)

VOXELS = [(4, 5, 2), (3, 4, 7), (5, 3, 4), (4, 4, 9)]
LEVELS = (200.0, 50.0)


@pytest.fixture(scope="module")
def runs():
    return make_field(seed=1, tracks=100), make_field(seed=2, tracks=4000)


@pytest.fixture(scope="module")
def plan(runs):
    return TrainingPlan(*runs, table_responses(runs[1], VOXELS))


def test_labels_lie_at_their_voxels_and_nowhere_else(runs):
    alphas = [0.4, 0.5, 0.6, 0.7]
    plan = TrainingPlan(*runs, [lq_response(v, a, 0.05, relative_se=0.02) for v, a in zip(VOXELS, alphas, strict=True)])
    value, error = labels(plan, ["HSG"], DOSE_LADDER)
    assert value.shape == error.shape == (1, len(DOSE_LADDER), *SHAPE)
    D = np.array(DOSE_LADDER)
    for voxel, alpha in zip(VOXELS, alphas, strict=True):
        np.testing.assert_allclose(value[(0, slice(None), *voxel)], alpha * D + 0.05 * D**2, rtol=1e-6)
        np.testing.assert_allclose(error[(0, slice(None), *voxel)], 0.02, rtol=1e-6)
    assert np.isfinite(value).sum() == np.isfinite(error).sum() == len(VOXELS) * len(DOSE_LADDER)


def test_cell_lines_keep_the_order_that_is_asked_for(runs):
    other = cell_line("V79")
    responses = [lq_response(VOXELS[0], 0.4, 0.05), lq_response(VOXELS[0], 0.2, 0.03, line=other)]
    value, _ = labels(TrainingPlan(*runs, responses), ["V79", "HSG"], DOSE_LADDER)
    D = DOSE_LADDER[3]
    np.testing.assert_allclose(
        value[(slice(None), 3, *VOXELS[0])], [0.2 * D + 0.03 * D**2, 0.4 * D + 0.05 * D**2], 1e-6
    )
    only, _ = labels(TrainingPlan(*runs, responses), ["HSG"], DOSE_LADDER)
    np.testing.assert_array_equal(only[0], value[1])


def test_a_voxel_without_one_of_the_cell_lines_is_refused(runs):
    responses = [lq_response(v, 0.4, 0.05) for v in VOXELS] + [lq_response(VOXELS[0], 0.2, 0.03, line=cell_line("V79"))]
    with pytest.raises(QuantityError, match="for some of"):
        labels(TrainingPlan(*runs, responses), ["HSG", "V79"], DOSE_LADDER)


def test_other_doses_are_refused(plan):
    with pytest.raises(QuantityError, match=r"voxel \(4, 5, 2\): simulated at doses"):
        labels(plan, ["HSG"], [2 * D for D in DOSE_LADDER])


def test_runs_that_do_not_belong_together_are_refused(runs):
    low, high = runs
    other = make_field(axes=SpectrumAxes(("H", "He"), AXES.edges_mev_u * 1.1))
    with pytest.raises(GridMismatchError, match="spectrum axes"):
        TrainingPlan(low, other, [])
    with pytest.raises(QuantityError, match="beam directions"):
        TrainingPlan(low, replace(high, beam_sign=-1), [])
    with pytest.raises(GridMismatchError, match="training plan"):
        TrainingPlan(low, make_field(shape=(9, 8, 13)), [])
    with pytest.raises(QuantityError, match=r"training plan: the doses summed per history"):
        TrainingPlan(low, replace(high, histories=high.histories // 2), [])


def test_a_plan_without_labels_makes_no_example(runs):
    others = [lq_response(VOXELS[0], 0.2, 0.03, line=cell_line("V79"))]
    for responses in ([], others):
        with pytest.raises(ValueRangeError, match="no simulated voxel of these cell lines"):
            example(TrainingPlan(*runs, responses), (TABLE,), DOSE_LADDER, (), 1, np.random.default_rng(1))


def test_an_example_holds_the_real_run_and_the_thinned_ones(plan):
    made = example(plan, (TABLE,), DOSE_LADDER, LEVELS, 2, np.random.default_rng(1))
    assert len(made.inputs) == len(made.weight) == REAL_RUN_COPIES + 2 * len(LEVELS)
    assert all(w > 0 and np.isfinite(w) for w in made.weight)
    box = irradiated_box(field_inputs(plan.low, (TABLE,)))
    np.testing.assert_array_equal(made.inputs[0], field_inputs(plan.low, (TABLE,))[box])
    known = torch.isfinite(made.label[0, 0])
    assert int(known.sum()) == len(VOXELS)
    # Less noise, more weight: the weight is the inverse square of the error of grouped pooling.
    assert made.weight[REAL_RUN_COPIES] > made.weight[-1]


@pytest.mark.parametrize(("permutation", "sign"), [((0, 1, 2), -1), ((0, 2, 1), 1), ((2, 0, 1), -1)])
def test_an_example_does_not_depend_on_how_the_plan_lies_in_its_grid(plan, permutation, sign):
    (low, _), (high, turn) = (reoriented(run, permutation, sign) for run in (plan.low, plan.high))
    where = turn(np.arange(np.prod(SHAPE)).reshape(SHAPE))
    flat = [int(np.ravel_multi_index(r.voxel, SHAPE)) for r in plan.responses]
    responses = [
        replace(r, voxel=tuple(int(x) for x in np.argwhere(where == n)[0]))
        for r, n in zip(plan.responses, flat, strict=True)
    ]
    turned = example(TrainingPlan(low, high, responses), (TABLE,), DOSE_LADDER, (), 1, np.random.default_rng(1))
    straight = example(plan, (TABLE,), DOSE_LADDER, (), 1, np.random.default_rng(1))
    assert torch.equal(turned.inputs[0], straight.inputs[0])
    assert torch.equal(turned.label.nan_to_num(-1), straight.label.nan_to_num(-1))
    assert turned.weight == straight.weight


def test_thinned_runs_have_the_tracks_of_their_level(plan):
    for level, inputs in zip(LEVELS, thinned(plan.high, (TABLE,), LEVELS, 1, np.random.default_rng(1)), strict=True):
        mask = plan.high.dose > 0.05 * plan.high.dose.max()
        assert np.median(inputs[:, 1].sum(axis=0)[mask]) == pytest.approx(level, rel=0.1)


def test_levels_that_the_run_hardly_has_are_left_out(plan):
    typical = float(np.median(plan.high.tracks[plan.high.dose > 0.05 * plan.high.dose.max()]))
    levels = (typical, 0.34 * typical, 0.32 * typical)
    assert len(thinned(plan.high, (TABLE,), levels, 3, np.random.default_rng(1))) == 3


def test_thinning_does_not_depend_on_the_prescription(plan):
    plain, scaled = (
        thinned(f, (TABLE,), LEVELS, 1, np.random.default_rng(1)) for f in (plan.high, prescribed(plan.high, 2.0))
    )
    for a, b in zip(plain, scaled, strict=True):
        assert a[:, 1].sum() == pytest.approx(b[:, 1].sum(), rel=1e-2)


def test_the_error_of_grouped_pooling_is_that_of_pooled_spectra(plan):
    """The twin pools every bin of the spectra, then mixes; with labels at half of that the error is at its cap."""
    low = plan.low
    alpha, beta = mix(pool_grouped(bin_dose(AXES, low.spectra.fluence), AXES, 2), *TABLE.at(AXES))
    D = np.array(DOSE_LADDER)
    responses = [lq_response(v, 1.02 * alpha[v], 1.02 * beta[v]) for v in VOXELS]
    value, _ = labels(TrainingPlan(low, plan.high, responses), ["HSG"], DOSE_LADDER)
    inputs = field_inputs(low, (TABLE,))
    assert grouped_error(inputs, AXES.species, value, D) == pytest.approx(0.02 / 1.02, rel=1e-3)
    assert grouped_error(inputs, AXES.species, value / 2, D) == pytest.approx(0.3, rel=1e-6)


def test_the_box_holds_the_irradiated_voxels_with_a_margin():
    inputs = np.zeros((2, 4, 20, 20, 20), np.float32)
    inputs[0, 0, 8:10, 1:3, 12] = 1.0
    inputs[1, 0, 8, 1, 19] = 0.005  # too little
    assert irradiated_box(inputs) == (..., slice(4, 14), slice(0, 7), slice(8, 17))
