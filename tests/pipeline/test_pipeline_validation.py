"""Judging: identities where the answer is known beforehand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic import AXES, LINE, SHAPE, TABLE, lq_response, make_field, make_surrogate

from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.grid import VolumeSet
from surrogate3d.inference.curves import predict_curves
from surrogate3d.model.mask_text import mask_to_text
from surrogate3d.physics.linear_quadratic import RBE_at_dose, effect
from surrogate3d.physics.mixing import zr_table
from surrogate3d.pipeline.design import voxel_task
from surrogate3d.pipeline.validation import (
    SURROGATE,
    ValidationSettings,
    headline,
    surrogate_maps,
    truth_maps,
    validate,
)

LOW = make_field(seed=1, tracks=300, files=("low",))
HIGH = make_field(seed=2, tracks=20000, halves=True, files=("high",))
TABLE_TRUTH = ValidationSettings(truth="zr_table")


def judge(tmp_path, low=LOW, high=HIGH, settings=TABLE_TRUTH, surrogate=None, progress=None):
    surrogate = surrogate or make_surrogate(LOW)
    return validate(low, high, "high", surrogate, LINE, TABLE, settings, tmp_path / "ledger", progress)


def trained_on(mask, *files):
    """A model that learnt from these voxels of a run of these files."""
    return make_surrogate(LOW, training={"plans": [{"files": list(files), "learnt": mask_to_text(mask)}]})


def table_RBE(field, dose=2.0):
    alpha, beta = zr_table(AXES, field.spectra.fluence, TABLE)
    return RBE_at_dose(dose, effect(dose, alpha, beta), LINE.alpha_x, LINE.beta_x)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return judge(tmp_path_factory.mktemp("judged"))


def test_the_method_of_the_truth_has_no_error_on_the_truths_own_spectra(tmp_path):
    for high in (None, replace(LOW, provenance={})):
        found = judge(tmp_path, high=high)
        assert found.self_consistency == (high is None)
        for name in ("RBE", "alpha", "effect"):
            row = found.table.row("zr_table", name).summary
            assert row.max < 1e-9
            assert row.n_missing == 0
        assert found.table.row("zr_table, grouped pooling", "RBE").summary.rms > 0.01
    assert "self-consistency only" in " ".join(judge(tmp_path, high=None).table.notes)


def test_truth_is_the_mixing_rule_on_the_reference_and_nowhere_unjudged(judged):
    known = np.isfinite(judged.truth["RBE"])
    np.testing.assert_allclose(judged.truth["RBE"][known], table_RBE(HIGH)[known], rtol=1e-12)
    np.testing.assert_array_equal(known, judged.curves.mask & (HIGH.dose >= 0.05 * HIGH.dose.max()))
    assert (judged.truth_se[known] == 0).all()
    assert np.isnan(judged.truth_se[~known]).all()


def test_rows_are_by_hand(judged):
    """Relative error, %, of the mixing rule on the noisy input, over all judged voxels."""
    known = np.isfinite(judged.truth["RBE"])
    error = 100 * (table_RBE(LOW)[known] / table_RBE(HIGH)[known] - 1)
    row = judged.table.row("zr_table", "RBE").summary
    assert row.n == int(known.sum())
    assert row.rms == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-9)
    assert row.bias == pytest.approx(error.mean(), rel=1e-9)
    curves = predict_curves(LOW, make_surrogate(LOW), LINE)
    mine = surrogate_maps(curves, LOW, LINE, 2.0)["RBE"][known]
    row = judged.table.row(SURROGATE, "RBE").summary
    assert row.bias == pytest.approx(float(np.mean(100 * (mine / table_RBE(HIGH)[known] - 1))), rel=1e-6)
    assert row.n_missing == 0


def test_the_effect_of_the_surrogate_is_that_of_its_curves():
    curves = predict_curves(LOW, make_surrogate(LOW), LINE)
    maps = surrogate_maps(curves, LOW, LINE, 2.0)
    two_gray = DOSE_LADDER.index(2.0)
    np.testing.assert_allclose(maps["effect"][curves.mask], curves.effect[:, two_gray], rtol=1e-5)
    assert np.isnan(maps["effect"][~curves.mask]).all()


def test_floors_come_from_the_halves(judged):
    known = np.isfinite(judged.truth["RBE"])
    a, b = (
        RBE_at_dose(2.0, effect(2.0, *zr_table(AXES, half.fluence, TABLE)), LINE.alpha_x, LINE.beta_x)[known]
        for half in HIGH.halves
    )
    floor = np.sqrt(np.mean((100 * (a - b) / (a + b)) ** 2))
    row = judged.table.row("zr_table", "RBE").summary
    assert row.floor == pytest.approx(floor, rel=1e-9)
    assert row.rms_net == pytest.approx(np.sqrt(row.rms**2 - floor**2), rel=1e-9)
    # The halves see the noise of the truth: its square is what a noiseless truth would have taken away.
    exact = table_RBE(make_field(tracks=20000))[known]
    measured = np.sqrt(np.mean((100 * (table_RBE(HIGH)[known] / exact - 1)) ** 2))
    assert floor == pytest.approx(measured, rel=0.15)


def test_without_halves_no_floor_is_claimed(tmp_path):
    found = judge(tmp_path, high=replace(HIGH, halves=(), halves_dose=()))
    row = found.table.row("zr_table", "RBE").summary
    assert math.isnan(row.floor)
    assert math.isnan(row.rms_net)
    assert any("single run" in note for note in found.table.notes)


def test_judging_by_itself_claims_no_floor(tmp_path):
    """Truth and answer share the noise of the spectra then, so that their halves say nothing of the difference."""
    found = judge(tmp_path, low=HIGH, high=None)
    assert found.self_consistency
    for row in found.table.rows:
        assert math.isnan(row.summary.floor)
        assert math.isnan(row.summary.rms_net)


@pytest.mark.parametrize("file", ["low", "high"])
def test_voxels_of_the_training_are_not_judged(tmp_path, judged, file):
    known = np.isfinite(judged.truth["RBE"])
    seen = known & (np.arange(known.size).reshape(known.shape) % 3 == 0)
    found = judge(tmp_path, surrogate=trained_on(seen, "other", file))
    assert found.plan_was_trained_on
    assert not judged.plan_was_trained_on
    assert found.table.row("zr_table", "RBE").summary.n == known.sum() - seen.sum()
    np.testing.assert_array_equal(np.isfinite(found.truth["RBE"]), known & ~seen)
    assert any("trained on this plan" in note for note in found.table.notes)
    with pytest.raises(ValueRangeError, match="nothing left to judge"):
        judge(tmp_path, surrogate=trained_on(np.ones(SHAPE, bool), file))


def test_all_regions_together_are_all_voxels(judged):
    n = {row.region: row.summary.n for row in judged.table.rows if (row.method, row.quantity) == ("zr_table", "RBE")}
    assert n.pop("all") == sum(n.values())
    assert len(n) > 1


def test_a_simulated_truth_is_that_of_the_back_end(tmp_path):
    settings = ValidationSettings(truth="gsm2_fft", fraction_dose_gy=2.0)
    told = []
    small = np.zeros(SHAPE, bool)
    small[4, 4:6, 3:6] = True
    surrogate = trained_on(~small, "low")  # only six are left
    found = judge(tmp_path, settings=settings, surrogate=surrogate, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (6, 6)
    np.testing.assert_array_equal(np.isfinite(found.truth["RBE"]), small)
    (response,) = Gsm2Fft().simulate([voxel_task(HIGH, (4, 5, 3), ("HSG",), "high")], settings.seed)
    assert found.truth["effect"][4, 5, 3] == pytest.approx(response.effect[DOSE_LADDER.index(2.0)], rel=1e-9)
    assert found.truth["RBE"][4, 5, 3] == pytest.approx(response.RBE_ref, rel=1e-9)


def test_random_voxels_are_drawn_by_the_seed(tmp_path):
    settings = ValidationSettings(truth="gsm2_mc", voxels=4, target_se=0.05, seed=3)
    first, again, other = (judge(tmp_path, settings=replace(settings, seed=s)) for s in (3, 3, 4))
    known = [np.isfinite(v.truth["RBE"]) for v in (first, again, other)]
    assert [int(k.sum()) for k in known] == [4, 4, 4]
    np.testing.assert_array_equal(known[0], known[1])
    assert (known[0] != known[2]).any()
    np.testing.assert_array_equal(first.truth["RBE"], again.truth["RBE"])
    assert (first.truth_se[known[0]] > 0).all()
    row = first.table.row("zr_table", "RBE").summary
    own = 100 * first.truth_se[known[0]] / first.truth["RBE"][known[0]]
    assert row.floor > np.sqrt(np.mean(own**2))  # in quadrature with the noise of the spectra


def test_truth_maps_from_responses_by_hand():
    responses = [lq_response((1, 2, 3), 0.6, 0.05, relative_se=0.03), lq_response((4, 5, 6), 0.9, 0.02)]
    values, errors = truth_maps(responses, SHAPE, LINE, 1.8)
    for voxel, alpha, beta, se in (((1, 2, 3), 0.6, 0.05, 0.03), ((4, 5, 6), 0.9, 0.02, 0.0)):
        E = 1.8 * alpha + 1.8**2 * beta

        def RBE(effect):
            root = math.sqrt(LINE.alpha_x**2 + 4 * LINE.beta_x * effect)
            return (root - LINE.alpha_x) / (2 * LINE.beta_x) / 1.8

        assert values["effect"][voxel] == pytest.approx(E, rel=1e-9)
        assert values["RBE"][voxel] == pytest.approx(RBE(E), rel=1e-9)
        assert values["alpha"][voxel] == pytest.approx(alpha, rel=1e-6)
        assert errors["effect"][voxel] == pytest.approx(se * E, rel=1e-9, abs=1e-15)
        numeric = (RBE(E * (1 + 1e-5)) - RBE(E * (1 - 1e-5))) / 2e-5 * se
        assert errors["RBE"][voxel] == pytest.approx(numeric, rel=1e-5, abs=1e-15)
    for maps in (values, errors):
        assert all(np.isfinite(m).sum() == 2 for m in maps.values())


def test_the_headline_is_read_off_the_table(judged):
    found = headline(judged)
    assert list(found) == [SURROGATE, "zr_table", "zr_table, grouped pooling"]
    assert found["zr_table"]["rms"] == judged.table.row("zr_table", "RBE").summary.rms


def test_every_method_has_its_time_and_kind(judged):
    methods = {row.method: row.kind for row in judged.table.rows}
    assert methods[SURROGATE] == "surrogate"
    assert methods["McNamara"] == "model_difference"
    assert set(judged.table.seconds_per_voxel) == {*methods, "truth (zr_table)"}
    assert all(seconds > 0 for seconds in judged.table.seconds_per_voxel.values())


def test_what_cannot_be_judged_is_refused(tmp_path):
    with pytest.raises(GridMismatchError, match="input and reference"):
        judge(tmp_path, high=make_field(shape=(9, 8, 13)))
    with pytest.raises(QuantityError, match="input and reference: the doses summed per history"):
        judge(tmp_path, high=replace(HIGH, histories=2 * HIGH.histories))
    with pytest.raises(UnknownNameError, match="unknown truth 'lem'; known: gsm2_mc"):
        ValidationSettings(truth="lem")
    for bad in ({"voxels": 0}, {"fraction_dose_gy": 0.0}, {"fraction_dose_gy": float("nan")}):
        with pytest.raises(ValueRangeError, match="at least 1"):
            ValidationSettings(**bad)


def test_a_reference_with_fewer_histories_is_refused(tmp_path):
    fewer = replace(LOW, provenance={}, histories=LOW.histories // 2, volumes=_halved(LOW.volumes))
    with pytest.raises(QuantityError, match="exchange the two"):
        judge(tmp_path, high=fewer)


def _halved(volumes):
    """The doses of half the histories."""
    halved = {n: replace(v, values=v.values / 2 if n.startswith("dose") else v.values) for n, v in volumes.items()}
    return VolumeSet(volumes.grid, halved)
