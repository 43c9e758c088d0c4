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
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import mix, mono_table, zr_table
from surrogate3d.physics.pooling import pool_grouped
from surrogate3d.training.realisations import (
    LEAST_DOSE,
    REAL_RUN_COPIES,
    TrainingPlan,
    accumulators,
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
    assert len(made.inputs) == len(made.target) == len(made.weight) == REAL_RUN_COPIES + 2 * len(LEVELS)
    assert all(w > 0 and np.isfinite(w) for w in made.weight)
    assert made.charge.tolist() == [1, 2]
    assert made.conditions is None
    low, high = (field_inputs(run, (TABLE,)) for run in (plan.low, plan.high))
    box = irradiated_box(low)
    np.testing.assert_array_equal(made.inputs[0], low[box])
    np.testing.assert_array_equal(made.target[0], accumulators(high)[box])
    known = torch.isfinite(made.label[0, 0])
    assert int(known.sum()) == len(VOXELS)
    # Less noise, more weight: the weight is the inverse square of the error of grouped pooling.
    assert made.weight[REAL_RUN_COPIES] > made.weight[-1]


def test_the_target_is_what_the_other_run_shows_through_the_table(plan):
    """Of several lines: dose, dose_alpha of each, dose_sqrt_beta of each."""
    tables = (mono_table("V79"), TABLE)
    responses = [lq_response(v, 0.4, 0.05, line=line) for v in VOXELS for line in map(cell_line, ("V79", "HSG"))]
    both = TrainingPlan(plan.low, plan.high, responses)
    target = example(both, tables, DOSE_LADDER, (), 1, np.random.default_rng(1)).target[0].numpy()
    box = irradiated_box(field_inputs(plan.low, (TABLE,)))
    assert len(target) == 5
    for n, table in enumerate(tables):
        alpha, beta = zr_table(AXES, plan.high.spectra.fluence, table)
        np.testing.assert_allclose(target[1 + n] / target[0], alpha[box], rtol=1e-5)
        np.testing.assert_allclose((target[3 + n] / target[0]) ** 2, beta[box], rtol=1e-5)


def test_roles_of_voxels(plan):
    """Learnt from: enough dose, within what may be, not held. Held: of these only."""
    rng = np.random.default_rng(3)
    within, held = (rng.random(SHAPE) < share for share in (0.6, 0.3))
    enough = plan.high.dose > LEAST_DOSE * plan.high.dose.max()
    assert not enough.all()
    made = example(replace(plan, within=within, held=held), (TABLE,), DOSE_LADDER, (), 1, np.random.default_rng(1))
    box = irradiated_box(field_inputs(plan.low, (TABLE,)))
    np.testing.assert_array_equal(made.learnt, (enough & within & ~held)[box])
    np.testing.assert_array_equal(made.held, (enough & within & held)[box])
    whole = example(plan, (TABLE,), DOSE_LADDER, (), 1, np.random.default_rng(1))
    np.testing.assert_array_equal(whole.learnt, enough[box])
    assert not whole.held.any()


def test_conditions_lie_at_their_voxels(plan):
    around = np.arange(2 * np.prod(SHAPE)).reshape(2, *SHAPE) / 7
    made = example(replace(plan, conditions=around), (TABLE,), DOSE_LADDER, (), 1, np.random.default_rng(1))
    box = irradiated_box(field_inputs(plan.low, (TABLE,)))
    np.testing.assert_allclose(made.conditions, around[box], rtol=1e-6)


@pytest.mark.parametrize(("permutation", "sign"), [((0, 1, 2), -1), ((0, 2, 1), 1), ((2, 0, 1), -1)])
def test_an_example_does_not_depend_on_how_the_plan_lies_in_its_grid(plan, permutation, sign):
    (low, _), (high, turn) = (reoriented(run, permutation, sign) for run in (plan.low, plan.high))
    where = turn(np.arange(np.prod(SHAPE)).reshape(SHAPE))
    rng = np.random.default_rng(3)
    within, held = (rng.random(SHAPE) < share for share in (0.6, 0.3))
    around = rng.random((1, *SHAPE))
    flat = [int(np.ravel_multi_index(r.voxel, SHAPE)) for r in plan.responses]
    responses = [
        replace(r, voxel=tuple(int(x) for x in np.argwhere(where == n)[0]))
        for r, n in zip(plan.responses, flat, strict=True)
    ]
    oriented = (
        TrainingPlan(low, high, responses, turn(within), turn(held), turn(around)),
        replace(plan, within=within, held=held, conditions=around),
    )
    turned, straight = (example(p, (TABLE,), DOSE_LADDER, (), 1, np.random.default_rng(1)) for p in oriented)
    for name in ("learnt", "held", "conditions"):
        assert torch.equal(getattr(turned, name), getattr(straight, name)), name
    assert torch.equal(turned.inputs[0], straight.inputs[0])
    assert torch.equal(turned.target[0], straight.target[0])
    assert torch.equal(turned.label.nan_to_num(-1), straight.label.nan_to_num(-1))
    assert turned.weight == straight.weight


def test_thinned_runs_have_the_tracks_of_their_level(plan):
    pairs = thinned(plan.high, (TABLE,), LEVELS, 1, np.random.default_rng(1))
    for level, (inputs, _) in zip(LEVELS, pairs, strict=True):
        mask = plan.high.dose > 0.05 * plan.high.dose.max()
        assert np.median(inputs[:, :, 1].sum(axis=(0, 1))[mask]) == pytest.approx(level, rel=0.1)


def test_levels_that_the_run_hardly_has_are_left_out(plan):
    typical = float(np.median(plan.high.tracks[plan.high.dose > 0.05 * plan.high.dose.max()]))
    levels = (typical, 0.34 * typical, 0.32 * typical)
    assert len(thinned(plan.high, (TABLE,), levels, 3, np.random.default_rng(1))) == 3


def test_thinning_does_not_depend_on_the_prescription(plan):
    plain, scaled = (
        thinned(f, (TABLE,), LEVELS, 1, np.random.default_rng(1)) for f in (plan.high, prescribed(plan.high, 2.0))
    )
    for (a, rest_a), (b, rest_b) in zip(plain, scaled, strict=True):
        assert a[:, :, 1].sum() == pytest.approx(b[:, :, 1].sum(), rel=1e-2)
        assert rest_a.sum() == pytest.approx(rest_b.sum(), rel=1e-2)


def test_a_thinned_run_and_its_target_are_the_whole_run(plan):
    """Both are scaled to a largest dose of one; of some two factors their sum is the original, in every sum."""
    whole = accumulators(field_inputs(plan.high, (TABLE,))).reshape(-1)
    for inputs, rest in thinned(plan.high, (TABLE,), LEVELS, 1, np.random.default_rng(1)):
        parts = np.stack([accumulators(inputs).reshape(-1), rest.reshape(-1)], axis=1).astype(float)
        factors = np.linalg.lstsq(parts, whole.astype(float), rcond=None)[0]
        assert (factors > 0).all()
        np.testing.assert_allclose(parts @ factors, whole, rtol=1e-4, atol=2e-6)


def test_the_noise_of_a_thinned_run_is_not_in_its_target():
    """On Poisson numbers of particles that cross their voxels; with the whole run as target it would be.

    Correlation of the relative errors over voxels and runs; of n pairs its standard error is 1 / sqrt(n).
    """
    axes = SpectrumAxes.logarithmic(("H", "He"), n_bins=12, low_mev_u=30.0, high_mev_u=250.0)
    shape, keep = (14, 14, 14), 0.25
    exact = make_field(tracks=400, shape=shape, axes=axes)
    mask = exact.dose > 0.2 * exact.dose.max()
    true = accumulators(field_inputs(exact, (TABLE,)))[:, mask]
    errors = []
    for seed in range(6):
        field = make_field(seed, tracks=400, shape=shape, axes=axes)
        level = keep * np.median(field.tracks[field.dose > 0.05 * field.dose.max()])
        ((inputs, rest),) = thinned(field, (TABLE,), (level,), 1, np.random.default_rng(seed))
        sums = [x[:, mask] for x in (accumulators(inputs), rest, accumulators(field_inputs(field, (TABLE,))))]
        ratios = [np.stack([x[0] / true[0], x[1] / x[0] / (true[1] / true[0])]) for x in sums]
        errors.append([r - r.mean(axis=1, keepdims=True) for r in ratios])
    noise = np.concatenate(errors, axis=-1)  # (thinned, rest, whole) x (dose, alpha) x voxel
    for quantity in range(2):
        among = np.corrcoef(noise[:, quantity])
        assert abs(among[0, 1]) < 4 / np.sqrt(noise.shape[-1])
        assert among[0, 2] == pytest.approx(np.sqrt(keep), abs=0.08)


def test_the_mean_of_thinned_runs_is_the_whole_run(plan):
    """Tracks of every group and band, to the statistics of as many draws."""
    n = 60
    pairs = thinned(plan.high, (TABLE,), LEVELS[:1], n, np.random.default_rng(1))
    tracks = np.stack([inputs[:, :, 1].sum(axis=(2, 3, 4)) for inputs, _ in pairs])
    typical = np.median(plan.high.tracks[plan.high.dose > 0.05 * plan.high.dose.max()])
    expected = field_inputs(plan.high, (TABLE,))[:, :, 1].sum(axis=(2, 3, 4)) * LEVELS[0] / typical
    standard_error = tracks.std(axis=0, ddof=1) / np.sqrt(n)
    assert (np.abs(tracks.mean(axis=0) - expected) <= 4 * standard_error + 1e-6 * expected).all()
    assert (standard_error[expected > 100] < 0.02 * expected[expected > 100]).all()


def test_realisations_differ_and_the_seed_decides(plan):
    first, again = (thinned(plan.high, (TABLE,), LEVELS[:1], 2, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first[0][0], again[0][0])
    assert (first[0][0] != first[1][0]).any()


def test_the_error_of_grouped_pooling_is_that_of_pooled_spectra(plan):
    """The twin pools every bin of the spectra, then mixes; against half of that the error is at its cap."""
    low = plan.low
    alpha, beta = mix(pool_grouped(bin_dose(AXES, low.spectra.fluence), AXES, 2), *TABLE.at(AXES))
    inputs, learnt = field_inputs(low, (TABLE,)), low.dose > 0.1 * low.dose.max()
    dose = inputs[:, :, 0].sum(axis=(0, 1))

    def error(factor, where=learnt):
        target = np.stack([dose, dose * factor * alpha, dose * np.sqrt(factor * beta)])
        return grouped_error(inputs, AXES.species, target, where)

    assert error(1.02) == pytest.approx(0.02 / 1.02, rel=1e-3)
    assert error(0.5) == pytest.approx(0.3, rel=1e-6)
    one = np.zeros(SHAPE, bool)
    one[4, 4, 5] = True
    assert error(np.where(one, 0.9, 1.0), one) == pytest.approx(0.1 / 0.9, rel=1e-3)
    assert error(np.where(one, 0.9, 1.0), learnt & ~one) < 1e-5


def test_the_error_of_grouped_pooling_is_that_of_the_first_line(plan):
    tables = (mono_table("V79"), TABLE)
    inputs, learnt = field_inputs(plan.low, tables), plan.low.dose > 0.1 * plan.low.dose.max()
    target = accumulators(field_inputs(plan.high, tables))
    found = grouped_error(inputs, AXES.species, target, learnt)
    pooled = mix(pool_grouped(bin_dose(AXES, plan.low.spectra.fluence), AXES, 2), *tables[0].at(AXES))
    true = zr_table(AXES, plan.high.spectra.fluence, tables[0])
    relative = effect(2.0, *pooled)[learnt] / effect(2.0, *true)[learnt] - 1
    assert found == pytest.approx(np.sqrt(np.mean(relative**2)), rel=1e-3)


def test_the_box_holds_the_irradiated_voxels_with_a_margin():
    inputs = np.zeros((2, 4, 4, 20, 20, 20), np.float32)
    inputs[0, 3, 0, 8:10, 1:3, 12] = 1.0
    inputs[1, 0, 0, 8, 1, 19] = 0.005  # too little
    assert irradiated_box(inputs) == (..., slice(4, 14), slice(0, 7), slice(8, 17))
